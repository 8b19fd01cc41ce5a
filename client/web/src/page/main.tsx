// The room page: signing in, then rooms and who is in them.

import { render } from "preact";

import { Following } from "./following.ts";
import { RoomPage } from "./room_page.tsx";
import { SignIn } from "./sign_in.tsx";
import "./style.css";
import { keep, kept, takeFromUrl } from "./token.ts";
import { isAboutToken, refusal } from "./words.ts";

/** The page is drawn at most so often, in milliseconds; a hidden tab gets no animation frames, so a timer it is. */
const DRAW_EVERY_MS = 16;

type Stage = { readonly name: "signed_out"; readonly problem: string } | { readonly name: "following"; readonly following: Following };

const root = document.getElementById("page");
if (!root) {
  throw new Error("index.html holds #page");
}
let stage: Stage = { name: "signed_out", problem: "" };
let drawing: ReturnType<typeof setTimeout> | undefined;
root.replaceChildren();

begin(takeFromUrl() ?? kept());
// A link that is opened in this very tab changes nothing but the fragment.
addEventListener("hashchange", () => {
  const token = takeFromUrl();
  if (token !== undefined) {
    begin(token);
  }
});

function begin(token: string | undefined): void {
  if (stage.name === "following") {
    stage.following.end();
  }
  keep(token);
  stage =
    token === undefined
      ? { name: "signed_out", problem: "" }
      : { name: "following", following: new Following(location.origin, token, changed) };
  draw();
}

function changed(): void {
  drawing ??= setTimeout(draw, DRAW_EVERY_MS);
}

function draw(): void {
  clearTimeout(drawing);
  drawing = undefined;
  if (stage.name === "following") {
    const { connection } = stage.following;
    if (connection.state === "refused" && isAboutToken(connection.error)) {
      keep(undefined);
      stage.following.end();
      stage = { name: "signed_out", problem: refusal(connection.error) };
    }
  }
  render(
    stage.name === "signed_out" ? (
      <SignIn problem={stage.problem} onToken={begin} />
    ) : (
      <RoomPage following={stage.following} onSignOut={() => begin(undefined)} />
    ),
    root!,
  );
}

import type { VNode } from "preact";
import { useState } from "preact/hooks";

import { Mark } from "./icons.tsx";

/** Asks for a token. */
export function SignIn({ problem, onToken }: { problem: string; onToken: (token: string) => void }): VNode {
  const [token, setToken] = useState("");
  const submit = (event: Event): void => {
    event.preventDefault();
    const typed = token.trim().replace(/^Bearer\s+/i, "");
    if (typed !== "") {
      onToken(typed);
    }
  };
  return (
    <main class="sign-in">
      <form class="card" onSubmit={submit}>
        <h1>
          <Mark /> Parlor
        </h1>
        <p class="quiet">Discord voice rooms, and who is in them.</p>
        {problem !== "" && (
          <p class="problem" role="alert" id="problem">
            {problem}
          </p>
        )}
        <label class="field">
          Token
          <input
            type="password"
            name="token"
            autocomplete="off"
            spellcheck={false}
            required
            autoFocus
            aria-describedby={problem === "" ? "token-note" : "problem token-note"}
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        <button class="primary" type="submit">
          Show the rooms
        </button>
        <p class="note" id="token-note">
          A JWT from the issuer that this Parlor trusts. It stays in this tab. <code>parlord dev</code> prints a link that
          brings one along.
        </p>
      </form>
    </main>
  );
}

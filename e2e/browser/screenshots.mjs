// Takes the pictures of the room page that the documentation shows: `make screenshots`.
//
//     node screenshots.mjs PARLORD FOLDER
//
// Runs `parlord dev`, lets people come and go in its emulated Discord, and looks at the page in light, dark and on a phone.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

import { startChromium } from "./chromium.mjs";

const [parlord, folder] = process.argv.slice(2).map((path) => resolve(path));

/** Who is where in the pictures, and what they are like. */
const PEOPLE = [
  ["eve", "Lobby", []],
  ["jonas", "Lobby", ["mute"]],
  ["ann", "Standup", []],
  ["bob", "Standup", ["mute"]],
  ["finn", "Standup", ["film"]],
  ["gus", "Standup", ["stream"]],
  ["cleo", "Design review", ["film"]],
  ["dan", "Design review", ["server-mute"]],
  ["hana", "Games", ["deafen", "mute"]],
  ["lukas", "Games", ["stream"]],
  ["ivy", "Games", []],
  ["tariq", "Elsewhere", []],
];

const home = await mkdtemp(join(tmpdir(), "parlor-screenshots-"));
const free = "127.0.0.1:0";
const dev = spawn(parlord, ["dev", "--listen", free, "--ops-listen", free, "--emulator-listen", free], {
  cwd: home,
  stdio: ["ignore", "pipe", "ignore"],
});
const browser = await startChromium();
try {
  const { link, control } = await addresses();
  await act(control, "guilds/Parlor%20Dev/channels", "Movie night");

  const page = await open(link, { colorScheme: "light", viewport: { width: 1280, height: 800 } });
  await createRoom(page, { name: "Standup", limit: "8", ends: { departure_timeout: "1m", max_duration: "2h" } });
  await createRoom(page, { name: "Design review", limit: "", ends: { departure_timeout: "10m" } });
  await createRoom(page, { name: "Town hall", limit: "", kind: "Stage" });
  for (const [name, room, verbs] of PEOPLE) {
    await act(control, `users/${encodeURIComponent(name)}/join`, room);
    for (const verb of verbs) {
      await act(control, `users/${encodeURIComponent(name)}/${verb}`, "");
    }
  }
  await act(control, "users/eve/move", "Town hall");
  await act(control, "users/noor/join", "Town hall");
  await act(control, "users/jonas/move", "Standup");
  await act(control, "users/ann/leave", "");
  await act(control, "users/ann/join", "Lobby");
  await page.locator("[data-user]").nth(PEOPLE.length).waitFor();
  // What was said about the last room made has gone.
  await page.locator(".outcome:empty").waitFor({ state: "attached" });
  await take(page, "light");
  await page.getByRole("button", { name: "New room in Parlor Dev" }).click();
  await page.getByLabel("Name").fill("Table");
  await fillIn(page, { empty_timeout: "10m", departure_timeout: "1m", count: "12" });
  await take(page, "new-rooms");
  await page.keyboard.press("Escape");

  await page.emulateMedia({ colorScheme: "dark" });
  await take(page, "dark");
  await page.getByRole("button", { name: "Change Dan" }).click();
  await page.getByLabel("Reason").fill("back to the table");
  await take(page, "person");
  await page.keyboard.press("Escape");

  const phone = await open(link, { colorScheme: "light", viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 });
  await phone.locator("[data-user]").nth(PEOPLE.length).waitFor();
  await take(phone, "phone");
} finally {
  await browser.close();
  dev.kill("SIGINT");
  await new Promise((ended) => dev.once("exit", ended));
  await rm(home, { recursive: true });
}

/** What parlord prints: the page's link, and where the emulator is told what happens. */
async function addresses() {
  const found = {};
  for await (const line of createInterface({ input: dev.stdout })) {
    found.link ??= line.match(/http:\S+#token=\S+/)?.[0];
    found.control ??= line.match(/http:\S+?\/control(?=\/users)/)?.[0];
    if (line.includes("Ctrl-C")) {
      return found;
    }
  }
  throw new Error("parlord ended early");
}

async function act(control, path, body) {
  const answer = await fetch(`${control}/${path}`, { method: "POST", body });
  if (!answer.ok) {
    throw new Error(`${path}: ${await answer.text()}`);
  }
}

async function open(link, options) {
  const context = await browser.newContext({ ...options, locale: "en-GB" });
  const page = await context.newPage();
  await page.goto(link);
  await page.locator("[data-room]").first().waitFor();
  return page;
}

async function createRoom(page, { name, limit, kind = "Voice", ends = {} }) {
  await page.getByRole("button", { name: "New room in Parlor Dev" }).click();
  await page.getByLabel("Name").fill(name);
  await page.getByLabel(kind, { exact: true }).check();
  await page.getByLabel("People at most").fill(limit);
  await fillIn(page, ends);
  await page.getByRole("button", { name: "Create room" }).click();
  await page.getByRole("heading", { name, exact: true }).waitFor();
}

/** Fields behind "When it ends …", by their names. */
async function fillIn(page, fields) {
  if (Object.keys(fields).length > 0) {
    await page.locator("summary").click();
  }
  for (const [name, text] of Object.entries(fields)) {
    await page.locator(`[name=${name}]`).fill(text);
  }
}

async function take(page, name) {
  await page.screenshot({ path: join(folder, `room-page-${name}.png`), animations: "disabled" });
}

// Drives the room page in Chromium: commands come on stdin, one JSON object a line, and each gets one line as its answer.
//
//     {"do":"open","url"}, optionally "scheme":"dark" and "width"      a new tab without a past; waits until it is drawn
//     {"do":"until_list","rooms":{room:[user]}}                         the page lists exactly this
//     {"do":"until_text","text"}                                        the page says this somewhere
//     {"do":"until_option","text"}                                      this can be chosen from a list
//     {"do":"tab_to","control"}                                         Tab, until the control of this name has the focus
//     {"do":"press","key"}, {"do":"type","text"}                        the keyboard
//     {"do":"audit"}            {"violations":[{"rule","where"}]}       what axe-core finds
//     {"do":"controls"}         {"controls":[text]}                     every button
//     {"do":"overflow"}         {"pixels":n}                            how much wider the content is than the page
//     {"do":"place"}            {"url"}                                 what the address bar shows
//     {"do":"complaints"}       {"complaints":[text]}                   errors of scripts and of the security policy
//     {"do":"quit"} or the end of stdin
//
// A command that fails gets {"failed":command,"message"}. A control's name is its aria-label, its name or its text.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

import { startChromium } from "./chromium.mjs";

/** How long something may take to appear: less than whoever waits for the answer does. */
const PATIENCE_MS = 25_000;
/** Nothing on the page is further away than this. */
const MOST_TABS = 100;

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core"), "utf8");
const browser = await startChromium();
let page;
let complaints = [];

const commands = {
  async open({ url, scheme = "light", width = 1280 }) {
    await page?.context().close();
    const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height: 800 } });
    page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    complaints = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      if (/Content Security Policy|Trusted/.test(message.text())) {
        complaints.push(message.text());
      }
    });
    await page.goto(url);
    await page.waitForSelector("h1");
  },

  async until_list({ rooms }) {
    const wanted = JSON.stringify(inOrder(rooms));
    const listed = await page.evaluate(untilListed, { wanted, patienceMs: PATIENCE_MS });
    if (listed !== wanted) {
      throw new Error(`the page lists ${listed}, not ${wanted}`);
    }
  },

  async until_text({ text }) {
    await page.getByText(text).first().waitFor();
  },

  until_option: ({ text }) => page.locator("option", { hasText: text }).first().waitFor({ state: "attached" }),

  async tab_to({ control }) {
    const seen = [];
    for (let tabs = 0; tabs < MOST_TABS; tabs += 1) {
      const name = await page.evaluate(() => {
        const focused = document.activeElement;
        return focused?.getAttribute("aria-label") ?? focused?.getAttribute("name") ?? focused?.textContent?.trim();
      });
      if (name === control) {
        return;
      }
      seen.push(name);
      await page.keyboard.press("Tab");
    }
    throw new Error(`Tab never comes to ${control}, only to ${[...new Set(seen)].join(", ")}`);
  },

  press: ({ key }) => page.keyboard.press(key),
  type: ({ text }) => page.keyboard.type(text),

  async audit() {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document));
    return {
      violations: violations.map(({ id, nodes }) => ({ rule: id, where: nodes.map(({ target }) => target.join(" ")) })),
    };
  },

  controls: async () => ({ controls: await page.getByRole("button").allInnerTexts() }),
  overflow: async () => ({
    pixels: await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
  }),
  place: async () => ({ url: page.url() }),
  complaints: async () => ({ complaints }),
};

for await (const text of createInterface({ input: process.stdin })) {
  const { do: name, ...rest } = JSON.parse(text);
  if (name === "quit") {
    break;
  }
  print(await answer(name, rest));
}
await browser.close();
process.stdout.write('{"done":"quit"}\n', () => process.exit(0));

async function answer(name, rest) {
  try {
    if (!Object.hasOwn(commands, name)) {
      throw new Error("no such command");
    }
    return { done: name, ...(await commands[name](rest)) };
  } catch (error) {
    return { failed: name, message: error.message };
  }
}

// Runs inside the page: waits until it lists what is wanted, and gives back what it lists then, or in the end. It is read
// from what is on the page, not from what its scripts hold.
function untilListed({ wanted, patienceMs }) {
  const read = () => {
    const rooms = [...document.querySelectorAll("[data-room]")].map((room) => [
      room.dataset.room,
      [...room.querySelectorAll("[data-user]")].map((somebody) => somebody.dataset.user).sort(),
    ]);
    return JSON.stringify(rooms.sort(([one], [other]) => (one < other ? -1 : 1)));
  };
  return new Promise((resolve) => {
    const look = () => read() === wanted && settle();
    const observer = new MutationObserver(look);
    const settle = () => {
      observer.disconnect();
      resolve(read());
    };
    observer.observe(document, { subtree: true, childList: true, attributes: true });
    setTimeout(settle, patienceMs);
    look();
  });
}

function inOrder(rooms) {
  const sorted = Object.entries(rooms).map(([room, users]) => [room, [...users].sort()]);
  return sorted.sort(([one], [other]) => (one < other ? -1 : 1));
}

function print(content) {
  process.stdout.write(`${JSON.stringify(content)}\n`);
}

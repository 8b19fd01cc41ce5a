// The browser that the room page is tested and pictured in: Chromium as the system has it, without a window.

import { chromium } from "playwright-core";

/** Starts the browser. It has no sandbox of its own: tests run as root in containers, and it sees loopback alone. */
export function startChromium() {
  return chromium.launch({
    executablePath: process.env.PARLOR_CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

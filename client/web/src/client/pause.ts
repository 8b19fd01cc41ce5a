// How long to wait before opening a stream again.

const FIRST_MS = 250;
const LONGEST_MS = 8_000;

/**
 * Milliseconds to wait after so many failures in a row: twice as long each time up to 8 s, and a random part of that, so
 * that the clients of a server that comes back do not all come at once. What the server asks for is the least.
 *
 * `random` lies in [0, 1).
 */
export function pauseMs(failures: number, askedMs: number | undefined, random: number): number {
  const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 10));
  const own = longest / 2 + (random * longest) / 2;
  return askedMs === undefined ? own : Math.max(own, askedMs * (1 + random / 4));
}

// Many rooms at once: calls of a few items each, so that the visitor sees them come.

import type { CallError } from "../client/index.ts";

/** How many items go into one call. The contract takes 25; fewer show sooner how it goes. */
const ITEMS = 5;

/** What became of one item. */
export interface Result {
  /** What it was about. */
  readonly name: string;
  /** Not set where it was done. */
  readonly error: CallError | undefined;
  /** An address that came of it. */
  readonly link?: string | undefined;
}

/**
 * Hands items over, a few at a time, and tells after each call what has become of all so far.
 *
 * @throws what `call` throws; what was told before stays true.
 */
export async function inParts<Item>(
  items: readonly Item[],
  call: (part: readonly Item[]) => Promise<readonly Result[]>,
  tell: (results: readonly Result[]) => void,
): Promise<readonly Result[]> {
  let results: readonly Result[] = [];
  for (let start = 0; start < items.length; start += ITEMS) {
    results = [...results, ...(await call(items.slice(start, start + ITEMS)))];
    tell(results);
  }
  return results;
}

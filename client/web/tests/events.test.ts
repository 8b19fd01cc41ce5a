import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import {
  CallError,
  formatStart,
  parseStart,
  type EventsOptions,
  type Frame,
  type StreamItem,
} from "../src/client/index.ts";
import { events, type Subscribe } from "../src/client/events.ts";
import type { SubscribeRequest } from "../src/client/position.ts";
import { ErrorInfoSchema, RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.ts";
import { at, bookmark, frame, hello, joined, snapshot } from "./frames.ts";

/** What one stream does: send frames, then end, fail, or say nothing more. */
type Script = { frames: Frame[]; then: "end" | "silence" | ConnectError };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function refusal(code: Code, reason: string, retrySeconds?: number): ConnectError {
  const info = { desc: ErrorInfoSchema, value: { reason, domain: "parlor" } };
  const retryDelay = { seconds: BigInt(retrySeconds ?? 0), nanos: 0 };
  const retry = { desc: RetryInfoSchema, value: { retryDelay } };
  return new ConnectError("no", code, undefined, retrySeconds === undefined ? [info] : [info, retry]);
}

/** A server that plays one script after the other, and keeps what it was asked. */
function server(...scripts: Script[]): { subscribe: Subscribe; asked: SubscribeRequest[] } {
  const asked: SubscribeRequest[] = [];
  async function* subscribe(request: SubscribeRequest, signal: AbortSignal): AsyncGenerator<Frame> {
    const script = scripts[asked.length];
    asked.push(request);
    yield* script?.frames ?? [];
    if (script?.then instanceof ConnectError) {
      throw script.then;
    }
    if (script?.then !== "end") {
      await new Promise<unknown>((resolve) => {
        signal.addEventListener("abort", resolve);
        if (signal.aborted) {
          resolve(undefined);
        }
      });
      throw new ConnectError("aborted", Code.Canceled);
    }
  }
  return { subscribe, asked };
}

/** Reads until an item, letting fake time pass as fast as it can. */
async function until(
  items: AsyncGenerator<StreamItem, void, void>,
  wanted: (item: StreamItem) => boolean,
): Promise<StreamItem[]> {
  const seen: StreamItem[] = [];
  for (;;) {
    const next = items.next();
    // Handled below as well; without this, a failure while time passes would count as nobody's.
    next.catch(() => undefined);
    let settled = false;
    void next.finally(() => (settled = true)).catch(() => undefined);
    for (let step = 0; !settled; step += 1) {
      if (step > 600) {
        throw new Error("nothing comes any more");
      }
      await vi.advanceTimersByTimeAsync(100);
    }
    const { value, done } = await next;
    if (done) {
      return seen;
    }
    seen.push(value);
    if (wanted(value)) {
      return seen;
    }
  }
}

function follow(subscribe: Subscribe, options: EventsOptions = {}): AsyncGenerator<StreamItem, void, void> {
  return events(subscribe, { random: () => 0.5, ...options });
}

const isOpen = (item: StreamItem): boolean => item.type === "open";
const sequences = (items: StreamItem[]): number[] =>
  items.flatMap((item) => (item.type === "frame" && item.frame.cursor !== "" ? [Number(item.frame.sequence)] : []));
const interruptions = (items: StreamItem[]): string[] =>
  items.flatMap((item) => (item.type === "interrupted" ? [item.why.kind] : []));
const pauses = (items: StreamItem[]): number[] =>
  items.flatMap((item) => (item.type === "interrupted" ? [item.retryInMs] : []));
const lastBookmark = (sequence: number) => (item: StreamItem) =>
  item.type === "frame" && item.frame.body.case === "bookmark" && item.frame.sequence === BigInt(sequence);

const cut = (): ConnectError => new ConnectError("network error", Code.Unknown);

test("a stream that is cut continues from the last position, under the same filter", async () => {
  const { subscribe, asked } = server(
    { frames: [hello(false, "f1"), ...snapshot(4, []), joined(4, 6, "7", "12")], then: cut() },
    { frames: [hello(true, "f1"), joined(6, 9, "8", "12"), bookmark(9)], then: "silence" },
  );
  const seen = await until(follow(subscribe, { guildIds: ["1"] }), lastBookmark(9));
  expect(asked[0]).toMatchObject({ guildIds: ["1"] });
  expect(asked[0]).not.toHaveProperty("start");
  expect(asked[1]).toMatchObject({ guildIds: ["1"], start: { case: "cursor", value: "cursor 6" }, filterId: "f1" });
  expect(sequences(seen)).toEqual([4, 6, 9, 9]);
  expect(interruptions(seen)).toEqual(["failed"]);
});

test("a frame that does not follow is not told; the stream continues from before it", async () => {
  const { subscribe, asked } = server(
    { frames: [hello(false), ...snapshot(4, []), joined(5, 6, "7", "12")], then: "silence" },
    { frames: [hello(true), joined(4, 5, "6", "12"), joined(5, 6, "7", "12"), bookmark(6)], then: "silence" },
  );
  const seen = await until(follow(subscribe), lastBookmark(6));
  expect(asked[1]).toMatchObject({ start: { value: "cursor 4" } });
  expect(sequences(seen)).toEqual([4, 5, 6, 6]);
  expect(interruptions(seen)).toEqual(["gap"]);
});

test("the chain has to hold across streams too", async () => {
  const { subscribe } = server(
    { frames: [hello(false), ...snapshot(4, [])], then: cut() },
    { frames: [hello(true), joined(5, 6, "7", "12")], then: "silence" },
    { frames: [hello(true), bookmark(4)], then: "silence" },
  );
  expect(interruptions(await until(follow(subscribe), lastBookmark(4)))).toEqual(["failed", "gap"]);
});

test("the first frame after a stored position is checked too", async () => {
  const { subscribe, asked } = server(
    { frames: [hello(true), joined(8, 9, "7", "12")], then: "silence" },
    { frames: [hello(true), joined(7, 8, "6", "12"), bookmark(8)], then: "silence" },
  );
  const from = parseStart("stored f1 7\n");
  const seen = await until(follow(subscribe, { from }), lastBookmark(8));
  expect(asked[0]).toMatchObject({ start: { value: "stored" }, filterId: "f1" });
  expect(interruptions(seen)).toEqual(["gap"]);
  expect(sequences(seen)).toEqual([8, 8]);
});

test("the position to store comes with each frame, once there is one", async () => {
  const { subscribe } = server({
    frames: [hello(false, "f1"), ...snapshot(4, []), joined(4, 6, "7", "12"), bookmark(9)].map((each) =>
      each.body.case === "bookmark" ? at(6, 9, { case: "bookmark", value: {} }) : each,
    ),
    then: "silence",
  });
  const seen = await until(follow(subscribe), lastBookmark(9));
  const positions = seen.flatMap((item) =>
    item.type === "frame" ? [item.position === undefined ? "" : formatStart(item.position)] : [],
  );
  // Hello, and a snapshot that is not whole, are nothing to continue from.
  expect(positions).toEqual(["", "", "", "cursor 4 f1 4", "cursor 6 f1 6", "cursor 9 f1 9"]);
});

test("a position reads back as it was written", () => {
  for (const start of [
    { cursor: "AbC", filterId: "f1", sequence: 7n },
    { cursor: "AbC", filterId: "f1" },
    { cursor: "AbC", filterId: "" },
  ]) {
    expect(parseStart(`${formatStart(start)}\n`)).toEqual(start);
  }
});

test("a gap that comes again leads to a snapshot", async () => {
  const broken: Script = { frames: [hello(true), joined(5, 6, "7", "12")], then: "silence" };
  const { subscribe, asked } = server(
    { frames: [hello(false), ...snapshot(4, [])], then: cut() },
    broken,
    broken,
    { frames: [hello(false), ...snapshot(6, []), bookmark(6)], then: "silence" },
  );
  const seen = await until(follow(subscribe), lastBookmark(6));
  expect(interruptions(seen)).toEqual(["failed", "gap", "gap"]);
  expect(asked.map((request) => "start" in request)).toEqual([false, true, true, false]);
});

test("a reset is told and begins a new chain", async () => {
  const reset = frame({ case: "reset", value: {} });
  const { subscribe, asked } = server(
    { frames: [hello(false), ...snapshot(40, [])], then: cut() },
    { frames: [hello(false), reset, ...snapshot(2, []), bookmark(2)], then: cut() },
    { frames: [hello(true), bookmark(2)], then: "silence" },
  );
  const items = follow(subscribe);
  const seen = await until(items, lastBookmark(2));
  expect(seen.some((item) => item.type === "frame" && item.frame.body.case === "reset")).toBe(true);
  expect(sequences(seen)).toEqual([40, 2, 2]);
  await until(items, isOpen);
  expect(asked[2]).toMatchObject({ start: { value: "cursor 2" } });
});

test("half a snapshot is nothing to continue from", async () => {
  const [begin, items] = snapshot(9, []);
  const reset = frame({ case: "reset", value: {} });
  const { subscribe, asked } = server(
    { frames: [hello(false), ...snapshot(4, [])], then: cut() },
    { frames: [hello(false), reset, begin!, items!], then: cut() },
    { frames: [hello(false), ...snapshot(9, []), bookmark(9)], then: "silence" },
  );
  await until(follow(subscribe), lastBookmark(9));
  expect(asked[1]).toHaveProperty("start");
  expect(asked[2]).not.toHaveProperty("start");
});

test("a stream that falls silent for three heartbeats is dead", async () => {
  const { subscribe, asked } = server(
    { frames: [hello(false), ...snapshot(4, [])], then: "silence" },
    { frames: [hello(true), bookmark(4)], then: "silence" },
  );
  const seen = await until(follow(subscribe), lastBookmark(4));
  const silent = seen.find((item) => item.type === "interrupted");
  expect(silent).toMatchObject({ why: { kind: "silent", lastedMs: 15_000 } });
  expect(asked).toHaveLength(2);
});

test("a server that never says hello is given up", async () => {
  const { subscribe } = server({ frames: [], then: "silence" }, { frames: [hello(false)], then: "silence" });
  const seen = await until(follow(subscribe), isOpen);
  expect(seen.find((item) => item.type === "interrupted")).toMatchObject({ why: { kind: "silent", lastedMs: 10_000 } });
});

test("pauses grow while nothing comes, and begin anew once something has", async () => {
  const failing: Script[] = Array.from({ length: 8 }, () => ({ frames: [], then: cut() }));
  const { subscribe } = server(
    ...failing,
    { frames: [hello(false), ...snapshot(4, [])], then: "end" },
    { frames: [hello(true), bookmark(4)], then: "silence" },
  );
  const seen = await until(follow(subscribe), lastBookmark(4));
  expect(pauses(seen)).toEqual([187.5, 375, 750, 1_500, 3_000, 6_000, 6_000, 6_000, 187.5]);
});

test("a draining server is left and asked again when it said, without that counting as a failure", async () => {
  const draining = at(4, 4, { case: "draining", value: { reconnectAfter: { seconds: 2n, nanos: 500_000_000 } } });
  const { subscribe, asked } = server(
    { frames: [hello(false), ...snapshot(4, []), draining], then: refusal(Code.Unavailable, "DRAINING", 2) },
    { frames: [], then: cut() },
    { frames: [hello(true), bookmark(4)], then: "silence" },
  );
  const seen = await until(follow(subscribe), lastBookmark(4));
  expect(interruptions(seen)).toEqual(["draining", "failed"]);
  expect(pauses(seen)).toEqual([2_500, 187.5]);
  expect(asked[2]).toMatchObject({ start: { value: "cursor 4" } });
});

test("the server's own pause is the least", async () => {
  const { subscribe } = server(
    { frames: [], then: refusal(Code.ResourceExhausted, "TOO_MANY_STREAMS", 30) },
    { frames: [hello(false)], then: "silence" },
  );
  const [pause] = pauses(await until(follow(subscribe), isOpen));
  expect(pause).toBeGreaterThanOrEqual(30_000);
});

test("what repeating cannot mend ends the iteration with the reason", async () => {
  for (const [code, reason] of [
    [Code.Unauthenticated, "TOKEN_INVALID"],
    [Code.PermissionDenied, "SCOPE_MISSING"],
    [Code.InvalidArgument, "CURSOR_INVALID"],
  ] as const) {
    const { subscribe, asked } = server({ frames: [], then: refusal(code, reason) });
    const ended = until(follow(subscribe), isOpen);
    await expect(ended).rejects.toMatchObject({ code, reason });
    await expect(ended).rejects.toBeInstanceOf(CallError);
    expect(asked).toHaveLength(1);
  }
});

test("a cursor that another deployment does not know is dropped", async () => {
  const { subscribe, asked } = server(
    { frames: [hello(false), ...snapshot(4, [])], then: cut() },
    { frames: [], then: refusal(Code.InvalidArgument, "CURSOR_INVALID") },
    { frames: [hello(false), ...snapshot(1, []), bookmark(1)], then: "silence" },
  );
  await until(follow(subscribe), lastBookmark(1));
  expect(asked[2]).not.toHaveProperty("start");
});

test("a token that expires while a stream is open is asked for once more", async () => {
  const expired = (): ConnectError => refusal(Code.Unauthenticated, "TOKEN_EXPIRED");
  const { subscribe, asked } = server(
    { frames: [hello(false), ...snapshot(4, [])], then: expired() },
    { frames: [], then: expired() },
  );
  await expect(until(follow(subscribe), () => false)).rejects.toMatchObject({ reason: "TOKEN_EXPIRED" });
  expect(asked).toHaveLength(2);
});

test("the caller's signal ends the iteration, also in a pause", async () => {
  for (const then of ["silence", cut()] as const) {
    const ending = new AbortController();
    const { subscribe } = server({ frames: [hello(false), ...snapshot(4, [])], then });
    const items = follow(subscribe, { signal: ending.signal });
    await until(items, (item) => (then === "silence" ? lastSnapshot(item) : item.type === "interrupted"));
    const rest = items.next();
    ending.abort();
    await expect(rest).resolves.toMatchObject({ done: true });
  }
});

function lastSnapshot(item: StreamItem): boolean {
  return item.type === "frame" && item.frame.body.case === "snapshotEnd";
}

// The event stream that continues by itself.

import { durationMs, type Duration } from "@bufbuild/protobuf/wkt";

import type { Hello, VoiceEventKind } from "../gen/parlor/v1/voice_events_pb.ts";
import { CallError } from "./error.ts";
import { pauseMs } from "./pause.ts";
import { BrokenChain, Position, type Frame, type Start, type SubscribeRequest } from "./position.ts";
import { Silence } from "./silence.ts";

/** How long the first frame may take. */
const OPENING_MS = 10_000;
/** A stream that is quiet for so many heartbeats is dead (VoiceEventService). */
const SILENT_HEARTBEATS = 3;
/** The server's heartbeat where it does not say. */
const HEARTBEAT_MS = 15_000;

/** What to hear of, and from where on. */
export interface EventsOptions {
  /** Only these guilds; all that the token covers where it is not set. */
  readonly guildIds?: readonly string[];
  /** Only these rooms. */
  readonly channelIds?: readonly string[];
  /** Only these kinds of event. */
  readonly kinds?: readonly VoiceEventKind[];
  /** The server's longest silence in milliseconds, 5,000 to 60,000. */
  readonly heartbeatMs?: number;
  /** Continue from here instead of beginning with a snapshot. */
  readonly from?: Start;
  /** Ends the iteration. */
  readonly signal?: AbortSignal;
  /** Randomness in [0, 1), for the pauses. */
  readonly random?: () => number;
}

/** Why a stream ended although the caller still listens. */
export type Interruption =
  /** The call failed; it may succeed later. */
  | { readonly kind: "failed"; readonly error: CallError }
  /** The server said that it is going away. */
  | { readonly kind: "draining" }
  /** Nothing came for so long that the connection must be dead. */
  | { readonly kind: "silent"; readonly lastedMs: number }
  /** A frame did not follow the one before. */
  | { readonly kind: "gap"; readonly broken: BrokenChain }
  /** The server ended the stream without a word. */
  | { readonly kind: "ended" };

/** What the iteration gives: the frames, and what becomes of the connection between them. */
export type StreamItem =
  /** A stream is being opened. */
  | { readonly type: "opening" }
  /** It is open. `hello.resumed` says whether it continues; if not, a snapshot follows. */
  | { readonly type: "open"; readonly hello: Hello }
  /**
   * A frame, `Hello` included, in order and with nothing missing before it. Fold it into a `Picture`. `position` is the
   * place after it: store it once you have acted on the frame, and give it to the next stream as `from`. Undefined while a
   * snapshot is under way, and before anything has been told.
   */
  | { readonly type: "frame"; readonly frame: Frame; readonly position: Start | undefined }
  /** The stream ended and will be opened again, from the position after the last frame. */
  | { readonly type: "interrupted"; readonly why: Interruption; readonly retryInMs: number };

/** Opens one stream. */
export type Subscribe = (request: SubscribeRequest, signal: AbortSignal) => AsyncIterable<Frame>;

/**
 * Follows the events for as long as the caller listens: opens the stream again, from the last position, whenever it ends
 * or falls silent or skips something. A position that cannot be continued comes as a `reset` frame and a snapshot.
 *
 * @throws CallError where opening again cannot help: no valid token, a missing scope, a wrong request.
 */
export async function* events(subscribe: Subscribe, options: EventsOptions = {}): AsyncGenerator<StreamItem, void, void> {
  const { signal, random = Math.random } = options;
  const position = new Position(options.from);
  const wanted = filter(options);
  let failures = 0;
  // In a row, without a frame that fitted.
  let gaps = 0;
  while (!signal?.aborted) {
    yield { type: "opening" };
    const silence = new Silence(signal);
    let hello: Hello | undefined;
    let drainMs: number | undefined;
    let why: Interruption = { kind: "ended" };
    try {
      silence.begin(OPENING_MS);
      for await (const frame of subscribe({ ...wanted, ...position.request }, silence.signal)) {
        silence.heard();
        position.advance(frame);
        if (frame.body.case === "hello") {
          hello = frame.body.value;
          yield { type: "open", hello };
        } else if (frame.body.case === "draining") {
          drainMs = milliseconds(frame.body.value.reconnectAfter) ?? 0;
        }
        const { start } = position;
        yield { type: "frame", frame, position: start.cursor === "" ? undefined : start };
        if (frame.cursor !== "") {
          failures = 0;
          gaps = 0;
        }
        silence.begin(SILENT_HEARTBEATS * (milliseconds(hello?.heartbeat) ?? HEARTBEAT_MS));
      }
    } catch (thrown) {
      why = interruption(thrown, silence);
    } finally {
      silence.end();
    }
    if (signal?.aborted) {
      return;
    }
    if (drainMs !== undefined) {
      // The server has spread these pauses over its clients already.
      why = { kind: "draining" };
      yield { type: "interrupted", why, retryInMs: drainMs };
      await pause(drainMs, signal);
      continue;
    }
    if (why.kind === "failed") {
      refuseToRepeat(why.error, position, hello !== undefined);
    }
    if (why.kind === "gap") {
      gaps += 1;
      if (gaps > 1) {
        // Continuing led to the same place. A snapshot needs no position.
        position.forget();
      }
    }
    failures += 1;
    const askedMs = why.kind === "failed" ? why.error.retryAfterMs : undefined;
    const retryInMs = pauseMs(failures, askedMs, random());
    yield { type: "interrupted", why, retryInMs };
    await pause(retryInMs, signal);
  }
}

function filter({ guildIds, channelIds, kinds, heartbeatMs }: EventsOptions): SubscribeRequest {
  return {
    guildIds: [...(guildIds ?? [])],
    channelIds: [...(channelIds ?? [])],
    kinds: [...(kinds ?? [])],
    ...(heartbeatMs !== undefined && {
      heartbeat: { seconds: BigInt(Math.floor(heartbeatMs / 1_000)), nanos: (heartbeatMs % 1_000) * 1_000_000 },
    }),
  };
}

function interruption(thrown: unknown, silence: Silence): Interruption {
  if (thrown instanceof BrokenChain) {
    return { kind: "gap", broken: thrown };
  }
  return silence.lastedMs === undefined
    ? { kind: "failed", error: CallError.from(thrown) }
    : { kind: "silent", lastedMs: silence.lastedMs };
}

/** Throws an error that opening the stream again cannot mend. */
function refuseToRepeat(error: CallError, position: Position, wasOpen: boolean): void {
  if (error.isPassing) {
    return;
  }
  if (error.reason === "CURSOR_INVALID" && position.start.cursor !== "") {
    // Another deployment answers at this address now: begin anew there.
    position.forget();
    return;
  }
  if (error.reason === "TOKEN_EXPIRED" && wasOpen) {
    // The next stream asks for the token again; if there is no newer one, that stream never opens.
    return;
  }
  throw error;
}

function milliseconds(duration: Duration | undefined): number | undefined {
  return duration && durationMs(duration);
}

/** Waits, or stops waiting where the caller no longer listens. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    signal?.addEventListener("abort", done);
  });
}

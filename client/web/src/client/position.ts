// Where a subscriber stands in the log, and the proof that nothing before it is missing.

import type { MessageInitShape } from "@bufbuild/protobuf";

import type {
  SubscribeVoiceEventsRequestSchema,
  SubscribeVoiceEventsResponse,
} from "../gen/parlor/v1/voice_events_pb.ts";

/** One frame of the stream. */
export type Frame = SubscribeVoiceEventsResponse;

/** What a subscription asks for. */
export type SubscribeRequest = MessageInitShape<typeof SubscribeVoiceEventsRequestSchema>;

/** The stream skipped something: open it again from the position that is held. */
export class BrokenChain extends Error {
  override readonly name = "BrokenChain";

  constructor(
    /** The position that is held. */
    readonly held: bigint,
    /** The position that the frame says it follows. */
    readonly found: bigint,
  ) {
    super(`the stream went on from ${found} where this client is at ${held}`);
  }
}

/** A place to continue from. */
export interface Start {
  /** From an earlier answer; empty for a snapshot first. */
  readonly cursor: string;
  /** `Hello.filter_id` of the stream that the cursor came from; empty where that is not known. */
  readonly filterId: string;
  /** The cursor's number in the log. With it the first frame after the cursor is checked too. */
  readonly sequence?: bigint | undefined;
}

/** A place as a line to store, `CURSOR FILTER_ID SEQUENCE`: the same as the Rust client's. */
export function formatStart({ cursor, filterId, sequence }: Start): string {
  const words = filterId === "" ? [cursor] : [cursor, filterId, ...(sequence === undefined ? [] : [String(sequence)])];
  return words.join(" ");
}

/** Reads what `formatStart` writes. Whether the cursor is one is for the server to say. */
export function parseStart(text: string): Start {
  const [cursor = "", filterId = "", sequence = ""] = text.trim().split(/\s+/);
  return { cursor, filterId, ...(/^\d+$/.test(sequence) && { sequence: BigInt(sequence) }) };
}

/** The position after the last frame. */
export class Position {
  #cursor: string;
  #filterId: string;
  #sequence: bigint | undefined;

  constructor(start: Start = { cursor: "", filterId: "" }) {
    this.#cursor = start.cursor;
    this.#filterId = start.filterId;
    this.#sequence = start.sequence;
  }

  /** Where to continue from. */
  get start(): Start {
    return { cursor: this.#cursor, filterId: this.#filterId, sequence: this.#sequence };
  }

  /** The part of a request that says where to continue. */
  get request(): Pick<SubscribeRequest, "start" | "filterId"> {
    return this.#cursor === ""
      ? {}
      : { start: { case: "cursor", value: this.#cursor }, filterId: this.#filterId };
  }

  /** Forgets the position: the next stream begins with a snapshot. */
  forget(): void {
    this.#cursor = "";
    this.#sequence = undefined;
  }

  /**
   * Goes to the position after a frame.
   *
   * @throws BrokenChain where something is missing before the frame; the position stays.
   */
  advance(frame: Frame): void {
    switch (frame.body.case) {
      case "hello":
        this.#filterId = frame.body.value.filterId;
        break;
      case "reset":
      case "snapshotBegin":
        // Half a snapshot is nothing to continue from.
        this.forget();
        break;
    }
    if (frame.cursor === "") {
      return;
    }
    if (this.#sequence !== undefined && frame.prevSequence !== this.#sequence) {
      throw new BrokenChain(this.#sequence, frame.prevSequence);
    }
    this.#cursor = frame.cursor;
    this.#sequence = frame.sequence;
  }
}

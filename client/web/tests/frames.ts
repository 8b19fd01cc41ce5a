// Frames as the server sends them, in short.

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import {
  SubscribeVoiceEventsResponseSchema,
  UpstreamState,
  type Frame,
  type Participant,
  type Room,
} from "../src/client/index.ts";

type Body = MessageInitShape<typeof SubscribeVoiceEventsResponseSchema>["body"];
type Kind = Extract<Body, { case: "event" }>["value"]["kind"];

/** A frame without a position. */
export function frame(body: Body): Frame {
  return create(SubscribeVoiceEventsResponseSchema, { body: body ?? { case: undefined } });
}

/** A frame that marks a position; it follows `prev`. */
export function at(prev: number, sequence: number, body: Body): Frame {
  return create(SubscribeVoiceEventsResponseSchema, {
    cursor: `cursor ${sequence}`,
    sequence: BigInt(sequence),
    prevSequence: BigInt(prev),
    body: body ?? { case: undefined },
  });
}

export function hello(resumed: boolean, filterId = "filter"): Frame {
  const heartbeat = { seconds: 5n, nanos: 0 };
  return frame({ case: "hello", value: { filterId, resumed, heartbeat, upstreamState: UpstreamState.LIVE } });
}

export function bookmark(sequence: number, upstreamState = UpstreamState.LIVE): Frame {
  return at(sequence, sequence, { case: "bookmark", value: { upstreamState } });
}

/** A whole snapshot at a position. */
export function snapshot(sequence: number, rooms: Partial<Room>[], participants: Partial<Participant>[] = []): Frame[] {
  const guilds = [{ guildId: "1", displayName: "Guild" }];
  return [
    frame({ case: "snapshotBegin", value: { atSequence: BigInt(sequence) } }),
    frame({
      case: "snapshotItems",
      value: { guilds, rooms: rooms.map(plain), participants: participants.map(plain) },
    }),
    at(sequence, sequence, { case: "snapshotEnd", value: {} }),
  ];
}

export function event(prev: number, sequence: number, kind: NonNullable<Kind>): Frame {
  return at(prev, sequence, { case: "event", value: { guildId: "1", kind } });
}

export function joined(prev: number, sequence: number, userId: string, roomId: string): Frame {
  return event(prev, sequence, { case: "participantJoined", value: { participant: { guildId: "1", roomId, userId } } });
}

function plain<T extends object>(fields: T): Omit<T, "$typeName" | "$unknown"> {
  return { ...fields };
}

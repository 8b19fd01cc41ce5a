// Follows SubscribeVoiceEvents over grpc-web, as a browser would, and prints one JSON object a line.
//
//     PARLOR_ADDR=127.0.0.1:50051 PARLOR_TOKEN=… node subscribe.mjs --guild ID [--cursor C] [--count N]
//
// Runs until --count events came (without --count: until stdin is closed) or the call ends. The lines are described in
// ../README.md. To follow for good, store each `cursor` after acting on its frame, and pass the last one when you call
// again. In a browser everything but `process` and `parseArgs` stays as it is.

import { parseArgs } from "node:util";

import { toJson } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { ErrorInfoSchema } from "../../gen/js/google/rpc/error_details_pb.js";
import { Room_State } from "../../gen/js/parlor/v1/rooms_pb.js";
import {
  Discontinuity_Reason,
  GapPolicy,
  Origin,
  Reset_Reason,
  StartAt,
  UpstreamState,
  VoiceEventKind,
  VoiceEventService,
} from "../../gen/js/parlor/v1/voice_events_pb.js";

const { values: args } = parseArgs({
  options: {
    guild: { type: "string", multiple: true, default: [] },
    room: { type: "string", multiple: true, default: [] },
    kind: { type: "string", multiple: true, default: [] },
    cursor: { type: "string", default: "" },
    "filter-id": { type: "string", default: "" },
    start: { type: "string" },
    gap: { type: "string", default: "reset" },
    heartbeat: { type: "string" },
    count: { type: "string" },
  },
});

const transport = createGrpcWebTransport({
  baseUrl: `http://${process.env.PARLOR_ADDR}`,
  useBinaryFormat: true,
  interceptors: [
    (next) => (request) => {
      request.header.set("authorization", `Bearer ${process.env.PARLOR_TOKEN}`);
      return next(request);
    },
  ],
});

const request = {
  guildIds: args.guild,
  channelIds: args.room,
  kinds: args.kind.map((kind) => VoiceEventKind[kind.toUpperCase()]),
  filterId: args["filter-id"],
  gapPolicy: GapPolicy[args.gap.toUpperCase()],
};
if (args.cursor) {
  request.start = { case: "cursor", value: args.cursor };
} else if (args.start) {
  request.start = { case: "startAt", value: StartAt[args.start.toUpperCase()] };
}
if (args.heartbeat) {
  request.heartbeat = { seconds: BigInt(args.heartbeat), nanos: 0 };
}

const ended = new AbortController();
if (args.count === undefined) {
  process.stdin.on("end", () => ended.abort());
  process.stdin.resume();
}

try {
  const frames = createClient(VoiceEventService, transport).subscribeVoiceEvents(request, { signal: ended.signal });
  const [last, code] = await follow(frames, args.count === undefined ? Infinity : Number(args.count));
  finish(last, code);
} catch (error) {
  const failure = ConnectError.from(error);
  if (failure.code === Code.Canceled && ended.signal.aborted) {
    finish({ end: "stdin" }, 0);
  } else {
    finish(described(failure), 1);
  }
}

// Prints frames until the call ends, and checks that no position is missing between them.
async function follow(frames, count) {
  let held;
  let seen = 0;
  for await (const frame of frames) {
    print(line(frame));
    const body = frame.body.case;
    if (body === "hello" || body === "reset") {
      held = undefined;
    }
    if (frame.cursor === "") {
      continue;
    }
    if (held !== undefined && body !== "snapshotEnd" && frame.prevSequence !== held) {
      return [{ gap: { held: Number(held), prev: Number(frame.prevSequence) } }, 3];
    }
    held = frame.sequence;
    if (body === "event" || body === "discontinuity") {
      seen += 1;
    }
    if (seen >= count) {
      return [{ end: "count" }, 0];
    }
  }
  return [{ end: "server" }, 0];
}

function line(frame) {
  const { case: name, value: body } = frame.body;
  // Sequences are below 2^53, so that a number holds them exactly.
  const position = (frameName) => ({
    frame: frameName,
    sequence: Number(frame.sequence),
    prev: Number(frame.prevSequence),
    cursor: frame.cursor,
  });
  switch (name) {
    case "hello":
      return {
        frame: "hello",
        epoch: body.epoch,
        head: Number(body.headSequence),
        oldest: Number(body.oldestSequence),
        filter_id: body.filterId,
        upstream: named(UpstreamState, body.upstreamState),
        resumed: body.resumed,
        heartbeat: seconds(body.heartbeat),
      };
    case "snapshotBegin":
      return { frame: "snapshot_begin", at: Number(body.atSequence) };
    case "snapshotItems":
      return {
        frame: "snapshot_items",
        guilds: body.guilds.map((guild) => guild.guildId),
        rooms: body.rooms.map((room) => ({
          guild: room.guildId,
          room: room.roomId,
          name: room.displayName,
          state: named(Room_State, room.state),
        })),
        participants: body.participants.map((somebody) => ({
          guild: somebody.guildId,
          room: somebody.roomId,
          user: somebody.userId,
        })),
      };
    case "snapshotEnd":
      return {
        ...position("snapshot_end"),
        guilds: body.guildCount,
        rooms: body.roomCount,
        participants: body.participantCount,
        digest: body.digest,
      };
    case "event":
      return { ...position("event"), ...event(body) };
    case "discontinuity":
      return {
        ...position("discontinuity"),
        guild: body.guildId,
        reason: named(Discontinuity_Reason, body.reason),
        from: toJson(TimestampSchema, body.from),
        to: toJson(TimestampSchema, body.to),
      };
    case "bookmark":
      return { ...position("bookmark"), upstream: named(UpstreamState, body.upstreamState) };
    case "reset":
      return { frame: "reset", reason: named(Reset_Reason, body.reason), oldest: Number(body.oldestSequence) };
    case "draining":
      return { ...position("draining"), reconnect_after: seconds(body.reconnectAfter) };
    default:
      // A newer server may say things that this program was not generated for: they are passed over, never an error.
      return position("unknown");
  }
}

function event(body) {
  const { case: name, value: change } = body.kind;
  return {
    kind: name?.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) ?? "unknown",
    origin: named(Origin, body.origin),
    guild: body.guildId,
    room: change?.room?.roomId ?? change?.participant?.roomId ?? "",
    user: change?.participant?.userId ?? "",
    from: change?.fromRoomId ?? "",
  };
}

function named(values, number) {
  return values[number]?.toLowerCase() ?? "unknown";
}

function seconds(duration) {
  return duration ? Number(duration.seconds) + duration.nanos / 1e9 : 0;
}

// The code of an error, and what google.rpc.ErrorInfo says about it.
function described(failure) {
  const [info] = failure.findDetails(ErrorInfoSchema);
  return {
    error: {
      code: canonical(failure.code),
      reason: info?.reason ?? "",
      metadata: Object.fromEntries(Object.entries(info?.metadata ?? {}).sort()),
      message: failure.rawMessage,
    },
  };
}

// gRPC's name of a code: NOT_FOUND for NotFound, and two Ls where Connect has one.
function canonical(code) {
  const words = Code[code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
  return words === "CANCELED" ? "CANCELLED" : words;
}

function print(content) {
  process.stdout.write(`${JSON.stringify(content)}\n`);
}

// Leaves once the line is written, whatever connection is still open.
function finish(content, code) {
  process.stdout.write(`${JSON.stringify(content)}\n`, () => process.exit(code));
}

// Creates, shows, lists and ends rooms over grpc-web, as a browser would; prints the answer as one line of JSON.
//
//     PARLOR_ADDR=127.0.0.1:50051 PARLOR_TOKEN=… node rooms.mjs create --guild ID --name Workshop
//     … rooms.mjs get --room ID | list [--guild ID] [--managed-only] | end --room ID [--force] | guilds
//
// The lines, errors included, are described in ../README.md.

import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { ErrorInfoSchema } from "../../gen/js/google/rpc/error_details_pb.js";
import { Room_State, RoomKind, RoomService } from "../../gen/js/parlor/v1/rooms_pb.js";

const DEADLINE_MS = 20_000;

const { values: args, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    guild: { type: "string", default: "" },
    room: { type: "string", default: "" },
    name: { type: "string", default: "" },
    kind: { type: "string", default: "voice" },
    category: { type: "string", default: "" },
    "user-limit": { type: "string", default: "0" },
    bitrate: { type: "string", default: "0" },
    "request-id": { type: "string" },
    reason: { type: "string", default: "" },
    force: { type: "boolean", default: false },
    "managed-only": { type: "boolean", default: false },
    "page-size": { type: "string", default: "0" },
  },
});

const rooms = createClient(
  RoomService,
  createGrpcWebTransport({
    baseUrl: `http://${process.env.PARLOR_ADDR}`,
    useBinaryFormat: true,
    defaultTimeoutMs: DEADLINE_MS,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${process.env.PARLOR_TOKEN}`);
        return next(request);
      },
    ],
  }),
);

const commands = {
  async create() {
    const answer = await rooms.createRoom({
      guildId: args.guild,
      displayName: args.name,
      kind: RoomKind[args.kind.toUpperCase()],
      categoryId: args.category,
      userLimit: Number(args["user-limit"]),
      bitrateBps: Number(args.bitrate),
      requestId: args["request-id"] ?? randomUUID(),
      auditLogReason: args.reason,
    });
    return { room: shown(answer.room), cursor: answer.cursor, request_id: answer.requestId };
  },

  async get() {
    const answer = await rooms.getRoom({ roomId: args.room });
    return { room: shown(answer.room) };
  },

  async list() {
    const request = { guildId: args.guild, managedOnly: args["managed-only"] };
    const found = await pages(rooms.listRooms, request);
    return { rooms: found.flatMap((page) => page.rooms.map(shown)) };
  },

  async end() {
    const answer = await rooms.endRoom({
      roomId: args.room,
      force: args.force,
      requestId: randomUUID(),
      auditLogReason: args.reason,
    });
    return { room: shown(answer.room), already_gone: answer.alreadyGone, cursor: answer.cursor };
  },

  async guilds() {
    const found = await pages(rooms.listGuilds, {});
    return { guilds: found.flatMap((page) => page.guilds.map(shownGuild)) };
  },
};

const command = commands[positionals[0]];
if (!command) {
  process.stderr.write(`usage: rooms.mjs ${Object.keys(commands).join("|")}\n`);
  process.exit(2);
}
try {
  finish(await command(), 0);
} catch (error) {
  finish(described(ConnectError.from(error)), 1);
}

// Every page of a list, one after the other.
async function pages(method, request) {
  const found = [];
  let pageToken = "";
  do {
    const page = await method({ ...request, pageSize: Number(args["page-size"]), pageToken });
    found.push(page);
    pageToken = page.nextPageToken;
  } while (pageToken);
  return found;
}

function shown(room) {
  return {
    room: room.roomId,
    guild: room.guildId,
    name: room.displayName,
    kind: named(RoomKind, room.kind),
    state: named(Room_State, room.state),
    managed: room.managed,
    category: room.categoryId,
    user_limit: room.userLimit,
    bitrate_bps: room.bitrateBps,
    participants: room.participantCount,
  };
}

function shownGuild(guild) {
  return { guild: guild.guildId, name: guild.displayName, available: guild.available, rooms: guild.roomCount };
}

function named(values, number) {
  return values[number]?.toLowerCase() ?? "unknown";
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

function finish(content, code) {
  process.stdout.write(`${JSON.stringify(content)}\n`, () => process.exit(code));
}

// Parlor's calls over grpc-web.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import {
  RoomService,
  type CreateRoomRequestSchema,
  type CreateRoomResponse,
  type EndRoomRequestSchema,
  type EndRoomResponse,
  type Guild,
  type Room,
} from "../gen/parlor/v1/rooms_pb.ts";
import { VoiceEventService } from "../gen/parlor/v1/voice_events_pb.ts";
import { CallError } from "./error.ts";
import { events, type EventsOptions, type StreamItem } from "./events.ts";

/** The deadline of a call, in milliseconds: Discord's rate limits may hold CreateRoom and EndRoom up for that long. */
const DEADLINE_MS = 20_000;

/** Where Parlor is, and who calls. */
export interface ParlorOptions {
  /** Such as `https://parlor.example.com`. */
  readonly baseUrl: string;
  /** A JWT, or what gives one. It is asked before every call, so it can renew a token that is about to expire. */
  readonly token: string | (() => string | Promise<string>);
}

/** Parlor, for one caller. */
export class Parlor {
  /** RoomService as generated from the contract, for what has no method here. It throws `ConnectError`. */
  readonly rooms: Client<typeof RoomService>;
  readonly #voiceEvents: Client<typeof VoiceEventService>;

  constructor({ baseUrl, token }: ParlorOptions) {
    const transport = createGrpcWebTransport({ baseUrl, useBinaryFormat: true, interceptors: [bearer(token)] });
    this.rooms = createClient(RoomService, transport);
    this.#voiceEvents = createClient(VoiceEventService, transport);
  }

  /** Makes a room. Give it a `requestId` of your own to make a repeat safe. @throws CallError */
  createRoom(request: MessageInitShape<typeof CreateRoomRequestSchema>): Promise<CreateRoomResponse> {
    return call(this.rooms.createRoom(request, { timeoutMs: DEADLINE_MS }));
  }

  /** Shows a room. @throws CallError */
  async getRoom(roomId: string): Promise<Room | undefined> {
    return (await call(this.rooms.getRoom({ roomId }, { timeoutMs: DEADLINE_MS }))).room;
  }

  /** Ends a room; `alreadyGone` says whether it had ended before. @throws CallError */
  endRoom(request: MessageInitShape<typeof EndRoomRequestSchema>): Promise<EndRoomResponse> {
    return call(this.rooms.endRoom(request, { timeoutMs: DEADLINE_MS }));
  }

  /** Every room that the token covers, page after page. @throws CallError */
  async listRooms(which: { guildId?: string; managedOnly?: boolean } = {}): Promise<Room[]> {
    const found: Room[] = [];
    let pageToken = "";
    do {
      const page = await call(this.rooms.listRooms({ ...which, pageToken }, { timeoutMs: DEADLINE_MS }));
      found.push(...page.rooms);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return found;
  }

  /** Every guild that the token covers, page after page. @throws CallError */
  async listGuilds(): Promise<Guild[]> {
    const found: Guild[] = [];
    let pageToken = "";
    do {
      const page = await call(this.rooms.listGuilds({ pageToken }, { timeoutMs: DEADLINE_MS }));
      found.push(...page.guilds);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return found;
  }

  /**
   * Who is in which room: a snapshot, then every change, for as long as the caller listens. Continues by itself.
   *
   * @throws CallError where opening the stream again cannot help.
   */
  events(options: EventsOptions = {}): AsyncGenerator<StreamItem, void, void> {
    return events((request, signal) => this.#voiceEvents.subscribeVoiceEvents(request, { signal }), options);
  }
}

function bearer(token: ParlorOptions["token"]): Interceptor {
  return (next) => async (request) => {
    const jwt = typeof token === "string" ? token : await token();
    request.header.set("authorization", `Bearer ${jwt}`);
    return next(request);
  };
}

async function call<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (thrown) {
    throw CallError.from(thrown);
  }
}

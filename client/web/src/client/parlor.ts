// Parlor's calls over grpc-web.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import {
  ParticipantService,
  type DisconnectParticipantRequestSchema,
  type DisconnectParticipantResponse,
  type MoveParticipantRequestSchema,
  type MoveParticipantResponse,
  type SetParticipantDeafenRequestSchema,
  type SetParticipantDeafenResponse,
  type SetParticipantMuteRequestSchema,
  type SetParticipantMuteResponse,
} from "../gen/parlor/v1/participants_pb.ts";
import {
  RoomService,
  type BatchCreateRoomsRequestSchema,
  type BatchCreateRoomsResponse,
  type BatchEndRoomsRequestSchema,
  type BatchEndRoomsResponse,
  type Channel,
  type ChannelKind,
  type CreateRoomRequestSchema,
  type CreateRoomResponse,
  type EndRoomRequestSchema,
  type EndRoomResponse,
  type Guild,
  type Room,
  type UpdateRoomRequestSchema,
  type UpdateRoomResponse,
} from "../gen/parlor/v1/rooms_pb.ts";
import { VoiceEventService } from "../gen/parlor/v1/voice_events_pb.ts";
import { WebhookService } from "../gen/parlor/v1/webhooks_pb.ts";
import { CallError } from "./error.ts";
import { events, type EventsOptions, type StreamItem } from "./events.ts";

/** The deadline of a call, in milliseconds: Discord's rate limits may hold CreateRoom and EndRoom up for that long. */
const DEADLINE_MS = 20_000;

/** The deadline of a batch, in milliseconds: its items wait for each other. */
const BATCH_DEADLINE_MS = 60_000;

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
  /** ParticipantService as generated from the contract. It throws `ConnectError`. */
  readonly participants: Client<typeof ParticipantService>;
  /** WebhookService as generated from the contract. It throws `ConnectError`. */
  readonly webhooks: Client<typeof WebhookService>;
  readonly #voiceEvents: Client<typeof VoiceEventService>;

  constructor({ baseUrl, token }: ParlorOptions) {
    const transport = createGrpcWebTransport({ baseUrl, useBinaryFormat: true, interceptors: [bearer(token)] });
    this.rooms = createClient(RoomService, transport);
    this.participants = createClient(ParticipantService, transport);
    this.webhooks = createClient(WebhookService, transport);
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

  /** Changes of a room what `updateMask` names. @throws CallError */
  updateRoom(request: MessageInitShape<typeof UpdateRoomRequestSchema>): Promise<UpdateRoomResponse> {
    return call(this.rooms.updateRoom(request, { timeoutMs: DEADLINE_MS }));
  }

  /**
   * Makes up to 25 rooms. One that fails does not fail the others: `CallError.ofItem` reads its result.
   *
   * @throws CallError
   */
  batchCreateRooms(request: MessageInitShape<typeof BatchCreateRoomsRequestSchema>): Promise<BatchCreateRoomsResponse> {
    return call(this.rooms.batchCreateRooms(request, { timeoutMs: BATCH_DEADLINE_MS }));
  }

  /** Ends up to 25 rooms, each as if alone. @throws CallError */
  batchEndRooms(request: MessageInitShape<typeof BatchEndRoomsRequestSchema>): Promise<BatchEndRoomsResponse> {
    return call(this.rooms.batchEndRooms(request, { timeoutMs: BATCH_DEADLINE_MS }));
  }

  /** Moves somebody into another room of the guild; `confirmed` says whether Discord has told of it already. @throws CallError */
  moveParticipant(request: MessageInitShape<typeof MoveParticipantRequestSchema>): Promise<MoveParticipantResponse> {
    return call(this.participants.moveParticipant(request, { timeoutMs: DEADLINE_MS }));
  }

  /** Takes somebody out of voice. @throws CallError */
  disconnectParticipant(
    request: MessageInitShape<typeof DisconnectParticipantRequestSchema>,
  ): Promise<DisconnectParticipantResponse> {
    return call(this.participants.disconnectParticipant(request, { timeoutMs: DEADLINE_MS }));
  }

  /** Mutes somebody for everybody, or ends that. @throws CallError */
  setParticipantMute(request: MessageInitShape<typeof SetParticipantMuteRequestSchema>): Promise<SetParticipantMuteResponse> {
    return call(this.participants.setParticipantMute(request, { timeoutMs: DEADLINE_MS }));
  }

  /** Lets somebody hear nobody, or ends that. @throws CallError */
  setParticipantDeafen(
    request: MessageInitShape<typeof SetParticipantDeafenRequestSchema>,
  ): Promise<SetParticipantDeafenResponse> {
    return call(this.participants.setParticipantDeafen(request, { timeoutMs: DEADLINE_MS }));
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

  /** The channels of a guild, of these kinds or of all, page after page. Discord is asked. @throws CallError */
  async listChannels(guildId: string, kinds: ChannelKind[] = []): Promise<Channel[]> {
    const found: Channel[] = [];
    let pageToken = "";
    do {
      const page = await call(this.rooms.listChannels({ guildId, kinds, pageToken }, { timeoutMs: DEADLINE_MS }));
      found.push(...page.channels);
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

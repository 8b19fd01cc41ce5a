// Who is in which room, folded from the frames of a subscription.

import { create } from "@bufbuild/protobuf";

import type { Participant } from "../gen/parlor/v1/participants_pb.ts";
import { GuildSchema, Room_State, type Guild, type Room } from "../gen/parlor/v1/rooms_pb.ts";
import { RoomEnded_Reason, UpstreamState, type VoiceEvent } from "../gen/parlor/v1/voice_events_pb.ts";
import type { Frame } from "./position.ts";

/**
 * Who is in which room. Fold every frame into it, in order, and it is the truth as of the last one. Where the subscription
 * asks for some rooms alone, say so here too: whoever leaves them is out of the picture.
 */
export class Picture {
  readonly #guilds = new Map<string, Guild>();
  readonly #rooms = new Map<string, Room>();
  /** By room, then by user. */
  readonly #inside = new Map<string, Map<string, Participant>>();
  /** The room of each user, by guild and user: somebody is in at most one room of a guild. */
  readonly #whereabouts = new Map<string, string>();
  /** The rooms that were asked for; empty for all. */
  readonly #asked: ReadonlySet<string>;
  #whole = false;
  #upstream = UpstreamState.UNSPECIFIED;

  constructor({ channelIds = [] }: { readonly channelIds?: readonly string[] } = {}) {
    this.#asked = new Set(channelIds);
  }

  /** Folds a frame in. */
  fold(frame: Frame): void {
    const { body } = frame;
    switch (body.case) {
      case "hello":
      case "bookmark":
        this.#upstream = body.value.upstreamState;
        break;
      case "snapshotBegin":
        this.#clear();
        break;
      case "snapshotItems":
        body.value.guilds.forEach((guild) => this.#guilds.set(guild.guildId, guild));
        body.value.rooms.forEach((room) => this.#putRoom(room));
        body.value.participants.forEach((participant) => this.#putParticipant(participant));
        break;
      case "snapshotEnd":
        this.#whole = true;
        break;
      case "event":
        this.#apply(body.value);
        break;
    }
  }

  /** Whether a whole snapshot has been folded in. While false, what is shown is a part, or nothing. */
  get isWhole(): boolean {
    return this.#whole;
  }

  /** How Parlor's own connection to Discord stood when it last said so. */
  get upstream(): UpstreamState {
    return this.#upstream;
  }

  /** The guilds, by id. */
  guilds(): Guild[] {
    return sorted(this.#guilds);
  }

  /** The rooms of a guild that have not ended, by id, which is by age. */
  rooms(guildId: string): Room[] {
    return sorted(this.#rooms).filter((room) => room.guildId === guildId);
  }

  /** One room; undefined where there is none, or no longer. */
  room(roomId: string): Room | undefined {
    return this.#rooms.get(roomId);
  }

  /** Who is in a room, by user id. */
  participants(roomId: string): Participant[] {
    return sorted(this.#inside.get(roomId) ?? new Map<string, Participant>());
  }

  #clear(): void {
    this.#guilds.clear();
    this.#rooms.clear();
    this.#inside.clear();
    this.#whereabouts.clear();
    this.#whole = false;
  }

  #apply({ kind }: VoiceEvent): void {
    switch (kind.case) {
      case "roomCreated":
      case "roomUpdated":
        this.#putRoom(kind.value.room);
        break;
      case "roomEnded":
        this.#putRoom(kind.value.room);
        if (kind.value.reason === RoomEnded_Reason.BOT_REMOVED && kind.value.room) {
          this.#dropGuildWithoutRooms(kind.value.room.guildId);
        }
        break;
      case "participantJoined":
      case "participantMoved":
      case "participantUpdated":
        this.#putParticipant(kind.value.participant);
        break;
      case "participantLeft":
        this.#dropParticipant(kind.value.participant);
        break;
      case "guildUpdated":
        this.#putGuild(kind.value.guild, kind.value.left);
        break;
    }
  }

  #putRoom(room: Room | undefined): void {
    if (!room) {
      return;
    }
    if (room.state === Room_State.ENDED) {
      this.#rooms.delete(room.roomId);
      return;
    }
    this.#rooms.set(room.roomId, room);
    if (!this.#guilds.has(room.guildId)) {
      this.#guilds.set(room.guildId, create(GuildSchema, { guildId: room.guildId, available: true }));
    }
  }

  /** An older server says in no other way that a guild is gone. */
  #dropGuildWithoutRooms(guildId: string): void {
    if (this.rooms(guildId).length === 0) {
      this.#guilds.delete(guildId);
    }
  }

  #putGuild(guild: Guild | undefined, left: boolean): void {
    if (guild && left) {
      this.#guilds.delete(guild.guildId);
    } else if (guild) {
      this.#guilds.set(guild.guildId, guild);
    }
  }

  #putParticipant(participant: Participant | undefined): void {
    if (!participant) {
      return;
    }
    this.#dropParticipant(participant);
    const { roomId, userId } = participant;
    if (this.#asked.size > 0 && !this.#asked.has(roomId)) {
      // Gone to where the subscription does not look; nobody would say when they leave from there.
      return;
    }
    let inside = this.#inside.get(roomId);
    if (!inside) {
      this.#inside.set(roomId, (inside = new Map<string, Participant>()));
    }
    inside.set(userId, participant);
    this.#whereabouts.set(person(participant), roomId);
  }

  #dropParticipant(participant: Participant | undefined): void {
    if (!participant) {
      return;
    }
    const roomId = this.#whereabouts.get(person(participant)) ?? "";
    const inside = this.#inside.get(roomId);
    inside?.delete(participant.userId);
    if (inside?.size === 0) {
      this.#inside.delete(roomId);
    }
    this.#whereabouts.delete(person(participant));
  }
}

function person({ guildId, userId }: Participant): string {
  return `${guildId}/${userId}`;
}

function sorted<T>(byId: ReadonlyMap<string, T>): T[] {
  return [...byId].sort(([one], [other]) => bySnowflake(one, other)).map(([, value]) => value);
}

/** Snowflakes are numbers without leading zeros, above what a JavaScript number holds exactly. */
function bySnowflake(one: string, other: string): number {
  return one.length - other.length || (one < other ? -1 : Number(one > other));
}

// What has happened, in words, newest first.

import { timestampDate } from "@bufbuild/protobuf/wkt";

import { Origin, RoomEnded_Reason, type Frame, type Participant, type Picture, type VoiceEvent } from "../client/index.ts";

/** How many entries are kept. */
const KEPT = 60;

/** One line of the activity. */
export interface Entry {
  /** Rises; unlike the log's sequence it never begins anew. */
  readonly id: number;
  readonly at: Date;
  /** Who or what it is about. */
  readonly subject: string;
  /** What happened. */
  readonly text: string;
  /** What the reader should know about how this became known; empty for nothing. */
  readonly remark: string;
}

/** The entries. */
export class Activity {
  #entries: readonly Entry[] = [];
  #last = 0;

  /** Newest first. */
  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** Takes a frame in, before it is folded into the picture: what has ended still has a name there. */
  take(frame: Frame, picture: Picture): void {
    const { body } = frame;
    switch (body.case) {
      case "event":
        this.#event(body.value, picture);
        break;
      case "discontinuity": {
        const { guildId, from, to } = body.value;
        const times = from && to ? ` between ${time(timestampDate(from))} and ${time(timestampDate(to))}` : "";
        this.#add(new Date(), guildName(picture, guildId), `was out of sight${times}; rooms are exact again`, "");
        break;
      }
      case "reset":
        this.#add(new Date(), "Parlor", "sent everything anew", "");
        break;
    }
  }

  #event(event: VoiceEvent, picture: Picture): void {
    const told = inWords(event, picture);
    if (!told) {
      return;
    }
    const at = event.eventTime ? timestampDate(event.eventTime) : new Date();
    this.#add(at, told.subject, told.text, event.origin === Origin.RECONCILE ? "noticed later" : "");
  }

  #add(at: Date, subject: string, text: string, remark: string): void {
    this.#last += 1;
    this.#entries = [{ id: this.#last, at, subject, text, remark }, ...this.#entries].slice(0, KEPT);
  }
}

function inWords({ kind }: VoiceEvent, picture: Picture): { subject: string; text: string } | undefined {
  switch (kind.case) {
    case "roomCreated":
      return { subject: kind.value.room?.displayName ?? "", text: "was created" };
    case "roomEnded": {
      const removed = kind.value.reason === RoomEnded_Reason.BOT_REMOVED;
      return { subject: kind.value.room?.displayName ?? "", text: removed ? "went with its guild" : "ended" };
    }
    case "roomUpdated": {
      const before = picture.room(kind.value.room?.roomId ?? "")?.displayName;
      const now = kind.value.room?.displayName ?? "";
      return before !== undefined && before !== now
        ? { subject: before, text: `is now called ${now}` }
        : { subject: now, text: "changed" };
    }
    case "participantJoined":
      return { subject: nameOf(kind.value.participant), text: `joined ${roomName(picture, kind.value.participant)}` };
    case "participantLeft":
      return { subject: nameOf(kind.value.participant), text: `left ${roomName(picture, kind.value.participant)}` };
    case "participantMoved":
      return { subject: nameOf(kind.value.participant), text: `moved to ${roomName(picture, kind.value.participant)}` };
    default:
      // Mute and camera change all the time; the room shows them.
      return undefined;
  }
}

/** The name to show of somebody. */
export function nameOf(participant: Participant | undefined): string {
  return participant?.displayName || `User ${participant?.userId ?? ""}`;
}

/** A time of day, as the visitor writes it. */
export function time(at: Date): string {
  return at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

function roomName(picture: Picture, participant: Participant | undefined): string {
  return picture.room(participant?.roomId ?? "")?.displayName ?? "a room";
}

function guildName(picture: Picture, guildId: string): string {
  return picture.guilds().find((guild) => guild.guildId === guildId)?.displayName || `Guild ${guildId}`;
}

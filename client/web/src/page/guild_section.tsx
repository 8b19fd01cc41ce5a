import type { VNode } from "preact";

import type { Guild, Participant, Room } from "../client/index.ts";
import { Icon } from "./icons.tsx";
import { RoomCard } from "./room_card.tsx";

/** A room and who is in it. */
export interface RoomWithPeople {
  readonly room: Room;
  readonly people: Participant[];
}

interface GuildSectionProps {
  guild: Guild;
  rooms: RoomWithPeople[];
  /** Whether some rooms are left out because something else is sought. */
  isSought: boolean;
  /** Not set where the visitor may not. */
  onNewRoom: (() => void) | undefined;
  onEndRoom: ((room: Room) => void) | undefined;
  onChangeRoom: ((room: Room) => void) | undefined;
  /** Not set where there are not several that could be ended together. */
  onEndRooms: (() => void) | undefined;
  onPerson: ((person: Participant) => void) | undefined;
}

/** One guild with its rooms. */
export function GuildSection({ guild, rooms, isSought, onNewRoom, ...on }: GuildSectionProps): VNode {
  const { onEndRoom, onChangeRoom, onEndRooms, onPerson } = on;
  const name = guild.displayName || `Guild ${guild.guildId}`;
  const heading = `guild-${guild.guildId}`;
  const people = rooms.reduce((sum, room) => sum + room.people.length, 0);
  return (
    <section class="guild" aria-labelledby={heading}>
      <div class="guild-head">
        <div class="guild-name">
          <h2 id={heading}>{name}</h2>
          {!guild.available && <span class="tag bad">not available on Discord</span>}
          <span class="count">
            {counted(rooms.length, "room")} · {counted(people, "person", "people")}
          </span>
        </div>
        {onEndRooms && (
          <button type="button" class="plain" onClick={onEndRooms} aria-label={`End several rooms in ${name}`}>
            End several
          </button>
        )}
        {onNewRoom && (
          <button type="button" onClick={onNewRoom} aria-label={`New room in ${name}`}>
            <Icon name="plus" /> New room
          </button>
        )}
      </div>
      {rooms.length === 0 ? (
        <p class="empty">{isSought ? "Nothing here is like what you seek." : "No rooms yet."}</p>
      ) : (
        <ul class="rooms">
          {rooms.map(({ room, people: inside }) => (
            <RoomCard
              key={room.roomId}
              room={room}
              people={inside}
              onEnd={onEndRoom && (() => onEndRoom(room))}
              onChange={onChangeRoom && (() => onChangeRoom(room))}
              onPerson={onPerson}
            />
          ))}
        </ul>
      )}
    </section>
  );
}

function counted(number: number, one: string, several = `${one}s`): string {
  return `${number} ${number === 1 ? one : several}`;
}

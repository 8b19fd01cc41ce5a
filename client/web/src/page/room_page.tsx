import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import type { Guild, Participant, Room } from "../client/index.ts";
import { ActivityList } from "./activity_list.tsx";
import { nameOf } from "./activity.ts";
import { ChangeRoomDialog } from "./change_room_dialog.tsx";
import { EndRoomDialog } from "./end_room_dialog.tsx";
import { EndRoomsDialog } from "./end_rooms_dialog.tsx";
import type { Following } from "./following.ts";
import { GuildSection, type RoomWithPeople } from "./guild_section.tsx";
import { NewRoomDialog } from "./new_room_dialog.tsx";
import { PersonDialog } from "./person_dialog.tsx";
import { allows } from "./token.ts";
import { Banners, TopBar } from "./top_bar.tsx";

/** How long the outcome of what the visitor did is shown, in milliseconds. */
const OUTCOME_MS = 6_000;

/** What stands over the page. */
type Dialog =
  | { readonly name: "none" }
  | { readonly name: "new_room"; readonly guild: Guild }
  | { readonly name: "end_room"; readonly room: Room }
  | { readonly name: "change_room"; readonly room: Room }
  | { readonly name: "end_rooms"; readonly guild: Guild }
  | { readonly name: "person"; readonly person: Participant };

/** Rooms and who is in them, live. */
export function RoomPage({ following, onSignOut }: { following: Following; onSignOut: () => void }): VNode {
  const [dialog, setDialog] = useState<Dialog>({ name: "none" });
  const [sought, setSought] = useState("");
  const [outcome, setOutcome] = useState("");
  const main = useRef<HTMLElement>(null);
  const { picture, parlor, claims } = following;
  const mayWrite = allows(claims, "rooms:write");
  const mayChangePeople = allows(claims, "participants:write");
  useEffect(() => {
    const gone = setTimeout(() => setOutcome(""), OUTCOME_MS);
    return () => clearTimeout(gone);
  }, [outcome]);
  const close = (): void => setDialog({ name: "none" });
  const done = (what: string): void => {
    setOutcome(what);
    close();
  };
  // The button that opened the dialog goes with the room, or with who is in it.
  const doneAway = (what: string): void => {
    done(what);
    main.current?.focus();
  };
  const managed = (guild: Guild): RoomWithPeople[] => roomsOf(following, guild).filter(({ room }) => room.managed);

  return (
    <>
      <TopBar following={following} sought={sought} onSeek={setSought} onSignOut={onSignOut} />
      <Banners following={following} />
      <div class="columns">
        <main ref={main} tabIndex={-1} aria-label="Rooms" aria-busy={!picture.isWhole}>
          {!picture.isWhole && <p class="empty">Asking Parlor for the rooms …</p>}
          {picture.isWhole && following.guilds().length === 0 && (
            <p class="empty">The bot is in no guild that this token covers.</p>
          )}
          {following.guilds().map((guild) => (
            <GuildSection
              key={guild.guildId}
              guild={guild}
              rooms={found(roomsOf(following, guild), sought)}
              isSought={sought.trim() !== ""}
              onNewRoom={mayWrite ? () => setDialog({ name: "new_room", guild }) : undefined}
              onEndRoom={mayWrite ? (room) => setDialog({ name: "end_room", room }) : undefined}
              onChangeRoom={mayWrite ? (room) => setDialog({ name: "change_room", room }) : undefined}
              onEndRooms={mayWrite && managed(guild).length > 1 ? () => setDialog({ name: "end_rooms", guild }) : undefined}
              onPerson={mayChangePeople ? (person) => setDialog({ name: "person", person }) : undefined}
            />
          ))}
        </main>
        <ActivityList entries={following.activity.entries} />
      </div>
      <p class="outcome" role="status">
        {outcome}
      </p>
      {dialog.name === "new_room" && (
        <NewRoomDialog
          parlor={parlor}
          guild={dialog.guild}
          onClose={close}
          onMade={done}
        />
      )}
      {dialog.name === "end_room" && (
        <EndRoomDialog
          parlor={parlor}
          room={dialog.room}
          inside={picture.participants(dialog.room.roomId).length}
          onClose={close}
          onEnded={(room) => doneAway(`${room.displayName} has ended.`)}
        />
      )}
      {dialog.name === "change_room" && (
        <ChangeRoomDialog parlor={parlor} room={dialog.room} onClose={close} onChanged={done} />
      )}
      {dialog.name === "end_rooms" && (
        <EndRoomsDialog
          parlor={parlor}
          guild={dialog.guild}
          rooms={managed(dialog.guild)}
          onClose={close}
          onEnded={(count) => doneAway(`${count} ${count === 1 ? "room has" : "rooms have"} ended.`)}
        />
      )}
      {dialog.name === "person" && (
        <PersonDialog
          parlor={parlor}
          person={asOfNow(following, dialog.person)}
          elsewhere={elsewhere(following, dialog.person)}
          onClose={close}
          onDone={doneAway}
        />
      )}
    </>
  );
}

function roomsOf({ picture }: Following, guild: Guild): RoomWithPeople[] {
  return picture.rooms(guild.guildId).map((room) => ({ room, people: picture.participants(room.roomId) }));
}

/** Somebody as they are by now; as they were where they have left. */
function asOfNow({ picture }: Following, person: Participant): Participant {
  const rooms = picture.rooms(person.guildId);
  const everybody = rooms.flatMap(({ roomId }) => picture.participants(roomId));
  return everybody.find(({ userId }) => userId === person.userId) ?? person;
}

/** The rooms of a guild that somebody is not in. */
function elsewhere(following: Following, person: Participant): Room[] {
  const { roomId: here } = asOfNow(following, person);
  return following.picture.rooms(person.guildId).filter(({ roomId }) => roomId !== here);
}

/** The rooms whose name, or somebody in which, is like what is sought. */
function found(rooms: RoomWithPeople[], sought: string): RoomWithPeople[] {
  const wanted = sought.trim().toLocaleLowerCase();
  const isLike = (text: string): boolean => text.toLocaleLowerCase().includes(wanted);
  return rooms.filter(
    ({ room, people }) => isLike(room.displayName) || people.some((one: Participant) => isLike(nameOf(one))),
  );
}

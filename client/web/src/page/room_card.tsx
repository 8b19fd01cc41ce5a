import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { VNode } from "preact";

import { RoomKind, type Participant, type Room } from "../client/index.ts";
import { nameOf, time } from "./activity.ts";
import { Icon, type IconName } from "./icons.tsx";
import { policyInWords } from "./times.ts";

/** How many colours style.css has for faces. */
const FACES = 6;

interface RoomCardProps {
  room: Room;
  people: Participant[];
  /** Not set where the visitor may not. */
  onEnd: (() => void) | undefined;
  onChange: (() => void) | undefined;
  onPerson: ((person: Participant) => void) | undefined;
}

/** One room and who is in it. */
export function RoomCard({ room, people, onEnd, onChange, onPerson }: RoomCardProps): VNode {
  const ends = policyInWords(room.policy);
  const isStage = room.kind === RoomKind.STAGE;
  const isFull = room.userLimit > 0 && people.length >= room.userLimit;
  return (
    <li class={people.length > 0 ? "room card" : "room card vacant"} data-room={room.roomId}>
      <div class="room-head">
        <Icon name={isStage ? "stage" : "voice"} />
        <h3 title={room.displayName}>{room.displayName}</h3>
        <span class={isFull ? "count full" : "count"}>
          <Icon name="people" />
          <span class="unseen">People: </span>
          {people.length}
          {room.userLimit > 0 && ` / ${room.userLimit}`}
          {isFull && <span class="unseen"> (full)</span>}
        </span>
        {onChange && (
          <button type="button" class="plain more" onClick={onChange} aria-label={`Change ${room.displayName}`}>
            <Icon name="more" />
          </button>
        )}
        {onEnd && (
          <button type="button" class="plain" onClick={onEnd} aria-label={`End ${room.displayName}`}>
            End
          </button>
        )}
      </div>
      {(isStage || room.managed) && (
        <p class="tags">
          {isStage && <span class="tag">stage</span>}
          {room.managed && (
            <span class="tag accent" title="Parlor created this room">
              managed
            </span>
          )}
        </p>
      )}
      {room.status !== "" && <p class="status">{room.status}</p>}
      {ends !== "" && (
        <p class="ends">
          <Icon name="clock" /> Ends {ends}
        </p>
      )}
      {people.length > 0 ? (
        <ul class="people" aria-label={`In ${room.displayName}`}>
          {people.map((one) => (
            <Person key={one.userId} one={one} onChange={onPerson && (() => onPerson(one))} />
          ))}
        </ul>
      ) : (
        <p class="nobody">Nobody is here</p>
      )}
    </li>
  );
}

function Person({ one, onChange }: { one: Participant; onChange: (() => void) | undefined }): VNode {
  const name = nameOf(one);
  const since = one.joinedAt && `Here since ${time(timestampDate(one.joinedAt))}`;
  return (
    <li class="person" data-user={one.userId} title={since}>
      <span class={`face face-${face(one.userId)}`} aria-hidden="true">
        {initials(name)}
      </span>
      <span class="name">{name}</span>
      {one.isBot && <span class="tag">{one.isSelf ? "Parlor" : "bot"}</span>}
      {marks(one).map(([icon, meaning]) => (
        <span class="state" key={icon} title={meaning}>
          <Icon name={icon} />
          <span class="unseen">{meaning}</span>
        </span>
      ))}
      {onChange && (
        <button type="button" class="plain more" onClick={onChange} aria-label={`Change ${name}`}>
          <Icon name="more" />
        </button>
      )}
    </li>
  );
}

/** What is particular about somebody: an icon and its meaning. */
function marks(one: Participant): [IconName, string][] {
  const found: [IconName, string][] = [];
  if (one.suppress) {
    found.push(["audience", "in the audience"]);
  }
  if (one.mute || one.selfMute) {
    found.push(["muted", one.mute ? "muted by a moderator" : "muted"]);
  }
  if (one.deaf || one.selfDeaf) {
    found.push(["deaf", one.deaf ? "deafened by a moderator" : "deafened"]);
  }
  if (one.camera) {
    found.push(["camera", "camera on"]);
  }
  if (one.stream) {
    found.push(["stream", "sharing the screen"]);
  }
  return found;
}

/** One of the colours, always the same for the same user. The last digits of a snowflake are a counter: all are used. */
function face(userId: string): number {
  return [...userId].reduce((sum, digit) => (sum * 31 + digit.charCodeAt(0)) % 997, 0) % FACES;
}

function initials(name: string): string {
  const words = name.split(/[\s_.-]+/).filter((word) => word !== "");
  const letters = words.slice(0, 2).map((word) => [...word][0] ?? "");
  return letters.join("").toLocaleUpperCase();
}

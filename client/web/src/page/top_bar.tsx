import type { VNode } from "preact";

import type { Following } from "./following.ts";
import { Icon, Mark } from "./icons.tsx";
import { ofConnection, ofUpstream, type Standing } from "./words.ts";

interface TopBarProps {
  following: Following;
  sought: string;
  onSeek: (text: string) => void;
  onSignOut: () => void;
}

/** Who is looking, for what, and how the connections stand. */
export function TopBar({ following, sought, onSeek, onSignOut }: TopBarProps): VNode {
  const { connection, asOf, picture, claims } = following;
  const parlor = ofConnection(connection, asOf);
  const discord = ofUpstream(picture.upstream, connection);
  const { subject, expiresAt } = claims;
  return (
    <header class="top-bar">
      <h1>
        <Mark /> Parlor
      </h1>
      <label class="seek">
        <Icon name="search" />
        <span class="unseen">Find a room or a person</span>
        <input
          type="search"
          placeholder="Find a room or a person"
          value={sought}
          onInput={(event) => onSeek(event.currentTarget.value)}
        />
      </label>
      <ul class="standings" aria-label="Connections">
        <Pill name="Parlor" standing={parlor} />
        <Pill name="Discord" standing={discord} />
      </ul>
      <div class="account">
        <span class="subject" title={expiresAt && `The token is good until ${expiresAt.toLocaleString()}`}>
          {subject}
        </span>
        <button type="button" onClick={onSignOut}>
          Sign out
        </button>
      </div>
    </header>
  );
}

function Pill({ name, standing }: { name: string; standing: Standing }): VNode {
  return (
    <li class={`pill ${standing.mood}`} data-standing={name.toLowerCase()}>
      <span class="dot" aria-hidden="true" />
      <span class="name">{name}</span> {standing.word}
    </li>
  );
}

/** What the visitor has to know about the connections, where not all is well. */
export function Banners({ following }: { following: Following }): VNode {
  const { connection, asOf, picture } = following;
  const parlor = ofConnection(connection, asOf);
  const discord = ofUpstream(picture.upstream, connection);
  const told = [parlor, discord].filter(({ meaning }) => meaning !== "");
  return (
    <div class="banners" role="status">
      {told.map(({ mood, meaning }) => (
        <p class={`banner ${mood}`} key={meaning}>
          {meaning}
        </p>
      ))}
    </div>
  );
}

// What the page knows, and how it comes to know it.

import {
  CallError,
  Parlor,
  Picture,
  type Frame,
  type Guild,
  type Interruption,
  type StreamItem,
} from "../client/index.ts";
import { Activity } from "./activity.ts";
import { claims, type Claims } from "./token.ts";

/** How the page's own connection to Parlor stands. */
export type Connection =
  | { readonly state: "opening" }
  | { readonly state: "open" }
  /** Lost; it is opened again at a time, in milliseconds since 1970. */
  | { readonly state: "waiting"; readonly why: Interruption; readonly until: number }
  /** Ended for a reason that trying again cannot mend. */
  | { readonly state: "refused"; readonly error: CallError };

/** One visitor's view of Parlor, from signing in to signing out. */
export class Following {
  readonly parlor: Parlor;
  readonly claims: Claims;
  readonly picture = new Picture();
  readonly activity = new Activity();
  readonly #ending = new AbortController();
  readonly #changed: () => void;
  #connection: Connection = { state: "opening" };
  /** When the picture was last known to be the truth. */
  #asOf: Date | undefined;
  #guilds = new Map<string, Guild>();

  /** Begins to follow; `changed` is called after every change of what this shows. */
  constructor(baseUrl: string, token: string, changed: () => void) {
    this.parlor = new Parlor({ baseUrl, token });
    this.claims = claims(token);
    this.#changed = changed;
    void this.#follow();
  }

  get connection(): Connection {
    return this.#connection;
  }

  /** When the picture was last known to be the truth; undefined before the first snapshot. */
  get asOf(): Date | undefined {
    return this.#asOf;
  }

  /** The guilds of the picture, with what Parlor last said of them when it was asked. */
  guilds(): Guild[] {
    return this.picture.guilds().map((guild) => this.#guilds.get(guild.guildId) ?? guild);
  }

  /** Ends it. */
  end(): void {
    this.#ending.abort();
  }

  async #follow(): Promise<void> {
    try {
      for await (const item of this.parlor.events({ signal: this.#ending.signal })) {
        this.#take(item);
        this.#changed();
      }
    } catch (thrown) {
      this.#connection = { state: "refused", error: CallError.from(thrown) };
      this.#changed();
    }
  }

  #take(item: StreamItem): void {
    switch (item.type) {
      case "opening":
        this.#connection = { state: "opening" };
        break;
      case "open":
        this.#connection = { state: "open" };
        break;
      case "interrupted":
        this.#connection = { state: "waiting", why: item.why, until: Date.now() + item.retryInMs };
        break;
      case "frame":
        this.#fold(item.frame);
        break;
    }
  }

  #fold(frame: Frame): void {
    this.activity.take(frame, this.picture);
    this.picture.fold(frame);
    if (frame.cursor !== "") {
      this.#asOf = new Date();
    }
    const { body } = frame;
    // Guilds have no events: their names and outages are asked for with every sign of life, and where one is new.
    const isNews = body.case === "discontinuity" || (body.case === "event" && !this.#knows(body.value.guildId));
    if (body.case === "bookmark" || body.case === "snapshotEnd" || isNews) {
      void this.#askForGuilds();
    }
  }

  #knows(guildId: string): boolean {
    return this.picture.guilds().some((guild) => guild.guildId === guildId && guild.displayName !== "");
  }

  async #askForGuilds(): Promise<void> {
    try {
      const guilds = await this.parlor.listGuilds();
      this.#guilds = new Map(guilds.map((guild) => [guild.guildId, guild]));
      this.#changed();
    } catch {
      // The stream has told of the guilds too, and says what is wrong with the connection.
    }
  }
}

// What the page says about connections and refusals.

import { UpstreamState, type CallError } from "../client/index.ts";
import { time } from "./activity.ts";
import type { Connection } from "./following.ts";

/** How good something is. */
export type Mood = "good" | "busy" | "bad" | "unsure";

/** A state in one or two words, and what it means for the visitor. */
export interface Standing {
  readonly mood: Mood;
  readonly word: string;
  /** Empty where all is well. */
  readonly meaning: string;
}

/** The page's connection to Parlor. */
export function ofConnection(connection: Connection, asOf: Date | undefined): Standing {
  const old = asOf ? ` What you see is from ${time(asOf)}.` : "";
  switch (connection.state) {
    case "open":
      return { mood: "good", word: "connected", meaning: "" };
    case "opening":
      return { mood: "busy", word: "connecting", meaning: asOf ? `Connecting to Parlor again.${old}` : "" };
    case "waiting":
      return { mood: "bad", word: "reconnecting", meaning: `${whyWaiting(connection)} Trying again.${old}` };
    case "refused":
      return { mood: "bad", word: "ended", meaning: `${refusal(connection.error)}${old}` };
  }
}

/** Parlor's connection to Discord, of which only Parlor can tell. */
export function ofUpstream(upstream: UpstreamState, connection: Connection): Standing {
  switch (connection.state === "open" ? upstream : UpstreamState.UNSPECIFIED) {
    case UpstreamState.LIVE:
      return { mood: "good", word: "live", meaning: "" };
    case UpstreamState.RESUMING:
      return {
        mood: "busy",
        word: "resuming",
        meaning: "Parlor lost its connection to Discord and is resuming it. Discord will tell what was missed.",
      };
    case UpstreamState.RECONCILING:
      return {
        mood: "busy",
        word: "comparing",
        meaning: "Parlor has a new session with Discord and is comparing what it knew with what Discord says now.",
      };
    case UpstreamState.STALE:
      return {
        mood: "bad",
        word: "not connected",
        meaning: "Parlor has no connection to Discord. What you see is what was last known.",
      };
    case UpstreamState.FAILED:
      return {
        mood: "bad",
        word: "refused",
        meaning: "Discord refused Parlor's bot. The operator has to act; what you see is what was last known.",
      };
    default:
      return { mood: "unsure", word: "unknown", meaning: "" };
  }
}

/** A refusal in words that say what to do. */
export function refusal(error: CallError): string {
  switch (error.reason) {
    case "TOKEN_INVALID":
    case "TOKEN_MISSING":
      return "Parlor does not accept this token. Ask for one from the issuer that Parlor trusts.";
    case "TOKEN_EXPIRED":
      return "This token has expired. Sign in with a new one.";
    case "SCOPE_MISSING":
      return `This token lacks the scope ${error.metadata["scope"] ?? "that this needs"}.`;
    case "GUILD_NOT_GRANTED":
      return "This token does not cover that guild.";
    case "ROOM_NOT_MANAGED":
      return "Parlor did not create this room.";
    case "ROOM_UNKNOWN":
      return "This room no longer exists.";
    case "INVALID_ARGUMENT":
      return "Some fields are not right.";
    case "CREATE_OUTCOME_UNKNOWN":
      return "Discord did not say whether it made the room. Trying again is safe.";
    default:
      return `${capitalised(error.message || "Parlor did not answer")}.${wait(error)}`;
  }
}

/** Whether a token is what stands in the way. */
export function isAboutToken(error: CallError): boolean {
  return error.reason.startsWith("TOKEN_") || error.reason === "SCOPE_MISSING";
}

function whyWaiting({ why }: Extract<Connection, { state: "waiting" }>): string {
  switch (why.kind) {
    case "draining":
      return "Parlor is restarting.";
    case "silent":
      return "Parlor has fallen silent.";
    case "gap":
      return "Something was lost on the way.";
    case "ended":
      return "Parlor ended the connection.";
    case "failed":
      return why.error.reason === "" ? "Parlor cannot be reached." : refusal(why.error);
  }
}

function wait({ retryAfterMs }: CallError): string {
  return retryAfterMs === undefined ? "" : ` Try again in ${Math.max(1, Math.ceil(retryAfterMs / 1_000))} s.`;
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

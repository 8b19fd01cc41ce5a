import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { VNode } from "preact";
import { useRef, useState } from "preact/hooks";

import {
  CallError,
  CreateRoomRequestSchema,
  RoomKind,
  type CreateRoomRequest,
  type Guild,
  type Parlor,
  type RoomPolicy,
} from "../client/index.ts";
import { inParts, type Result } from "./batch.ts";
import { Dialog } from "./dialog.tsx";
import { TextField, wrongAbout } from "./field.tsx";
import { PolicyFields, policyOf, written } from "./policy_fields.tsx";
import { Results } from "./results.tsx";
import { refusal } from "./words.ts";

/** As many rooms as one visit makes at most. */
const MOST_ROOMS = 25;

/** What the visitor has filled in, as text. */
const EMPTY = {
  displayName: "",
  kind: RoomKind.VOICE,
  userLimit: "",
  reason: "",
  count: "",
  kilobits: "",
  privateTo: "",
  policy: written(undefined),
};
type Form = typeof EMPTY;

/** Where making the rooms stands. */
type Progress =
  | { readonly state: "filling_in" }
  | { readonly state: "making"; readonly results: readonly Result[]; readonly of: number }
  | { readonly state: "refused"; readonly error: CallError }
  /** Several rooms, of which not all were made. */
  | { readonly state: "made_in_part"; readonly results: readonly Result[] };

interface NewRoomDialogProps {
  parlor: Parlor;
  guild: Guild;
  onClose: () => void;
  /** Tells what was made, in words. */
  onMade: (what: string) => void;
}

/** Makes a room in a guild, or several that differ in their number alone. */
export function NewRoomDialog({ parlor, guild, onClose, onMade }: NewRoomDialogProps): VNode {
  const [progress, setProgress] = useState<Progress>({ state: "filling_in" });
  const [form, setForm] = useState<Form>(EMPTY);
  const [isMore, setMore] = useState(false);
  // One id for this room: pressing the button again after an answer that was lost makes no second one. Another room
  // needs another id, so it is renewed with every change.
  const requestId = useRef<string>(crypto.randomUUID());
  const set = <Name extends keyof Form>(name: Name) => (value: Form[Name]): void => {
    requestId.current = crypto.randomUUID();
    setForm((before) => ({ ...before, [name]: value }));
  };
  const submit = async (): Promise<void> => {
    if (progress.state === "making") {
      return;
    }
    const policy = policyOf(form.policy);
    if (!policy) {
      setMore(true);
      return;
    }
    const requests = requestsFor(form, policy, guild, requestId.current);
    const making = (results: readonly Result[]): void => setProgress({ state: "making", results, of: requests.length });
    making([]);
    try {
      const [only] = requests;
      if (only && requests.length === 1) {
        await parlor.createRoom(only);
        onMade(`${only.displayName} was created.`);
        return;
      }
      const results = await inParts(requests, (part) => createAll(parlor, part), making);
      if (results.every(({ error }) => error === undefined)) {
        onMade(`${results.length} rooms were created.`);
      } else {
        setProgress({ state: "made_in_part", results });
      }
    } catch (thrown) {
      setProgress({ state: "refused", error: CallError.from(thrown) });
    }
  };

  const title = `New room in ${guild.displayName}`;
  if (progress.state === "made_in_part") {
    return (
      <Dialog title={title} onClose={onClose} onSubmit={onClose}>
        <Results results={progress.results} of={progress.results.length} done="was created" />
        <div class="buttons">
          <button type="submit" class="primary" autoFocus>
            Close
          </button>
        </div>
      </Dialog>
    );
  }
  const error = progress.state === "refused" ? progress.error : undefined;
  const isMaking = progress.state === "making";
  const hidden = ["bitrate_bps", "private", "policy.empty_timeout", "policy.departure_timeout", "policy.max_duration"];
  const isHiddenWrong = hidden.some((field) => error?.wrongFields.some((one) => one.field.startsWith(field)));
  return (
    <Dialog title={title} onClose={onClose} onSubmit={() => void submit()}>
      {error && (
        <p class="problem" role="alert">
          {refusal(error)}
        </p>
      )}
      <TextField
        label="Name"
        name="display_name"
        wrong={wrongAbout(error, "display_name", "The name")}
        maxLength={100}
        autoFocus
        value={form.displayName}
        onValue={set("displayName")}
      />
      <fieldset class="choice">
        <legend>Kind</legend>
        {([[RoomKind.VOICE, "Voice"], [RoomKind.STAGE, "Stage"]] as const).map(([value, label]) => (
          <label key={label}>
            <input type="radio" name="kind" checked={form.kind === value} onChange={() => set("kind")(value)} />
            {label}
          </label>
        ))}
      </fieldset>
      <TextField
        label="People at most (empty for no limit)"
        name="user_limit"
        wrong={wrongAbout(error, "user_limit", "This number")}
        maxLength={5}
        numeric
        value={form.userLimit}
        onValue={set("userLimit")}
      />
      <details open={isMore || isHiddenWrong} onToggle={(event) => setMore(event.currentTarget.open)}>
        <summary>When it ends, who may see it, several at once</summary>
        <div class="more-fields">
          <PolicyFields written={form.policy} error={error} onWrite={set("policy")} />
          <TextField
            label="Only for these users (their ids; empty for everybody)"
            name="private"
            wrong={wrongAbout(error, "private", "This list") ?? wrongAbout(error, "private.user_ids", "One of these")}
            value={form.privateTo}
            onValue={set("privateTo")}
          />
          <div class="pair">
            <TextField
              label="kbit/s (empty for 64)"
              name="bitrate_bps"
              wrong={wrongAbout(error, "bitrate_bps", "The bitrate, in bits,")}
              maxLength={3}
              numeric
              value={form.kilobits}
              onValue={set("kilobits")}
            />
            <TextField
              label={`How many (up to ${MOST_ROOMS})`}
              name="count"
              wrong={undefined}
              maxLength={2}
              numeric
              value={form.count}
              onValue={set("count")}
            />
          </div>
        </div>
      </details>
      <TextField
        label="Reason, for the guild's audit log"
        name="audit_log_reason"
        wrong={wrongAbout(error, "audit_log_reason", "The reason")}
        maxLength={460}
        value={form.reason}
        onValue={set("reason")}
      />
      {isMaking && progress.of > 1 && <Results results={progress.results} of={progress.of} done="was created" />}
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="submit" class="primary" aria-disabled={isMaking}>
          {isMaking ? "Creating …" : countOf(form) > 1 ? `Create ${countOf(form)} rooms` : "Create room"}
        </button>
      </div>
    </Dialog>
  );
}

function countOf({ count }: Form): number {
  return Math.min(Math.max(Number(count) || 1, 1), MOST_ROOMS);
}

/** One request for each room. Those of several are told apart by their number, and so are their ids. */
function requestsFor(form: Form, policy: RoomPolicy, guild: Guild, requestId: string): CreateRoomRequest[] {
  const userIds = form.privateTo.split(/[\s,;]+/).filter((id) => id !== "");
  const common: MessageInitShape<typeof CreateRoomRequestSchema> = {
    guildId: guild.guildId,
    kind: form.kind,
    userLimit: Number(form.userLimit) || 0,
    bitrateBps: (Number(form.kilobits) || 0) * 1_000,
    auditLogReason: form.reason.trim(),
    policy,
    ...(userIds.length > 0 && { private: { userIds } }),
  };
  const name = form.displayName.trim();
  const count = countOf(form);
  return Array.from({ length: count }, (_, index) =>
    create(CreateRoomRequestSchema, {
      ...common,
      displayName: count === 1 || name === "" ? name : `${name} ${index + 1}`,
      requestId: numbered(requestId, index),
    }),
  );
}

/** The UUID with its last two digits replaced by a number below 256, so that a repeat names each room the same. */
function numbered(uuid: string, index: number): string {
  return index === 0 ? uuid : uuid.slice(0, -2) + ((Number.parseInt(uuid.slice(-2), 16) + index) % 256).toString(16).padStart(2, "0");
}

async function createAll(parlor: Parlor, requests: readonly CreateRoomRequest[]): Promise<Result[]> {
  const { results } = await parlor.batchCreateRooms({ requests: [...requests] });
  return results.map(({ outcome }, index) => ({
    name: requests[index]?.displayName || `Room ${index + 1}`,
    error: outcome.case === "failure" ? CallError.ofItem(outcome.value) : undefined,
  }));
}

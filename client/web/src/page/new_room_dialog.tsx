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
import { CategoryField } from "./category_field.tsx";
import { Dialog } from "./dialog.tsx";
import { TextField, wrongAbout } from "./field.tsx";
import { readIds, readLabels } from "./labels.ts";
import { LabelsField } from "./labels_field.tsx";
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
  categoryId: "",
  region: "",
  status: "",
  labels: "",
  hasInvite: false,
  policy: written(undefined),
};
type Form = typeof EMPTY;

/** Where making the rooms stands. */
type Progress =
  | { readonly state: "filling_in" }
  | { readonly state: "making"; readonly results: readonly Result[]; readonly of: number }
  | { readonly state: "refused"; readonly error: CallError }
  /** Rooms of which there is more to tell: not all were made, or invites were. */
  | { readonly state: "made"; readonly results: readonly Result[] };

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
  const [isPlaced, setPlaced] = useState(false);
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
    const [policy, labels] = [policyOf(form.policy), readLabels(form.labels)];
    if (!policy || labels === "wrong") {
      setMore(isMore || !policy);
      setPlaced(isPlaced || labels === "wrong");
      return;
    }
    const requests = requestsFor(form, policy, labels, guild, requestId.current);
    const making = (results: readonly Result[]): void => setProgress({ state: "making", results, of: requests.length });
    making([]);
    try {
      const [only] = requests;
      if (only && requests.length === 1) {
        const { invite } = await parlor.createRoom(only);
        if (invite) {
          setProgress({ state: "made", results: [{ name: only.displayName, error: undefined, link: invite.url }] });
        } else {
          onMade(`${only.displayName} was created.`);
        }
        return;
      }
      const results = await inParts(requests, (part) => createAll(parlor, part), making);
      if (results.every(({ error, link }) => error === undefined && link === undefined)) {
        onMade(`${results.length} rooms were created.`);
      } else {
        setProgress({ state: "made", results });
      }
    } catch (thrown) {
      setProgress({ state: "refused", error: CallError.from(thrown) });
    }
  };

  const title = `New room in ${guild.displayName}`;
  if (progress.state === "made") {
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
  const isWrong = (fields: readonly string[]): boolean =>
    fields.some((field) => error?.wrongFields.some((one) => one.field.startsWith(field)));
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
      <details open={isMore || isWrong(hidden)} onToggle={(event) => setMore(event.currentTarget.open)}>
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
      <details
        open={isPlaced || isWrong(["category_id", "region", "status", "labels", "invite"])}
        onToggle={(event) => setPlaced(event.currentTarget.open)}
      >
        <summary>Where it stands, what it shows, an invite</summary>
        <div class="more-fields">
          <CategoryField
            parlor={parlor}
            guildId={guild.guildId}
            value={form.categoryId}
            error={error}
            onValue={set("categoryId")}
          />
          <TextField
            label="Voice region, such as rotterdam (empty to let Discord choose)"
            name="region"
            wrong={wrongAbout(error, "region", "This region")}
            maxLength={100}
            value={form.region}
            onValue={set("region")}
          />
          {form.kind === RoomKind.VOICE && (
            <TextField
              label="Status line"
              name="status"
              wrong={wrongAbout(error, "status", "This line")}
              maxLength={500}
              value={form.status}
              onValue={set("status")}
            />
          )}
          <LabelsField value={form.labels} error={error} onValue={set("labels")} />
          <label class="check">
            <input
              type="checkbox"
              name="invite"
              checked={form.hasInvite}
              onChange={(event) => set("hasInvite")(event.currentTarget.checked)}
            />
            Make an invite, which anybody can use
          </label>
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
function requestsFor(
  form: Form,
  policy: RoomPolicy,
  labels: Record<string, string>,
  guild: Guild,
  requestId: string,
): CreateRoomRequest[] {
  const userIds = readIds(form.privateTo);
  const common: MessageInitShape<typeof CreateRoomRequestSchema> = {
    guildId: guild.guildId,
    kind: form.kind,
    userLimit: Number(form.userLimit) || 0,
    bitrateBps: (Number(form.kilobits) || 0) * 1_000,
    auditLogReason: form.reason.trim(),
    policy,
    labels,
    categoryId: form.categoryId,
    region: form.region.trim(),
    status: form.kind === RoomKind.VOICE ? form.status.trim() : "",
    ...(form.hasInvite && { invite: {} }),
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
    link: outcome.case === "created" ? outcome.value.invite?.url : undefined,
  }));
}

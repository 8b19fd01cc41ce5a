import type { VNode } from "preact";
import { useRef, useState } from "preact/hooks";

import { CallError, RoomKind, type Parlor, type Room } from "../client/index.ts";
import { CategoryField } from "./category_field.tsx";
import { Dialog } from "./dialog.tsx";
import { Field, TextField, wrongAbout } from "./field.tsx";
import { labelsInWords, readIds, readLabels } from "./labels.ts";
import { LabelsField } from "./labels_field.tsx";
import { PolicyFields, policyOf, written } from "./policy_fields.tsx";
import { refusal } from "./words.ts";

/** Where changing the room stands. */
type Progress =
  | { readonly state: "filling_in" }
  | { readonly state: "changing" }
  | { readonly state: "refused"; readonly error: CallError };

/** Who may see a room from now on. Who may now only Discord knows. */
type Access = "as_it_is" | "everybody" | "private";
const ACCESS: readonly (readonly [Access, string])[] = [
  ["as_it_is", "As it is"],
  ["everybody", "Everybody whom its category lets in"],
  ["private", "Only these users"],
];

interface ChangeRoomDialogProps {
  parlor: Parlor;
  /** As it was when the dialog was opened: what differs from it is what the visitor has changed. */
  room: Room;
  onClose: () => void;
  onChanged: (what: string) => void;
}

/** Changes of a room what the visitor changes in the form, and nothing else. */
export function ChangeRoomDialog({ parlor, room, onClose, onChanged }: ChangeRoomDialogProps): VNode {
  const before = useRef({
    displayName: room.displayName,
    status: room.status,
    userLimit: room.userLimit === 0 ? "" : String(room.userLimit),
    policy: written(room.policy),
    categoryId: room.categoryId,
    labels: labelsInWords(room.labels),
    access: "as_it_is" as Access,
    privateTo: "",
  }).current;
  const [progress, setProgress] = useState<Progress>({ state: "filling_in" });
  const [form, setForm] = useState(before);
  const [reason, setReason] = useState("");
  const set = <Name extends keyof typeof form>(name: Name) => (value: (typeof form)[Name]): void =>
    setForm((old) => ({ ...old, [name]: value }));

  const submit = async (): Promise<void> => {
    const [policy, labels] = [policyOf(form.policy), readLabels(form.labels)];
    if (progress.state === "changing" || !policy || labels === "wrong") {
      return;
    }
    const paths = [
      ...(form.displayName === before.displayName ? [] : ["display_name"]),
      ...(form.status === before.status ? [] : ["status"]),
      ...(form.userLimit === before.userLimit ? [] : ["user_limit"]),
      ...(form.categoryId === before.categoryId ? [] : ["category_id"]),
      ...(form.labels === before.labels ? [] : ["labels"]),
      ...(form.access === "as_it_is" ? [] : ["private"]),
      ...(JSON.stringify(form.policy) === JSON.stringify(before.policy) ? [] : ["policy"]),
    ];
    if (paths.length === 0) {
      onClose();
      return;
    }
    setProgress({ state: "changing" });
    try {
      const { room: changed } = await parlor.updateRoom({
        roomId: room.roomId,
        updateMask: { paths },
        displayName: form.displayName.trim(),
        status: form.status,
        userLimit: Number(form.userLimit) || 0,
        policy,
        categoryId: form.categoryId,
        labels,
        ...(form.access === "private" && { private: { userIds: readIds(form.privateTo) } }),
        force: !room.managed,
        auditLogReason: reason.trim(),
        requestId: crypto.randomUUID(),
      });
      onChanged(`${changed?.displayName ?? room.displayName} was changed.`);
    } catch (thrown) {
      setProgress({ state: "refused", error: CallError.from(thrown) });
    }
  };

  const error = progress.state === "refused" ? progress.error : undefined;
  return (
    <Dialog title={`Change ${room.displayName}`} onClose={onClose} onSubmit={() => void submit()}>
      {error && (
        <p class="problem" role="alert">
          {refusal(error)}
        </p>
      )}
      {!room.managed && (
        <p>
          <strong>Parlor did not create this room.</strong> Changing it needs a token with the scope <code>ops</code>.
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
      {room.kind === RoomKind.VOICE && (
        <TextField
          label="Status line"
          name="status"
          wrong={wrongAbout(error, "status", "This line")}
          maxLength={500}
          value={form.status}
          onValue={set("status")}
        />
      )}
      <TextField
        label="People at most (empty for no limit)"
        name="user_limit"
        wrong={wrongAbout(error, "user_limit", "This number")}
        maxLength={5}
        numeric
        value={form.userLimit}
        onValue={set("userLimit")}
      />
      <CategoryField
        parlor={parlor}
        guildId={room.guildId}
        value={form.categoryId}
        error={error}
        onValue={set("categoryId")}
      />
      {room.managed && <LabelsField value={form.labels} error={error} onValue={set("labels")} />}
      <Field label="Who may see and join it" name="access" wrong={wrongAbout(error, "private", "This list")}>
        {(described) => (
          <select
            {...described}
            value={form.access}
            onChange={(event) => set("access")(event.currentTarget.value as Access)}
          >
            {ACCESS.map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        )}
      </Field>
      {form.access === "private" && (
        <TextField
          label="Their ids"
          name="private"
          wrong={wrongAbout(error, "private.user_ids", "One of these")}
          value={form.privateTo}
          onValue={set("privateTo")}
        />
      )}
      {room.managed && <PolicyFields written={form.policy} error={error} onWrite={set("policy")} />}
      <TextField
        label="Reason, for the guild's audit log"
        name="audit_log_reason"
        wrong={wrongAbout(error, "audit_log_reason", "The reason")}
        maxLength={460}
        value={reason}
        onValue={setReason}
      />
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="submit" class="primary" aria-disabled={progress.state === "changing"}>
          {progress.state === "changing" ? "Changing …" : "Change room"}
        </button>
      </div>
    </Dialog>
  );
}

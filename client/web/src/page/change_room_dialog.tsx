import type { VNode } from "preact";
import { useRef, useState } from "preact/hooks";

import { CallError, RoomKind, type Parlor, type Room } from "../client/index.ts";
import { Dialog } from "./dialog.tsx";
import { TextField, wrongAbout } from "./field.tsx";
import { PolicyFields, policyOf, written } from "./policy_fields.tsx";
import { refusal } from "./words.ts";

/** Where changing the room stands. */
type Progress =
  | { readonly state: "filling_in" }
  | { readonly state: "changing" }
  | { readonly state: "refused"; readonly error: CallError };

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
  }).current;
  const [progress, setProgress] = useState<Progress>({ state: "filling_in" });
  const [form, setForm] = useState(before);
  const [reason, setReason] = useState("");
  const set = <Name extends keyof typeof form>(name: Name) => (value: (typeof form)[Name]): void =>
    setForm((old) => ({ ...old, [name]: value }));

  const submit = async (): Promise<void> => {
    const policy = policyOf(form.policy);
    if (progress.state === "changing" || !policy) {
      return;
    }
    const paths = [
      ...(form.displayName === before.displayName ? [] : ["display_name"]),
      ...(form.status === before.status ? [] : ["status"]),
      ...(form.userLimit === before.userLimit ? [] : ["user_limit"]),
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

import type { VNode } from "preact";
import { useRef, useState } from "preact/hooks";

import { CallError, RoomKind, type Guild, type Parlor, type Room } from "../client/index.ts";
import { Dialog } from "./dialog.tsx";
import { refusal } from "./words.ts";

/** Where making the room stands. */
type Progress =
  | { readonly state: "filling_in" }
  | { readonly state: "making" }
  | { readonly state: "refused"; readonly error: CallError };

interface NewRoomDialogProps {
  parlor: Parlor;
  guild: Guild;
  onClose: () => void;
  onMade: (room: Room) => void;
}

/** Makes a room in a guild. */
export function NewRoomDialog({ parlor, guild, onClose, onMade }: NewRoomDialogProps): VNode {
  const [progress, setProgress] = useState<Progress>({ state: "filling_in" });
  const [displayName, setDisplayName] = useState("");
  const [kind, setKind] = useState(RoomKind.VOICE);
  const [userLimit, setUserLimit] = useState("");
  const [reason, setReason] = useState("");
  // One id for this room: pressing the button again after an answer that was lost makes no second one. Another room
  // needs another id, so it is renewed with every change.
  const requestId = useRef<string>(crypto.randomUUID());
  const change = <T,>(set: (value: T) => void, value: T): void => {
    requestId.current = crypto.randomUUID();
    set(value);
  };

  const submit = async (): Promise<void> => {
    if (progress.state === "making") {
      return;
    }
    setProgress({ state: "making" });
    try {
      const { room } = await parlor.createRoom({
        guildId: guild.guildId,
        displayName: displayName.trim(),
        kind,
        userLimit: Number(userLimit) || 0,
        auditLogReason: reason.trim(),
        requestId: requestId.current,
      });
      if (room) {
        onMade(room);
      }
    } catch (thrown) {
      setProgress({ state: "refused", error: CallError.from(thrown) });
    }
  };

  const error = progress.state === "refused" ? progress.error : undefined;
  // The server's words go on where the field's name ends.
  const wrong = (field: string, called: string): string | undefined => {
    const found = error?.wrongFields.find((one) => one.field === field);
    return found && `${called} ${found.description}.`;
  };
  return (
    <Dialog title={`New room in ${guild.displayName}`} onClose={onClose} onSubmit={() => void submit()}>
      {error && (
        <p class="problem" role="alert">
          {refusal(error)}
        </p>
      )}
      <Field label="Name" name="display_name" wrong={wrong("display_name", "The name")}>
        {(described) => (
          <input
            {...described}
            type="text"
            maxLength={100}
            autocomplete="off"
            autoFocus
            value={displayName}
            onInput={(event) => change(setDisplayName, event.currentTarget.value)}
          />
        )}
      </Field>
      <fieldset class="choice">
        <legend>Kind</legend>
        {([[RoomKind.VOICE, "Voice"], [RoomKind.STAGE, "Stage"]] as const).map(([value, label]) => (
          <label key={label}>
            <input type="radio" name="kind" checked={kind === value} onChange={() => change(setKind, value)} />
            {label}
          </label>
        ))}
      </fieldset>
      <Field label="People at most (empty for no limit)" name="user_limit" wrong={wrong("user_limit", "This number")}>
        {(described) => (
          <input
            {...described}
            type="text"
            inputMode="numeric"
            autocomplete="off"
            value={userLimit}
            onInput={(event) => change(setUserLimit, event.currentTarget.value.replace(/\D/g, "").slice(0, 5))}
          />
        )}
      </Field>
      <Field label="Reason, for the guild's audit log" name="audit_log_reason" wrong={wrong("audit_log_reason", "The reason")}>
        {(described) => (
          <input
            {...described}
            type="text"
            maxLength={460}
            autocomplete="off"
            value={reason}
            onInput={(event) => change(setReason, event.currentTarget.value)}
          />
        )}
      </Field>
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="submit" class="primary" aria-disabled={progress.state === "making"}>
          {progress.state === "making" ? "Creating …" : "Create room"}
        </button>
      </div>
    </Dialog>
  );
}

/** What ties an input to its field. */
interface Described {
  name: string;
  "aria-invalid": boolean;
  "aria-describedby": string | undefined;
}

interface FieldProps {
  label: string;
  name: string;
  /** What is wrong about it. */
  wrong: string | undefined;
  children: (described: Described) => VNode;
}

function Field({ label, name, wrong, children }: FieldProps): VNode {
  const id = `wrong-${name}`;
  return (
    <div class="field">
      <label>
        {label}
        {children({ name, "aria-invalid": wrong !== undefined, "aria-describedby": wrong && id })}
      </label>
      {wrong && (
        <p class="wrong" id={id}>
          {wrong}
        </p>
      )}
    </div>
  );
}

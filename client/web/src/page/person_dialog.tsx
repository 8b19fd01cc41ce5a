import type { VNode } from "preact";
import { useState } from "preact/hooks";

import { CallError, type Parlor, type Participant, type Room } from "../client/index.ts";
import { nameOf } from "./activity.ts";
import { Dialog } from "./dialog.tsx";
import { Field, TextField, wrongAbout } from "./field.tsx";
import { refusal } from "./words.ts";

/** Where changing somebody stands. */
type Progress =
  | { readonly state: "choosing" }
  | { readonly state: "changing" }
  | { readonly state: "refused"; readonly error: CallError };

interface PersonDialogProps {
  parlor: Parlor;
  person: Participant;
  /** The guild's other rooms. */
  elsewhere: readonly Room[];
  onClose: () => void;
  /** Tells what was done, in words. */
  onDone: (what: string) => void;
}

/** Moves, mutes, deafens or disconnects somebody. */
export function PersonDialog({ parlor, person, elsewhere, onClose, onDone }: PersonDialogProps): VNode {
  const [progress, setProgress] = useState<Progress>({ state: "choosing" });
  const [reason, setReason] = useState("");
  const [wish, setWish] = useState("");
  // The room that was wished for may end while the dialog is open.
  const target = elsewhere.find(({ roomId }) => roomId === wish) ?? elsewhere[0];
  const name = nameOf(person);
  const isChanging = progress.state === "changing";

  const change = async (carryOut: (who: Who) => Promise<unknown>, what: string): Promise<void> => {
    if (isChanging) {
      return;
    }
    setProgress({ state: "changing" });
    try {
      await carryOut({ guildId: person.guildId, userId: person.userId, auditLogReason: reason.trim(), requestId: crypto.randomUUID() });
      onDone(`${name} ${what}.`);
    } catch (thrown) {
      setProgress({ state: "refused", error: CallError.from(thrown) });
    }
  };
  const move = (): void => {
    if (target) {
      const { roomId: toRoomId, displayName } = target;
      void change((who) => parlor.moveParticipant({ ...who, toRoomId }), `was moved to ${displayName}`);
    }
  };
  const mute = (): void =>
    void change(
      (who) => parlor.setParticipantMute({ ...who, mute: !person.mute }),
      person.mute ? "is muted no longer" : "was muted",
    );
  const deafen = (): void =>
    void change(
      (who) => parlor.setParticipantDeafen({ ...who, deaf: !person.deaf }),
      person.deaf ? "is deafened no longer" : "was deafened",
    );
  const disconnect = (): void => void change((who) => parlor.disconnectParticipant(who), "was disconnected");

  const error = progress.state === "refused" ? progress.error : undefined;
  return (
    <Dialog title={name} onClose={onClose} onSubmit={move}>
      {error && (
        <p class="problem" role="alert">
          {refusal(error)}
        </p>
      )}
      <TextField
        label="Reason, for the guild's audit log"
        name="audit_log_reason"
        wrong={wrongAbout(error, "audit_log_reason", "The reason")}
        maxLength={460}
        value={reason}
        onValue={setReason}
      />
      {target && (
        <div class="row">
          <Field label="Into another room" name="to_room_id" wrong={undefined}>
            {(described) => (
              <select {...described} value={target.roomId} onChange={(event) => setWish(event.currentTarget.value)}>
                {elsewhere.map(({ roomId, displayName }) => (
                  <option key={roomId} value={roomId}>
                    {displayName}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <button type="submit" aria-disabled={isChanging}>
            Move
          </button>
        </div>
      )}
      <div class="row">
        <button type="button" onClick={mute} aria-disabled={isChanging}>
          {person.mute ? "Unmute" : "Mute"}
        </button>
        <button type="button" onClick={deafen} aria-disabled={isChanging}>
          {person.deaf ? "Undeafen" : "Deafen"}
        </button>
        <button type="button" class="danger" onClick={disconnect} aria-disabled={isChanging}>
          Disconnect
        </button>
      </div>
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

/** What every change of somebody names. */
interface Who {
  readonly guildId: string;
  readonly userId: string;
  readonly auditLogReason: string;
  readonly requestId: string;
}

import type { VNode } from "preact";
import { useState } from "preact/hooks";

import { CallError, type Guild, type Parlor, type Room } from "../client/index.ts";
import { inParts, type Result } from "./batch.ts";
import { Dialog } from "./dialog.tsx";
import { TextField } from "./field.tsx";
import type { RoomWithPeople } from "./guild_section.tsx";
import { Results } from "./results.tsx";
import { refusal } from "./words.ts";

/** Where ending the rooms stands. */
type Progress =
  | { readonly state: "choosing" }
  | { readonly state: "ending"; readonly results: readonly Result[]; readonly of: number }
  | { readonly state: "refused"; readonly error: CallError }
  /** Some of them have not ended. */
  | { readonly state: "ended_in_part"; readonly results: readonly Result[] };

interface EndRoomsDialogProps {
  parlor: Parlor;
  guild: Guild;
  /** The guild's rooms that Parlor made. */
  rooms: readonly RoomWithPeople[];
  onClose: () => void;
  /** Tells how many have ended. */
  onEnded: (count: number) => void;
}

/** Ends those rooms of a guild that the visitor chooses. */
export function EndRoomsDialog({ parlor, guild, rooms, onClose, onEnded }: EndRoomsDialogProps): VNode {
  const [progress, setProgress] = useState<Progress>({ state: "choosing" });
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [reason, setReason] = useState("");
  // A room that ends meanwhile is no choice any more.
  const wanted = rooms.filter(({ room }) => chosen.has(room.roomId)).map(({ room }) => room);
  const choose = (roomId: string, isChosen: boolean): void => {
    const others = [...chosen].filter((id) => id !== roomId);
    setChosen(new Set(isChosen ? [...others, roomId] : others));
  };

  const submit = async (): Promise<void> => {
    if (progress.state === "ending" || wanted.length === 0) {
      return;
    }
    const ending = (results: readonly Result[]): void => setProgress({ state: "ending", results, of: wanted.length });
    ending([]);
    try {
      const results = await inParts(wanted, (part) => endAll(parlor, part, reason.trim()), ending);
      if (results.every(({ error }) => error === undefined)) {
        onEnded(results.length);
      } else {
        setProgress({ state: "ended_in_part", results });
      }
    } catch (thrown) {
      setProgress({ state: "refused", error: CallError.from(thrown) });
    }
  };

  const title = `End rooms in ${guild.displayName}`;
  if (progress.state === "ended_in_part") {
    return (
      <Dialog title={title} onClose={onClose} onSubmit={onClose}>
        <Results results={progress.results} of={progress.results.length} done="has ended" />
        <div class="buttons">
          <button type="submit" class="primary" autoFocus>
            Close
          </button>
        </div>
      </Dialog>
    );
  }
  const isEnding = progress.state === "ending";
  return (
    <Dialog title={title} onClose={onClose} onSubmit={() => void submit()}>
      {progress.state === "refused" && (
        <p class="problem" role="alert">
          {refusal(progress.error)}
        </p>
      )}
      <fieldset class="list">
        <legend>Their channels are deleted on Discord</legend>
        {rooms.map(({ room, people }) => (
          <label key={room.roomId}>
            <input
              type="checkbox"
              name={room.displayName}
              checked={chosen.has(room.roomId)}
              onChange={(event) => choose(room.roomId, event.currentTarget.checked)}
            />
            {room.displayName}
            <span class="count">{people.length === 0 ? "nobody inside" : `${people.length} inside`}</span>
          </label>
        ))}
      </fieldset>
      <TextField
        label="Reason, for the guild's audit log"
        name="audit_log_reason"
        wrong={undefined}
        maxLength={460}
        value={reason}
        onValue={setReason}
      />
      {isEnding && <Results results={progress.results} of={progress.of} done="has ended" />}
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="submit" class="danger" aria-disabled={isEnding || wanted.length === 0}>
          {isEnding ? "Ending …" : `End ${wanted.length} ${wanted.length === 1 ? "room" : "rooms"}`}
        </button>
      </div>
    </Dialog>
  );
}

async function endAll(parlor: Parlor, rooms: readonly Room[], auditLogReason: string): Promise<Result[]> {
  const requests = rooms.map(({ roomId }) => ({ roomId, auditLogReason }));
  const { results } = await parlor.batchEndRooms({ requests });
  return results.map(({ outcome }, index) => ({
    name: rooms[index]?.displayName ?? "",
    error: outcome.case === "failure" ? CallError.ofItem(outcome.value) : undefined,
  }));
}

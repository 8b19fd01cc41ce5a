import type { VNode } from "preact";
import { useState } from "preact/hooks";

import { CallError, type Parlor, type Room } from "../client/index.ts";
import { Dialog } from "./dialog.tsx";
import { refusal } from "./words.ts";

/** Where ending the room stands. */
type Progress =
  | { readonly state: "asking" }
  | { readonly state: "ending" }
  | { readonly state: "refused"; readonly error: CallError };

interface EndRoomDialogProps {
  parlor: Parlor;
  room: Room;
  /** How many people are inside now. */
  inside: number;
  onClose: () => void;
  onEnded: (room: Room) => void;
}

/** Ends a room, once the visitor is sure. */
export function EndRoomDialog({ parlor, room, inside, onClose, onEnded }: EndRoomDialogProps): VNode {
  const [progress, setProgress] = useState<Progress>({ state: "asking" });
  const submit = async (): Promise<void> => {
    if (progress.state === "ending") {
      return;
    }
    setProgress({ state: "ending" });
    try {
      await parlor.endRoom({ roomId: room.roomId, force: !room.managed, requestId: crypto.randomUUID() });
      onEnded(room);
    } catch (thrown) {
      setProgress({ state: "refused", error: CallError.from(thrown) });
    }
  };
  return (
    <Dialog title={`End ${room.displayName}?`} onClose={onClose} onSubmit={() => void submit()}>
      {progress.state === "refused" && (
        <p class="problem" role="alert">
          {refusal(progress.error)}
        </p>
      )}
      <p>
        Its channel is deleted on Discord.{" "}
        {inside === 0 ? "Nobody is in it." : inside === 1 ? "One person is disconnected." : `${inside} people are disconnected.`}
      </p>
      {!room.managed && (
        <p>
          <strong>Parlor did not create this room.</strong> Ending it needs a token with the scope <code>ops</code>.
        </p>
      )}
      <div class="buttons">
        <button type="button" autoFocus onClick={onClose}>
          Cancel
        </button>
        <button type="submit" class="danger" aria-disabled={progress.state === "ending"}>
          {progress.state === "ending" ? "Ending …" : "End room"}
        </button>
      </div>
    </Dialog>
  );
}

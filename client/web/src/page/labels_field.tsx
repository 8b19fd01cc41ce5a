import type { VNode } from "preact";

import type { CallError } from "../client/index.ts";
import { TextField, wrongAbout } from "./field.tsx";
import { readLabels } from "./labels.ts";

interface LabelsFieldProps {
  value: string;
  error: CallError | undefined;
  onValue: (value: string) => void;
}

/** The labels of a room, in one line. */
export function LabelsField({ value, error, onValue }: LabelsFieldProps): VNode {
  return (
    <TextField
      label="Labels, such as team=films, size=big"
      name="labels"
      wrong={
        readLabels(value) === "wrong" ? "A label is written like team=films." : wrongAbout(error, "labels", "These")
      }
      value={value}
      onValue={onValue}
    />
  );
}

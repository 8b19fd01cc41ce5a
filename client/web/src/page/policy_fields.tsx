import { create } from "@bufbuild/protobuf";
import type { VNode } from "preact";

import { RoomPolicySchema, type CallError, type RoomPolicy } from "../client/index.ts";
import { TextField, wrongAbout } from "./field.tsx";
import { readTime, timeInWords } from "./times.ts";

/** When a room ends by itself, as the visitor has written it. */
export interface WrittenPolicy {
  readonly emptyTimeout: string;
  readonly departureTimeout: string;
  readonly maxDuration: string;
}

/** The times of a policy: their names in a form and in the contract, and what they mean. */
const TIMES = [
  ["emptyTimeout", "empty_timeout", "if nobody has joined for"],
  ["departureTimeout", "departure_timeout", "so long after the last one has left"],
  ["maxDuration", "max_duration", "in any case after"],
] as const;

interface PolicyFieldsProps {
  written: WrittenPolicy;
  error: CallError | undefined;
  onWrite: (written: WrittenPolicy) => void;
}

/** The fields of a policy. */
export function PolicyFields({ written, error, onWrite }: PolicyFieldsProps): VNode {
  return (
    <fieldset class="group">
      <legend>It ends by itself, with times such as 10m or 2h</legend>
      {TIMES.map(([name, field, label]) => (
        <TextField
          key={name}
          label={label}
          name={field}
          wrong={
            readTime(written[name]) === "wrong"
              ? "A time is written like 90s, 10m or 1h 30m."
              : wrongAbout(error, `policy.${field}`, "This time")
          }
          value={written[name]}
          onValue={(value) => onWrite({ ...written, [name]: value })}
        />
      ))}
    </fieldset>
  );
}

/** A policy as text to change. */
export function written(policy: RoomPolicy | undefined): WrittenPolicy {
  const text = (name: (typeof TIMES)[number][0]): string => {
    const time = policy?.[name];
    return time ? timeInWords(time) : "";
  };
  return { emptyTimeout: text("emptyTimeout"), departureTimeout: text("departureTimeout"), maxDuration: text("maxDuration") };
}

/** What was written as a policy; undefined where a time is none. */
export function policyOf(written: WrittenPolicy): RoomPolicy | undefined {
  const policy = create(RoomPolicySchema);
  for (const [name] of TIMES) {
    const time = readTime(written[name]);
    if (time === "wrong") {
      return undefined;
    }
    if (time) {
      policy[name] = time;
    }
  }
  return policy;
}

// Times as people write them, such as 90s, 10m or 1h 30m, and policies in words.

import { durationFromMs, durationMs, type Duration } from "@bufbuild/protobuf/wkt";

import type { RoomPolicy } from "../client/index.ts";

const SECONDS: readonly (readonly [unit: string, seconds: number])[] = [
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
  ["s", 1],
];

/** Reads a time: `undefined` for none, `"wrong"` for what is no time. */
export function readTime(text: string): Duration | undefined | "wrong" {
  const written = text.trim().toLowerCase();
  if (written === "") {
    return undefined;
  }
  if (!/^(\d{1,9}\s*[dhms]\s*)+$/.test(written)) {
    return "wrong";
  }
  const parts = [...written.matchAll(/(\d+)\s*([dhms])/g)];
  const seconds = parts.reduce((sum, [, number, unit]) => sum + Number(number) * secondsOf(unit ?? ""), 0);
  return durationFromMs(seconds * 1_000);
}

/** A time in the same words. */
export function timeInWords(time: Duration): string {
  let left = Math.round(durationMs(time) / 1_000);
  const parts: string[] = [];
  for (const [unit, seconds] of SECONDS) {
    if (left >= seconds) {
      parts.push(`${Math.floor(left / seconds)}${unit}`);
      left %= seconds;
    }
  }
  return parts.join(" ") || "0s";
}

/** When a room ends by itself; empty where it never does. */
export function policyInWords(policy: RoomPolicy | undefined): string {
  const rules: [Duration | undefined, (time: string) => string][] = [
    [policy?.emptyTimeout, (time) => `after ${time} if nobody joins`],
    [policy?.departureTimeout, (time) => `${time} after the last one leaves`],
    [policy?.maxDuration, (time) => `after ${time} in any case`],
  ];
  return rules.flatMap(([time, say]) => (time ? [say(timeInWords(time))] : [])).join(", ");
}

function secondsOf(unit: string): number {
  return SECONDS.find(([name]) => name === unit)?.[1] ?? 0;
}

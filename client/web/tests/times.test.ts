import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";

import { RoomPolicySchema } from "../src/client/index.ts";
import { policyInWords, readTime, timeInWords } from "../src/page/times.ts";

test("times are written with units, and come back as they were", () => {
  for (const [written, seconds, shown] of [
    ["90s", 90, "1m 30s"],
    ["10m", 600, "10m"],
    [" 1H 30m ", 5_400, "1h 30m"],
    ["2d", 172_800, "2d"],
    ["0s", 0, "0s"],
  ] as const) {
    const read = readTime(written);
    expect(read).toEqual(durationFromMs(seconds * 1_000));
    expect(timeInWords(durationFromMs(seconds * 1_000))).toBe(shown);
  }
  expect(readTime("  ")).toBeUndefined();
  for (const wrong of ["10", "-5m", "soon", "5m later", "1.5h", "9999999999d"]) {
    expect(readTime(wrong), wrong).toBe("wrong");
  }
});

test("a policy says each of its rules", () => {
  const minutes = (number: number) => durationFromMs(number * 60_000);
  const policy = create(RoomPolicySchema, { emptyTimeout: minutes(10), maxDuration: minutes(120) });
  expect(policyInWords(policy)).toBe("after 10m if nobody joins, after 2h in any case");
  expect(policyInWords(create(RoomPolicySchema, { departureTimeout: minutes(1) }))).toBe("1m after the last one leaves");
  expect(policyInWords(undefined)).toBe("");
});

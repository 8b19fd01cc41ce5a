import { expect, test } from "vitest";

import { labelsInWords, readIds, readLabels } from "../src/page/labels.ts";

test("labels are written with an equals sign, and come back as they were", () => {
  expect(readLabels(" team=films,size = big\nnote=a=b, ")).toEqual({ team: "films", size: "big", note: "a=b" });
  expect(readLabels("  ")).toEqual({});
  expect(labelsInWords({ team: "films", size: "" })).toBe("size=, team=films");
  expect(readLabels(labelsInWords({ team: "films", size: "" }))).toEqual({ team: "films", size: "" });
});

test("what is no label is wrong", () => {
  for (const text of ["films", "team=films, big", "=films"]) {
    expect(readLabels(text)).toBe("wrong");
  }
});

test("ids are kept apart by anything", () => {
  expect(readIds("1, 2;3\n 4")).toEqual(["1", "2", "3", "4"]);
  expect(readIds(" ")).toEqual([]);
});

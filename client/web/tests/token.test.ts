import { expect, test } from "vitest";

import { allows, claims } from "../src/page/token.ts";

function jwt(payload: object): string {
  const bytes = new TextEncoder().encode(JSON.stringify(payload));
  const base64 = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return `header.${base64}.signature`;
}

test("a token says whose it is, until when, and for what it is good", () => {
  const read = claims(jwt({ sub: "änn ÿ?>", exp: 1_800_000_000, scope: "rooms:read events:read" }));
  expect(read.subject).toBe("änn ÿ?>");
  expect(read.expiresAt).toEqual(new Date("2027-01-15T08:00:00Z"));
  expect([allows(read, "rooms:read"), allows(read, "rooms:write"), allows(read, "rooms")]).toEqual([true, false, false]);
});

test("what cannot be read is left to the server to judge", () => {
  for (const token of ["", "x.y.z", "a.b", jwt([]), `.${btoa("null")}.`, jwt({ sub: 1, exp: "soon", scope: ["ops"] })]) {
    const read = claims(token);
    expect(read).toEqual({ subject: "", expiresAt: undefined, scopes: undefined });
    expect(allows(read, "rooms:write")).toBe(true);
  }
});

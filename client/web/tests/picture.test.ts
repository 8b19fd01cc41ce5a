import { expect, test } from "vitest";

import { Picture, Room_State, RoomEnded_Reason, UpstreamState, type Frame } from "../src/client/index.ts";
import { bookmark, event, frame, joined, snapshot } from "./frames.ts";

const LOBBY = { guildId: "1", roomId: "12" };
const GAMES = { guildId: "1", roomId: "9" };

function folded(...frames: Frame[]): Picture {
  const picture = new Picture();
  frames.forEach((one) => picture.fold(one));
  return picture;
}

function whoIsWhere(picture: Picture): Record<string, string[]> {
  const rooms = picture.guilds().flatMap((guild) => picture.rooms(guild.guildId));
  return Object.fromEntries(rooms.map((room) => [room.roomId, picture.participants(room.roomId).map((one) => one.userId)]));
}

test("somebody is in one room of a guild at a time", () => {
  const moved = { participant: { guildId: "1", roomId: "9", userId: "7" }, fromRoomId: "12" };
  const picture = folded(...snapshot(1, [LOBBY, GAMES]), joined(1, 2, "7", "12"), joined(2, 3, "8", "12"));
  expect(whoIsWhere(picture)).toEqual({ "9": [], "12": ["7", "8"] });
  picture.fold(event(3, 4, { case: "participantMoved", value: moved }));
  expect(whoIsWhere(picture)).toEqual({ "9": ["7"], "12": ["8"] });
  picture.fold(event(4, 5, { case: "participantLeft", value: moved }));
  expect(whoIsWhere(picture)).toEqual({ "9": [], "12": ["8"] });
});

test("what somebody is like changes without their going anywhere", () => {
  const muted = { participant: { guildId: "1", roomId: "12", userId: "7", selfMute: true } };
  const picture = folded(...snapshot(1, [LOBBY], [{ guildId: "1", roomId: "12", userId: "7" }]));
  picture.fold(event(1, 2, { case: "participantUpdated", value: muted }));
  expect(picture.participants("12").map((one) => one.selfMute)).toEqual([true]);
});

test("a snapshot replaces what was there, and is a part of the truth until its end", () => {
  const picture = folded(...snapshot(1, [LOBBY, GAMES], [{ guildId: "1", roomId: "12", userId: "7" }]));
  const [begin, items, end] = snapshot(9, [GAMES]);
  picture.fold(begin!);
  picture.fold(items!);
  expect(picture.isWhole).toBe(false);
  picture.fold(end!);
  expect(picture.isWhole).toBe(true);
  expect(whoIsWhere(picture)).toEqual({ "9": [] });
});

test("rooms that have ended are not shown, also not those of a snapshot", () => {
  const ended = { ...LOBBY, state: Room_State.ENDED };
  const picture = folded(...snapshot(1, [ended, GAMES]));
  expect(whoIsWhere(picture)).toEqual({ "9": [] });
  picture.fold(event(1, 2, { case: "roomCreated", value: { room: LOBBY } }));
  picture.fold(event(2, 3, { case: "roomEnded", value: { room: ended, reason: RoomEnded_Reason.API } }));
  expect(whoIsWhere(picture)).toEqual({ "9": [] });
});

test("a guild comes with its first room and goes with the bot", () => {
  const room = { guildId: "2", roomId: "20" };
  const picture = folded(...snapshot(1, [LOBBY]), event(1, 2, { case: "roomCreated", value: { room } }));
  expect(picture.guilds().map((guild) => guild.guildId)).toEqual(["1", "2"]);
  const value = { room: { ...room, state: Room_State.ENDED }, reason: RoomEnded_Reason.BOT_REMOVED };
  picture.fold(event(2, 3, { case: "roomEnded", value }));
  expect(picture.guilds().map((guild) => guild.guildId)).toEqual(["1"]);
});

test("a guild is what was last told of it", () => {
  const told = (displayName: string, left = false) =>
    ({ case: "guildUpdated", value: { guild: { guildId: "1", displayName }, left } }) as const;
  const picture = folded(...snapshot(1, []), event(1, 2, told("Renamed")));
  expect(picture.guilds().map((guild) => guild.displayName)).toEqual(["Renamed"]);
  picture.fold(event(2, 3, told("Renamed", true)));
  expect(picture.guilds()).toEqual([]);
});

test("whoever leaves the rooms that were asked for is no ghost", () => {
  const moved = (roomId: string, fromRoomId: string) =>
    ({ case: "participantMoved", value: { participant: { guildId: "1", roomId, userId: "7" }, fromRoomId } }) as const;
  const picture = new Picture({ channelIds: ["12"] });
  const inside = () => [picture.participants("12").length, picture.participants("9").length];
  [...snapshot(1, [LOBBY]), joined(1, 2, "7", "12")].forEach((one) => picture.fold(one));
  expect(inside()).toEqual([1, 0]);
  picture.fold(event(2, 3, moved("9", "12")));
  expect(inside()).toEqual([0, 0]);
  picture.fold(event(3, 4, moved("12", "9")));
  expect(inside()).toEqual([1, 0]);
});

test("ids are in the order of their numbers, which are too big for a number", () => {
  const ids = ["1100000000000000010", "99999999999999999", "1100000000000000009"];
  const picture = folded(...snapshot(1, ids.map((roomId) => ({ guildId: "1", roomId }))));
  expect(picture.rooms("1").map((room) => room.roomId)).toEqual([ids[1], ids[2], ids[0]]);
});

test("how Discord's connection stands is as last said", () => {
  const picture = folded(...snapshot(1, []), bookmark(1, UpstreamState.STALE));
  expect(picture.upstream).toBe(UpstreamState.STALE);
});

test("what a newer server says is passed over", () => {
  const picture = folded(...snapshot(1, [LOBBY]), frame({ case: undefined }));
  expect(whoIsWhere(picture)).toEqual({ "12": [] });
});

/**
 * Parlor from TypeScript, in browsers and in Node.
 *
 *     const parlor = new Parlor({ baseUrl: "http://127.0.0.1:50051", token });
 *     const picture = new Picture();
 *     for await (const item of parlor.events()) {
 *       if (item.type === "frame") {
 *         picture.fold(item.frame);
 *       }
 *     }
 */

export { Code } from "@connectrpc/connect";

export * from "../gen/parlor/v1/participants_pb.ts";
export * from "../gen/parlor/v1/rooms_pb.ts";
export * from "../gen/parlor/v1/voice_events_pb.ts";
export * from "../gen/parlor/v1/webhooks_pb.ts";
export { CallError, type WrongField } from "./error.ts";
export type { EventsOptions, Interruption, StreamItem } from "./events.ts";
export { Parlor, type ParlorOptions } from "./parlor.ts";
export { Picture } from "./picture.ts";
export { BrokenChain, formatStart, parseStart, type Frame, type Start } from "./position.ts";

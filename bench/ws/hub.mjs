// A WebSocket hub as one would write it: an event becomes JSON once, and the same bytes go to every client.
// Prints where it listens; each byte on the control socket is one event, and its end is the program's end.

import { once } from "node:events";
import { createServer } from "node:net";
import { WebSocketServer } from "ws";

const hub = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false, backlog: 4096 });
await once(hub, "listening");
hub.on("connection", (client) => client.send("{}"));

let sequence = 0;

/** Somebody moves from one room to the other, with the fields of `SubscribeVoiceEventsResponse`. */
function event() {
  sequence += 1;
  const [room, from] = sequence % 2 ? [12, 11] : [11, 12];
  return {
    cursor: "AQcHBwcHBwcHBwcHBwcHBwcAAAAAAAAAAbOa2k4L3pLw",
    sequence,
    prevSequence: sequence - 1,
    event: {
      eventTime: new Date().toISOString(),
      origin: "ORIGIN_GATEWAY",
      guildId: "100000000000000001",
      participantMoved: {
        participant: {
          guildId: "100000000000000001",
          roomId: String(200000000000000000n + BigInt(room)),
          userId: "300000000000000001",
          displayName: "Somebody",
          avatarUrl: "https://cdn.discordapp.com/avatars/300000000000000001/0123456789abcdef0123456789abcdef.png",
          joinedAt: new Date().toISOString(),
        },
        fromRoomId: String(200000000000000000n + BigInt(from)),
      },
    },
  };
}

const control = createServer((socket) => {
  socket.on("data", (bytes) => {
    for (let count = 0; count < bytes.length; count += 1) {
      const json = Buffer.from(JSON.stringify(event()));
      for (const client of hub.clients) client.send(json, { binary: false });
    }
  });
  socket.on("close", () => process.exit(0));
});
control.listen(0, "127.0.0.1");
await once(control, "listening");
console.log(JSON.stringify({ events: hub.address().port, control: control.address().port }));

// A bot on discord.js and @discordjs/voice, unmodified, that speaks and listens in the emulated Discord: commands come on
// stdin, one JSON object a line.
//
//     DISCORD_API=http://127.0.0.1:50080/api NODE_EXTRA_CA_CERTS=ca.pem node voice_bot.mjs
//
// Commands, answers and events are described in ../README.md.

import { writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";

import {
  EndBehaviorType,
  NoSubscriberBehavior,
  StreamType,
  VoiceConnectionStatus,
  createAudioPlayer,
  createAudioResource,
  entersState,
  joinVoiceChannel,
} from "@discordjs/voice";
import { Client, Events, GatewayIntentBits } from "discord.js";
import OpusScript from "opusscript";

const RATE = 48_000;
const FRAME = 960;
const PATIENCE = 20_000;

const client = new Client({
  intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildVoiceStates],
  rest: { api: process.env.DISCORD_API },
});

// Which frequencies are listened for, and what was heard of each user since the last line about them.
let frequencies = [];
const heard = new Map();
let connection;
const player = createAudioPlayer({ behaviors: { noSubscriber: NoSubscriberBehavior.Play } });
player.on("error", (error) => print({ event: "playerError", message: error.message }));

const commands = {
  async join({ guild, channel, encrypted = true }) {
    const { voiceAdapterCreator } = client.guilds.cache.get(guild);
    const wanted = { guildId: guild, channelId: channel, adapterCreator: voiceAdapterCreator, selfDeaf: false };
    connection = joinVoiceChannel({ ...wanted, daveEncryption: encrypted, debug: "VOICE_DEBUG" in process.env });
    watch(connection);
    await entersState(connection, VoiceConnectionStatus.Ready, PATIENCE);
    connection.subscribe(player);
    return { channel };
  },

  async leave() {
    connection.destroy();
    return {};
  },

  // A sine tone, from this command's answer on.
  async speak({ hz, seconds }) {
    player.play(createAudioResource(Readable.from(tone(hz, seconds)), { inputType: StreamType.Opus }));
    return { hz };
  },

  // From now on every half second of sound of a user makes an event, with the strongest of these frequencies.
  async listen({ among }) {
    frequencies = among;
    heard.clear();
    return {};
  },

  // A tone for programs without an encoder: one packet a line, in base64.
  async write_tone({ hz, seconds, file }) {
    await writeFile(file, [...tone(hz, seconds)].map((packet) => `${packet.toString("base64")}\n`).join(""));
    return { file };
  },

  async privacy_code() {
    const dave = connection.state.networking?.state?.dave;
    return { code: dave?.session?.voicePrivacyCode ?? "", epoch: Number(dave?.session?.epoch ?? 0) };
  },
};

const watched = new WeakSet();

function watch(connection) {
  if (watched.has(connection)) return;
  watched.add(connection);
  connection.on("stateChange", (from, to) => print({ event: "voiceState", from: from.status, to: to.status }));
  connection.on("transitioned", (id) => print({ event: "transitioned", transition: id }));
  connection.on("error", (error) => print({ event: "voiceError", message: error.message }));
  connection.on("debug", (text) => console.error(text));
  connection.receiver.speaking.on("start", (user) => {
    if (connection.receiver.subscriptions.has(user)) return;
    const decoder = new OpusScript(RATE, 2, OpusScript.Application.AUDIO);
    const stream = connection.receiver.subscribe(user, { end: { behavior: EndBehaviorType.Manual } });
    stream.on("data", (packet) => {
      const samples = heard.get(user) ?? [];
      let sound;
      try {
        sound = decoder.decode(packet);
      } catch {
        // Before it has a key, the library passes on what is sealed as it is.
        return;
      }
      for (let at = 0; at + 3 < sound.length; at += 4) samples.push(sound.readInt16LE(at));
      if (samples.length < RATE / 2) {
        heard.set(user, samples);
      } else {
        heard.delete(user);
        print({ event: "heard", user, hz: strongest(samples) });
      }
    });
    stream.on("error", (error) => print({ event: "receiveError", user, message: error.message }));
  });
}

function* tone(hz, seconds) {
  const encoder = new OpusScript(RATE, 2, OpusScript.Application.AUDIO);
  const sound = Buffer.alloc(FRAME * 4);
  for (let frame = 0; frame < seconds * 50; frame += 1) {
    for (let at = 0; at < FRAME; at += 1) {
      const sample = Math.round(8_000 * Math.sin((2 * Math.PI * hz * (frame * FRAME + at)) / RATE));
      sound.writeInt16LE(sample, at * 4);
      sound.writeInt16LE(sample, at * 4 + 2);
    }
    yield Buffer.from(encoder.encode(sound, FRAME));
  }
}

// Which frequency a sound has most of; 0 when it has little of any.
function strongest(samples) {
  const energy = samples.reduce((sum, sample) => sum + sample * sample, 0);
  let best = { hz: 0, share: 0.3 };
  for (const hz of frequencies) {
    let [sine, cosine] = [0, 0];
    samples.forEach((sample, at) => {
      const angle = (2 * Math.PI * hz * at) / RATE;
      sine += sample * Math.sin(angle);
      cosine += sample * Math.cos(angle);
    });
    const share = (2 * (sine * sine + cosine * cosine)) / (samples.length * energy || 1);
    if (share > best.share) best = { hz, share };
  }
  return best.hz;
}

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

client.once(Events.ClientReady, async ({ user }) => {
  const guilds = [...client.guilds.cache.keys()].sort();
  print({ ready: { user: user.id, name: user.username, guilds } });
  for await (const text of createInterface({ input: process.stdin })) {
    const { do: name, id, ...wishes } = JSON.parse(text);
    if (name === "quit") break;
    const tag = id === undefined ? {} : { id };
    try {
      print({ done: name, ...(await commands[name](wishes)), ...tag });
    } catch (error) {
      print({ failed: name, status: 0, code: 0, message: String(error.message), ...tag });
    }
  }
  await client.destroy();
  print({ done: "quit" });
  process.exit(0);
});

await client.login(process.env.DISCORD_TOKEN ?? "voice-bot");

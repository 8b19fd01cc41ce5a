// A bot on discord.js, unmodified, in the emulated Discord: commands come on stdin, one JSON object a line.
//
//     DISCORD_API=http://127.0.0.1:50080/api node discord_bot.mjs
//
// Commands, answers and events are described in ../README.md. The bot speaks no audio: it enters voice channels with
// gateway opcode 4 alone, which is all that others see of it.

import { createInterface } from "node:readline";

import { ChannelType, Client, Events, GatewayIntentBits, GatewayOpcodes } from "discord.js";

const client = new Client({
  intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildVoiceStates, GatewayIntentBits.GuildMessages],
  // The library appends /v10, and asks /gateway/bot for the gateway's address.
  rest: { api: process.env.DISCORD_API },
});

const KINDS = { voice: ChannelType.GuildVoice, stage: ChannelType.GuildStageVoice };

const commands = {
  async create_channel({ guild, name, kind = "voice" }) {
    const channel = await served(guild).channels.create({ name, type: KINDS[kind] });
    return { channel: channel.id };
  },

  async delete_channel({ channel }) {
    // Asks Discord where the channel is not in the cache, so that what is wrong is said by Discord.
    await (await client.channels.fetch(channel)).delete();
    return { channel };
  },

  join: ({ guild, channel }) => sendVoiceState(guild, channel),
  move: ({ guild, channel }) => sendVoiceState(guild, channel),
  leave: ({ guild }) => sendVoiceState(guild, null),

  list_channels: ({ guild }) => ({ channels: voiceChannels(guild).map(shown) }),

  who({ guild }) {
    const channels = {};
    for (const { id } of voiceChannels(guild)) {
      channels[id] = [];
    }
    for (const state of served(guild).voiceStates.cache.values()) {
      channels[state.channelId]?.push(state.id);
    }
    Object.values(channels).forEach((users) => users.sort());
    return { channels };
  },

  async send_message({ channel, text }) {
    const message = await (await client.channels.fetch(channel)).send(text);
    return { message: message.id };
  },
};

client.on(Events.ChannelCreate, (channel) => printChannel("channelCreate", channel));
client.on(Events.ChannelDelete, (channel) => printChannel("channelDelete", channel));
client.on(Events.VoiceStateUpdate, (before, after) =>
  print({
    event: "voiceStateUpdate",
    guild: after.guild.id,
    user: after.id,
    from: before.channelId ?? "",
    to: after.channelId ?? "",
  }),
);

client.once(Events.ClientReady, async () => {
  print({ ready: { user: client.user.id, name: client.user.username, guilds: [...client.guilds.cache.keys()].sort() } });
  for await (const text of createInterface({ input: process.stdin })) {
    const { do: name, id, ...rest } = JSON.parse(text);
    if (name === "quit") {
      break;
    }
    print({ ...(await answer(name, rest)), id });
  }
  await client.destroy();
  process.stdout.write('{"done":"quit"}\n', () => process.exit(0));
});

await client.login(process.env.DISCORD_TOKEN ?? "a.bot.token");

async function answer(name, rest) {
  try {
    if (!Object.hasOwn(commands, name)) {
      throw new Error("no such command");
    }
    return { done: name, ...(await commands[name](rest)) };
  } catch (error) {
    return { failed: name, status: error.status ?? 0, code: Number(error.code) || 0, message: error.message };
  }
}

function served(guild) {
  const found = client.guilds.cache.get(guild);
  if (!found) {
    throw new Error(`the bot is not in guild ${guild}`);
  }
  return found;
}

// Opcode 4, through the shard that has the guild; no channel means to leave voice.
function sendVoiceState(guild, channel) {
  served(guild).shard.send({
    op: GatewayOpcodes.VoiceStateUpdate,
    d: { guild_id: guild, channel_id: channel, self_mute: false, self_deaf: false },
  });
  return channel ? { channel } : {};
}

function voiceChannels(guild) {
  const channels = served(guild).channels.cache.filter((channel) => channel.isVoiceBased());
  return [...channels.sort((a, b) => (BigInt(a.id) < BigInt(b.id) ? -1 : 1)).values()];
}

function shown(channel) {
  const kind = Object.keys(KINDS).find((name) => KINDS[name] === channel.type) ?? "other";
  return { channel: channel.id, name: channel.name, kind };
}

function printChannel(event, channel) {
  const { channel: id, name, kind } = shown(channel);
  print({ event, guild: channel.guild.id, channel: id, name, kind });
}

function print(content) {
  process.stdout.write(`${JSON.stringify(content)}\n`);
}

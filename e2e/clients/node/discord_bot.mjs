// A bot on discord.js, unmodified, in the emulated Discord: commands come on stdin, one JSON object a line.
//
//     DISCORD_API=http://127.0.0.1:50080/api node discord_bot.mjs
//
// Commands, answers and events are described in ../README.md. The bot speaks no audio: it enters voice channels with
// gateway opcode 4 alone, which is all that others see of it.

import { createInterface } from "node:readline";

import { AuditLogEvent, ChannelType, Client, Events, GatewayIntentBits, GatewayOpcodes, WebhookClient } from "discord.js";

const client = new Client({
  intents: [
    GatewayIntentBits.Guilds,
    GatewayIntentBits.GuildVoiceStates,
    GatewayIntentBits.GuildMessages,
    GatewayIntentBits.GuildInvites,
    GatewayIntentBits.GuildWebhooks,
    GatewayIntentBits.GuildModeration,
  ],
  // The library appends /v10, and asks /gateway/bot for the gateway's address.
  rest: { api: process.env.DISCORD_API },
});

const KINDS = { voice: ChannelType.GuildVoice, stage: ChannelType.GuildStageVoice };
const CATEGORY = ChannelType.GuildCategory;

const commands = {
  async create_channel({ guild, name, kind = "voice", category, limit, bitrate, overwrites, reason }) {
    const channel = await served(guild).channels.create({
      name,
      type: kind === "category" ? CATEGORY : KINDS[kind],
      parent: category,
      userLimit: limit,
      bitrate,
      permissionOverwrites: overwrites,
      reason,
    });
    return { channel: channel.id };
  },

  async edit_channel({ channel, name, limit, category, reason }) {
    const edited = await (await found(channel)).edit({ name, userLimit: limit, parent: category, reason });
    return { channel: edited.id, name: edited.name, limit: edited.userLimit };
  },

  async overwrite({ channel, user, permissions, reason }) {
    await (await found(channel)).permissionOverwrites.edit(user, permissions, { reason, type: 1 });
    return { channel };
  },

  async clear_overwrite({ channel, user, reason }) {
    await (await found(channel)).permissionOverwrites.delete(user, reason);
    return { channel };
  },

  // What the library computes that the bot may do there, from the channel as Discord shows it now.
  async permissions({ channel }) {
    const place = await client.channels.fetch(channel, { force: true });
    return { permissions: place.permissionsFor(place.guild.members.me).bitfield.toString() };
  },

  // The library has no method for it, so its REST client is asked directly.
  async status({ channel, text, reason }) {
    await client.rest.put(`/channels/${channel}/voice-status`, { body: { status: text }, reason });
    return { channel };
  },

  async invite({ channel, max_age = 0, max_uses = 0, reason }) {
    const invite = await (await found(channel)).createInvite({ maxAge: max_age, maxUses: max_uses, unique: true, reason });
    return { invite: invite.code, url: invite.url, expires: invite.expiresTimestamp ?? 0 };
  },

  async find_invite({ invite }) {
    const { channelId, inviterId } = await client.fetchInvite(invite);
    return { channel: channelId, user: inviterId };
  },

  async delete_invite({ invite, reason }) {
    await (await client.fetchInvite(invite)).delete(reason);
    return { invite };
  },

  async webhook({ channel, name, reason }) {
    const webhook = await (await found(channel)).createWebhook({ name, reason });
    return { webhook: webhook.id, token: webhook.token };
  },

  async webhooks({ guild }) {
    const webhooks = await served(guild).fetchWebhooks();
    return { webhooks: [...webhooks.values()].map(({ id, name, channelId }) => ({ webhook: id, name, channel: channelId })) };
  },

  // As somebody who has nothing but the address.
  async execute_webhook({ webhook, token, text, name }) {
    const stranger = new WebhookClient({ id: webhook, token }, { rest: { api: process.env.DISCORD_API } });
    const message = await stranger.send({ content: text, username: name });
    return { message: message.id, channel: message.channel_id, author: message.author.username };
  },

  async delete_webhook({ webhook, reason }) {
    await (await client.fetchWebhook(webhook)).delete(reason);
    return { webhook };
  },

  async moderate({ guild, user, mute, deaf, channel, reason }) {
    const member = await served(guild).members.fetch(user);
    await member.edit({ mute, deaf, channel, reason });
    return { user };
  },

  async audit_log({ guild, kind, limit = 1 }) {
    const log = await served(guild).fetchAuditLogs({ type: AuditLogEvent[kind], limit });
    return { entries: [...log.entries.values()].map(note) };
  },

  async delete_channel({ channel }) {
    // Asks Discord where the channel is not in the cache, so that what is wrong is said by Discord.
    await (await found(channel)).delete();
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
    const message = await (await found(channel)).send(text);
    return { message: message.id };
  },
};

client.on(Events.MessageCreate, (message) =>
  print({
    event: "messageCreate",
    guild: message.guildId,
    channel: message.channelId,
    message: message.id,
    author: message.author.username,
    webhook: message.webhookId ?? "",
    text: message.content,
  }),
);
client.on(Events.ChannelCreate, (channel) => printChannel("channelCreate", channel));
client.on(Events.ChannelDelete, (channel) => printChannel("channelDelete", channel));
client.on(Events.VoiceStateUpdate, (before, after) =>
  print({
    event: "voiceStateUpdate",
    guild: after.guild.id,
    user: after.id,
    from: before.channelId ?? "",
    to: after.channelId ?? "",
    mute: after.serverMute ?? false,
    deaf: after.serverDeaf ?? false,
  }),
);

client.on(Events.InviteCreate, ({ guild, channelId, code }) =>
  print({ event: "inviteCreate", guild: guild.id, channel: channelId, invite: code }),
);
client.on(Events.InviteDelete, ({ guild, channelId, code }) =>
  print({ event: "inviteDelete", guild: guild.id, channel: channelId, invite: code }),
);
client.on(Events.WebhooksUpdate, (channel) =>
  print({ event: "webhooksUpdate", guild: channel.guild.id, channel: channel.id }),
);
client.on(Events.GuildAuditLogEntryCreate, (entry, guild) =>
  print({ event: "auditLogEntryCreate", guild: guild.id, ...note(entry) }),
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

function found(channel) {
  return client.channels.fetch(channel);
}

function note({ action, executorId, targetId, reason, changes }) {
  const keys = changes.map(({ key }) => key).sort();
  return { kind: AuditLogEvent[action], user: executorId, target: targetId ?? "", reason: reason ?? "", keys };
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

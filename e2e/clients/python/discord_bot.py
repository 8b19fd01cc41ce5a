"""A bot on discord.py, unmodified, in the emulated Discord: commands come on stdin, one JSON object a line.

    DISCORD_API=http://127.0.0.1:50080/api DISCORD_GATEWAY=ws://127.0.0.1:50080 python discord_bot.py

Commands, answers and events are described in ../README.md. The bot speaks no audio: it enters voice channels with
gateway opcode 4 alone, which is all that others see of it.
"""

import asyncio
import json
import os
import sys

import aiohttp
import discord
import yarl

# The library has no setting for these addresses; both are constants that it reads when it connects.
discord.http.Route.BASE = f"{os.environ['DISCORD_API']}/v10"
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["DISCORD_GATEWAY"]).with_path("/")

KINDS = {discord.ChannelType.voice: "voice", discord.ChannelType.stage_voice: "stage"}


class Bot(discord.Client):
    def __init__(self):
        intents = discord.Intents.none()
        intents.guilds = intents.voice_states = intents.guild_messages = True
        intents.invites = intents.webhooks = intents.moderation = True
        super().__init__(intents=intents)
        self.commands = None

    async def on_ready(self):
        # Ready comes again after every new session; the commands are read once.
        if self.commands is None:
            guilds = sorted(str(guild.id) for guild in self.guilds)
            print_line({"ready": {"user": str(self.user.id), "name": self.user.name, "guilds": guilds}})
            self.commands = asyncio.create_task(self.follow_commands())

    async def follow_commands(self):
        while text := await asyncio.to_thread(sys.stdin.readline):
            command = json.loads(text)
            name = command.pop("do")
            if name == "quit":
                break
            tag = {"id": command.pop("id")} if "id" in command else {}
            print_line(await self.answer(name, command) | tag)
        await self.close()
        print_line({"done": "quit"})

    async def answer(self, name, command):
        try:
            run = getattr(self, f"do_{name}", None)
            if run is None:
                raise LookupError("no such command")
            return {"done": name} | await run(**command)
        except Exception as error:
            status = getattr(error, "status", 0)
            return {"failed": name, "status": status, "code": getattr(error, "code", 0), "message": str(error)}

    async def do_create_channel(self, guild, name, kind="voice", category=None, reason=None, **settings):
        guild = self.served(guild)
        if kind == "category":
            channel = await guild.create_category(name, reason=reason)
        else:
            create = guild.create_stage_channel if kind == "stage" else guild.create_voice_channel
            if "limit" in settings:
                settings["user_limit"] = settings.pop("limit")
            above = await self.found(category) if category else None
            channel = await create(name, category=above, reason=reason, **settings)
        return {"channel": str(channel.id)}

    async def do_permissions(self, channel):
        place = await self.fetch_channel(int(channel))
        return {"permissions": str(place.permissions_for(place.guild.me).value)}

    async def do_status(self, channel, text, reason=None):
        await (await self.found(channel)).edit(status=text, reason=reason)
        return {"channel": channel}

    async def do_overwrite(self, channel, user, permissions, reason=None):
        place = await self.found(channel)
        member = await place.guild.fetch_member(int(user))
        await place.set_permissions(member, overwrite=discord.PermissionOverwrite(**permissions), reason=reason)
        return {"channel": channel}

    async def do_invite(self, channel, max_age=0, max_uses=0, reason=None):
        place = await self.found(channel)
        invite = await place.create_invite(max_age=max_age, max_uses=max_uses, unique=True, reason=reason)
        return {"invite": invite.code}

    async def do_delete_invite(self, invite, reason=None):
        await (await self.fetch_invite(invite)).delete(reason=reason)
        return {"invite": invite}

    async def do_webhook(self, channel, name, reason=None):
        webhook = await (await self.found(channel)).create_webhook(name=name, reason=reason)
        return {"webhook": str(webhook.id), "token": webhook.token}

    async def do_execute_webhook(self, webhook, token, text, name):
        # As somebody who has nothing but the address.
        async with aiohttp.ClientSession() as session:
            stranger = discord.Webhook.partial(int(webhook), token, session=session)
            message = await stranger.send(text, username=name, wait=True)
        return {"message": str(message.id), "channel": str(message.channel.id), "author": message.author.name}

    async def do_moderate(self, guild, user, reason=None, **edit):
        member = await self.served(guild).fetch_member(int(user))
        if "channel" in edit:
            channel = edit.pop("channel")
            edit["voice_channel"] = await self.found(channel) if channel else None
        if "deaf" in edit:
            edit["deafen"] = edit.pop("deaf")
        await member.edit(reason=reason, **edit)
        return {"user": user}

    async def do_audit_log(self, guild, limit=1):
        entries = [note(entry) async for entry in self.served(guild).audit_logs(limit=limit)]
        return {"entries": entries}

    async def do_delete_channel(self, channel):
        await (await self.found(channel)).delete()
        return {"channel": channel}

    async def do_join(self, guild, channel):
        await self.served(guild).change_voice_state(channel=discord.Object(int(channel)))
        return {"channel": channel}

    do_move = do_join

    async def do_leave(self, guild):
        await self.served(guild).change_voice_state(channel=None)
        return {}

    async def do_list_channels(self, guild):
        return {"channels": [shown(channel) for channel in self.voice_channels(guild)]}

    async def do_who(self, guild):
        channels = self.voice_channels(guild)
        return {"channels": {str(channel.id): sorted(str(user) for user in channel.voice_states) for channel in channels}}

    async def do_send_message(self, channel, text):
        message = await (await self.found(channel)).send(text)
        return {"message": str(message.id)}

    def served(self, guild):
        found = self.get_guild(int(guild))
        if found is None:
            raise LookupError(f"the bot is not in guild {guild}")
        return found

    async def found(self, channel):
        # Asks Discord where the channel is not in the cache, so that what is wrong is said by Discord.
        return self.get_channel(int(channel)) or await self.fetch_channel(int(channel))

    def voice_channels(self, guild):
        guild = self.served(guild)
        return sorted([*guild.voice_channels, *guild.stage_channels], key=lambda channel: channel.id)

    async def on_message(self, message):
        print_line(
            {
                "event": "messageCreate",
                "guild": str(message.guild.id),
                "channel": str(message.channel.id),
                "message": str(message.id),
                "author": message.author.name,
                "webhook": str(message.webhook_id or ""),
                "text": message.content,
            }
        )

    async def on_guild_channel_create(self, channel):
        print_line({"event": "channelCreate", "guild": str(channel.guild.id)} | shown(channel))

    async def on_guild_channel_delete(self, channel):
        print_line({"event": "channelDelete", "guild": str(channel.guild.id)} | shown(channel))

    async def on_voice_state_update(self, member, before, after):
        print_line(
            {
                "event": "voiceStateUpdate",
                "guild": str(member.guild.id),
                "user": str(member.id),
                "from": str(before.channel.id) if before.channel else "",
                "to": str(after.channel.id) if after.channel else "",
                "mute": after.mute,
                "deaf": after.deaf,
            }
        )


def note(entry):
    target = getattr(entry.target, "id", "")
    return {"kind": entry.action.name, "user": str(entry.user_id), "target": str(target), "reason": entry.reason or ""}


def shown(channel):
    return {"channel": str(channel.id), "name": channel.name, "kind": KINDS.get(channel.type, "other")}


def print_line(content):
    print(json.dumps(content, ensure_ascii=False, separators=(",", ":")), flush=True)


async def main():
    async with Bot() as bot:
        await bot.start(os.environ.get("DISCORD_TOKEN", "a.bot.token"))


if __name__ == "__main__":
    asyncio.run(main())

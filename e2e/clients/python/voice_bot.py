"""A bot on discord.py, unmodified, that speaks in the emulated Discord: commands come on stdin, one JSON object a line.

    DISCORD_API=http://127.0.0.1:50080/api DISCORD_GATEWAY=ws://127.0.0.1:50080 SSL_CERT_FILE=ca.pem python voice_bot.py

Commands, answers and events are described in ../README.md. The library can speak and not listen. Its own encoder needs a
libopus on the machine, so the sound comes in as Opus packets, in a file of one base64 packet a line.
"""

import asyncio
import base64
import json
import os
import sys

import discord
import yarl

# The library has no setting for these addresses; both are constants that it reads when it connects.
discord.http.Route.BASE = f"{os.environ['DISCORD_API']}/v10"
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["DISCORD_GATEWAY"]).with_path("/")


class Packets(discord.AudioSource):
    def __init__(self, path, count):
        with open(path, encoding="ascii") as file:
            self.packets = [base64.b64decode(line) for line in file]
        self.left = count

    def read(self):
        if not self.left:
            return b""
        self.left -= 1
        return self.packets[-1 - self.left % len(self.packets)]

    def is_opus(self):
        return True


class Bot(discord.Client):
    def __init__(self):
        intents = discord.Intents.none()
        intents.guilds = intents.voice_states = True
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
            return {"failed": name, "status": 0, "code": getattr(error, "code", 0), "message": str(error)}

    async def do_join(self, guild, channel):
        place = self.get_guild(int(guild)).get_channel(int(channel))
        await place.connect(timeout=20, reconnect=True)
        return {"channel": channel}

    async def do_move(self, guild, channel):
        await self.voice_client.move_to(self.get_guild(int(guild)).get_channel(int(channel)))
        return {"channel": channel}

    async def do_leave(self):
        await self.voice_client.disconnect()
        return {}

    async def do_speak(self, packets, seconds):
        self.voice_client.play(Packets(packets, int(seconds * 50)))
        return {}

    async def do_privacy_code(self):
        return {"code": self.voice_client.voice_privacy_code or ""}

    @property
    def voice_client(self):
        return self.voice_clients[0]


def print_line(line):
    print(json.dumps(line), flush=True)


Bot().run(os.environ.get("DISCORD_TOKEN", "voice-bot-py"), log_handler=None)

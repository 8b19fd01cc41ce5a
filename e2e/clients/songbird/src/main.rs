//! A bot on songbird and twilight, unmodified, that speaks and listens in the emulated Discord: commands come on stdin, one
//! JSON object a line.
//!
//! ```text
//! DISCORD_GATEWAY=ws://127.0.0.1:50080 SSL_CERT_FILE=ca.pem songbird-voice-bot
//! ```
//!
//! Commands, answers and events are described in ../../README.md, and what is this program's alone below.

mod ear;
mod tone;

use std::{collections::HashMap, env, fs, io::Cursor, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};
use songbird::{
    Call, CoreEvent, Songbird, TrackEvent,
    id::{ChannelId, GuildId},
    input::{Input, RawAdapter},
    shards::TwilightMap,
    tracks::TrackHandle,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::Mutex,
};
use twilight_gateway::{ConfigBuilder, Event, EventTypeFlags, Intents, Shard, ShardId, StreamExt as _};

use self::ear::{Ear, Hearing};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let gateway = env::var("DISCORD_GATEWAY").context("DISCORD_GATEWAY is not set")?;
    let token = env::var("DISCORD_TOKEN").unwrap_or_else(|_| "voice-bot".to_owned());
    let intents = Intents::GUILDS | Intents::GUILD_VOICE_STATES;
    let config = ConfigBuilder::new(token, intents).proxy_url(gateway).build();
    let mut shard = Shard::with_config(ShardId::ONE, config);
    let ready = loop {
        let event = shard.next_event(EventTypeFlags::all()).await.context("the gateway is gone")??;
        if let Event::Ready(ready) = event {
            break ready;
        }
    };
    let shards = TwilightMap::new(HashMap::from([(0, shard.sender())]));
    let songbird = Arc::new(Songbird::twilight(Arc::new(shards), ready.user.id));
    let mut bot = Bot { songbird: Arc::clone(&songbird), hearing: Arc::default(), calls: HashMap::new(), guild: None };
    tokio::spawn(async move {
        while let Some(event) = shard.next_event(EventTypeFlags::all()).await {
            match event {
                Ok(event) => songbird.process(&event).await,
                Err(error) => eprintln!("{error}"),
            }
        }
    });

    let mut guilds: Vec<String> = ready.guilds.iter().map(|guild| guild.id.to_string()).collect();
    guilds.sort();
    print(&json!({"ready": {"user": ready.user.id.to_string(), "name": ready.user.name, "guilds": guilds}}));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let command: Value = serde_json::from_str(&line)?;
        if command["do"] == "quit" {
            break;
        }
        let mut answer = match bot.obey(&command).await {
            Ok(answer) => answer,
            Err(error) => json!({"failed": command["do"], "status": 0, "code": 0, "message": format!("{error:#}")}),
        };
        if !command["id"].is_null() {
            answer["id"] = command["id"].clone();
        }
        print(&answer);
    }
    for guild in bot.calls.keys() {
        // It may be in none there.
        let _ = bot.songbird.leave(*guild).await;
    }
    // songbird does not say when Discord has heard of it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    print(&json!({"done": "quit"}));
    // Whatever of songbird's threads still runs ends here.
    std::process::exit(0)
}

/// One line on stdout.
fn print(line: &Value) {
    println!("{line}");
}

struct Bot {
    songbird: Arc<Songbird>,
    hearing: Arc<Hearing>,
    /// By guild, each with ears.
    calls: HashMap<GuildId, Arc<Mutex<Call>>>,
    /// Where it was sent last.
    guild: Option<GuildId>,
}

impl Bot {
    async fn obey(&mut self, command: &Value) -> anyhow::Result<Value> {
        let name = command["do"].as_str().context("a command has to say what to do")?;
        match name {
            "join" => {
                let (guild, channel) = (GuildId::from(id(command, "guild")?), ChannelId::from(id(command, "channel")?));
                let call = self.call(guild).await;
                self.guild = Some(guild);
                // The lock must not be held until it has joined: what the gateway tells of it has to get in.
                let joining = call.lock().await.join(channel).await?;
                joining.await?;
                Ok(json!({"done": name, "channel": command["channel"]}))
            }
            "leave" => {
                self.songbird.leave(self.last()?).await?;
                Ok(json!({"done": name}))
            }
            "speak" => {
                let (hz, seconds) = (number(command, "hz")?, number(command, "seconds")?);
                let sound = RawAdapter::new(Cursor::new(tone::samples(hz, seconds)), tone::RATE, 2);
                let call = self.call(self.last()?).await;
                let track = call.lock().await.play_only_input(sound.into());
                plays(&track).await?;
                Ok(json!({"done": name, "hz": hz}))
            }
            // A file of Opus packets (DCA), which songbird passes on as they are, in every call.
            "play" => {
                let file = command["file"].as_str().context("no file")?;
                let bytes: &'static [u8] = fs::read(file).with_context(|| file.to_owned())?.leak();
                for call in self.calls.values() {
                    let track = call.lock().await.play_only_input(Input::from(bytes));
                    plays(&track).await?;
                }
                Ok(json!({"done": name, "calls": self.calls.len()}))
            }
            "listen" => {
                let among = command["among"].as_array().context("no frequencies")?;
                self.hearing.listen(among.iter().filter_map(Value::as_u64).collect());
                Ok(json!({"done": name}))
            }
            // Packets that have come out of songbird's jitter buffer, decrypted, by guild.
            "count" => Ok(json!({"done": name, "packets": self.hearing.packets()})),
            "privacy_code" => bail!("songbird 0.6.1 shows none"),
            other => Err(anyhow!("unknown command {other}")),
        }
    }

    /// The call of a guild, with ears.
    async fn call(&mut self, guild: GuildId) -> Arc<Mutex<Call>> {
        if let Some(call) = self.calls.get(&guild) {
            return Arc::clone(call);
        }
        let call = self.songbird.get_or_insert(guild);
        let mut locked = call.lock().await;
        for event in [
            CoreEvent::SpeakingStateUpdate,
            CoreEvent::RtpPacket,
            CoreEvent::VoiceTick,
            CoreEvent::DriverConnect,
            CoreEvent::DriverReconnect,
            CoreEvent::DriverDisconnect,
        ] {
            locked.add_global_event(event.into(), Ear::new(guild, Arc::clone(&self.hearing)));
        }
        drop(locked);
        self.calls.insert(guild, Arc::clone(&call));
        call
    }

    fn last(&self) -> anyhow::Result<GuildId> {
        self.guild.context("it was not told to join anything")
    }
}

/// Waits until a track can be played.
async fn plays(track: &TrackHandle) -> anyhow::Result<()> {
    track.add_event(TrackEvent::Error.into(), ear::Trouble)?;
    Ok(track.make_playable_async().await?)
}

fn id(command: &Value, key: &str) -> anyhow::Result<std::num::NonZeroU64> {
    let text = command[key].as_str().with_context(|| format!("no {key}"))?;
    text.parse().with_context(|| format!("{key} is no id: {text}"))
}

fn number(command: &Value, key: &str) -> anyhow::Result<u64> {
    command[key].as_u64().with_context(|| format!("no {key}"))
}

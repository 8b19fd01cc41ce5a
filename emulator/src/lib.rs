//! A Discord on loopback: REST, gateway, voice and people to script, for real client libraries.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use discord_emulator::{Config, Emulator, Fault, LOBBY};
//!
//! let discord = Emulator::start(Config::default()).await?;
//! // Point a bot at discord.rest_url() and discord.gateway_url(); any token logs in.
//! discord.wait_for(|stats| stats.identifies == 1).await;
//! discord.user("ann").joins(LOBBY).mutes(true);
//! discord.inject(Fault::DropConnections);
//! discord.wait_for(|stats| stats.resumes == 1).await;
//! # Ok(())
//! # }
//! ```
//!
//! Inside stands one pure machine, which is given the time and returns what to send; outside, a thin shell of
//! sockets. Every limit is a field of [`Config`], and everything that can go wrong is a [`Fault`].
//!
//! # Without sockets
//! A simulation on virtual time drives the [`Machine`] itself: a request and the time go in, an answer comes out, and
//! what the gateway has to tell waits in [`Machine::sent`]. The same inputs give the same outputs, ids included.
//!
//! ```
//! use discord_emulator::{Answer, Config, Machine, PARLOR_DEV, RestFault, RestTrouble, Timestamp, Work};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), http::Error> {
//! let mut now = Timestamp::from_unix_millis(1_800_000_000_000);
//! let mut discord = Machine::new(Config::default(), now);
//! // The first request is carried out, and its answer never comes.
//! discord.inject(RestFault::once(RestTrouble::Cut { work: Work::Done }), now);
//! let request = http::Request::post(format!("/api/v10/guilds/{PARLOR_DEV}/channels"))
//!     .header("authorization", "Bot any-token")
//!     .header("user-agent", "DiscordBot (https://parlor.example, 1)")
//!     .body(br#"{"name": "room", "type": 2}"#.to_vec())?;
//! assert!(matches!(discord.rest(&request, now), Answer::HangUp));
//! now = now + Duration::from_secs(1);
//! let again = discord.rest(&request, now).response().expect("no fault is left");
//! assert_eq!(again.status(), 201);
//! assert_eq!(discord.world().channels_named("room").count(), 2);
//! // What clients did wrong is counted: refusals that lead to a ban, and requests that did not wait.
//! assert!(discord.stats().invalid.is_empty() && discord.stats().too_early.is_empty());
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should panic"))]

mod config;
mod control;
mod discord;
mod faults;
mod gateway;
#[cfg(test)]
mod history;
mod machine;
mod rest;
mod shell;
mod stats;
mod text;
mod voice;
mod world;

pub use config::{Config, GatewayLimits, Limit, RestLimits};
pub use faults::{ErrorBody, Fault, Injection, RateLimit, RestAnswer, RestFault, RestTrouble, VoiceTrouble, Work};
pub use gateway::Intents;
pub use machine::{Connection, Machine, Sent, VoiceConnection, VoiceSent};
pub use rest::Answer;
pub use shell::{Emulator, Person};
pub use stats::{Stats, VoiceStats};
pub use voice::{DavePolicy, VoiceConfig};
pub use world::{
    ANN, Actor, AuditAction, AuditChange, AuditEntry, AuditEntryId, Author, Availability, BOB, Bot, BotToken, CLEO,
    Channel, ChannelEdit, ChannelError, ChannelId, ChannelKind, DAN, GAMES, GENERAL, Guild, GuildId, Happening, Holder,
    Invite, InviteCode, InviteError, InviteTerms, LOBBY, Member, MemberEdit, Message, MessageId, NewChannel,
    NewMessage, OTHER_GUILD, OTHER_ROOM, OWNER, Overwrite, OverwriteTarget, PARLOR_DEV, ParseIdError, Permissions,
    Presence, Role, RoleId, RoomFace, Standing, Switches, Timestamp, Transition, User, UserId, VOICE_CATEGORY,
    VoiceCredentials, VoiceError, VoiceSettings, VoiceState, VoiceTicket, Webhook, WebhookError, WebhookId,
    WebhookToken, World,
};

//! A Discord on loopback: REST, gateway and people to script, for real client libraries.
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
mod world;

pub use config::{Config, GatewayLimits, Limit, RestLimits};
pub use faults::{ErrorBody, Fault, Injection, RateLimit, RestAnswer, RestFault, RestTrouble, Work};
pub use gateway::Intents;
pub use machine::{Connection, Machine, Sent};
pub use rest::Answer;
pub use shell::{Emulator, Person};
pub use stats::Stats;
pub use world::{
    ANN, Actor, AuditAction, AuditChange, AuditEntry, AuditEntryId, Author, Availability, BOB, Bot, BotToken, CLEO,
    Channel, ChannelEdit, ChannelError, ChannelId, ChannelKind, DAN, GAMES, GENERAL, Guild, GuildId, Holder, Invite,
    InviteCode, InviteError, InviteTerms, LOBBY, Member, MemberEdit, Message, MessageId, NewChannel, NewMessage,
    OTHER_GUILD, OTHER_ROOM, OWNER, Overwrite, OverwriteTarget, PARLOR_DEV, ParseIdError, Permissions, Role, RoleId,
    Standing, Switches, Timestamp, User, UserId, VOICE_CATEGORY, VoiceCredentials, VoiceError, VoiceSettings,
    VoiceState, Webhook, WebhookError, WebhookId, WebhookToken, World,
};

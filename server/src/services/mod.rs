//! The gRPC services: each call is authenticated, parsed into types that cannot be wrong, permitted, and then done.

mod bell;
mod calls;
mod deadline;
mod discord;
mod events;
mod fields;
mod pages;
mod participants;
mod quota;
mod rooms;
mod streams;
mod voice;
mod webhooks;
mod wire;

pub use self::{
    calls::Journal,
    discord::{DiscordMembers, DiscordRooms, DiscordVoice, DiscordWebhooks, Translation, translations},
    events::{EventService, StreamRules},
    participants::Participants,
    quota::RoomQuota,
    rooms::Rooms,
    streams::StreamLimits,
    voice::{VoiceParts, VoiceSessions},
    webhooks::Webhooks,
};

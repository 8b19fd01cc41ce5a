//! The gRPC services: each call is authenticated, parsed into types that cannot be wrong, permitted, and then done.

mod bell;
mod calls;
mod deadline;
mod discord;
mod events;
mod fields;
mod pages;
mod rooms;
mod streams;
mod wire;

pub use self::{
    discord::DiscordRooms,
    events::{EventService, StreamRules},
    rooms::Rooms,
    streams::StreamLimits,
};

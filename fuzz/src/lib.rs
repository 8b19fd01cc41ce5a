//! What becomes of bytes from outside.
//!
//! One function per parser: it takes any bytes, hands them to the parser as its peer would, and asserts what must hold
//! whatever came in. That is never only "it does not panic": what is accepted is held against a second, simpler
//! reading of the rule, and what goes on from there against the rules of the house.
//!
//! The same functions run twice: `tests/replay.rs` feeds them the committed corpus and random changes of it, in every
//! `make test`; `libfuzzer/` lets libFuzzer look for more, in `make fuzz`. Everything is a function of the bytes alone:
//! keys and times are fixed, and nothing touches a network.
//!
//! An input is text where the parser's own input is (see [`input`]), so that a corpus can be read and written by hand.

mod auth;
mod config;
mod cursor;
mod discord;
mod emulator;
mod emulator_voice;
mod fold;
mod grpc_web;
pub mod input;
pub mod keys;
mod people;
mod requests;
mod scene;
mod voice_audio;
mod voice_session;
mod voice_wire;

pub use self::{
    auth::{bearer_header, jwks, token, token_claims},
    config::config_toml,
    cursor::cursor,
    discord::{discord_answers, discord_error_body, gateway_payload},
    emulator::{emulator_control, emulator_gateway_payload, emulator_rest_request},
    emulator_voice::emulator_voice,
    grpc_web::grpc_web_body,
    people::{execute_webhook_request, move_participant_request},
    requests::{create_room_request, page_token, subscribe_request, update_room_request},
    voice_audio::voice_audio,
    voice_session::voice_session,
    voice_wire::{
        voice_dave_opcode, voice_discovery, voice_frame_trailer, voice_gateway_payload, voice_rtcp, voice_rtp,
    },
};

/// A parser's function, and its name.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The function's name, which is also that of its folder in `corpus/` and of its program in `libfuzzer/`.
    pub name: &'static str,
    /// Takes any bytes; panics where something does not hold.
    pub run: fn(&[u8]),
}

/// Lists functions under their own names.
macro_rules! targets {
    ($($name:ident),+ $(,)?) => {
        /// Every target, by name.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $name }),+];
    };
}

targets![
    bearer_header,
    config_toml,
    create_room_request,
    cursor,
    discord_answers,
    discord_error_body,
    emulator_control,
    emulator_gateway_payload,
    emulator_rest_request,
    emulator_voice,
    execute_webhook_request,
    gateway_payload,
    grpc_web_body,
    jwks,
    move_participant_request,
    page_token,
    subscribe_request,
    token,
    token_claims,
    update_room_request,
    voice_audio,
    voice_dave_opcode,
    voice_discovery,
    voice_frame_trailer,
    voice_gateway_payload,
    voice_rtcp,
    voice_rtp,
    voice_session,
];

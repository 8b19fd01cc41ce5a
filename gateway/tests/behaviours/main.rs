//! The gateway crate against the emulated Discord, over real sockets.

mod requests_ask_for_what_their_names_say;
mod requests_obey_every_limit;
mod the_core_is_pure;

use std::time::{Duration, Instant};

use discord_emulator::{Config, Emulator, RestLimits};
use parlor_gateway::rest::{Caller, NewRoom, Rest, Tenant};
use parlor_gateway::{GuildId, RoomKind};
use secrecy::SecretString;

/// The guild that every emulator begins with.
const GUILD: GuildId = GuildId::new(discord_emulator::PARLOR_DEV.get());

/// A Discord with these limits, and a client of it.
async fn discord(limits: RestLimits) -> (Emulator, Rest) {
    let emulator = Emulator::start(Config { rest: limits, ..Config::default() }).await.expect("a free port");
    let rest = Rest::new(&emulator.rest_url(), &SecretString::from("a-bot")).expect("a client");
    (emulator, rest)
}

/// Somebody with half a minute.
fn ann() -> Caller {
    Caller::new(Tenant::new("ann"), Instant::now() + Duration::from_secs(30))
}

fn room(name: &str) -> NewRoom {
    NewRoom {
        guild: GUILD,
        name: name.to_owned(),
        kind: RoomKind::Voice,
        category: None,
        user_limit: 0,
        bitrate: None,
        rtc_region: None,
        video_quality: None,
        overwrites: Vec::new(),
    }
}

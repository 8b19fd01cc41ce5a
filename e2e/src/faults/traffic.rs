//! People who come, go and move about, and rooms that come, change and go, as a seed decides.

use std::time::Duration;

use discord_emulator::{
    ChannelEdit, ChannelId, Emulator, GAMES, LOBBY, MemberEdit, NewChannel, OTHER_GUILD, OTHER_ROOM, PARLOR_DEV,
    UserId, World,
};
use tokio::{sync::watch, task::JoinHandle};

/// Rooms beside the three that are always there, at most.
const MORE_ROOMS: usize = 6;

/// Traffic that flows and stops.
#[derive(Debug)]
pub(super) struct Traffic {
    flows: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Traffic {
    /// Traffic of so many people, with about so long between two happenings. It does not flow yet.
    pub(super) fn new(emulator: &Emulator, people: usize, pause: Duration, mut rng: fastrand::Rng) -> Self {
        let (flows, mut allowed) = watch::channel(false);
        let emulator = emulator.clone();
        let task = tokio::spawn(async move {
            let people: Vec<UserId> =
                emulator.world(|world| (0..people).map(|number| world.person(&format!("person{number}"))).collect());
            let mut made = Vec::new();
            while allowed.wait_for(|allowed| *allowed).await.is_ok() {
                emulator.world(|world| happens(world, &people, &mut made, &mut rng));
                tokio::time::sleep(pause.mul_f64(2.0 * rng.f64())).await;
            }
        });
        Self { flows, task }
    }

    /// Lets it flow, or stops it, which may let one more thing happen.
    pub(super) fn flow(&self, on: bool) {
        self.flows.send_replace(on);
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One thing happens. What Discord would refuse does not happen.
fn happens(world: &mut World, people: &[UserId], made: &mut Vec<ChannelId>, rng: &mut fastrand::Rng) {
    let who = people[rng.usize(..people.len())];
    let fixed = [LOBBY, GAMES, OTHER_ROOM];
    let rooms: Vec<ChannelId> = fixed.iter().chain(made.iter()).copied().collect();
    match rng.u32(0..100) {
        0..55 => {
            let _ = world.join(who, rooms[rng.usize(..rooms.len())]);
        }
        55..70 => {
            let _ = world.leave(who);
        }
        70..80 => {
            let _ = world.switch(who, |switches| switches.self_mute = !switches.self_mute);
        }
        80..85 => {
            let _ = world.switch(who, |switches| switches.self_video = !switches.self_video);
        }
        85..88 => {
            if let Some(guild) = world.guild_of_voice(who) {
                let mute = !world.presence(guild, who).is_some_and(|now| now.mute);
                world.edit_member(guild, who, MemberEdit { mute: Some(mute), ..MemberEdit::default() });
            }
        }
        88..93 => {
            if made.len() < MORE_ROOMS {
                let guild = if rng.bool() { PARLOR_DEV } else { OTHER_GUILD };
                made.extend(world.create_channel(guild, NewChannel::voice(&format!("Room {}", rng.u32(..)))));
            }
        }
        93..96 => {
            if let Some(room) = rng.choice(made.as_slice()) {
                let name = Some(format!("Renamed {}", rng.u32(..)));
                let _ = world.edit_channel(*room, ChannelEdit { name, ..ChannelEdit::default() });
            }
        }
        _ => {
            if !made.is_empty() {
                let room = made.swap_remove(rng.usize(..made.len()));
                drop(world.delete_channel(room));
            }
        }
    }
}

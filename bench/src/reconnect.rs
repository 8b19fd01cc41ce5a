//! How long subscribers hear nothing when the connection to Discord breaks.

use std::time::{Duration, Instant};

use anyhow::Result;
use discord_emulator::{Fault, GAMES, LOBBY};
use parlor_e2e::House;

/// From the moment at which the emulated Discord drops the connection, and somebody moves unseen, until a subscriber of the
/// event stream has been told of the move. Each round has a server of its own, because pauses grow from break to break.
pub(crate) fn after_a_drop(rounds: usize) -> Result<Vec<Duration>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut took = Vec::new();
        for _ in 0..rounds {
            let house = House::start().await;
            let mut watcher = house.watch().await;
            let discord = &house.emulator;
            discord.user("ann").joins(LOBBY);
            watcher.until_it_sees_the_truth(&house).await;
            let began = Instant::now();
            discord.inject(Fault::DropConnections);
            discord.user("ann").moves(GAMES);
            watcher.until_it_sees_the_truth(&house).await;
            took.push(began.elapsed());
        }
        Ok(took)
    })
}

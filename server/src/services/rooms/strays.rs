//! Rooms that carry Parlor's mark in the audit log and that the store knows nothing of: reported, and left alone.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use parlor_gateway::{
    RoomId,
    rest::{AuditEntry, Caller},
};
use parlor_proto::v1::UpstreamState;
use tracing::warn;

use super::keeper::Keeper;
use crate::services::deadline;

/// How far back the audit log is looked at: as long as Discord keeps an entry (Discord docs, resources/audit-log).
const LOOKED_BACK: Duration = Duration::from_secs(45 * 24 * 3_600);

/// How long Discord may take over one guild's log: it is read when nobody else asks for anything.
const UNHURRIED: Duration = Duration::from_secs(300);

/// So long after the gateway is live the looking begins: what callers wait for goes first.
const SETTLING: Duration = Duration::from_secs(20);

impl Keeper {
    /// Once Discord has told how things stand, looks through the audit log of each guild for rooms that an earlier store
    /// knew. They may be another deployment's, so nothing is done to them.
    pub(super) async fn report_strays(self: Arc<Self>) {
        let mut changes = self.hub.changes();
        while self.hub.upstream() != UpstreamState::Live {
            if changes.changed().await.is_err() {
                return;
            }
        }
        tokio::time::sleep(SETTLING).await;
        let Some(bot) = self.hub.snapshot().self_user() else { return };
        let guilds: Vec<_> = self.hub.snapshot().guilds.keys().copied().collect();
        let mut strays = 0;
        for guild in guilds {
            let since = (self.clock)().checked_sub(LOOKED_BACK).unwrap_or(SystemTime::UNIX_EPOCH);
            let caller = Caller::sweeper(deadline::now() + UNHURRIED);
            let Ok(made) = self.discord.made_by(guild, bot, since, &caller).await else { continue };
            let snapshot = self.hub.snapshot();
            let Some(known) = snapshot.guilds.get(&guild) else { continue };
            let marked = |entry: &&AuditEntry| {
                entry.by == Some(bot) && entry.reason.as_ref().is_some_and(|reason| reason.contains("[parlor:"))
            };
            for entry in made.iter().filter(marked) {
                let room = RoomId::new(entry.channel.get());
                if known.is_managed(room) == Some(false) {
                    strays += 1;
                    warn!(%guild, %room, "a room carries Parlor's mark and this store does not know it: it is left alone");
                }
            }
        }
        metrics::gauge!("parlor_rooms_stray").set(f64::from(strays));
    }
}

//! Whoever does things to rooms: on a caller's word, by a room's policy, and to finish what a process left half done.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parlor_gateway::{GuildId, RoomId, rest::Caller};
use parlor_proto::v1;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::{
    auth::Clock,
    hub::{Closed, Draft, Hub},
    rates::Rates,
    rooms::Due,
    services::{
        deadline,
        discord::{DiscordRooms, EndPermit, Mandate as _},
        quota::RoomQuota,
    },
    status::{Failure, Reason},
    telemetry::names,
};

/// How long Discord may take over what nobody waits for.
pub(super) const UNHURRIED: Duration = Duration::from_secs(30);

/// The pause before a room is ended again that Discord did not let end.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Keeper {
    pub(super) hub: Arc<Hub>,
    pub(super) discord: DiscordRooms,
    pub(super) rates: Arc<Rates>,
    pub(super) quota: RoomQuota,
    pub(super) clock: Clock,
}

/// The hub has ended, or takes nothing.
pub(super) fn not_stored(_: Closed) -> Failure {
    Failure::new(Reason::StoreUnavailable, "what happens cannot be stored at the moment: try again")
        .retry_after(Duration::from_secs(1))
}

pub(super) fn unknown_room(room: RoomId) -> Failure {
    Failure::new(Reason::RoomUnknown, "there is no such room").with("room_id", room.to_string())
}

/// The audit log's reason: the caller's, and what makes it ours.
pub(super) fn audited(reason: &str, mark: &str) -> String {
    format!("{reason} {mark}").trim_start().to_owned()
}

/// A request of Parlor's own, which nobody waits for.
pub(super) fn unhurried() -> Caller {
    Caller::house(deadline::now() + UNHURRIED)
}

impl Keeper {
    /// Does something that is stored in one step.
    pub(super) async fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Draft<'_>) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        self.hub.act((self.clock)(), act).await.map_err(not_stored)
    }

    /// Nothing is begun whose outcome could not be stored.
    pub(super) fn must_be_writable(&self) -> Result<(), Failure> {
        if self.hub.is_writable() { Ok(()) } else { Err(not_stored(Closed)) }
    }

    /// Ends rooms as their policies say, for as long as it is polled.
    pub(super) async fn keep_policies(self: Arc<Self>) {
        let mut rounds = self.hub.rounds();
        loop {
            rounds.mark_unchanged();
            let now = deadline::now();
            let next = self.hub.next_deadline();
            if next.is_some_and(|at| at <= now) {
                let Ok(due) = self.begin_due(now).await else { return };
                for due in &due {
                    tokio::spawn(Arc::clone(&self).end_due(*due));
                }
                if !due.is_empty() {
                    continue;
                }
            }
            // What is over and not due waits for Discord's word, or for an end that has begun already.
            let next = next.filter(|at| *at > now);
            let passed = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passed => {}
                another = rounds.changed() => if another.is_err() { return },
            }
        }
    }

    async fn begin_due(&self, now: Instant) -> Result<Vec<Due>, Failure> {
        self.act(move |draft| {
            let due = draft.lifecycles.due(draft.directory, now);
            for due in &due {
                draft.directory.begin_end(due.guild, due.room, due.cause.reason());
            }
            due
        })
        .await
    }

    async fn end_due(self: Arc<Self>, due: Due) {
        let Due { guild, room, cause } = due;
        let why = audited(cause.as_str(), "[parlor]");
        match self.discord.end(&EndPermit::Policy(due), room, &why, &unhurried()).await {
            Ok(_) => {
                info!(%guild, %room, cause = cause.as_str(), "a room was ended by its policy");
                metrics::counter!("parlor_rooms_expired_total", "cause" => cause.as_str()).increment(1);
                let end = move |draft: &mut Draft<'_>| {
                    let changes = draft.directory.end_room(guild, room, draft.wall);
                    draft.tell(changes);
                };
                // If this is not stored, the process is ending, and the next one finds the room to be ending.
                let _ = self.act(end).await;
            }
            Err(failure) => {
                let reason = failure.reason().as_str();
                warn!(%guild, %room, cause = cause.as_str(), reason, again_in = ?TRY_AGAIN, "a room's policy says that it ends, and Discord does not let it");
                let until = deadline::now() + TRY_AGAIN;
                let give_up = move |draft: &mut Draft<'_>| {
                    draft.directory.abandon_end(guild, room);
                    draft.lifecycles.postpone(room, until);
                };
                let _ = self.act(give_up).await;
                metrics::counter!(names::ROOMS_END_REFUSED, "cause" => cause.as_str()).increment(1);
            }
        }
    }

    /// Ends the rooms whose end had begun when the last process ended, for as long as it takes: nobody has heard that they
    /// would not end.
    pub(super) async fn finish_ends(self: Arc<Self>) {
        let snapshot = self.hub.snapshot();
        let begun: Vec<_> = snapshot
            .guilds
            .iter()
            .flat_map(|(guild, known)| known.ending().map(|(room, reason)| (*guild, room, reason)))
            .collect();
        let mut ends = JoinSet::new();
        for (guild, room, reason) in begun {
            info!(%guild, %room, reason = reason.as_str_name(), "ending a room whose end had begun before the restart");
            ends.spawn(Arc::clone(&self).finish_end(guild, room));
        }
        while ends.join_next().await.is_some() {}
    }

    /// Until it is done, the store says that it has begun: the next process goes on, too.
    async fn finish_end(self: Arc<Self>, guild: GuildId, room: RoomId) {
        let is_there = || self.hub.snapshot().guilds.get(&guild).is_some_and(|known| known.has_room(room));
        while is_there() {
            let permit = EndPermit::Begun(guild);
            match self.discord.end(&permit, room, "begun before a restart [parlor]", &unhurried()).await {
                Ok(_) => {
                    let end = move |draft: &mut Draft<'_>| {
                        let changes = draft.directory.end_room(guild, room, draft.wall);
                        draft.tell(changes);
                    };
                    // If this is not stored, the process is ending.
                    let _ = self.act(end).await;
                    return;
                }
                Err(failure) => {
                    let reason = failure.reason().as_str();
                    warn!(%guild, %room, reason, again_in = ?TRY_AGAIN, "a room whose end had begun stays for now");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    /// Deletes a room on Discord, and notes that it ended.
    pub(super) async fn delete(
        &self,
        permit: &EndPermit,
        room: RoomId,
        reason: &str,
        caller: &Caller,
        keep: impl FnOnce(&mut Draft<'_>, &v1::EndRoomResponse) + Send + 'static,
    ) -> Result<v1::EndRoomResponse, Failure> {
        let guild = permit.guild();
        self.act(move |draft| draft.directory.begin_end(guild, room, v1::room_ended::Reason::Api)).await?;
        let deleted = match self.discord.end(permit, room, reason, caller).await {
            Ok(deleted) => deleted,
            Err(failure) => {
                // The failure is what the caller has to hear of.
                let _ = self.act(move |draft| draft.directory.abandon_end(guild, room)).await;
                return Err(failure);
            }
        };
        let end = move |draft: &mut Draft<'_>| {
            let changes = draft.directory.end_room(guild, room, draft.wall);
            draft.tell(changes);
            let placed = draft.placed(guild, room);
            let answer = v1::EndRoomResponse {
                room: placed.room,
                already_gone: deleted == crate::services::discord::Deleted::Before,
                cursor: placed.cursor,
                request_id: String::new(),
            };
            keep(draft, &answer);
            answer
        };
        self.act(end).await
    }
}

//! What a session's task and its callers share.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use parlor_gateway::{
    GuildId, RoomId, UserId,
    rest::{Caller, Tenant},
};
use parlor_proto::v1::{self, VoiceSessionEnding as Ending};
use parlor_voice::Verification;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use uuid::Uuid;

use super::{
    announcement::Announcement,
    leases::Leases,
    listeners::Listeners,
    picture::{Ended, Picture},
    sources::Sources,
    watchers::Watchers,
};
use crate::auth::{Clock, Subject};

/// One session, as callers have it. The task that drives it is in `driver.rs`.
pub struct Session {
    id: Uuid,
    guild: GuildId,
    created_at: SystemTime,
    clock: Clock,
    shared: Mutex<Shared>,
    /// Tells the task that there is something to look at in what is shared.
    work: Notify,
    commands: mpsc::UnboundedSender<Command>,
    /// Whether the task is done. It is notified of every change of state, too.
    over: watch::Receiver<bool>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("id", &self.id).field("guild", &self.guild).finish_non_exhaustive()
    }
}

/// What callers change themselves, and what they see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) picture: Picture,
    pub(super) leases: Leases,
    pub(super) listeners: Listeners,
    pub(super) sources: Sources,
    pub(super) watchers: Watchers,
    pub(super) marks: Marks,
    /// What the room was told of those who listen.
    pub(super) announcement: Announcement,
}

/// What was asked of a session once, and stays.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Marks {
    /// The room's text is told when somebody begins to listen.
    pub(super) announces: bool,
    /// It is taken up again after a restart.
    pub(super) rejoins: bool,
}

/// What only the task can do.
#[derive(Debug)]
pub(super) enum Command {
    /// Leave, for this reason.
    End(Ending),
    /// Discord does not let the bot speak on this stage.
    StayInAudience(RoomId),
    /// Somebody wants to be heard no more, or again.
    SetOptedOut(UserId, bool),
    /// What the code to compare with this user is computed from.
    Verify(UserId, oneshot::Sender<Option<Verification>>),
}

/// The task's ends of what it shares.
pub(super) struct Ends {
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) over: watch::Sender<bool>,
}

impl Session {
    /// A session that nobody keeps yet.
    pub(super) fn new(id: Uuid, guild: GuildId, picture: Picture, clock: Clock) -> (Arc<Self>, Ends) {
        let (commands, from_callers) = mpsc::unbounded_channel();
        let (over, is_over) = watch::channel(false);
        let shared = Shared {
            picture,
            leases: Leases::default(),
            listeners: Listeners::default(),
            sources: Sources::default(),
            watchers: Watchers::default(),
            marks: Marks::default(),
            announcement: Announcement::default(),
        };
        let created_at = clock();
        let session = Self {
            id,
            guild,
            created_at,
            clock,
            shared: Mutex::new(shared),
            work: Notify::new(),
            commands,
            over: is_over,
        };
        (Arc::new(session), Ends { commands: from_callers, over })
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Its guild.
    pub fn guild(&self) -> GuildId {
        self.guild
    }

    /// The room that it is in.
    pub fn room(&self) -> RoomId {
        self.shared().picture.room
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.shared().picture.is_over()
    }

    /// Why it is over, if it is.
    pub fn ended(&self) -> Option<Ended> {
        self.shared().picture.ended()
    }

    /// The session as it is now.
    pub fn show(&self) -> v1::VoiceSession {
        self.show_locked(&self.shared())
    }

    /// How good the connection is.
    pub fn quality(&self) -> v1::VoiceQuality {
        self.shared().picture.quality()
    }

    /// What protects the call.
    pub fn e2ee(&self) -> v1::E2eeState {
        self.shared().picture.e2ee()
    }

    /// Gives a lease back. False where there is none of this subject.
    pub fn give_back(&self, lease: Uuid, subject: &Subject) -> bool {
        let given = self.shared().leases.give_back(lease, subject);
        self.wake();
        given
    }

    /// Ends the session.
    pub fn end(&self, ending: Ending) {
        self.tell(Command::End(ending));
    }

    /// What the code is computed from with which this user checks that nobody sits between. None where they have no key.
    pub async fn verification(&self, user: UserId) -> Option<Verification> {
        let (tell, answer) = oneshot::channel();
        self.tell(Command::Verify(user, tell));
        answer.await.ok().flatten()
    }

    /// Waits until audio can flow, and it is known whether the bot is heard, or the session is over.
    pub async fn settled(&self) {
        let mut watching = self.over.clone();
        loop {
            {
                let shared = self.shared();
                let is_settled = shared.picture.is_audible() && shared.picture.knows_whether_it_is_heard();
                if is_settled || shared.picture.is_over() {
                    return;
                }
            }
            if watching.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until the session is over.
    pub async fn has_ended(&self) {
        let mut watching = self.over.clone();
        while !self.is_over() && watching.changed().await.is_ok() {}
    }

    /// The room whose text has to be told now that somebody listens, if any.
    pub(super) fn announces_now(&self, now: Instant) -> Option<RoomId> {
        let mut shared = self.shared();
        let (room, listeners) = (shared.picture.room, shared.listeners.len());
        let due =
            shared.marks.announces && !shared.picture.is_over() && shared.announcement.is_due(room, listeners, now);
        due.then_some(room)
    }

    /// What was to be told at this time did not reach the room.
    pub(super) fn announced_nothing(&self, room: RoomId, at: Instant) {
        self.shared().announcement.failed(room, at);
    }

    /// On whose behalf the session asks Discord by itself: one of those who keep it.
    pub(super) fn caller(&self, deadline: Instant) -> Caller {
        match self.shared().leases.subject() {
            Some(subject) => Caller::new(Tenant::new(subject.as_str()), deadline),
            None => Caller::house(deadline),
        }
    }

    /// Waits until the task is done and another session may take its place.
    pub(super) async fn over(&self) {
        // An error says the same.
        let _ = self.over.clone().wait_for(|over| *over).await;
    }

    pub(super) fn tell(&self, command: Command) {
        // A task that is gone has nothing left to do.
        let _ = self.commands.send(command);
    }

    /// Has the task look at what is shared.
    pub(super) fn wake(&self) {
        self.work.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.work.notified().await;
    }

    /// The time of day.
    pub(super) fn wall(&self) -> SystemTime {
        (self.clock)()
    }

    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn show_locked(&self, shared: &Shared) -> v1::VoiceSession {
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        v1::VoiceSession {
            session_id: self.id.to_string(),
            guild_id: self.guild.to_string(),
            created_at: Some(self.created_at.into()),
            lease_count: count(shared.leases.len()),
            listener_count: count(shared.listeners.len()),
            source_count: count(shared.sources.len()),
            announces_listening: shared.marks.announces,
            rejoins: shared.marks.rejoins,
            ..shared.picture.show()
        }
    }
}

impl Shared {
    /// Tells watchers what happened.
    pub(super) fn tell(&mut self, session: &Session, event: v1::watch_session_response::Event, wall: SystemTime) {
        let told = v1::WatchSessionResponse { event_time: Some(wall.into()), event: Some(event) };
        let mut watchers = std::mem::take(&mut self.watchers);
        watchers.tell(&told, || session.show_locked(self));
        self.watchers = watchers;
    }

    /// Shows the session to watchers who have missed something and read again.
    pub(super) fn catch_up(&mut self, session: &Session, wall: SystemTime) {
        let mut watchers = std::mem::take(&mut self.watchers);
        watchers.catch_up(wall.into(), || session.show_locked(self));
        self.watchers = watchers;
    }

    /// Whether nobody keeps the session any more.
    pub(super) fn is_released(&mut self, now: Instant) -> bool {
        self.leases.run_out(now)
    }
}

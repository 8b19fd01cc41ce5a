//! CreateRoom: exactly one channel for each request, wherever the process or the connection breaks.
//!
//! ```text
//!            ┌──────────── not there, for the first time ────────────┐
//!            ▼                                                        │
//!   intent ─ POST ─ answered ─▶ settle ─ nothing else asked ─▶ answer │
//!            │                   │  ▲                               │
//!            │ no answer         │  └── it is there ── look, twice ─┤
//!            └───────────────────┼────────────────────▲             │
//!                                ▼                     └ 3 s ────────┴─▶ nobody knows: the intent stays
//!                     furnish: status, invite ─▶ answer
//! ```

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parlor_gateway::{
    RoomFacts, RoomId, UserId,
    rest::{Caller, Tenant},
};
use parlor_proto::v1;
use tracing::{info, warn};

use super::{
    keeper::{Keeper, UNHURRIED, audited, unhurried, unknown_room},
    spec::CreateOrder,
};
use crate::{
    hub::Draft,
    rates::Patience,
    rooms::{CallKey, Finding, Intent, Progress, Wanted, mark_of},
    services::{
        calls::{Journal, Ticket},
        deadline,
        discord::{CreatePermit, EndPermit, Mandate as _, NotMade},
        quota::Place,
    },
    status::{Failure, Reason},
    telemetry::names,
};

/// Between two looks for a channel whose making was not answered: what Discord has begun, it has done by then.
const BETWEEN_LOOKS: Duration = Duration::from_secs(3);

/// How often a room is looked for at most: after each answer that another may contradict.
const LOOKS: usize = 8;

/// How many channels that look like the one that was asked for are named at most.
const MOST_NAMED: usize = 10;

/// The pause between two attempts to find out about calls that were broken off.
const BETWEEN_HEALINGS: Duration = Duration::from_secs(30);

/// Discord's default bitrate (Discord docs, resources/channel).
const DEFAULT_BITRATE: u32 = 64_000;

/// A room to make for somebody.
pub(super) struct Creation {
    pub(super) order: CreateOrder,
    pub(super) permit: CreatePermit,
    pub(super) tenant: Tenant,
    pub(super) deadline: Instant,
    /// How long it may wait for its guild's turn.
    pub(super) patience: Patience,
}

impl Creation {
    /// The caller may be gone by the second time; what was begun is finished all the same.
    fn asked_again(&self) -> Caller {
        Caller::new(self.tenant.clone(), self.deadline.max(deadline::now() + UNHURRIED))
    }

    fn intent(&self, asked_at: SystemTime) -> Intent {
        let CreateOrder { guild, spec, ownership, status, invite, request_id, .. } = &self.order;
        Intent {
            request_id: *request_id,
            guild: *guild,
            name: spec.name.clone(),
            kind: spec.kind,
            category: spec.category,
            user_limit: spec.user_limit.into(),
            bitrate: spec.bitrate.unwrap_or(DEFAULT_BITRATE),
            ownership: ownership.clone(),
            status: status.clone(),
            invite: *invite,
            asked_at,
        }
    }
}

/// A channel that Discord has been asked for, or is about to be.
struct Making {
    intent: Intent,
    ticket: Ticket,
    /// Among the rooms that its subject may have, until the directory shows it.
    place: Place,
}

/// Whether something may have been done before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Time {
    First,
    Again,
}

/// What looking for a channel has led to.
enum Search {
    /// It carries the mark.
    Found(RoomFacts),
    NotThere,
    /// It was made, and somebody has deleted it.
    Gone(RoomId),
    /// Discord does not say. These look like it, and may be somebody else's.
    Unclear(Vec<RoomId>),
}

impl Keeper {
    /// Makes the room that a call asks for, or goes on where an earlier one was broken off.
    pub(super) async fn create(
        self: Arc<Self>,
        creation: Creation,
        ticket: Ticket,
        before: Option<Progress>,
    ) -> Result<v1::CreateRoomResponse, Failure> {
        match before {
            None => {
                let place = self.quota.reserve(&creation.order.ownership.creator, || self.hub.snapshot())?;
                self.rates.turn_in_guild(creation.permit.guild(), creation.patience).await?;
                let intent = creation.intent((self.clock)());
                self.begin(&intent, &ticket).await?;
                let caller = Caller::new(creation.tenant.clone(), creation.deadline);
                let made = self.post(&creation, &caller).await;
                self.after_post(&creation, Making { intent, ticket, place }, made, true).await
            }
            Some(Progress::Creating(intent)) => {
                self.expect(&intent).await?;
                let making = self.resume(intent, ticket);
                match self.search(&creation.permit, &making.intent).await {
                    Search::NotThere => {
                        let made = self.post(&creation, &creation.asked_again()).await;
                        self.after_post(&creation, making, made, false).await
                    }
                    known @ (Search::Found(_) | Search::Gone(_) | Search::Unclear(_)) => {
                        self.after_search(making, known).await
                    }
                }
            }
            Some(Progress::Furnishing { intent, room, cursor }) => {
                self.furnish(intent, ticket, room, cursor, Time::Again).await
            }
            Some(Progress::Asked | Progress::Answered(_)) => {
                Err(Failure::new(Reason::Internal, "the call was answered before"))
            }
        }
    }

    /// Finds out what became of a call that was broken off. What is not there is not made: nobody waits for it.
    async fn heal(self: Arc<Self>, ticket: Ticket, before: Progress) -> Result<v1::CreateRoomResponse, Failure> {
        match before {
            Progress::Creating(intent) => {
                let permit = CreatePermit::begun(&intent);
                let making = self.resume(intent, ticket);
                let found = self.search(&permit, &making.intent).await;
                self.after_search(making, found).await
            }
            Progress::Furnishing { intent, room, cursor } => {
                self.furnish(intent, ticket, room, cursor, Time::Again).await
            }
            Progress::Asked | Progress::Answered(_) => {
                Err(Failure::new(Reason::Internal, "the call was answered before"))
            }
        }
    }

    /// Takes up what a process left half done, and what could not be found out about, for as long as it is polled. Where
    /// nothing is left it looks again all the same: calls are broken off while the process lives, too.
    pub(super) async fn keep_healing(self: Arc<Self>, journal: Journal) {
        let mut expected = true;
        loop {
            for (key, progress) in journal.broken_off() {
                // At the start they are expected already, before the gateway could tell of them.
                if !expected
                    && let Progress::Creating(intent) = &progress
                    && self.expect(intent).await.is_err()
                {
                    return;
                }
                info!("taking up a call that was broken off");
                let keeper = Arc::clone(&self);
                journal.take_up(key, |ticket, progress| keeper.heal(ticket, progress));
            }
            expected = false;
            tokio::time::sleep(BETWEEN_HEALINGS).await;
        }
    }

    /// Keeps back what the gateway tells of the channels whose making was broken off, until it is known whose they are.
    /// To be called before the gateway is connected to.
    pub(super) async fn expect_all(&self, broken_off: &[(CallKey, Progress)]) -> Result<(), Failure> {
        for (_, progress) in broken_off {
            if let Progress::Creating(intent) = progress {
                self.expect(intent).await?;
            }
        }
        Ok(())
    }

    fn resume(&self, intent: Intent, ticket: Ticket) -> Making {
        let place = self.quota.resume(&intent.ownership.creator);
        Making { intent, ticket, place }
    }

    async fn begin(&self, intent: &Intent, ticket: &Ticket) -> Result<(), Failure> {
        let (intent, ticket) = (intent.clone(), ticket.clone());
        let begin = move |draft: &mut Draft<'_>| {
            draft.directory.expect_room(intent.guild, &intent.name);
            ticket.keep(draft, Progress::Creating(intent));
        };
        self.act(begin).await
    }

    async fn expect(&self, intent: &Intent) -> Result<(), Failure> {
        let (guild, name) = (intent.guild, intent.name.clone());
        self.act(move |draft| draft.directory.expect_room(guild, &name)).await
    }

    async fn post(&self, creation: &Creation, caller: &Caller) -> Result<RoomFacts, NotMade> {
        let CreateOrder { spec, request_id, reason, .. } = &creation.order;
        let reason = audited(reason, &mark_of(*request_id));
        self.discord.create(&creation.permit, spec, self.bot(), &reason, caller).await
    }

    async fn after_post(
        &self,
        creation: &Creation,
        making: Making,
        made: Result<RoomFacts, NotMade>,
        may_ask_again: bool,
    ) -> Result<v1::CreateRoomResponse, Failure> {
        let found = match made {
            Ok(facts) => return self.settle(making, facts).await,
            Err(NotMade::Failed(failure)) => {
                self.give_up(making).await?;
                return Err(failure);
            }
            Err(NotMade::Unknown) => self.search(&creation.permit, &making.intent).await,
        };
        match found {
            Search::NotThere if may_ask_again => {
                let made = self.post(creation, &creation.asked_again()).await;
                Box::pin(self.after_post(creation, making, made, false)).await
            }
            // Twice without an answer and nothing to see: a repeat finds out.
            Search::NotThere => self.after_search(making, Search::Unclear(Vec::new())).await,
            known @ (Search::Found(_) | Search::Gone(_) | Search::Unclear(_)) => self.after_search(making, known).await,
        }
    }

    async fn after_search(&self, making: Making, found: Search) -> Result<v1::CreateRoomResponse, Failure> {
        let request_id = making.intent.request_id.to_string();
        match found {
            Search::Found(facts) => self.settle(making, facts).await,
            Search::NotThere => {
                self.give_up(making).await?;
                let message = "the room was not made: a repeat with this request_id makes it";
                Err(Failure::new(Reason::CreateOutcomeUnknown, message).with("request_id", request_id))
            }
            Search::Gone(room) => {
                self.give_up(making).await?;
                let message = "the room was made, and somebody has deleted it since";
                Err(Failure::new(Reason::RoomEnded, message).with("room_id", room.to_string()))
            }
            Search::Unclear(rooms) => {
                let Intent { guild, name, .. } = making.intent;
                let release = move |draft: &mut Draft<'_>| {
                    let changes = draft.directory.settle_room(guild, &name, None, draft.wall);
                    draft.tell(changes);
                };
                self.act(release).await?;
                Err(unclear(request_id, &rooms))
            }
        }
    }

    /// Nothing was made.
    async fn give_up(&self, Making { intent, ticket, place: _held }: Making) -> Result<(), Failure> {
        let forget = move |draft: &mut Draft<'_>| {
            let changes = draft.directory.settle_room(intent.guild, &intent.name, None, draft.wall);
            draft.tell(changes);
            ticket.forget(draft);
        };
        self.act(forget).await
    }

    /// The channel is there: it is ours from now on.
    async fn settle(
        &self,
        Making { intent, ticket, place }: Making,
        facts: RoomFacts,
    ) -> Result<v1::CreateRoomResponse, Failure> {
        let room = facts.room;
        place.made(room);
        let (wanted, hold) = (intent.clone(), ticket.clone());
        let settle = move |draft: &mut Draft<'_>| {
            let Intent { guild, name, ownership, request_id, .. } = wanted.clone();
            let changes = draft.directory.settle_room(guild, &name, Some((facts, ownership)), draft.wall);
            draft.tell(changes);
            let placed = draft.placed(guild, room);
            // The bot can be removed from the guild between Discord's answer and here.
            let Some(shown) = placed.room else {
                hold.forget(draft);
                return Err(unknown_room(room));
            };
            if wanted.has_furniture() {
                let cursor = placed.cursor.clone();
                hold.keep(draft, Progress::Furnishing { intent: wanted, room, cursor });
                return Ok(Err(placed.cursor));
            }
            let request_id = request_id.to_string();
            let answer = v1::CreateRoomResponse { room: Some(shown), cursor: placed.cursor, request_id, invite: None };
            hold.answer(draft, &answer);
            Ok(Ok(answer))
        };
        let settled = self.act(settle).await;
        // It is shown, or never will be.
        drop(place);
        match settled?? {
            Ok(answer) => Ok(answer),
            Err(cursor) => self.furnish(intent, ticket, room, cursor, Time::First).await,
        }
    }

    /// Does what was asked for besides the channel. If that fails, the room ends again: half of what was asked for is
    /// nothing that a caller could use or would clean up. Where the room has ended meanwhile, as its policy or somebody
    /// wanted, that is the answer: another one would be a second.
    async fn furnish(
        &self,
        intent: Intent,
        ticket: Ticket,
        room: RoomId,
        cursor: String,
        time: Time,
    ) -> Result<v1::CreateRoomResponse, Failure> {
        let furnished = match self.furnishings(&intent, room, time).await {
            Ok(invite) => Some(invite),
            Err(failure) if failure.reason() == Reason::RoomUnknown => None,
            Err(failure) => return Err(self.unmake(intent, ticket, room, failure).await),
        };
        let answer = move |draft: &mut Draft<'_>| {
            let changes = match (&furnished, intent.status.clone()) {
                (None, _) => draft.directory.end_room(intent.guild, room, draft.wall),
                (Some(_), Some(status)) => draft.directory.set_status(intent.guild, room, Some(status), draft.wall),
                (Some(_), None) => Vec::new(),
            };
            draft.tell(changes);
            let Some(shown) = draft.placed(intent.guild, room).room else {
                ticket.forget(draft);
                return Err(unknown_room(room));
            };
            let (request_id, invite) = (intent.request_id.to_string(), furnished.flatten());
            let answer = v1::CreateRoomResponse { room: Some(shown), cursor, request_id, invite };
            ticket.answer(draft, &answer);
            Ok(answer)
        };
        self.act(answer).await?
    }

    async fn furnishings(&self, intent: &Intent, room: RoomId, time: Time) -> Result<Option<v1::Invite>, Failure> {
        let permit = CreatePermit::begun(intent);
        let mark = mark_of(intent.request_id);
        if let Some(status) = &intent.status {
            self.discord.set_status(&permit, room, Some(status), &mark, &for_its_caller(intent)).await?;
        }
        let Some(invitation) = intent.invite else { return Ok(None) };
        // What was made before the process ended is in nobody's hands, and as good.
        let reuse = time == Time::Again;
        let code = self.discord.invite(&permit, room, invitation, reuse, &mark, &for_its_caller(intent)).await?;
        let expires_at = (!invitation.max_age.is_zero()).then(|| ((self.clock)() + invitation.max_age).into());
        Ok(Some(v1::Invite { url: format!("https://discord.gg/{code}"), code, expires_at }))
    }

    async fn unmake(&self, intent: Intent, ticket: Ticket, room: RoomId, failure: Failure) -> Failure {
        let permit = EndPermit::Unfinished(intent.guild);
        let mark = audited("it could not be made as it was asked for", &mark_of(intent.request_id));
        let caller = for_its_caller(&intent);
        let ended = self.delete(&permit, room, &mark, &caller, move |draft, _| ticket.forget(draft)).await;
        if let Err(why) = ended {
            warn!(guild = %intent.guild, %room, reason = why.reason().as_str(), "a room that could not be made as it was asked for stays");
        }
        failure.with("room_id", room.to_string())
    }

    /// Looks for a channel, twice if it is not there at once. What looks like it may be another request's that is
    /// answered in a moment, or be in the audit log in a moment: so that takes two looks as well.
    async fn search(&self, permit: &CreatePermit, intent: &Intent) -> Search {
        let bot = match self.bot_for(intent).await {
            Ok(bot) => bot,
            Err(failure) => return unclear_search(intent, &failure),
        };
        let mut unmade = BTreeSet::new();
        let mut before = None;
        for _ in 0..LOOKS {
            let wanted = Wanted { intent, bot, unmade: &unmade };
            let found = match self.look(permit, &wanted).await {
                Ok(found) => found,
                Err(failure) => return unclear_search(intent, &failure),
            };
            match &found {
                Finding::Made(facts) => return found_room(intent, facts.clone()),
                Finding::Ambiguous(rooms) if matches!(before, Some(Finding::Ambiguous(_))) => {
                    return ambiguous(intent, rooms);
                }
                Finding::Nothing if before.as_ref() == Some(&found) => return Search::NotThere,
                Finding::Nothing | Finding::Ambiguous(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
                Finding::MadeAndGone(room) if before.as_ref() == Some(&found) => {
                    let (mark, since) = (mark_of(intent.request_id), wanted.earliest());
                    match self.discord.has_unmade(permit, bot, *room, &mark, since, &for_its_caller(intent)).await {
                        Ok(true) => drop(unmade.insert(*room)),
                        Ok(false) => return Search::Gone(*room),
                        Err(failure) => return unclear_search(intent, &failure),
                    }
                }
                // It may have come to be after the rooms were listed.
                Finding::MadeAndGone(_) => {}
            }
            before = Some(found);
        }
        Search::Unclear(Vec::new())
    }

    async fn look(&self, permit: &CreatePermit, wanted: &Wanted<'_>) -> Result<Finding, Failure> {
        let answers = self.discord.look(permit, wanted.earliest(), &for_its_caller(wanted.intent)).await?;
        let snapshot = self.hub.snapshot();
        let guild = snapshot.guilds.get(&wanted.intent.guild);
        Ok(wanted.look(&answers, |room| guild.is_some_and(|guild| guild.is_managed(room) == Some(true))))
    }

    /// Whose marks count. The gateway tells, and where it has not yet, Discord is asked.
    async fn bot_for(&self, intent: &Intent) -> Result<UserId, Failure> {
        match self.bot() {
            Some(bot) => Ok(bot),
            None => self.discord.bot(&for_its_caller(intent)).await,
        }
    }

    pub(super) fn bot(&self) -> Option<UserId> {
        self.hub.snapshot().self_user()
    }
}

/// A request that nobody may wait for any more, in the turn of the subject that asked for the room.
fn for_its_caller(intent: &Intent) -> Caller {
    Caller { tenant: Tenant::new(&intent.ownership.creator), ..unhurried() }
}

fn unclear_search(intent: &Intent, failure: &Failure) -> Search {
    let reason = failure.reason().as_str();
    warn!(guild = %intent.guild, reason, "cannot look for a room whose making was not answered");
    Search::Unclear(Vec::new())
}

fn ambiguous(intent: &Intent, rooms: &[RoomId]) -> Search {
    warn!(
        guild = %intent.guild,
        ?rooms,
        request_id = %intent.request_id,
        "nothing proves which channel is the room whose making was not answered: those that look like it are left alone"
    );
    metrics::counter!(names::ROOMS_AMBIGUOUS).increment(1);
    Search::Unclear(rooms.to_vec())
}

fn found_room(intent: &Intent, facts: RoomFacts) -> Search {
    info!(guild = %intent.guild, room = %facts.room, "found a room whose making was not answered");
    metrics::counter!(names::ROOMS_FOUND).increment(1);
    Search::Found(facts)
}

/// Nobody knows whether the room was made. Those that look like it are named, so that a person can look at them.
fn unclear(request_id: String, rooms: &[RoomId]) -> Failure {
    let message =
        "no answer tells whether Discord has made the room: a repeat with this request_id makes no second one";
    let failure = Failure::new(Reason::CreateOutcomeUnknown, message).with("request_id", request_id);
    if rooms.is_empty() {
        return failure;
    }
    let named: Vec<String> = rooms.iter().take(MOST_NAMED).map(ToString::to_string).collect();
    failure.with("room_ids", named.join(","))
}

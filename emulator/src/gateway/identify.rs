//! IDENTIFY and RESUME: how a connection gets its session.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::payload::{Identify, Resume};
use super::session::{Fate, Link, ReplayError, Session};
use super::{CloseReason, ConnectionId, Gateway, IDENTIFY_SLOT, Intents, Output, Stage, Surroundings, TRACE};
use crate::config::GatewayLimits;
use crate::world::{Availability, BotToken, EventKind, Timestamp, UserId, wire};

/// A day, over which IDENTIFYs are counted.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How often one bot identified.
#[derive(Debug)]
pub(super) struct IdentifyBudget {
    since: Timestamp,
    used: u32,
    slots: BTreeMap<u32, Timestamp>,
}

/// What the budget says to one more IDENTIFY.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Granted,
    /// Within 5 seconds of another on the same `shard_id % max_concurrency`.
    TooSoon,
    /// Above the day's total: Discord resets the token.
    Spent,
}

/// `session_start_limit` of GET /gateway/bot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SessionStartLimit {
    pub total: u32,
    pub remaining: u32,
    pub reset_after: Duration,
    pub max_concurrency: u32,
}

impl IdentifyBudget {
    fn fresh(now: Timestamp) -> Self {
        Self { since: now, used: 0, slots: BTreeMap::new() }
    }

    fn ask(&mut self, shard: u32, limits: &GatewayLimits, now: Timestamp) -> Verdict {
        if now.since(self.since) >= DAY {
            *self = Self::fresh(now);
        }
        let slot = shard % limits.max_concurrency.max(1);
        let in_slot = self.slots.get(&slot).is_some_and(|last| now.since(*last) < IDENTIFY_SLOT);
        if in_slot && limits.max_concurrency != GatewayLimits::UNLIMITED {
            return Verdict::TooSoon;
        }
        self.slots.insert(slot, now);
        self.used += 1;
        if self.used > limits.identifies_per_day { Verdict::Spent } else { Verdict::Granted }
    }
}

impl Gateway {
    /// What GET /gateway/bot tells a bot.
    pub(crate) fn session_start_limit(&self, bot: UserId, now: Timestamp) -> SessionStartLimit {
        let (used, since) = self.budgets.get(&bot).map_or((0, now), |budget| (budget.used, budget.since));
        let spent = now.since(since);
        let (used, left) = if spent >= DAY { (0, DAY) } else { (used, DAY - spent) };
        SessionStartLimit {
            total: self.limits.identifies_per_day,
            remaining: self.limits.identifies_per_day.saturating_sub(used),
            reset_after: if used == 0 { Duration::ZERO } else { left },
            max_concurrency: self.limits.max_concurrency,
        }
    }

    pub(super) fn identify(
        &mut self,
        id: ConnectionId,
        identify: &Identify,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) {
        around.stats.identifies += 1;
        let Some(bot) = BotToken::parse(&identify.token).and_then(|token| around.world.log_in(&token)) else {
            return self.close(id, CloseReason::AuthenticationFailed, around, now);
        };
        let shard = identify.shard.unwrap_or((0, 1));
        if shard.0 >= shard.1 {
            return self.close(id, CloseReason::InvalidShard, around, now);
        }
        let Some(intents) = identify.intents.and_then(Intents::from_bits) else {
            return self.close(id, CloseReason::InvalidIntents, around, now);
        };
        if intents.intersects(Intents::PRIVILEGED.without(self.limits.privileged_intents)) {
            return self.close(id, CloseReason::DisallowedIntents, around, now);
        }
        if around.faults.refuses_identify(bot) {
            return self.send(id, 9, &json!(false));
        }
        let budget = self.budgets.entry(bot).or_insert_with(|| IdentifyBudget::fresh(now));
        match budget.ask(shard.0, &self.limits, now) {
            Verdict::Granted => self.begin(id, bot, intents, shard, identify.shard.is_some(), around, now),
            Verdict::TooSoon => self.send(id, 9, &json!(false)),
            Verdict::Spent => {
                around.world.reset_token(bot);
                let theirs: Vec<String> =
                    self.sessions.values().filter(|each| each.bot == bot).map(|each| each.id.clone()).collect();
                for session in theirs {
                    if let Some(Link::Attached(connection)) = self.sessions.get(&session).map(|each| each.link) {
                        self.close(connection, CloseReason::AuthenticationFailed, around, now);
                    }
                    self.end_session(&session, around);
                }
                self.close(id, CloseReason::AuthenticationFailed, around, now);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each is one field of IDENTIFY, checked one by one before")]
    fn begin(
        &mut self,
        id: ConnectionId,
        bot: UserId,
        intents: Intents,
        shard: (u32, u32),
        tells_shard: bool,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) {
        let session_id = around.world.mint_opaque();
        let session = Session::new(session_id.clone(), bot, intents, shard, Link::Attached(id));
        self.sessions.insert(session_id.clone(), session);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.stage = Stage::Attached(session_id.clone());
        }
        let world = &*around.world;
        let mine: Vec<_> = world.guilds_of(bot).filter(|guild| guild.id.shard(shard.1) == shard.0).collect();
        let mut ready = json!({
            "v": 10,
            "user": world.known_user(bot).map(wire::current_user),
            "user_settings": {},
            "guilds": mine.iter().map(|guild| wire::unavailable_guild(guild.id)).collect::<Vec<_>>(),
            "session_id": session_id,
            "session_type": "normal",
            "resume_gateway_url": around.faults.resume_url().unwrap_or(&self.resume_url),
            "application": {"id": bot, "flags": 0},
            "presences": [],
            "relationships": [],
            "private_channels": [],
            "guild_join_requests": [],
            "geo_ordered_rtc_regions": [],
            "auth": {},
            "_trace": [TRACE],
        });
        if tells_shard {
            ready["shard"] = json!([shard.0, shard.1]);
        }
        self.tell(&session_id, EventKind::Ready, &ready, around, now);
        if around.faults.holds_guild_creates() {
            self.owed.push(session_id);
        } else {
            self.tell_guilds(&session_id, around, now);
        }
    }

    /// Sends a session the GUILD_CREATEs that its READY promised.
    fn tell_guilds(&mut self, session_id: &str, around: &mut Surroundings<'_>, now: Timestamp) {
        let Some(Session { bot, intents, shard, .. }) = self.sessions.get(session_id) else { return };
        if !intents.contains(Intents::GUILDS) {
            return;
        }
        let (bot, shard, world) = (*bot, *shard, &*around.world);
        let creates: Vec<Value> = world
            .guilds_of(bot)
            .filter(|guild| guild.id.shard(shard.1) == shard.0 && guild.availability == Availability::Available)
            .map(|guild| wire::guild_create(world, guild, bot))
            .collect();
        for body in creates {
            self.tell(session_id, EventKind::GuildCreate, &body, around, now);
        }
    }

    /// Sends the GUILD_CREATEs that a fault held back.
    pub(crate) fn pay_guild_creates(&mut self, around: &mut Surroundings<'_>, now: Timestamp) {
        for session in std::mem::take(&mut self.owed) {
            self.tell_guilds(&session, around, now);
        }
    }

    pub(super) fn resume(&mut self, id: ConnectionId, resume: &Resume, around: &mut Surroundings<'_>, now: Timestamp) {
        around.stats.resumes += 1;
        let Some(bot) = BotToken::parse(&resume.token).and_then(|token| around.world.log_in(&token)) else {
            return self.close(id, CloseReason::AuthenticationFailed, around, now);
        };
        let missed = match self.sessions.get_mut(&resume.session_id) {
            Some(session) if session.bot == bot && session.fate == Fate::Resumable => {
                session.replay_after(resume.seq, &self.limits, now)
            }
            Some(_) | None => Err(ReplayError::Lost),
        };
        match missed {
            Ok(frames) => self.take_up(id, &resume.session_id, frames, around, now),
            Err(refusal) => {
                around.stats.resumes_refused += 1;
                if self.sessions.get(&resume.session_id).is_some_and(|session| session.bot == bot) {
                    self.end_session(&resume.session_id, around);
                }
                match refusal {
                    ReplayError::Ahead => self.close(id, CloseReason::InvalidSeq, around, now),
                    ReplayError::Lost => self.send(id, 9, &json!(false)),
                }
            }
        }
    }

    fn take_up(
        &mut self,
        id: ConnectionId,
        session_id: &str,
        missed: Vec<std::sync::Arc<str>>,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) {
        let link = self.sessions.get(session_id).map(|session| session.link);
        if let Some(Link::Attached(other)) = link {
            self.close(other, CloseReason::UnknownError, around, now);
        }
        if let Some(session) = self.sessions.get_mut(session_id) {
            session.link = Link::Attached(id);
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.stage = Stage::Attached(session_id.to_owned());
        }
        around.stats.replayed += missed.len() as u64;
        self.outputs.extend(missed.into_iter().map(|frame| Output::Send(id, frame)));
        self.tell(session_id, EventKind::Resumed, &json!({"_trace": [TRACE]}), around, now);
    }
}

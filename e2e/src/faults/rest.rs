//! F44 to F46: what Discord's REST API can answer to who makes and ends rooms.

use std::time::{Duration, Instant};

use discord_emulator::{ErrorBody, PARLOR_DEV, RateLimit, RestFault, RestTrouble, Work};
use futures_util::future::join_all;
use parlor_client::{CallError, Parlor, v1};

use super::stage::{Plan, Stage};
use crate::{Issuer, Token};

type Outcome = Result<(), String>;

const CREATE: &str = "POST /guilds/{guild.id}/channels";

/// How long a limit asks to wait.
const WAIT: Duration = Duration::from_millis(1_300);

/// What one cause may cost, in answers that Discord counts towards a ban.
const INVALID: u64 = 3;

/// A server whose own limits are not what is met first.
pub(super) fn free() -> Plan {
    let plan = Plan::default().set("limits.rooms_per_subject", "1000");
    let plan = plan.set("rates.changes_per_second", "1000").set("rates.changes_burst", "1000");
    plan.set("rates.guild_changes_per_second", "1000").set("rates.guild_changes_burst", "1000")
}

/// Somebody who makes rooms.
struct Maker<'s> {
    stage: &'s Stage,
    parlor: Parlor,
    made: u32,
}

impl<'s> Maker<'s> {
    async fn come(stage: &'s Stage) -> Result<Self, String> {
        let address = (*stage.address.borrow()).ok_or("there is no server")?;
        let token = stage.crowd.noted(Issuer::get().sign(&Token::default()));
        let parlor = Parlor::connect(&format!("http://{address}"), &token).await.map_err(|error| error.to_string())?;
        Ok(Self { stage, parlor, made: 0 })
    }

    fn request(&mut self) -> v1::CreateRoomRequest {
        self.made += 1;
        v1::CreateRoomRequest {
            guild_id: PARLOR_DEV.to_string(),
            display_name: format!("room {}", self.made),
            request_id: format!("00000000-0000-4000-8000-{:012}", self.made),
            ..Default::default()
        }
    }

    /// Makes a room, asking again where the answer says that this makes sense. There is one channel then.
    async fn make(&self, request: &v1::CreateRoomRequest) -> Outcome {
        let name = &request.display_name;
        let mut left = 10;
        let room = loop {
            match self.parlor.create_room(request.clone()).await {
                Ok(room) => break room,
                Err(error) if left > 0 && is_worth_repeating(&error) => left -= 1,
                Err(error) => return Err(format!("{name}: {error}")),
            }
        };
        let channels: Vec<String> = self
            .stage
            .emulator
            .world(|world| world.channels_named(name).map(|channel| channel.id.to_string()).collect());
        if channels != [room.room_id.clone()] {
            return Err(format!("{name} is {} by its answer, and the channels are {channels:?}", room.room_id));
        }
        Ok(())
    }

    /// Five at once.
    async fn make_some(&mut self) -> Outcome {
        let requests: Vec<_> = (0..5).map(|_| self.request()).collect();
        join_all(requests.iter().map(|request| self.make(request))).await.into_iter().collect()
    }
}

fn is_worth_repeating(error: &CallError) -> bool {
    matches!(
        error.reason.as_deref(),
        Some("CREATE_OUTCOME_UNKNOWN" | "DISCORD_UNAVAILABLE" | "DISCORD_RATE_LIMITED" | "STORE_UNAVAILABLE")
    )
}

/// F44: every kind of 429. Each is waited out, costs three invalid requests at most, and in the end every room is made.
pub(super) async fn limits_of_every_kind(stage: &mut Stage) -> Outcome {
    let mut costs = Vec::new();
    let kinds = [
        ("bucket", RestTrouble::RateLimit { limit: RateLimit::Bucket, retry_after: WAIT }),
        ("global", RestTrouble::RateLimit { limit: RateLimit::Global, retry_after: WAIT }),
        ("shared", RestTrouble::RateLimit { limit: RateLimit::Shared, retry_after: WAIT }),
        ("hidden", RestTrouble::RateLimit { limit: RateLimit::Hidden, retry_after: WAIT }),
        ("guild writes", RestTrouble::RateLimit { limit: RateLimit::GuildWrites, retry_after: WAIT }),
        ("Cloudflare", RestTrouble::CloudflareBan { retry_after: Some(2 * Duration::from_secs(1)) }),
    ];
    let mut maker = Maker::come(stage).await?;
    for (kind, trouble) in kinds {
        let before = stage.emulator.stats();
        let began = Instant::now();
        stage.emulator.inject(RestFault::new(trouble).on(CREATE).lasting(WAIT));
        maker.make_some().await.map_err(|error| format!("{kind}: {error}"))?;
        let (took, after) = (began.elapsed(), stage.emulator.stats());
        let cost = after.invalid.values().sum::<u64>() - before.invalid.values().sum::<u64>();
        let limited = |stats: &discord_emulator::Stats| stats.rest_statuses.get(&429).copied().unwrap_or_default();
        if limited(&after) == limited(&before) {
            return Err(format!("{kind}: no request has met it"));
        }
        if cost > INVALID {
            return Err(format!("{kind} cost {cost} invalid requests"));
        }
        if took < WAIT {
            return Err(format!("{kind}: five rooms were made in {took:?}, and the wait was {WAIT:?}"));
        }
        costs.push(format!("{kind}={cost}"));
    }
    // An edge that names no time is left alone for a quarter of an hour.
    stage.emulator.inject(RestFault::new(RestTrouble::CloudflareBan { retry_after: None }).times(1));
    let request = maker.request();
    let error =
        maker.parlor.create_room(request.clone()).await.err().ok_or("a room was made through Cloudflare's ban")?;
    let waits = error.retry_after.is_some_and(|wait| wait > Duration::from_secs(600));
    if error.reason.as_deref() != Some("DISCORD_UNAVAILABLE") || !waits {
        return Err(format!("a ban without a time: {error}, to be repeated after {:?}", error.retry_after));
    }
    let asked = stage.emulator.stats().rest_total();
    maker.parlor.create_room(request).await.err().ok_or("a room was made through Cloudflare's ban")?;
    let after = stage.emulator.stats();
    if after.rest_total() != asked {
        return Err("Discord was asked although Cloudflare has banned the address".to_owned());
    }
    // What was on its way when the 429 was written counts as early, too.
    let early: u64 = after.too_early.values().sum();
    stage.remark = format!("invalid: {}; on their way: {early}", costs.join(" "));
    if early > INVALID * 7 { Err(format!("{early} requests came before their time")) } else { Ok(()) }
}

/// F45: failures, lost answers and late ones: one channel for each request.
pub(super) async fn failures_and_lost_answers(stage: &mut Stage) -> Outcome {
    let mut troubles = Vec::new();
    for work in [Work::Skipped, Work::Done] {
        for status in [500, 502, 503] {
            let body = if status == 502 { ErrorBody::Html } else { ErrorBody::Json };
            troubles.push(RestTrouble::ServerError { status, body, work });
        }
        troubles.push(RestTrouble::Cut { work });
    }
    // Longer than a request may take.
    if stage.long {
        troubles.push(RestTrouble::Slow { by: Duration::from_secs(20) });
    }
    let mut maker = Maker::come(stage).await?;
    for trouble in &troubles {
        stage.emulator.inject(RestFault::new(*trouble).on(CREATE).every(2).times(2));
        maker.make_some().await.map_err(|error| format!("{trouble:?}: {error}"))?;
        stage.emulator.clear_faults();
    }
    let made = maker.made;
    stage.remark = format!("troubles={} rooms={made}", troubles.len());
    Ok(())
}

/// F46: the token is refused: at most a handful of requests, health shows it, and everything else goes on.
pub(super) async fn token_refused(stage: &mut Stage) -> Outcome {
    stage.until_health("discord-rest", true).await?;
    stage.emulator.inject(RestFault::new(RestTrouble::Unauthorized));
    {
        let mut maker = Maker::come(stage).await?;
        for _ in 0..4 {
            let requests: Vec<_> = (0..5).map(|_| maker.request()).collect();
            for made in join_all(requests.into_iter().map(|request| maker.parlor.create_room(request))).await {
                match made {
                    Err(error) if error.reason.as_deref() == Some("UPSTREAM_CREDENTIALS") => {}
                    other => return Err(format!("with a token that is refused: {other:?}")),
                }
            }
        }
    }
    stage.until_health("discord-rest", false).await?;
    stage.goes_on(Duration::from_millis(500)).await;
    let refused = stage.emulator.stats().invalid.get("401 0").copied().unwrap_or_default();
    stage.remark = format!("invalid={refused}");
    if refused > INVALID { Err(format!("{refused} requests with a token that is refused")) } else { Ok(()) }
}

//! Callers who live longer than our processes, and who repeat what was not answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use discord_emulator::{GuildId, OTHER_GUILD, PARLOR_DEV};
use parlor_proto::v1::{self, room_service_server::RoomService as _};
use parlor_server::{
    auth::{GuildGrant, Principal, Scope, Subject},
    services::Rooms,
};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::{
    clock::Time,
    discord::{Shared, locked},
};

/// What a call may be late by, in virtual time.
const LATE: Duration = Duration::from_millis(50);

/// A caller, with what it wants and what it knows.
pub(super) struct Caller {
    number: u64,
    random: fastrand::Rng,
    /// Calls that are not begun.
    left: u32,
    created: u32,
    current: Option<Current>,
    /// Rooms that it has made and not ended.
    pub(super) open: BTreeSet<String>,
    /// Rooms that end by themselves.
    pub(super) fleeting: BTreeSet<String>,
    /// Rooms that it has ended.
    pub(super) ended: BTreeSet<String>,
    /// Every request that made a room, and which.
    pub(super) made: BTreeMap<String, String>,
    /// How long each call took from the first attempt to the answer.
    pub(super) waits: Vec<Duration>,
    pub(super) attempts: u32,
    pub(super) broken: Vec<String>,
}

#[derive(Clone)]
struct Current {
    wish: Wish,
    since: Duration,
    attempts: u32,
}

#[derive(Clone, Debug)]
enum Wish {
    Create(Box<v1::CreateRoomRequest>),
    End(v1::EndRoomRequest),
}

impl Caller {
    pub(super) fn new(number: u64, seed: u64, calls: u32) -> Self {
        Self {
            number,
            random: fastrand::Rng::with_seed(seed),
            left: calls,
            created: 0,
            current: None,
            open: BTreeSet::new(),
            fleeting: BTreeSet::new(),
            ended: BTreeSet::new(),
            made: BTreeMap::new(),
            waits: Vec::new(),
            attempts: 0,
            broken: Vec::new(),
        }
    }

    fn guild(&self) -> GuildId {
        if self.number.is_multiple_of(2) { PARLOR_DEV } else { OTHER_GUILD }
    }

    /// What it wants now: what it wanted before our process died, or something new.
    fn wish(&mut self, now: Duration) -> Option<Current> {
        if self.current.is_none() {
            self.left = self.left.checked_sub(1)?;
            let request_id =
                uuid::Builder::from_random_bytes(self.random.u128(..).to_be_bytes()).into_uuid().to_string();
            // Half of the calls end rooms, and some rooms are left open.
            let ends = self.open.len() > 2 && self.random.u8(0..20) < 11;
            let wish = if ends {
                let nth = self.random.usize(0..self.open.len());
                let room_id = self.open.iter().nth(nth).expect("there are so many").clone();
                Wish::End(v1::EndRoomRequest { room_id, request_id, ..Default::default() })
            } else {
                self.created += 1;
                let seconds = self.random.i64(1..30);
                let fleeting = self.random.u8(0..10) == 0;
                let timeout = prost_types::Duration { seconds, nanos: 0 };
                Wish::Create(Box::new(v1::CreateRoomRequest {
                    guild_id: self.guild().to_string(),
                    // Many rooms have the same name, so that the mark alone tells them apart.
                    display_name: format!("squad {}", self.random.u8(0..4)),
                    request_id,
                    status: if self.random.u8(0..10) == 0 { "playing".to_owned() } else { String::new() },
                    policy: fleeting.then(|| v1::RoomPolicy { empty_timeout: Some(timeout), ..Default::default() }),
                    ..Default::default()
                }))
            };
            self.current = Some(Current { wish, since: now, attempts: 0 });
        }
        let current = self.current.as_mut()?;
        current.attempts += 1;
        self.attempts += 1;
        Some(current.clone())
    }

    /// What a call has answered.
    fn heard(&mut self, answer: Answer, now: Duration) {
        let Some(Current { wish, since, .. }) = self.current.take() else { return };
        self.waits.push(now - since);
        match (wish, answer) {
            (Wish::Create(request), Answer::Made(room)) => {
                let rooms = if request.policy.is_some() { &mut self.fleeting } else { &mut self.open };
                rooms.insert(room.clone());
                self.made.insert(request.request_id, room);
            }
            (Wish::End(request), Answer::Ended) => {
                self.open.remove(&request.room_id);
                self.ended.insert(request.room_id);
            }
            (Wish::Create(_), Answer::Ended) | (Wish::End(_), Answer::Made(_)) => {
                self.broken.push("an answer to another question".to_owned());
            }
        }
    }

    fn principal(&self) -> Arc<Principal> {
        principal(&format!("caller-{}", self.number))
    }
}

pub(super) fn principal(subject: &str) -> Arc<Principal> {
    Arc::new(Principal {
        subject: Subject::new(subject).expect("a subject"),
        guilds: GuildGrant::All,
        scopes: [Scope::RoomsRead, Scope::RoomsWrite].into_iter().collect(),
        expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000),
    })
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Answer {
    Made(String),
    Ended,
}

/// Calls for as long as it wants something and our process lives.
pub(super) async fn call(caller: Arc<Mutex<Caller>>, rooms: Arc<Rooms>, discord: Shared, time: Time) {
    let principal = locked(&caller).principal();
    loop {
        let pause = Duration::from_millis(locked(&caller).random.u64(0..1_500));
        tokio::time::sleep(pause).await;
        let Some(current) = locked(&caller).wish(time.passed()) else { return };
        if current.attempts > 300 {
            let mut caller = locked(&caller);
            let broken = format!("caller {} asks for the same without end", caller.number);
            caller.broken.push(broken);
            caller.left = 0;
            return;
        }
        let (asked, manner) = {
            let random = &mut locked(&caller).random;
            (Duration::from_millis(random.u64(1_500..30_000)), random.u8(0..20))
        };
        let one = || attempt(&rooms, &principal, &current.wish, asked, &caller, time);
        let answer = match manner {
            // It hangs up, and asks again.
            0 => {
                let patience = asked.mul_f64(locked(&caller).random.f64());
                tokio::time::timeout(patience, one()).await.ok()
            }
            // It asks twice at once.
            1 => {
                let (first, second) = tokio::join!(one(), one());
                if let (Ok(first), Ok(second)) = (&first, &second)
                    && first != second
                {
                    locked(&caller).broken.push(format!("one request has two answers: {first:?}, {second:?}"));
                }
                Some(first.or(second))
            }
            _ => Some(one().await),
        };
        let wait = match answer {
            Some(Ok(answer)) => {
                let (number, now) = (locked(&caller).number, time.passed());
                locked(&discord).tell(format!("{} {number} {:?} {answer:?}", time.stamp(), current.wish));
                locked(&caller).heard(answer, now);
                continue;
            }
            None => Duration::ZERO,
            Some(Err(status)) => {
                locked(&discord).tell(format!("{} {:?} {}", time.stamp(), current.wish, status.message()));
                let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
                *locked(&discord).answers.entry(format!("told {reason}")).or_default() += 1;
                if !is_worth_repeating(&status) {
                    let mut caller = locked(&caller);
                    let broken = format!("caller {}: {:?} {}", caller.number, status.code(), status.message());
                    caller.broken.push(broken);
                    caller.left = 0;
                    caller.current = None;
                    return;
                }
                let told = status.get_details_retry_info().and_then(|info| info.retry_delay);
                told.unwrap_or_else(|| Duration::from_millis(locked(&caller).random.u64(200..2_000)))
            }
        };
        tokio::time::sleep(wait).await;
    }
}

pub(super) fn is_worth_repeating(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Aborted | Code::Unknown
    ) || status.get_details_error_info().is_some_and(|info| info.reason == "CREATE_OUTCOME_UNKNOWN")
        // Until the gateway has told of the guild.
        || status.get_details_error_info().is_some_and(|info| info.reason == "GUILD_UNKNOWN")
}

/// One attempt, which is not late.
async fn attempt(
    rooms: &Rooms,
    principal: &Arc<Principal>,
    wish: &Wish,
    asked: Duration,
    caller: &Mutex<Caller>,
    time: Time,
) -> Result<Answer, Status> {
    let began = time.passed();
    let answer = match wish {
        Wish::Create(request) => {
            let made = rooms.create_room(dressed((**request).clone(), principal, asked)).await;
            made.map(|made| Answer::Made(made.into_inner().room.unwrap_or_default().room_id))
        }
        Wish::End(request) => rooms.end_room(dressed(request.clone(), principal, asked)).await.map(|_| Answer::Ended),
    };
    let took = time.passed() - began;
    // The server keeps a tenth of the caller's time for the answer to travel.
    if took > asked.mul_f64(0.9) + LATE {
        let mut caller = locked(caller);
        let broken = format!("caller {} got {answer:?} after {took:?} of {asked:?}", caller.number);
        caller.broken.push(broken);
    }
    answer
}

pub(super) fn dressed<T>(message: T, principal: &Arc<Principal>, asked: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(asked);
    request.extensions_mut().insert(Arc::clone(principal));
    request
}

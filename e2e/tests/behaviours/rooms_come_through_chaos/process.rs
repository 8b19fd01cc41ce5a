//! One life of our process: everything of `parlord` between the call and the bytes to Discord, on virtual time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use parlor_gateway::{
    Delivery, Loss, ShardIndex, Snapshot, Update,
    rest::{Limits, Rest},
    translate::{Payload, translate},
};
use parlor_proof::shelf::{Shelf, Weather};
use parlor_proto::v1::UpstreamState;
use parlor_server::{
    auth::Clock,
    config::RatesConfig,
    hub::{self, CursorKey, Hub, Retention},
    rates::Rates,
    rooms::CallRecord,
    services::{DiscordRooms, Journal, RoomQuota, Rooms},
    store::{Batch, CommitError, Store},
};
use tokio_util::sync::CancellationToken;

use super::{
    caller::{Caller, call},
    clock::{Time, stamp},
    discord::{Discord, Line, Shared, TOKEN, locked},
    fuse::Fuse,
};

const SHARD: ShardIndex = ShardIndex(0);

/// After this everything has come to rest: what is looked for is looked for every 30 s, and each request has as long.
const SETTLING: Duration = Duration::from_secs(200);

/// What outlives a process of ours.
pub(super) struct Story {
    pub(super) discord: Shared,
    pub(super) shelf: Arc<Mutex<Shelf>>,
    pub(super) callers: Vec<Arc<Mutex<Caller>>>,
}

/// How a life ended.
pub(super) enum End {
    /// It was killed, at this time of the story.
    Killed(Duration),
    /// Every caller has what it wanted, and everything has come to rest: the time, and what Parlor thinks there is.
    Rested(Duration, Box<Snapshot>),
}

struct OnTheShelf {
    shelf: Arc<Mutex<Shelf>>,
    fuse: Arc<Fuse>,
}

impl Store for OnTheShelf {
    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let mut shelf = locked(&self.shelf);
        // A process that is dead stores nothing.
        shelf.weather = if self.fuse.is_blown() { Weather::Full } else { Weather::Fine };
        let committed = shelf.commit(batch);
        if committed.is_ok() {
            self.fuse.after_commit();
        }
        committed
    }
}

/// Plays a life that begins at `base` and is killed after `lifetime`, if it is.
pub(super) fn live(story: &Story, base: Duration, lifetime: Option<Duration>, seed: u64) -> End {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without sockets");
    fastrand::seed(seed);
    let end = runtime.block_on(async {
        let time = Time::from(base);
        let whole = whole_life(story, time);
        match lifetime {
            None => whole.await,
            Some(lifetime) => {
                tokio::time::timeout(lifetime, whole).await.unwrap_or_else(|_| End::Killed(time.passed()))
            }
        }
    });
    // Every task ends where it stands, as with SIGKILL.
    drop(runtime);
    let (End::Killed(at) | End::Rested(at, _)) = &end;
    locked(&story.discord).hang_up(stamp(*at));
    end
}

/// Does something in a life without troubles.
pub(super) fn in_peace(story: &Story, act: impl AsyncFnOnce(Arc<Rooms>, Time)) {
    until_it_blows(story, Duration::ZERO, &Arc::default(), act);
}

/// Does something in a life without troubles that begins at `base`, until it is done or the process is killed, as the
/// fuse says. Returns when that was.
pub(super) fn until_it_blows(
    story: &Story,
    base: Duration,
    fuse: &Arc<Fuse>,
    act: impl AsyncFnOnce(Arc<Rooms>, Time),
) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without sockets");
    let at = runtime.block_on(async {
        let time = Time::from(base);
        let life = async {
            locked(&story.discord).begin(time.stamp());
            let (hub, rooms) = start(story, time, &(Arc::new(move || time.wall()) as Clock), fuse);
            rooms.keep(&CancellationToken::new()).await;
            tokio::spawn(hear(Arc::clone(&story.discord), Arc::clone(&hub), time));
            let mut rounds = hub.rounds();
            while hub.upstream() != UpstreamState::Live {
                rounds.changed().await.expect("the hub lives");
            }
            act(rooms, time).await;
        };
        tokio::select! {
            biased;
            () = fuse.blown() => {}
            () = life => {}
        }
        time.passed()
    });
    // Every task ends where it stands, as with SIGKILL.
    drop(runtime);
    locked(&story.discord).hang_up(stamp(at));
    at
}

async fn whole_life(story: &Story, time: Time) -> End {
    let clock: Clock = Arc::new(move || time.wall());
    locked(&story.discord).begin(time.stamp());
    let (hub, rooms) = start(story, time, &clock, &Arc::default());
    let stop = CancellationToken::new();
    rooms.keep(&stop).await;
    tokio::spawn(hear(Arc::clone(&story.discord), Arc::clone(&hub), time));
    let troubles = tokio::spawn(troubles(Arc::clone(&story.discord), time));
    let callers: Vec<_> = story
        .callers
        .iter()
        .map(|caller| tokio::spawn(call(Arc::clone(caller), Arc::clone(&rooms), Arc::clone(&story.discord), time)))
        .collect();
    for caller in callers {
        caller.await.expect("a caller does not panic");
    }
    troubles.abort();
    locked(&story.discord).machine.clear_faults(time.stamp());
    tokio::time::sleep(SETTLING).await;
    End::Rested(time.passed(), Box::new(hub.snapshot()))
}

/// What `parlord` is composed of, without its sockets.
fn start(story: &Story, time: Time, clock: &Clock, fuse: &Arc<Fuse>) -> (Arc<Hub>, Arc<Rooms>) {
    let recovered = locked(&story.shelf).recovered();
    let calls: BTreeMap<_, _> =
        recovered.calls().filter_map(|(key, bytes)| Some((key, CallRecord::from_bytes(bytes)?))).collect();
    let settings = hub::Settings {
        key: CursorKey::new(&[7; CursorKey::SECRET_BYTES]),
        retention: Retention { age: Duration::from_secs(600), entries: 1_000, bytes: 1 << 20 },
        shards: Some(1),
    };
    let now = tokio::time::Instant::now().into_std();
    let store = OnTheShelf { shelf: Arc::clone(&story.shelf), fuse: Arc::clone(fuse) };
    let hub = Arc::new(Hub::start_as_task(recovered, store, settings, clock(), now));
    let line = Arc::new(Line::new(Arc::clone(&story.discord), time, Arc::clone(fuse)));
    let rest = Rest::over(line, "http://discord.invalid/api/v10", &TOKEN.into(), Limits::default());
    let rest = Arc::new(rest.expect("a token that can stand in a header"));
    let journal = Journal::new(Arc::clone(&hub), calls, Arc::clone(clock));
    // How often callers may call is proven elsewhere; here the queue to Discord is what they meet.
    let without_end = 1_000_000;
    let rates = RatesConfig {
        guild_changes_per_second: without_end,
        guild_changes_burst: without_end,
        ..RatesConfig::default()
    };
    let rooms = Rooms::new(
        Arc::clone(&hub),
        DiscordRooms::new(rest),
        journal,
        Arc::new(Rates::new(&rates)),
        RoomQuota::new(10_000),
        Arc::clone(clock),
    );
    (hub, Arc::new(rooms))
}

/// Feeds the hub with what the gateway tells, which breaks now and then and is late at times.
async fn hear(discord: Shared, hub: Arc<Hub>, time: Time) {
    let deliver = async |update| {
        let delivery = Delivery { shard: SHARD, update: Some(update), session: None, heard_at: time.wall() };
        // What is not taken any more is told to nobody: the process is ending.
        let _ = hub.deliver(delivery, time.wall()).await;
    };
    loop {
        let (lag, breaks) = {
            let mut discord = locked(&discord);
            discord.connect(TOKEN, time.stamp());
            let random = discord.chance();
            let lag = [20, 200, 2_500][random.usize(0..3)];
            (Duration::from_millis(lag), time.passed() + Duration::from_secs(random.u64(20..300)))
        };
        let mut beat = time.passed();
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let Some(texts) = read(&discord, &mut beat, time) else { break };
            if !texts.is_empty() {
                tokio::time::sleep(lag).await;
            }
            for text in texts {
                if let Ok(Payload::Update(update)) = translate(SHARD, &text) {
                    deliver(update).await;
                }
            }
            if time.passed() > breaks {
                locked(&discord).hang_up(time.stamp());
                break;
            }
        }
        deliver(Update::ConnectionLost { shard: SHARD, loss: Loss::SessionLost, last_heard: time.wall() }).await;
        let pause = locked(&discord).chance().u64(100..1_500);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

fn read(discord: &Mutex<Discord>, beat: &mut Duration, time: Time) -> Option<Vec<Arc<str>>> {
    let mut discord = locked(discord);
    let now = time.stamp();
    discord.arrive_late(now);
    if time.passed() > *beat + Duration::from_secs(20) {
        *beat = time.passed();
        discord.say(r#"{"op":1,"d":null}"#, now);
    }
    discord.sent(now)
}

async fn troubles(discord: Shared, time: Time) {
    loop {
        let pause = locked(&discord).chance().u64(300..5_000);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let mut discord = locked(&discord);
        discord.trouble(time.stamp());
        if discord.chance().u8(0..6) == 0 {
            discord.somebody_makes_a_channel(time.stamp());
        }
    }
}

//! The server that requests are put to: two guilds, five rooms, three people, one caller who may do everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use parlor_gateway::{
    Delivery, ShardIndex,
    rest::Rest,
    translate::{Payload, translate},
};
use parlor_server::{
    auth::{GuildGrant, Principal, Scope, Subject},
    config::RatesConfig,
    hub::{self, CursorKey, Epoch, Hub, Retention},
    rates::Rates,
    services::{
        DiscordMembers, DiscordRooms, DiscordWebhooks, EventService, Journal, Participants, RoomQuota, Rooms,
        StreamLimits, StreamRules, Webhooks,
    },
    store::{Recovered, Volatile},
    voice::{self, Sessions, Threads},
};
use parlor_voice_wire::transport::RetiredModes;
use secrecy::SecretString;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::keys;

/// What Discord says as the scene opens.
const PAYLOADS: [&str; 3] = [
    r#"{"op":0,"t":"READY","d":{"user":{"id":"100000000000000002","username":"bot"},
        "guilds":[{"id":"100000000000000001"},{"id":"100000000000000003"}]}}"#,
    r#"{"op":0,"t":"GUILD_CREATE","d":{"id":"100000000000000001","name":"First",
        "channels":[{"id":"200000000000000001","type":2,"name":"Lobby"},{"id":"200000000000000002","type":2,"name":"Games"},
                    {"id":"200000000000000003","type":13,"name":"Stage"}],
        "voice_states":[{"channel_id":"200000000000000001","user_id":"300000000000000001","session_id":"a"},
                        {"channel_id":"200000000000000001","user_id":"300000000000000002","session_id":"b"}],
        "members":[{"user":{"id":"300000000000000001","username":"ann"}},{"user":{"id":"300000000000000002","username":"bob"}}]}}"#,
    r#"{"op":0,"t":"GUILD_CREATE","d":{"id":"100000000000000003","name":"Second",
        "channels":[{"id":"200000000000000004","type":2,"name":"Elsewhere"},{"id":"200000000000000005","type":2,"name":"Nowhere"}],
        "voice_states":[{"channel_id":"200000000000000004","user_id":"300000000000000003","session_id":"c"}],
        "members":[{"user":{"id":"300000000000000003","username":"cleo"}}]}}"#,
];

/// The epoch of the scene's log.
pub(crate) const EPOCH: Epoch = Epoch::new([1; 16]);

/// The key that seals the scene's cursors.
pub(crate) fn cursor_key() -> CursorKey {
    CursorKey::new(&[7; CursorKey::SECRET_BYTES])
}

/// A hub with everything in it.
pub(crate) fn full_hub() -> Arc<Hub> {
    let hub = empty_hub();
    let told = async {
        for text in PAYLOADS {
            let Ok(Payload::Update(update)) = translate(ShardIndex(0), text) else { panic!("an update: {text}") };
            let shard = ShardIndex(0);
            let delivery = Delivery { shard, update: Some(update), session: None, heard_at: keys::now() };
            hub.deliver(delivery, keys::now()).await.expect("the hub is open");
        }
        // What is acted on comes after what was delivered.
        hub.run_shards(1, keys::now()).await.expect("the hub is open");
    };
    // A target may call this from within a runtime of its own, which is no place to wait.
    std::thread::scope(|scope| scope.spawn(|| runtime().block_on(told)).join()).expect("it is told");
    hub
}

/// A hub with nothing in it: no call gets as far as asking Discord, which nobody answers for here.
pub(crate) fn empty_hub() -> Arc<Hub> {
    let retention = Retention { age: Duration::from_secs(900), entries: 1_000, bytes: 1 << 20 };
    let settings = hub::Settings { key: cursor_key(), retention, shards: Some(1) };
    let recovered = Recovered { epoch: EPOCH, ..Recovered::nothing() };
    Arc::new(Hub::start(recovered, Volatile, settings, keys::now(), Instant::now()))
}

/// The service of rooms.
pub(crate) fn rooms(hub: Arc<Hub>) -> Rooms {
    let journal = Journal::new(Arc::clone(&hub), BTreeMap::new(), Arc::new(keys::now));
    Rooms::new(hub, DiscordRooms::new(rest()), journal, rates(), RoomQuota::new(100), Arc::new(keys::now))
}

/// The service of participants.
pub(crate) fn participants(hub: Arc<Hub>) -> Participants {
    let journal = Journal::new(Arc::clone(&hub), BTreeMap::new(), Arc::new(keys::now));
    let voice = sessions(Arc::clone(&hub));
    Participants::new(hub, DiscordMembers::new(rest()), journal, rates(), voice, Arc::new(keys::now))
}

/// Voice sessions: none, and nobody makes one.
fn sessions(hub: Arc<Hub>) -> Arc<Sessions> {
    Sessions::new(voice::Settings {
        switchboard: Arc::default(),
        tls: voice::tls_client(None).expect("nothing is wrong with the system's certificates"),
        consents: Arc::default(),
        hub,
        clock: Arc::new(keys::now),
        most: 1,
        threads: Threads::start().expect("the operating system gives threads"),
        rest: rest(),
        announcement: String::new(),
        retired_modes: RetiredModes::Refused,
    })
}

/// The service of webhooks.
pub(crate) fn webhooks(hub: Arc<Hub>) -> Webhooks {
    let journal = Journal::new(Arc::clone(&hub), BTreeMap::new(), Arc::new(keys::now));
    Webhooks::new(hub, DiscordWebhooks::new(rest()), journal, rates(), Arc::new(keys::now))
}

/// A Discord that nobody asks.
fn rest() -> Arc<Rest> {
    let token = SecretString::from("no-bot");
    Arc::new(Rest::new("http://discord.invalid/api/v10", &token).expect("a client that is never used"))
}

/// Rates that no input is too often for.
pub(crate) fn rates() -> Arc<Rates> {
    let many = 1_000_000;
    Arc::new(Rates::new(&RatesConfig {
        reads_per_second: many,
        reads_burst: many,
        changes_per_second: many,
        changes_burst: many,
        guild_changes_per_second: many,
        guild_changes_burst: many,
        streams_per_second: many,
        streams_burst: many,
        refused_tokens_per_minute: many,
        refused_tokens_burst: many,
        keys: many,
    }))
}

/// The service of events.
pub(crate) fn events(hub: Arc<Hub>) -> EventService {
    let rules = StreamRules {
        limits: StreamLimits::new(8, 8),
        heartbeat: Duration::from_secs(15),
        max_age: Duration::from_secs(1_500),
        reconnect_spread: Duration::from_secs(3),
        draining: CancellationToken::new(),
    };
    EventService::new(hub, rules, Arc::new(keys::now))
}

/// A caller who may do everything everywhere.
pub(crate) fn caller() -> Arc<Principal> {
    Arc::new(Principal {
        subject: Subject::new("ann").expect("a subject"),
        guilds: GuildGrant::All,
        scopes: Scope::ALL.into_iter().collect(),
        expires_at: keys::now() + Duration::from_secs(3_600),
    })
}

/// Runs what is asynchronous on this thread.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The reason of a refusal, and the fields that it calls wrong. Panics where the answer is none of ours, or would not fit
/// into a header list.
pub(crate) fn refused(status: &Status) -> (String, BTreeSet<String>) {
    let info = status.get_details_error_info();
    let reason = info.unwrap_or_else(|| panic!("a refusal without a reason: {status:?}")).reason;
    assert_ne!(reason, "INTERNAL", "a mistake of ours: {status:?}");
    let wire = status.message().len() + status.details().len();
    assert!(wire <= parlor_server::status::MAX_WIRE_BYTES, "a refusal of {wire} bytes");
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    (reason, violations.into_iter().map(|violation| violation.field).collect())
}

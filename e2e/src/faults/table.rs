//! The list: what goes wrong, and what it must lead to.

use std::time::Duration;

use futures_util::FutureExt as _;

use super::{
    Act,
    Expected::{Discontinuity, Nothing, Refusal, Reset, Resume},
    Fault, gateway, process, readers, rest,
    stage::Plan,
    stalls,
};

/// A row: id, name, what it must lead to, how its stage is set, what strikes.
macro_rules! played {
    ($id:literal, $name:literal, $expected:expr, $plan:expr, $strike:path) => {
        played!($id, $name, $expected, $plan, $strike, 0)
    };
    ($id:literal, $name:literal, $expected:expr, $plan:expr, $strike:path, $lag:literal) => {
        Fault {
            id: $id,
            name: $name,
            act: Act::Played {
                expected: $expected,
                plan: $plan,
                strike: |stage| $strike(stage).boxed(),
                lag: Duration::from_secs($lag),
            },
        }
    };
}

/// A row whose subject does not exist yet.
const fn later(id: &'static str, name: &'static str, why: &'static str) -> Fault {
    Fault { id, name, act: Act::NotBuilt(why) }
}

/// Where the faults of several replicas and their shared store belong.
pub const SCALE_OUT: &str = "with scale-out";
const LATER: &str = "with signed ingestion and JWKS hardening";

/// Every fault, in order.
pub const FAULTS: &[Fault] = &[
    played!("F01", "TCP reset in the middle of a gateway frame", Resume, Plan::proxied, gateway::reset_mid_frame),
    played!("F02", "gateway socket closed without a code", Resume, Plan::default, gateway::closed_without_code),
    played!("F03", "op 7, on a session and before Hello", Resume, gateway::remembering, gateway::op_7),
    played!("F04", "op 9 d=true", Resume, Plan::default, gateway::op_9_resumable),
    played!("F05", "op 9 d=false on a resume", Discontinuity, Plan::default, gateway::op_9_on_resume),
    played!("F06", "op 9 d=false on five identifies", Discontinuity, gateway::strict, gateway::op_9_on_identify),
    played!("F07", "close codes that allow a resume", Resume, gateway::remembering, gateway::closed_and_resumed),
    played!("F08", "close 4007 and 4009", Discontinuity, Plan::default, gateway::closed_for_a_new_session),
    played!("F09", "close codes that are final", Discontinuity, Plan::default, gateway::refused_for_good),
    played!("F10", "heartbeats are not acknowledged", Resume, gateway::hasty, gateway::no_heartbeat_acks),
    played!("F11", "Discord asks for heartbeats", Nothing, gateway::calm, gateway::heartbeat_asked),
    played!("F12", "a gateway that accepts and closes", Resume, gateway::long_memory, gateway::accepts_and_closes),
    played!("F13", "resume_gateway_url is dead", Resume, gateway::resumes_nowhere, gateway::dead_resume_url),
    played!("F14", "the replay buffer overflows", Discontinuity, gateway::short_memory, gateway::replay_overflows),
    played!("F15", "every dispatch comes three times", Nothing, Plan::default, gateway::dispatches_come_thrice),
    played!("F16", "dispatches that are never sent", Discontinuity, Plan::default, gateway::dispatches_are_swallowed),
    played!("F17", "dispatches in reverse order", Nothing, Plan::default, gateway::dispatches_are_reversed),
    played!("F18", "a guild is unavailable for a while", Discontinuity, Plan::default, gateway::guild_outage),
    played!("F19", "GUILD_CREATE comes late", Discontinuity, Plan::default, gateway::guilds_come_late),
    played!("F20", "malformed, unknown and 4 MiB payloads", Nothing, gateway::strange, gateway::strange_payloads),
    played!("F21", "the compressed stream is garbled", Resume, gateway::strange, gateway::garbled_stream),
    played!("F22", "3 s of delay and 30 % loss", Nothing, gateway::patient, gateway::delay_and_loss, 6),
    played!("F23", "the gateway is a black hole", Discontinuity, gateway::long_memory, gateway::blackhole, 2),
    played!("F24", "no name resolves", Resume, gateway::resumes_at_no_host, gateway::no_dns),
    played!("F25", "SIGKILL while entries are stored", Resume, process::busy, process::killed_while_it_stores),
    played!("F26", "SIGKILL while entries are received", Resume, process::busy, process::killed_while_it_receives),
    played!("F27", "SIGKILL while snapshots are sent", Resume, process::busy, process::killed_mid_snapshot),
    played!("F28", "SIGTERM with 1,000 streams", Resume, process::busy, process::terminated_with_many),
    later("F29", "rolling restart of three replicas", SCALE_OUT),
    later("F30", "SIGSTOP of the writer", SCALE_OUT),
    Fault { id: "F31", name: "the clock jumps by an hour", act: Act::Alone(|seed| process::clock_jumps(seed).boxed()) },
    played!("F32", "the disk is full", Resume, process::busy, process::disk_is_full),
    played!("F33", "the store is cut short or flipped", Reset, process::busy, process::store_is_damaged),
    later("F34", "Redis restart, FLUSHALL, failover", SCALE_OUT),
    later("F35", "NATS restart, consumer lost, purge", SCALE_OUT),
    later("F36", "partition between writer and store", SCALE_OUT),
    played!("F37", "a reader stalls", Nothing, stalls::busy, stalls::a_reader_stalls),
    played!("F38", "200 readers stall", Nothing, stalls::busy, stalls::many_readers_stall),
    played!("F39", "10,000 streams are cancelled", Nothing, Plan::default, readers::streams_are_cancelled),
    played!("F40", "5,000 clients come back at once", Nothing, readers::gentle, readers::all_come_back_at_once),
    played!("F41", "cursors are forged", Refusal, Plan::default, readers::cursors_are_forged),
    played!("F42", "the log forgets while it is replayed", Reset, readers::forgetful, readers::log_forgets_meanwhile),
    played!("F43", "tokens end while their streams are open", Refusal, readers::exact, readers::tokens_end),
    played!("F44", "REST answers 429 in every way", Nothing, rest::free, rest::limits_of_every_kind),
    played!("F45", "REST answers 5xx, late, or breaks off", Nothing, rest::free, rest::failures_and_lost_answers),
    played!("F46", "REST answers 401", Refusal, rest::free, rest::token_refused),
    later("F47", "ingestion replayed, reordered, forged", LATER),
    later("F48", "JWKS down, slow, rotated, garbage", LATER),
    played!("F49", "SIGSTOP for 20 s, then SIGCONT", Nothing, process::calm, process::stopped_briefly),
    played!("F50", "SIGSTOP for longer than Discord waits", Discontinuity, process::busy, process::stopped_for_long, 2),
];

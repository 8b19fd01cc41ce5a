//! The metrics' names. Labels never hold ids of guilds, rooms, users or subjects.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Calls that began, by `grpc_type`, `grpc_service`, `grpc_method`.
pub const GRPC_STARTED: &str = "grpc_server_started_total";
/// Calls that ended, by `grpc_type`, `grpc_service`, `grpc_method`, `grpc_code`.
pub const GRPC_HANDLED: &str = "grpc_server_handled_total";
/// How long calls took, streams to their end, by `rpc_method`, `rpc_status_code`; in seconds.
pub const RPC_DURATION: &str = "rpc_server_call_duration_seconds";
/// Open connections.
pub const CONNECTIONS: &str = "parlor_connections";
/// Connections that were not served, by `reason` (`total`, `address`, `tls`).
pub const CONNECTIONS_REFUSED: &str = "parlor_connections_refused_total";
/// Calls that ended in a panic.
pub const PANICS: &str = "parlor_panics_total";
/// Calls that were refused by a limit, by `rule`.
pub const RATE_LIMITED: &str = "parlor_ratelimited_total";
/// How old the token issuer's keys are, in seconds.
pub const JWKS_AGE_SECONDS: &str = "parlor_jwks_age_seconds";
/// The newest sequence of the event log.
pub const LOG_HEAD: &str = "parlor_log_head";
/// The oldest sequence of the event log that is kept.
pub const LOG_OLDEST: &str = "parlor_log_oldest";
/// Whether the store takes what there is to write: 1 or 0.
pub const STORE_UP: &str = "parlor_store_up";
/// Stores that were found damaged and set aside.
pub const STORE_DAMAGED: &str = "parlor_store_damaged_total";
/// How long it took to store one round of changes, in seconds.
pub const STORE_COMMIT_SECONDS: &str = "parlor_store_commit_seconds";
/// Open event streams.
pub const STREAMS: &str = "parlor_streams";
/// Streams that were reset because their client did not read.
pub const STREAMS_STALLED: &str = "parlor_streams_stalled_total";
/// How far streams that need several steps to catch up are behind after each, in entries.
pub const STREAM_LAG_ENTRIES: &str = "parlor_stream_lag_entries";
/// Streams that could not continue from where they were, by `reason`.
pub const RESETS: &str = "parlor_resets_total";
/// Times that Discord's session could not be resumed, by `reason`.
pub const DISCONTINUITIES: &str = "parlor_discontinuity_total";
/// Discord's gateway: 0 stale, 1 resuming, 2 reconciling, 3 live, -1 failed.
pub const GATEWAY_STATE: &str = "parlor_gateway_state";
/// Connections to Discord's gateway that ended, by close `code`.
pub const GATEWAY_RECONNECTS: &str = "parlor_gateway_reconnects_total";
/// Identifies that Discord still allowed today when the gateway was asked for, which is once for each process.
pub const IDENTIFY_REMAINING: &str = "parlor_identify_remaining";
/// Requests to Discord, by `route` and `status`.
pub const DISCORD_REQUESTS: &str = "parlor_discord_requests_total";
/// Answers of the last ten minutes that count towards Discord's ban.
pub const DISCORD_INVALID_REQUESTS: &str = "parlor_discord_invalid_requests_10m";
/// Voice sessions.
pub const VOICE_SESSIONS: &str = "parlor_voice_sessions";
/// Frames that users sent into voice sessions, by `outcome` (`delivered`, `passthrough`, `held`, `late`, `lost`,
/// `undecryptable`, `opted_out`).
pub const VOICE_FRAMES: &str = "parlor_voice_frames_total";
/// Frames that were played into voice sessions, by `outcome` (`sent`, `unsent`).
pub const VOICE_FRAMES_SENT: &str = "parlor_voice_frames_sent_total";
/// Frames that a caller's stream did not get because its caller did not read.
pub const VOICE_LISTENER_DROPPED: &str = "parlor_voice_listener_dropped_total";
/// Times that Discord did not let a room end whose policy says that it does, by `cause`.
pub const ROOMS_END_REFUSED: &str = "parlor_rooms_end_refused_total";
/// Requests to Discord that wait for their turn.
pub const DISCORD_WAITING: &str = "parlor_discord_waiting";
/// Requests to Discord that are sent and not answered.
pub const DISCORD_IN_FLIGHT: &str = "parlor_discord_in_flight";
/// How long a request to Discord waited until it was sent last, in seconds.
pub const DISCORD_WAIT_SECONDS: &str = "parlor_discord_wait_seconds";
/// Whether requests to Discord are sent: 1 for the one `state` that is (`closed` = they are, `paused`, `shedding`, `probing`,
/// `open`, `credentials_refused`), 0 for the others.
pub const DISCORD_BREAKER: &str = "parlor_discord_breaker";
/// Requests that ended without an answer of Discord's, by `reason` (`rate_limited`, `breaker_open`, `credentials_refused`,
/// `denied`, `unavailable`, `outcome_unknown`).
pub const DISCORD_UNANSWERED: &str = "parlor_discord_unanswered_total";
/// Gateway payloads that could not be read.
pub const GATEWAY_SKIPPED: &str = "parlor_gateway_skipped_total";
/// Rooms that were ended by their policy, by `cause` (`empty_timeout`, `departure_timeout`, `max_duration`).
pub const ROOMS_EXPIRED: &str = "parlor_rooms_expired_total";
/// Rooms whose making was not answered and that were found to be there.
pub const ROOMS_FOUND: &str = "parlor_rooms_found_total";
/// Looks for such a room that found channels which might be it, without proof: all of them were left alone.
pub const ROOMS_AMBIGUOUS: &str = "parlor_rooms_ambiguous_total";
/// Channels that carried Parlor's mark at the start and that its store does not know: they are left alone.
pub const ROOMS_STRAY: &str = "parlor_rooms_stray";

/// The buckets of [`RPC_DURATION`], in seconds (OpenTelemetry semantic conventions, `rpc.server.call.duration`).
pub const RPC_DURATION_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The buckets of [`DISCORD_WAIT_SECONDS`], in seconds: from at once to the longest that a caller waits.
pub const DISCORD_WAIT_BUCKETS: [f64; 10] = [0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 20.0, 60.0];

/// Tells the recorder what each name means.
pub(super) fn describe() {
    describe_counter!(GRPC_STARTED, "gRPC calls that began");
    describe_counter!(GRPC_HANDLED, "gRPC calls that ended, by code");
    describe_histogram!(RPC_DURATION, Unit::Seconds, "How long gRPC calls took, streams to their end");
    describe_gauge!(CONNECTIONS, "Open connections");
    describe_counter!(CONNECTIONS_REFUSED, "Connections that were not served");
    describe_counter!(PANICS, "Calls that ended in a panic");
    describe_counter!(RATE_LIMITED, "Calls refused by a limit");
    describe_gauge!(JWKS_AGE_SECONDS, Unit::Seconds, "Age of the token issuer's keys");
    describe_gauge!(LOG_HEAD, "Newest sequence of the event log");
    describe_gauge!(LOG_OLDEST, "Oldest sequence of the event log that is kept");
    describe_gauge!(STORE_UP, "Whether the store takes what there is to write: 1 or 0");
    describe_counter!(STORE_DAMAGED, "Stores that were found damaged and set aside");
    describe_histogram!(STORE_COMMIT_SECONDS, Unit::Seconds, "How long it took to store one round of changes");
    describe_gauge!(STREAMS, "Open event streams");
    describe_counter!(STREAMS_STALLED, "Streams reset because their client did not read");
    describe_histogram!(STREAM_LAG_ENTRIES, "Entries that a stream which catches up is behind");
    describe_counter!(RESETS, "Streams that could not continue from where they were");
    describe_counter!(DISCONTINUITIES, "Times that Discord's session could not be resumed");
    describe_gauge!(GATEWAY_STATE, "Discord's gateway: 0 stale, 1 resuming, 2 reconciling, 3 live, -1 failed");
    describe_counter!(GATEWAY_RECONNECTS, "Connections to Discord's gateway that ended, by close code");
    describe_gauge!(IDENTIFY_REMAINING, "Identifies that Discord still allowed at the start");
    describe_counter!(DISCORD_REQUESTS, "Requests to Discord, by route and status");
    describe_gauge!(DISCORD_INVALID_REQUESTS, "Answers of the last ten minutes that count towards Discord's ban");
    describe_gauge!(VOICE_SESSIONS, "Voice sessions");
    describe_counter!(VOICE_FRAMES, "Frames that users sent into voice sessions, by what became of them");
    describe_counter!(VOICE_FRAMES_SENT, "Frames that were played into voice sessions");
    describe_counter!(VOICE_LISTENER_DROPPED, "Frames that a stream did not get because its caller did not read");
    describe_counter!(ROOMS_END_REFUSED, "Times that Discord did not let a room end whose policy says that it does");
    describe_gauge!(DISCORD_WAITING, "Requests to Discord that wait for their turn");
    describe_gauge!(DISCORD_IN_FLIGHT, "Requests to Discord that are sent and not answered");
    describe_histogram!(
        DISCORD_WAIT_SECONDS,
        Unit::Seconds,
        "How long requests to Discord waited until they were sent"
    );
    describe_gauge!(DISCORD_BREAKER, "Whether requests to Discord are sent: 1 for the state that is, 0 for the others");
    describe_counter!(DISCORD_UNANSWERED, "Requests that ended without an answer of Discord's, by reason");
    describe_counter!(GATEWAY_SKIPPED, "Gateway payloads that could not be read");
    describe_counter!(ROOMS_EXPIRED, "Rooms ended by their policy, by cause");
    describe_counter!(ROOMS_FOUND, "Rooms whose making was not answered and that were found to be there");
    describe_counter!(ROOMS_AMBIGUOUS, "Looks for such a room that found no proof of which it is, and left all alone");
    describe_gauge!(ROOMS_STRAY, "Channels with Parlor's mark that its store does not know");
}

//! Counts of what clients did: what a test waits for and asserts on.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::world::UserId;

/// Counts since the emulator started; the `open` ones are of this moment.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Stats {
    /// Gateway websockets ever opened.
    pub gateway_opened: u64,
    /// Gateway websockets open now.
    pub gateway_open: u64,
    /// Gateway sessions that live now, with or without a websocket.
    pub sessions_open: u64,
    /// Handshakes that a fault refused.
    pub handshakes_refused: u64,
    /// TCP connections that a fault dropped.
    pub tcp_refused: u64,
    /// IDENTIFY payloads.
    pub identifies: u64,
    /// RESUME payloads.
    pub resumes: u64,
    /// RESUME payloads that could not be served.
    pub resumes_refused: u64,
    /// Dispatches sent again by a RESUME.
    pub replayed: u64,
    /// Heartbeats received.
    pub heartbeats: u64,
    /// Dispatches recorded for sessions, duplicates included.
    pub dispatches: u64,
    /// Of these, the ones beyond the first that a fault had delivered again.
    pub dispatches_repeated: u64,
    /// Changes of the world whose dispatches, more than one, a fault put into reverse order.
    pub changes_reversed: u64,
    /// Close frames that the emulator sent, by code.
    pub closes: BTreeMap<u16, u64>,
    /// REST requests by route, e.g. `POST /guilds/{guild.id}/channels`.
    pub rest: BTreeMap<String, u64>,
    /// REST answers by status.
    pub rest_statuses: BTreeMap<u16, u64>,
    /// Answers that Discord counts towards a ban, by cause: `401 0`, `403 50013`, `404 10015` for a webhook that is gone,
    /// `429 bucket`, `429 global`, `429 hidden`, `429 cloudflare`. Those of scope shared are not among them.
    pub invalid: BTreeMap<String, u64>,
    /// REST requests, by route, that came although an earlier 429 (of the route, of the bot or of Cloudflare) had told to
    /// wait longer. Requests that were on their way when the 429 was written are among them.
    pub too_early: BTreeMap<String, u64>,
    /// The voice server's.
    pub voice: VoiceStats,
    /// REST requests that wait because of [`Fault::HoldRest`](crate::Fault::HoldRest).
    pub rest_held: u64,
}

/// Counts of the voice server.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct VoiceStats {
    /// WebSockets ever opened.
    pub opened: u64,
    /// WebSockets open now.
    pub open: u64,
    /// Sessions that live now, with or without a WebSocket.
    pub sessions_open: u64,
    /// Op 0.
    pub identifies: u64,
    /// Op 0 that was answered with a close code.
    pub identifies_refused: u64,
    /// Op 7.
    pub resumes: u64,
    /// Op 7 that was answered with a close code.
    pub resumes_refused: u64,
    /// Messages sent again by a Resume.
    pub replayed: u64,
    /// Heartbeats received.
    pub heartbeats: u64,
    /// Close frames that the voice server sent, by code.
    pub closes: BTreeMap<u16, u64>,
    /// Datagrams received, of any kind.
    pub datagrams: u64,
    /// IP discovery requests that were answered.
    pub discoveries: u64,
    /// Native pings that were answered.
    pub pings: u64,
    /// RTCP datagrams received.
    pub reports: u64,
    /// RTP packets received, opened.
    pub packets_in: u64,
    /// The same by user.
    pub heard: BTreeMap<UserId, u64>,
    /// RTP packets sent, once for each receiver.
    pub packets_out: u64,
    /// RTP packets meant for each receiver that can be reached: those that a fault loses too, and one that it doubles once.
    pub meant_for: BTreeMap<UserId, u64>,
    /// Datagrams of no known source, or not sealed with its key.
    pub unopened: u64,
    /// RTP packets that came before op 5 had announced their source; nobody got them.
    pub unannounced: u64,
    /// RTP packets of users who are muted or suppressed; nobody got them.
    pub silenced: u64,
    /// Datagrams that a fault lost, either way.
    pub lost: u64,
    /// RTP packets that a fault sent twice.
    pub duplicated: u64,
    /// RTP packets that a fault sent late.
    pub delayed: u64,
    /// RTP packets that a fault sent after the one that follows.
    pub reordered: u64,
    /// RTP packets of which a fault changed a byte.
    pub corrupted: u64,
    /// Commits that ended an epoch.
    pub commits: u64,
    /// Commits that came too late, were not complete, or not sound.
    pub commits_refused: u64,
    /// Commits and welcomes of which a fault changed a byte.
    pub commits_spoilt: u64,
    /// Op 31.
    pub invalid_commits: u64,
    /// Transitions that took effect, initial ones included.
    pub transitions: u64,
    /// Transitions that are prepared now and wait for somebody to be ready.
    pub transitions_pending: u64,
    /// RTP packets that a client without end-to-end encryption was spared.
    pub withheld: u64,
}

impl Stats {
    /// REST requests of all routes.
    pub fn rest_total(&self) -> u64 {
        self.rest.values().sum()
    }
}

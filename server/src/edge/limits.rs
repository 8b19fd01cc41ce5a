//! The limits of HTTP.

use hyper_util::{rt::TokioTimer, server::conn::auto::Builder};

use super::calls::Calls;
use crate::config::LimitsConfig;

/// The largest frame, in bytes: the least that HTTP/2 allows (RFC 9113, section 6.5.2).
const FRAME_BYTES: u32 = 16 * 1024;
/// What a client may upload ahead of us on one connection and on one stream, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// What is kept for one stream whose client does not read, in bytes; hyper's default is 400 KiB.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Calls that a client has taken back and we have not looked at yet (RUSTSEC-2023-0034).
const PENDING_RESETS: usize = 20;

/// hyper with every limit set, for one connection. Two of the library's defaults are "none": the number of concurrent
/// streams, and the number of malformed streams after which a connection is closed (RUSTSEC-2024-0003).
pub(super) fn http(limits: &LimitsConfig, calls: Calls) -> Builder<Calls> {
    let mut builder = Builder::new(calls);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.calls_per_connection)
        .max_local_error_reset_streams(limits.malformed_calls as usize)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_header_list_size(limits.header_bytes)
        .max_frame_size(FRAME_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    // Without a timer there is no limit on how long a request's head takes, 30 s.
    builder.http1().timer(TokioTimer::new());
    builder
}

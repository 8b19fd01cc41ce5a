//! The limits of HTTP/2.

use tonic::transport::Server;

use crate::config::LimitsConfig;

/// The largest frame, in bytes: the least that HTTP/2 allows (RFC 9113, section 6.5.2).
const FRAME_BYTES: u32 = 16 * 1024;
/// What a client may upload ahead of us on one connection and on one stream, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Calls that a client has taken back and we have not looked at yet (RUSTSEC-2023-0034).
const PENDING_RESETS: usize = 20;

/// A server with every limit set. Two of the library's defaults are "none": the number of concurrent streams, and the
/// number of malformed streams after which a connection is closed (RUSTSEC-2024-0003).
///
/// `max_connection_age_grace` stays unset: together with an age it cuts connections without a GOAWAY.
pub fn server_builder(limits: &LimitsConfig) -> Server {
    Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(limits.calls_per_connection)
        .concurrency_limit_per_connection(limits.active_calls_per_connection as usize)
        .http2_max_local_error_reset_streams(Some(limits.malformed_calls as usize))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
        .http2_max_header_list_size(limits.header_bytes)
        .max_frame_size(FRAME_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        .max_connection_age(limits.connection_age)
}

//! What a call can end with, by what the caller may do about it.

use std::time::Duration;

use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The server could not be reached, or the token cannot be sent.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The address is not `http://host:port` or `https://host:port`.
    #[error("`{0}` is not an address such as http://127.0.0.1:50051")]
    Address(String),
    /// Nobody answers there.
    #[error("cannot connect to {address}: is parlord running there?")]
    Unreachable {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// The token holds characters that no token has.
    #[error("the token cannot stand in a header")]
    Token,
}

/// A call that the server did not carry out.
#[derive(Clone, Debug, Error)]
#[error("{}{message}", reason.as_ref().map(|reason| format!("{reason}: ")).unwrap_or_default())]
pub struct CallError {
    /// The gRPC code.
    pub code: Code,
    /// `ErrorInfo.reason`, such as `ROOM_UNKNOWN`; the contract's comments list them.
    pub reason: Option<String>,
    /// The server's words.
    pub message: String,
    /// Which fields were wrong, with what is wrong about them.
    pub wrong_fields: Vec<(String, String)>,
    /// After how long a repeat makes sense, where the server says.
    pub retry_after: Option<Duration>,
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let violations = details.bad_request().map(|request| request.field_violations.clone()).unwrap_or_default();
        Self {
            code: status.code(),
            reason: details.error_info().map(|error| error.reason.clone()),
            message: status.message().to_owned(),
            wrong_fields: violations.into_iter().map(|one| (one.field, one.description)).collect(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        }
    }
}

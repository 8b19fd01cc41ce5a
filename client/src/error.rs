//! What a call can end with, by what the caller may do about it.

use std::{collections::BTreeMap, time::Duration};

use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The server could not be reached, or the token cannot be sent.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The address is none.
    #[error("`{0}` is not an address such as 127.0.0.1:50051 or https://parlor.example")]
    Address(String),
    /// Nobody answers there, or not in a way that can be trusted.
    #[error("cannot connect to {address}")]
    Unreachable {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// The certificate authority that was given cannot be used.
    #[error("the certificate authority cannot be used: it has to be PEM")]
    Authority(#[source] tonic::transport::Error),
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
    /// `ErrorInfo.metadata`, such as the `scope` that is missing.
    pub metadata: BTreeMap<String, String>,
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
        let (reason, metadata) = match details.error_info() {
            Some(info) => (Some(info.reason.clone()), info.metadata.clone().into_iter().collect()),
            None => (None, BTreeMap::new()),
        };
        Self {
            code: status.code(),
            reason,
            metadata,
            message: status.message().to_owned(),
            wrong_fields: violations.into_iter().map(|one| (one.field, one.description)).collect(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        }
    }
}

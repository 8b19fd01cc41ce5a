//! What can go wrong between us and Discord's REST API, by what the caller may do about it.

use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

/// A request to Discord did not succeed.
#[derive(Debug, Error)]
pub enum RestError {
    /// Discord looked at the request and said no. Repeating it unchanged is pointless.
    #[error("Discord refused with code {code}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Discord's JSON error code; 0 where the body had none.
        code: u64,
        /// Discord's message. For logs: it may repeat what the caller sent.
        message: String,
        /// Which fields were wrong, for code 50035.
        fields: Vec<FieldError>,
    },
    /// Discord wants us to wait for longer than the caller has time.
    #[error("Discord limits the rate; wait {retry_after:?}")]
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Nothing was done, and a repeat is safe: Discord could not be reached or was not able to serve.
    #[error("Discord is not available")]
    Unavailable,
    /// The request may have been carried out or not: the connection broke, time ran out, or Discord failed after
    /// having received it.
    #[error("no answer tells whether Discord has done it")]
    OutcomeUnknown,
    /// Discord does not accept our token. No further request is sent until the process has a new one.
    #[error("Discord does not accept the bot token")]
    CredentialsRefused,
    /// Discord answered with something that is not what its documentation says.
    #[error("Discord's answer cannot be read")]
    UnreadableAnswer,
}

/// A field that Discord found wrong (Discord reference, "Error Messages").
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldError {
    /// The path of the field in the request body, joined by dots.
    pub field: String,
    /// What is wrong with it, in Discord's words.
    pub message: String,
}

/// The body of an error answer.
#[derive(Deserialize)]
pub(super) struct ErrorBody {
    #[serde(default)]
    pub(super) code: u64,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    errors: serde_json::Value,
}

impl ErrorBody {
    /// Walks the nested `errors` object to its `_errors` leaves.
    pub(super) fn fields(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        collect(&self.errors, "", &mut found);
        found
    }
}

fn collect(node: &serde_json::Value, path: &str, found: &mut Vec<FieldError>) {
    let Some(object) = node.as_object() else { return };
    for (key, child) in object {
        if key == "_errors" {
            let messages = child.as_array().into_iter().flatten().filter_map(|error| error.get("message")?.as_str());
            found.extend(messages.map(|message| FieldError { field: path.to_owned(), message: message.to_owned() }));
        } else {
            let deeper = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            collect(child, &deeper, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_field_errors_are_flattened() {
        // The shape of Discord's reference, "Error Messages", array error.
        let body: ErrorBody = serde_json::from_str(
            r#"{"code":50035,"message":"Invalid Form Body","errors":{"permission_overwrites":{"0":{"type":{"_errors":
               [{"code":"BASE_TYPE_CHOICES","message":"Value must be one of ('0', '1')."}]}}},
               "name":{"_errors":[{"code":"BASE_TYPE_REQUIRED","message":"This field is required"}]}}}"#,
        )
        .expect("parses");
        let mut fields: Vec<_> = body.fields().into_iter().map(|error| error.field).collect();
        fields.sort();
        assert_eq!(fields, ["name", "permission_overwrites.0.type"]);
    }
}

//! What can go wrong between us and Discord's REST API, by what the caller may do about it.

use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use super::{
    permission::Permission,
    refusal::{Refusal, Said},
    schedule::{Denial, Unanswered, seconds},
};

/// A request to Discord did not succeed.
#[derive(Debug, Error)]
pub enum RestError {
    /// Discord looked at the request and said no. Repeating it unchanged is pointless.
    #[error("Discord refused with code {code}")]
    Refused {
        /// What that means.
        refusal: Refusal,
        /// The HTTP status.
        status: u16,
        /// Discord's JSON error code; 0 where the body had none.
        code: u64,
        /// Discord's message. For logs: it may repeat what the caller sent.
        message: String,
    },
    /// A limit keeps the request from being sent while the caller has time. Nothing was done.
    #[error("Discord limits the rate; wait {retry_after:?}")]
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Nothing is sent for a while, lest Discord ban the address. Nothing was done.
    #[error("requests to Discord are stopped; wait {retry_after:?}")]
    BreakerOpen {
        /// How long to wait.
        retry_after: Duration,
    },
    /// A repeat is safe: Discord could not be reached or was not able to serve.
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
    /// Discord's name of what is wrong, such as `BASE_TYPE_REQUIRED`; may be empty.
    pub code: String,
    /// What is wrong with it, in Discord's words.
    pub message: String,
}

/// What the answer to a request that Discord refused says: [`RestError::Refused`], or [`RestError::UnreadableAnswer`]
/// where the body is not what Discord's reference shows ("Error Messages"). `needs` is what the request needs the bot to
/// be allowed.
pub fn refusal(status: u16, body: &[u8], needs: &'static [Permission]) -> RestError {
    let Ok(body) = serde_json::from_slice::<ErrorBody>(body) else { return RestError::UnreadableAnswer };
    let said = Said { fields: body.fields(), needs, retry_after: body.retry_after.and_then(seconds) };
    let refusal = Refusal::of(status, body.code, said);
    RestError::Refused { refusal, status, code: body.code, message: body.message }
}

impl RestError {
    /// What the scheduler's word means to a request that needs these permissions.
    pub(super) fn unanswered(why: Unanswered, needs: &'static [Permission]) -> Self {
        match why {
            Unanswered::RateLimited { retry_after } => Self::RateLimited { retry_after },
            Unanswered::BreakerOpen { retry_after } => Self::BreakerOpen { retry_after },
            Unanswered::CredentialsRefused => Self::CredentialsRefused,
            Unanswered::Denied(Denial { status, code }) => Self::Refused {
                refusal: Refusal::of(status, code, Said { needs, ..Said::default() }),
                status,
                code,
                message: "refused a moment ago, and not asked again".to_owned(),
            },
            Unanswered::Unavailable => Self::Unavailable,
            Unanswered::OutcomeUnknown => Self::OutcomeUnknown,
        }
    }

    /// A request that is so wrong that it is not sent.
    pub(super) fn invalid(message: String) -> Self {
        let refusal = Refusal::InvalidForm { fields: Vec::new() };
        Self::Refused { refusal, status: 400, code: 50_035, message }
    }
}

/// The body of an error answer.
#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: serde_json::Value,
    #[serde(default, deserialize_with = "number")]
    retry_after: Option<f64>,
}

/// A number, and nothing where something else stands.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let value: serde_json::Value = Deserialize::deserialize(deserializer)?;
    Ok(value.as_f64())
}

impl ErrorBody {
    /// Walks the nested `errors` object to its `_errors` leaves.
    fn fields(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        collect(&self.errors, "", &mut found);
        found
    }
}

fn collect(node: &serde_json::Value, path: &str, found: &mut Vec<FieldError>) {
    let Some(object) = node.as_object() else { return };
    for (key, child) in object {
        if key == "_errors" {
            let read = |error: &serde_json::Value| {
                let text = |name| error.get(name).and_then(serde_json::Value::as_str);
                let code = text("code").unwrap_or_default().to_owned();
                Some(FieldError { field: path.to_owned(), code, message: text("message")?.to_owned() })
            };
            found.extend(child.as_array().into_iter().flatten().filter_map(read));
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
        let body = br#"{"code":50035,"message":"Invalid Form Body","errors":{"permission_overwrites":{"0":{"type":{
               "_errors":[{"code":"BASE_TYPE_CHOICES","message":"Value must be one of ('0', '1')."}]}}},
               "name":{"_errors":[{"code":"BASE_TYPE_REQUIRED","message":"This field is required"}]}}}"#;
        let RestError::Refused { refusal: Refusal::InvalidForm { fields }, .. } = refusal(400, body, &[]) else {
            panic!("a wrong form")
        };
        let mut named: Vec<_> = fields.into_iter().map(|error| (error.field, error.code)).collect();
        named.sort();
        let named: Vec<_> = named.iter().map(|(field, code)| (field.as_str(), code.as_str())).collect();
        let types = ("permission_overwrites.0.type", "BASE_TYPE_CHOICES");
        assert_eq!(named, [("name", "BASE_TYPE_REQUIRED"), types]);
    }
}

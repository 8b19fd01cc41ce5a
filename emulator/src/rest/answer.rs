//! How answers look: status, headers and body, of Discord and of those who stand before it.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::Reply;
use super::limits::{BucketState, Refusal, Shared};
use crate::faults::{ErrorBody, RestAnswer};

/// A REST request's answer.
#[derive(Debug)]
pub enum Answer {
    /// This, at once.
    Reply(Response<String>),
    /// This, after so long a time. The request was carried out when it came.
    Late(Response<String>, Duration),
    /// The connection breaks off without an answer.
    HangUp,
}

impl Answer {
    /// The HTTP answer, whenever it comes; none where the connection breaks off.
    pub fn response(self) -> Option<Response<String>> {
        match self {
            Self::Reply(response) | Self::Late(response, _) => Some(response),
            Self::HangUp => None,
        }
    }
}

/// What a handler says, with its bucket's headers.
pub(super) fn success(reply: Reply, bucket: Option<&BucketState>) -> Response<String> {
    let mut response = match reply {
        Reply::Ok(body) => of_json(200, &body),
        Reply::Created(body) => of_json(201, &body),
        Reply::NoContent => plain(204, String::new()),
    };
    write_bucket(response.headers_mut(), bucket);
    response
}

/// An error of the API.
pub(super) fn error(status: u16, body: &Value, bucket: Option<&BucketState>) -> Response<String> {
    let mut response = of_json(status, body);
    write_bucket(response.headers_mut(), bucket);
    response
}

/// A 429. `bucket` is the state of the route's own bucket, which not every limit speaks of.
pub(super) fn limited(refusal: &Refusal, bucket: Option<&BucketState>) -> Response<String> {
    let (mut response, scope, bucket) = match refusal {
        Refusal::Banned { retry_after } => return banned(*retry_after),
        Refusal::Bucket { state, retry_after } => {
            (too_many(*retry_after, TOO_MANY, None, false), "user", state.as_ref())
        }
        Refusal::Hidden { retry_after } => (too_many(*retry_after, TOO_MANY, None, false), "user", bucket),
        Refusal::Shared { resource, retry_after } => {
            let (message, code) = match resource {
                Shared::Resource => ("The resource is being rate limited.", None),
                Shared::ChannelWrites => (CHANNEL_WRITES, Some(20_028)),
                Shared::GuildWrites => (GUILD_WRITES, Some(20_029)),
            };
            (too_many(*retry_after, message, code, false), "shared", bucket)
        }
        Refusal::Global { retry_after } => {
            let mut response = too_many(*retry_after, TOO_MANY, None, true);
            put(response.headers_mut(), "x-ratelimit-global", "true");
            (response, "global", None)
        }
    };
    write_bucket(response.headers_mut(), bucket);
    put(response.headers_mut(), "x-ratelimit-scope", scope);
    response
}

const TOO_MANY: &str = "You are being rate limited.";
const CHANNEL_WRITES: &str = "The write action you are performing on the channel has hit the write rate limit.";
const GUILD_WRITES: &str = "The write action you are performing on the server has hit the write rate limit.";

fn too_many(retry_after: Duration, message: &str, code: Option<u32>, global: bool) -> Response<String> {
    let mut body = json!({
        "message": message,
        "retry_after": retry_after.as_millis() as f64 / 1_000.0,
        "global": global,
    });
    if let Some(code) = code {
        body["code"] = json!(code);
    }
    let mut response = of_json(429, &body);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(retry_after)));
    response
}

/// Cloudflare's answer to a banned address: HTML, and no word of Discord's own headers.
fn banned(retry_after: Option<Duration>) -> Response<String> {
    let mut response = page(429, "Access denied | discord.com used Cloudflare to restrict access", "error code: 1015");
    if let Some(retry_after) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(retry_after)));
    }
    response
}

/// A server's error.
pub(super) fn server_error(status: u16, body: ErrorBody) -> Response<String> {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let title = format!("{} {}", code.as_u16(), code.canonical_reason().unwrap_or("Error"));
    match body {
        ErrorBody::Empty => plain(status, String::new()),
        ErrorBody::Json => {
            let message = format!("{}: {}", code.as_u16(), code.canonical_reason().unwrap_or("Error"));
            of_json(status, &json!({"message": message, "code": 0}))
        }
        ErrorBody::Html => page(status, &title, &title),
    }
}

/// A page of Cloudflare's, who stands before Discord.
fn page(status: u16, title: &str, text: &str) -> Response<String> {
    let page = format!("<!doctype html><html><head><title>{title}</title></head><body>{text}</body></html>\n");
    let mut response = Response::new(page);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8"));
    put(response.headers_mut(), "server", "cloudflare");
    response
}

/// An answer that a test wrote; status 0 is none.
pub(super) fn scripted(scripted: &RestAnswer) -> Answer {
    if scripted.status == 0 {
        return Answer::HangUp;
    }
    let mut response = plain(scripted.status, scripted.body.clone());
    for (name, value) in &scripted.headers {
        put(response.headers_mut(), name, value);
    }
    Answer::Reply(response)
}

fn of_json(status: u16, body: &Value) -> Response<String> {
    let mut response = plain(status, body.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(status: u16, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    // discord.py takes a 429 without this header for one of Cloudflare's.
    response.headers_mut().insert(VIA, HeaderValue::from_static("1.1 google"));
    response
}

fn write_bucket(headers: &mut HeaderMap, bucket: Option<&BucketState>) {
    let Some(bucket) = bucket else { return };
    put(headers, "x-ratelimit-limit", &bucket.limit.to_string());
    put(headers, "x-ratelimit-remaining", &bucket.remaining.to_string());
    put(headers, "x-ratelimit-reset", &format!("{:.3}", bucket.reset.unix_millis() as f64 / 1_000.0));
    put(headers, "x-ratelimit-reset-after", &format!("{:.3}", bucket.reset_after.as_secs_f64()));
    put(headers, "x-ratelimit-bucket", &bucket.hash);
}

fn whole_seconds(span: Duration) -> u64 {
    span.as_millis().div_ceil(1_000) as u64
}

/// Sets a header; names and values that are no header are left out.
fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}

//! What an answer says about limits: its headers, and the body of a 429 (Discord docs, topics/rate-limits).

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

/// How long an edge that says nothing of how long is left alone.
pub(super) const UNSAID: Duration = Duration::from_secs(15 * 60);

/// The longest wait that is read, over a hundred years: what is longer could not be added to a time.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// What an answer says, as far as the next request is concerned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Heard {
    /// The HTTP status.
    pub status: u16,
    /// Discord's JSON error code; 0 where there is none.
    pub code: u64,
    /// The bucket that was counted against.
    pub bucket: Option<BucketNews>,
    /// Which limit was hit, if one was.
    pub limited: Option<Limited>,
    /// The wait that a header asks for, limit or not.
    pub retry_after: Option<Duration>,
}

/// The state of a bucket, from the headers `X-RateLimit-*`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BucketNews {
    /// Which bucket: routes with the same hash share one for each top-level resource.
    pub hash: String,
    /// Requests per window.
    pub limit: u32,
    /// How many are left of them.
    pub remaining: u32,
    /// When the window ends.
    pub reset_after: Duration,
}

/// A limit that was hit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limited {
    /// Which one.
    pub kind: LimitKind,
    /// How long to wait: by header or body, whichever says longer.
    pub wait: Duration,
}

/// The kinds of 429.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LimitKind {
    /// The route's bucket is empty.
    Bucket,
    /// The bucket is empty because of others; nobody is to blame, and it does not count towards the ban.
    Shared,
    /// The bucket is not empty, but a limit that headers do not show is: one of a field.
    SubLimit,
    /// Code 20028: too many writes to one channel.
    ChannelWrites,
    /// Code 20029: too many writes to one guild.
    GuildWrites,
    /// The bot's limit over all routes.
    Global,
    /// Not the API but the edge before it. Going on ends in a ban.
    Cloudflare,
}

/// Reads an answer's status, headers and body. Nothing in them is an error: what cannot be read says nothing.
pub fn hear(status: u16, headers: &HeaderMap, body: &[u8]) -> Heard {
    // Only an answer that refuses has a body of this shape; others are large, and read elsewhere.
    let refusal = (status >= 400).then(|| serde_json::from_slice::<RefusalBody>(body).ok()).flatten();
    let code = refusal.as_ref().and_then(|body| body.code).unwrap_or(0);
    let bucket = bucket_news(headers);
    let kind = match code {
        20_028 => Some(LimitKind::ChannelWrites),
        20_029 => Some(LimitKind::GuildWrites),
        _ if status == StatusCode::TOO_MANY_REQUESTS.as_u16() => Some(kind(headers, refusal.as_ref())),
        _ => None,
    };
    let limited = kind.map(|kind| Limited { kind, wait: asked_wait(headers, body) });
    Heard { status, code, bucket, limited, retry_after: retry_after(headers) }
}

/// How long a 429 asks to wait, by its header or its body, whichever says longer. An edge that says nothing of how long
/// is not to be asked again by a program: 15 minutes.
pub fn asked_wait(headers: &HeaderMap, body: &[u8]) -> Duration {
    let named = serde_json::from_slice::<RefusalBody>(body).ok().and_then(|body| body.retry_after).and_then(seconds);
    retry_after(headers).into_iter().chain(named).max().unwrap_or(UNSAID)
}

/// The body of a refusal. Cloudflare's has none of this.
#[derive(Default, Deserialize)]
struct RefusalBody {
    #[serde(default)]
    code: Option<u64>,
    #[serde(default)]
    retry_after: Option<f64>,
    #[serde(default)]
    global: Option<bool>,
}

fn kind(headers: &HeaderMap, body: Option<&RefusalBody>) -> LimitKind {
    let says = |name: &str, value: &str| text(headers, name).is_some_and(|said| said.eq_ignore_ascii_case(value));
    let global = says("x-ratelimit-global", "true") || says("x-ratelimit-scope", "global");
    if global || body.is_some_and(|body| body.global == Some(true)) {
        return LimitKind::Global;
    }
    if says("x-ratelimit-scope", "shared") {
        return LimitKind::Shared;
    }
    match text(headers, "x-ratelimit-remaining").and_then(|text| text.parse::<u32>().ok()) {
        Some(0) => LimitKind::Bucket,
        Some(_) => LimitKind::SubLimit,
        None if headers.contains_key("x-ratelimit-scope") => LimitKind::Bucket,
        // The API's own words without any of its headers: which limit it was remains unsaid, so it is one of all.
        None if body.is_some_and(|body| body.retry_after.is_some()) => LimitKind::Global,
        None => LimitKind::Cloudflare,
    }
}

fn bucket_news(headers: &HeaderMap) -> Option<BucketNews> {
    let number = |name| text(headers, name)?.parse::<u32>().ok();
    let hash = text(headers, "x-ratelimit-bucket").filter(|hash| (1..=128).contains(&hash.len()))?;
    Some(BucketNews {
        hash: hash.to_owned(),
        limit: number("x-ratelimit-limit")?,
        remaining: number("x-ratelimit-remaining")?,
        reset_after: seconds(text(headers, "x-ratelimit-reset-after")?.parse().ok()?)?,
    })
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, http::header::RETRY_AFTER.as_str())?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A wait that Discord names in seconds.
pub(in crate::rest) fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().map(|wait| wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn kind_of(lines: &[(&'static str, &'static str)], body: &str) -> LimitKind {
        hear(429, &headers(lines), body.as_bytes()).limited.expect("a limit").kind
    }

    #[test]
    fn every_kind_of_429_is_told_from_the_others() {
        let body = r#"{"message":"You are being rate limited.","retry_after":1.0,"global":false}"#;
        let (user, empty, left) =
            (("x-ratelimit-scope", "user"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-remaining", "4"));
        assert_eq!(kind_of(&[user, empty], body), LimitKind::Bucket);
        assert_eq!(kind_of(&[user, left], body), LimitKind::SubLimit);
        assert_eq!(kind_of(&[("x-ratelimit-scope", "shared"), empty], body), LimitKind::Shared);
        assert_eq!(kind_of(&[("x-ratelimit-scope", "global")], body), LimitKind::Global);
        assert_eq!(kind_of(&[("x-ratelimit-global", "true")], ""), LimitKind::Global);
        assert_eq!(kind_of(&[], r#"{"retry_after":1.0,"global":true}"#), LimitKind::Global);
        assert_eq!(kind_of(&[], body), LimitKind::Global, "which limit is unsaid");
        assert_eq!(kind_of(&[user, empty], r#"{"code":20028,"retry_after":3}"#), LimitKind::ChannelWrites);
        assert_eq!(kind_of(&[user, empty], r#"{"code":20029,"retry_after":3}"#), LimitKind::GuildWrites);
        assert_eq!(kind_of(&[("server", "cloudflare")], "error code: 1015"), LimitKind::Cloudflare);
        assert_eq!(kind_of(&[], "<!doctype html>"), LimitKind::Cloudflare);
        assert_eq!(kind_of(&[("retry-after", "3600")], ""), LimitKind::Cloudflare);
    }

    #[test]
    fn a_bucket_is_read_from_any_answer_and_only_whole() {
        let all = [
            ("x-ratelimit-bucket", "abc"),
            ("x-ratelimit-limit", "5"),
            ("x-ratelimit-remaining", "4"),
            ("x-ratelimit-reset-after", "1.25"),
        ];
        let heard = hear(200, &headers(&all), b"[1,2]");
        assert_eq!((heard.limited, heard.code), (None, 0));
        let news = heard.bucket.expect("a bucket");
        assert_eq!((news.limit, news.remaining, news.reset_after), (5, 4, Duration::from_millis(1_250)));
        for missing in 0..all.len() {
            let rest: Vec<_> = all.into_iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, h)| h).collect();
            assert_eq!(hear(200, &headers(&rest), b"").bucket, None, "without {}", all[missing].0);
        }
    }

    #[test]
    fn the_longer_of_two_waits_counts_and_none_is_beyond_all_time() {
        let mut headers = HeaderMap::new();
        assert_eq!(asked_wait(&headers, b"error code: 1015"), UNSAID);
        assert_eq!(asked_wait(&headers, br#"{"retry_after":1.5}"#), Duration::from_millis(1_500));
        assert_eq!(asked_wait(&headers, br#"{"retry_after":1e300}"#), UNSAID);
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("2"));
        assert_eq!(asked_wait(&headers, br#"{"retry_after":1.5}"#), Duration::from_secs(2));
        assert_eq!(asked_wait(&headers, br#"{"retry_after":-1}"#), Duration::from_secs(2));
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("18446744073709551615"));
        assert!(std::time::Instant::now().checked_add(asked_wait(&headers, b"")).is_some());
    }
}

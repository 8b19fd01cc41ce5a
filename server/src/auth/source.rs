//! Where the issuer's keys come from, and the task that keeps them fresh.
//!
//! One task per source makes every fetch, so there is never more than one at a time, and a caller who goes away cancels
//! none. When to fetch is [`Schedule`]'s word.

use std::{
    fs, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{StatusCode, header};
use metrics::gauge;
use reqwest::{Client, Response, redirect};
use thiserror::Error;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    jwks::{JwksError, KeySet},
    refresh::{RefreshRules, Schedule, UnknownKid},
};
use crate::{config::HttpsUrl, telemetry::names};

/// How long one fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest key set that is read, in bytes.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// Where the issuer publishes its keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeySource {
    /// A file, read again when it changes.
    File(PathBuf),
    /// A URL, fetched again in the background.
    Url(HttpsUrl),
}

/// What one look at a source brought.
#[derive(Debug)]
pub enum Fetched {
    /// The keys, and for how long they are fresh where the source says so.
    Keys(KeySet, Option<Duration>),
    /// The same keys as before.
    Unchanged,
}

/// Why the keys could not be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The request failed or took longer than 5 s.
    #[error("the key endpoint does not answer")]
    Transport(#[source] reqwest::Error),
    /// Another status than 200; redirects are not followed.
    #[error("the key endpoint answered {0}")]
    Status(StatusCode),
    /// More than 256 KiB.
    #[error("the key set is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    /// The file cannot be read.
    #[error("the key file cannot be read")]
    File(#[source] io::Error),
    /// What was read is no key set.
    #[error(transparent)]
    Jwks(#[from] JwksError),
}

/// Looks at a source of keys.
pub(super) trait Fetch: Send + 'static {
    fn fetch(&mut self) -> impl Future<Output = Result<Fetched, FetchError>> + Send;
}

/// The keys as they are known now. Clones share them.
#[derive(Clone, Debug)]
pub struct Keys(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Fixed(Arc<KeySet>),
    Watched { state: watch::Receiver<State>, wanted: Arc<Notify> },
}

#[derive(Clone, Debug)]
struct State {
    keys: Arc<KeySet>,
    schedule: Schedule,
    attempts: u64,
}

impl Keys {
    /// Keys that never change.
    pub fn fixed(keys: KeySet) -> Self {
        Self(Inner::Fixed(Arc::new(keys)))
    }

    /// Keys that a task fetches from `source` until `cancel` is cancelled. The first fetch is under way when this
    /// returns; [`Keys::loaded`] waits for it.
    ///
    /// # Errors
    /// No TLS client can be made.
    pub fn watch(source: KeySource, cancel: CancellationToken) -> Result<Self, FetchError> {
        Ok(match source {
            KeySource::File(path) => Self::spawn(FileSource { path, seen: None }, RefreshRules::FILE, cancel),
            KeySource::Url(url) => Self::spawn(UrlSource::new(url)?, RefreshRules::URL, cancel),
        })
    }

    pub(super) fn spawn(fetch: impl Fetch, rules: RefreshRules, cancel: CancellationToken) -> Self {
        let schedule = Schedule::new(rules, Instant::now().into_std());
        let (publish, state) = watch::channel(State { keys: Arc::default(), schedule, attempts: 0 });
        let wanted = Arc::new(Notify::new());
        tokio::spawn(cancel.run_until_cancelled_owned(keep_fresh(fetch, publish, Arc::clone(&wanted))));
        Self(Inner::Watched { state, wanted })
    }

    /// The keys that are known now.
    pub fn current(&self) -> Arc<KeySet> {
        match &self.0 {
            Inner::Fixed(keys) => Arc::clone(keys),
            Inner::Watched { state, .. } => Arc::clone(&state.borrow().keys),
        }
    }

    /// Waits until keys have been fetched once. Readiness depends on it: before, no token can be verified.
    pub async fn loaded(&self) {
        match &self.0 {
            Inner::Fixed(_) => {}
            Inner::Watched { state, .. } => {
                let fetched = |state: &State| state.schedule.age(Instant::now().into_std()).is_some();
                if state.clone().wait_for(fetched).await.is_err() {
                    // The task has ended with the process; nobody is left to become ready for.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// The keys after an unknown key id: fetched anew if the schedule allows it, and whether that can be relied on.
    pub(super) async fn after_unknown_kid(&self) -> (Arc<KeySet>, Reliance) {
        let Inner::Watched { state, wanted } = &self.0 else {
            return (self.current(), Reliance::Complete);
        };
        let mut state = state.clone();
        let attempts = state.borrow_and_update().attempts;
        let verdict = |state: &State| state.schedule.unknown_kid(Instant::now().into_std());
        if verdict(&state.borrow()) == UnknownKid::Refetch {
            wanted.notify_one();
            // An error means that the task has ended: what is known then stays what is known.
            state.wait_for(|state| state.attempts > attempts).await.ok();
        }
        let state = state.borrow();
        let reliance =
            if verdict(&state) == UnknownKid::NoSuchKey { Reliance::Complete } else { Reliance::Unreachable };
        (Arc::clone(&state.keys), reliance)
    }
}

/// Whether a key that is not in the set does not exist.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reliance {
    /// The set is what the issuer publishes.
    Complete,
    /// The issuer cannot be asked.
    Unreachable,
}

/// Fetches whenever the schedule says so or somebody asks and the schedule agrees.
async fn keep_fresh(mut source: impl Fetch, publish: watch::Sender<State>, wanted: Arc<Notify>) {
    loop {
        let schedule = publish.borrow().schedule;
        tokio::select! {
            () = sleep_until(schedule.due().into()) => {}
            () = wanted.notified() => {
                if schedule.unknown_kid(Instant::now().into_std()) != UnknownKid::Refetch {
                    continue;
                }
            }
        }
        let outcome = source.fetch().await;
        publish.send_modify(|state| record(state, outcome, Instant::now()));
    }
}

fn record(state: &mut State, outcome: Result<Fetched, FetchError>, now: Instant) {
    let now = now.into_std();
    state.attempts += 1;
    match outcome {
        Ok(Fetched::Keys(keys, fresh_for)) => {
            info!(keys = keys.len(), skipped = keys.skipped(), "token keys loaded");
            state.keys = Arc::new(keys);
            state.schedule.succeeded(fresh_for, random(), now);
        }
        Ok(Fetched::Unchanged) => state.schedule.succeeded(None, random(), now),
        Err(error) => {
            state.schedule.failed(random(), now);
            if !state.schedule.trusts_keys(now) {
                state.keys = Arc::default();
            }
            warn!(error = &error as &dyn std::error::Error, keys = state.keys.len(), "token keys not fetched");
        }
    }
    if let Some(age) = state.schedule.age(now) {
        gauge!(names::JWKS_AGE_SECONDS).set(age);
    }
}

/// A number from 0 to 1 that differs from process to process and call to call: enough to spread fetches.
fn random() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    f64::from(u32::try_from(RandomState::new().hash_one(0) >> 32).expect("the upper half of 64 bits"))
        / f64::from(u32::MAX)
}

/// A JWKS file.
struct FileSource {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
}

impl Fetch for FileSource {
    async fn fetch(&mut self) -> Result<Fetched, FetchError> {
        let facts = fs::metadata(&self.path).map_err(FetchError::File)?;
        let seen = (facts.modified().map_err(FetchError::File)?, facts.len());
        if self.seen == Some(seen) {
            return Ok(Fetched::Unchanged);
        }
        if facts.len() > MAX_BODY_BYTES as u64 {
            return Err(FetchError::TooLarge);
        }
        let keys = KeySet::from_json(&fs::read(&self.path).map_err(FetchError::File)?)?;
        self.seen = Some(seen);
        Ok(Fetched::Keys(keys, None))
    }
}

/// A JWKS endpoint.
struct UrlSource {
    url: HttpsUrl,
    client: Client,
}

impl UrlSource {
    fn new(url: HttpsUrl) -> Result<Self, FetchError> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(FETCH_TIMEOUT)
            .user_agent(concat!("parlord/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(transport)?;
        Ok(Self { url, client })
    }
}

impl Fetch for UrlSource {
    async fn fetch(&mut self) -> Result<Fetched, FetchError> {
        let request = self.client.get(self.url.as_str()).header(header::ACCEPT, "application/json");
        let response = request.send().await.map_err(transport)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let fresh_for = response.headers().get(header::CACHE_CONTROL).and_then(|value| max_age(value.to_str().ok()?));
        let keys = KeySet::from_json(&body(response).await?)?;
        Ok(Fetched::Keys(keys, fresh_for))
    }
}

/// A URL may hold a secret, so the library's error goes on without it.
fn transport(error: reqwest::Error) -> FetchError {
    FetchError::Transport(error.without_url())
}

async fn body(mut response: Response) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// `max-age` of a `Cache-Control` (RFC 9111, section 5.2.2.1); none at all for an answer that is not to be kept.
fn max_age(cache_control: &str) -> Option<Duration> {
    cache_control.split(',').map(str::trim).find_map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => Some(Duration::ZERO),
            "max-age" => value.trim_matches('"').parse().ok().map(Duration::from_secs),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests;

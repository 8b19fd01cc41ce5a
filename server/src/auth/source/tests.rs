//! Keys on virtual time, from files and from a server on loopback.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    response::{IntoResponse as _, Redirect},
    routing::get,
};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use tokio::{net::TcpListener, time::advance};

use super::*;
use crate::auth::{AuthError, Authenticator, SigningAlgorithm, TokenError, Verifier, testing::*};

/// What the issuer does next; where nothing is said, it does the last thing again.
#[derive(Clone)]
enum Answer {
    Keys(KeySet),
    Down,
}

/// An issuer that takes a second to answer and counts how often it is asked.
#[derive(Clone)]
struct Issuer {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), asked: Arc::default() }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn authenticator(&self) -> Authenticator {
        let keys = Keys::spawn(self.clone(), RefreshRules::URL, CancellationToken::new());
        Authenticator::new(Verifier::new(rules([SigningAlgorithm::Rs256])), keys, Arc::new(now))
    }
}

impl Fetch for Issuer {
    async fn fetch(&mut self) -> Result<Fetched, FetchError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut answers = self.answers.lock().expect("not poisoned");
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        match answer.expect("an answer") {
            Answer::Keys(keys) => Ok(Fetched::Keys(keys, None)),
            Answer::Down => Err(FetchError::Status(StatusCode::BAD_GATEWAY)),
        }
    }
}

fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
    HeaderMap::from_iter([(header::AUTHORIZATION, value)])
}

fn known() -> HeaderMap {
    bearer(&rsa().sign(&header(), &claims()))
}

fn rotated() -> HeaderMap {
    bearer(&forger().sign(&with(header(), "kid", json!("key-2")), &claims()))
}

fn rotated_keys() -> KeySet {
    key_set(&[&rsa().jwk, &with(forger().jwk.clone(), "kid", json!("key-2"))])
}

const UNKNOWN: AuthError = AuthError::Refused(TokenError::KidUnknown);

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_with_an_unknown_key_cause_one_fetch() {
    let issuer = Issuer::new([Answer::Keys(rsa().key_set()), Answer::Keys(rotated_keys())]);
    let authenticator = issuer.authenticator();
    authenticator.ready().await;
    assert!(authenticator.authenticate(&known()).await.is_ok());
    advance(Duration::from_secs(31)).await;

    let headers = rotated();
    let outcomes = join_all((0..1_000).map(|_| authenticator.authenticate(&headers))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn made_up_key_ids_cause_one_fetch_in_thirty_seconds() {
    let issuer = Issuer::new([Answer::Keys(rsa().key_set())]);
    let authenticator = issuer.authenticator();
    authenticator.ready().await;
    let headers = rotated();
    for _ in 0..600 {
        assert_eq!(authenticator.authenticate(&headers).await.err(), Some(UNKNOWN));
        advance(Duration::from_millis(100)).await;
    }
    assert!(issuer.asked() <= 3, "{} fetches in a minute", issuer.asked());
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_does_not_cancel_the_fetch() {
    let issuer = Issuer::new([Answer::Keys(rsa().key_set()), Answer::Keys(rotated_keys())]);
    let authenticator = issuer.authenticator();
    authenticator.ready().await;
    advance(Duration::from_secs(31)).await;
    let headers = rotated();
    let gone = tokio::time::timeout(Duration::from_millis(10), authenticator.authenticate(&headers)).await;
    assert!(gone.is_err(), "the issuer takes a second");
    assert!(authenticator.authenticate(&headers).await.is_ok());
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_never_fetched_are_unavailable() {
    let issuer = Issuer::new([Answer::Down, Answer::Down, Answer::Keys(rsa().key_set())]);
    let authenticator = issuer.authenticator();
    assert_eq!(authenticator.authenticate(&known()).await.err(), Some(AuthError::KeysUnavailable));
    authenticator.ready().await;
    assert!(authenticator.authenticate(&known()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn known_keys_outlive_the_endpoint_and_unknown_ones_wait_for_it() {
    let issuer = Issuer::new([Answer::Keys(rsa().key_set()), Answer::Down]);
    let authenticator = issuer.authenticator();
    authenticator.ready().await;
    let forged = bearer(&forger().sign(&header(), &claims()));
    for _ in 0..10 {
        advance(Duration::from_secs(60 * 60)).await;
        assert!(authenticator.authenticate(&known()).await.is_ok());
        assert_eq!(authenticator.authenticate(&rotated()).await.err(), Some(AuthError::KeysUnavailable));
        assert_eq!(authenticator.authenticate(&forged).await.err(), Some(TokenError::SignatureInvalid.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_issuer_took_back_is_gone_with_the_next_fetch() {
    let issuer = Issuer::new([Answer::Keys(rotated_keys()), Answer::Keys(rsa().key_set())]);
    let authenticator = issuer.authenticator();
    authenticator.ready().await;
    assert!(authenticator.authenticate(&rotated()).await.is_ok());
    tokio::time::sleep(Duration::from_secs(9 * 60)).await;
    assert_eq!(issuer.asked(), 2, "the background fetch");
    assert_eq!(authenticator.authenticate(&rotated()).await.err(), Some(UNKNOWN));
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_again_when_it_changes() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("jwks.json");
    let write = |jwks: &[&serde_json::Value]| fs::write(&path, json!({ "keys": jwks }).to_string()).expect("written");
    write(&[&rsa().jwk]);
    let keys = Keys::watch(KeySource::File(path.clone()), CancellationToken::new()).expect("a source");
    keys.loaded().await;
    assert!(keys.current().get("key-2").is_none());

    write(&[&rsa().jwk, &with(forger().jwk.clone(), "kid", json!("key-2"))]);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(keys.current().get("key-2").is_some());

    // Half a file, as an editor may leave it for a moment, changes nothing.
    fs::write(&path, r#"{"keys": ["#).expect("written");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(keys.current().len(), 2);
}

/// Serves a path of a key server on loopback and fetches from it.
async fn fetch(path: &str) -> Result<Fetched, FetchError> {
    // Reqwest asks for the process's provider, as the binary installs it.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let keys = json!({ "keys": [rsa().jwk] }).to_string();
    let large = format!("{}{keys}", " ".repeat(MAX_BODY_BYTES));
    let good = keys.clone();
    let routes = Router::new()
        .route("/good", get(async || good))
        .route("/aged", get(async || ([("cache-control", "public, Max-Age=120, must-revalidate")], keys)))
        .route("/moved", get(async || Redirect::temporary("/good")))
        .route("/large", get(async || large))
        .route("/broken", get(async || StatusCode::INTERNAL_SERVER_ERROR.into_response()))
        .route("/page", get(async || "<html>"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    let url = format!("http://{address}/{path}").parse().expect("a loopback URL");
    let fetched = UrlSource::new(url).expect("a client").fetch().await;
    server.abort();
    fetched
}

#[tokio::test]
async fn a_url_is_fetched_with_care() {
    assert!(matches!(fetch("good").await, Ok(Fetched::Keys(keys, None)) if keys.len() == 1));
    assert!(matches!(fetch("aged").await, Ok(Fetched::Keys(_, Some(age))) if age == Duration::from_secs(120)));
    assert!(matches!(fetch("moved").await, Err(FetchError::Status(StatusCode::TEMPORARY_REDIRECT))));
    assert!(matches!(fetch("large").await, Err(FetchError::TooLarge)));
    assert!(matches!(fetch("broken").await, Err(FetchError::Status(StatusCode::INTERNAL_SERVER_ERROR))));
    assert!(matches!(fetch("page").await, Err(FetchError::Jwks(JwksError::Malformed(_)))));
}

#[test]
fn an_answer_says_for_how_long_it_is_fresh() {
    let seconds = |text| max_age(text).map(|age| age.as_secs());
    assert_eq!(seconds("max-age=600"), Some(600));
    assert_eq!(seconds("public, max-age=\"60\""), Some(60));
    assert_eq!(seconds("no-store"), Some(0));
    assert_eq!(seconds("public"), None);
    assert_eq!(seconds("max-age=soon"), None);
}

/// A key that the issuer has taken back verifies nothing from then on, whoever came with it a moment before.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_known_is_forgotten_with_its_key() {
    let others = key_set(&[&with(forger().jwk.clone(), "kid", json!("key-2"))]);
    let issuer = Issuer::new([Answer::Keys(rsa().key_set()), Answer::Keys(others)]);
    let authenticator = issuer.authenticator();
    authenticator.ready().await;
    let first = authenticator.authenticate(&known()).await.expect("good");
    let again = authenticator.authenticate(&known()).await.expect("known");
    assert!(Arc::ptr_eq(&first, &again), "its signature is not checked twice");
    advance(Duration::from_secs(31)).await;
    assert!(authenticator.authenticate(&rotated()).await.is_ok(), "the keys are fetched for it");
    assert_eq!(authenticator.authenticate(&known()).await.err(), Some(UNKNOWN));
}

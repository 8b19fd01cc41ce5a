//! The edge as a whole, on loopback: what a peer may do to a socket before a service hears of it.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use http::{Method, Request, header};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Status, body::Body, service::Routes, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::{
    auth::{Authenticator, KeySet, Keys, SigningAlgorithm, TokenRules, TokenType, Verifier},
    config::{AllowedOrigins, LimitsConfig, RatesConfig, TlsFiles, TlsVersion},
    rates::Rates,
    telemetry::{GrpcMetricsLayer, Health},
};

/// HTTP/2's first words (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// A server with health alone, behind the whole stack. Stops when it is dropped.
struct TestServer {
    address: SocketAddr,
    health: Health,
    stop: DropGuard,
    serving: JoinHandle<()>,
}

async fn serve(limits: LimitsConfig, tls: Option<Arc<rustls::ServerConfig>>) -> TestServer {
    let (listener, address) = listener().await;
    let (health, health_service) = Health::new().await;
    let rules = TokenRules {
        issuer: "https://issuer.example".to_owned(),
        audience: "parlor".to_owned(),
        algorithms: BTreeSet::from([SigningAlgorithm::Rs256]),
        types: BTreeSet::from([TokenType::AccessToken]),
        leeway: Duration::from_secs(30),
        max_lifetime: Duration::from_secs(3_600),
    };
    let keys = Keys::fixed(KeySet::default());
    let authenticator = Arc::new(Authenticator::new(Verifier::new(rules), keys, Arc::new(std::time::SystemTime::now)));
    let origins = AllowedOrigins::Only(BTreeSet::from(["https://app.example".parse().expect("an origin")]));
    let rates = Arc::new(Rates::new(&RatesConfig::default()));
    let service =
        service(Routes::new(health_service), authenticator, origins, &limits, &rates, GrpcMetricsLayer::new());
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server_builder(&limits).serve_with_incoming_shutdown(
        service,
        Acceptor::new(listener, limits, tls).incoming(),
        stop.clone().cancelled_owned(),
    ));
    TestServer { address, health, stop: stop.drop_guard(), serving }
}

async fn channel(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).expect("a URL").connect().await.expect("a connection")
}

#[tokio::test]
async fn probes_are_answered_and_calls_without_a_token_are_not() {
    let server = serve(LimitsConfig::default(), None).await;
    let channel = channel(server.address).await;
    let mut probe = HealthClient::new(channel.clone());
    let request = HealthCheckRequest { service: "live".to_owned() };
    server.health.live(true).await;
    assert!(probe.check(request).await.is_ok());

    let request = Request::builder()
        .method(Method::POST)
        .uri("/parlor.v1.RoomService/GetRoom")
        .header(header::CONTENT_TYPE, "application/grpc")
        .body(Body::empty())
        .expect("a request");
    let response = channel.oneshot(request).await.expect("an answer");
    let status = Status::from_header_map(response.headers()).expect("a status");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.get_details_error_info().expect("an ErrorInfo").reason, "TOKEN_MISSING");
    assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
}

#[tokio::test]
async fn a_page_hears_why_over_http_1() {
    let server = serve(LimitsConfig::default(), None).await;
    let mut tcp = TcpStream::connect(server.address).await.expect("a connection");
    let request = "POST /parlor.v1.RoomService/GetRoom HTTP/1.1\r\nHost: parlor\r\nOrigin: https://app.example\r\n\
                   Content-Type: application/grpc-web+proto\r\nContent-Length: 5\r\nConnection: close\r\n\r\n\0\0\0\0\0";
    tcp.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.expect("an answer");
    let answer = answer.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    for line in ["grpc-status: 16", "access-control-allow-origin: https://app.example", "vary: origin"] {
        assert!(answer.contains(line), "{line} is not in {answer}");
    }
}

#[tokio::test]
async fn the_room_page_needs_no_token() {
    let server = serve(LimitsConfig::default(), None).await;
    for (method, path, status) in [("GET", "/", "200"), ("HEAD", "/", "200"), ("GET", "/assets/none.js", "404")] {
        let mut tcp = TcpStream::connect(server.address).await.expect("a connection");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: parlor\r\nConnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("content-security-policy: default-src 'none'"), "{answer}");
        assert_eq!(answer.contains("<!doctype html>"), (method, path) == ("GET", "/"), "{answer}");
    }
}

#[tokio::test]
async fn a_server_that_stops_closes_its_port_and_ends() {
    let server = serve(LimitsConfig::default(), None).await;
    let mut probe = HealthClient::new(channel(server.address).await);
    assert!(probe.check(HealthCheckRequest { service: String::new() }).await.is_ok());
    drop(server.stop);
    server.serving.await.expect("no panic");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn one_address_holds_only_so_many_connections() {
    let (listener, address) = listener().await;
    let limits = LimitsConfig { connections_per_ip: 2, ..LimitsConfig::default() };
    let mut incoming = Acceptor::new(listener, limits, None).incoming();
    let mut peers = Vec::new();
    let mut held = Vec::new();
    for _ in 0..2 {
        peers.push(TcpStream::connect(address).await.expect("a connection"));
        held.push(incoming.next().await.expect("one more").expect("infallible"));
    }
    let mut third = TcpStream::connect(address).await.expect("the kernel accepts");
    assert_eq!(third.read(&mut [0]).await.ok().filter(|count| *count > 0), None, "nothing is said to it");

    held.pop();
    // The place is free once the connection is dropped, so the next one gets it.
    peers.push(TcpStream::connect(address).await.expect("a connection"));
    assert!(incoming.next().await.is_some());
}

#[tokio::test]
async fn the_port_closes_with_the_stream_of_connections() {
    let (listener, address) = listener().await;
    let incoming = Acceptor::new(listener, LimitsConfig::default(), None).incoming();
    drop(TcpStream::connect(address).await.expect("it is open"));
    drop(incoming);
    // The task that accepts ends as soon as it is looked at again.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_speaks_is_closed_after_ten_seconds() {
    let (listener, address) = listener().await;
    let mut incoming = Acceptor::new(listener, LimitsConfig::default(), None).incoming();
    let _peer = TcpStream::connect(address).await.expect("a connection");
    let mut connection = incoming.next().await.expect("a connection").expect("infallible");
    let start = tokio::time::Instant::now();
    let error = connection.read(&mut [0]).await.expect_err("nothing was sent");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_never_ends_is_given_up() {
    let certificate = certificate(TlsVersion::V13);
    let (listener, address) = listener().await;
    let config = tls_config(&certificate.files).expect("a configuration");
    let _incoming = Acceptor::new(listener, LimitsConfig::default(), Some(config)).incoming();
    let mut peer = TcpStream::connect(address).await.expect("a connection");
    let start = tokio::time::Instant::now();
    assert_eq!(peer.read(&mut [0]).await.ok().filter(|count| *count > 0), None);
    assert_eq!(start.elapsed().as_secs(), 5);
}

/// A certificate for localhost in a directory that lives as long as the value.
struct Certificate {
    _directory: tempfile::TempDir,
    files: TlsFiles,
    roots: RootCertStore,
}

fn certificate(min_version: TlsVersion) -> Certificate {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, pem: String| -> PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, pem).expect("written");
        path
    };
    let pem = made.cert.pem();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("our own PEM")).expect("a root");
    let files =
        TlsFiles { cert: write("tls.crt", pem), key: write("tls.key", made.signing_key.serialize_pem()), min_version };
    Certificate { _directory: directory, files, roots }
}

async fn tls_client(
    address: SocketAddr,
    roots: &RootCertStore,
    versions: &[&'static rustls::SupportedProtocolVersion],
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions that the provider has")
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let tcp = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").expect("a name"), tcp).await
}

#[tokio::test]
async fn tls_offers_both_versions_of_http() {
    let certificate = certificate(TlsVersion::V13);
    let (listener, address) = listener().await;
    let config = tls_config(&certificate.files).expect("a configuration");
    let mut incoming = Acceptor::new(listener, LimitsConfig::default(), Some(config)).incoming();
    for protocol in [&b"h2"[..], b"http/1.1"] {
        let client = tls_client(address, &certificate.roots, &[&rustls::version::TLS13], protocol).await;
        let mut client = client.expect("a handshake");
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(protocol));
        let mut server = incoming.next().await.expect("a connection").expect("infallible");
        client.write_all(b"hello").await.expect("sent");
        let mut heard = [0; 5];
        server.read_exact(&mut heard).await.expect("heard");
        assert_eq!(&heard, b"hello");
    }
}

#[tokio::test]
async fn tls_1_2_is_spoken_on_request_only() {
    for (min_version, speaks) in [(TlsVersion::V12, true), (TlsVersion::V13, false)] {
        let certificate = certificate(min_version);
        let (listener, address) = listener().await;
        let config = tls_config(&certificate.files).expect("a configuration");
        let _incoming = Acceptor::new(listener, LimitsConfig::default(), Some(config)).incoming();
        let client = tls_client(address, &certificate.roots, &[&rustls::version::TLS12], b"h2").await;
        assert_eq!(client.is_ok(), speaks, "{min_version:?}");
    }
}

#[tokio::test]
async fn peers_that_do_not_speak_tls_hold_nobody_up() {
    let certificate = certificate(TlsVersion::V13);
    let (listener, address) = listener().await;
    let config = tls_config(&certificate.files).expect("a configuration");
    let mut incoming = Acceptor::new(listener, LimitsConfig::default(), Some(config)).incoming();
    let _silent: Vec<TcpStream> = {
        let mut silent = Vec::new();
        for _ in 0..32 {
            silent.push(TcpStream::connect(address).await.expect("a connection"));
        }
        silent
    };
    let mut plain = TcpStream::connect(address).await.expect("a connection");
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    let client = tls_client(address, &certificate.roots, &[&rustls::version::TLS13], b"h2").await;
    assert!(client.is_ok(), "while others are silent");
    assert!(incoming.next().await.is_some());
    let mut rest = Vec::new();
    plain.read_to_end(&mut rest).await.ok();
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, other) = (certificate(TlsVersion::V13), certificate(TlsVersion::V13));
    let mixed = TlsFiles { key: other.files.key.clone(), ..one.files.clone() };
    assert!(matches!(tls_config(&mixed), Err(TlsError::Unusable(_))));
    let absent = TlsFiles { cert: "/nonexistent/tls.crt".into(), ..one.files.clone() };
    assert!(tls_config(&absent).expect_err("no file").to_string().contains("/nonexistent/tls.crt"));
}

/// An HTTP/2 frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

async fn read_frame(tcp: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    tcp.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    tcp.read_exact(&mut payload).await.ok()?;
    Some((head[3], payload))
}

/// Malformed requests cost the server a reset each and the client nothing, so a connection may send only so many
/// (RUSTSEC-2024-0003). Without the limit all of these are answered and no GOAWAY comes.
#[tokio::test]
async fn a_flood_of_malformed_calls_ends_the_connection() {
    let server = serve(LimitsConfig::default(), None).await;
    let mut tcp = TcpStream::connect(server.address).await.expect("a connection");
    tcp.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.expect("sent");
    // `:method GET`, `:scheme http`, `:path /` and a `connection: x`, which HTTP/2 forbids (RFC 9113, section 8.2.2).
    let block = [&[0x82, 0x86, 0x84, 0x00, 10][..], b"connection", &[1], b"x"].concat();
    let (mut reader, mut writer) = tcp.into_split();
    let flood = tokio::spawn(async move {
        for stream in (1..6_000).step_by(2) {
            // END_STREAM and END_HEADERS. The server closes before the end, which is what is tested.
            if writer.write_all(&frame(HEADERS, 0x05, stream, &block)).await.is_err() {
                break;
            }
        }
        writer
    });
    let (mut resets, mut goaway) = (0, None);
    let mut head = [0; 9];
    while reader.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        if reader.read_exact(&mut payload).await.is_err() {
            break;
        }
        match head[3] {
            RST_STREAM => resets += 1,
            GOAWAY => {
                goaway = Some(payload);
                break;
            }
            _ => {}
        }
    }
    drop(reader);
    drop(flood.await.expect("no panic"));
    let goaway = goaway.expect("a GOAWAY");
    // ENHANCE_YOUR_CALM (RFC 9113, section 7).
    assert_eq!(goaway[4..8], 11_u32.to_be_bytes());
    assert!(resets <= 256, "{resets} resets");
}

/// A client may take its connection's window and leave one stream without: that stream goes, and nothing else.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_is_reset_and_its_connection_goes_on() {
    let limits = LimitsConfig { keepalive_interval: Duration::from_secs(3_600), ..LimitsConfig::default() };
    let server = serve(limits, None).await;
    let mut tcp = TcpStream::connect(server.address).await.expect("a connection");
    // INITIAL_WINDOW_SIZE 0 (RFC 9113, section 6.5.2).
    tcp.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat()).await.expect("sent");
    let path = b"/grpc.health.v1.Health/Watch";
    let content_type = b"application/grpc";
    let block = [
        // `:method POST`, `:scheme http`, then `:path` and `content-type` by the names of the static table.
        &[0x83, 0x86, 0x04, path.len() as u8][..],
        path,
        &[0x0f, 0x10, content_type.len() as u8],
        content_type,
    ]
    .concat();
    let watch = |stream| [frame(HEADERS, 0x04, stream, &block), frame(DATA, 0x01, stream, &[0; 5])].concat();
    tcp.write_all(&[watch(1), watch(3), frame(WINDOW_UPDATE, 0, 3, &1_000_u32.to_be_bytes())].concat())
        .await
        .expect("sent");
    let start = tokio::time::Instant::now();
    let mut read = BTreeSet::new();
    let reset = loop {
        let mut head = [0; 9];
        tcp.read_exact(&mut head).await.expect("the connection goes on");
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        tcp.read_exact(&mut payload).await.expect("the connection goes on");
        match (head[3], head[8]) {
            (DATA, stream) => drop(read.insert(stream)),
            (RST_STREAM, stream) => break stream,
            _ => {}
        }
    };
    assert_eq!((reset, read), (1, BTreeSet::from([3])));
    assert_eq!(start.elapsed().as_secs(), 30);
    // The stream that is read goes on.
    server.health.live(true).await;
    tcp.write_all(&watch(5)).await.expect("sent");
    let (kind, _) = read_frame(&mut tcp).await.expect("the connection goes on");
    assert_eq!(kind, HEADERS);
}

/// The limits that the server announces in its SETTINGS.
#[tokio::test]
async fn limits_are_announced() {
    let server = serve(LimitsConfig::default(), None).await;
    let mut tcp = TcpStream::connect(server.address).await.expect("a connection");
    tcp.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.expect("sent");
    let (kind, settings) = read_frame(&mut tcp).await.expect("a frame");
    assert_eq!(kind, SETTINGS);
    let announced: Vec<(u16, u32)> = settings
        .chunks_exact(6)
        .map(|one| (u16::from_be_bytes([one[0], one[1]]), u32::from_be_bytes([one[2], one[3], one[4], one[5]])))
        .collect();
    // MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE (RFC 9113, section 6.5.2).
    for setting in [(3, 200), (4, 256 * 1024), (6, 16 * 1024)] {
        assert!(announced.contains(&setting), "{setting:?} is not in {announced:?}");
    }
}

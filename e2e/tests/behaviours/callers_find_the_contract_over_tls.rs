//! Over TLS and in plain text, in both versions of reflection, tools that know nothing of Parlor find its contract and call it.

use std::process::Output;

use discord_emulator::PARLOR_DEV;
use parlor_e2e::{House, Setup, root, soon};
use tokio::process::Command;

/// A house with a certificate for localhost, and where that certificate is.
async fn house_with_tls() -> (House, tempfile::TempDir) {
    let certified =
        rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("a certificate");
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("cert.pem"), certified.cert.pem()).expect("written");
    std::fs::write(path("key.pem"), certified.signing_key.serialize_pem()).expect("written");
    let setup = Setup::default().set("server.tls_cert", path("cert.pem")).set("server.tls_key", path("key.pem"));
    (setup.start().await, directory)
}

async fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(root().join(".deps/venv/bin").join(program)).args(arguments).output();
    soon(&format!("the end of {program}"), output)
        .await
        .unwrap_or_else(|_| panic!("{program} runs: `make deps` installs it"))
}

fn printed(output: &Output) -> String {
    let text =
        String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr }).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_lists_and_calls_over_tls() {
    let (house, directory) = house_with_tls().await;
    let ca = directory.path().join("cert.pem").display().to_string();
    let address = format!("localhost:{}", house.api().port());
    let services = printed(&run("grpcurl", &["-cacert", &ca, &address, "list"]).await);
    for wanted in ["parlor.v1.RoomService", "parlor.v1.VoiceEventService", "grpc.health.v1.Health"] {
        assert!(services.contains(wanted), "{services}");
    }
    let bearer = format!("authorization: Bearer {}", house.token());
    let guilds =
        printed(&run("grpcurl", &["-cacert", &ca, "-H", &bearer, &address, "parlor.v1.RoomService/ListGuilds"]).await);
    assert!(guilds.contains(&PARLOR_DEV.to_string()), "{guilds}");
    let untrusted = run("grpcurl", &[&address, "list"]).await;
    assert!(!untrusted.status.success(), "nobody else vouches for the certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn buf_curl_and_grpcurl_find_the_contract_and_read_the_details_of_errors() {
    let house = House::start().await;
    let url = format!("http://{}", house.api());
    let protocol = ["curl", "--http2-prior-knowledge", "--protocol", "grpc"];
    let services = printed(&run("buf", &[&protocol[..], &["--list-services", &url]].concat()).await);
    assert!(services.contains("parlor.v1.RoomService"), "{services}");
    let bearer = format!("authorization: Bearer {}", house.token());
    let method = format!("{url}/parlor.v1.RoomService/GetRoom");
    let wrong = r#"{"roomId":"12*"}"#;
    let refused = run("buf", &[&protocol[..], &["-H", &bearer, "-d", wrong, &method]].concat()).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("invalid_argument") && said.contains("google.rpc.BadRequest"), "{said}");
    let address = house.api().to_string();
    let method = "parlor.v1.RoomService/GetRoom";
    let refused = run("grpcurl", &["-plaintext", "-H", &bearer, "-d", wrong, &address, method]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("\"field\"") && said.contains("room_id"), "the details are in words: {said}");
}

/// Reflection is for whoever is let near; callers in production are not told by default.
#[tokio::test(flavor = "multi_thread")]
async fn reflection_is_off_for_callers_unless_it_is_asked_for() {
    let house = Setup::default().set("server.reflection", "false").start().await;
    let refused = run("grpcurl", &["-plaintext", &house.api().to_string(), "list"]).await;
    assert!(!refused.status.success());
    let services = printed(&run("grpcurl", &["-plaintext", &house.ops().to_string(), "list"]).await);
    assert!(services.contains("grpc.health.v1.Health"), "{services}");
}

/// Pages of other origins get no word out of the server; those on the list do.
#[tokio::test(flavor = "multi_thread")]
async fn only_listed_origins_may_call_from_a_browser() {
    let house = Setup::default().set("server.allowed_origins", "https://rooms.example.com").start().await;
    let preflight = async |origin: &str| {
        let request = reqwest::Client::new()
            .request(reqwest::Method::OPTIONS, format!("http://{}/parlor.v1.RoomService/ListGuilds", house.api()))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-grpc-web");
        let answer = request.send().await.expect("an answer");
        answer.headers().get("access-control-allow-origin").map(|origin| origin.to_str().expect("ASCII").to_owned())
    };
    assert_eq!(preflight("https://rooms.example.com").await.as_deref(), Some("https://rooms.example.com"));
    assert_eq!(preflight("https://evil.example.com").await, None);
}

//! `parlor doctor` from a healthy house to everything that people get wrong.

use discord_emulator::{Fault, Permissions, RestAnswer};
use parlor_e2e::{House, Issuer, Setup, Token, soon};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Command};

use crate::program::{bare, parlor, path, run, with_token};

/// Runs a doctor with JSON: its exit code and its answer.
async fn examine(mut command: Command) -> (i32, Value) {
    command.args(["-o", "json"]);
    let ran = run(command).await;
    let answer = ran.json();
    (ran.code.unwrap(), answer)
}

/// What a check came to, with the words of the worst finding.
fn result<'a>(answer: &'a Value, check: &str) -> (&'a str, &'a str) {
    let findings = answer["checks"].as_array().unwrap().iter().filter(|finding| finding["check"] == check);
    let worst = findings.max_by_key(|finding| {
        ["ok", "skipped", "warning", "failed"].iter().position(|mark| finding["result"] == *mark)
    });
    let worst = worst.unwrap_or_else(|| panic!("no check {check} in {answer:#}"));
    (worst["result"].as_str().unwrap(), worst["message"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_house_has_nothing_wrong() {
    let house = House::start().await;
    let rest = house.emulator.rest_url();
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("bot");
    std::fs::write(&token, format!("{}\n", house.bot_token())).unwrap();
    let arguments = ["doctor", "--bot-token-file", path(&token), "--api-url", &rest];
    let (code, answer) = examine(parlor(&house, &arguments)).await;
    assert_eq!((code, &answer["ok"]), (0, &json!(true)), "{answer:#}");
    for check in [
        "token",
        "signature",
        "guilds",
        "scopes",
        "address",
        "tls",
        "health",
        "clock",
        "ListGuilds",
        "ListRooms",
        "Subscribe",
        "bot",
        "application",
        "gateway",
        "intents",
    ] {
        assert_eq!(result(&answer, check).0, "ok", "{check}: {answer:#}");
    }
    let invite = answer["invite_url"].as_str().unwrap();
    assert!(invite.starts_with("https://discord.com/oauth2/authorize?client_id="), "{invite}");
    // View Channels 1024, Connect 1048576, Manage Channels 16, View Audit Log 128.
    assert!(invite.ends_with("&scope=bot&permissions=1049744"), "{invite}");
    assert_eq!(answer["guilds"][0]["missing"], json!([]));

    let text = run(parlor(&house, &arguments)).await;
    assert!(text.stdout.contains("✓ health") && text.stdout.contains(invite), "{text:?}");
    for secret in [house.bot_token(), &house.token()] {
        assert!(!text.stdout.contains(secret) && !answer.to_string().contains(secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_that_the_bot_lacks_are_named_by_guild() {
    let mut setup = Setup::default();
    setup.discord.bot_permissions = Permissions::VIEW_AUDIT_LOG;
    let house = setup.start().await;
    let mut command = parlor(&house, &["doctor", "--discord-only", "--api-url", &house.emulator.rest_url()]);
    command.env("DISCORD_TOKEN", house.bot_token());
    let (code, answer) = examine(command).await;
    assert_eq!(code, 1);
    // @everyone gives View Channels and Connect in the emulator.
    assert_eq!(answer["guilds"][0]["missing"], json!(["Manage Channels"]), "{answer:#}");
    let (mark, words) = result(&answer, "guild");
    assert_eq!(mark, "failed");
    assert!(words.contains("Parlor Dev") || words.contains("Other Guild"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_token_that_discord_refuses_is_said_and_not_shown() {
    let house = House::start().await;
    let answer = RestAnswer {
        status: 401,
        body: r#"{"message":"401: Unauthorized","code":0}"#.to_owned(),
        ..Default::default()
    };
    let route = Some("GET /users/@me".to_owned());
    house.emulator.inject(Fault::NextRest { times: 1, route, answer, carried_out: false });
    let mut command = bare(&["doctor", "--discord-only", "--api-url", &house.emulator.rest_url()]);
    command.env("DISCORD_TOKEN", "canary.bot.token");
    let (code, answer) = examine(command).await;
    assert_eq!((code, result(&answer, "bot")), (1, ("failed", "Discord does not accept the bot's token (401)")));
    assert!(!answer.to_string().contains("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_judged_before_it_is_used() {
    let house = House::start().await;
    let issuer = Issuer::get();
    let over = issuer.sign(&Token::expired_for(std::time::Duration::from_secs(7_200)));
    let (code, answer) = examine(with_token(&house, &over, &["doctor"])).await;
    assert_eq!(
        (code, result(&answer, "token").0, result(&answer, "ListGuilds").0),
        (1, "failed", "failed"),
        "{answer:#}"
    );
    assert!(result(&answer, "token").1.contains("it ended 2 h ago"), "{answer:#}");

    let reader = issuer.sign(&Token { scope: "rooms:read".to_owned(), ..Token::default() });
    let (code, answer) = examine(with_token(&house, &reader, &["doctor"])).await;
    assert_eq!(
        (code, result(&answer, "scopes").0, result(&answer, "Subscribe").0),
        (0, "warning", "warning"),
        "{answer:#}"
    );

    let mut none = bare(&["doctor", "--addr", &house.api().to_string()]);
    none.env_remove("PARLOR_TOKEN");
    let (code, answer) = examine(none).await;
    assert_eq!((code, result(&answer, "token").0, result(&answer, "health").0), (1, "failed", "ok"), "{answer:#}");
    let (code, answer) = examine(with_token(&house, "no-token", &["doctor"])).await;
    assert_eq!((code, result(&answer, "token").0), (1, "failed"), "{answer:#}");
}

#[tokio::test]
async fn an_address_without_a_server() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let (code, answer) = examine(bare(&["doctor", "--addr", &free])).await;
    assert_eq!((code, result(&answer, "address").0), (1, "failed"), "{answer:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_down_is_found() {
    let house = House::start().await;
    house.emulator.inject(Fault::RefuseConnections);
    house.emulator.inject(Fault::DropConnections);
    house.until_health("discord-gateway", tonic_health::pb::health_check_response::ServingStatus::NotServing).await;
    let (code, answer) = examine(parlor(&house, &["doctor"])).await;
    assert_eq!(code, 1);
    assert!(result(&answer, "health").1.contains("discord-gateway is not serving"), "{answer:#}");
}

/// The issuer's keys, from a page of this test's own.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_token_is_looked_for_among_the_issuers() {
    let house = House::start().await;
    let keys = std::fs::read_to_string(Issuer::get().jwks_file()).unwrap();
    let url = page(keys).await;
    let (_, answer) = examine(parlor(&house, &["doctor", "--jwks-url", &url])).await;
    assert_eq!(result(&answer, "jwks"), ("ok", "keys: 1, that of the token among them"));
    let url = page(r#"{"keys":[{"kid":"another","kty":"RSA"}]}"#.to_owned()).await;
    let (code, answer) = examine(parlor(&house, &["doctor", "--jwks-url", &url])).await;
    assert_eq!((code, result(&answer, "jwks").0), (1, "failed"), "{answer:#}");
}

async fn page(body: String) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // A request of a few hundred bytes comes in one piece; what it asks for does not matter.
        let mut request = [0; 4_096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    });
    format!("http://{address}/jwks.json")
}

/// A private certificate authority and what it has signed.
struct Authority {
    home: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(home.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { home, issuer }
    }

    fn file(&self, name: &str) -> String {
        path(&self.home.path().join(name)).to_owned()
    }

    /// A house whose certificate is for this name and until this year.
    async fn house(&self, name: &str, until: i32) -> House {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file("tls.crt"), certificate.pem()).unwrap();
        std::fs::write(self.file("tls.key"), key.serialize_pem()).unwrap();
        let setup = Setup::default().set("server.tls_cert", self.file("tls.crt"));
        soon("the house", setup.set("server.tls_key", self.file("tls.key")).start()).await
    }
}

fn tls(house: &House, arguments: &[&str]) -> Command {
    let mut command = parlor(house, arguments);
    command.env("PARLOR_ADDR", format!("https://127.0.0.1:{}", house.api().port()));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_has_to_be_named() {
    let authority = Authority::new();
    let house = authority.house("127.0.0.1", 2090).await;
    let (code, answer) = examine(tls(&house, &["doctor"])).await;
    assert_eq!((code, result(&answer, "tls").0), (1, "failed"));
    assert!(answer.to_string().contains("--ca FILE"), "{answer:#}");
    let (code, answer) = examine(tls(&house, &["doctor", "--ca", &authority.file("ca.pem")])).await;
    assert_eq!(code, 0, "{answer:#}");
    assert!(result(&answer, "tls").1.contains("valid from 2020-01-01 to 2090-01-01"), "{answer:#}");
    // And the calls go through too.
    let rooms = run(tls(&house, &["rooms", "list", "--ca", &authority.file("ca.pem")])).await;
    assert_eq!((rooms.code, rooms.stdout.lines().count()), (Some(0), 3), "{rooms:?}");
    let untrusted = run(tls(&house, &["rooms", "list"])).await;
    assert_eq!(untrusted.code, Some(3));
    assert!(untrusted.stderr.contains("--ca FILE"), "{untrusted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_are_over_or_for_others_are_told_apart() {
    let authority = Authority::new();
    let ca = authority.file("ca.pem");
    let house = authority.house("127.0.0.1", 2021).await;
    let (code, answer) = examine(tls(&house, &["doctor", "--ca", &ca])).await;
    assert_eq!(code, 1);
    assert!(result(&answer, "tls").1.contains("the certificate is over"), "{answer:#}");
    let house = authority.house("parlor.example", 2090).await;
    let (_, answer) = examine(tls(&house, &["doctor", "--ca", &ca])).await;
    assert!(result(&answer, "tls").1.contains("for another name"), "{answer:#}");
    // TLS spoken to a server without, and the other way round.
    let plain = House::start().await;
    let (code, answer) = examine(tls(&plain, &["doctor", "--ca", &ca])).await;
    assert_eq!((code, result(&answer, "tls").0), (1, "failed"), "{answer:#}");
    let (code, answer) = examine(parlor(&house, &["doctor"])).await;
    assert_eq!((code, result(&answer, "health").0), (1, "failed"), "{answer:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_settings_and_ports_are_checked_where_they_are() {
    let house = House::start().await;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("parlord.toml");
    let rest = house.emulator.rest_url();
    let taken = house.api();
    let jwks = Issuer::get().jwks_file();
    let settings = format!(
        "[server]\nlisten = \"{taken}\"\n[ops]\nlisten = \"127.0.0.1:0\"\n[auth]\nissuer = \"i\"\njwks_file = \"{}\"\n\
         [discord]\ntoken = \"canary.bot.token\"\napi_url = \"{rest}\"\n",
        jwks.display()
    );
    std::fs::write(&file, &settings).unwrap();
    let (code, answer) = examine(parlor(&house, &["doctor", "--config", path(&file)])).await;
    assert_eq!((code, result(&answer, "settings").0), (0, "ok"), "{answer:#}");
    let (mark, message) = result(&answer, "ports");
    assert!(mark == "warning" && message.contains(&taken.to_string()), "{answer:#}");
    assert!(!answer.to_string().contains("canary"), "the bot's token is not shown");

    std::fs::write(&file, settings.replace("issuer", "isuer")).unwrap();
    let (code, answer) = examine(parlor(&house, &["doctor", "--config", path(&file)])).await;
    let (mark, message) = result(&answer, "settings");
    assert_eq!((code, mark), (1, "failed"), "{answer:#}");
    assert!(message.contains("auth.isuer") && message.contains("auth.issuer"), "{message}");
}

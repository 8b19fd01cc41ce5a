//! The configuration of docs/how-to/deploy.md, as it is printed, lets every kind of caller through nginx.

use std::{fs, net::TcpListener, os::fd::OwnedFd, process::Stdio};

use discord_emulator::{LOBBY, PARLOR_DEV};
use parlor_e2e::{House, Page, Running, Setup, Terminal, root, workplace};
use tempfile::TempDir;
use tokio::process::Command;

/// What a distribution's nginx.conf does around the file of the page: everything stays in one folder.
const AROUND: &str = "\
daemon off;
pid nginx.pid;
error_log error.log info;
events {}
http {
  access_log access.log;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  scgi_temp_path scgi;
  uwsgi_temp_path uwsgi;
  include parlor.conf;
}
";

/// nginx, as the page configures it.
struct Nginx {
    folder: TempDir,
    address: String,
    _running: Running,
}

impl Nginx {
    fn start(house: &House) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut page = Page::read("docs/how-to/deploy.md");
        let configuration = page
            .block("nginx")
            .with("listen 443 ", &format!("listen {address} "))
            .with("//127.0.0.1:50051;", &format!("//{};", house.api()));
        page.finish();

        let folder = workplace();
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        for (name, text) in [
            ("nginx.conf", AROUND),
            ("parlor.conf", &configuration.code),
            ("cert.pem", &certified.cert.pem()),
            ("key.pem", &certified.signing_key.serialize_pem()),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let mut command = Command::new(root().join(".deps/bin/nginx"));
        command
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "error.log"])
            // nginx takes over listening sockets that this variable names, as it does when it replaces itself. So the
            // system picks the port, and whoever connects before nginx is up waits.
            .env("NGINX", "0;")
            .stdin(Stdio::from(OwnedFd::from(listener)));
        Self { folder, address, _running: Running::start("nginx", command) }
    }

    /// A terminal whose grpcurl and node trust the proxy's certificate.
    fn terminal(&self, house: &House) -> Terminal {
        Terminal::open(self.folder.path())
            .set("PROXY", &self.address)
            .set("PARLOR_TOKEN", house.token())
            .set("NODE_EXTRA_CA_CERTS", "cert.pem")
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

const GRPCURL: &str = r#"grpcurl -cacert cert.pem -H "authorization: Bearer $PARLOR_TOKEN""#;

/// A house whose quiet streams are soon known to live.
async fn house() -> House {
    Setup::default().set("events.heartbeat", "5s").start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn native_calls_and_streams_pass() {
    let house = house().await;
    let nginx = Nginx::start(&house);
    let terminal = nginx.terminal(&house);
    let mut stream = terminal.start(&format!("exec {GRPCURL} $PROXY parlor.v1.VoiceEventService/SubscribeVoiceEvents"));
    stream.until("snapshotEnd").await;

    let create = |name: &str| {
        let request = format!(r#"{{"guild_id": "{PARLOR_DEV}", "display_name": "{name}"}}"#);
        format!("{GRPCURL} -d '{request}' $PROXY parlor.v1.RoomService/CreateRoom")
    };
    let made = terminal.run(&create("Behind nginx")).await;
    assert!(made.contains(r#""managed": true"#), "{made}");
    stream.until("roomCreated").await;
    let refused = terminal.run(&format!("{} || true", create(""))).await;
    assert!(refused.contains("InvalidArgument") && refused.contains("display_name"), "{refused}");

    for _ in 0..3 {
        stream.until("bookmark").await;
    }
    house.emulator.user("ann").joins(LOBBY);
    stream.until("participantJoined").await;
    assert!(!nginx.log("error.log").contains("[error]"), "{}", nginx.log("error.log"));
}

/// Creates a room, then prints each frame's name.
const GRPC_WEB: &str = r#"
import { Parlor } from "@parlor/client";

const parlor = new Parlor({ baseUrl: `https://${process.env.PROXY}`, token: process.env.PARLOR_TOKEN });
const { room } = await parlor.createRoom({ guildId: process.argv[2], displayName: "Behind nginx" });
console.log("made", room.displayName);
for await (const item of parlor.events()) {
  if (item.type === "interrupted") throw new Error(`the stream broke: ${item.why.kind}`);
  if (item.type !== "frame") continue;
  const { body } = item.frame;
  console.log(body.case === "event" ? body.value.kind.case : body.case);
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn grpc_web_calls_and_streams_pass() {
    let house = house().await;
    let nginx = Nginx::start(&house);
    fs::write(nginx.folder.path().join("grpc_web.mjs"), GRPC_WEB).unwrap();
    let mut stream = nginx.terminal(&house).start(&format!("exec node grpc_web.mjs {PARLOR_DEV}"));
    stream.until("made Behind nginx").await;
    stream.until("snapshotEnd").await;
    for _ in 0..3 {
        stream.until("bookmark").await;
    }
    house.emulator.user("ann").joins(LOBBY);
    stream.until("participantJoined").await;
    assert!(!nginx.log("error.log").contains("[error]"), "{}", nginx.log("error.log"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_holds_calls_and_no_token() {
    let house = House::start().await;
    let nginx = Nginx::start(&house);
    nginx.terminal(&house).run(&format!("{GRPCURL} $PROXY parlor.v1.RoomService/ListGuilds")).await;
    let page = nginx.terminal(&house).run("curl --fail --silent --cacert cert.pem https://$PROXY/").await;
    assert!(page.contains("<title>"), "the room page passes too: {page}");
    let log = nginx.log("access.log") + &nginx.log("error.log");
    assert!(log.contains("POST /parlor.v1.RoomService/ListGuilds HTTP/2.0") && log.contains("GET /"), "{log}");
    assert!(!log.contains(&house.token()), "{log}");
}

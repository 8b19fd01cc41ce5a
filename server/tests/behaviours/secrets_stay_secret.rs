//! At the loudest log level, with good calls and bad ones: no token and no audio in any log line, metric or answer.

use std::process::Command;

use crate::parlord::{Dev, page};

#[test]
fn no_secret_is_logged_or_measured() {
    let dev = Dev::start(&[]);
    let token =
        dev.commands().iter().find_map(|command| command.strip_prefix("export PARLOR_TOKEN=")).unwrap().to_owned();
    let token = token.trim_matches('\'');
    let api = dev.printed_after("gRPC, grpc-web").to_owned();
    let ops = dev.printed_after("metrics, probes").split('/').nth(2).unwrap().to_owned();
    let grpcurl = concat!(env!("CARGO_MANIFEST_DIR"), "/../.deps/venv/bin/grpcurl");
    let damaged = format!("{}canary", &token[..token.len() - 6]);
    for bearer in [token, &damaged, "canary"] {
        let call = Command::new(grpcurl)
            .args(["-plaintext", "-H", &format!("authorization: Bearer {bearer}"), "-d", "{}"])
            .args([&api, "parlor.v1.RoomService/ListRooms"])
            .output()
            .expect("grpcurl runs: `make deps` installs it");
        assert_eq!(call.status.success(), bearer == token);
        // grpcurl repeats nothing that it sent; what is here came from the server.
        assert!(!String::from_utf8_lossy(&call.stderr).contains(bearer));
    }

    let signature = token.rsplit_once('.').unwrap().1;
    let metrics = page(&ops, "/metrics");
    assert!(metrics.contains("grpc_server_handled_total"), "{metrics}");
    let log = dev.log_with("connecting to the gateway");
    for (place, text) in [("log", &log), ("metrics", &metrics)] {
        for secret in [signature, "canary", "emulated.bot.token"] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "a secret is in the {place}");
        }
    }
}

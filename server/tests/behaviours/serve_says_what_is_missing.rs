//! `parlord serve` without a bot token, with a wrong setting or on a taken port says what to do.

use std::net::TcpListener;

use crate::parlord::{parlord, run};

#[test]
fn everything_that_is_missing_is_said_at_once() {
    let home = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = run(parlord(home.path(), &["serve"]));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    for wanted in ["PARLOR_DISCORD__TOKEN", "PARLOR_AUTH__ISSUER", "PARLOR_AUTH__JWKS_URL", "parlord dev"] {
        assert!(stderr.contains(wanted), "{wanted} is not in {stderr}");
    }
    let (code, _, checked) = run(parlord(home.path(), &["config", "check"]));
    assert_eq!(code, Some(2));
    assert!(checked.contains("discord.token"), "{checked}");
}

#[test]
fn a_key_that_does_not_exist_is_an_error_with_the_one_that_was_meant() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("parlord.toml"), "[server]\nlissten = \"127.0.0.1:1\"\n").unwrap();
    let (code, _, stderr) = run(parlord(home.path(), &["serve"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("server.lissten") && stderr.contains("server.listen"), "{stderr}");
}

#[test]
fn secrets_are_left_out_of_what_is_printed() {
    let home = tempfile::tempdir().unwrap();
    let mut command = parlord(home.path(), &["config", "print"]);
    command.env("PARLOR_DISCORD__TOKEN", "canary.bot.token");
    let (code, stdout, _) = run(command);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("discord.token = ") && !stdout.contains("canary"), "{stdout}");
}

#[test]
fn a_taken_port_names_the_setting_to_change() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = ["dev", "--listen", &address, "--ops-listen", "127.0.0.1:0", "--emulator-listen", "127.0.0.1:0"];
    let (code, _, stderr) = run(parlord(home.path(), &arguments));
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&address) && stderr.contains("server.listen"), "{stderr}");
}

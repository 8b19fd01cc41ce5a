//! The caller's command line. What it says in a room is heard in the tests of client/ and e2e/.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests: the name is the documentation")]

use std::process::{Command, Output};

fn caller(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlor-caller"));
    command.args(arguments).env_remove("CALLER_DISCORD").env_remove("CALLER_CA").output().unwrap()
}

#[test]
fn nobody_is_called_beyond_this_machine() {
    let refused = caller(&["Lobby", "--discord", "192.0.2.1:443"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("not on this machine"));
}

#[test]
fn what_is_missing_is_named() {
    let said = |arguments: &[&str]| String::from_utf8(caller(arguments).stderr).unwrap();
    assert!(said(&["Lobby", "--ca", "nowhere.pem"]).contains("nowhere.pem: is `make dev` running here?"));
    assert!(said(&["Lobby", "--wav", "nowhere.wav"]).contains("cannot speak nowhere.wav"));
    assert!(said(&["Lobby", "--wav", "a.wav", "--tone", "440"]).contains("cannot be used with"));
}

//! `parlor token` signs with the key of `parlord dev`, and says where there is none.

use discord_emulator::{OTHER_GUILD, PARLOR_DEV};
use parlor_e2e::{House, Issuer};

use crate::program::{bare, path, run, with_token};

#[tokio::test(flavor = "multi_thread")]
async fn the_server_accepts_it_within_what_it_says() {
    let house = House::start().await;
    let key = path(Issuer::get().directory());
    let made = run(bare(&["token", "--dir", key])).await;
    assert_eq!((made.code, made.stderr.as_str(), made.stdout.lines().count()), (Some(0), "", 1));
    let everything = made.stdout.trim();
    assert_eq!(run(with_token(&house, everything, &["guilds", "list"])).await.stdout.lines().count(), 2);

    let guild = OTHER_GUILD.to_string();
    let narrow =
        ["token", "--dir", key, "--sub", "ann", "--guild", &guild, "--scope", "rooms:read", "--lifetime", "1h"];
    let narrow = run(bare(&narrow)).await;
    let narrow = narrow.stdout.trim();
    let guilds = run(with_token(&house, narrow, &["guilds", "list"])).await;
    assert_eq!(guilds.row()[0], guild);
    let create = run(with_token(&house, narrow, &["rooms", "create", "X", "--guild", &PARLOR_DEV.to_string()])).await;
    assert_eq!(create.code, Some(5), "{create:?}");
}

#[tokio::test]
async fn without_a_key_it_says_how_to_have_one_made() {
    let home = tempfile::tempdir().unwrap();
    let mut command = bare(&["token"]);
    command.current_dir(home.path());
    let ran = run(command).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains(".parlor/dev/token-key.pem") && ran.stderr.contains("make dev"), "{ran:?}");
}

#[tokio::test]
async fn what_no_server_would_accept_is_not_made() {
    let key = path(Issuer::get().directory());
    for wrong in [&["--lifetime", "25h"][..], &["--guild", "12*"], &["--scope", "everything"]] {
        let ran = run(bare(&[&["token", "--dir", key], wrong].concat())).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{wrong:?}: {ran:?}");
    }
}

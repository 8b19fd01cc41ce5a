//! Participants and webhooks, as rows for a pipe and as JSON.

use discord_emulator::{ANN, GAMES, GENERAL, LOBBY, PARLOR_DEV, WebhookId};
use parlor_e2e::{House, Setup};
use serde_json::json;

use crate::program::{parlor, run};

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_listed_moved_muted_and_disconnected() {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    house.emulator.user("ann").joins(LOBBY);
    watcher.until_it_sees_the_truth(&house).await;
    let [ann, guild, lobby, games] = [ANN.get(), PARLOR_DEV.get(), LOBBY.get(), GAMES.get()].map(|id| id.to_string());

    let listed = run(parlor(&house, &["participants", "list", "--room", &lobby])).await;
    assert_eq!(listed.row(), [&ann, "Ann", &lobby, &guild, "-"], "{listed:?}");
    let moved = run(parlor(&house, &["participants", "move", &ann, &games, "--guild", &guild])).await;
    assert_eq!((moved.code, moved.row()[2]), (Some(0), games.as_str()), "{moved:?}");
    let muted = run(parlor(&house, &["participants", "mute", &ann, "--guild", &guild, "-o", "json"])).await.json();
    assert_eq!((&muted["participant"]["mute"], &muted["confirmed"]), (&json!(true), &json!(true)), "{muted}");
    let heard = run(parlor(&house, &["participants", "mute", &ann, "--off", "--guild", &guild])).await;
    assert_eq!(heard.row()[4], "-", "{heard:?}");
    let deaf = run(parlor(&house, &["participants", "deafen", &ann, "--guild", &guild])).await;
    assert_eq!(deaf.row()[4], "deafened", "{deaf:?}");
    let out = ["participants", "disconnect", &ann, "--guild", &guild, "-o", "json"];
    assert_eq!(run(parlor(&house, &out)).await.json()["already_gone"], json!(false));
    assert_eq!(run(parlor(&house, &out)).await.json()["already_gone"], json!(true));

    let nobody = run(parlor(&house, &["participants", "move", &ann, &games, "--guild", &guild])).await;
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    assert!(nobody.stderr.contains("PARTICIPANT_NOT_IN_VOICE"), "{nobody:?}");
    let nowhere = run(parlor(&house, &["participants", "move", &ann, "room", "--guild", "1"])).await;
    assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
    assert!(nowhere.stderr.contains("ROOM: ") && nowhere.stderr.contains("--guild: "), "{nowhere:?}");
}

/// Its token is a secret, so it stands in no output.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_from_its_making_to_its_end() {
    let house = House::start().await;
    let [guild, channel] = [PARLOR_DEV.get(), GENERAL.get()].map(|id| id.to_string());
    let made = run(parlor(&house, &["webhooks", "create", "Builds", "--guild", &guild, "--channel", &channel])).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let id = made.row()[0].to_owned();
    assert_eq!(made.row(), [&id, &channel, &guild, "Builds", "incoming"]);
    let webhook = WebhookId::new(id.parse().expect("an id"));
    let token = house.emulator.world(|world| world.webhook(webhook).expect("it is there").token.reveal().to_owned());
    let listed = run(parlor(&house, &["webhooks", "list", "--guild", &guild, "-o", "json"])).await;
    assert_eq!(listed.json()["webhooks"][0]["executable"], json!(true), "{listed:?}");
    let written = run(parlor(&house, &["webhooks", "execute", &id, "Build 7 is green", "--guild", &guild])).await;
    assert_eq!((written.code, written.row()[1]), (Some(0), channel.as_str()), "{written:?}");
    let refused = run(parlor(&house, &["webhooks", "execute", &id, "", "--guild", &guild])).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("CONTENT: "), "{refused:?}");
    let gone = run(parlor(&house, &["webhooks", "delete", &id, "--guild", &guild, "-o", "json"])).await;
    assert_eq!(gone.json()["already_gone"], json!(false), "{gone:?}");
    let again = run(parlor(&house, &["webhooks", "execute", &id, "Build 8", "--guild", &guild])).await;
    assert_eq!(again.code, Some(4), "{again:?}");
    let printed = format!("{made:?}{listed:?}{written:?}{refused:?}{gone:?}{again:?}");
    assert!(!printed.contains(&token), "the token is in {printed}");
}

/// Which limit it is, and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn limits_are_shown_with_what_lifts_them() {
    let rates = Setup::default().set("limits.rooms_per_subject", "1");
    let house = rates.set("rates.changes_per_second", "1").set("rates.changes_burst", "2").start().await;
    let guild = PARLOR_DEV.to_string();
    let create = ["rooms", "create", "Standup", "--guild", &guild];
    assert_eq!(run(parlor(&house, &create)).await.code, Some(0));
    let full = run(parlor(&house, &create)).await;
    assert_eq!(full.code, Some(1), "{full:?}");
    for words in
        ["(ROOM_QUOTA)", "1 rooms of this subject are open, and 1 may be", "next: end rooms that are no longer needed"]
    {
        assert!(full.stderr.contains(words), "{words}: {full:?}");
    }

    let disconnect = ["participants", "disconnect", &ANN.to_string(), "--guild", &guild];
    let once = || run(parlor(&house, &disconnect));
    let mut refused = None;
    // Three at once empty the bucket, also where the machine is slow; a thousand times, so that it ends.
    for _ in 0..1_000 {
        let (one, two, three) = tokio::join!(once(), once(), once());
        refused = [one, two, three].into_iter().find(|ran| ran.code != Some(0));
        if refused.is_some() {
            break;
        }
    }
    let last = refused.expect("a limit");
    assert_eq!(last.code, Some(3), "time lifts this limit: {last:?}");
    for words in ["(RATE_LIMITED)", "1 calls that change something a second, 2 at once", "next: try again in "] {
        assert!(last.stderr.contains(words), "{words}: {last:?}");
    }
}

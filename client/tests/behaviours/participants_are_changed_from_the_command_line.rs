//! Participants and webhooks, as rows for a pipe and as JSON.

use discord_emulator::{ANN, GAMES, GENERAL, LOBBY, PARLOR_DEV};
use parlor_e2e::House;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_from_its_making_to_its_end() {
    let house = House::start().await;
    let [guild, channel] = [PARLOR_DEV.get(), GENERAL.get()].map(|id| id.to_string());
    let made = run(parlor(&house, &["webhooks", "create", "Builds", "--guild", &guild, "--channel", &channel])).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let id = made.row()[0].to_owned();
    assert_eq!(made.row(), [&id, &channel, &guild, "Builds", "incoming"]);
    let listed = run(parlor(&house, &["webhooks", "list", "--guild", &guild, "-o", "json"])).await;
    assert_eq!(listed.json()["webhooks"][0]["executable"], json!(true), "{listed:?}");
    let written = run(parlor(&house, &["webhooks", "execute", &id, "Build 7 is green", "--guild", &guild])).await;
    assert_eq!((written.code, written.row()[1]), (Some(0), channel.as_str()), "{written:?}");
    let gone = run(parlor(&house, &["webhooks", "delete", &id, "--guild", &guild, "-o", "json"])).await;
    assert_eq!(gone.json()["already_gone"], json!(false), "{gone:?}");
    let again = run(parlor(&house, &["webhooks", "execute", &id, "Build 8", "--guild", &guild])).await;
    assert_eq!(again.code, Some(4), "{again:?}");
}

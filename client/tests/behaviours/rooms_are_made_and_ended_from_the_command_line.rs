//! Rooms and guilds, as rows for a pipe and as JSON.

use discord_emulator::{LOBBY, OTHER_GUILD, PARLOR_DEV};
use parlor_e2e::House;
use serde_json::{Value, json};

use crate::program::{parlor, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_room_from_its_making_to_its_end() {
    let house = House::start().await;
    let guild = PARLOR_DEV.to_string();
    let made = run(parlor(&house, &["rooms", "create", "Stand up", "--guild", &guild, "--user-limit", "5"])).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let id = made.row()[0].to_owned();
    assert_eq!(made.row(), [&id, &guild, "Stand up", "voice", "active", "0/5", "Parlor", "-"]);
    let on_discord = house.emulator.world(|world| world.channels_named("Stand up").count());
    assert_eq!(on_discord, 1);

    let got = run(parlor(&house, &["rooms", "get", &id, "-o", "json"])).await.json();
    assert_eq!((&got["room"]["room"], &got["room"]["user_limit"]), (&json!(id), &json!(5)));
    let managed = run(parlor(&house, &["rooms", "list", "--managed"])).await;
    assert_eq!(managed.row()[0], id);
    let all = run(parlor(&house, &["rooms", "list", "--guild", &guild])).await;
    assert!(all.stdout.lines().any(|line| line.starts_with(&LOBBY.to_string())), "{all:?}");
    assert!(!all.stdout.contains(&OTHER_GUILD.to_string()), "{all:?}");

    let ended = run(parlor(&house, &["rooms", "end", &id, "--reason", "done"])).await;
    assert_eq!((ended.code, ended.row()[4]), (Some(0), "ended"), "{ended:?}");
    let again = run(parlor(&house, &["rooms", "end", &id, "-o", "json"])).await;
    assert_eq!((again.code, &again.json()["already_gone"]), (Some(0), &json!(true)));
}

/// The shapes are those of e2e/clients/README.md, keys in order.
#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_shape_that_every_language_prints() {
    let house = House::start().await;
    let guild = PARLOR_DEV.to_string();
    let request_id = "11111111-1111-4111-8111-111111111111";
    let create =
        ["rooms", "create", "Hall", "--kind", "stage", "--guild", &guild, "--request-id", request_id, "-o", "json"];
    let made = run(parlor(&house, &create)).await;
    let id = made.json()["room"]["room"].as_str().unwrap().to_owned();
    let room = format!(
        r#"{{"room":{{"room":"{id}","guild":"{guild}","name":"Hall","kind":"stage","state":"active","managed":true,"category":"","user_limit":"#
    );
    assert!(made.stdout.starts_with(&room), "{made:?}");
    let rest = r#""participants":0,"region":"","video_quality":"auto","status":"","labels":{},"empty_timeout":0.0,"departure_timeout":0.0,"max_duration":0.0,"created_by":"tester"},"cursor":""#;
    assert!(made.stdout.contains(rest), "{made:?}");
    assert!(made.stdout.ends_with(&format!("\",\"request_id\":\"{request_id}\"}}\n")), "{made:?}");
    // The same request makes no second room.
    assert_eq!(run(parlor(&house, &create)).await.stdout, made.stdout);

    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let list = run(parlor(&house, &["rooms", "list", "-o", "json"])).await.json();
    assert_eq!((keys(&list), list["rooms"].as_array().unwrap().len()), (vec!["rooms".to_owned()], 4));
    let guilds = run(parlor(&house, &["guilds", "list", "-o", "json"])).await;
    let first = format!(r#"{{"guilds":[{{"guild":"{guild}","name":"Parlor Dev","available":true,"rooms":3}},"#);
    assert!(guilds.stdout.starts_with(&first), "{guilds:?}");
    let guilds = run(parlor(&house, &["guilds", "list"])).await;
    assert_eq!(guilds.stdout.lines().next(), Some(format!("{guild}\tParlor Dev\t3\tyes").as_str()));
}

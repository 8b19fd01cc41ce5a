//! Options of a room, changes of it, many rooms at once, channels and messages.

use std::io::Write as _;

use discord_emulator::{ANN, GENERAL, LOBBY, PARLOR_DEV, VOICE_CATEGORY};
use parlor_e2e::House;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::program::{parlor, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_room_with_everything_and_a_change_of_it() {
    let house = House::start().await;
    let guild = PARLOR_DEV.to_string();
    let create = ["rooms", "create", "Film club", "--guild", &guild, "--label", "team=films", "--label", "size=big"];
    let more =
        ["--region", "rotterdam", "--video-quality", "full", "--status", "The Third Man", "--max-duration", "2h"];
    let invite = ["--departure-timeout", "10m", "--invite", "--invite-max-uses", "5"];
    let made = run(parlor(&house, &[&create[..], &more, &invite].concat())).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let id = made.stdout.split('\t').next().expect("an id").to_owned();
    assert!(made.stdout.lines().next().expect("the room").ends_with("\tleft 10m, after 2h"), "{made:?}");
    let url = made.stdout.lines().nth(1).expect("the invite");
    assert!(url.starts_with("https://discord.gg/"), "{made:?}");

    let got = run(parlor(&house, &["rooms", "get", &id, "-o", "json"])).await.json();
    let room = &got["room"];
    assert_eq!((&room["region"], &room["video_quality"]), (&json!("rotterdam"), &json!("full")));
    assert_eq!((&room["status"], &room["labels"]), (&json!("The Third Man"), &json!({"size": "big", "team": "films"})));
    assert_eq!((&room["max_duration"], &room["departure_timeout"]), (&json!(7200.0), &json!(600.0)));
    let listed = run(parlor(&house, &["rooms", "list", "--label", "team=films"])).await;
    assert_eq!(listed.row()[0], id);

    let update = ["rooms", "update", &id, "--status", "", "--user-limit", "7", "--label", "team=books", "-o", "json"];
    let changed = run(parlor(&house, &update)).await.json();
    let room = &changed["room"];
    assert_eq!((&room["status"], &room["user_limit"]), (&json!(""), &json!(7)));
    assert_eq!((&room["labels"], &room["region"]), (&json!({"team": "books"}), &json!("rotterdam")));

    let everybody = format!("role:{guild}:-SPEAK,+STREAM");
    let ann = discord_emulator::ANN.to_string();
    let overwrites = || {
        let channel = id.parse().expect("an id");
        house.emulator.world(|world| world.channel(channel).expect("it is there").overwrites.len())
    };
    // Everybody is shut out; Ann and the bot are let in.
    for (flags, expected) in [(["--private", &ann], 3), (["--overwrite", &everybody], 1)] {
        let changed = run(parlor(&house, &[&["rooms", "update", &id][..], &flags].concat())).await;
        assert_eq!((changed.code, overwrites()), (Some(0), expected), "{changed:?}");
    }
    let opened = run(parlor(&house, &["rooms", "update", &id, "--no-private"])).await;
    assert_eq!((opened.code, overwrites()), (Some(0), 0), "{opened:?}");
    let both = run(parlor(&house, &["rooms", "update", &id, "--no-private", "--private", &ann])).await;
    assert_eq!(both.code, Some(2), "{both:?}");
    let unknown = run(parlor(&house, &["rooms", "update", &id, "--overwrite", "role:1:+FLY"])).await;
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("--overwrite: "), "{unknown:?}");
    let nothing = run(parlor(&house, &["rooms", "update", &id])).await;
    assert_eq!(nothing.code, Some(2), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_become_rooms_and_rooms_end_by_lines() {
    let house = House::start().await;
    let guild = PARLOR_DEV.to_string();
    let mut file = NamedTempFile::new().expect("a file");
    for table in 1..=26 {
        writeln!(file, "{}", json!({"name": format!("Table {table}"), "guild": guild, "labels": {"event": "quiz"}}))
            .expect("written");
    }
    writeln!(file, "{}", json!({"name": "Nowhere", "guild": "1100000000000099999"})).expect("written");
    let path = file.path().display().to_string();
    let id = "55555555-5555-4555-8555-555555555555";
    let batch = ["rooms", "batch", "create", &path, "--request-id", id];
    let made = run(parlor(&house, &batch)).await;
    assert_eq!(made.code, Some(1), "one of them failed: {made:?}");
    assert_eq!(made.stdout.lines().count(), 27);
    assert!(made.stdout.lines().nth(26).expect("the last").starts_with("Nowhere\tGUILD_UNKNOWN\t"), "{made:?}");
    assert!(made.stderr.contains("25 of 27") && made.stderr.contains("27 of 27, 1 failed"), "{made:?}");
    assert_eq!(run(parlor(&house, &batch)).await.stdout, made.stdout, "nothing is made twice");
    let tables = house.emulator.world(|world| world.channels_named("Table 26").count());
    assert_eq!(tables, 1);

    let listed = run(parlor(&house, &["rooms", "list", "--label", "event=quiz"])).await;
    assert_eq!(listed.stdout.lines().count(), 26);
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(listed.stdout.as_bytes()).expect("written");
    let path = file.path().display().to_string();
    let ended = run(parlor(&house, &["rooms", "batch", "end", &path, "-o", "json"])).await;
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 26), "{ended:?}");
    let listed = run(parlor(&house, &["rooms", "list", "--label", "event=quiz", "-o", "json"])).await;
    assert_eq!(listed.json(), json!({"rooms": []}));

    let mut wrong = NamedTempFile::new().expect("a file");
    writeln!(wrong, "{}", json!({"name": "Never", "guild": guild})).expect("written");
    writeln!(wrong, "{}", json!({"nmae": "Never", "guild": guild})).expect("written");
    let path = wrong.path().display().to_string();
    let refused = run(parlor(&house, &["rooms", "batch", "create", &path])).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("line 2"), "{refused:?}");
    assert_eq!(house.emulator.world(|world| world.channels_named("Never").count()), 0);
}

/// A person sees at once that something goes on, how far it is, and at the end a table; nothing of that is in a file.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_on_a_terminal_shows_how_far_it_is_and_then_a_table() {
    let house = House::start().await;
    let (guild, ann) = (PARLOR_DEV.to_string(), ANN.to_string());
    let mut file = NamedTempFile::new().expect("a file");
    for table in 1..=7 {
        writeln!(file, "{}", json!({"name": format!("Table {table}"), "guild": guild})).expect("written");
    }
    writeln!(file, "{}", json!({"name": "Nowhere", "guild": "1100000000000099999"})).expect("written");
    let path = file.path().display().to_string();
    let seen = run(on_a_terminal(&parlor(&house, &["rooms", "batch", "create", &path]))).await;
    let drawn: Vec<&str> = seen.stdout.split("\r\u{1b}[K").collect();
    assert!(drawn.iter().any(|line| line.contains("0 of 8")), "{seen:?}");
    assert!(drawn.iter().any(|line| line.contains("5 of 8")), "{seen:?}");
    let end = drawn.last().expect("the end");
    assert!(end.contains("8 of 8, 1 failed"), "{seen:?}");
    let lines: Vec<&str> = end.lines().collect();
    let header = lines.iter().position(|line| line.contains("ROOM ") && line.contains("PEOPLE")).expect("a header");
    assert!(lines[header + 1].contains("Table 1") && lines[header + 7].contains("Table 7"), "{seen:?}");
    assert!(!end.contains('\t'), "in columns: {seen:?}");
    let failed = lines.iter().find(|line| line.contains("Nowhere")).expect("the failure");
    assert!(failed.contains("GUILD_UNKNOWN"), "{seen:?}");

    // What a room has beside its name may stand in a line.
    let mut file = NamedTempFile::new().expect("a file");
    let everybody = format!("role:{guild}:-SPEAK");
    let role = house.emulator.world(|world| {
        let roles = &world.guild(PARLOR_DEV).expect("it is there").roles;
        roles.values().find(|role| role.bot_id.is_some()).expect("the bot has one").id.to_string()
    });
    let quality = json!({"name": "Sharp", "guild": guild, "video_quality": "full", "overwrites": [everybody]});
    writeln!(file, "{quality}").expect("written");
    writeln!(file, "{}", json!({"name": "Closed", "guild": guild, "private": [ann], "private_roles": [role]}))
        .expect("written");
    let path = file.path().display().to_string();
    let made = run(parlor(&house, &["rooms", "batch", "create", &path])).await;
    assert_eq!((made.code, made.stdout.lines().count()), (Some(0), 2), "{made:?}");
    house.emulator.world(|world| {
        let named = |name| world.channels_named(name).next().expect("it was made");
        let voice = named("Sharp").kind.voice().expect("a voice room").clone();
        assert_eq!((voice.video_quality_mode, named("Sharp").overwrites.len()), (2, 1));
        assert_eq!(named("Closed").overwrites.len(), 4, "everybody, Ann, the role and the bot");
    });

    // An end with an id of its own is answered the same again.
    let room = made.stdout.split('\t').next().expect("an id").to_owned();
    let id = "66666666-6666-4666-8666-666666666666";
    let end = ["rooms", "end", &room, "--request-id", id, "-o", "json"];
    let first = run(parlor(&house, &end)).await.json();
    assert_eq!((&first["request_id"], &first["already_gone"]), (&json!(id), &json!(false)));
    assert_eq!(run(parlor(&house, &end)).await.json(), first);
}

/// The same command with a terminal for all that it prints.
fn on_a_terminal(command: &Command) -> Command {
    let words = std::iter::once(command.as_std().get_program()).chain(command.as_std().get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &words.join(" "), "/dev/null"]).env("TERM", "xterm");
    for (name, value) in command.as_std().get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    terminal
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_and_messages() {
    let house = House::start().await;
    let guild = PARLOR_DEV.to_string();
    let listed = run(parlor(&house, &["channels", "list", "--guild", &guild])).await;
    let category = VOICE_CATEGORY.to_string();
    assert!(
        listed.stdout.lines().any(|line| line.starts_with(&category) && line.contains("\tcategory\t")),
        "{listed:?}"
    );
    let token = parlor_e2e::Issuer::get()
        .sign(&parlor_e2e::Token { scope: "rooms:read messages:write".to_owned(), ..Default::default() });
    for (channel, guild) in [(LOBBY, None), (GENERAL, Some(guild.as_str()))] {
        let channel = channel.to_string();
        let mut arguments = vec!["channels", "send", &channel, "It begins"];
        arguments.extend(guild.iter().flat_map(|guild| ["--guild", guild]));
        let mut command = parlor(&house, &arguments);
        command.env("PARLOR_TOKEN", &token);
        let sent = run(command).await;
        assert_eq!(sent.code, Some(0), "{sent:?}");
    }
    let counts = house.emulator.world(|world| (world.messages(LOBBY).len(), world.messages(GENERAL).len()));
    assert_eq!(counts, (1, 1));
}

//! The room page in Chromium: its list is the emulated Discord's world, whatever breaks; it works by keyboard alone, says what
//! is wrong, and shuts nobody out.

use discord_emulator::{
    ANN, BOB, ChannelEdit, ChannelKind, Fault, GAMES, LOBBY, NewChannel, OTHER_ROOM, Overwrite, OverwriteTarget,
    PARLOR_DEV, Permissions, VOICE_CATEGORY,
};
use parlor_client::v1;
use parlor_e2e::{House, Issuer, Process, Token, soon};
use serde_json::json;

/// A house with the page built in.
async fn house() -> House {
    let house = House::start().await;
    let start = reqwest::get(format!("http://{}/", house.api())).await.unwrap().text().await.unwrap();
    assert!(start.contains("/assets/"), "the page is not part of this build: `make web`, then build again");
    house
}

/// The page as the link that `parlord dev` prints opens it.
fn link(house: &House) -> String {
    format!("http://{}/#token={}", house.api(), house.token())
}

async fn opened(house: &House) -> Process {
    let mut browser = Process::browser();
    browser.ask(json!({"do": "open", "url": link(house)})).await;
    lists_the_truth(&mut browser, house).await;
    browser
}

async fn lists_the_truth(browser: &mut Process, house: &House) {
    browser.ask(json!({"do": "until_list", "rooms": house.truth()})).await;
}

async fn says(browser: &mut Process, text: &str) {
    browser.ask(json!({"do": "until_text", "text": text})).await;
}

async fn press(browser: &mut Process, key: &str) {
    browser.ask(json!({"do": "press", "key": key})).await;
}

async fn tab_to(browser: &mut Process, control: &str) {
    browser.ask(json!({"do": "tab_to", "control": control})).await;
}

async fn type_in(browser: &mut Process, text: &str) {
    browser.ask(json!({"do": "type", "text": text})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_list_is_the_truth_whatever_breaks() {
    let mut house = house().await;
    let guild = PARLOR_DEV.to_string();
    let mut bot = Process::bot(&house, "node/discord_bot.mjs", "a.discord.js.bot").await;
    let mut browser = opened(&house).await;
    let place = browser.ask(json!({"do": "place"})).await;
    assert_eq!(place["url"], format!("http://{}/", house.api()), "the token does not stay in the address bar");

    let made = bot.ask(json!({"do": "create_channel", "guild": guild, "name": "By discord.js"})).await;
    let room = made["channel"].as_str().unwrap().to_owned();
    for channel in [LOBBY.to_string(), room.clone(), GAMES.to_string()] {
        bot.ask(json!({"do": "move", "guild": guild, "channel": channel})).await;
        bot.until(|line| line["event"] == "voiceStateUpdate" && line["to"] == channel.as_str()).await;
        lists_the_truth(&mut browser, &house).await;
    }
    let discord = house.emulator.clone();
    for name in ["ann", "bob", "cleo"] {
        discord.user(name).joins(LOBBY);
    }
    discord.user("dan").joins(OTHER_ROOM);
    lists_the_truth(&mut browser, &house).await;

    people_move_during(Fault::DropConnections, &mut browser, &house).await;
    people_move_during(Fault::InvalidateSession { resumable: false }, &mut browser, &house).await;
    says(&mut browser, "was out of sight").await;

    // While nobody tells the page, it says so; what happened meanwhile is there once the server is.
    house.stop_server().await;
    says(&mut browser, "reconnecting").await;
    discord.user("ann").leaves();
    discord.user("eve").joins(OTHER_ROOM);
    bot.ask(json!({"do": "delete_channel", "channel": room})).await;
    bot.until(|line| line["event"] == "channelDelete").await;
    house.restart_server().await;
    lists_the_truth(&mut browser, &house).await;
    says(&mut browser, "connected").await;
    people_move_during(Fault::RequestReconnect, &mut browser, &house).await;

    let complaints = browser.ask(json!({"do": "complaints"})).await;
    assert_eq!(complaints["complaints"], json!([]));
    assert!(house.archive().frames_of("Chrome") > 3, "its streams are recorded for the judge");
    browser.finish().await;
    bot.finish().await;
}

/// Parlor's connection to Discord breaks, and not that of the other bots: they would leave their rooms.
async fn people_move_during(fault: Fault, browser: &mut Process, house: &House) {
    let discord = &house.emulator;
    let parlor = discord.bot(house.bot_token()).unwrap();
    let before = discord.stats();
    discord.inject(fault.only(parlor));
    discord.user("ann").joins(GAMES);
    discord.user("bob").leaves();
    discord.user("cleo").joins(LOBBY);
    discord.world(|world| world.create_channel(PARLOR_DEV, NewChannel::voice("Made meanwhile"))).unwrap();
    let comes_back = discord.wait_for(|now| now.identifies + now.resumes > before.identifies + before.resumes);
    soon("another session", comes_back).await;
    discord.user("bob").joins(LOBBY);
    discord.user("ann").joins(LOBBY);
    discord.user("cleo").leaves();
    lists_the_truth(browser, house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_made_and_ended_by_keyboard_alone() {
    let house = house().await;
    let mut browser = opened(&house).await;
    tab_to(&mut browser, "New room in Parlor Dev").await;
    press(&mut browser, "Enter").await;
    // A name is missing: the server says so, and the page says it where the name belongs.
    tab_to(&mut browser, "Create room").await;
    press(&mut browser, "Enter").await;
    says(&mut browser, "Some fields are not right").await;
    tab_to(&mut browser, "display_name").await;
    type_in(&mut browser, "By keyboard").await;
    press(&mut browser, "Enter").await;
    says(&mut browser, "By keyboard was created.").await;
    lists_the_truth(&mut browser, &house).await;
    assert_eq!(house.truth().len(), 4, "Discord has the room");

    // What is changed in the form changes, and only that.
    tab_to(&mut browser, "Change By keyboard").await;
    press(&mut browser, "Enter").await;
    for (field, text) in [("status", "chess"), ("user_limit", "7"), ("departure_timeout", "5m")] {
        tab_to(&mut browser, field).await;
        type_in(&mut browser, text).await;
    }
    press(&mut browser, "Enter").await;
    says(&mut browser, "By keyboard was changed.").await;
    says(&mut browser, "Ends 5m after the last one leaves").await;
    house.emulator.world(|world| {
        let room = world.channels_named("By keyboard").next().expect("it has its name");
        let ChannelKind::Voice(voice) = &room.kind else { panic!("a voice room") };
        assert_eq!((voice.status.as_deref(), voice.user_limit), (Some("chess"), 7));
    });

    // Escape and Cancel change nothing.
    tab_to(&mut browser, "End By keyboard").await;
    press(&mut browser, "Enter").await;
    says(&mut browser, "Its channel is deleted on Discord").await;
    press(&mut browser, "Escape").await;
    assert_eq!(house.truth().len(), 4);
    // The focus is back where it was.
    press(&mut browser, "Enter").await;
    says(&mut browser, "Its channel is deleted on Discord").await;
    tab_to(&mut browser, "End room").await;
    press(&mut browser, "Enter").await;
    says(&mut browser, "By keyboard has ended.").await;
    lists_the_truth(&mut browser, &house).await;
    assert_eq!(house.truth().len(), 3, "Discord has no such room");

    // A room that Parlor did not create can be ended too, by those who may.
    tab_to(&mut browser, "End Games").await;
    press(&mut browser, "Enter").await;
    says(&mut browser, "Parlor did not create this room").await;
    tab_to(&mut browser, "End room").await;
    press(&mut browser, "Enter").await;
    says(&mut browser, "Games has ended.").await;
    lists_the_truth(&mut browser, &house).await;
    assert!(!house.truth().contains_key(&GAMES.to_string()));
    browser.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_with_policies_come_in_numbers_and_end_together() {
    let house = house().await;
    let mut browser = opened(&house).await;
    tab_to(&mut browser, "New room in Parlor Dev").await;
    press(&mut browser, "Enter").await;
    type_in(&mut browser, "Table").await;
    tab_to(&mut browser, "When it ends, who may see it, several at once").await;
    press(&mut browser, "Enter").await;
    for (field, text) in [
        ("empty_timeout", "10 minutes"),
        ("departure_timeout", "1m"),
        ("max_duration", "2h"),
        ("private", &ANN.to_string()),
        ("bitrate_bps", "96"),
        ("count", "7"),
        ("audit_log_reason", "quiz"),
    ] {
        tab_to(&mut browser, field).await;
        type_in(&mut browser, text).await;
    }
    // What is no time is said before Parlor is asked.
    press(&mut browser, "Enter").await;
    says(&mut browser, "A time is written like").await;
    assert_eq!(house.truth().len(), 3);
    tab_to(&mut browser, "empty_timeout").await;
    browser.ask(json!({"do": "press", "key": "ControlOrMeta+A"})).await;
    type_in(&mut browser, "10m").await;
    press(&mut browser, "Enter").await;
    says(&mut browser, "7 rooms were created.").await;
    lists_the_truth(&mut browser, &house).await;
    says(&mut browser, "Ends after 10m if nobody joins, 1m after the last one leaves, after 2h in any case").await;
    let parlor = house.parlor().await;
    let rooms = parlor.list_rooms(v1::ListRoomsRequest { managed_only: true, ..Default::default() }).await.unwrap();
    let mut names: Vec<&str> = rooms.iter().map(|room| room.display_name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Table 1", "Table 2", "Table 3", "Table 4", "Table 5", "Table 6", "Table 7"]);
    house.emulator.world(|world| {
        let table = world.channels_named("Table 7").next().expect("on Discord");
        let guild = world.guild(PARLOR_DEV).expect("there");
        let may_enter = |user| guild.permissions_in(user, table).contains(Permissions::CONNECT);
        assert!(may_enter(ANN) && !may_enter(BOB), "it is Ann's alone");
        let ChannelKind::Voice(voice) = &table.kind else { panic!("a voice room") };
        assert_eq!(voice.bitrate, 96_000);
    });

    // Of those that are chosen one cannot be ended: the others end, and the page says which and why.
    tab_to(&mut browser, "End several rooms in Parlor Dev").await;
    press(&mut browser, "Enter").await;
    for room in ["Table 2", "Table 3", "Table 5", "Table 6", "Table 7"] {
        tab_to(&mut browser, room).await;
        press(&mut browser, "Space").await;
    }
    let parlor_s_bot = house.emulator.bot(house.bot_token()).unwrap();
    house.emulator.world(|world| {
        let locked = world.channels_named("Table 3").next().expect("on Discord").id;
        let deny = Overwrite {
            target: OverwriteTarget::Member(parlor_s_bot),
            allow: Permissions::NONE,
            deny: Permissions::MANAGE_CHANNELS,
        };
        world.edit_channel(locked, ChannelEdit { overwrites: Some(vec![deny]), ..ChannelEdit::default() }).unwrap();
    });
    tab_to(&mut browser, "End 5 rooms").await;
    press(&mut browser, "Enter").await;
    says(&mut browser, "5 of 5, 1 failed").await;
    says(&mut browser, "lacks a permission").await;
    press(&mut browser, "Escape").await;
    lists_the_truth(&mut browser, &house).await;
    assert_eq!(house.truth().len(), 3 + 3, "Tables 1, 3 and 4 are left");
    browser.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_placed_labelled_and_closed_by_keyboard_alone() {
    let house = house().await;
    let mut browser = opened(&house).await;
    let managed = async || {
        let request = v1::ListRoomsRequest { managed_only: true, ..Default::default() };
        house.parlor().await.list_rooms(request).await.unwrap().pop().expect("a room")
    };
    tab_to(&mut browser, "New room in Parlor Dev").await;
    press(&mut browser, "Enter").await;
    type_in(&mut browser, "Studio").await;
    tab_to(&mut browser, "Where it stands, what it shows, an invite").await;
    press(&mut browser, "Enter").await;
    browser.ask(json!({"do": "until_option", "text": "Voice"})).await;
    let fields = [("category_id", "Voice"), ("region", "rotterdam"), ("status", "On air"), ("labels", "team films")];
    for (field, text) in fields {
        tab_to(&mut browser, field).await;
        type_in(&mut browser, text).await;
    }
    tab_to(&mut browser, "invite").await;
    press(&mut browser, "Space").await;
    tab_to(&mut browser, "Create room").await;
    press(&mut browser, "Enter").await;
    says(&mut browser, "A label is written like").await;
    complains_of_nothing(&mut browser, "a room with everything").await;
    assert_eq!(house.truth().len(), 3, "nothing is made of what is wrong");
    tab_to(&mut browser, "labels").await;
    browser.ask(json!({"do": "press", "key": "ControlOrMeta+A"})).await;
    type_in(&mut browser, "team=films, size=big").await;
    press(&mut browser, "Enter").await;
    says(&mut browser, "https://discord.gg/").await;
    complains_of_nothing(&mut browser, "an invite").await;
    press(&mut browser, "Escape").await;
    lists_the_truth(&mut browser, &house).await;
    house.emulator.world(|world| {
        let room = world.channels_named("Studio").next().expect("on Discord");
        assert_eq!(room.parent_id, Some(VOICE_CATEGORY));
        let ChannelKind::Voice(voice) = &room.kind else { panic!("a voice room") };
        assert_eq!((voice.rtc_region.as_deref(), voice.status.as_deref()), (Some("rotterdam"), Some("On air")));
        assert_eq!(world.invites(PARLOR_DEV).filter(|invite| invite.channel_id == room.id).count(), 1);
    });
    let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    assert_eq!(managed().await.labels, labels(&[("team", "films"), ("size", "big")]));

    tab_to(&mut browser, "Change Studio").await;
    press(&mut browser, "Enter").await;
    browser.ask(json!({"do": "until_option", "text": "Voice"})).await;
    tab_to(&mut browser, "category_id").await;
    type_in(&mut browser, "None").await;
    tab_to(&mut browser, "labels").await;
    browser.ask(json!({"do": "press", "key": "ControlOrMeta+A"})).await;
    type_in(&mut browser, "team=books").await;
    tab_to(&mut browser, "access").await;
    type_in(&mut browser, "Only").await;
    tab_to(&mut browser, "private").await;
    type_in(&mut browser, &ANN.to_string()).await;
    complains_of_nothing(&mut browser, "closing a room").await;
    press(&mut browser, "Enter").await;
    says(&mut browser, "Studio was changed.").await;
    house.emulator.world(|world| {
        let room = world.channels_named("Studio").next().expect("on Discord");
        let guild = world.guild(PARLOR_DEV).expect("there");
        let may_enter = |user| guild.permissions_in(user, room).contains(Permissions::CONNECT);
        assert!(may_enter(ANN) && !may_enter(BOB), "it is Ann's alone");
        assert_eq!(room.parent_id, None);
    });
    let room = managed().await;
    assert_eq!((room.labels, room.region.as_str()), (labels(&[("team", "books")]), "rotterdam"));
    browser.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_moved_muted_and_disconnected_by_keyboard_alone() {
    let house = house().await;
    let mut bot = Process::bot(&house, "node/discord_bot.mjs", "a.discord.js.bot").await;
    let mut browser = opened(&house).await;
    let ann = ANN.to_string();
    house.emulator.user("ann").joins(LOBBY);
    lists_the_truth(&mut browser, &house).await;
    let change = async |browser: &mut Process, reason: &str, control: &str| {
        tab_to(browser, "Change Ann").await;
        press(browser, "Enter").await;
        tab_to(browser, "audit_log_reason").await;
        type_in(browser, reason).await;
        tab_to(browser, control).await;
        press(browser, "Enter").await;
    };
    change(&mut browser, "noise", "Mute").await;
    says(&mut browser, "Ann was muted.").await;
    bot.until(|line| line["event"] == "voiceStateUpdate" && line["user"] == ann.as_str() && line["mute"] == true).await;
    change(&mut browser, "", "Unmute").await;
    says(&mut browser, "Ann is muted no longer.").await;
    change(&mut browser, "", "Deafen").await;
    says(&mut browser, "Ann was deafened.").await;
    change(&mut browser, "", "Undeafen").await;
    says(&mut browser, "Ann is deafened no longer.").await;

    // The room to move to is chosen by its name's first letters, as in every list of a browser.
    tab_to(&mut browser, "Change Ann").await;
    press(&mut browser, "Enter").await;
    tab_to(&mut browser, "to_room_id").await;
    type_in(&mut browser, "Games").await;
    tab_to(&mut browser, "Move").await;
    press(&mut browser, "Enter").await;
    says(&mut browser, "Ann was moved to Games.").await;
    lists_the_truth(&mut browser, &house).await;
    assert!(house.truth()[&GAMES.to_string()].contains(&ann), "Discord has her there");

    change(&mut browser, "good night", "Disconnect").await;
    says(&mut browser, "Ann was disconnected.").await;
    lists_the_truth(&mut browser, &house).await;
    assert!(!house.truth()[&GAMES.to_string()].contains(&ann));
    let log = json!({"do": "audit_log", "guild": PARLOR_DEV.to_string(), "kind": "MemberUpdate", "limit": 10});
    let log = bot.ask(log).await.to_string();
    assert!(log.contains("noise"), "the moderators read why: {log}");

    // Whoever has gone meanwhile is said to have.
    house.emulator.user("ann").joins(LOBBY);
    lists_the_truth(&mut browser, &house).await;
    tab_to(&mut browser, "Change Ann").await;
    press(&mut browser, "Enter").await;
    house.emulator.user("ann").leaves();
    lists_the_truth(&mut browser, &house).await;
    tab_to(&mut browser, "Move").await;
    press(&mut browser, "Enter").await;
    says(&mut browser, "in no room of the guild").await;
    bot.finish().await;
    browser.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_no_good_is_said_to_be() {
    let house = house().await;
    let mut browser = Process::browser();
    let url = |token: &str| format!("http://{}/#token={token}", house.api());
    let deaf = Token { scope: "rooms:read".to_owned(), ..Token::default() };
    let expired = Token::expired_for(std::time::Duration::from_secs(3_600));
    for (token, text) in [
        ("not.a.token".to_owned(), "does not accept this token"),
        (Issuer::get().sign(&expired), "has expired"),
        (Issuer::get().sign(&deaf), "events:read"),
    ] {
        browser.ask(json!({"do": "open", "url": url(&token)})).await;
        says(&mut browser, text).await;
    }
    // It asks for another one, and the right one opens the page.
    tab_to(&mut browser, "token").await;
    type_in(&mut browser, &house.token()).await;
    press(&mut browser, "Enter").await;
    lists_the_truth(&mut browser, &house).await;

    // Who may not write sees no buttons for it.
    let reader = Token { scope: "rooms:read events:read".to_owned(), ..Token::default() };
    browser.ask(json!({"do": "open", "url": url(&Issuer::get().sign(&reader))})).await;
    lists_the_truth(&mut browser, &house).await;
    let buttons = browser.ask(json!({"do": "controls"})).await;
    assert_eq!(buttons["controls"], json!(["Sign out"]));
    browser.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_to_complain_about() {
    let mut browser = Process::browser();
    for scheme in ["light", "dark"] {
        for width in [1280, 390] {
            let house = house().await;
            house.emulator.user("ann").joins(LOBBY).mutes(true).films(true);
            house.emulator.user("bob").joins(LOBBY).deafens(true).gets_muted(true);
            let open = |url: String| json!({"do": "open", "url": url, "scheme": scheme, "width": width});
            let at = format!("{scheme} at {width}");

            browser.ask(open(format!("http://{}/#token=not.a.token", house.api()))).await;
            says(&mut browser, "does not accept this token").await;
            complains_of_nothing(&mut browser, &format!("signing in, {at}")).await;

            browser.ask(open(link(&house))).await;
            lists_the_truth(&mut browser, &house).await;
            house.emulator.user("cleo").joins(GAMES);
            lists_the_truth(&mut browser, &house).await;
            complains_of_nothing(&mut browser, &format!("the rooms, {at}")).await;

            tab_to(&mut browser, "New room in Parlor Dev").await;
            press(&mut browser, "Enter").await;
            tab_to(&mut browser, "Create room").await;
            press(&mut browser, "Enter").await;
            says(&mut browser, "Some fields are not right").await;
            complains_of_nothing(&mut browser, &format!("a new room, {at}")).await;
            tab_to(&mut browser, "When it ends, who may see it, several at once").await;
            press(&mut browser, "Enter").await;
            for (field, text) in [("max_duration", "2h"), ("count", "3"), ("display_name", "Table")] {
                tab_to(&mut browser, field).await;
                type_in(&mut browser, text).await;
            }
            complains_of_nothing(&mut browser, &format!("several rooms, {at}")).await;
            press(&mut browser, "Enter").await;
            says(&mut browser, "3 rooms were created").await;
            complains_of_nothing(&mut browser, &format!("rooms with a policy, {at}")).await;
            tab_to(&mut browser, "End several rooms in Parlor Dev").await;
            press(&mut browser, "Enter").await;
            complains_of_nothing(&mut browser, &format!("ending several, {at}")).await;
            press(&mut browser, "Escape").await;
            tab_to(&mut browser, "Change Table 1").await;
            press(&mut browser, "Enter").await;
            complains_of_nothing(&mut browser, &format!("changing a room, {at}")).await;
            press(&mut browser, "Escape").await;
            tab_to(&mut browser, "Change Bob").await;
            press(&mut browser, "Enter").await;
            complains_of_nothing(&mut browser, &format!("somebody, {at}")).await;
            press(&mut browser, "Escape").await;

            house.emulator.inject(Fault::RefuseConnections);
            house.emulator.inject(Fault::DropConnections);
            says(&mut browser, "connection to Discord").await;
            complains_of_nothing(&mut browser, &format!("without Discord, {at}")).await;
        }
    }
    browser.finish().await;
}

async fn complains_of_nothing(browser: &mut Process, when: &str) {
    let audit = browser.ask(json!({"do": "audit"})).await;
    assert_eq!(audit["violations"], json!([]), "{when}");
    let content = browser.ask(json!({"do": "overflow"})).await;
    assert_eq!(content["pixels"], 0, "nothing is wider than the page: {when}");
}

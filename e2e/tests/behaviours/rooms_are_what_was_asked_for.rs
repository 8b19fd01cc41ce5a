//! Every field of a room reaches Discord and comes back; labels find rooms; batches end item by item.

use discord_emulator::{
    ANN, ChannelKind, Fault, GAMES, GENERAL, InviteCode, LOBBY, OTHER_GUILD, OverwriteTarget, PARLOR_DEV, Permissions,
    VOICE_CATEGORY,
};
use parlor_client::v1::{self, batch_create_rooms_result, batch_end_rooms_result};
use parlor_e2e::{House, Issuer, Process, Token};
use prost_types::FieldMask;
use serde_json::json;
use tonic::Code;

fn everything() -> v1::CreateRoomRequest {
    v1::CreateRoomRequest {
        guild_id: PARLOR_DEV.to_string(),
        display_name: "Film club".to_owned(),
        category_id: VOICE_CATEGORY.to_string(),
        user_limit: 12,
        bitrate_bps: 96_000,
        region: "rotterdam".to_owned(),
        video_quality: v1::VideoQuality::Full.into(),
        status: "The Third Man".to_owned(),
        private: Some(v1::PrivateRoom { user_ids: vec![ANN.to_string()], role_ids: Vec::new() }),
        labels: [("team".to_owned(), "films".to_owned())].into(),
        policy: Some(v1::RoomPolicy {
            max_duration: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_reaches_discord() {
    let house = House::start().await;
    let discord = &house.emulator;
    let parlor = house.parlor().await;
    let mut watcher = house.watch().await;
    let room = parlor.create_room(everything()).await.expect("made");
    assert_eq!((room.category_id.as_str(), room.user_limit), (VOICE_CATEGORY.to_string().as_str(), 12));
    assert_eq!((room.bitrate_bps, room.region.as_str()), (96_000, "rotterdam"));
    assert_eq!((room.video_quality(), room.status.as_str()), (v1::VideoQuality::Full, "The Third Man"));
    assert_eq!((room.labels["team"].as_str(), room.created_by.as_str()), ("films", "tester"));
    assert_eq!(room.policy, everything().policy);

    let bot = discord.bot(house.bot_token()).expect("it is logged in");
    discord.world(|world| {
        let channel = world.channel(room.room_id.parse().expect("an id")).expect("it is there").clone();
        let ChannelKind::Voice(voice) = &channel.kind else { panic!("a voice room") };
        assert_eq!((voice.bitrate, voice.user_limit), (96_000, 12));
        assert_eq!((voice.rtc_region.as_deref(), voice.video_quality_mode), (Some("rotterdam"), 2));
        assert_eq!(voice.status.as_deref(), Some("The Third Man"));
        let guild = world.guild(PARLOR_DEV).expect("there");
        let may_enter =
            |user| guild.permissions_in(user, &channel).contains(Permissions::VIEW_CHANNEL | Permissions::CONNECT);
        assert!(may_enter(ANN) && may_enter(bot));
        assert!(!may_enter(discord_emulator::BOB), "it is private");
    });
    assert_eq!(parlor.get_room(&room.room_id).await.expect("there"), room);
    watcher.until_it_sees_the_truth(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mask_names_is_changed_and_nothing_else() {
    let mut house = House::start().await;
    let mut bot = Process::bot(&house, "node/discord_bot.mjs", "a.discord.js.bot").await;
    let parlor = house.parlor().await;
    // discord.js does not see into a private one.
    let room = parlor.create_room(v1::CreateRoomRequest { private: None, ..everything() }).await.expect("made");
    let change = v1::UpdateRoomRequest {
        room_id: room.room_id.clone(),
        update_mask: Some(FieldMask {
            paths: ["display_name", "region", "status", "labels"].map(str::to_owned).into(),
        }),
        display_name: "Book club".to_owned(),
        user_limit: 3,
        labels: [("team".to_owned(), "books".to_owned())].into(),
        request_id: "22222222-2222-4222-8222-222222222222".to_owned(),
        ..Default::default()
    };
    let changed = parlor.rooms().update_room(change.clone()).await.expect("changed").into_inner();
    let now = changed.room.clone().expect("a room");
    let expected = v1::Room {
        display_name: "Book club".to_owned(),
        region: String::new(),
        status: String::new(),
        labels: [("team".to_owned(), "books".to_owned())].into(),
        ..room.clone()
    };
    assert_eq!(now, expected);
    let found = bot.ask(json!({"do": "permissions", "channel": room.room_id})).await;
    assert_eq!(found["done"], "permissions", "discord.js still finds it");
    house.emulator.world(|world| assert_eq!(world.channels_named("Book club").count(), 1));

    // A repeat is no second change, also after a restart; Discord counts the changes of a name.
    house.restart_server().await;
    let parlor = house.parlor().await;
    let before = house.emulator.stats().rest_total();
    assert_eq!(parlor.rooms().update_room(change.clone()).await.expect("kept").into_inner(), changed);
    assert_eq!(house.emulator.stats().rest_total(), before);
    let other = v1::UpdateRoomRequest { display_name: "Other".to_owned(), ..change };
    let refused = parlor.rooms().update_room(other).await.expect_err("reused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(parlor.get_room(&room.room_id).await.expect("there"), now, "all of it outlives the process");

    let foreign = v1::UpdateRoomRequest {
        room_id: LOBBY.to_string(),
        update_mask: Some(FieldMask { paths: vec!["user_limit".to_owned()] }),
        user_limit: 7,
        ..Default::default()
    };
    let refused = parlor.rooms().update_room(foreign.clone()).await.expect_err("not ours");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let forced = v1::UpdateRoomRequest { force: true, ..foreign };
    let lobby = parlor.rooms().update_room(forced).await.expect("ops may").into_inner().room.expect("a room");
    assert_eq!((lobby.user_limit, lobby.managed), (7, false));
    bot.finish().await;
}

/// A change of who may do what in a room.
fn access(room: &v1::Room, paths: &[&str]) -> v1::UpdateRoomRequest {
    v1::UpdateRoomRequest {
        room_id: room.room_id.clone(),
        update_mask: Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
        audit_log_reason: "closed meeting".to_owned(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_closed_opened_and_handed_out_anew() {
    let house = House::start().await;
    let mut bot = Process::bot(&house, "node/discord_bot.mjs", "a.discord.js.bot").await;
    let parlor = house.parlor().await;
    let room = parlor.create_room(v1::CreateRoomRequest { private: None, ..everything() }).await.expect("made");
    let sees = json!({"do": "permissions", "channel": room.room_id});
    assert_eq!(bot.ask(sees.clone()).await["done"], "permissions", "it is open");
    let entrants = || {
        house.emulator.world(|world| {
            let channel = world.channel(room.room_id.parse().expect("an id")).expect("it is there");
            let guild = world.guild(PARLOR_DEV).expect("there");
            let may = |user, what| guild.permissions_in(user, channel).contains(what);
            let entry = Permissions::VIEW_CHANNEL | Permissions::CONNECT;
            (may(ANN, entry), may(discord_emulator::BOB, entry), may(discord_emulator::BOB, Permissions::SPEAK))
        })
    };
    assert_eq!(entrants(), (true, true, true));

    let ann = v1::PrivateRoom { user_ids: vec![ANN.to_string()], role_ids: Vec::new() };
    let close = v1::UpdateRoomRequest { private: Some(ann.clone()), ..access(&room, &["private"]) };
    let closed = parlor.rooms().update_room(close.clone()).await.expect("closed").into_inner().room.expect("a room");
    assert_eq!(closed, room, "nothing else has changed");
    // Whoever may not enter may not speak either.
    assert_eq!(entrants(), (true, false, false));
    let noted = bot.until(|line| line["kind"] == "ChannelOverwriteCreate").await;
    assert!(noted["reason"].as_str().expect("a reason").starts_with("closed meeting [parlor:"), "{noted}");
    assert_eq!(bot.fails(sees.clone()).await["code"], 50_001, "discord.js is shut out");
    // The bot has let itself in, so it still changes the room.
    let rename = v1::UpdateRoomRequest { user_limit: 3, ..access(&room, &["user_limit"]) };
    parlor.rooms().update_room(rename).await.expect("changed");

    // Open again is as its category is now, not open to everybody.
    let category = json!({"do": "overwrite", "channel": VOICE_CATEGORY.to_string(), "user": ANN.to_string(),
        "permissions": {"Connect": false}});
    bot.ask(category).await;
    parlor.rooms().update_room(access(&room, &["private"])).await.expect("opened");
    assert_eq!(entrants(), (false, true, true));
    assert_eq!(bot.ask(sees).await["done"], "permissions", "discord.js sees it again");
    // Without a category it is as the guild's roles say.
    let alone = access(&room, &["category_id", "permission_overwrites"]);
    parlor.rooms().update_room(alone).await.expect("taken out");
    assert_eq!(entrants(), (true, true, true));

    let silent = v1::PermissionOverwrite {
        id: PARLOR_DEV.to_string(),
        kind: v1::permission_overwrite::Kind::Role.into(),
        deny: vec!["SPEAK".to_owned()],
        ..Default::default()
    };
    let silence =
        v1::UpdateRoomRequest { permission_overwrites: vec![silent], ..access(&room, &["permission_overwrites"]) };
    parlor.rooms().update_room(silence.clone()).await.expect("silenced");
    assert_eq!(entrants(), (true, true, false));

    let both = access(&room, &["private", "permission_overwrites"]);
    assert_eq!(parlor.rooms().update_room(both).await.expect_err("both").code(), Code::InvalidArgument);
    let mut beyond = silence;
    beyond.permission_overwrites[0].allow = vec!["FLY".to_owned()];
    let refused = parlor_client::CallError::from(parlor.rooms().update_room(beyond).await.expect_err("no permission"));
    assert_eq!(refused.wrong_fields[0].0, "permission_overwrites[0].allow");
    bot.finish().await;
}

/// A guild's snapshot has no status lines, so Parlor asks for them.
#[tokio::test(flavor = "multi_thread")]
async fn status_lines_are_those_of_now_after_a_session_was_lost() {
    let mut house = House::start().await;
    let set = |house: &House, room, status: Option<&str>| {
        house.emulator.world(|world| world.set_voice_status(room, status));
    };
    let status = |picture: &parlor_client::Picture, room: discord_emulator::ChannelId| {
        picture.rooms().find(|one| one.room_id == room.to_string()).map(|one| one.status.clone())
    };
    set(&house, LOBBY, Some("chess"));
    let mut watcher = house.watch().await;
    watcher.until(|picture| status(picture, LOBBY).as_deref() == Some("chess")).await;

    house.stop_server().await;
    set(&house, LOBBY, None);
    set(&house, GAMES, Some("go"));
    house.emulator.inject(Fault::KillSessions);
    house.restart_server().await;
    let now = |picture: &parlor_client::Picture| (status(picture, LOBBY), status(picture, GAMES));
    let mut watcher = house.watch().await;
    watcher.until(|picture| now(picture) == (Some(String::new()), Some("go".to_owned()))).await;

    // Without the process having ended, too.
    set(&house, GAMES, Some("bridge"));
    house.emulator.inject(Fault::InvalidateSession { resumable: false });
    set(&house, LOBBY, Some("darts"));
    watcher.until(|picture| now(picture) == (Some("darts".to_owned()), Some("bridge".to_owned()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guilds_boosts_bound_the_bitrate_before_discord_is_asked() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let before = house.emulator.stats().rest_total();
    let request = v1::CreateRoomRequest { bitrate_bps: 384_000, ..everything() };
    let error = parlor.create_room(request).await.expect_err("no boosts");
    assert_eq!((error.code, error.reason.as_deref()), (Code::InvalidArgument, Some("INVALID_ARGUMENT")));
    assert_eq!(house.emulator.stats().rest_total(), before);
}

fn plain(name: &str, team: &str) -> v1::CreateRoomRequest {
    v1::CreateRoomRequest {
        guild_id: PARLOR_DEV.to_string(),
        display_name: name.to_owned(),
        labels: [("team".to_owned(), team.to_owned())].into(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_ends_item_by_item_and_is_safe_to_repeat() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let batch = v1::BatchCreateRoomsRequest {
        requests: vec![
            plain("One", "a"),
            plain("", "a"),
            plain("Three", "b"),
            v1::CreateRoomRequest { guild_id: "1100000000000099999".to_owned(), ..plain("Four", "b") },
        ],
        request_id: "33333333-3333-4333-8333-333333333333".to_owned(),
    };
    let answer = parlor.rooms().batch_create_rooms(batch.clone()).await.expect("answered").into_inner();
    let outcomes: Vec<String> = answer
        .results
        .iter()
        .map(|result| match result.outcome.as_ref().expect("an outcome") {
            batch_create_rooms_result::Outcome::Created(created) => {
                created.room.as_ref().expect("a room").display_name.clone()
            }
            batch_create_rooms_result::Outcome::Failure(failure) => {
                let fields = failure.field_violations.iter().map(|wrong| wrong.field.as_str());
                format!("{} {} {}", failure.code, failure.reason, fields.collect::<Vec<_>>().join(","))
            }
        })
        .collect();
    assert_eq!(outcomes, ["One", "3 INVALID_ARGUMENT display_name", "Three", "5 GUILD_UNKNOWN "]);
    let again = parlor.rooms().batch_create_rooms(batch).await.expect("answered").into_inner();
    assert_eq!(again, answer);
    assert_eq!(house.emulator.world(|world| world.channels_named("One").count()), 1);

    let listed = async |labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let rooms = parlor.list_rooms(v1::ListRoomsRequest { labels, ..Default::default() }).await.expect("listed");
        rooms.into_iter().map(|room| room.display_name).collect::<Vec<_>>()
    };
    assert_eq!(listed(&[("team", "a")]).await, ["One"]);
    assert_eq!(listed(&[("team", "c")]).await, Vec::<String>::new());

    let rooms = parlor.list_rooms(v1::ListRoomsRequest { managed_only: true, ..Default::default() }).await;
    let end = |id: String| v1::EndRoomRequest { room_id: id, ..Default::default() };
    let mut rooms = rooms.expect("listed");
    rooms.sort_by(|one, other| one.display_name.cmp(&other.display_name));
    let mut requests: Vec<_> = rooms.into_iter().map(|room| end(room.room_id)).collect();
    requests.insert(1, end(LOBBY.to_string()));
    let ended = parlor.rooms().batch_end_rooms(v1::BatchEndRoomsRequest { requests, ..Default::default() }).await;
    let outcomes: Vec<String> = ended
        .expect("answered")
        .into_inner()
        .results
        .into_iter()
        .map(|result| match result.outcome.expect("an outcome") {
            batch_end_rooms_result::Outcome::Ended(ended) => ended.room.expect("a room").display_name,
            batch_end_rooms_result::Outcome::Failure(failure) => failure.reason,
        })
        .collect();
    assert_eq!(outcomes, ["One", "ROOM_NOT_MANAGED", "Three"]);
    let too_many = v1::BatchEndRoomsRequest { requests: vec![end(LOBBY.to_string()); 26], ..Default::default() };
    assert_eq!(parlor.rooms().batch_end_rooms(too_many).await.expect_err("26").code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_listed_page_by_page_and_messages_reach_them() {
    let house = House::start().await;
    let scope = "rooms:read messages:write".to_owned();
    let parlor = house.parlor_with(&Issuer::get().sign(&Token { scope: scope.clone(), ..Token::default() })).await;
    let mut request = v1::ListChannelsRequest { guild_id: PARLOR_DEV.to_string(), page_size: 2, ..Default::default() };
    let mut channels = Vec::new();
    loop {
        let page = parlor.rooms().list_channels(request.clone()).await.expect("listed").into_inner();
        assert!(page.channels.len() <= 2);
        channels.extend(page.channels);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let there = house.emulator.world(|world| world.guild(PARLOR_DEV).expect("there").channels.len());
    assert_eq!(channels.len(), there);
    let kind_of = |id: String| channels.iter().find(|channel| channel.channel_id == id).map(v1::Channel::kind);
    assert_eq!(kind_of(GENERAL.to_string()), Some(v1::ChannelKind::Text));
    assert_eq!(kind_of(LOBBY.to_string()), Some(v1::ChannelKind::Voice));
    assert_eq!(kind_of(VOICE_CATEGORY.to_string()), Some(v1::ChannelKind::Category));

    let message = |channel: String, guild: String, number: u32| v1::SendMessageRequest {
        channel_id: channel,
        guild_id: guild,
        content: format!("Message {number} @everyone"),
        request_id: format!("44444444-4444-4444-8444-{number:012}"),
        ..Default::default()
    };
    let to_room = message(LOBBY.to_string(), String::new(), 1);
    let sent = parlor.rooms().send_message(to_room.clone()).await.expect("sent").into_inner();
    assert_eq!(parlor.rooms().send_message(to_room).await.expect("kept").into_inner(), sent);
    let to_text = message(GENERAL.to_string(), PARLOR_DEV.to_string(), 2);
    parlor.rooms().send_message(to_text).await.expect("sent");
    let counts = house.emulator.world(|world| (world.messages(LOBBY).len(), world.messages(GENERAL).len()));
    assert_eq!(counts, (1, 1));

    // A guild that is named is no way into another one.
    let only_other = Token { guilds: vec![OTHER_GUILD.to_string()], scope, ..Token::default() };
    let stranger = house.parlor_with(&Issuer::get().sign(&only_other)).await;
    let foreign = message(GENERAL.to_string(), OTHER_GUILD.to_string(), 3);
    assert_eq!(stranger.rooms().send_message(foreign).await.expect_err("foreign").code(), Code::NotFound);
    let foreign = message(LOBBY.to_string(), OTHER_GUILD.to_string(), 4);
    assert_eq!(stranger.rooms().send_message(foreign).await.expect_err("foreign").code(), Code::PermissionDenied);
    assert_eq!(house.emulator.world(|world| world.messages(GENERAL).len()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn overwrites_private_roles_and_invites_are_as_discord_sees_them() {
    let house = House::start().await;
    let discord = &house.emulator;
    let parlor = house.parlor().await;
    let bot = discord.bot(house.bot_token()).expect("it is logged in");
    let (everyone, role) = discord.world(|world| {
        let roles = &world.guild(PARLOR_DEV).expect("there").roles;
        let role = roles.values().find(|role| role.bot_id.is_some()).expect("the bot has one");
        (PARLOR_DEV.everyone(), role.id)
    });
    let overwrites_of = |room: &v1::Room| {
        let id = room.room_id.parse().expect("an id");
        let overwrites = discord.world(|world| world.channel(id).expect("it is there").overwrites.clone());
        overwrites.into_iter().map(|one| (one.target, one.allow, one.deny)).collect::<Vec<_>>()
    };
    let (none, entry) = (Permissions::NONE, Permissions::VIEW_CHANNEL | Permissions::CONNECT);

    let overwrite = |id: String, kind: v1::permission_overwrite::Kind, allow: &[&str], deny: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        v1::PermissionOverwrite { id, kind: kind.into(), allow: names(allow), deny: names(deny) }
    };
    let kinds = (v1::permission_overwrite::Kind::Role, v1::permission_overwrite::Kind::Member);
    let quiet = v1::CreateRoomRequest {
        private: None,
        permission_overwrites: vec![
            overwrite(everyone.to_string(), kinds.0, &[], &["SPEAK"]),
            overwrite(ANN.to_string(), kinds.1, &["SPEAK", "MUTE_MEMBERS"], &["DEAFEN_MEMBERS"]),
        ],
        ..everything()
    };
    let quiet = parlor.create_room(quiet).await.expect("made");
    let (may, may_not) = (Permissions::SPEAK | Permissions::MUTE_MEMBERS, Permissions::DEAFEN_MEMBERS);
    let everybody = (OverwriteTarget::Role(everyone), none, Permissions::SPEAK);
    assert_eq!(overwrites_of(&quiet), [everybody, (OverwriteTarget::Member(ANN), may, may_not)]);

    let private = v1::PrivateRoom { user_ids: vec![ANN.to_string()], role_ids: vec![role.to_string()] };
    let private = parlor.create_room(v1::CreateRoomRequest { private: Some(private), ..everything() }).await;
    let found = overwrites_of(&private.expect("made"));
    for wanted in [
        (OverwriteTarget::Role(everyone), none, entry),
        (OverwriteTarget::Role(role), entry, none),
        (OverwriteTarget::Member(ANN), entry, none),
        (OverwriteTarget::Member(bot), entry, none),
    ] {
        assert!(found.contains(&wanted), "{wanted:?} is not among {found:?}");
    }
    assert_eq!(found.len(), 4);

    let asked = v1::InviteOptions {
        max_age: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
        max_uses: 3,
        temporary: true,
    };
    let for_ever = v1::InviteOptions::default();
    for (options, age, uses) in [(asked, 3_600, 3), (for_ever, 0, 0)] {
        let request = v1::CreateRoomRequest { private: None, invite: Some(options), ..everything() };
        let made = parlor.rooms().create_room(request).await.expect("made").into_inner();
        let (room, invite) = (made.room.expect("a room"), made.invite.expect("an invite"));
        assert_eq!(invite.url, format!("https://discord.gg/{}", invite.code));
        assert_eq!(invite.expires_at.is_some(), age > 0);
        let seen = discord.world(|world| world.invite(&InviteCode::new(&invite.code)).expect("it is there").clone());
        assert_eq!(seen.channel_id.to_string(), room.room_id);
        assert_eq!((seen.terms.max_age.as_secs(), seen.terms.max_uses), (age, uses));
        assert_eq!(seen.terms.temporary, options.temporary);
    }
}

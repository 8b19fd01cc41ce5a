//! Each operation, and what Discord makes of it.

use discord_emulator::{ANN, GAMES, GENERAL, LOBBY, Permissions, RestLimits, VOICE_CATEGORY};
use parlor_gateway::{
    CategoryId, ChannelId, RoleId, RoomId, RoomKind, UserId, VideoQuality,
    rest::{
        AuditAction, AuditQuery, ChannelKind, MemberChange, NewMessage, NewRoom, Overwrite, OverwriteTarget, Refusal,
        Rest, RestError, RoomChange, VoiceMove,
        permission::{Permission, PermissionSet},
    },
};

use crate::{GUILD, ann, discord, room};

const USER: UserId = UserId::new(ANN.get());

fn refusal_of<T: std::fmt::Debug>(outcome: Result<T, RestError>) -> Refusal {
    match outcome {
        Err(RestError::Refused { refusal, .. }) => refusal,
        other => panic!("{other:?} is no refusal"),
    }
}

fn only_ann() -> Vec<Overwrite> {
    let join: PermissionSet = [Permission::ViewChannel, Permission::Connect].into_iter().collect();
    let everybody = OverwriteTarget::Role(RoleId::new(GUILD.get()));
    vec![
        Overwrite { target: everybody, allow: PermissionSet::default(), deny: join },
        Overwrite { target: OverwriteTarget::Member(USER), allow: join, deny: PermissionSet::default() },
    ]
}

#[tokio::test]
async fn a_room_from_its_making_to_its_end() {
    let (_emulator, rest) = discord(RestLimits::unlimited()).await;
    let wanted = NewRoom {
        category: Some(CategoryId::new(VOICE_CATEGORY.get())),
        user_limit: 9,
        bitrate: Some(96_000),
        rtc_region: Some("rotterdam".to_owned()),
        video_quality: Some(VideoQuality::Full),
        ..room("Film night")
    };
    let made = rest.create_room(&wanted, "für Ann [parlor:1]", &ann()).await.expect("made");
    assert_eq!((made.name.as_str(), made.kind), ("Film night", ChannelKind::Room(RoomKind::Voice)));
    assert_eq!((made.category, made.user_limit, made.bitrate), (wanted.category, 9, 96_000));
    assert_eq!((made.rtc_region.as_deref(), made.video_quality), (Some("rotterdam"), VideoQuality::Full));
    let id = RoomId::new(made.id.get());

    let change = RoomChange {
        name: Some("Quiet".to_owned()),
        category: Some(None),
        rtc_region: Some(None),
        ..RoomChange::default()
    };
    let changed = rest.change_room(GUILD, id, &change, "calm", &ann()).await.expect("changed");
    assert_eq!((changed.name.as_str(), changed.category, changed.rtc_region), ("Quiet", None, None));
    assert_eq!(changed.user_limit, 9, "what is not named stays");
    rest.set_status(GUILD, id, Some("On air"), "news", &ann()).await.expect("set");

    let [everybody, for_ann] = <[Overwrite; 2]>::try_from(only_ann()).expect("two");
    rest.put_overwrite(GUILD, made.id, &for_ann, "private", &ann()).await.expect("set");
    rest.delete_overwrite(GUILD, made.id, for_ann.target, "private", &ann()).await.expect("removed");
    // What everybody loses the bot loses, too: without View Channel it would lock itself out.
    let everybody = Overwrite { deny: [Permission::SendMessages].into_iter().collect(), ..everybody };
    rest.put_overwrite(GUILD, made.id, &everybody, "private", &ann()).await.expect("set");
    let seen = rest.get_channel(GUILD, made.id, &ann()).await.expect("there");
    assert_eq!(seen.overwrites, [everybody]);
    let listed = rest.list_channels(GUILD, &ann()).await.expect("a list");
    assert!(listed.contains(&seen) && listed.iter().any(|channel| channel.kind == ChannelKind::Category));

    rest.delete_room(GUILD, id, "over", &ann()).await.expect("deleted");
    assert_eq!(refusal_of(rest.delete_room(GUILD, id, "over", &ann()).await), Refusal::UnknownChannel);
}

#[tokio::test]
async fn the_audit_log_tells_who_made_a_room_and_why() {
    let (emulator, rest) = discord(RestLimits::unlimited()).await;
    let made = rest.create_room(&room("Ours"), "für Ann [parlor:1]", &ann()).await.expect("made");
    rest.delete_room(GUILD, RoomId::new(made.id.get()), "over", &ann()).await.expect("deleted");
    let bot = rest.current_user(&ann()).await.expect("the bot").id;
    assert_eq!(Some(bot.get()), emulator.bot("a-bot").map(discord_emulator::UserId::get));
    let query = AuditQuery { action: AuditAction::ChannelCreate, by: Some(bot), before: None, limit: 10 };
    let entries = rest.audit_log(GUILD, &query, &ann()).await.expect("entries");
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((entry.channel, entry.by, entry.action), (made.id, Some(bot), AuditAction::ChannelCreate));
    assert_eq!(entry.reason.as_deref(), Some("für Ann [parlor:1]"));
}

#[tokio::test]
async fn a_private_room_is_private_from_its_first_moment() {
    let (_emulator, rest) = discord(RestLimits::unlimited()).await;
    let made = rest.create_room(&NewRoom { overwrites: only_ann(), ..room("Private") }, "why", &ann()).await;
    let mut overwrites = made.expect("made").overwrites;
    overwrites.sort_by_key(|overwrite| overwrite.target);
    assert_eq!(overwrites, only_ann());
}

#[tokio::test]
async fn members_are_moved_silenced_and_shown_out() {
    let (emulator, rest) = discord(RestLimits::unlimited()).await;
    let change = |change| {
        let rest: &Rest = &rest;
        async move { rest.change_member(GUILD, USER, change, "rules", &ann()).await }
    };
    let mute = MemberChange { mute: Some(true), ..MemberChange::default() };
    assert_eq!(refusal_of(change(mute).await), Refusal::NotInVoice);
    assert_eq!(refusal_of(rest.voice_state(GUILD, USER, &ann()).await), Refusal::UnknownVoiceState);
    emulator.user("ann").joins(LOBBY);
    change(mute).await.expect("muted");
    let games = RoomId::new(GAMES.get());
    change(MemberChange { voice: Some(VoiceMove::To(games)), ..MemberChange::default() }).await.expect("moved");
    let state = rest.voice_state(GUILD, USER, &ann()).await.expect("in voice");
    assert_eq!((state.room, state.flags.mute, state.flags.deaf), (Some(games), true, false));
    change(MemberChange { voice: Some(VoiceMove::Out), ..MemberChange::default() }).await.expect("shown out");
    assert!(emulator.who_is_where(discord_emulator::PARLOR_DEV).values().all(std::collections::BTreeSet::is_empty));
}

#[tokio::test]
async fn messages_regions_and_the_gateway() {
    let (emulator, rest) = discord(RestLimits::unlimited()).await;
    let general = ChannelId::new(GENERAL.get());
    let message = NewMessage { content: "It begins".to_owned(), nonce: None, notifies: vec![USER] };
    let posted = rest.send_message(GUILD, general, &message, &ann()).await.expect("sent");
    assert_eq!(posted.channel, general);
    let regions = rest.voice_regions(&ann()).await.expect("regions");
    assert!(regions.iter().any(|region| region.id == "rotterdam" && !region.deprecated));
    let gateway = rest.gateway(ann().deadline).await.expect("an address");
    assert_eq!(gateway.url, emulator.gateway_url().trim_end_matches('/'));
}

#[tokio::test]
async fn what_the_bot_lacks_is_named_and_not_asked_for_again() {
    let config = discord_emulator::Config {
        rest: RestLimits::unlimited(),
        bot_permissions: Permissions::ALL.without(Permissions::ADMINISTRATOR).without(Permissions::MANAGE_CHANNELS),
        ..Default::default()
    };
    let emulator = discord_emulator::Emulator::start(config).await.expect("a free port");
    let rest = Rest::new(&emulator.rest_url(), &secrecy::SecretString::from("a-bot")).expect("a client");
    for _ in 0..3 {
        let refusal = refusal_of(rest.create_room(&room("No"), "why", &ann()).await);
        let Refusal::MissingPermissions { needs } = refusal else { panic!("{refusal:?}") };
        assert!(needs.contains(&Permission::ManageChannels));
    }
    assert_eq!(emulator.stats().rest["POST /guilds/{guild.id}/channels"], 1);
}

#[tokio::test]
async fn wrong_fields_are_named() {
    let (_emulator, rest) = discord(RestLimits::unlimited()).await;
    let wrong = NewRoom { rtc_region: Some("atlantis".to_owned()), ..room("Nowhere") };
    let refusal = refusal_of(rest.create_room(&wrong, "why", &ann()).await);
    let Refusal::InvalidForm { fields } = refusal else { panic!("{refusal:?}") };
    assert_eq!(fields.iter().map(|field| field.field.as_str()).collect::<Vec<_>>(), ["rtc_region"]);
}

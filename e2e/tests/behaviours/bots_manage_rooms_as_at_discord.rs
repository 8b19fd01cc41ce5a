//! discord.js and discord.py, unmodified, do with the emulated Discord what a room's life needs: category, overwrites,
//! status, invite, webhook, moderation and the audit log. They see each other's deeds and agree on what they may do.

use std::collections::BTreeSet;

use discord_emulator::{
    ANN, BOB, ChannelEdit, ChannelId, GAMES, InviteCode, LOBBY, Message, Overwrite, OverwriteTarget, PARLOR_DEV,
    Permissions, RateLimit, RestFault, RestTrouble, UserId,
};
use parlor_e2e::{House, Process};
use serde_json::{Value, json};

const JS: &str = "a.discord.js.bot";
const PY: &str = "a.discord.py.bot";
const CREATE: &str = "POST /guilds/{guild.id}/channels";

fn id(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_else(|| panic!("{field} in {answer}")).to_owned()
}

fn channel_id(text: &str) -> ChannelId {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn discord_js_keeps_house() {
    let house = House::start().await;
    let discord = &house.emulator;
    let guild = PARLOR_DEV.to_string();
    let mut bot = Process::bot(&house, "node/discord_bot.mjs", JS).await;
    let own = discord.bot(JS).unwrap();

    let hall = id(
        &bot.ask(json!({"do": "create_channel", "guild": guild, "name": "Hall", "kind": "category"})).await,
        "channel",
    );
    let overwrites = json!([
        {"id": guild, "type": 0, "deny": ["ViewChannel"]},
        {"id": own, "type": 1, "allow": ["ViewChannel", "Connect"]},
        {"id": ANN, "type": 1, "allow": ["ViewChannel", "Connect"]},
    ]);
    let made = bot
        .ask(json!({"do": "create_channel", "guild": guild, "name": "Private", "category": hall, "limit": 3,
            "bitrate": 96_000, "overwrites": overwrites, "reason": "für Ann"}))
        .await;
    let room = id(&made, "channel");
    discord.world(|world| {
        let channel = world.channel(channel_id(&room)).unwrap();
        assert_eq!(channel.parent_id, Some(channel_id(&hall)));
        let guild = world.guild(PARLOR_DEV).unwrap();
        assert!(guild.permissions_in(ANN, channel).contains(Permissions::CONNECT));
        assert!(!guild.permissions_in(BOB, channel).contains(Permissions::VIEW_CHANNEL));
    });
    let audit = bot.ask(json!({"do": "audit_log", "guild": guild, "kind": "ChannelCreate"})).await;
    assert_eq!(audit["entries"][0]["reason"], "für Ann");
    assert_eq!(
        (audit["entries"][0]["user"].as_str(), &audit["entries"][0]["target"]),
        (Some(own.to_string().as_str()), &made["channel"])
    );
    let told = bot.until(|line| line["event"] == "auditLogEntryCreate" && line["target"] == made["channel"]).await;
    assert!(told["keys"].as_array().unwrap().contains(&json!("user_limit")), "{told}");

    let edited = bot.ask(json!({"do": "edit_channel", "channel": room, "name": "Renamed", "limit": 5})).await;
    assert_eq!((&edited["name"], &edited["limit"]), (&json!("Renamed"), &json!(5)));
    bot.ask(json!({"do": "overwrite", "channel": room, "user": BOB, "permissions": {"ViewChannel": true}})).await;
    bot.ask(json!({"do": "clear_overwrite", "channel": room, "user": ANN, "reason": "left"})).await;
    discord.world(|world| {
        let overwrites = &world.channel(channel_id(&room)).unwrap().overwrites;
        let members: BTreeSet<UserId> = overwrites
            .iter()
            .filter_map(|each| match each.target {
                OverwriteTarget::Member(user) => Some(user),
                OverwriteTarget::Role(_) => None,
            })
            .collect();
        assert_eq!(members, [own, BOB].into());
    });
    bot.ask(json!({"do": "status", "channel": room, "text": "Chess", "reason": "announced"})).await;
    discord.world(|world| {
        let channel = world.channel(channel_id(&room)).unwrap();
        assert_eq!(channel.kind.voice().unwrap().status.as_deref(), Some("Chess"));
        assert_eq!(world.audit_log().last().unwrap().reason.as_deref(), Some("announced"));
    });

    invites_and_webhooks(&house, &mut bot, &room).await;

    discord.user("ann").joins(LOBBY);
    bot.ask(json!({"do": "moderate", "guild": guild, "user": ANN, "mute": true, "channel": GAMES, "reason": "noise"}))
        .await;
    let moved = bot.until(|line| line["event"] == "voiceStateUpdate" && line["to"] == json!(GAMES)).await;
    assert_eq!(moved["from"], json!(LOBBY));
    let audit = bot.ask(json!({"do": "audit_log", "guild": guild, "kind": "MemberMove"})).await;
    assert_eq!(audit["entries"][0]["reason"], "noise");
    bot.ask(json!({"do": "moderate", "guild": guild, "user": ANN, "channel": null})).await;
    bot.until(|line| line["event"] == "voiceStateUpdate" && line["to"] == "").await;
    let refused = bot.fails(json!({"do": "moderate", "guild": guild, "user": ANN, "mute": false})).await;
    assert_eq!((&refused["status"], &refused["code"]), (&json!(400), &json!(40_032)));
    let refused = bot.fails(json!({"do": "create_channel", "guild": guild, "name": "x", "limit": 100})).await;
    assert_eq!(refused["code"], 50_035);
    assert!(id(&refused, "message").contains("user_limit"), "{refused}");
    bot.finish().await;
}

async fn invites_and_webhooks(house: &House, bot: &mut Process, room: &str) {
    let discord = &house.emulator;
    let invite = bot.ask(json!({"do": "invite", "channel": room, "max_age": 600, "max_uses": 1})).await;
    let code = id(&invite, "invite");
    bot.until(|line| line["event"] == "inviteCreate" && line["invite"] == invite["invite"]).await;
    let seen = bot.ask(json!({"do": "find_invite", "invite": code})).await;
    assert_eq!(seen["channel"], room);
    let expires = discord.world(|world| world.invite(&InviteCode::new(&code)).unwrap().expires_at().unwrap());
    assert_eq!(invite["expires"], expires.unix_millis());
    bot.ask(json!({"do": "delete_invite", "invite": code})).await;
    bot.until(|line| line["event"] == "inviteDelete" && line["invite"] == invite["invite"]).await;
    let gone = bot.fails(json!({"do": "find_invite", "invite": code})).await;
    assert_eq!(gone["code"], 10_006);

    let webhook = bot.ask(json!({"do": "webhook", "channel": room, "name": "Herald"})).await;
    bot.until(|line| line["event"] == "webhooksUpdate" && line["channel"] == room).await;
    let (hook, token) = (id(&webhook, "webhook"), id(&webhook, "token"));
    let all = bot.ask(json!({"do": "webhooks", "guild": PARLOR_DEV})).await;
    assert_eq!(all["webhooks"], json!([{"webhook": hook, "name": "Herald", "channel": room}]));
    let execute =
        json!({"do": "execute_webhook", "webhook": hook, "token": token, "text": "It begins", "name": "Referee"});
    let written = bot.ask(execute.clone()).await;
    assert_eq!((&written["channel"], &written["author"]), (&json!(room), &json!("Referee")));
    discord.world(|world| {
        let texts: Vec<&str> =
            world.messages(channel_id(room)).iter().map(|message: &Message| message.content.as_str()).collect();
        assert_eq!(texts, ["It begins"]);
    });
    bot.ask(json!({"do": "delete_webhook", "webhook": hook})).await;
    let dead = bot.fails(execute).await;
    assert_eq!((&dead["status"], &dead["code"]), (&json!(404), &json!(10_015)));
    let named = bot.fails(json!({"do": "webhook", "channel": room, "name": "Discord news"})).await;
    assert_eq!(named["code"], 50_035);
}

#[tokio::test(flavor = "multi_thread")]
async fn discord_py_keeps_house() {
    let house = House::start().await;
    let discord = &house.emulator;
    let guild = PARLOR_DEV.to_string();
    let mut bot = Process::bot(&house, "python/discord_bot.py", PY).await;
    let hall = id(
        &bot.ask(json!({"do": "create_channel", "guild": guild, "name": "Hall", "kind": "category"})).await,
        "channel",
    );
    let made = bot
        .ask(json!({"do": "create_channel", "guild": guild, "name": "Room", "category": hall, "limit": 3,
            "bitrate": 96_000, "reason": "für Ann"}))
        .await;
    let room = id(&made, "channel");
    let audit = bot.ask(json!({"do": "audit_log", "guild": guild})).await;
    let entry =
        json!({"kind": "channel_create", "user": discord.bot(PY).unwrap(), "target": room, "reason": "für Ann"});
    assert_eq!(audit["entries"], json!([entry]));
    bot.ask(json!({"do": "overwrite", "channel": room, "user": BOB, "permissions": {"connect": false}})).await;
    bot.ask(json!({"do": "status", "channel": room, "text": "Chess"})).await;
    discord.world(|world| {
        let channel = world.channel(channel_id(&room)).unwrap();
        assert_eq!(channel.kind.voice().unwrap().status.as_deref(), Some("Chess"));
        assert!(!world.guild(PARLOR_DEV).unwrap().permissions_in(BOB, channel).contains(Permissions::CONNECT));
    });
    let invite = id(&bot.ask(json!({"do": "invite", "channel": room, "max_age": 600})).await, "invite");
    bot.ask(json!({"do": "delete_invite", "invite": invite})).await;
    let webhook = bot.ask(json!({"do": "webhook", "channel": room, "name": "Herald"})).await;
    let written = bot
        .ask(json!({"do": "execute_webhook", "webhook": webhook["webhook"], "token": webhook["token"], "text": "It begins",
            "name": "Referee"}))
        .await;
    assert_eq!((&written["channel"], &written["author"]), (&json!(room), &json!("Referee")));
    discord.user("ann").joins(LOBBY);
    bot.ask(json!({"do": "moderate", "guild": guild, "user": ANN, "mute": true, "channel": GAMES})).await;
    bot.until(|line| line["event"] == "voiceStateUpdate" && line["to"] == json!(GAMES)).await;
    let refused = bot.fails(json!({"do": "create_channel", "guild": guild, "name": ""})).await;
    assert_eq!((&refused["status"], &refused["code"]), (&json!(400), &json!(50_035)));
    bot.finish().await;
}

/// The same arithmetic three times: the emulator's, discord.js's and discord.py's.
#[tokio::test(flavor = "multi_thread")]
async fn the_libraries_compute_the_permissions_that_the_emulator_asks_for() {
    let house = House::start().await;
    let discord = &house.emulator;
    let bots = [JS, PY].map(|token| discord.bot(token).unwrap());
    let granted = Permissions::MANAGE_CHANNELS
        | Permissions::MANAGE_ROLES
        | Permissions::MANAGE_WEBHOOKS
        | Permissions::MUTE_MEMBERS
        | Permissions::MOVE_MEMBERS;
    let compared = granted | Permissions::EVERYONE | Permissions::DEAFEN_MEMBERS;
    discord.world(|world| bots.map(|bot| world.set_bot_permissions(PARLOR_DEV, bot, granted)));
    let (mut js, mut py) = tokio::join!(
        Process::bot(&house, "node/discord_bot.mjs", JS),
        Process::bot(&house, "python/discord_bot.py", PY),
    );
    let everyone = OverwriteTarget::Role(PARLOR_DEV.everyone());
    let (none, view, connect) = (Permissions::NONE, Permissions::VIEW_CHANNEL, Permissions::CONNECT);
    let voice = Permissions::SPEAK | Permissions::DEAFEN_MEMBERS;
    for overwrites in [
        vec![],
        vec![(everyone, none, voice)],
        vec![(everyone, voice, none)],
        vec![(everyone, none, connect)],
        vec![(everyone, none, view)],
        vec![
            (everyone, none, connect | voice),
            (OverwriteTarget::Member(bots[0]), connect, Permissions::MANAGE_WEBHOOKS),
        ],
        vec![(everyone, none, view), (OverwriteTarget::Member(bots[1]), view | voice, Permissions::MOVE_MEMBERS)],
    ] {
        let asked = discord.world(|world| {
            let as_overwrite =
                |(target, allow, deny): &(_, _, _)| Overwrite { target: *target, allow: *allow, deny: *deny };
            let list = overwrites.iter().map(as_overwrite).collect();
            world.edit_channel(LOBBY, ChannelEdit { overwrites: Some(list), ..ChannelEdit::default() }).unwrap();
            let guild = world.guild(PARLOR_DEV).unwrap();
            bots.map(|bot| guild.permissions_in(bot, world.channel(LOBBY).unwrap()))
        });
        for (bot, asked) in [&mut js, &mut py].into_iter().zip(asked) {
            let answer = bot.tell(&json!({"do": "permissions", "channel": LOBBY})).await;
            if !asked.contains(view) {
                assert_eq!(answer["code"], 50_001, "{overwrites:?}: {answer}");
                continue;
            }
            let computed = Permissions::from_bits(id(&answer, "permissions").parse().unwrap());
            // discord.js leaves it to its callers that nobody does anything in a room without CONNECT.
            let compared = if computed.contains(connect) { compared } else { connect };
            let differing = computed.difference(asked).bits() & compared.bits();
            assert_eq!(differing, 0, "{overwrites:?}: {:#x} and {:#x}", computed.bits(), asked.bits());
        }
    }
    js.finish().await;
    py.finish().await;
}

/// A 429 that a client obeys is a pause and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn both_libraries_wait_as_the_429_says() {
    let house = House::start().await;
    let discord = &house.emulator;
    let guild = PARLOR_DEV.to_string();
    let (mut js, mut py) = tokio::join!(
        Process::bot(&house, "node/discord_bot.mjs", JS),
        Process::bot(&house, "python/discord_bot.py", PY),
    );
    for bot in [&mut js, &mut py] {
        for limit in
            [RateLimit::Bucket, RateLimit::Global, RateLimit::Shared, RateLimit::Hidden, RateLimit::GuildWrites]
        {
            let retry_after = std::time::Duration::from_millis(150);
            discord.inject(RestFault::once(RestTrouble::RateLimit { limit, retry_after }).on(CREATE));
            bot.ask(json!({"do": "create_channel", "guild": guild, "name": format!("{limit:?}")})).await;
        }
    }
    assert_eq!(discord.stats().too_early, [].into());
    assert_eq!(discord.world(|world| world.guild(PARLOR_DEV).unwrap().channels.len()), 4 + 10);
    js.finish().await;
    py.finish().await;
}

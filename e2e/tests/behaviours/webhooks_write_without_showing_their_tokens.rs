//! WebhookService: what it writes is seen by discord.js, and the tokens are seen by nobody.

use discord_emulator::{ANN, Fault, GENERAL, LOBBY, OTHER_GUILD, OTHER_ROOM, PARLOR_DEV, RestAnswer};
use parlor_client::{CallError, v1};
use parlor_e2e::{House, Issuer, Process, Token};
use serde_json::json;
use tonic::Code;

fn create(channel: impl std::fmt::Display, name: &str) -> v1::CreateWebhookRequest {
    v1::CreateWebhookRequest {
        guild_id: PARLOR_DEV.to_string(),
        channel_id: channel.to_string(),
        display_name: name.to_owned(),
        ..Default::default()
    }
}

fn say(webhook: &str, content: &str) -> v1::ExecuteWebhookRequest {
    v1::ExecuteWebhookRequest {
        guild_id: PARLOR_DEV.to_string(),
        webhook_id: webhook.to_owned(),
        content: content.to_owned(),
        ..Default::default()
    }
}

fn delete(webhook: &str) -> v1::DeleteWebhookRequest {
    v1::DeleteWebhookRequest { guild_id: PARLOR_DEV.to_string(), webhook_id: webhook.to_owned(), ..Default::default() }
}

fn list() -> v1::ListWebhooksRequest {
    v1::ListWebhooksRequest { guild_id: PARLOR_DEV.to_string(), ..Default::default() }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, CallError>, code: Code, reason: &str) -> CallError {
    let error = outcome.expect_err("it is refused");
    assert_eq!((error.code, error.reason.as_deref()), (code, Some(reason)), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_writes_is_seen() {
    let house = House::start().await;
    let mut bot = Process::bot(&house, "node/discord_bot.mjs", "a.discord.js.bot").await;
    let parlor = house.parlor().await;
    for channel in [GENERAL, LOBBY] {
        let webhook = parlor.create_webhook(create(channel, "Builds")).await.expect("made");
        assert!(webhook.executable && webhook.kind() == v1::WebhookKind::Incoming, "{webhook:?}");
        bot.until(|line| line["event"] == "webhooksUpdate" && line["channel"] == channel.to_string()).await;
        let request = v1::ExecuteWebhookRequest {
            display_name: "Referee".to_owned(),
            avatar_url: "https://parlor.example/referee.png".to_owned(),
            mention_user_ids: vec![ANN.to_string()],
            ..say(&webhook.webhook_id, "your turn")
        };
        let written = parlor.execute_webhook(request).await.expect("written");
        assert_eq!(written.channel_id, channel.to_string());
        let seen = bot.until(|line| line["event"] == "messageCreate" && line["message"] == written.message_id).await;
        assert_eq!((&seen["author"], &seen["webhook"]), (&json!("Referee"), &json!(webhook.webhook_id)), "{seen}");
        assert_eq!(seen["channel"], channel.to_string());
    }
    let all = parlor.list_webhooks(v1::ListWebhooksRequest { page_size: 1, ..list() }).await.expect("listed");
    assert_eq!(all.len(), 2, "page after page");
    let there = v1::ListWebhooksRequest { channel_id: LOBBY.to_string(), ..list() };
    assert_eq!(parlor.list_webhooks(there).await.expect("listed").len(), 1);
    bot.finish().await;
}

/// The test knows the token, and Parlor executes the webhook by its id.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_come_back_nowhere() {
    let house = House::start().await;
    let mut bot = Process::bot(&house, "node/discord_bot.mjs", "a.discord.js.bot").await;
    let parlor = house.parlor().await;
    let made = parlor.create_webhook(create(GENERAL, "Ours")).await.expect("made");
    let webhook = &*made.webhook_id;
    let id = webhook.parse().expect("an id");
    let token = house.emulator.world(|world| world.webhook(id).expect("it is there").token.reveal().to_owned());
    let mut heard = format!("{made:?}");
    heard += &format!("{:?}", parlor.list_webhooks(list()).await.expect("listed"));
    heard += &format!("{:?}", parlor.execute_webhook(say(webhook, "by its id")).await.expect("written"));
    let answer = RestAnswer { status: 500, ..RestAnswer::default() };
    house.emulator.inject(Fault::NextRest { times: 1, route: None, answer, carried_out: false });
    heard += &format!("{:?}", parlor.execute_webhook(say(webhook, "lost")).await.expect_err("nobody knows"));
    bot.ask(json!({"do": "delete_webhook", "webhook": webhook})).await;
    heard += &format!("{:?}", parlor.execute_webhook(say(webhook, "too late")).await.expect_err("it is gone"));
    heard += &house.metrics().await;
    assert!(!heard.contains(&token), "the token is in {heard}");

    // Discord shows no application the token of another's webhook, so it is not executed.
    let made = bot.ask(json!({"do": "webhook", "channel": GENERAL.to_string(), "name": "Theirs"})).await;
    let theirs = made["webhook"].as_str().expect("an id");
    let refused = parlor.execute_webhook(say(theirs, "by its id")).await;
    assert_refused(refused, Code::FailedPrecondition, "WEBHOOK_NOT_EXECUTABLE");
    bot.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_gone_is_never_called_again() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let webhook = parlor.create_webhook(create(GENERAL, "Short")).await.expect("made").webhook_id;
    assert!(!parlor.delete_webhook(delete(&webhook)).await.expect("deleted").already_gone);
    let asked = house.emulator.stats().rest_total();
    assert!(parlor.delete_webhook(delete(&webhook)).await.expect("that is so").already_gone);
    assert_refused(parlor.execute_webhook(say(&webhook, "hello?")).await, Code::NotFound, "WEBHOOK_UNKNOWN");
    assert_eq!(house.emulator.stats().rest_total(), asked, "Discord is not asked");

    // One that never was is asked for once.
    let never = "1100000000000099999";
    assert_refused(parlor.execute_webhook(say(never, "hello?")).await, Code::NotFound, "WEBHOOK_UNKNOWN");
    let asked = house.emulator.stats().rest_total();
    assert_refused(parlor.delete_webhook(delete(never)).await, Code::NotFound, "WEBHOOK_UNKNOWN");
    assert_refused(parlor.execute_webhook(say(never, "hello?")).await, Code::NotFound, "WEBHOOK_UNKNOWN");
    assert_eq!(house.emulator.stats().rest_total(), asked, "Discord is not asked again");
}

/// A repeat hears what the first time heard, whatever has become of the webhook and of the server.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_deleted_once() {
    let mut house = House::start().await;
    let parlor = house.parlor().await;
    let made = parlor.create_webhook(create(GENERAL, "Brief")).await.expect("made").webhook_id;
    let other = parlor.create_webhook(create(GENERAL, "Other")).await.expect("made").webhook_id;
    let named = |webhook: &str, number: u32| v1::DeleteWebhookRequest {
        request_id: format!("0d3c0d3c-0d3c-4d3c-8d3c-{number:012}"),
        ..delete(webhook)
    };
    let first = parlor.delete_webhook(named(&made, 1)).await.expect("deleted");
    assert!(!first.already_gone);
    let asked = house.emulator.stats().rest_total();
    assert_eq!(parlor.delete_webhook(named(&made, 1)).await.expect("the first answer"), first);
    assert_refused(parlor.delete_webhook(named(&other, 1)).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert!(parlor.delete_webhook(named(&made, 2)).await.expect("it is gone").already_gone);
    assert_eq!(house.emulator.stats().rest_total(), asked, "Discord is not asked for what is known");

    // Deleted, and no answer tells, however often it is asked.
    let answer = RestAnswer { status: 502, ..RestAnswer::default() };
    let route = Some("DELETE /webhooks/{webhook.id}".to_owned());
    house.emulator.inject(Fault::NextRest {
        times: 1,
        route: route.clone(),
        answer: answer.clone(),
        carried_out: true,
    });
    house.emulator.inject(Fault::NextRest { times: 9, route, answer, carried_out: false });
    assert_refused(parlor.delete_webhook(named(&other, 3)).await, Code::Unavailable, "DISCORD_UNAVAILABLE");
    house.emulator.clear_faults();

    house.restart_server().await;
    let parlor = house.parlor().await;
    assert_eq!(parlor.delete_webhook(named(&made, 1)).await.expect("the first answer"), first);
    assert_refused(parlor.delete_webhook(named(&other, 1)).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
    let finished = parlor.delete_webhook(named(&other, 3)).await.expect("it is gone");
    assert!(!finished.already_gone, "it was there when the call began");
    assert_refused(parlor.delete_webhook(named(&other, 4)).await, Code::NotFound, "WEBHOOK_UNKNOWN");
}

/// Nobody knows whether a message was taken whose answer got lost; a repeat never writes it twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_never_written_twice() {
    let mut house = House::start().await;
    let mut bot = Process::bot(&house, "node/discord_bot.mjs", "a.discord.js.bot").await;
    let parlor = house.parlor().await;
    let webhook = parlor.create_webhook(create(GENERAL, "Once")).await.expect("made").webhook_id;
    let request = v1::ExecuteWebhookRequest {
        request_id: "0c3c0c3c-0c3c-4c3c-8c3c-0c3c0c3c0c3f".to_owned(),
        ..say(&webhook, "one")
    };
    let first = parlor.execute_webhook(request.clone()).await.expect("written");
    assert_eq!(parlor.execute_webhook(request.clone()).await.expect("the first answer"), first);
    let other = v1::ExecuteWebhookRequest { content: "two".to_owned(), ..request };
    assert_refused(parlor.execute_webhook(other.clone()).await, Code::InvalidArgument, "REQUEST_ID_REUSED");

    let answer = RestAnswer { status: 502, ..RestAnswer::default() };
    house.emulator.inject(Fault::NextRest { times: 1, route: None, answer, carried_out: true });
    let lost = v1::ExecuteWebhookRequest { request_id: "0c3c0c3c-0c3c-4c3c-8c3c-0c3c0c3c0c40".to_owned(), ..other };
    for _ in 0..2 {
        assert_refused(parlor.execute_webhook(lost.clone()).await, Code::Unknown, "CREATE_OUTCOME_UNKNOWN");
    }
    house.restart_server().await;
    let parlor = house.parlor().await;
    assert_refused(parlor.execute_webhook(lost).await, Code::Unknown, "CREATE_OUTCOME_UNKNOWN");
    let last = parlor.execute_webhook(say(&webhook, "three")).await.expect("written").message_id;
    let mut seen = 1;
    while bot.until(|line| line["event"] == "messageCreate").await["message"] != last.as_str() {
        seen += 1;
    }
    assert_eq!(seen, 3, "each message once");
    bot.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_why() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    assert_refused(parlor.create_webhook(create(OTHER_ROOM, "No")).await, Code::NotFound, "CHANNEL_UNKNOWN");
    assert_refused(parlor.create_webhook(create("1100000000000099999", "No")).await, Code::NotFound, "CHANNEL_UNKNOWN");
    let elsewhere = v1::CreateWebhookRequest { guild_id: OTHER_GUILD.to_string(), ..create(OTHER_ROOM, "Elsewhere") };
    let foreign = parlor.create_webhook(elsewhere).await.expect("made").webhook_id;
    assert_refused(parlor.execute_webhook(say(&foreign, "hello?")).await, Code::NotFound, "WEBHOOK_UNKNOWN");
    assert_refused(parlor.delete_webhook(delete(&foreign)).await, Code::NotFound, "WEBHOOK_UNKNOWN");
    for number in 0..15 {
        parlor.create_webhook(create(LOBBY, &format!("Number {number}"))).await.expect("up to fifteen");
    }
    assert_refused(parlor.create_webhook(create(LOBBY, "Sixteen")).await, Code::ResourceExhausted, "DISCORD_QUOTA");

    let request = v1::CreateWebhookRequest {
        guild_id: "12*".to_owned(),
        display_name: format!("Discord {}", "n".repeat(80)),
        request_id: "one".to_owned(),
        audit_log_reason: "r".repeat(461),
        ..Default::default()
    };
    let wrong = assert_refused(parlor.create_webhook(request).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    let mut fields: Vec<_> = wrong.wrong_fields.iter().map(|(field, _)| field.as_str()).collect();
    fields.dedup();
    assert_eq!(fields, ["guild_id", "channel_id", "display_name", "request_id", "audit_log_reason"]);
    let request = v1::ExecuteWebhookRequest {
        content: "c".repeat(2_001),
        display_name: "n".repeat(81),
        avatar_url: "http://parlor.example/a.png".to_owned(),
        mention_user_ids: vec!["ann".to_owned()],
        ..say("webhook", "")
    };
    let wrong = assert_refused(parlor.execute_webhook(request).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    let fields: Vec<_> = wrong.wrong_fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["webhook_id", "content", "display_name", "avatar_url", "mention_user_ids[0]"]);

    let weak = Token { scope: "rooms:write participants:write".to_owned(), ..Token::default() };
    let weak = house.parlor_with(&Issuer::get().sign(&weak)).await;
    let missing = assert_refused(weak.list_webhooks(list()).await, Code::PermissionDenied, "SCOPE_MISSING");
    assert_eq!(missing.metadata["scope"], "webhooks:write");
    let other = Token { guilds: vec![OTHER_GUILD.to_string()], ..Token::default() };
    let other = house.parlor_with(&Issuer::get().sign(&other)).await;
    assert_refused(other.list_webhooks(list()).await, Code::PermissionDenied, "GUILD_NOT_GRANTED");
    assert_refused(other.execute_webhook(say(&foreign, "no")).await, Code::PermissionDenied, "GUILD_NOT_GRANTED");
}

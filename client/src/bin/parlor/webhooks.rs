//! `parlor webhooks`.

use parlor_client::{Parlor, v1};
use serde::Serialize;

use crate::{
    cli::{Execute, Webhooks},
    failure::Failure,
    shapes::{WebhookShape, webhook_kind},
    terminal::{Terminal, Tone},
};

const HEADER: [&str; 5] = ["WEBHOOK", "CHANNEL", "GUILD", "NAME", "KIND"];

/// Fewest round trips for a list.
const LARGEST_PAGE: i32 = 1_000;

pub(crate) async fn run(command: Webhooks, parlor: &Parlor, terminal: Terminal) -> Result<(), Failure> {
    match command {
        Webhooks::Create { name, guild, channel, request_id, reason } => {
            let request_id = request_id.unwrap_or_else(new_request_id);
            let request = v1::CreateWebhookRequest {
                guild_id: guild,
                channel_id: channel,
                display_name: name,
                request_id: request_id.clone(),
                audit_log_reason: reason.unwrap_or_default(),
            };
            let webhook = parlor.create_webhook(request).await.map_err(|error| repeatable(error, &request_id))?;
            if terminal.is_json() {
                #[derive(Serialize)]
                struct Answer<'a> {
                    webhook: WebhookShape<'a>,
                    request_id: &'a str,
                }
                return Ok(terminal.json(&Answer { webhook: (&webhook).into(), request_id: &request_id })?);
            }
            Ok(terminal.table(&HEADER, &[row(&webhook)])?)
        }
        Webhooks::List { guild, channel } => {
            let request = v1::ListWebhooksRequest {
                guild_id: guild,
                channel_id: channel.unwrap_or_default(),
                page_size: LARGEST_PAGE,
                page_token: String::new(),
            };
            let webhooks = parlor.list_webhooks(request).await?;
            if terminal.is_json() {
                #[derive(Serialize)]
                struct Answer<'a> {
                    webhooks: Vec<WebhookShape<'a>>,
                }
                let webhooks = webhooks.iter().map(WebhookShape::from).collect();
                return Ok(terminal.json(&Answer { webhooks })?);
            }
            if webhooks.is_empty() {
                terminal.say(Tone::Faint, "no webhooks; make one: parlor webhooks create NAME --guild ID --channel ID");
                return Ok(());
            }
            Ok(terminal.table(&HEADER, &webhooks.iter().map(row).collect::<Vec<_>>())?)
        }
        Webhooks::Delete { webhook, guild, reason, request_id } => {
            let request = v1::DeleteWebhookRequest {
                guild_id: guild,
                webhook_id: webhook,
                request_id: request_id.unwrap_or_else(new_request_id),
                audit_log_reason: reason.unwrap_or_default(),
            };
            let answer = parlor.delete_webhook(request).await?;
            if terminal.is_json() {
                #[derive(Serialize)]
                struct Answer<'a> {
                    already_gone: bool,
                    request_id: &'a str,
                }
                let (already_gone, request_id) = (answer.already_gone, answer.request_id.as_str());
                return Ok(terminal.json(&Answer { already_gone, request_id })?);
            }
            if answer.already_gone {
                terminal.say(Tone::Faint, "it was gone before");
            }
            Ok(())
        }
        Webhooks::Execute(execute) => self::execute(execute, parlor, terminal).await,
    }
}

async fn execute(execute: Execute, parlor: &Parlor, terminal: Terminal) -> Result<(), Failure> {
    let request_id = execute.request_id.unwrap_or_else(new_request_id);
    let request = v1::ExecuteWebhookRequest {
        guild_id: execute.guild,
        webhook_id: execute.webhook,
        content: execute.content,
        display_name: execute.name.unwrap_or_default(),
        avatar_url: execute.avatar_url.unwrap_or_default(),
        mention_user_ids: execute.mentions,
        request_id: request_id.clone(),
    };
    let answer = parlor.execute_webhook(request).await.map_err(|error| repeatable(error, &request_id))?;
    if terminal.is_json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            message: &'a str,
            channel: &'a str,
            request_id: &'a str,
        }
        let (message, channel) = (&*answer.message_id, &*answer.channel_id);
        return Ok(terminal.json(&Answer { message, channel, request_id: &answer.request_id })?);
    }
    Ok(terminal.table(&["MESSAGE", "CHANNEL"], &[vec![answer.message_id, answer.channel_id]])?)
}

/// Whether it was done nobody knows; the same id never does it twice.
fn repeatable(error: parlor_client::CallError, request_id: &str) -> Failure {
    let unknown =
        error.reason.as_deref() == Some("CREATE_OUTCOME_UNKNOWN") || error.code == tonic::Code::DeadlineExceeded;
    let failure = Failure::from(error);
    if unknown {
        failure.next(format!("look whether it was done; a repeat with --request-id {request_id} does nothing"))
    } else {
        failure
    }
}

fn row(webhook: &v1::Webhook) -> Vec<String> {
    vec![
        webhook.webhook_id.clone(),
        webhook.channel_id.clone(),
        webhook.guild_id.clone(),
        webhook.display_name.clone(),
        webhook_kind(webhook),
    ]
}

fn new_request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

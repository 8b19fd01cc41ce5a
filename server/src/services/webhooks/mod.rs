//! WebhookService: Discord's own webhooks, without ever showing their tokens.

mod book;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use parlor_gateway::{
    ChannelId, GuildId, RoomId, UserId, WebhookId,
    rest::{Caller, NewWebhook, Tenant, Webhook, WebhookPost},
};
use parlor_proto::v1::{self, webhook_service_server::WebhookService};
use secrecy::SecretString;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use self::book::{Book, Known};
use super::{
    calls::{Call, Journal, Ticket},
    deadline,
    discord::DiscordWebhooks,
    fields::Fields,
    pages,
};
use crate::{
    auth::{Clock, Permit, Principal, UseWebhooks, principal_of},
    hub::{Draft, Hub},
    rates::Rates,
    rooms::{Progress, mark_of},
    status::{Failure, Reason},
};

/// How long a call may take where the caller does not say.
const DISCORD_CALL: Duration = Duration::from_secs(20);

/// The service.
pub struct Webhooks {
    shared: Arc<Shared>,
    journal: Journal,
}

/// What a call's own task needs.
struct Shared {
    hub: Arc<Hub>,
    discord: DiscordWebhooks,
    rates: Arc<Rates>,
    clock: Clock,
    book: Mutex<Book>,
}

impl Webhooks {
    /// A service over this hub and this Discord.
    pub fn new(hub: Arc<Hub>, discord: DiscordWebhooks, journal: Journal, rates: Arc<Rates>, clock: Clock) -> Self {
        Self { shared: Arc::new(Shared { hub, discord, rates, clock, book: Mutex::default() }), journal }
    }

    /// Proof that the caller may use the webhooks of a guild that the bot is in.
    fn permit(&self, principal: &Principal, guild: GuildId) -> Result<Permit<UseWebhooks>, Status> {
        let permit = principal.permit::<UseWebhooks>(guild)?;
        if self.shared.hub.snapshot().guilds.contains_key(&guild) {
            return Ok(permit);
        }
        let failure = Failure::new(Reason::GuildUnknown, "the bot is not in this guild: invite it first");
        Err(failure.with("guild_id", guild.to_string()).into())
    }
}

#[tonic::async_trait]
impl WebhookService for Webhooks {
    async fn create_webhook(
        &self,
        request: Request<v1::CreateWebhookRequest>,
    ) -> Result<Response<v1::CreateWebhookResponse>, Status> {
        let (principal, caller) = begin(&request)?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let guild: Option<GuildId> = fields.id("guild_id", &request.guild_id);
        let channel: Option<ChannelId> = fields.id("channel_id", &request.channel_id);
        let name = fields.webhook_name(&request.display_name);
        let id = fields.request_id(&request.request_id);
        let reason = fields.audit_log_reason(&request.audit_log_reason);
        fields.finish()?;
        let (guild, channel) = guild.zip(channel).expect("missing ids are wrong fields");
        let permit = self.permit(&principal, guild)?;
        let asked = v1::CreateWebhookRequest { request_id: String::new(), ..request };
        let call = Call::new(&principal.subject, id, "CreateWebhook", &asked, caller.deadline);
        let (shared, webhook) = (Arc::clone(&self.shared), NewWebhook { channel, name });
        let work = move |ticket, before: Option<Progress>| async move {
            known_outcome(before.as_ref(), id)?;
            shared.create(permit, webhook, mark(&reason, id), id, caller, ticket).await
        };
        let answer = self.journal.once(call, work).await?;
        Ok(Response::new(answer))
    }

    async fn list_webhooks(
        &self,
        request: Request<v1::ListWebhooksRequest>,
    ) -> Result<Response<v1::ListWebhooksResponse>, Status> {
        let (principal, caller) = begin(&request)?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let guild: Option<GuildId> = fields.id("guild_id", &request.guild_id);
        let channel: Option<ChannelId> = fields.optional_id("channel_id", &request.channel_id);
        let size = fields.page_size(request.page_size);
        let question = ("webhooks", guild, channel);
        let after = pages::open(&question, &request.page_token).unwrap_or_else(|_| {
            fields.wrong("page_token", "is not from an answer to the same request");
            None
        });
        fields.finish()?;
        let permit = self.permit(&principal, guild.expect("a missing guild is a wrong field"))?;
        if let Some(channel) = channel {
            self.shared.check_place(&permit, channel, &caller).await?;
        }
        let mut webhooks = self.shared.discord.list(&permit, channel, &caller).await?;
        webhooks.sort_by_key(|webhook| webhook.id);
        self.shared.note(&permit, &webhooks);
        let mut listed = webhooks.iter().filter(|webhook| after.is_none_or(|after| (webhook.id.get(), 0) > after));
        let page: Vec<_> = listed.by_ref().take(size).collect();
        let last = page.last().filter(|_| listed.next().is_some()).map(|webhook| (webhook.id.get(), 0));
        Ok(Response::new(v1::ListWebhooksResponse {
            next_page_token: last.map(|last| pages::seal(&question, last)).unwrap_or_default(),
            webhooks: page.into_iter().map(|webhook| shown(webhook, permit.guild())).collect(),
        }))
    }

    async fn delete_webhook(
        &self,
        request: Request<v1::DeleteWebhookRequest>,
    ) -> Result<Response<v1::DeleteWebhookResponse>, Status> {
        let (principal, caller) = begin(&request)?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let guild: Option<GuildId> = fields.id("guild_id", &request.guild_id);
        let webhook: Option<WebhookId> = fields.id("webhook_id", &request.webhook_id);
        let id = fields.request_id(&request.request_id);
        let reason = fields.audit_log_reason(&request.audit_log_reason);
        fields.finish()?;
        let (guild, webhook) = guild.zip(webhook).expect("missing ids are wrong fields");
        let permit = self.permit(&principal, guild)?;
        let asked = v1::DeleteWebhookRequest { request_id: String::new(), ..request };
        let call = Call::new(&principal.subject, id, "DeleteWebhook", &asked, caller.deadline);
        let shared = Arc::clone(&self.shared);
        let work = move |ticket, before: Option<Progress>| async move {
            let deleted = shared.delete(permit, webhook, mark(&reason, id), caller, ticket, before.is_some()).await?;
            let already_gone = deleted == Deleted::Before;
            Ok(v1::DeleteWebhookResponse { already_gone, request_id: id.to_string() })
        };
        let answer = self.journal.once(call, work).await?;
        Ok(Response::new(answer))
    }

    async fn execute_webhook(
        &self,
        request: Request<v1::ExecuteWebhookRequest>,
    ) -> Result<Response<v1::ExecuteWebhookResponse>, Status> {
        let (principal, caller) = begin(&request)?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let guild: Option<GuildId> = fields.id("guild_id", &request.guild_id);
        let webhook: Option<WebhookId> = fields.id("webhook_id", &request.webhook_id);
        let post = WebhookPost {
            content: fields.content(&request.content),
            username: fields.message_name(&request.display_name),
            avatar_url: fields.picture("avatar_url", &request.avatar_url),
            notifies: mentions(&mut fields, &request.mention_user_ids),
        };
        let id = fields.request_id(&request.request_id);
        fields.finish()?;
        let (guild, webhook) = guild.zip(webhook).expect("missing ids are wrong fields");
        let permit = self.permit(&principal, guild)?;
        let asked = v1::ExecuteWebhookRequest { request_id: String::new(), ..request };
        let call = Call::new(&principal.subject, id, "ExecuteWebhook", &asked, caller.deadline);
        let shared = Arc::clone(&self.shared);
        let work = move |ticket, before: Option<Progress>| async move {
            known_outcome(before.as_ref(), id)?;
            shared.execute(permit, webhook, post, id, caller, ticket).await
        };
        let answer = self.journal.once(call, work).await?;
        Ok(Response::new(answer))
    }
}

/// Whether the webhook was still there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Deleted {
    Now,
    Before,
}

/// Who calls, if they may use webhooks anywhere, and until when they wait.
fn begin<T>(request: &Request<T>) -> Result<(Arc<Principal>, Caller), Status> {
    let principal = principal_of(request.extensions())?;
    principal.covered::<UseWebhooks>()?;
    let deadline = deadline::unary(request.metadata(), DISCORD_CALL, deadline::now());
    let caller = Caller::new(Tenant::new(principal.subject.as_str()), deadline);
    Ok((principal, caller))
}

fn mark(reason: &str, id: Uuid) -> String {
    format!("{reason} {}", mark_of(id)).trim_start().to_owned()
}

/// A call that was begun before and has no answer is not begun again: Discord cannot be asked whether it was carried out.
fn known_outcome(before: Option<&Progress>, id: Uuid) -> Result<(), Failure> {
    match before {
        None => Ok(()),
        Some(_) => Err(unknown_outcome(id)),
    }
}

fn unknown_outcome(id: Uuid) -> Failure {
    let message = "no answer told whether Discord has done it: look, and use a new request_id to do it again";
    Failure::new(Reason::CreateOutcomeUnknown, message).with("request_id", id.to_string())
}

/// At most so many users are notified by one message (Discord docs, resources/message, "Allowed Mentions Object").
const MOST_MENTIONS: usize = 100;

fn mentions(fields: &mut Fields, ids: &[String]) -> Vec<UserId> {
    if ids.len() > MOST_MENTIONS {
        fields.wrong("mention_user_ids", format!("names {}; at most {MOST_MENTIONS} are taken", ids.len()));
    }
    let named = ids.iter().enumerate().take(MOST_MENTIONS);
    named.filter_map(|(index, id)| fields.id(&format!("mention_user_ids[{index}]"), id)).collect()
}

fn unknown_webhook(webhook: WebhookId) -> Failure {
    Failure::new(Reason::WebhookUnknown, "the guild has no such webhook").with("webhook_id", webhook.to_string())
}

fn unknown_channel(channel: ChannelId) -> Failure {
    Failure::new(Reason::ChannelUnknown, "the guild has no such channel").with("channel_id", channel.to_string())
}

/// Whether whoever has its token executes it (Discord docs, resources/webhook, "Webhook Types").
const INCOMING: u8 = 1;

fn shown(webhook: &Webhook, guild: GuildId) -> v1::Webhook {
    let kind = match webhook.kind {
        INCOMING => v1::WebhookKind::Incoming,
        2 => v1::WebhookKind::ChannelFollower,
        3 => v1::WebhookKind::Application,
        _ => v1::WebhookKind::Unspecified,
    };
    v1::Webhook {
        webhook_id: webhook.id.to_string(),
        guild_id: guild.to_string(),
        channel_id: webhook.channel.map(|channel| channel.to_string()).unwrap_or_default(),
        display_name: webhook.name.clone().unwrap_or_default(),
        kind: kind.into(),
        creator_user_id: webhook.creator.map(|user| user.to_string()).unwrap_or_default(),
        executable: webhook.kind == INCOMING && webhook.token.is_some(),
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that Discord is about to be asked for what it must not do twice.
    async fn begin(&self, ticket: &Ticket) -> Result<(), Failure> {
        let ticket = ticket.clone();
        self.act(move |draft| ticket.keep(draft, Progress::Asked)).await
    }

    /// What Discord said to that. Where it said no, nothing was done, and a repeat may try again.
    async fn outcome<T>(&self, outcome: Result<T, Failure>, ticket: &Ticket, id: Uuid) -> Result<T, Failure> {
        let failure = match outcome {
            Ok(done) => return Ok(done),
            Err(failure) if failure.reason() == Reason::CreateOutcomeUnknown => return Err(unknown_outcome(id)),
            Err(failure) => failure,
        };
        let ticket = ticket.clone();
        self.act(move |draft| ticket.forget(draft)).await?;
        Err(failure)
    }

    /// Does something that is stored in one step.
    async fn act(&self, act: impl FnOnce(&mut Draft<'_>) + Send + 'static) -> Result<(), Failure> {
        self.hub.act((self.clock)(), act).await.map_err(|_| {
            Failure::new(Reason::StoreUnavailable, "what happens cannot be stored at the moment: try again")
                .retry_after(Duration::from_secs(1))
        })
    }

    /// Remembers webhooks that Discord showed in answer to a question about the permit's guild.
    fn note(&self, permit: &Permit<UseWebhooks>, webhooks: &[Webhook]) {
        let mut book = self.book();
        for webhook in webhooks {
            book.found(webhook.id, permit.guild(), token_of(webhook));
        }
    }

    /// Makes sure that the channel is of the permit's guild.
    async fn check_place(
        &self,
        permit: &Permit<UseWebhooks>,
        channel: ChannelId,
        caller: &Caller,
    ) -> Result<(), Failure> {
        let guild = match self.known_guild_of(channel) {
            Some(guild) => guild,
            None => {
                let found = self.discord.guild_of(permit, channel, caller).await?;
                let guild = found.ok_or_else(|| unknown_channel(channel))?;
                self.book().place(channel, guild);
                guild
            }
        };
        if guild == permit.guild() { Ok(()) } else { Err(unknown_channel(channel)) }
    }

    fn known_guild_of(&self, channel: ChannelId) -> Option<GuildId> {
        let known = self.hub.snapshot().guild_of(RoomId::new(channel.get())).map(|(guild, _)| guild);
        known.or_else(|| self.book().guild_of(channel))
    }

    async fn create(
        self: Arc<Self>,
        permit: Permit<UseWebhooks>,
        webhook: NewWebhook,
        reason: String,
        id: Uuid,
        caller: Caller,
        ticket: Ticket,
    ) -> Result<v1::CreateWebhookResponse, Failure> {
        self.rates.change_guild(permit.guild(), 1)?;
        let channel = webhook.channel;
        self.check_place(&permit, channel, &caller).await?;
        self.begin(&ticket).await?;
        let made = self.discord.create(&permit, &webhook, &reason, &caller).await;
        let made = self.outcome(made, &ticket, id).await?;
        self.note(&permit, std::slice::from_ref(&made));
        Ok(v1::CreateWebhookResponse { webhook: Some(shown(&made, permit.guild())), request_id: id.to_string() })
    }

    /// The webhook's token, if it is a webhook of the permit's guild; asks Discord where that is not known.
    async fn token(
        &self,
        permit: &Permit<UseWebhooks>,
        webhook: WebhookId,
        caller: &Caller,
    ) -> Result<Option<SecretString>, Failure> {
        let known = self.book().webhook(webhook).cloned();
        match known {
            Some(Known::There { guild, token }) if guild == permit.guild() => return Ok(token),
            Some(Known::There { .. } | Known::Gone { .. }) => return Err(unknown_webhook(webhook)),
            None => {}
        }
        let found = self.discord.get(permit, webhook, caller).await.map_err(|failure| self.lost(webhook, failure))?;
        let guild = found.guild.ok_or_else(|| unknown_webhook(webhook))?;
        self.book().found(webhook, guild, token_of(&found));
        if guild == permit.guild() { Ok(token_of(&found)) } else { Err(unknown_webhook(webhook)) }
    }

    /// Notes that a webhook is gone, where that is what the failure says.
    fn lost(&self, webhook: WebhookId, failure: Failure) -> Failure {
        if failure.reason() == Reason::WebhookUnknown {
            self.book().gone(webhook);
            return unknown_webhook(webhook);
        }
        failure
    }

    async fn delete(
        self: Arc<Self>,
        permit: Permit<UseWebhooks>,
        webhook: WebhookId,
        reason: String,
        caller: Caller,
        ticket: Ticket,
        was_begun: bool,
    ) -> Result<Deleted, Failure> {
        // Where this call was begun before, the webhook was there, whoever has deleted it since.
        let gone = if was_begun { Deleted::Now } else { Deleted::Before };
        if matches!(self.book().webhook(webhook), Some(Known::Gone { guild: Some(guild) }) if *guild == permit.guild())
        {
            return Ok(gone);
        }
        self.rates.change_guild(permit.guild(), 1)?;
        match self.token(&permit, webhook, &caller).await {
            Ok(_) => {}
            Err(failure) if was_begun && failure.reason() == Reason::WebhookUnknown => return Ok(gone),
            Err(failure) => return Err(failure),
        }
        self.begin(&ticket).await?;
        match self.discord.delete(&permit, webhook, &reason, &caller).await {
            Ok(()) => {
                self.book().gone(webhook);
                Ok(Deleted::Now)
            }
            Err(failure) if failure.reason() == Reason::WebhookUnknown => {
                self.book().gone(webhook);
                Ok(gone)
            }
            // It may be deleted: a repeat finds out.
            Err(failure) if was_begun || failure.reason() == Reason::DiscordUnavailable => Err(failure),
            Err(failure) => {
                self.act(move |draft| ticket.forget(draft)).await?;
                Err(failure)
            }
        }
    }

    async fn execute(
        self: Arc<Self>,
        permit: Permit<UseWebhooks>,
        webhook: WebhookId,
        post: WebhookPost,
        id: Uuid,
        caller: Caller,
        ticket: Ticket,
    ) -> Result<v1::ExecuteWebhookResponse, Failure> {
        self.rates.change_guild(permit.guild(), 1)?;
        let token = self.token(&permit, webhook, &caller).await?.ok_or_else(|| {
            let message = "another application made the webhook, or Discord alone executes webhooks of its kind";
            Failure::new(Reason::WebhookNotExecutable, message).with("webhook_id", webhook.to_string())
        })?;
        self.begin(&ticket).await?;
        let written = self.discord.execute(&permit, webhook, &token, &post, &caller).await;
        let written = self.outcome(written, &ticket, id).await.map_err(|failure| self.lost(webhook, failure))?;
        Ok(v1::ExecuteWebhookResponse {
            message_id: written.id.to_string(),
            channel_id: written.channel.to_string(),
            request_id: id.to_string(),
        })
    }
}

/// The token of a webhook that is executed with it.
fn token_of(webhook: &Webhook) -> Option<SecretString> {
    webhook.token.clone().filter(|_| webhook.kind == INCOMING)
}

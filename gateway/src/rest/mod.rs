//! Discord's REST API: twilight's typed request builders, our own schedule, our own transport.
//!
//! ```text
//! operation ──▶ outgoing ──▶ desk (IO) ──▶ Discord
//!  what is asked  as bytes     │  ▲
//!                              ▼  │ when, and whether again
//!                            schedule (pure)
//! ```
//!
//! twilight-http 0.18 resends at once, ignoring Retry-After, on global, Cloudflare and sub-limit 429s; fifty requests a
//! second at a stuck call end in Discord's ban. So only its builders are used. What is sent here obeys every wait that
//! Discord names, never repeats a POST whose outcome is unknown, and stops for good at a 401.

mod desk;
mod error;
mod operation;
mod outgoing;
pub mod permission;
mod refusal;
pub mod schedule;
pub mod transport;

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::watch;

use self::{
    desk::Desk,
    outgoing::Outgoing,
    transport::{Transport, Wire},
};
pub use self::{
    error::{FieldError, RestError, refusal},
    operation::{
        AuditAction, AuditEntry, AuditQuery, Channel, ChannelKind, CurrentUser, GatewayInfo, Invite, MemberChange,
        NewInvite, NewMessage, NewRoom, NewWebhook, Overwrite, OverwriteTarget, PostedMessage, RoomChange,
        SessionStartLimit, VoiceMove, VoiceRegion, Webhook, WebhookPost,
    },
    outgoing::Caller,
    refusal::{CODES, Refusal, Said},
    schedule::{InvalidRequestLimits, Limits, Tenant, Urgency, asked_wait},
};

/// How Parlor names itself; without this form Discord's edge refuses (Discord reference, "User Agent").
const USER_AGENT: &str = concat!("DiscordBot (https://parlor.example, ", env!("CARGO_PKG_VERSION"), ")");

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

/// The REST client could not be set up.
#[derive(Debug, Error)]
pub enum RestSetupError {
    /// The token cannot stand in an HTTP header.
    #[error("the bot token holds characters that no token has")]
    TokenShape,
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// A client of Discord's REST API for one bot.
pub struct Rest {
    desk: Arc<Desk>,
    /// Builds requests; it never sends any.
    builder: twilight_http::Client,
}

impl Rest {
    /// A client that asks the API at `api_url` (`https://discord.com/api/v10`) with the bot's token, as often as is
    /// prudent.
    ///
    /// # Errors
    /// See [`RestSetupError`].
    pub fn new(api_url: &str, token: &SecretString) -> Result<Self, RestSetupError> {
        Self::with_limits(api_url, token, Limits::default())
    }

    /// The same, with limits of one's own: for bots that share their token with another process, and for tests.
    ///
    /// # Errors
    /// See [`RestSetupError`].
    pub fn with_limits(api_url: &str, token: &SecretString, limits: Limits) -> Result<Self, RestSetupError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .build()
            .map_err(RestSetupError::Client)?;
        Self::over(Arc::new(Wire(http)), api_url, token, limits)
    }

    /// The same over another transport than HTTPS.
    ///
    /// # Errors
    /// [`RestSetupError::TokenShape`].
    pub fn over(
        transport: Arc<dyn Transport>,
        api_url: &str,
        token: &SecretString,
        limits: Limits,
    ) -> Result<Self, RestSetupError> {
        let bare = token.expose_secret().trim().trim_start_matches("Bot ").to_owned();
        let mut authorization =
            HeaderValue::from_str(&format!("Bot {bare}")).map_err(|_| RestSetupError::TokenShape)?;
        authorization.set_sensitive(true);
        let builder = twilight_http::Client::builder().ratelimiter(None).build();
        Ok(Self { desk: Arc::new(Desk::new(transport, api_url, authorization, limits)), builder })
    }

    /// Whether Discord accepts the bot token. Once it has not (401), nothing is sent any more, and it stays so.
    pub fn accepted(&self) -> watch::Receiver<bool> {
        self.desk.accepted()
    }

    /// Sends a request and reads the answer.
    async fn ask<T: DeserializeOwned>(&self, outgoing: Outgoing) -> Result<T, RestError> {
        let body = self.desk.send(outgoing).await?;
        serde_json::from_slice(&body).map_err(|_| RestError::UnreadableAnswer)
    }

    /// Sends a request whose answer says nothing but that it was done.
    async fn tell(&self, outgoing: Outgoing) -> Result<(), RestError> {
        self.desk.send(outgoing).await.map(|_| ())
    }
}

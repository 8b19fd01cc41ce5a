//! A connection to Parlor, and its calls.

use std::time::Duration;

use parlor_proto::v1::{
    self, participant_service_client::ParticipantServiceClient, room_service_client::RoomServiceClient,
    voice_event_service_client::VoiceEventServiceClient, voice_session_service_client::VoiceSessionServiceClient,
    webhook_service_client::WebhookServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::{Address, CallError, ConnectError, Events, Frames, Position, Watch};

/// How long a connection may take to come about.
const CONNECTING: Duration = Duration::from_secs(5);
/// How often an idle connection is asked whether it still is one, and for how long it may think.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to Parlor with a token. Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct Parlor {
    channel: Channel,
    /// Where the channel leads; none where the caller brought it.
    endpoint: Option<Endpoint>,
    bearer: Bearer,
    deadline: Option<Duration>,
}

/// How to connect; made by [`Parlor::at`].
#[derive(Clone)]
pub struct Connect {
    address: String,
    token: String,
    authority: Option<Vec<u8>>,
    deadline: Option<Duration>,
}

impl Connect {
    /// Sends this token with every call. Without one, every call but health is refused.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = token.into();
        self
    }

    /// Trusts this certificate authority (PEM, one certificate or several) and no other. Without it, those of the system
    /// are trusted. Only `https://` asks for a certificate.
    #[must_use]
    pub fn authority(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authority = Some(pem.into());
        self
    }

    /// Gives every call, except streams, so long to be answered. Without it the server's own limits hold, 10 s or 20 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(self) -> Result<Parlor, ConnectError> {
        let endpoint = self.endpoint()?;
        let bearer = Bearer::new(&self.token)?;
        let channel =
            endpoint.connect().await.map_err(|source| ConnectError::Unreachable { address: self.address, source })?;
        Ok(Parlor { channel, endpoint: Some(endpoint), bearer, deadline: self.deadline })
    }

    fn endpoint(&self) -> Result<Endpoint, ConnectError> {
        let address: Address = self.address.parse()?;
        let mut endpoint = Endpoint::from_shared(address.to_string())
            .map_err(|_| ConnectError::Address(self.address.clone()))?
            .tcp_nodelay(true)
            .connect_timeout(CONNECTING)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        if address.is_tls() {
            let tls = match &self.authority {
                Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
                None => ClientTlsConfig::new().with_enabled_roots(),
            };
            endpoint = endpoint.tls_config(tls).map_err(ConnectError::Authority)?;
        }
        Ok(endpoint)
    }
}

// The token is a secret.
impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Parlor {
    /// Begins a connection to an [`Address`], such as `127.0.0.1:50051` or `https://parlor.example`.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use parlor_client::Parlor;
    ///
    /// let parlor = Parlor::at("https://parlor.internal:50051")
    ///     .token(std::env::var("PARLOR_TOKEN")?)
    ///     .authority(std::fs::read("/etc/parlor/ca.pem")?)
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn at(address: impl Into<String>) -> Connect {
        Connect { address: address.into(), token: String::new(), authority: None, deadline: None }
    }

    /// Connects to an [`Address`] with a token: short for `Parlor::at(address).token(token).connect()`.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(address: &str, token: &str) -> Result<Self, ConnectError> {
        Self::at(address).token(token).connect().await
    }

    /// Uses a channel that the caller has set up.
    ///
    /// # Errors
    /// [`ConnectError::Token`].
    pub fn over(channel: Channel, token: &str) -> Result<Self, ConnectError> {
        Ok(Self { channel, endpoint: None, bearer: Bearer::new(token)?, deadline: None })
    }

    /// The same with another token, over the same connection.
    ///
    /// # Errors
    /// [`ConnectError::Token`].
    pub fn with_token(&self, token: &str) -> Result<Self, ConnectError> {
        Ok(Self { bearer: Bearer::new(token)?, ..self.clone() })
    }

    /// The same over a connection of its own, made when it is first used.
    pub(crate) fn renewed(&self) -> Self {
        let channel = self.endpoint.as_ref().map_or_else(|| self.channel.clone(), Endpoint::connect_lazy);
        Self { channel, ..self.clone() }
    }

    /// RoomService as generated from the contract, for what has no method here.
    pub fn rooms(&self) -> RoomServiceClient<InterceptedService<Channel, Bearer>> {
        RoomServiceClient::with_interceptor(self.channel.clone(), self.bearer_of_calls())
    }

    /// ParticipantService as generated from the contract.
    pub fn participants(&self) -> ParticipantServiceClient<InterceptedService<Channel, Bearer>> {
        ParticipantServiceClient::with_interceptor(self.channel.clone(), self.bearer_of_calls())
    }

    /// WebhookService as generated from the contract.
    pub fn webhooks(&self) -> WebhookServiceClient<InterceptedService<Channel, Bearer>> {
        WebhookServiceClient::with_interceptor(self.channel.clone(), self.bearer_of_calls())
    }

    /// VoiceSessionService as generated from the contract. Streams may be open for long, so no call has a deadline by itself.
    pub fn voice_sessions(&self) -> VoiceSessionServiceClient<InterceptedService<Channel, Bearer>> {
        VoiceSessionServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    fn bearer_of_calls(&self) -> Bearer {
        Bearer { deadline: self.deadline, ..self.bearer.clone() }
    }

    /// The channel, for services of the same address that have no method here, such as gRPC health.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Makes a room.
    ///
    /// Give it a `request_id` of your own, a UUID, where a repeat after a lost answer must not make a second room.
    pub async fn create_room(&self, request: v1::CreateRoomRequest) -> Result<v1::Room, CallError> {
        Ok(self.create_room_at(request).await?.0)
    }

    /// Makes a room, and says from where on to listen to miss nothing that happens in it.
    pub async fn create_room_at(&self, request: v1::CreateRoomRequest) -> Result<(v1::Room, Position), CallError> {
        let answer = self.rooms().create_room(request).await?.into_inner();
        let room = answer.room.ok_or_else(|| incomplete("a room"))?;
        Ok((room, Position::after(answer.cursor)))
    }

    /// Shows a room.
    pub async fn get_room(&self, room_id: impl Into<String>) -> Result<v1::Room, CallError> {
        let answer = self.rooms().get_room(v1::GetRoomRequest { room_id: room_id.into() }).await?.into_inner();
        answer.room.ok_or_else(|| incomplete("a room"))
    }

    /// Ends a room. `already_gone` says whether it had ended before.
    pub async fn end_room(&self, request: v1::EndRoomRequest) -> Result<v1::EndRoomResponse, CallError> {
        Ok(self.rooms().end_room(request).await?.into_inner())
    }

    /// Every room that the token covers, page after page.
    pub async fn list_rooms(&self, mut request: v1::ListRoomsRequest) -> Result<Vec<v1::Room>, CallError> {
        let mut rooms = Vec::new();
        loop {
            let page = self.rooms().list_rooms(request.clone()).await?.into_inner();
            rooms.extend(page.rooms);
            if page.next_page_token.is_empty() {
                return Ok(rooms);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Every guild that the token covers, page after page.
    pub async fn list_guilds(&self) -> Result<Vec<v1::Guild>, CallError> {
        let mut guilds = Vec::new();
        let mut request = v1::ListGuildsRequest::default();
        loop {
            let page = self.rooms().list_guilds(request.clone()).await?.into_inner();
            guilds.extend(page.guilds);
            if page.next_page_token.is_empty() {
                return Ok(guilds);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Everybody who is in a room that the token covers, page after page.
    pub async fn list_participants(
        &self,
        mut request: v1::ListParticipantsRequest,
    ) -> Result<Vec<v1::Participant>, CallError> {
        let mut participants = Vec::new();
        loop {
            let page = self.participants().list_participants(request.clone()).await?.into_inner();
            participants.extend(page.participants);
            if page.next_page_token.is_empty() {
                return Ok(participants);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Moves somebody into another room of the same guild. `confirmed` says whether Discord has told of it already.
    pub async fn move_participant(
        &self,
        request: v1::MoveParticipantRequest,
    ) -> Result<v1::MoveParticipantResponse, CallError> {
        Ok(self.participants().move_participant(request).await?.into_inner())
    }

    /// Takes somebody out of the room that they are in.
    pub async fn disconnect_participant(
        &self,
        request: v1::DisconnectParticipantRequest,
    ) -> Result<v1::DisconnectParticipantResponse, CallError> {
        Ok(self.participants().disconnect_participant(request).await?.into_inner())
    }

    /// Mutes somebody for everybody, or ends that.
    pub async fn set_participant_mute(
        &self,
        request: v1::SetParticipantMuteRequest,
    ) -> Result<v1::SetParticipantMuteResponse, CallError> {
        Ok(self.participants().set_participant_mute(request).await?.into_inner())
    }

    /// Lets somebody hear nobody, or ends that.
    pub async fn set_participant_deafen(
        &self,
        request: v1::SetParticipantDeafenRequest,
    ) -> Result<v1::SetParticipantDeafenResponse, CallError> {
        Ok(self.participants().set_participant_deafen(request).await?.into_inner())
    }

    /// Makes a webhook in a channel.
    ///
    /// Give it a `request_id` of your own, a UUID, where a repeat after a lost answer must not make a second one.
    pub async fn create_webhook(&self, request: v1::CreateWebhookRequest) -> Result<v1::Webhook, CallError> {
        let answer = self.webhooks().create_webhook(request).await?.into_inner();
        answer.webhook.ok_or_else(|| incomplete("a webhook"))
    }

    /// Every webhook of a guild or of one of its channels, page after page.
    pub async fn list_webhooks(&self, mut request: v1::ListWebhooksRequest) -> Result<Vec<v1::Webhook>, CallError> {
        let mut webhooks = Vec::new();
        loop {
            let page = self.webhooks().list_webhooks(request.clone()).await?.into_inner();
            webhooks.extend(page.webhooks);
            if page.next_page_token.is_empty() {
                return Ok(webhooks);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Deletes a webhook. `already_gone` says whether it was gone before.
    pub async fn delete_webhook(
        &self,
        request: v1::DeleteWebhookRequest,
    ) -> Result<v1::DeleteWebhookResponse, CallError> {
        Ok(self.webhooks().delete_webhook(request).await?.into_inner())
    }

    /// Writes a message through a webhook.
    ///
    /// Give it a `request_id` of your own, a UUID, where a repeat after a lost answer must not write a second one.
    pub async fn execute_webhook(
        &self,
        request: v1::ExecuteWebhookRequest,
    ) -> Result<v1::ExecuteWebhookResponse, CallError> {
        Ok(self.webhooks().execute_webhook(request).await?.into_inner())
    }

    /// Hears of who is in which room, for as long as it takes: the stream mends itself.
    ///
    /// ```no_run
    /// # async fn example(parlor: parlor_client::Parlor) -> Result<(), Box<dyn std::error::Error>> {
    /// use parlor_client::{Event, Start, Watch};
    ///
    /// let start = match std::fs::read_to_string("position") {
    ///     Ok(line) => Start::After(line.parse()?),
    ///     Err(_) => Start::Snapshot,
    /// };
    /// let mut events = parlor.events(Watch { start, ..Watch::default() }).await?;
    /// while let Some(event) = events.next().await? {
    ///     match event {
    ///         Event::Snapshot(now) => println!("{} people are in voice", now.participants.len()),
    ///         Event::Changed(change) => println!("{:?}", change.kind),
    ///         _ => {}
    ///     }
    ///     if let Some(position) = events.position() {
    ///         std::fs::write("position.new", position.to_string())?;
    ///         std::fs::rename("position.new", "position")?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The first connection is refused, or there is none. Later ones are made for as long as it takes.
    pub async fn events(&self, watch: Watch) -> Result<Events, CallError> {
        Events::open(self.clone(), watch).await
    }

    /// Hears of who is in which room on one stream, frame by frame. [`events`](Self::events) goes on where it ends.
    pub async fn subscribe(&self, request: v1::SubscribeVoiceEventsRequest) -> Result<Frames, CallError> {
        let mut client = VoiceEventServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone());
        Ok(Frames::new(client.subscribe_voice_events(request).await?.into_inner()))
    }
}

fn incomplete(what: &str) -> CallError {
    Status::internal(format!("the server's answer lacks {what}")).into()
}

/// Puts the token into every call, and the deadline where one is set.
#[derive(Clone, Debug)]
pub struct Bearer {
    token: Option<MetadataValue<Ascii>>,
    deadline: Option<Duration>,
}

impl Bearer {
    fn new(token: &str) -> Result<Self, ConnectError> {
        if token.is_empty() {
            return Ok(Self { token: None, deadline: None });
        }
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| ConnectError::Token)?;
        value.set_sensitive(true);
        Ok(Self { token: Some(value), deadline: None })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.clone());
        }
        if let Some(deadline) = self.deadline {
            request.set_timeout(deadline);
        }
        Ok(request)
    }
}

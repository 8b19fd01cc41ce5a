//! The gateway connections: one task per shard, which does nothing but read, translate and pass on.
//!
//! Each connection is a twilight `Shard` of its own, thrown away when the connection ends. That leaves the pace of
//! reconnecting, and the choice between resuming and starting anew, to us (see `pacing.rs`).

mod close;
mod pacing;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use tokio::{sync::mpsc, task::coop::has_budget_remaining};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use twilight_gateway::{
    CloseFrame, Config, ConfigBuilder, Intents, Message, Session, Shard, ShardId, ShardState,
    error::{ReceiveMessageError, ReceiveMessageErrorType},
    queue::InMemoryQueue,
};
use twilight_model::{
    gateway::payload::outgoing::UpdateVoiceState,
    id::{Id, marker::ChannelMarker},
};

use self::{close::Ending, pacing::Pacing};
use crate::{
    id::{GuildId, RoomId},
    rest::SessionStartLimit,
    translate::{Payload, status_request, translate},
    update::{Delivery, GuildSnapshot, Loss, News, RoomKind, SessionPlace, ShardIndex, Update},
    voice::{Switchboard, VoiceWish},
};

/// What Parlor asks Discord to tell: guilds with their channels, and voice states. Neither is a privileged intent.
pub const INTENTS: Intents = Intents::GUILDS.union(Intents::GUILD_VOICE_STATES);

/// How many updates may wait for the directory.
pub const QUEUE: usize = 8_192;

/// How long Discord may take to answer our close frame before the socket is dropped.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// How long a new connection may take until the session is up, identify queue included: a peer that accepts and then
/// says nothing is given up.
const START_GRACE: Duration = Duration::from_secs(60);

/// How often a shard that has no news says that it still hears Discord.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// How the gateway is reached.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// The bot's token.
    pub token: SecretString,
    /// Where the gateway is, without a trailing slash: `wss://gateway.discord.gg`.
    pub url: String,
    /// How many shards there are in all.
    pub shards: u32,
    /// How many sessions may be started, as Discord said at start.
    pub session_starts: SessionStartLimit,
    /// The sessions to go on with, from before the process started.
    pub resume: BTreeMap<ShardIndex, SessionPlace>,
    /// Whether the sessions outlive the process. If so they are left open at the end, and the bot shows as online for
    /// as long as Discord keeps them.
    pub keep_sessions: bool,
    /// Where voice sessions ask, and hear.
    pub voice: Arc<Switchboard>,
}

/// Discord refused the bot with a close code that repeating cannot mend.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the gateway closed with {code}: {}", close::advice(*.code))]
pub struct Refused {
    /// The close code.
    pub code: u16,
}

/// Runs every shard until `shutdown`, or until Discord refuses one for good.
///
/// What they hear goes to `deliveries`; whoever reads them should keep up. If they do not, the connection is closed and
/// resumed, so that nothing is lost.
pub async fn run(
    mut config: GatewayConfig,
    deliveries: mpsc::Sender<Delivery>,
    shutdown: CancellationToken,
) -> Result<(), Refused> {
    let limit = config.session_starts;
    let queue = InMemoryQueue::new(limit.max_concurrency, limit.remaining, limit.reset_after, limit.total);
    let base = ConfigBuilder::new(config.token.expose_secret().to_owned(), INTENTS)
        .proxy_url(config.url.clone())
        .queue(queue)
        .build();
    let mut shards = tokio::task::JoinSet::new();
    for index in 0..config.shards.max(1) {
        let now = SystemTime::now();
        let task = ShardTask {
            index: ShardIndex(index),
            id: ShardId::new_checked(index, config.shards.max(1)).expect("the index is below the count"),
            base: base.clone(),
            deliveries: deliveries.clone(),
            shutdown: shutdown.clone(),
            resume: config.resume.remove(&ShardIndex(index)),
            keep_session: config.keep_sessions,
            voice: Arc::clone(&config.voice),
            pacing: Pacing::default(),
            unanswered: BTreeSet::new(),
            reading: None,
            last_heard: now,
            last_told: now,
        };
        shards.spawn(task.run());
    }
    while let Some(ended) = shards.join_next().await {
        // A refusal of one shard is a refusal of the bot: the others would only go on telling half of it.
        ended.expect("a shard task does not panic and is not aborted")?;
    }
    Ok(())
}

struct ShardTask {
    index: ShardIndex,
    id: ShardId,
    base: Config<InMemoryQueue>,
    deliveries: mpsc::Sender<Delivery>,
    shutdown: CancellationToken,
    /// What it takes to go on with the session on another connection.
    resume: Option<SessionPlace>,
    keep_session: bool,
    voice: Arc<Switchboard>,
    pacing: Pacing,
    /// The guilds whose status lines were asked for and have not come.
    unanswered: BTreeSet<GuildId>,
    /// When the newest payload was read, while more may wait in the socket.
    reading: Option<SystemTime>,
    /// When everything that had come from Discord had last been read. What is read after this may be old: a process that
    /// was stopped finds in its socket what came meanwhile, and what Discord dropped after it happened then, not now.
    last_heard: SystemTime,
    /// When the last delivery was made.
    last_told: SystemTime,
}

/// Why [`ShardTask::read`] returned.
enum Exit {
    Ended(Ending),
    Shutdown,
}

impl ShardTask {
    async fn run(mut self) -> Result<(), Refused> {
        let shutdown = self.shutdown.clone();
        loop {
            let mut shard = self.connect();
            let ending = match self.read(&mut shard).await {
                Exit::Ended(ending) => ending,
                Exit::Shutdown => {
                    // 1000 ends the session and shows the bot offline at once; any other code leaves it to be resumed.
                    shard.close(if self.keep_session { CloseFrame::RESUME } else { CloseFrame::NORMAL });
                    flush_close(&mut shard).await;
                    return Ok(());
                }
            };
            metrics::counter!("parlor_gateway_reconnects_total", "code" => ending.label()).increment(1);
            let loss = self.keep_session(&shard, ending);
            // The directory has room again before the next connection is made, so that a resume makes progress.
            let lost = Update::ConnectionLost { shard: self.index, loss, last_heard: self.last_heard };
            let lost = self.delivery(Some(lost), self.resume.clone());
            if self.deliveries.send(lost).await.is_err() {
                return Ok(());
            }
            if let (Loss::Refused, Ending::Closed(code)) = (loss, ending) {
                let refused = Refused { code };
                error!(shard = self.index.0, code, "{refused}");
                return Err(refused);
            }
            let pause = self.pacing.closed(fastrand::f64(), Instant::now());
            info!(shard = self.index.0, ?ending, ?loss, ?pause, "gateway connection ended");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => return Ok(()),
            }
        }
    }

    /// A shard that resumes what is kept, or starts anew.
    fn connect(&self) -> Shard<InMemoryQueue> {
        let mut config = ConfigBuilder::from(self.base.clone());
        if let Some(SessionPlace { session_id, sequence, resume_url }) = &self.resume {
            config = config.session(Session::new(*sequence, session_id.clone()));
            if let Some(url) = resume_url {
                config = config.resume_url(url.clone());
            }
        }
        Shard::with_config(self.id, config.build())
    }

    /// Reads one connection to its end.
    async fn read(&mut self, shard: &mut Shard<InMemoryQueue>) -> Exit {
        let shutdown = self.shutdown.clone();
        let start_limit = tokio::time::sleep(START_GRACE);
        tokio::pin!(start_limit);
        let (mut opened, mut started) = (false, false);
        let mut wishes = self.voice.wishes();
        loop {
            let next = tokio::select! {
                next = self.next_payload(shard, &mut opened) => next,
                Ok(()) = wishes.changed(), if started => {
                    self.carry_out_wishes(shard);
                    continue;
                }
                () = shutdown.cancelled() => return Exit::Shutdown,
                () = &mut start_limit, if !started => {
                    shard.close(CloseFrame::RESUME);
                    flush_close(shard).await;
                    return Exit::Ended(Ending::Dropped);
                }
            };
            let text = match next {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => return Exit::Ended(ending_of(frame.as_ref())),
                None => return Exit::Ended(Ending::Dropped),
                Some(Err(error)) if matches!(error.kind(), ReceiveMessageErrorType::Reconnect) => {
                    warn!(shard = self.index.0, error = source_of(&error), "cannot reach the gateway");
                    return Exit::Ended(Ending::NotMade);
                }
                Some(Err(error)) if matches!(error.kind(), ReceiveMessageErrorType::Compression) => {
                    flush_close(shard).await;
                    return Exit::Ended(Ending::Garbled);
                }
                // The error's text holds the whole payload, which is nobody's business.
                Some(Err(_)) => {
                    self.skipped("a gateway payload that is not one");
                    continue;
                }
            };
            self.reading = Some(SystemTime::now());
            let updates = match translate(self.index, &text) {
                Ok(Payload::Update(update)) => vec![update],
                Ok(Payload::Statuses { guild, statuses }) => self.statuses(guild, statuses),
                Ok(Payload::Ignored) => {
                    self.sign_of_life(shard);
                    continue;
                }
                Ok(Payload::VoiceServer(server)) => {
                    self.voice.assigned(server);
                    self.sign_of_life(shard);
                    continue;
                }
                Ok(Payload::Reconnect) => {
                    flush_close(shard).await;
                    return Exit::Ended(Ending::ReconnectAsked);
                }
                Ok(Payload::InvalidSession(resumable)) => {
                    flush_close(shard).await;
                    return Exit::Ended(Ending::SessionVoid { resumable });
                }
                Err(error) => {
                    self.skipped(&error.to_string());
                    self.sign_of_life(shard);
                    continue;
                }
            };
            updates.iter().for_each(|update| self.voice.heard(update, |guild| self.is_ours(guild)));
            match updates.first() {
                Some(Update::SessionStarted { .. } | Update::SessionResumed(_)) => {
                    started = true;
                    self.pacing.active(Instant::now());
                    let resumed = matches!(updates.first(), Some(Update::SessionResumed(_)));
                    info!(shard = self.index.0, resumed, "gateway session is up");
                    self.ask_again(shard, resumed);
                    self.carry_out_wishes(shard);
                }
                Some(Update::Guild(guild)) => self.ask_for_statuses(shard, guild),
                Some(
                    Update::GuildUnavailable(_)
                    | Update::GuildLeft(_)
                    | Update::GuildChanged { .. }
                    | Update::Within(..)
                    | Update::ConnectionLost { .. },
                ) => {}
                None => {
                    self.sign_of_life(shard);
                    continue;
                }
            }
            if let Err(exit) = self.pass_on(updates, shard).await {
                return exit;
            }
        }
    }

    /// The next payload; none once the connection is gone. Where none is there, everything that has come has been read.
    async fn next_payload(
        &mut self,
        shard: &mut Shard<InMemoryQueue>,
        opened: &mut bool,
    ) -> Option<Result<Message, ReceiveMessageError>> {
        poll_fn(|context| {
            let next = shard.poll_next_unpin(context);
            let is_open = !matches!(shard.state(), ShardState::Disconnected { .. });
            if next.is_pending() && *opened && !is_open {
                // twilight does not tell of a connection that ends without a close frame: it is about to make the next, at once.
                return Poll::Ready(None);
            }
            *opened |= is_open;
            // A task that has read for long is made to pause though there is more.
            if next.is_pending()
                && has_budget_remaining()
                && let Some(read_at) = self.reading.take()
            {
                self.last_heard = read_at;
            }
            next
        })
        .await
    }

    /// Hands over what one payload has told. Only the last update says that the session goes on after the payload, so
    /// that a resume skips none of them.
    async fn pass_on(&mut self, updates: Vec<Update>, shard: &mut Shard<InMemoryQueue>) -> Result<(), Exit> {
        let place = place_of(shard);
        let last = updates.len().saturating_sub(1);
        for (index, update) in updates.into_iter().enumerate() {
            let reached = if index == last { place.clone() } else { self.resume.clone() };
            match self.deliveries.try_send(self.delivery(Some(update), reached)) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Closed(_)) => return Err(Exit::Shutdown),
                Err(mpsc::error::TrySendError::Full(_)) => {
                    warn!(shard = self.index.0, "updates come faster than they are stored: closing to resume");
                    shard.close(CloseFrame::RESUME);
                    flush_close(shard).await;
                    return Err(Exit::Ended(Ending::Overflow));
                }
            }
        }
        self.delivered(place);
        Ok(())
    }

    /// Asks for the status lines of a guild's voice channels: its snapshot has none.
    fn ask_for_statuses(&mut self, shard: &Shard<InMemoryQueue>, guild: &GuildSnapshot) {
        if guild.rooms.iter().any(|room| room.kind == RoomKind::Voice) {
            self.unanswered.insert(guild.guild);
            shard.send(status_request(guild.guild));
        }
    }

    /// Asks anew for what was not answered before the connection broke. A new session has nothing to be answered yet.
    fn ask_again(&mut self, shard: &Shard<InMemoryQueue>, resumed: bool) {
        if !resumed {
            self.unanswered.clear();
        }
        for guild in &self.unanswered {
            shard.send(status_request(*guild));
        }
    }

    fn statuses(&mut self, guild: GuildId, statuses: Vec<(RoomId, Option<String>)>) -> Vec<Update> {
        self.unanswered.remove(&guild);
        let news = statuses.into_iter().map(|(room, status)| Update::Within(guild, News::RoomStatus(room, status)));
        news.collect()
    }

    /// Whether Discord tells of the guild on this shard (Discord docs, events/gateway, "Sharding").
    fn is_ours(&self, guild: GuildId) -> bool {
        (guild.get() >> 22) % u64::from(self.id.total()) == u64::from(self.id.number())
    }

    /// Asks Discord for what voice sessions want.
    fn carry_out_wishes(&self, shard: &Shard<InMemoryQueue>) {
        for (guild, VoiceWish { room, self_mute, self_deaf }) in self.voice.take(|guild| self.is_ours(guild)) {
            let Some(guild) = Id::new_checked(guild.get()) else { continue };
            let room: Option<Id<ChannelMarker>> = room.and_then(|room| Id::new_checked(room.get()));
            shard.command(&UpdateVoiceState::new(guild, room, self_deaf, self_mute));
        }
    }

    fn delivery(&self, update: Option<Update>, session: Option<SessionPlace>) -> Delivery {
        Delivery { shard: self.index, update, session, heard_at: self.last_heard }
    }

    /// Notes that everything up to this place has been passed on: where a resume has to begin.
    fn delivered(&mut self, place: Option<SessionPlace>) {
        self.resume = place.or_else(|| self.resume.take());
        self.last_told = self.last_heard;
    }

    /// Passes on, now and then, that Discord is heard although it says nothing of interest.
    fn sign_of_life(&mut self, shard: &Shard<InMemoryQueue>) {
        let place = place_of(shard);
        if self.last_heard.duration_since(self.last_told).is_ok_and(|silence| silence < SIGN_OF_LIFE) {
            self.resume = place.or_else(|| self.resume.take());
        } else if self.deliveries.try_send(self.delivery(None, place.clone())).is_ok() {
            self.delivered(place);
        }
    }

    /// Keeps or drops the session as the ending demands, and says which.
    fn keep_session(&mut self, shard: &Shard<InMemoryQueue>, ending: Ending) -> Loss {
        match ending.loss() {
            Loss::SessionKept if self.resume.is_some() => {
                if ending == Ending::NotMade {
                    // The resume URL may be what is dead; the main one can resume as well.
                    self.resume.iter_mut().for_each(|place| place.resume_url = None);
                }
                debug!(shard = self.index.0, latency = ?shard.latency().average(), "the session is kept");
                Loss::SessionKept
            }
            Loss::SessionKept | Loss::SessionLost => {
                self.resume = None;
                Loss::SessionLost
            }
            Loss::Refused => Loss::Refused,
        }
    }

    fn skipped(&self, what: &str) {
        metrics::counter!("parlor_gateway_skipped_total").increment(1);
        warn!(shard = self.index.0, "skipped {what}; the next guild snapshot repairs what it would have told");
    }
}

/// Lets twilight send its close frame and hear the answer. It would go on to connect anew by itself, which the limit
/// and the caller's dropping of the shard prevent.
async fn flush_close(shard: &mut Shard<InMemoryQueue>) {
    let closed = async {
        while let Some(next) = shard.next().await {
            if matches!(next, Ok(Message::Close(_)) | Err(_)) {
                break;
            }
        }
    };
    // Whether the answer came or not, the connection is over.
    let _ = tokio::time::timeout(CLOSE_GRACE, closed).await;
}

/// Where a resume of the shard's session would go on.
fn place_of(shard: &Shard<InMemoryQueue>) -> Option<SessionPlace> {
    shard.session().map(|session| SessionPlace {
        session_id: session.id().to_owned(),
        sequence: session.sequence(),
        resume_url: shard.resume_url().map(ToOwned::to_owned),
    })
}

fn ending_of(frame: Option<&CloseFrame<'_>>) -> Ending {
    match frame {
        // twilight tells of a broken connection with the code that RFC 6455 §7.4.1 reserves for it.
        None | Some(CloseFrame { code: 1006, .. }) => Ending::Dropped,
        Some(frame) => Ending::Closed(frame.code),
    }
}

fn source_of(error: &dyn std::error::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

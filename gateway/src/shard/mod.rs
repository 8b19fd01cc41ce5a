//! The gateway connections: one task per shard, which does nothing but read, translate and pass on.
//!
//! Each connection is a twilight `Shard` of its own, thrown away when the connection ends. That leaves the pace of
//! reconnecting, and the choice between resuming and starting anew, to us (see `pacing.rs`).

mod close;
mod pacing;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use twilight_gateway::{
    CloseFrame, Config, ConfigBuilder, Intents, Message, Session, Shard, ShardId, error::ReceiveMessageErrorType,
    queue::InMemoryQueue,
};

use self::{close::Ending, pacing::Pacing};
use crate::{
    rest::SessionStartLimit,
    translate::{Payload, translate},
    update::{Loss, ShardIndex, Update},
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
/// Updates go to `updates`; whoever reads them should keep up. If they do not, the connection is closed and resumed, so
/// that nothing is lost.
pub async fn run(
    config: GatewayConfig,
    updates: mpsc::Sender<Update>,
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
        let task = ShardTask {
            index: ShardIndex(index),
            id: ShardId::new_checked(index, config.shards.max(1)).expect("the index is below the count"),
            base: base.clone(),
            updates: updates.clone(),
            shutdown: shutdown.clone(),
            resume: None,
            pacing: Pacing::default(),
            last_heard: SystemTime::now(),
        };
        shards.spawn(task.run());
    }
    while let Some(ended) = shards.join_next().await {
        // A refusal of one shard is a refusal of the bot: the others would only go on telling half of it.
        ended.expect("a shard task does not panic and is not aborted")?;
    }
    Ok(())
}

/// What it takes to go on with a session on another connection.
struct Resume {
    session: Session,
    /// Where Discord wants the session to be resumed; the main URL if that has failed.
    url: Option<Arc<str>>,
}

struct ShardTask {
    index: ShardIndex,
    id: ShardId,
    base: Config<InMemoryQueue>,
    updates: mpsc::Sender<Update>,
    shutdown: CancellationToken,
    resume: Option<Resume>,
    pacing: Pacing,
    last_heard: SystemTime,
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
                    // The session is not kept between processes, so Discord may as well show the bot offline at once.
                    shard.close(CloseFrame::NORMAL);
                    flush_close(&mut shard).await;
                    return Ok(());
                }
            };
            metrics::counter!("parlor_gateway_reconnects_total", "code" => ending.label()).increment(1);
            let loss = self.keep_session(&shard, ending);
            // The directory has room again before the next connection is made, so that a resume makes progress.
            let lost = Update::ConnectionLost { shard: self.index, loss, last_heard: self.last_heard };
            if self.updates.send(lost).await.is_err() {
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
        if let Some(Resume { session, url }) = &self.resume {
            config = config.session(session.clone());
            if let Some(url) = url {
                config = config.resume_url(url.to_string());
            }
        }
        Shard::with_config(self.id, config.build())
    }

    /// Reads one connection to its end.
    async fn read(&mut self, shard: &mut Shard<InMemoryQueue>) -> Exit {
        let shutdown = self.shutdown.clone();
        let start_limit = tokio::time::sleep(START_GRACE);
        tokio::pin!(start_limit);
        let mut started = false;
        loop {
            let next = tokio::select! {
                next = shard.next() => next,
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
            self.last_heard = SystemTime::now();
            let update = match translate(self.index, &text) {
                Ok(Payload::Update(update)) => update,
                Ok(Payload::Ignored) => {
                    self.delivered(shard);
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
                    self.delivered(shard);
                    continue;
                }
            };
            if matches!(update, Update::SessionStarted { .. } | Update::SessionResumed(_)) {
                started = true;
                self.pacing.active(Instant::now());
                info!(
                    shard = self.index.0,
                    resumed = matches!(update, Update::SessionResumed(_)),
                    "gateway session is up"
                );
            }
            match self.updates.try_send(update) {
                Ok(()) => self.delivered(shard),
                Err(mpsc::error::TrySendError::Closed(_)) => return Exit::Shutdown,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    warn!(shard = self.index.0, "updates come faster than they are stored: closing to resume");
                    shard.close(CloseFrame::RESUME);
                    flush_close(shard).await;
                    return Exit::Ended(Ending::Overflow);
                }
            }
        }
    }

    /// Notes that everything up to the shard's sequence has been passed on: where a resume has to begin.
    fn delivered(&mut self, shard: &Shard<InMemoryQueue>) {
        if let Some(session) = shard.session() {
            let url = shard.resume_url().map(Arc::from);
            self.resume = Some(Resume { session: session.clone(), url });
        }
    }

    /// Keeps or drops the session as the ending demands, and says which.
    fn keep_session(&mut self, shard: &Shard<InMemoryQueue>, ending: Ending) -> Loss {
        match ending.loss() {
            Loss::SessionKept if self.resume.is_some() => {
                if ending == Ending::NotMade {
                    // The resume URL may be what is dead; the main one can resume as well.
                    self.resume.iter_mut().for_each(|resume| resume.url = None);
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

//! Speaking in a session, alone or while hearing it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parlor_proto::v1::{self, send_audio_request, stream_audio_request, stream_audio_response};
use tokio::{sync::oneshot, time::Interval};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Status, Streaming};

use super::{
    Answers, VoiceParts,
    hear::{ended, frame, status},
    stream::{Guard, STATUS, every, until_an_error},
};
use crate::{
    auth::{Listen, Principal, Speak, principal_of},
    services::fields::Fields,
    status::{Failure, Reason},
    voice::{Format, Hearing, LeaseHold, Session, Speaking, Speech},
};

/// Drops are told of at most so often.
const DROPS: Duration = Duration::from_secs(1);

/// What both kinds of stream say after `open`.
enum Said {
    Frame(v1::SourceFrame),
    Change(v1::SourceChange),
    Finish,
}

/// A stream of a caller's messages, whichever it is.
trait Messages: Send + 'static {
    /// The next message after `open`; an inner none is one that says nothing, or `open` again.
    async fn said(&mut self) -> Result<Option<Option<Said>>, Status>;
}

impl Messages for Streaming<v1::SendAudioRequest> {
    async fn said(&mut self) -> Result<Option<Option<Said>>, Status> {
        use send_audio_request::Body;
        Ok(self.message().await?.map(|message| match message.body {
            Some(Body::Frame(frame)) => Some(Said::Frame(frame)),
            Some(Body::Change(change)) => Some(Said::Change(change)),
            Some(Body::Finish(v1::FinishSpeaking {})) => Some(Said::Finish),
            Some(Body::Open(_)) | None => None,
        }))
    }
}

impl Messages for Streaming<v1::StreamAudioRequest> {
    async fn said(&mut self) -> Result<Option<Option<Said>>, Status> {
        use stream_audio_request::Body;
        Ok(self.message().await?.map(|message| match message.body {
            Some(Body::Frame(frame)) => Some(Said::Frame(frame)),
            Some(Body::Change(change)) => Some(Said::Change(change)),
            Some(Body::Finish(v1::FinishSpeaking {})) => Some(Said::Finish),
            Some(Body::Open(_)) | None => None,
        }))
    }
}

/// The first message is not what it has to be.
fn not_open() -> Failure {
    Failure::bad_request([("open".to_owned(), "has to be the first message, and only the first".to_owned())])
}

/// Lets a caller speak, who may.
fn speaking(session: &Arc<Session>, speech: Speech) -> Result<Arc<Speaking>, Failure> {
    let speaking = Speaking::begin(session, speech).map_err(|_| {
        let most = crate::voice::MOST_SOURCES;
        let message = format!("the session has {most} sources, and takes no more");
        Failure::new(Reason::VoiceSourceQuota, message).quota("session", format!("{most} sources"))
    });
    speaking.map(Arc::new)
}

/// Plays everything that the caller gives, until the stream ends.
async fn play(messages: &mut impl Messages, speaking: &Speaking, format: Format) -> Result<(), Status> {
    while let Some(said) = messages.said().await? {
        let mut fields = Fields::default();
        match said.ok_or_else(not_open)? {
            Said::Frame(frame) => {
                let frame = fields.audio(format, &frame.audio);
                fields.finish()?;
                speaking.give(frame.expect("wrong audio is a wrong field")).await;
            }
            Said::Change(change) => {
                let volume = fields.volume("change.volume_percent", change.volume_percent);
                let priority = fields.priority("change.priority", change.priority);
                fields.finish()?;
                speaking.change(volume, priority);
            }
            Said::Finish => speaking.finish(),
        }
    }
    Ok(())
}

fn report(speaking: &Speaking) -> v1::SourceReport {
    let report = speaking.report();
    v1::SourceReport {
        frames_played: report.played,
        frames_dropped: report.dropped,
        frames_unsent: report.unsent,
        frames_waiting: u32::try_from(report.waiting).unwrap_or(u32::MAX),
    }
}

/// SendAudio.
pub(super) async fn send(
    parts: &Arc<VoiceParts>,
    request: Request<Streaming<v1::SendAudioRequest>>,
) -> Result<v1::SendAudioResponse, Status> {
    let principal = principal_of(request.extensions())?;
    principal.covered::<Speak>()?;
    let mut messages = request.into_inner();
    let Some(v1::SendAudioRequest { body: Some(send_audio_request::Body::Open(open)) }) = messages.message().await?
    else {
        return Err(not_open().into());
    };
    let mut fields = Fields::default();
    let id = fields.uuid("open.session_id", &open.session_id);
    let lease = fields.optional_uuid("open.lease_id", &open.lease_id);
    let (speech, format) = fields.speak("open.speak", &open.speak.unwrap_or_default());
    fields.finish()?;
    let session = parts.session(id)?;
    principal.permit::<Speak>(session.guild())?;
    let _hold = parts.hold(&session, lease, &principal)?;
    let guard = parts.guard(principal)?;
    let speaking = speaking(&session, speech)?;
    let playing = async {
        play(&mut messages, &speaking, format).await?;
        speaking.finished().await;
        Ok::<(), Status>(())
    };
    tokio::select! {
        status = guard.over() => return Err(status),
        // A session that is over plays nothing more, and its caller should not wait to be told.
        () = session.has_ended() => {}
        played = playing => played?,
    }
    let ending = session.ended().map(|ended| ended.ending).unwrap_or_default();
    Ok(v1::SendAudioResponse { source: Some(report(&speaking)), ending: ending.into() })
}

/// What a StreamAudio call is to do.
struct Opened {
    session: Arc<Session>,
    hold: Option<LeaseHold>,
    guard: Guard,
    hearing: Option<Hearing>,
    speaking: Option<(Arc<Speaking>, Format)>,
}

fn open(parts: &Arc<VoiceParts>, principal: &Arc<Principal>, open: &v1::OpenAudio) -> Result<Opened, Status> {
    if open.listen.is_some() || open.speak.is_none() {
        principal.covered::<Listen>()?;
    }
    if open.speak.is_some() {
        principal.covered::<Speak>()?;
    }
    let mut fields = Fields::default();
    let id = fields.uuid("open.session_id", &open.session_id);
    let lease = fields.optional_uuid("open.lease_id", &open.lease_id);
    let wanted = open.listen.as_ref().map(|listen| fields.listen("open.listen", listen));
    let speak = open.speak.as_ref().map(|speak| fields.speak("open.speak", speak));
    if wanted.is_none() && speak.is_none() {
        fields.wrong("open", "says neither what to hear nor how to speak");
    }
    fields.finish()?;
    let session = parts.session(id)?;
    if wanted.is_some() {
        principal.permit::<Listen>(session.guild())?;
    }
    if speak.is_some() {
        principal.permit::<Speak>(session.guild())?;
    }
    let hold = parts.hold(&session, lease, principal)?;
    let guard = parts.guard(Arc::clone(principal))?;
    let speaking = match speak {
        Some((speech, format)) => Some((speaking(&session, speech)?, format)),
        None => None,
    };
    let hearing = match wanted {
        Some(wanted) => Some(parts.hear(&session, wanted, principal)?),
        None => None,
    };
    Ok(Opened { session, hold, guard, hearing, speaking })
}

/// StreamAudio.
pub(super) async fn stream(
    parts: &Arc<VoiceParts>,
    request: Request<Streaming<v1::StreamAudioRequest>>,
) -> Result<Answers<v1::StreamAudioResponse>, Status> {
    let principal = principal_of(request.extensions())?;
    let mut messages = request.into_inner();
    let Some(v1::StreamAudioRequest { body: Some(stream_audio_request::Body::Open(first)) }) =
        messages.message().await?
    else {
        return Err(not_open().into());
    };
    let Opened { session, hold, guard, hearing, speaking } = open(parts, &principal, &first)?;
    let (tell, played) = oneshot::channel();
    let (source, format) = speaking.unzip();
    let player = tokio::spawn({
        let source = source.clone();
        async move {
            let outcome = match (&source, format) {
                (Some(source), Some(format)) => {
                    let outcome = play(&mut messages, source, format).await;
                    if outcome.is_ok() {
                        source.finished().await;
                    }
                    outcome
                }
                _ => only_listens(&mut messages).await,
            };
            // The stream may be gone.
            let _ = tell.send(outcome);
        }
    });
    let both = Both {
        session,
        hearing,
        source,
        played: Some(played),
        guard,
        status: every(STATUS),
        told_dropped: (0, Instant::now()),
        waiting: Vec::new(),
        stage: Stage::Beginning,
        _hold: hold,
        _player: AbortOnDropHandle::new(player),
    };
    Ok(Box::pin(until_an_error(both, async |both| {
        let body = match both.next().await? {
            Ok(body) => body,
            Err(status) => return Some(Err(status)),
        };
        Some(Ok(v1::StreamAudioResponse { body: Some(body) }))
    })))
}

/// A caller who only listens says nothing more.
async fn only_listens(messages: &mut impl Messages) -> Result<(), Status> {
    match messages.said().await? {
        None => Ok(()),
        Some(_) => {
            let wrong = ("open.speak".to_owned(), "is not set, so nothing can be said".to_owned());
            Err(Failure::bad_request([wrong]).into())
        }
    }
}

/// A caller who hears and speaks.
struct Both {
    session: Arc<Session>,
    hearing: Option<Hearing>,
    source: Option<Arc<Speaking>>,
    /// What became of what the caller says; none once that is known.
    played: Option<oneshot::Receiver<Result<(), Status>>>,
    guard: Guard,
    status: Interval,
    /// How many drops were told of, and when.
    told_dropped: (u64, Instant),
    /// What is to be said next.
    waiting: Vec<stream_audio_response::Body>,
    stage: Stage,
    _hold: Option<LeaseHold>,
    _player: AbortOnDropHandle<()>,
}

enum Stage {
    Beginning,
    Open,
    /// What waits is the last.
    Ending,
}

impl Both {
    async fn next(&mut self) -> Option<Result<stream_audio_response::Body, Status>> {
        use stream_audio_response::Body;
        loop {
            if let Some(body) = self.waiting.pop() {
                return Some(self.guard.check().map(|()| body));
            }
            match self.stage {
                Stage::Beginning => {
                    self.stage = Stage::Open;
                    self.say_how_it_stands();
                    continue;
                }
                Stage::Ending => return None,
                Stage::Open => {}
            }
            let only_speaks = self.hearing.is_none();
            let hearing = &mut self.hearing;
            let heard = async {
                match hearing {
                    Some(hearing) => hearing.next().await,
                    None => std::future::pending().await,
                }
            };
            let played = &mut self.played;
            let has_played = async {
                match played {
                    Some(played) => played.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = self.guard.over() => return Some(Err(status)),
                heard = heard => match heard {
                    Some(heard) => self.waiting.push(Body::Frame(frame(&heard))),
                    None => self.end(),
                },
                () = self.session.has_ended(), if only_speaks => self.end(),
                outcome = has_played => {
                    self.played = None;
                    match outcome {
                        Ok(Ok(())) => self.has_finished(),
                        Ok(Err(status)) => return Some(Err(status)),
                        // It ends without a word only where it panicked.
                        Err(_) => return Some(Err(Failure::new(Reason::Internal, "an unexpected error").into())),
                    }
                }
                _ = self.status.tick() => self.say_how_it_stands(),
            }
            self.say_what_was_dropped();
        }
    }

    /// How hearing and speaking stand; the last that is pushed is the first that is said.
    fn say_how_it_stands(&mut self) {
        use stream_audio_response::Body;
        self.waiting.extend(self.source.as_deref().map(|source| Body::Source(report(source))));
        let hearing = self.hearing.as_ref().map(status).unwrap_or_default();
        self.waiting.push(Body::Status(hearing));
    }

    fn say_what_was_dropped(&mut self) {
        let Some(source) = &self.source else { return };
        let (told, at) = self.told_dropped;
        let dropped = source.report().dropped;
        if dropped > told && at.elapsed() >= DROPS {
            self.told_dropped = (dropped, Instant::now());
            self.waiting.push(stream_audio_response::Body::Source(report(source)));
        }
    }

    /// The caller says nothing more, and everything was played.
    fn has_finished(&mut self) {
        use stream_audio_response::Body;
        self.waiting.extend(self.source.as_deref().map(|source| Body::Source(report(source))));
        if self.hearing.is_none() {
            self.stage = Stage::Ending;
        }
    }

    /// The session is over.
    fn end(&mut self) {
        use stream_audio_response::Body;
        self.waiting.push(Body::Ended(ended(&self.session)));
        self.waiting.extend(self.source.as_deref().map(|source| Body::Source(report(source))));
        self.stage = Stage::Ending;
    }
}

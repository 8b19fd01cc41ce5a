//! The task of one session: wait for one thing, feed it to the core, do what the core wants.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use parlor_gateway::{
    GuildId, RoomId, RoomKind, UserId, VoiceFlags,
    voice::{Line, VoiceNews, VoiceServer, VoiceWish},
};
use parlor_proto::v1::{SpeechObstacle as Obstacle, VoiceSessionEnding as Ending};
use parlor_voice::{
    Counters, Davey, Disconnect, Event, Frame, Input, Outcome, Output, Signal, SocketId,
    audio::{FRAME, Mixer, Unpacker},
    wire::{self, gateway::Credential},
};
use rustls::ClientConfig;
use secrecy::ExposeSecret as _;
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    time::{sleep_until, timeout},
};
use tracing::{debug, info, warn};

use super::{
    errands::Errands,
    footing::Footing,
    listeners::{Format, Said},
    picture::Ended,
    session::{Command, Ends, Session},
    socket::{FromSocket, ToSocket, carry},
};
use crate::{hub::Hub, telemetry::names};

/// Datagrams that are taken in before the core is asked what to do, at most: 640 ms of one speaker.
const BATCH: usize = 32;

/// No datagram of Discord's is longer.
const LONGEST_DATAGRAM: usize = 2_048;

/// Messages of a voice gateway that wait for the task; more wait in the kernel.
const SOCKET_QUEUE: usize = 64;

/// How often what is counted is shown, and slow watchers are looked after.
const SHOWING: Duration = Duration::from_secs(1);

/// How far the mixer may be behind before it gives up to catch up.
const MOST_BEHIND: Duration = Duration::from_millis(200);

/// For how long what is to be said waits for a connection or a key; after that it is played to nobody, and counted. A session
/// that is alone in its room may never get a key.
const HOLDING: Duration = Duration::from_secs(2);

/// How long Discord may take to say that the room is deleted which it has thrown the bot out of.
const DELETION: Duration = Duration::from_millis(300);

/// How long Discord may take to say that the bot has left.
const LEAVING: Duration = Duration::from_secs(1);

/// What a task is made of.
pub(super) struct Driver {
    pub(super) session: Arc<Session>,
    pub(super) ends: Ends,
    pub(super) core: parlor_voice::Session<Davey>,
    pub(super) line: Line,
    pub(super) tls: Arc<ClientConfig>,
    /// Bits per second of what is mixed.
    pub(super) bitrate: u32,
    /// Who knows of rooms.
    pub(super) hub: Arc<Hub>,
    /// Who asks Discord's REST API.
    pub(super) errands: Arc<Errands>,
}

/// What happened.
enum Happened {
    News(VoiceNews),
    Socket(SocketId, FromSocket),
    Datagrams,
    Command(Command),
    Nothing,
}

/// A driver at work.
struct Work {
    session: Arc<Session>,
    ends: Ends,
    core: parlor_voice::Session<Davey>,
    line: Line,
    tls: Arc<ClientConfig>,
    hub: Arc<Hub>,
    errands: Arc<Errands>,
    /// How the bot stands in its room.
    footing: Footing,
    sockets: BTreeMap<SocketId, mpsc::UnboundedSender<ToSocket>>,
    to_me: mpsc::Sender<(SocketId, FromSocket)>,
    from_sockets: mpsc::Receiver<(SocketId, FromSocket)>,
    udp: Option<UdpSocket>,
    mixer: Mixer,
    /// When the mixer's next turn is; none while nobody speaks.
    turn: Option<Instant>,
    /// When the mixer stops waiting for a connection and a key; none while there are both, or nothing to be said.
    holding: Option<Instant>,
    showing: Instant,
    ears: Ears,
    /// Why it ends.
    ending: Option<Ended>,
    /// Why media did not flow last.
    trouble: Option<Disconnect>,
    /// Where the bot is, as Discord said last.
    present: bool,
    /// The same moment on both clocks.
    clocks: (Instant, SystemTime),
}

/// What is made of frames for those who do not take them as they are.
#[derive(Default)]
struct Ears {
    unpackers: BTreeMap<(Format, Voice), Unpacker>,
    /// Frames that will not come, and have not been told of.
    lost: BTreeMap<Voice, u32>,
}

/// A user's source. Sources change hands: what is made up for one user must not come from another's sound.
type Voice = (UserId, u32);

impl Driver {
    /// Runs the session to its end.
    pub(super) async fn run(self) {
        let Self { session, ends, core, line, tls, bitrate, hub, errands } = self;
        let now = Instant::now();
        let (to_me, from_sockets) = mpsc::channel(SOCKET_QUEUE);
        let mut work = Work {
            clocks: (now, session.wall()),
            session,
            ends,
            core,
            line,
            tls,
            hub,
            errands,
            footing: Footing::default(),
            sockets: BTreeMap::new(),
            to_me,
            from_sockets,
            udp: None,
            mixer: Mixer::new(bitrate),
            turn: None,
            holding: None,
            showing: now + SHOWING,
            ears: Ears::default(),
            ending: None,
            trouble: None,
            present: false,
        };
        metrics::gauge!(names::VOICE_SESSIONS).increment(1.0);
        work.run().await;
        metrics::gauge!(names::VOICE_SESSIONS).decrement(1.0);
    }
}

impl Work {
    async fn run(&mut self) {
        while let Some(at) = self.drain() {
            match self.wait(at).await {
                Happened::News(news) => self.news(news),
                Happened::Socket(socket, from) => self.socket(socket, &from),
                Happened::Datagrams => self.datagrams(),
                Happened::Command(command) => self.command(command),
                Happened::Nothing => {}
            }
            self.run_what_is_due(Instant::now());
        }
        let mut ended = self.ending.take().unwrap_or_else(|| Ending::Released.into());
        if ended.ending == Ending::Kicked {
            let room = RoomId::new(self.core.channel().get());
            if room_is_deleted(Arc::clone(&self.hub), self.session.guild(), room).await {
                ended = Ending::RoomEnded.into();
            }
        }
        self.tell_the_end(ended);
        self.finish().await;
    }

    /// Waits for one thing, until then at most.
    async fn wait(&mut self, at: Instant) -> Happened {
        let at = at.min(self.showing).min(self.turn.unwrap_or(at));
        let at = self.session.shared().leases.due().map_or(at, |due| due.min(at));
        let udp = &self.udp;
        let readable = async {
            match udp {
                // An error shows when it is read.
                Some(udp) => drop(udp.readable().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = readable => Happened::Datagrams,
            Some((socket, from)) = self.from_sockets.recv() => Happened::Socket(socket, from),
            news = self.line.next() => Happened::News(news),
            Some(command) = self.ends.commands.recv() => Happened::Command(command),
            () = self.session.woken() => Happened::Nothing,
            () = sleep_until(at.into()) => Happened::Nothing,
        }
    }

    /// Does what the core wants. Returns when it wants to be woken; none once it is over.
    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.core.poll_output() {
                Output::Transmit(transmit) => self.transmit(transmit.destination, &transmit.payload),
                Output::Signal(signal) => self.signal(signal),
                Output::Event(event) => self.event(&event),
                Output::Timeout(at, _) => return Some(at),
                Output::Over => return None,
            }
        }
    }

    fn news(&mut self, news: VoiceNews) {
        let input = match news {
            VoiceNews::State { room, session, flags } => {
                self.present = room.is_some();
                self.stand(room, flags);
                Input::VoiceState {
                    channel: room.map(|room| wire::ChannelId::new(room.get())),
                    session_id: Credential::new(session.0),
                }
            }
            VoiceNews::Server(VoiceServer { endpoint, token, .. }) => {
                Input::VoiceServer { endpoint, token: Credential::new(token.expose_secret()) }
            }
            VoiceNews::Forgotten => {
                self.footing.forgotten();
                Input::MoveTo(self.core.channel())
            }
        };
        self.core.handle_input(input, Instant::now());
    }

    /// Discord says where the bot is, and whether it is heard there.
    fn stand(&mut self, room: Option<RoomId>, flags: VoiceFlags) {
        let guild = self.session.guild();
        let stage = room.filter(|room| {
            let snapshot = self.hub.snapshot();
            let facts = snapshot.guilds.get(&guild).and_then(|guild| guild.facts(*room));
            // Of a room that is new the hub may hear a moment later. Where it is no stage, Discord says so.
            facts.is_none_or(|facts| facts.kind == RoomKind::Stage)
        });
        let asks = self.footing.stands(room, stage.is_some(), flags);
        if let Some(stage) = stage.filter(|_| asks) {
            self.errands.speak_on_stage(&self.session, stage, Instant::now());
        }
        self.show_footing();
    }

    /// Tells the core and watchers what keeps the bot from being heard.
    fn show_footing(&mut self) {
        let obstacle = self.footing.obstacle();
        let suppressed = obstacle != Obstacle::Unspecified;
        self.core.handle_input(Input::SetSuppressed(suppressed), Instant::now());
        let mut shared = self.session.shared();
        if let Some(told) = shared.picture.meets(obstacle) {
            shared.tell(&self.session, told, self.session.wall());
            drop(shared);
            self.ends.over.send_modify(|_| {});
        }
    }

    fn socket(&mut self, socket: SocketId, from: &FromSocket) {
        let input = match from {
            FromSocket::Opened => Input::SocketOpened(socket),
            FromSocket::Text(text) => Input::Text(socket, text),
            FromSocket::Binary(bytes) => Input::Binary(socket, bytes),
            FromSocket::Closed(code) => {
                self.sockets.remove(&socket);
                Input::SocketClosed { socket, code: *code }
            }
        };
        self.core.handle_input(input, Instant::now());
    }

    /// Takes in what has come over UDP.
    fn datagrams(&mut self) {
        let Some(udp) = &self.udp else { return };
        let mut buffer = [0; LONGEST_DATAGRAM];
        for _ in 0..BATCH {
            match udp.try_recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let bytes = &mut buffer[..length];
                    self.core.handle_input(Input::Datagram { from, bytes }, Instant::now());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    debug!(%error, "a datagram could not be read");
                    return;
                }
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::End(ending) => {
                self.ending = Some(ending.into());
                self.core.handle_input(Input::Leave, Instant::now());
            }
            Command::StayInAudience(stage) => {
                self.footing.refused(stage);
                self.show_footing();
            }
            Command::SetOptedOut(user, opted_out) => {
                let input = Input::SetOptedOut { user: wire::UserId::new(user.get()), opted_out };
                self.core.handle_input(input, Instant::now());
                let mut shared = self.session.shared();
                let told = shared.picture.opted_out(user, opted_out);
                shared.tell(&self.session, told, self.session.wall());
            }
            Command::Verify(user, tell) => {
                let group = self.core.group();
                let verification = group.and_then(|group| group.verification(wire::UserId::new(user.get())));
                // Whoever asked may have gone.
                let _ = tell.send(verification);
            }
        }
    }

    /// Does what is due here, and lets the core do what is due there.
    fn run_what_is_due(&mut self, now: Instant) {
        let mut shared = self.session.shared();
        let released = self.ending.is_none() && shared.is_released(now);
        if self.turn.is_none() && shared.sources.are_waiting() {
            self.turn = Some(now);
        }
        drop(shared);
        if released {
            self.command(Command::End(Ending::Released));
            return;
        }
        if self.core.can_send() || self.turn.is_none() {
            self.holding = None;
        } else if now < *self.holding.get_or_insert(now + HOLDING) {
            // Looked at again with the next turn: nothing tells of a key.
            self.turn = self.turn.map(|_| now + FRAME);
        }
        while let Some(turn) = self.turn.filter(|turn| now >= *turn) {
            self.speak(turn, now);
        }
        if now >= self.showing {
            self.showing = now + SHOWING;
            self.show();
        }
        self.core.handle_input(Input::Timeout, now);
    }

    /// The mixer's turn.
    fn speak(&mut self, turn: Instant, now: Instant) {
        let said = self.session.shared().sources.turn(now);
        if !said.goes_on {
            self.turn = None;
            self.mixer.rest();
            self.core.handle_input(Input::FinishSpeaking, now);
            return;
        }
        // Turns that were missed for long are not made up for: that would be a burst that nobody can play.
        let next = turn + FRAME;
        self.turn = Some(if next + MOST_BEHIND < now { now + FRAME } else { next });
        let talked: Vec<_> = said.talkers.iter().map(|talker| talker.source).collect();
        let is_sent = match self.mixer.mix(said.talkers) {
            Ok(Some(packet)) => {
                let unsent = self.core.counters().unsent;
                self.core.handle_input(Input::Send(&packet), now);
                self.core.counters().unsent == unsent
            }
            Ok(None) => true,
            Err(error) => {
                warn!(%error, "cannot mix");
                false
            }
        };
        self.session.shared().sources.settle(&talked, is_sent);
    }

    fn transmit(&mut self, to: SocketAddr, payload: &[u8]) {
        if self.udp.is_none() {
            match bind(to) {
                Ok(udp) => self.udp = Some(udp),
                Err(error) => warn!(%error, "no UDP socket"),
            }
        }
        // What does not go out at once is late: the core repeats what has to arrive.
        if let Some(udp) = &self.udp
            && let Err(error) = udp.try_send_to(payload, to)
        {
            debug!(%error, "a datagram was not sent");
        }
    }

    fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::UpdateVoiceState { channel, self_mute, self_deaf } => {
                let room = channel.map(|channel| RoomId::new(channel.get()));
                self.line.ask(VoiceWish { room, self_mute, self_deaf });
            }
            Signal::OpenSocket { socket, url } => {
                let (send, out) = mpsc::unbounded_channel();
                self.sockets.insert(socket, send);
                tokio::spawn(carry(socket, url, Arc::clone(&self.tls), out, self.to_me.clone()));
            }
            Signal::SendText { socket, text } => self.to_socket(socket, ToSocket::Text(text)),
            Signal::SendBinary { socket, bytes } => self.to_socket(socket, ToSocket::Binary(bytes)),
            Signal::CloseSocket { socket, code } => {
                self.to_socket(socket, ToSocket::Close(code));
                self.sockets.remove(&socket);
            }
        }
    }

    fn to_socket(&self, socket: SocketId, message: ToSocket) {
        if let Some(out) = self.sockets.get(&socket) {
            // A websocket that has ended says so.
            let _ = out.send(message);
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Ended(ending) => {
                let ended = Ended::by_the_core(*ending, self.trouble);
                self.ending.get_or_insert(ended);
            }
            Event::Gap { user, ssrc, frames } => self.gap((UserId::new(user.get()), ssrc.get()), *frames),
            Event::Frame(frame) => self.frame(frame),
            Event::UserLeft(user) => self.ears.forget(UserId::new(user.get())),
            Event::Disconnected(why) => {
                self.ears = Ears::default();
                self.trouble = Some(*why);
            }
            Event::Connected { .. }
            | Event::Interrupted(_)
            | Event::Resumed
            | Event::UsersJoined(_)
            | Event::Source { .. }
            | Event::Speaking { .. }
            | Event::Encryption(_) => {}
        }
        let wall = self.session.wall();
        let mut shared = self.session.shared();
        let told = shared.picture.take_in(event, wall);
        let is_news = !told.is_empty();
        for event in told {
            shared.tell(&self.session, event, wall);
        }
        drop(shared);
        if is_news {
            self.ends.over.send_modify(|_| {});
        }
        if let Event::Connected { .. } = event {
            // It may be another room, whose text knows nothing of those who listen.
            self.errands.announce_where_heard(&self.session, Instant::now());
        }
    }

    fn gap(&mut self, voice: Voice, frames: u32) {
        let lost = self.ears.lost.entry(voice).or_default();
        *lost = lost.saturating_add(frames);
        for ((_, of), unpacker) in &mut self.ears.unpackers {
            if *of == voice {
                unpacker.gap(frames);
            }
        }
    }

    /// Gives a frame to everybody who wants it, in every format that somebody wants.
    fn frame(&mut self, frame: &Frame) {
        let user = UserId::new(frame.user.get());
        let formats = self.session.shared().listeners.formats(user);
        let ssrc = frame.ssrc.get();
        let lost = self.ears.lost.remove(&(user, ssrc)).unwrap_or_default();
        self.ears.keep((user, ssrc), &formats);
        let said = Said {
            user,
            ssrc,
            position: frame.position,
            media_time: frame.media_time,
            received: self.wall_of(frame.received),
            lost_before: lost,
            sealed: frame.sealed,
            concealed: false,
            audio: Bytes::new(),
        };
        for format in formats {
            let made = match format {
                Format::Opus => vec![Said { audio: Bytes::copy_from_slice(&frame.opus), ..said.clone() }],
                Format::Pcm(_) => self.ears.unpack(format, &frame.opus, &said),
            };
            for said in made {
                self.session.shared().listeners.give(format, &Arc::new(said));
            }
        }
    }

    fn wall_of(&self, moment: Instant) -> SystemTime {
        let (instant, wall) = self.clocks;
        wall + moment.saturating_duration_since(instant)
    }

    /// Shows what is counted.
    fn show(&mut self) {
        let mut shared = self.session.shared();
        let before = shared.picture.count(self.core.counters());
        shared.catch_up(&self.session, self.session.wall());
        drop(shared);
        report(&before, self.core.counters());
    }

    /// Tells everybody that it is over.
    fn tell_the_end(&mut self, ended: Ended) {
        self.show();
        let ending = ended.ending;
        let mut shared = self.session.shared();
        let wall = self.session.wall();
        let told = shared.picture.end(ended);
        shared.tell(&self.session, told, wall);
        shared.watchers.close();
        shared.listeners.close();
        shared.sources.close();
        drop(shared);
        info!(session = %self.session.id(), ending = ending.as_str_name(), "voice session ended");
        self.ends.over.send_modify(|_| {});
    }

    /// Waits a moment for Discord's word that the bot has left.
    async fn finish(&mut self) {
        let left = async {
            while self.present {
                if let VoiceNews::State { room: None, .. } = self.line.next().await {
                    self.present = false;
                }
            }
        };
        // Where Discord does not say so, the next session in this guild asks anew anyway.
        let _ = timeout(LEAVING, left).await;
        self.ends.over.send_replace(true);
    }
}

impl Ears {
    /// Forgets what nobody wants of somebody any more.
    fn keep(&mut self, voice: Voice, formats: &BTreeSet<Format>) {
        self.unpackers.retain(|(format, of), _| *of != voice || formats.contains(format));
    }

    /// Forgets the sources of a user.
    fn forget(&mut self, user: UserId) {
        self.unpackers.retain(|(_, (of, _)), _| *of != user);
        self.lost.retain(|(of, _), _| *of != user);
    }

    /// PCM of a frame, and of those that are missing before it as far as they can be made up.
    fn unpack(&mut self, format: Format, opus: &[u8], said: &Said) -> Vec<Said> {
        let Format::Pcm(channels) = format else { return Vec::new() };
        let unpacker = match self.unpackers.entry((format, (said.user, said.ssrc))) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => match Unpacker::new(channels) {
                Ok(unpacker) => entry.insert(unpacker),
                Err(error) => {
                    warn!(%error, "cannot decode");
                    return Vec::new();
                }
            },
        };
        let concealed = unpacker.concealable();
        let made = match unpacker.frame(opus) {
            Ok(made) => made,
            Err(error) => {
                warn!(%error, "cannot decode");
                return Vec::new();
            }
        };
        let lost_before = said.lost_before.saturating_sub(concealed);
        let first = made.len();
        made.into_iter()
            .zip(0..first)
            .map(|(pcm, place)| Said {
                position: said.position.saturating_sub(u64::from(pcm.before)),
                media_time: said.media_time.saturating_sub(FRAME * pcm.before),
                lost_before: if place == 0 { lost_before } else { 0 },
                concealed: pcm.is_concealed(),
                audio: pcm.to_bytes().into(),
                ..said.clone()
            })
            .collect()
    }
}

/// Whether a room is deleted: Discord may say so a moment after it has thrown everybody out.
async fn room_is_deleted(hub: Arc<Hub>, guild: GuildId, room: RoomId) -> bool {
    let mut changes = hub.changes();
    let is_there = || {
        let snapshot = hub.snapshot();
        let guild = snapshot.guilds.get(&guild);
        guild.is_some_and(|guild| guild.has_room(room) && !guild.is_ending(room))
    };
    let gone = async { while is_there() && changes.changed().await.is_ok() {} };
    timeout(DELETION, gone).await.is_ok()
}

/// A socket of the same family, on a port that the system picks.
fn bind(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 16], 0).into() };
    let udp = std::net::UdpSocket::bind(any)?;
    udp.set_nonblocking(true)?;
    UdpSocket::from_std(udp)
}

/// Adds what was counted since the last time to the metrics.
fn report(before: &Counters, now: &Counters) {
    for outcome in Outcome::ALL {
        let frames = now.frames.get(outcome).saturating_sub(before.frames.get(outcome));
        metrics::counter!(names::VOICE_FRAMES, "outcome" => outcome.label()).increment(frames);
    }
    let sent = [("sent", now.sent, before.sent), ("unsent", now.unsent, before.unsent)];
    for (outcome, now, before) in sent {
        metrics::counter!(names::VOICE_FRAMES_SENT, "outcome" => outcome).increment(now.saturating_sub(before));
    }
}

//! A voice session's whole outside: both gateways, datagrams, commands, time.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use parlor_voice::{Config, Event, Input, Output, Session, Signal, SocketId};
use parlor_voice_wire::{
    ChannelId, GuildId, Ssrc, UserId,
    discovery::Response,
    gateway::Credential,
    rtp::{Header, RtpTimestamp, SequenceNumber},
    transport::{Content, Mode, Sealer, TransportKey},
};

use crate::{input, keys};

/// More steps than this are not taken, so that one input stays cheap.
const STEPS: usize = 64;
/// What a session may want to be woken in one second, and in one wait besides.
const WAKES_A_SECOND: usize = 400;
const SECRET: &str = "hunter2-hunter2";

fn server() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 50_000))
}

/// Lines as text frames of the voice gateway. Lines that begin with `!` say what else happens:
///
/// ```text
/// !state 10 | none              the bot's voice state
/// !server HOST:PORT | none      a voice server
/// !open, !closed [CODE]         the websocket that was asked for last
/// !binary HEX                   a binary frame
/// !discover                     an answer to discovery
/// !raw HEX, !media SSRC N HEX   a datagram as it is, and a packet sealed with keys::TRANSPORT
/// !send HEX, !finish, !optout USER, !leave
/// !wait MILLISECONDS            time passes
/// ```
///
/// The session never wants to be woken without end, delivers frames of nobody who was not announced, shows no credential, and
/// after its end is silent.
pub fn voice_session(data: &[u8]) {
    let mut call = Call::new();
    for line in input::text(data).lines().take(STEPS) {
        let words: Vec<&str> = line.strip_prefix('!').map(|told| told.split(' ').collect()).unwrap_or_default();
        match words[..] {
            [] => {
                if let Some(socket) = call.socket {
                    call.learn(line);
                    call.input(Input::Text(socket, line));
                }
            }
            ["state", channel] => {
                let channel = channel.parse().ok().map(ChannelId::new);
                call.input(Input::VoiceState { channel, session_id: Credential::new(SECRET) });
            }
            ["server", endpoint] => {
                let endpoint = (endpoint != "none").then(|| endpoint.to_owned());
                call.input(Input::VoiceServer { endpoint, token: Credential::new(SECRET) });
            }
            ["open"] => {
                if let Some(socket) = call.socket {
                    call.input(Input::SocketOpened(socket));
                }
            }
            ["closed", ref code @ ..] => {
                if let Some(socket) = call.socket {
                    let code = code.first().and_then(|code| code.parse().ok());
                    call.input(Input::SocketClosed { socket, code });
                }
            }
            ["binary", ref hex @ ..] => {
                if let Some(socket) = call.socket {
                    call.input(Input::Binary(socket, &bytes(&hex.concat())));
                }
            }
            ["discover"] => {
                let address = SocketAddr::from(([203, 0, 113, 9], 4_444));
                let mut answer = Response { ssrc: Ssrc::new(1_000), address }.write();
                call.input(Input::Datagram { from: server(), bytes: &mut answer });
            }
            ["raw", hex] => call.input(Input::Datagram { from: server(), bytes: &mut bytes(hex) }),
            ["media", ssrc, number, hex] => call.media(ssrc, number, hex),
            ["send", ref hex @ ..] => call.input(Input::Send(&bytes(&hex.concat()))),
            ["finish"] => call.input(Input::FinishSpeaking),
            ["optout", user] => {
                let user = UserId::new(user.parse().unwrap_or(0));
                call.input(Input::SetOptedOut { user, opted_out: true });
            }
            ["leave"] => call.input(Input::Leave),
            ["wait", millis] => call.wait(Duration::from_millis(millis.parse().unwrap_or(0).min(120_000))),
            [_, ..] => {}
        }
    }
    call.wait(Duration::from_secs(5));
}

/// The bytes of as many hexadecimal digits as there are pairs of.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

struct Call {
    session: Session,
    now: Instant,
    socket: Option<SocketId>,
    sealer: Sealer,
    /// Users whom any message has named.
    named: BTreeSet<String>,
    over: bool,
}

impl Call {
    fn new() -> Self {
        let now = Instant::now();
        let config = Config::new(GuildId::new(1), ChannelId::new(10), UserId::new(100));
        let mut call = Self {
            session: Session::new(config, 7, now),
            now,
            socket: None,
            sealer: Sealer::new(Mode::Aes256GcmRtpsize, &TransportKey::new(keys::TRANSPORT), 0),
            named: BTreeSet::new(),
            over: false,
        };
        call.drain();
        call
    }

    /// Numbers in a message are names of users, for all that is known here.
    fn learn(&mut self, line: &str) {
        let numbers = line.split(|character: char| !character.is_ascii_digit()).filter(|number| !number.is_empty());
        // An id may be written with zeros in front.
        self.named.extend(numbers.map(|number| number.trim_start_matches('0').to_owned()));
    }

    fn media(&mut self, ssrc: &str, number: &str, hex: &str) {
        let (ssrc, number) = (Ssrc::new(ssrc.parse().unwrap_or(0)), number.parse().unwrap_or(0_u16));
        let timestamp = RtpTimestamp::new(u32::from(number).wrapping_mul(960));
        let mut datagram = Vec::new();
        let payload = bytes(hex);
        let header = Header::opus(SequenceNumber::new(number), timestamp, ssrc);
        self.sealer.seal_rtp(&header, Content::payload(&payload), &mut datagram).expect("has nonces");
        self.input(Input::Datagram { from: server(), bytes: &mut datagram });
    }

    fn input(&mut self, input: Input<'_>) {
        self.session.handle_input(input, self.now);
        self.drain();
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            let output = self.session.poll_output();
            assert!(!format!("{output:?}").contains(SECRET));
            if let Output::Timeout(at, _) = output {
                assert!(!self.over);
                return Some(at);
            }
            if matches!(output, Output::Over) {
                self.over = true;
                return None;
            }
            assert!(!self.over, "{output:?} after the end");
            if let Output::Signal(Signal::OpenSocket { socket, .. }) = output {
                self.socket = Some(socket);
            }
            if let Output::Event(Event::Frame(frame)) = output {
                assert!(self.named.contains(&frame.user.to_string()), "{frame:?} of nobody");
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut wakes = 0;
        while let Some(at) = self.drain().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.session.handle_input(Input::Timeout, self.now);
            wakes += 1;
            assert!(wakes <= WAKES_A_SECOND * (time.as_secs() as usize + 2), "the session does not sleep");
        }
        self.now = end;
    }
}

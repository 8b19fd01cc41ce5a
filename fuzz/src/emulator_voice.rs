//! The emulator's voice server: what voice clients send to it.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use discord_emulator::{Config, LOBBY, Machine, Timestamp, VoiceConnection, VoiceSent, VoiceTicket};
use parlor_voice_wire::{
    Ssrc,
    discovery::{Ping, Request, Response},
    gateway::{CloseCode, DaveServerMessage, Sequence, ServerMessage, Version},
    rtp::{Header, RtpTimestamp, SequenceNumber},
    transport::{Content, Mode, Opener, Sealer, TransportKey},
};
use serde_json::json;

use crate::input;

/// More steps than this are not taken, so that one input stays cheap.
const STEPS: usize = 48;

/// People who can join.
const PEOPLE: [&str; 4] = ["ann", "bob", "cleo", "dan"];

/// Lines as text frames of a voice client. Lines that begin with `!` say what else happens:
///
/// ```text
/// !join 0             the person of this number joins, and a client identifies for them; the lines after it are its
/// !use 0              the client of the person of this number again
/// !open 4             it opens a WebSocket of this version in place of its own
/// !identify           with what it was given
/// !resume 3           likewise, from this sequence number
/// !connect 1          IP discovery, and Select Protocol with the mode of this number
/// !speak              op 5, about its own source
/// !binary 1C00        a binary frame, in hexadecimal
/// !datagram 8078      a datagram
/// !packet FCFF        an RTP packet with this payload, sealed
/// !closed             it closes its WebSocket
/// !leave              its person leaves
/// !wait 1000          milliseconds pass
/// ```
///
/// A WebSocket hears Hello first; what it hears can be read and is numbered without a hole; an end is the end, with a
/// code that Discord documents; and every packet that goes out opens with the key of the one whom it goes to.
pub fn emulator_voice(data: &[u8]) {
    let mut now = Timestamp::from_unix_millis(1_800_000_000_000);
    let mut call = Call { machine: Machine::new(Config::default(), now), clients: BTreeMap::new(), chosen: 0 };
    for line in input::text(data).lines().take(STEPS) {
        now = now + Duration::from_millis(10);
        let words: Vec<&str> = line.strip_prefix('!').map(|told| told.split(' ').collect()).unwrap_or_default();
        match words[..] {
            [] => call.sends(line, now),
            ["join", number] => call.join(number.parse().unwrap_or(0), now),
            ["use", number] => call.chosen = number.parse::<usize>().unwrap_or(0) % PEOPLE.len(),
            ["wait", millis] => {
                now = now + Duration::from_millis(millis.parse().unwrap_or(0).min(3_600_000));
                call.machine.tick(now);
            }
            ref told => call.does(told, now),
        }
        call.hears();
    }
    let open = call.clients.values().filter(|client| client.connection.is_some()).count() as u64;
    assert_eq!(call.machine.stats().voice.open, open, "connections were lost from the count");
}

struct Call {
    machine: Machine,
    /// By number of the person.
    clients: BTreeMap<usize, Client>,
    chosen: usize,
}

struct Client {
    connection: Option<VoiceConnection>,
    version: Version,
    ticket: VoiceTicket,
    hello: bool,
    ssrc: Ssrc,
    /// The next sequence number of its session; `None` where it is not followed.
    next: Option<u16>,
    mode: Mode,
    key: Option<TransportKey>,
    sealer: Option<Sealer>,
    sent: u16,
}

impl Call {
    fn join(&mut self, number: usize, now: Timestamp) {
        let number = number % PEOPLE.len();
        let ticket = self.machine.act(now, |world| {
            let user = world.user(PEOPLE[number]).joins(LOBBY).id();
            world.voice_ticket(user).expect("in voice")
        });
        self.hears();
        if let Some(old) = self.clients.remove(&number).and_then(|client| client.connection) {
            self.machine.closed_voice(old, now);
        }
        let connection = self.machine.open_voice(Some(8), now);
        let client = Client {
            connection: Some(connection),
            version: Version::V8,
            ticket,
            hello: false,
            ssrc: Ssrc::new(0),
            next: Some(0),
            mode: Mode::Aes256GcmRtpsize,
            key: None,
            sealer: None,
            sent: 0,
        };
        self.clients.insert(number, client);
        self.chosen = number;
        self.does(&["identify"], now);
    }

    fn sends(&mut self, text: &str, now: Timestamp) {
        if let Some(connection) = self.clients.get(&self.chosen).and_then(|client| client.connection) {
            self.machine.receive_voice(connection, text, now);
        }
    }

    /// What the chosen client does beside sending text frames.
    fn does(&mut self, told: &[&str], now: Timestamp) {
        let Some(client) = self.clients.get_mut(&self.chosen) else { return };
        let from = address(self.chosen);
        let VoiceTicket { guild_id, user_id, session_id, token, .. } = &client.ticket;
        match *told {
            ["identify"] => {
                let d = json!({"server_id": guild_id, "user_id": user_id, "session_id": session_id, "token": token,
                    "max_dave_protocol_version": 1});
                self.sends(&json!({"op": 0, "d": d}).to_string(), now);
            }
            ["resume", seen] => {
                // From where it goes on is the client's own claim.
                client.next = None;
                let seen: i64 = seen.parse().unwrap_or(-1);
                let d = json!({"server_id": guild_id, "session_id": session_id, "token": token, "seq_ack": seen});
                self.sends(&json!({"op": 7, "d": d}).to_string(), now);
            }
            ["open", version] => {
                let version = version.parse().unwrap_or(8);
                if let Some(old) = client.connection.take() {
                    self.machine.closed_voice(old, now);
                }
                client.hello = false;
                client.version = Version::from_number(version).unwrap_or(Version::V8);
                client.connection = Some(self.machine.open_voice(Some(version), now));
            }
            ["connect", mode] => {
                let mode = Mode::ALL[mode.parse::<usize>().unwrap_or(0) % Mode::ALL.len()];
                self.machine.receive_datagram(from, &Request { ssrc: client.ssrc }.write(), now);
                let data = json!({"address": from.ip(), "port": from.port(), "mode": mode.name()});
                self.sends(&json!({"op": 1, "d": {"protocol": "udp", "data": data}}).to_string(), now);
            }
            ["speak"] => {
                let d = json!({"speaking": 1, "delay": 0, "ssrc": client.ssrc});
                self.sends(&json!({"op": 5, "d": d}).to_string(), now);
            }
            ["binary", hex] => {
                if let Some(connection) = client.connection {
                    self.machine.receive_voice_binary(connection, &bytes(hex), now);
                }
            }
            ["datagram", hex] => self.machine.receive_datagram(from, &bytes(hex), now),
            ["packet", hex] => {
                let Some(sealer) = &mut client.sealer else { return };
                client.sent = client.sent.wrapping_add(1);
                let time = RtpTimestamp::new(u32::from(client.sent) * 960);
                let header = Header::opus(SequenceNumber::new(client.sent), time, client.ssrc);
                let mut sealed = Vec::new();
                sealer.seal_rtp(&header, Content::payload(&bytes(hex)), &mut sealed).expect("few packets");
                self.machine.receive_datagram(from, &sealed, now);
            }
            ["closed"] => {
                if let Some(connection) = client.connection.take() {
                    self.machine.closed_voice(connection, now);
                }
            }
            ["leave"] => {
                let user = *user_id;
                let _ = self.machine.act(now, |world| world.leave(user));
            }
            _ => {}
        }
    }

    fn hears(&mut self) {
        for sent in self.machine.voice_sent() {
            match sent {
                VoiceSent::Text(connection, text) => self.of(connection).text(&text),
                VoiceSent::Binary(connection, bytes) => self.of(connection).binary(&bytes),
                VoiceSent::End(connection, code) => {
                    if let Some(code) = code {
                        assert!(CloseCode::NAMED.iter().any(|named| named.number() == code), "{code}");
                    }
                    let client = self.of(connection);
                    client.connection = None;
                }
                VoiceSent::Datagram(to, bytes) => {
                    let number = usize::from(to.port()) - usize::from(address(0).port());
                    self.clients.get(&number).expect("somebody is there").datagram(bytes);
                }
            }
        }
    }

    fn of(&mut self, connection: VoiceConnection) -> &mut Client {
        let mut clients = self.clients.values_mut();
        clients.find(|client| client.connection == Some(connection)).expect("nothing comes after the end")
    }
}

impl Client {
    fn text(&mut self, text: &str) {
        let read = ServerMessage::read(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(matches!(read.message, ServerMessage::Hello(_)), !self.hello, "Hello is first and once: {text}");
        self.hello = true;
        self.follows(read.sequence.map(Sequence::get));
        if let ServerMessage::Ready(ready) = &read.message {
            self.ssrc = ready.ssrc;
            self.next = Some(0);
        }
        if let ServerMessage::SessionDescription(description) = read.message {
            self.mode = Mode::from_name(&description.mode).expect("a mode that was asked for");
            self.sealer = Some(Sealer::new(self.mode, &description.secret_key, 0));
            self.key = Some(description.secret_key);
        }
    }

    fn binary(&mut self, bytes: &[u8]) {
        assert!(self.hello && self.key.is_some(), "nothing binary before Session Description");
        let read = DaveServerMessage::read(bytes, self.version).expect("a message of DAVE");
        self.follows(read.sequence.map(Sequence::get));
    }

    fn follows(&mut self, sequence: Option<u16>) {
        let Some(sequence) = sequence else { return };
        assert_eq!(self.version, Version::V8, "older versions know no sequence numbers");
        if let Some(next) = &mut self.next {
            assert_eq!(sequence, *next, "not the next of its session");
            *next = next.wrapping_add(1);
        }
    }

    fn datagram(&self, mut bytes: Vec<u8>) {
        if Response::read(&bytes).is_ok() || Ping::read_answer(&bytes).is_some() {
            return;
        }
        let key = self.key.as_ref().expect("media goes to clients that have a key");
        let opener = Opener::new(self.mode, key);
        let opens = opener.open_rtp(&mut bytes.clone()).is_ok() || opener.open_rtcp(&mut bytes).is_ok();
        assert!(opens, "a datagram that its receiver cannot open");
    }
}

/// Where the client of a person sends from.
fn address(number: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000 + number as u16))
}

/// Bytes written in hexadecimal, as far as they are.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map_while(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

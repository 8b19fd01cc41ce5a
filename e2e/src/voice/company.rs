//! Parlors in one call: each sounds a tone of its own all the time, and hears all others.

use discord_emulator::{Config, DavePolicy, LOBBY, PARLOR_DEV, UserId, VoiceConfig};
use futures_util::future::join_all;
use parlor_client::{Parlor, v1};

use super::{Speech, Tones, Witness, connect, counted, until_counted};
use crate::{House, Neighbour, Setup};

/// How the members of a company sound, in hertz.
const TONES: [f64; 3] = [440.0, 660.0, 880.0];

/// The bots of those who come beside the house's own.
const NEIGHBOURS: [&str; 2] = ["the.neighbours.bot", "the.other.neighbours.bot"];

/// One Parlor's part in a call.
#[derive(Debug)]
pub struct Place {
    parlor: Parlor,
    /// What Connect answered.
    pub answer: v1::ConnectResponse,
    /// Who listens.
    pub witness: Witness,
    /// Who speaks, if anybody does.
    pub speech: Option<Speech>,
}

impl Place {
    /// Takes a place in a room, and begins to speak and to listen.
    ///
    /// # Panics
    /// It is refused.
    pub async fn take(parlor: &Parlor, room: &impl ToString, hertz: f64, tones: &Tones) -> Self {
        let answer = connect(parlor, room).await;
        let session = answer.session.as_ref().expect("a session");
        let speech = Some(Speech::begin(parlor, session, hertz));
        let witness = Witness::open(parlor, &answer, tones.clone()).await;
        Self { parlor: parlor.clone(), answer, witness, speech }
    }

    /// The session.
    ///
    /// # Panics
    /// Connect answered without one.
    pub fn session(&self) -> &v1::VoiceSession {
        self.answer.session.as_ref().expect("a session")
    }

    /// What the session has counted.
    ///
    /// # Panics
    /// It is over.
    pub async fn counted(&self) -> v1::VoiceQuality {
        counted(&self.parlor, self.session()).await
    }

    /// Leaves. Finds that nobody was heard under another's name or out of turn. Returns what was counted.
    ///
    /// # Panics
    /// Somebody was.
    pub async fn leave(self) -> v1::FrameCounts {
        let frames = self.counted().await.frames.expect("they are counted");
        let session_id = self.session().session_id.clone();
        let lease_id = self.answer.lease.as_ref().expect("a lease").lease_id.clone();
        let leave = v1::DisconnectRequest { session_id, lease_id, force: false };
        let answer = self.parlor.voice_sessions().disconnect(leave).await.expect("it leaves").into_inner();
        assert!(answer.session_ended, "nobody else holds it");
        self.witness.finish();
        frames
    }
}

/// Parlors in the lobby.
pub struct Company {
    /// Discord, and the first Parlor.
    pub house: House,
    _neighbours: Vec<Neighbour>,
    /// The client of each.
    pub parlors: Vec<Parlor>,
    /// Where each is, if it is in the call.
    pub places: Vec<Option<Place>>,
    /// Their bots.
    pub users: Vec<UserId>,
    /// How they sound.
    pub tones: Tones,
}

impl Company {
    /// So many Parlors, two or three, all in the lobby.
    ///
    /// # Panics
    /// They do not get there.
    pub async fn start(voice: VoiceConfig, count: usize) -> Self {
        let mut company = Self::apart(voice, count).await;
        for who in 0..count {
            company.comes(who).await;
        }
        company
    }

    /// So many Parlors, none of them in a room.
    ///
    /// # Panics
    /// They do not start.
    pub async fn apart(voice: VoiceConfig, count: usize) -> Self {
        let house = Setup { discord: Config { voice, ..Config::default() }, ..Setup::default() }.start().await;
        let tokens: Vec<&str> = std::iter::once(house.bot_token()).chain(NEIGHBOURS).take(count).collect();
        let neighbours = join_all(NEIGHBOURS.into_iter().take(count - 1).map(|token| house.neighbour(token))).await;
        let mut parlors = vec![house.parlor().await];
        parlors.extend(join_all(neighbours.iter().map(Neighbour::parlor)).await);
        let users: Vec<UserId> =
            tokens.iter().map(|token| house.emulator.bot(token).expect("it is logged in")).collect();
        let tones = users.iter().map(ToString::to_string).zip(TONES).collect();
        let places = (0..count).map(|_| None).collect();
        Self { house, _neighbours: neighbours, parlors, places, users, tones }
    }

    /// One of them comes into the lobby.
    ///
    /// # Panics
    /// It does not get there.
    pub async fn comes(&mut self, who: usize) {
        self.places[who] = Some(Place::take(&self.parlors[who], &LOBBY, TONES[who], &self.tones).await);
    }

    /// One of them leaves. Finds that it could open everything whose key it had.
    ///
    /// # Panics
    /// It could not. See [`Place::leave`] too.
    pub async fn leaves(&mut self, who: usize) {
        let frames = self.places[who].take().expect("it is in the call").leave().await;
        assert_eq!(frames.undecryptable, 0, "{frames:?}");
    }

    /// Somebody else is to be heard like this.
    pub async fn expect(&mut self, user: UserId, hertz: f64) {
        self.tones.insert(user.to_string(), hertz);
        for place in self.places.iter_mut().flatten() {
            place.witness = Witness::open(&place.parlor, &place.answer, self.tones.clone()).await;
        }
    }

    /// Waits until everybody who is in the call hears everybody else, and these others, from now on.
    ///
    /// # Panics
    /// They do not.
    pub async fn hear_each_other_and(&mut self, others: &[UserId]) {
        let present: Vec<bool> = self.places.iter().map(Option::is_some).collect();
        let hearing = self.places.iter_mut().enumerate().filter_map(|(who, place)| {
            let companions = self.users.iter().zip(&present).enumerate();
            let companions = companions.filter(|(other, (_, present))| *other != who && **present);
            let users = companions.map(|(_, (user, _))| user).chain(others).map(ToString::to_string);
            let users: Vec<String> = users.collect();
            place.as_mut().map(|place| async move {
                place.witness.hears(&users.iter().map(String::as_str).collect::<Vec<_>>()).await;
            })
        });
        join_all(hearing).await;
    }

    /// Waits until everybody who is in the call hears everybody else, from now on.
    ///
    /// # Panics
    /// They do not.
    pub async fn hear_each_other(&mut self) {
        self.hear_each_other_and(&[]).await;
    }

    /// Nobody speaks any more, once everything was said.
    ///
    /// # Panics
    /// It was not.
    pub async fn fall_silent(&mut self) {
        for place in self.places.iter_mut().flatten() {
            if let Some(speech) = place.speech.take() {
                let report = speech.end().await;
                assert_eq!((report.frames_dropped, report.frames_waiting), (0, 0), "{report:?}");
            }
        }
    }

    /// Silences everybody and waits until, of every frame that Discord meant for these, it is known what became of it. They
    /// have to be in their first session still. Returns what they have counted.
    ///
    /// # Panics
    /// It is not.
    pub async fn add_up(&mut self, who: &[usize]) -> Vec<v1::VoiceQuality> {
        self.fall_silent().await;
        let mut qualities = Vec::new();
        for who in who {
            let place = self.places[*who].as_ref().expect("it is in the call");
            let (emulator, user) = (&self.house.emulator, self.users[*who]);
            let adds_up = |quality: &v1::VoiceQuality| {
                let meant = emulator.stats().voice.meant_for.get(&user).copied().unwrap_or_default();
                // What comes before a session has its key is not authentic to it yet.
                total(quality) + quality.datagrams_rejected == meant
            };
            qualities.push(until_counted(&place.parlor, place.session(), adds_up).await);
        }
        qualities
    }

    /// Everybody leaves.
    ///
    /// # Panics
    /// See [`leaves`](Self::leaves).
    pub async fn finish(mut self) {
        for who in 0..self.places.len() {
            if self.places[who].is_some() {
                self.leaves(who).await;
            }
        }
    }
}

/// Frames of every outcome.
fn total(quality: &v1::VoiceQuality) -> u64 {
    let v1::FrameCounts { delivered, passthrough, held, late, lost, undecryptable, opted_out } =
        quality.frames.unwrap_or_default();
    delivered + passthrough + held + late + lost + undecryptable + opted_out
}

/// Settings of a voice server whose calls are encrypted like this.
pub fn encrypted(dave: DavePolicy) -> VoiceConfig {
    VoiceConfig { dave, ..VoiceConfig::default() }
}

/// Moves somebody to another room, or out of all.
///
/// # Panics
/// They are in none.
pub fn moves(house: &House, user: UserId, to: Option<discord_emulator::ChannelId>) {
    house.emulator.world(|world| world.move_member(PARLOR_DEV, user, to)).expect("they are in a room");
}

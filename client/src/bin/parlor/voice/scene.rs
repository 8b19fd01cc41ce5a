//! A session as its watcher sees it, folded from what is told.

use std::{collections::BTreeMap, time::Duration};

use parlor_client::v1::{
    self, SpeechObstacle as Obstacle, VoiceSessionEnding as Ending, VoiceSessionState as State,
    watch_session_response::Event,
};

use super::shapes::{milliseconds, mode, state};
use crate::terminal::clean;

/// What is known of a session.
#[derive(Debug, Default)]
pub(super) struct Scene {
    /// Names by user id.
    names: BTreeMap<String, String>,
    pub(super) room: String,
    state: State,
    ending: Option<Ending>,
    mode: String,
    obstacle: Obstacle,
    people: BTreeMap<String, Person>,
    quality: v1::VoiceQuality,
}

#[derive(Debug, Default)]
struct Person {
    speaking: bool,
    opted_out: bool,
}

impl Scene {
    /// With names for ids.
    pub(super) fn named(names: BTreeMap<String, String>) -> Self {
        Self { names, ..Self::default() }
    }

    /// Takes in what is told.
    pub(super) fn fold(&mut self, event: &Event) {
        match event {
            Event::Session(session) => {
                self.room.clone_from(&session.room_id);
                self.state = session.state();
                self.mode = mode(session.e2ee.as_ref());
                self.obstacle = session.capabilities.map(|now| now.speech_obstacle()).unwrap_or_default();
                self.quality = session.quality.clone().unwrap_or_default();
                let person = |user: &v1::VoiceUser| {
                    (user.user_id.clone(), Person { speaking: user.speaking, opted_out: user.opted_out })
                };
                self.people = session.users.iter().map(person).collect();
            }
            Event::StateChanged(change) => {
                self.state = change.state();
                if self.state == State::Ended {
                    self.ending = Some(change.ending());
                }
                if !change.room_id.is_empty() {
                    self.room.clone_from(&change.room_id);
                }
            }
            Event::UserJoined(user) => drop(self.people.entry(user.user_id.clone()).or_default()),
            Event::UserLeft(user) => drop(self.people.remove(&user.user_id)),
            Event::UserSpeaking(user) => self.people.entry(user.user_id.clone()).or_default().speaking = user.speaking,
            Event::E2ee(e2ee) => self.mode = mode(Some(e2ee)),
            Event::Quality(quality) => self.quality = quality.clone(),
            Event::CapabilitiesChanged(now) => self.obstacle = now.speech_obstacle(),
            Event::ConsentChanged(user) => {
                self.people.entry(user.user_id.clone()).or_default().opted_out = user.opted_out;
            }
        }
    }

    /// Why the session is over, if it is.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// The name of a user; the id where it is not known.
    pub(super) fn name<'a>(&'a self, user: &'a str) -> std::borrow::Cow<'a, str> {
        clean(self.names.get(user).map_or(user, String::as_str))
    }

    /// How well somebody is heard.
    pub(super) fn quality_of(&self, user: &str) -> Option<&v1::SpeakerQuality> {
        self.quality.speakers.iter().find(|speaker| speaker.user_id == user)
    }

    /// One line about the connection.
    pub(super) fn headline(&self) -> String {
        let round_trip = self.quality.round_trip.map(|time| format!(", {} round trip", in_words(time)));
        let encryption = match self.mode.as_str() {
            "end_to_end" => ", end-to-end encrypted",
            "negotiating" => ", encryption comes up",
            "transport" => ", encrypted to Discord",
            _ => "",
        };
        let state = state(self.state.into());
        let heard = unheard(self.obstacle).map(|why| format!(", not heard: {why}")).unwrap_or_default();
        let round_trip = round_trip.unwrap_or_default();
        format!("room {}: {}{encryption}{heard}{round_trip}", self.room, state_in_words(&state))
    }

    /// A line for each person.
    pub(super) fn people(&self) -> Vec<String> {
        let line = |(user, person): (&String, &Person)| {
            let mark = if person.speaking { "●" } else { "○" };
            let heard = self.quality_of(user).map(|quality| {
                let jitter = quality.jitter.map(in_words).unwrap_or_default();
                let (lost, all) = (quality.frames_lost, quality.frames_lost + quality.frames_delivered);
                format!("  lost {lost} of {all}  jitter {jitter}")
            });
            let consent = if person.opted_out { "  does not want to be heard" } else { "" };
            format!("{mark} {:24}{}{consent}", self.name(user), heard.unwrap_or_default())
        };
        let mut lines: Vec<String> = self.people.iter().map(line).collect();
        if lines.is_empty() {
            lines.push("nobody else is here".to_owned());
        }
        lines
    }

    /// What is told, for people; none where it says nothing new.
    pub(super) fn words(&self, event: &Event) -> Option<String> {
        Some(match event {
            Event::Session(_) => {
                let people: Vec<_> = self.people.keys().map(|user| self.name(user)).collect();
                let people = if people.is_empty() { "nobody else".to_owned() } else { people.join(", ") };
                format!("{}; here: {people}", self.headline())
            }
            Event::StateChanged(change) if change.state() == State::Ended => {
                let detail =
                    if change.detail.is_empty() { String::new() } else { format!(" ({})", clean(&change.detail)) };
                format!("the session is over: {}{detail}", why(change.ending()))
            }
            Event::StateChanged(change) => {
                let detail =
                    if change.detail.is_empty() { String::new() } else { format!(" ({})", clean(&change.detail)) };
                format!("{}{detail}", state_in_words(&state(change.state)))
            }
            Event::UserJoined(user) => format!("{} is here", self.name(&user.user_id)),
            Event::UserLeft(user) => format!("{} left", self.name(&user.user_id)),
            Event::UserSpeaking(user) if user.speaking => format!("{} speaks", self.name(&user.user_id)),
            Event::UserSpeaking(user) => format!("{} is silent", self.name(&user.user_id)),
            Event::E2ee(e2ee) => match mode(Some(e2ee)).as_str() {
                "end_to_end" => format!("end-to-end encrypted; privacy code {}", clean(&e2ee.privacy_code)),
                "negotiating" => "end-to-end encryption comes up".to_owned(),
                "transport" => "encrypted to Discord alone".to_owned(),
                _ => return None,
            },
            Event::Quality(quality) => {
                let round_trip = quality.round_trip.map_or_else(|| "-".to_owned(), in_words);
                let speakers = quality.speakers.iter().map(|speaker| {
                    let jitter = speaker.jitter.map(in_words).unwrap_or_default();
                    let all = speaker.frames_lost + speaker.frames_delivered;
                    let name = self.name(&speaker.user_id);
                    format!("; {name}: lost {} of {all}, jitter {jitter}", speaker.frames_lost)
                });
                format!("round trip {round_trip}{}", speakers.collect::<String>())
            }
            Event::CapabilitiesChanged(now) => match unheard(now.speech_obstacle()) {
                Some(why) => format!("the room does not hear the bot: {why}"),
                None => "the room hears the bot".to_owned(),
            },
            Event::ConsentChanged(user) => {
                let wants = if user.opted_out { "does not want to be heard" } else { "may be heard" };
                format!("{} {wants}", self.name(&user.user_id))
            }
        })
    }
}

/// A state, for people.
pub(super) fn state_in_words(state: &str) -> String {
    match state {
        "connecting" => "on the way into the room",
        "interrupted" => "connected; who joins and leaves is told late",
        "reconnecting" => "the connection is lost, and being made again",
        other => other,
    }
    .to_owned()
}

/// Why the room does not hear what is sent, for people; none where it does.
pub(super) fn unheard(obstacle: Obstacle) -> Option<&'static str> {
    Some(match obstacle {
        Obstacle::Unspecified => return None,
        Obstacle::AudienceAsking => "the bot is in the audience, and asks to speak",
        Obstacle::Audience => "the bot is in the audience until a moderator lets it speak",
        Obstacle::SpeakPermission => "the bot lacks Speak here",
        Obstacle::Muted => "a moderator has muted the bot",
    })
}

/// Why a session is over, for people.
pub(super) fn why(ending: Ending) -> &'static str {
    match ending {
        Ending::Unspecified => "nobody said why",
        Ending::Released => "the last lease ended",
        Ending::Forced => "somebody ended it with --force",
        Ending::Kicked => "somebody disconnected the bot",
        Ending::NotAssigned => "Discord let the bot not in: the room is full, or the bot lacks Connect",
        Ending::Refused => "the voice server refused",
        Ending::GaveUp => "too many attempts in a row failed",
        Ending::RoomEnded => "the room has ended",
        Ending::Draining => "the server goes away",
    }
}

/// A short time, as `12 ms`.
fn in_words(time: parlor_client::prost_types::Duration) -> String {
    let time = Duration::try_from(time).unwrap_or_default();
    if time < Duration::from_millis(10) {
        format!("{:.1} ms", milliseconds(time))
    } else {
        format!("{} ms", time.as_millis())
    }
}

/// A length, as `1:02:03`.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_becomes_a_picture() {
        let mut scene = Scene::named([("1".to_owned(), "Ann\u{1b}[2J".to_owned())].into());
        let user = |id: &str| v1::VoiceUser { user_id: id.into(), ..Default::default() };
        let session = v1::VoiceSession { room_id: "9".into(), users: vec![user("1"), user("2")], ..Default::default() };
        scene.fold(&Event::Session(session));
        scene.fold(&Event::UserSpeaking(v1::VoiceUserSpeaking { user_id: "1".into(), speaking: true }));
        scene.fold(&Event::UserLeft(v1::VoiceUserLeft { user_id: "2".into() }));
        assert_eq!(scene.people().iter().map(|line| line.trim_end()).collect::<Vec<_>>(), ["● Ann\u{fffd}[2J"]);
        let change =
            v1::VoiceStateChanged { state: State::Ended.into(), ending: Ending::Kicked.into(), ..Default::default() };
        let ended = Event::StateChanged(change);
        scene.fold(&ended);
        assert_eq!((scene.ending(), scene.room.as_str()), (Some(Ending::Kicked), "9"));
        assert_eq!(scene.words(&ended).unwrap(), "the session is over: somebody disconnected the bot");
        let audience = v1::Capabilities { speech_obstacle: Obstacle::Audience.into(), ..Default::default() };
        scene.fold(&Event::CapabilitiesChanged(audience));
        assert!(
            scene.headline().ends_with("not heard: the bot is in the audience until a moderator lets it speak"),
            "{}",
            scene.headline()
        );
    }

    #[test]
    fn lengths_are_read_as_on_a_clock() {
        assert_eq!(clock(Duration::from_secs(62)), "1:02");
        assert_eq!(clock(Duration::from_secs(3_723)), "1:02:03");
    }
}

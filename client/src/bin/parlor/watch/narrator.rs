//! Events as lines for people: `12:03:04  + ann joined Lobby`.

use std::io;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use parlor_client::{
    Event, Snapshot,
    v1::{self, UpstreamState, discontinuity, reset, room::State, room_ended, voice_event::Kind},
};

use super::book::{Book, name};
use crate::terminal::{Terminal, Tone, clean};

/// Tells events, each as one line, with names instead of ids.
#[derive(Debug)]
pub(crate) struct Narrator {
    terminal: Terminal,
    zone: TimeZone,
    book: Book,
    /// The day of the last line.
    day: Date,
    /// What was last said of Parlor's connection to Discord.
    upstream: UpstreamState,
}

/// A line without its time.
#[derive(Debug, Eq, PartialEq)]
struct Said {
    tone: Tone,
    sign: char,
    words: String,
}

impl Narrator {
    pub(crate) fn new(terminal: Terminal, book: Book) -> Self {
        let zone = TimeZone::system();
        let day = Timestamp::now().to_zoned(zone.clone()).date();
        Self { terminal, zone, book, day, upstream: UpstreamState::Live }
    }

    pub(crate) fn tell(&mut self, event: &Event) -> io::Result<()> {
        if let Event::Snapshot(snapshot) = event {
            self.book.replace(snapshot);
            return summary(snapshot, self.terminal).iter().try_for_each(|line| self.terminal.line(line));
        }
        if let Event::Changed(change) = event {
            let Some(said) = said(change, &mut self.book) else { return Ok(()) };
            let time = change.event_time.as_ref().map(|time| (time.seconds, time.nanos));
            let guild = self.book.guild(&change.guild_id).map(|guild| format!("  ({})", clean(guild)));
            return self.print(time, &said, &guild.unwrap_or_default());
        }
        if let Event::Discontinuity(gap) = event {
            let words = self.gap(gap);
            let time = gap.to.as_ref().map(|time| (time.seconds, time.nanos));
            return self.print(time, &Said { tone: Tone::Warning, sign: '!', words }, "");
        }
        if let Event::Reset(reason) = event {
            let words = format!("told anew: {}", why_reset(*reason));
            return self.print(None, &Said { tone: Tone::Warning, sign: '!', words }, "");
        }
        if let Event::Connected { upstream, .. } | Event::Bookmark { upstream } = event {
            return self.upstream(*upstream);
        }
        // The rest is about the connection, which is not told among the results.
        Ok(())
    }

    fn upstream(&mut self, state: UpstreamState) -> io::Result<()> {
        if state == self.upstream {
            return Ok(());
        }
        self.upstream = state;
        let (tone, words) = match state {
            UpstreamState::Live => (Tone::Good, "Discord is back: what is told is what Discord tells"),
            UpstreamState::Resuming => {
                (Tone::Warning, "Parlor's connection to Discord broke; Discord will tell what was missed")
            }
            UpstreamState::Reconciling => (Tone::Warning, "Parlor has a new session with Discord and compares states"),
            UpstreamState::Stale => {
                (Tone::Warning, "Parlor has no connection to Discord: what is told is what was last known")
            }
            UpstreamState::Failed => (Tone::Bad, "Discord refuses the bot: the operator has to act"),
            UpstreamState::Unspecified => return Ok(()),
        };
        self.print(None, &Said { tone, sign: '!', words: words.to_owned() }, "")
    }

    fn print(&mut self, time: Option<(i64, i32)>, said: &Said, guild: &str) -> io::Result<()> {
        let time = time.and_then(|(seconds, nanos)| Timestamp::new(seconds, nanos).ok()).unwrap_or_else(Timestamp::now);
        let zoned = time.to_zoned(self.zone.clone());
        if zoned.date() != self.day {
            self.day = zoned.date();
            self.terminal.line(&self.terminal.paint(Tone::Faint, &zoned.strftime("%A, %-d %B %Y").to_string()))?;
        }
        let clock = self.terminal.paint(Tone::Faint, &zoned.strftime("%H:%M:%S").to_string());
        let sign = self.terminal.paint(said.tone, &said.sign.to_string());
        let guild = self.terminal.paint(Tone::Faint, guild);
        self.terminal.line(&format!("{clock}  {sign} {}{guild}", said.words))
    }

    fn gap(&self, gap: &v1::Discontinuity) -> String {
        let clock = |seconds: Option<i64>| {
            let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
            time.map_or_else(
                || "?".to_owned(),
                |time| time.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string(),
            )
        };
        let from = clock(gap.from.as_ref().map(|time| time.seconds));
        let to = clock(gap.to.as_ref().map(|time| time.seconds));
        let guild = self.book.guild(&gap.guild_id).map(|guild| format!(" in {}", clean(guild))).unwrap_or_default();
        let why = match gap.reason() {
            discontinuity::Reason::SessionLost => "Discord's session was lost",
            discontinuity::Reason::GuildOutage => "Discord had an outage",
            discontinuity::Reason::Unspecified => "Discord was away",
        };
        format!("{why}: changes{guild} between {from} and {to} may not have been told; from here on it is exact again")
    }
}

fn why_reset(reason: reset::Reason) -> &'static str {
    match reason {
        reset::Reason::Compacted => "the position is older than what the server keeps",
        reset::Reason::EpochChanged => "the server began a new log",
        reset::Reason::CursorAhead => "the server has lost the end of its log",
        reset::Reason::FilterChanged => "this asks for other events than the position was made with",
        reset::Reason::SlowConsumer => "this program read too slowly",
        reset::Reason::Unspecified => "the position cannot be continued",
    }
}

/// Who is where: a line of counts, then each room with somebody in it.
fn summary(snapshot: &Snapshot, terminal: Terminal) -> Vec<String> {
    let open: Vec<_> = snapshot.rooms.iter().filter(|room| room.state() != State::Ended).collect();
    let counts = [
        counted(snapshot.guilds.len(), "guild", "guilds"),
        counted(open.len(), "room", "rooms"),
        counted(snapshot.participants.len(), "person in voice", "people in voice"),
    ];
    let mut lines = vec![terminal.paint(Tone::Strong, &counts.join(", "))];
    for guild in &snapshot.guilds {
        let rooms = open.iter().filter(|room| room.guild_id == guild.guild_id);
        let unavailable = if guild.available { "" } else { "  (Discord does not serve it at the moment)" };
        lines.push(format!("{}{unavailable}", clean(&guild.display_name)));
        let mut empty = 0;
        for room in rooms {
            let inside: Vec<_> =
                snapshot.participants.iter().filter(|person| person.room_id == room.room_id).map(name).collect();
            if inside.is_empty() {
                empty += 1;
            } else {
                lines.push(format!("  {}: {}", clean(&room.display_name), clean(&inside.join(", "))));
            }
        }
        if empty > 0 {
            lines.push(terminal.paint(Tone::Faint, &format!("  {}", counted(empty, "empty room", "empty rooms"))));
        }
    }
    lines
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// What an event says; the book learns from it.
fn said(event: &v1::VoiceEvent, book: &mut Book) -> Option<Said> {
    let says = |tone, sign, words: String| Some(Said { tone, sign, words: clean(&words).into_owned() });
    match event.kind.as_ref()? {
        Kind::RoomCreated(v1::RoomCreated { room }) => {
            let room = room.as_ref()?;
            book.learn_room(room);
            says(Tone::News, '*', format!("room {} was created", room.display_name))
        }
        Kind::RoomUpdated(v1::RoomUpdated { room }) => {
            let room = room.as_ref()?;
            let before = book.room(&room.room_id).to_owned();
            book.learn_room(room);
            if before != room.display_name && before != room.room_id {
                return says(Tone::News, '~', format!("room {before} is now called {}", room.display_name));
            }
            says(Tone::News, '~', format!("room {} was changed", room.display_name))
        }
        Kind::RoomEnded(ended) => {
            let room = ended.room.as_ref()?;
            let why = match ended.reason() {
                room_ended::Reason::Api => "",
                room_ended::Reason::ExternalDelete => ": its channel was deleted on Discord",
                room_ended::Reason::BotRemoved => ": the bot was removed from the guild",
                room_ended::Reason::EmptyTimeout => ": nobody ever joined",
                room_ended::Reason::DepartureTimeout => ": nobody came back",
                room_ended::Reason::MaxDuration => ": its time was over",
                room_ended::Reason::Unspecified => "",
            };
            says(Tone::News, 'x', format!("room {} ended{why}", room.display_name))
        }
        Kind::ParticipantJoined(v1::ParticipantJoined { participant }) => {
            let person = participant.as_ref()?;
            book.learn_person(person);
            says(Tone::Good, '+', format!("{} joined {}", name(person), book.room(&person.room_id)))
        }
        Kind::ParticipantLeft(v1::ParticipantLeft { participant }) => {
            let person = participant.as_ref()?;
            book.forget_person(person);
            says(Tone::Bad, '-', format!("{} left {}", name(person), book.room(&person.room_id)))
        }
        Kind::ParticipantMoved(v1::ParticipantMoved { participant, from_room_id }) => {
            let person = participant.as_ref()?;
            book.learn_person(person);
            let (from, to) = (book.room(from_room_id), book.room(&person.room_id));
            says(Tone::News, '>', format!("{} moved from {from} to {to}", name(person)))
        }
        Kind::ParticipantUpdated(v1::ParticipantUpdated { participant }) => {
            let person = participant.as_ref()?;
            let changes = match book.learn_person(person) {
                Some(before) => changes(&before, person),
                None => Vec::new(),
            };
            let changes = if changes.is_empty() { "changed".to_owned() } else { changes.join(", ") };
            says(Tone::Faint, '~', format!("{} {changes}", name(person)))
        }
        Kind::GuildUpdated(v1::GuildUpdated { guild, left }) => {
            let guild = guild.as_ref()?;
            let before = book.learn_guild(guild);
            let known = before.as_deref().filter(|before| !before.is_empty());
            match (left, known) {
                (true, _) => says(Tone::Bad, 'x', format!("the bot is no longer in {}", guild.display_name)),
                (false, Some(before)) if before != guild.display_name => {
                    says(Tone::News, '~', format!("guild {before} is now called {}", guild.display_name))
                }
                (false, _) if guild.available => says(Tone::Good, '*', format!("{} is served", guild.display_name)),
                // Discord has not said yet what it is called.
                (false, _) if guild.display_name.is_empty() => None,
                (false, _) => says(Tone::Warning, '!', format!("{} is shown as last known", guild.display_name)),
            }
        }
    }
}

/// What is different about somebody, as what is said after their name.
fn changes(before: &v1::Participant, now: &v1::Participant) -> Vec<&'static str> {
    let flags = [
        (before.self_mute, now.self_mute, "muted themselves", "unmuted themselves"),
        (before.self_deaf, now.self_deaf, "deafened themselves", "undeafened themselves"),
        (before.mute, now.mute, "was muted", "was unmuted"),
        (before.deaf, now.deaf, "was deafened", "was undeafened"),
        (before.camera, now.camera, "turned the camera on", "turned the camera off"),
        (before.stream, now.stream, "shares the screen", "stopped sharing the screen"),
        (before.suppress, now.suppress, "went to the audience", "may speak"),
    ];
    let flags = flags.into_iter().filter(|(before, now, ..)| before != now);
    let mut said: Vec<_> = flags.map(|(_, now, on, off)| if now { on } else { off }).collect();
    if before.display_name != now.display_name {
        said.push("has a new name");
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Color, Output};

    fn person(room: &str) -> v1::Participant {
        let (user_id, room_id) = ("7".to_owned(), room.to_owned());
        v1::Participant { user_id, room_id, display_name: "ann".into(), ..Default::default() }
    }

    fn words(kind: Kind, book: &mut Book) -> String {
        let said = said(&v1::VoiceEvent { kind: Some(kind), ..Default::default() }, book).expect("something");
        format!("{} {}", said.sign, said.words)
    }

    #[test]
    fn names_stand_for_ids_and_ids_where_there_is_no_name() {
        let mut book = Book::default();
        let lobby = v1::Room { room_id: "1".into(), display_name: "Lobby".into(), ..Default::default() };
        book.learn_room(&lobby);
        let joined = Kind::ParticipantJoined(v1::ParticipantJoined { participant: Some(person("1")) });
        assert_eq!(words(joined, &mut book), "+ ann joined Lobby");
        let moved =
            Kind::ParticipantMoved(v1::ParticipantMoved { participant: Some(person("2")), from_room_id: "1".into() });
        assert_eq!(words(moved, &mut book), "> ann moved from Lobby to 2");
        let renamed =
            Kind::RoomUpdated(v1::RoomUpdated { room: Some(v1::Room { display_name: "Hall".into(), ..lobby }) });
        assert_eq!(words(renamed, &mut book), "~ room Lobby is now called Hall");
    }

    #[test]
    fn what_becomes_of_a_guild_is_said() {
        let mut book = Book::default();
        let told = |name: &str, available: bool, left: bool| {
            let guild = v1::Guild { guild_id: "g".into(), display_name: name.into(), available, ..Default::default() };
            Kind::GuildUpdated(v1::GuildUpdated { guild: Some(guild), left })
        };
        let unnamed = v1::VoiceEvent { kind: Some(told("", false, false)), ..Default::default() };
        assert_eq!(said(&unnamed, &mut book), None, "nothing is known of it yet");
        assert_eq!(words(told("Guild", true, false), &mut book), "* Guild is served");
        assert_eq!(words(told("Hall", true, false), &mut book), "~ guild Guild is now called Hall");
        assert_eq!(words(told("Hall", false, false), &mut book), "! Hall is shown as last known");
        assert_eq!(words(told("Hall", false, true), &mut book), "x the bot is no longer in Hall");
    }

    #[test]
    fn what_changed_about_somebody_is_said() {
        let mut book = Book::default();
        book.learn_person(&person("1"));
        let update =
            |person: v1::Participant| Kind::ParticipantUpdated(v1::ParticipantUpdated { participant: Some(person) });
        let muted = v1::Participant { self_mute: true, camera: true, ..person("1") };
        assert_eq!(words(update(muted), &mut book), "~ ann muted themselves, turned the camera on");
        assert_eq!(words(update(person("1")), &mut book), "~ ann unmuted themselves, turned the camera off");
    }

    #[test]
    fn a_name_from_discord_cannot_command_the_terminal() {
        let ann = v1::Participant { display_name: "\u{1b}[2Jann".into(), ..person("1") };
        let joined = Kind::ParticipantJoined(v1::ParticipantJoined { participant: Some(ann) });
        assert_eq!(words(joined, &mut Book::default()), "+ \u{fffd}[2Jann joined 1");
    }

    #[test]
    fn the_summary_shows_who_is_somewhere_and_counts_the_rest() {
        let guild =
            v1::Guild { guild_id: "g".into(), display_name: "Guild".into(), available: true, ..Default::default() };
        let room = |id: &str, state: State| {
            let mut room =
                v1::Room { room_id: id.into(), guild_id: "g".into(), display_name: id.into(), ..Default::default() };
            room.set_state(state);
            room
        };
        let snapshot = Snapshot {
            guilds: vec![guild],
            rooms: vec![room("Lobby", State::Active), room("Games", State::Active), room("Old", State::Ended)],
            participants: vec![person("Lobby")],
            ..Default::default()
        };
        let lines = summary(&snapshot, Terminal::new(Output::Text, Color::Never));
        assert_eq!(lines, ["1 guild, 2 rooms, 1 person in voice", "Guild", "  Lobby: ann", "  1 empty room"]);
    }
}

//! Removing what the store holds about a person.

use std::{fs, path::Path, time::SystemTime};

use parlor_gateway::UserId;
use parlor_proto::v1;
use prost::Message as _;

use super::{Disk, Key, OpenError, Recovered, disk};
use crate::rooms::CallRecord;

/// What was removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Purged {
    /// Rows about the person: where they are in voice, rooms that they made or are named in a label of, and calls of theirs.
    pub rows: usize,
    /// Entries of the log that named them. The others went too.
    pub entries: usize,
    /// Files that were set aside as damaged and may have named them.
    pub damaged_files: usize,
}

/// Removes everything about a person from the store in this directory, which no server may be using.
///
/// Discord's sessions are forgotten too: the next start has Discord describe every guild anew, so that whoever is in voice
/// is shown there again and nobody is missing. The log begins anew, in a new file, because a client that goes on from an old cursor would never learn that somebody
/// who is no longer known has left. So every client starts over with a snapshot.
///
/// # Errors
/// See [`OpenError`].
pub fn purge(directory: &Path, user: UserId, now: SystemTime) -> Result<Purged, OpenError> {
    let (store, recovered) = Disk::open(directory, now)?;
    drop(store);
    let Recovered { entries, rows, .. } = recovered;
    let named = |entry: &crate::hub::Entry| names(&entry.framed.shared(), &user.to_string());
    let entries = entries.iter().filter(|entry| named(entry)).count();
    let before = rows.len();
    let mut changed = 0;
    let purged = |(key, value): (Key, Vec<u8>)| {
        let left = without(key, &value, user)?;
        changed += usize::from(left != value);
        Some((key, left))
    };
    let rows: Vec<_> = rows.into_iter().filter_map(purged).collect();
    let removed = before - rows.len() + changed;
    let renewed = Recovered::after_loss(rows);
    // A file of its own: what redb has freed in the old one would still be there to read.
    drop(Disk::make(&directory.join(disk::FILE), &renewed)?);
    let damaged_files = remove_damaged(directory)?;
    Ok(Purged { rows: removed, entries, damaged_files })
}

/// What is left of a row; `None` for nothing. A call whose subject, labels or answer hold the person's id goes as a whole:
/// a repeat of it is a new call then.
fn without(key: Key, value: &[u8], user: UserId) -> Option<Vec<u8>> {
    match key {
        Key::Directory(key) => key.without(user, value),
        Key::Call(_) => (!CallRecord::holds(value, &user.to_string())).then(|| value.to_vec()),
        // A lease that the person's token got. A session without its leases is not taken up again.
        Key::Voice(_) => (!holds(value, &user.to_string())).then(|| value.to_vec()),
        // Somebody who does not want to be heard stays unheard.
        Key::Shard(_) | Key::Life(_) | Key::Consent(..) => Some(value.to_vec()),
    }
}

/// Whether bytes hold a text.
fn holds(value: &[u8], text: &str) -> bool {
    value.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Whether an entry's bytes tell of the person.
fn names(shared: &[u8], user: &str) -> bool {
    use v1::{subscribe_voice_events_response::Body, voice_event::Kind};
    let Ok(v1::SubscribeVoiceEventsResponse { body: Some(Body::Event(event)), .. }) =
        v1::SubscribeVoiceEventsResponse::decode(shared)
    else {
        return false;
    };
    let participant = match event.kind {
        Some(Kind::ParticipantJoined(it)) => it.participant,
        Some(Kind::ParticipantLeft(it)) => it.participant,
        Some(Kind::ParticipantMoved(it)) => it.participant,
        Some(Kind::ParticipantUpdated(it)) => it.participant,
        Some(
            Kind::RoomCreated(v1::RoomCreated { room: Some(room) })
            | Kind::RoomUpdated(v1::RoomUpdated { room: Some(room) })
            | Kind::RoomEnded(v1::RoomEnded { room: Some(room), .. }),
        ) => {
            return room.created_by.contains(user) || room.labels.iter().any(|(_, value)| value.contains(user));
        }
        Some(Kind::RoomCreated(_) | Kind::RoomUpdated(_) | Kind::RoomEnded(_) | Kind::GuildUpdated(_)) | None => None,
    };
    participant.is_some_and(|participant| participant.user_id == user)
}

fn remove_damaged(directory: &Path) -> Result<usize, OpenError> {
    let failed = |source| OpenError::Io { path: directory.to_owned(), source };
    let mut removed = 0;
    for file in fs::read_dir(directory).map_err(failed)? {
        let file = file.map_err(failed)?;
        if file.file_name().to_string_lossy().starts_with(&format!("{}.damaged-", disk::FILE)) {
            fs::remove_file(file.path()).map_err(failed)?;
            removed += 1;
        }
    }
    Ok(removed)
}

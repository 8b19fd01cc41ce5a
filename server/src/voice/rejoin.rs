//! Sessions that are taken up again after a restart.

use std::{sync::Arc, time::Duration};

use parlor_gateway::{GuildId, RoomId, UserId};
use parlor_proto::v1::UpstreamState;
use prost::Message;
use tracing::info;
use uuid::Uuid;

use super::{leases::LeaseTerms, session::Session, sessions::Sessions};
use crate::auth::Subject;

/// What the store holds of a session that is to be taken up again.
#[derive(Clone, Debug)]
pub struct SessionRecord {
    pub(super) id: Uuid,
    pub(super) guild: GuildId,
    pub(super) room: RoomId,
    pub(super) bot: UserId,
    pub(super) announces: bool,
    pub(super) leases: Vec<LeaseTerms>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SessionRow {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(fixed64, tag = "2")]
    room: u64,
    #[prost(fixed64, tag = "3")]
    bot: u64,
    #[prost(bool, tag = "4")]
    announces: bool,
    #[prost(message, repeated, tag = "5")]
    leases: Vec<LeaseRow>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LeaseRow {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    subject: String,
    #[prost(uint64, tag = "3")]
    seconds: u64,
}

impl SessionRecord {
    /// What is to be stored of a session; nothing where nobody asked for it.
    pub(super) fn of(session: &Session) -> Option<Self> {
        let shared = session.shared();
        shared.marks.rejoins.then(|| Self {
            id: session.id(),
            guild: session.guild(),
            room: shared.picture.room,
            bot: shared.picture.bot(),
            announces: shared.marks.announces,
            leases: shared.leases.terms(),
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let lease = |lease: &LeaseTerms| LeaseRow {
            id: lease.id.as_bytes().to_vec(),
            subject: lease.subject.as_str().to_owned(),
            seconds: lease.duration.as_secs(),
        };
        SessionRow {
            id: self.id.as_bytes().to_vec(),
            room: self.room.get(),
            bot: self.bot.get(),
            announces: self.announces,
            leases: self.leases.iter().map(lease).collect(),
        }
        .encode_to_vec()
    }

    /// Reads what was stored of a guild's session; nothing where it cannot be read.
    pub fn from_bytes(guild: GuildId, bytes: &[u8]) -> Option<Self> {
        let row = SessionRow::decode(bytes).ok()?;
        let leases = row.leases.into_iter().map(|lease| {
            Some(LeaseTerms {
                id: Uuid::from_slice(&lease.id).ok()?,
                subject: Subject::new(&lease.subject)?,
                duration: Duration::from_secs(lease.seconds),
            })
        });
        Some(Self {
            id: Uuid::from_slice(&row.id).ok()?,
            guild,
            room: RoomId::new(row.room),
            bot: UserId::new(row.bot),
            announces: row.announces,
            leases: leases.collect::<Option<_>>()?,
        })
    }
}

/// Takes sessions up again, once Discord has said who is where: those in whose room a person still is. The others are
/// forgotten.
pub async fn rejoin(sessions: Arc<Sessions>, records: Vec<SessionRecord>) {
    if records.is_empty() {
        return;
    }
    let mut changes = sessions.hub().changes();
    while sessions.hub().upstream() != UpstreamState::Live {
        if changes.changed().await.is_err() {
            return;
        }
    }
    for record in records {
        let snapshot = sessions.hub().snapshot();
        let room = snapshot.guilds.get(&record.guild).filter(|guild| guild.people_in(record.room) > 0);
        match room.and_then(|guild| guild.facts(record.room)) {
            Some(facts) => {
                info!(session = %record.id, "a voice session is taken up again");
                sessions.take_up(&record, facts.bitrate);
            }
            None => sessions.store(record.guild, None).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back() {
        let guild = GuildId::new(1);
        let record = SessionRecord {
            id: Uuid::from_u128(2),
            guild,
            room: RoomId::new(3),
            bot: UserId::new(4),
            announces: true,
            leases: vec![LeaseTerms {
                id: Uuid::from_u128(5),
                subject: Subject::new("ann").expect("a subject"),
                duration: Duration::from_secs(60),
            }],
        };
        let read = SessionRecord::from_bytes(guild, &record.to_bytes()).expect("it is one");
        assert_eq!(format!("{read:?}"), format!("{record:?}"));
        assert!(SessionRecord::from_bytes(guild, b"another thing").is_none());
    }
}

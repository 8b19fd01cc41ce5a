//! A place in the event log, as a client stores it.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A place in the event log to continue from, as [`Events::position`](crate::Events::position) gives it.
///
/// As text it is one line, `CURSOR FILTER_ID SEQUENCE`, of which everything after the cursor may be missing; it reads
/// back with `parse`. Store it after acting on an event, and give it to [`Start::After`](crate::Start::After).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Position {
    /// The cursor: opaque, at most 64 characters.
    pub cursor: String,
    /// The filter that the cursor was given under (`Hello.filter_id`). With it the server notices that a stream is
    /// continued with another filter and sends everything anew; without it, that is not compared.
    pub filter_id: Option<String>,
    /// The cursor's number in the log. With it the first frame after the cursor is checked too: that nothing is missing
    /// between the two.
    pub sequence: Option<u64>,
}

impl Position {
    /// The place after a cursor alone, such as `CreateRoomResponse.cursor`.
    pub fn after(cursor: impl Into<String>) -> Self {
        Self { cursor: cursor.into(), filter_id: None, sequence: None }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cursor)?;
        if let Some(filter_id) = &self.filter_id {
            write!(f, " {filter_id}")?;
            if let Some(sequence) = self.sequence {
                write!(f, " {sequence}")?;
            }
        }
        Ok(())
    }
}

/// What was stored is empty: it was not stored whole.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("an empty text is no position: begin with a snapshot")]
pub struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    /// Reads what `Display` writes. Whether the cursor is one is for the server to say.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split_whitespace();
        Ok(Self {
            cursor: words.next().ok_or(NoPosition)?.to_owned(),
            filter_id: words.next().map(str::to_owned),
            sequence: words.next().and_then(|sequence| sequence.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_reads_back() {
        let whole = Position { cursor: "AbC".into(), filter_id: Some("f1".into()), sequence: Some(7) };
        assert_eq!(whole.to_string(), "AbC f1 7");
        for position in [whole.clone(), Position { sequence: None, ..whole }, Position::after("AbC")] {
            let line = format!("{position}\n");
            assert_eq!(line.parse::<Position>(), Ok(position));
        }
        assert_eq!("\n".parse::<Position>(), Err(NoPosition));
    }
}

//! Pages of a list that is ordered by key: a token names the last key of the page before, and what was asked for.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// A token that this server did not make, or made for another request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct InvalidPageToken;

/// Makes a page token: what was asked for, and the last key of the page.
pub(super) fn seal(question: &impl std::fmt::Debug, last: (u64, u64)) -> String {
    BASE64_URL_SAFE_NO_PAD.encode([fingerprint(question), last.0, last.1].map(u64::to_be_bytes).concat())
}

/// The last key of the page before; `None` for the first page.
pub(super) fn open(question: &impl std::fmt::Debug, token: &str) -> Result<Option<(u64, u64)>, InvalidPageToken> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidPageToken)?;
    let (words, rest) = bytes.as_chunks::<8>();
    match (words, rest) {
        ([asked, first, second], []) if u64::from_be_bytes(*asked) == fingerprint(question) => {
            Ok(Some((u64::from_be_bytes(*first), u64::from_be_bytes(*second))))
        }
        _ => Err(InvalidPageToken),
    }
}

/// Tells one question from another.
pub(super) fn fingerprint(question: &impl std::fmt::Debug) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{question:?}").hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_only_continues_the_list_that_it_came_from() {
        let token = seal(&("rooms", 1), (7, 9));
        assert_eq!(open(&("rooms", 1), &token), Ok(Some((7, 9))));
        assert_eq!(open(&("rooms", 2), &token), Err(InvalidPageToken));
        assert_eq!(open(&("rooms", 1), ""), Ok(None));
        assert_eq!(open(&("rooms", 1), "AAAA"), Err(InvalidPageToken));
        assert_eq!(open(&("rooms", 1), "%"), Err(InvalidPageToken));
    }
}

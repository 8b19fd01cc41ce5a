//! JSON objects, and nothing that reads like one.

use serde::{Deserialize, de::Error as _};

/// Reads an object. The derived readers of structs also take a list, with the members in the order of the fields, which
/// neither a token (RFC 7519, section 7.2) nor a key set (RFC 7517, section 5) may be.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    if json.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice(json)
    } else {
        Err(serde_json::Error::custom("not an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_no_object() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct One {
            member: u8,
        }
        assert_eq!(object::<One>(b" \n{\"member\":1}").ok(), Some(One { member: 1 }));
        assert!(object::<One>(b"[1]").is_err());
        assert!(object::<One>(b"").is_err());
    }
}

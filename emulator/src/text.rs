//! Percent-encoding, as it comes in queries and in `X-Audit-Log-Reason`.

/// Undoes percent-encoding; in a query, `+` means a space. Bytes that are no UTF-8 become U+FFFD.
pub(crate) fn percent_decode(encoded: &[u8], plus_is_space: bool) -> String {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            bytes.push(high << 4 | low);
            rest = &tail[2..];
        } else {
            bytes.push(if plus_is_space && *first == b'+' { b' ' } else { *first });
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The value of `name` in a query string.
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decode(key.as_bytes(), true) == name).then(|| percent_decode(value.as_bytes(), true))
    })
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone() {
        assert_eq!(percent_decode("gr%C3%BC%C3%9Fe+100%25%".as_bytes(), false), "grüße+100%%");
        assert_eq!(query_value("limit=5&channel=Movie+night%21", "channel").as_deref(), Some("Movie night!"));
        assert_eq!(query_value("limit=5", "before"), None);
    }
}

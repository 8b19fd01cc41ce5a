//! The `authorization` header.

use http::{HeaderMap, header};

use super::error::AuthError;

/// The token of `authorization: Bearer <token>` (RFC 6750, section 2.1). The scheme's case does not matter. A header
/// that comes twice is refused, since a proxy might have judged the other one.
///
/// # Errors
/// [`AuthError::Missing`] or [`AuthError::HeaderMalformed`].
pub fn bearer_token(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthError::Missing)?;
    if values.next().is_some() {
        return Err(AuthError::HeaderMalformed);
    }
    let text = value.to_str().map_err(|_| AuthError::HeaderMalformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(AuthError::HeaderMalformed)?;
    let token = token.trim_start_matches(' ');
    let shaped = !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b));
    if scheme.eq_ignore_ascii_case("bearer") && shaped { Ok(token) } else { Err(AuthError::HeaderMalformed) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_scheme_may_be_in_any_case() {
        for value in ["Bearer a.b-_.c", "bearer a.b-_.c", "BEARER   a.b-_.c"] {
            assert_eq!(bearer_token(&headers(&[value])), Ok("a.b-_.c"), "{value}");
        }
    }

    #[test]
    fn anything_but_one_bearer_token_is_refused() {
        assert_eq!(bearer_token(&HeaderMap::new()), Err(AuthError::Missing));
        for values in [
            &["Bearer a.b.c", "Bearer a.b.c"][..],
            &["Bearer a.b.c, Bearer d.e.f"],
            &["Basic dXNlcjpwYXNz"],
            &["Bearer"],
            &["Bearer "],
            &["a.b.c"],
            &["Bearer a.b.c d"],
            &["Bearer\ta.b.c"],
        ] {
            assert_eq!(bearer_token(&headers(values)), Err(AuthError::HeaderMalformed), "{values:?}");
        }
        let mut binary = HeaderMap::new();
        binary.insert(header::AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff").expect("opaque bytes"));
        assert_eq!(bearer_token(&binary), Err(AuthError::HeaderMalformed));
    }
}

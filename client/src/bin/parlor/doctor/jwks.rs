//! Does the issuer publish the key that signed the token?

use std::io;

use serde::Deserialize;

use super::{
    PATIENCE,
    claims::Claims,
    report::{Finding, Report},
};

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    kid: String,
}

pub(crate) async fn check(url: &str, claims: Option<&Claims>, report: &mut Report) -> io::Result<()> {
    let finding = match fetch(url).await {
        Err(wrong) => {
            Finding::failed("jwks", format!("{url}: {wrong}"), "check auth.jwks_url, and that the issuer is up")
        }
        Ok(set) if set.keys.is_empty() => Finding::failed("jwks", "the set holds no key", "check auth.jwks_url"),
        Ok(set) => judge(&set, claims),
    };
    report.add(finding)
}

fn judge(set: &KeySet, claims: Option<&Claims>) -> Finding {
    let count = set.keys.len();
    match claims.map(Claims::kid) {
        None | Some("") => Finding::ok("jwks", format!("keys: {count}")),
        Some(kid) if set.keys.iter().any(|key| key.kid == kid) => {
            Finding::ok("jwks", format!("keys: {count}, that of the token among them"))
        }
        Some(kid) => Finding::failed(
            "jwks",
            format!("none of the {count} keys is `{kid}`, which signed the token"),
            "is the token of this issuer? If the issuer has changed keys, get a new token",
        ),
    }
}

async fn fetch(url: &str) -> Result<KeySet, String> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(|error| innermost(&error))?;
    let answer = client.get(url).send().await.map_err(|error| innermost(&error))?;
    if !answer.status().is_success() {
        return Err(format!("HTTP {}", answer.status().as_u16()));
    }
    answer.json().await.map_err(|_| "what it answers is no JSON Web Key Set".to_owned())
}

/// The last cause of an error: the one that says something.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

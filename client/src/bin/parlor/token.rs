//! `parlor token`: a token that `parlord dev` accepts.

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};

use crate::{
    cli::Token,
    failure::{Exit, Failure},
    terminal::Terminal,
};

/// The issuer and the audience of development tokens, and the files that `parlord dev` keeps its key in.
const ISSUER: &str = "parlor-dev";
const AUDIENCE: &str = "parlor";
const KEY_FILE: &str = "token-key.pem";
const JWKS_FILE: &str = "jwks.json";
/// The longest life of a token that Parlor accepts.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What a token can allow, by the names of the contract, with what they are for.
pub(crate) const SCOPES: [Scope; 10] = [
    Scope("rooms:read"),
    Scope("rooms:write"),
    Scope("guests:write"),
    Scope("events:read"),
    Scope("participants:write"),
    Scope("messages:write"),
    Scope("webhooks:write"),
    Scope("voice:listen"),
    Scope("voice:speak"),
    Scope("ops"),
];

/// The name of something that a token can allow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Scope(pub(crate) &'static str);

/// Several of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Scopes(Vec<Scope>);

impl Scope {
    /// Reads names with spaces (or commas) between.
    pub(crate) fn parse_list(text: &str) -> Result<Scopes, String> {
        let all = || SCOPES.map(|scope| scope.0).join(" ");
        let names = text.split([' ', ',']).filter(|name| !name.is_empty());
        let scopes: Vec<Scope> = names
            .map(|name| {
                let known = SCOPES.into_iter().find(|scope| scope.0 == name);
                known.ok_or_else(|| format!("there is no scope {name}; there are: {}", all()))
            })
            .collect::<Result<_, _>>()?;
        if scopes.is_empty() { Err(format!("name at least one of: {}", all())) } else { Ok(Scopes(scopes)) }
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: u64,
    exp: u64,
    guilds: &'a [String],
    scope: String,
}

/// Prints a token.
pub(crate) fn run(request: &Token, terminal: Terminal, now: SystemTime) -> Result<(), Failure> {
    if request.lifetime > LONGEST || request.lifetime.is_zero() {
        return Err(Failure::new(Exit::Usage, "a token lives for 24 hours at most").next("--lifetime 24h"));
    }
    let everything = request.guilds.iter().any(|guild| guild == "*");
    let wrong = request.guilds.iter().find(|guild| *guild != "*" && !is_snowflake(guild));
    if let Some(wrong) = wrong {
        return Err(Failure::new(Exit::Usage, format!("`{wrong}` is no id of a guild, nor * for all")));
    }
    if everything && request.guilds.len() > 1 {
        return Err(Failure::new(Exit::Usage, "* covers all guilds: name no other beside it"));
    }
    let pem = read(&request.dir, KEY_FILE)?;
    let jwks = read(&request.dir, JWKS_FILE)?;
    let broken = |file: &str, error: &dyn std::error::Error| {
        let path = request.dir.join(file);
        Failure::new(Exit::Failed, format!("{} cannot be used", path.display()))
            .because(error)
            .next(format!("delete {} and run `parlord dev` again: it makes a new key", request.dir.display()))
    };
    let key = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|error| broken(KEY_FILE, &error))?;
    let keys: KeySet = serde_json::from_str(&jwks).map_err(|error| broken(JWKS_FILE, &error))?;
    let kid = keys.keys.into_iter().next().map(|key| key.kid);
    let kid = kid.ok_or_else(|| broken(JWKS_FILE, &io::Error::other("it holds no key")))?;

    let scopes = request.scope.as_ref().map_or(&SCOPES[..], |scopes| &scopes.0);
    let issued = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = Claims {
        iss: ISSUER,
        aud: AUDIENCE,
        sub: &request.sub,
        iat: issued,
        exp: issued + request.lifetime.as_secs(),
        guilds: &request.guilds,
        scope: scopes.iter().map(|scope| scope.0).collect::<Vec<_>>().join(" "),
    };
    let mut header = Header::new(Algorithm::RS256);
    header.typ = Some("at+jwt".to_owned());
    header.kid = Some(kid);
    let token = jsonwebtoken::encode(&header, &claims, &key).map_err(|error| broken(KEY_FILE, &error))?;
    if terminal.is_json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            token: &'a str,
            expires: u64,
        }
        return Ok(terminal.json(&Answer { token: &token, expires: claims.exp })?);
    }
    Ok(terminal.line(&token)?)
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kid: String,
}

fn read(directory: &Path, file: &str) -> Result<String, Failure> {
    let path = directory.join(file);
    fs::read_to_string(&path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return Failure::new(Exit::Failed, format!("there is no development key: {} is missing", path.display()))
                .next("run `make dev` (or `parlord dev`) first, in this directory; name another with --dir");
        }
        Failure::new(Exit::Failed, format!("cannot read {}", path.display())).because(&error)
    })
}

/// Whether text is an id as Discord writes them: 17 to 20 digits.
fn is_snowflake(text: &str) -> bool {
    (17..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_names_that_there_are() {
        assert_eq!(Scope::parse_list("rooms:read  ops"), Ok(Scopes(vec![Scope("rooms:read"), Scope("ops")])));
        assert!(Scope::parse_list("rooms:reed").expect_err("a typing mistake").contains("rooms:read"));
        assert!(Scope::parse_list(" ").is_err());
    }
}

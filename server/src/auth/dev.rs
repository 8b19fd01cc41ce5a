//! The issuer of `parlord dev`: one signing key in a directory, kept between runs.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse, ThumbprintHash},
};
use parlor_gateway::GuildId;
use serde::Serialize;
use thiserror::Error;

use super::{
    jwks::{KeySet, SigningAlgorithm},
    principal::GuildGrant,
    scope::Scope,
    verifier::{TokenRules, TokenType},
};

/// The issuer of development tokens (`iss`).
pub const DEV_ISSUER: &str = "parlor-dev";
/// The audience of development tokens (`aud`).
pub const DEV_AUDIENCE: &str = "parlor";
/// The file with the private key, PKCS#8 in PEM, readable by its owner alone.
pub const KEY_FILE: &str = "token-key.pem";
/// The file with the public key, as a JSON Web Key Set.
pub const JWKS_FILE: &str = "jwks.json";
/// The longest life of a token.
pub const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The development key cannot be had.
#[derive(Debug, Error)]
pub enum DevKeyError {
    /// A file or the directory cannot be read or written.
    #[error("cannot use `{path}`")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system gives no key.
    #[error("cannot generate a key")]
    Generate(#[source] aws_lc_rs::error::Unspecified),
    /// The file holds no RSA key; deleting it makes a new one.
    #[error("`{path}` holds no RSA key: delete it to have a new one made")]
    NoKey {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: jsonwebtoken::errors::Error,
    },
}

/// A token cannot be minted.
#[derive(Debug, Error)]
pub enum MintError {
    /// Longer than 24 hours.
    #[error("a token lives for 24 hours at most")]
    LivesTooLong,
    /// The clock or the key is unusable.
    #[error("the token cannot be signed")]
    Signing(#[source] jsonwebtoken::errors::Error),
}

/// What a development token says.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Who (`sub`).
    pub subject: String,
    /// Where.
    pub guilds: GuildGrant,
    /// What.
    pub scopes: BTreeSet<Scope>,
    /// For how long, 24 hours at most.
    pub lifetime: Duration,
}

/// A signing key and its public half.
pub struct DevIssuer {
    key: EncodingKey,
    kid: String,
    jwks: String,
}

impl DevIssuer {
    /// Opens the key in `directory`, which is made (for its owner alone) if it is missing, and so is the key. Making one
    /// takes up to a second in a debug build.
    ///
    /// # Errors
    /// See [`DevKeyError`].
    pub fn open(directory: &Path) -> Result<Self, DevKeyError> {
        let in_file = |path: &Path| {
            let path = path.to_owned();
            |source| DevKeyError::File { path, source }
        };
        make_private_directory(directory).map_err(in_file(directory))?;
        let path = directory.join(KEY_FILE);
        let pem = match fs::read_to_string(&path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let pem = generate_pem().map_err(DevKeyError::Generate)?;
                write_private(&path, &pem).map_err(in_file(&path))?;
                pem
            }
            Err(error) => return Err(in_file(&path)(error)),
        };
        let issuer = Self::from_pem(&pem).map_err(|source| DevKeyError::NoKey { path, source })?;
        let published = directory.join(JWKS_FILE);
        fs::write(&published, &issuer.jwks).map_err(in_file(&published))?;
        Ok(issuer)
    }

    pub(super) fn from_pem(pem: &str) -> Result<Self, jsonwebtoken::errors::Error> {
        let key = EncodingKey::from_rsa_pem(pem.as_bytes())?;
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::RS256)?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_algorithm = Some(KeyAlgorithm::RS256);
        let jwks = serde_json::to_string_pretty(&JwkSet { keys: vec![jwk] })?;
        Ok(Self { key, kid, jwks })
    }

    /// The public key as a JSON Web Key Set, to publish.
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// The public key, to verify with.
    pub fn key_set(&self) -> KeySet {
        KeySet::from_json(self.jwks.as_bytes()).expect("the set was written by `from_pem`")
    }

    /// The rules that its tokens satisfy.
    pub fn rules(&self) -> TokenRules {
        TokenRules {
            issuer: DEV_ISSUER.to_owned(),
            audience: DEV_AUDIENCE.to_owned(),
            algorithms: BTreeSet::from([SigningAlgorithm::Rs256]),
            types: BTreeSet::from([TokenType::AccessToken]),
            leeway: Duration::from_secs(30),
            max_lifetime: MAX_LIFETIME,
        }
    }

    /// Signs a token.
    ///
    /// # Errors
    /// It would live for longer than 24 hours, or signing fails.
    pub fn mint(&self, request: &TokenRequest, now: SystemTime) -> Result<String, MintError> {
        if request.lifetime > MAX_LIFETIME {
            return Err(MintError::LivesTooLong);
        }
        let issued = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = DevClaims {
            iss: DEV_ISSUER,
            aud: DEV_AUDIENCE,
            sub: &request.subject,
            iat: issued,
            exp: issued + request.lifetime.as_secs(),
            guilds: match &request.guilds {
                GuildGrant::All => vec!["*".to_owned()],
                GuildGrant::Only(guilds) => guilds.iter().map(GuildId::to_string).collect(),
            },
            scope: request.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" "),
        };
        let mut header = Header::new(Algorithm::RS256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(MintError::Signing)
    }
}

impl std::fmt::Debug for DevIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevIssuer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct DevClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: u64,
    exp: u64,
    guilds: Vec<String>,
    scope: String,
}

/// A new RSA-2048 key, PKCS#8 in PEM (RFC 7468, section 10).
pub(super) fn generate_pem() -> Result<String, aws_lc_rs::error::Unspecified> {
    let pair = KeyPair::generate(KeySize::Rsa2048)?;
    let der: Pkcs8V1Der<'static> = pair.as_der()?;
    let base64 = STANDARD.encode(der.as_ref());
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
}

fn make_private_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Principal, Verifier, testing::now};

    fn request(lifetime: Duration) -> TokenRequest {
        TokenRequest {
            subject: "ann".to_owned(),
            guilds: GuildGrant::Only(BTreeSet::from([GuildId::new(100_000_000_000_000_001)])),
            scopes: BTreeSet::from([Scope::RoomsRead, Scope::EventsRead]),
            lifetime,
        }
    }

    #[test]
    fn a_key_is_made_once_and_its_tokens_verify() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join(".parlor/dev");
        let first = DevIssuer::open(&directory).expect("a new key");
        let again = DevIssuer::open(&directory).expect("the same key");
        assert_eq!(first.jwks(), again.jwks());
        assert_eq!(fs::read_to_string(directory.join(JWKS_FILE)).expect("published"), first.jwks());

        let token = first.mint(&request(MAX_LIFETIME), now()).expect("a token");
        let verdict = Verifier::new(again.rules()).verify(&token, &again.key_set(), now());
        let Principal { subject, guilds, scopes, .. } = verdict.expect("our own token");
        assert_eq!((subject.as_str(), guilds), ("ann", request(MAX_LIFETIME).guilds));
        assert!(scopes.contains(Scope::EventsRead) && !scopes.contains(Scope::RoomsWrite));
        assert!(!format!("{first:?}").contains("PRIVATE"));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_the_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("dev");
        DevIssuer::open(&directory).expect("a new key");
        let mode = |path: &Path| fs::metadata(path).expect("it was made").permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&directory.join(KEY_FILE))), (0o700, 0o600));
    }

    #[test]
    fn a_token_for_longer_than_a_day_is_not_minted() {
        let issuer = DevIssuer::from_pem(&crate::auth::testing::rsa().pem).expect("a key");
        let longer = request(MAX_LIFETIME + Duration::from_secs(1));
        assert!(matches!(issuer.mint(&longer, now()), Err(MintError::LivesTooLong)));
    }

    #[test]
    fn a_file_without_a_key_is_named() {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join(KEY_FILE), "not a key").expect("written");
        let error = DevIssuer::open(home.path()).expect_err("no key");
        assert!(error.to_string().contains(KEY_FILE), "{error}");
    }
}

//! Tokens of every kind, good and bad.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parlor_server::auth::dev::{DEV_AUDIENCE, DEV_ISSUER, DevIssuer, JWKS_FILE, KEY_FILE};
use serde::Serialize;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// The issuer of every test in this process: making an RSA key takes a while.
pub struct Issuer {
    directory: TempDir,
    key: EncodingKey,
    kid: String,
}

/// The claims of a token; change what the test is about.
#[derive(Clone, Debug, Serialize)]
pub struct Token {
    /// Who issued it.
    pub iss: String,
    /// For whom.
    pub aud: String,
    /// Whose it is.
    pub sub: String,
    /// When it was issued.
    pub iat: u64,
    /// When it ends.
    pub exp: u64,
    /// Where it is good.
    pub guilds: Vec<String>,
    /// For what it is good.
    pub scope: String,
}

impl Default for Token {
    fn default() -> Self {
        let now = seconds_now();
        Self {
            iss: DEV_ISSUER.to_owned(),
            aud: DEV_AUDIENCE.to_owned(),
            sub: "tester".to_owned(),
            iat: now,
            exp: now + 3_600,
            guilds: vec!["*".to_owned()],
            scope: "rooms:read rooms:write events:read participants:write webhooks:write voice:listen voice:speak ops"
                .to_owned(),
        }
    }
}

impl Token {
    /// A token that has been over for so long.
    pub fn expired_for(ago: Duration) -> Self {
        let exp = seconds_now() - ago.as_secs();
        Self { iat: exp - 60, exp, ..Self::default() }
    }
}

/// The time as tokens say it.
pub fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

impl Issuer {
    /// The one issuer.
    pub fn get() -> &'static Self {
        static ISSUER: OnceLock<Issuer> = OnceLock::new();
        ISSUER.get_or_init(|| {
            let directory = tempfile::tempdir().expect("a directory");
            DevIssuer::open(directory.path()).expect("a key");
            let pem = std::fs::read(directory.path().join(KEY_FILE)).expect("the key");
            let jwks = std::fs::read(directory.path().join(JWKS_FILE)).expect("the public key");
            let jwks: serde_json::Value = serde_json::from_slice(&jwks).expect("JSON");
            Self {
                key: EncodingKey::from_rsa_pem(&pem).expect("an RSA key"),
                kid: jwks["keys"][0]["kid"].as_str().expect("a key id").to_owned(),
                directory,
            }
        })
    }

    /// Where the public key is.
    pub fn jwks_file(&self) -> PathBuf {
        self.directory.path().join(JWKS_FILE)
    }

    /// Where the key pair is.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Serves the public key on loopback for as long as the test runs, and returns its URL.
    ///
    /// # Panics
    /// The system gives no port.
    pub async fn serve_keys(&self) -> String {
        let keys = std::fs::read_to_string(self.jwks_file()).expect("the public key");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
        let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{keys}", keys.len());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // A request of a few hundred bytes comes in one piece; what it asks for does not matter. Whoever asked
                // and does not listen shows it by itself.
                if stream.read(&mut [0; 4_096]).await.is_ok() {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        });
        format!("http://{address}/jwks.json")
    }

    /// A token as it should be signed.
    pub fn sign(&self, token: &Token) -> String {
        self.sign_with(Algorithm::RS256, &self.key, token)
    }

    /// The classic forgery: HS256 with the public key, as it is published, for a secret.
    pub fn forge_with_public_key(&self, token: &Token) -> String {
        let public = std::fs::read(self.jwks_file()).expect("the public key");
        self.sign_with(Algorithm::HS256, &EncodingKey::from_secret(&public), token)
    }

    fn sign_with(&self, algorithm: Algorithm, key: &EncodingKey, token: &Token) -> String {
        let mut header = Header::new(algorithm);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, token, key).expect("a token")
    }
}

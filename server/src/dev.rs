//! `parlord dev`: the same server as in production, with an emulated Discord on loopback beside it.
//!
//! The server has no test mode; it is only told other URLs. The bot token is a made-up one, whatever is configured.

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use discord_emulator::{Emulator, VoiceConfig};
use thiserror::Error;
use tokio::net::TcpListener;

use crate::{
    app::{Listeners, Parts, Server, StartError},
    auth::{
        GuildGrant, KeySource, Scope,
        dev::{DevIssuer, DevKeyError, JWKS_FILE, MintError, TokenRequest},
    },
    config::{AllowedOrigins, Config, ServeRequirements, UnitError},
    telemetry::Metrics,
};

/// Any token logs in to the emulator; this one says what it is.
const BOT_TOKEN: &str = "emulated.bot.token";

/// Where the emulator is if nobody says otherwise; its voice server has fixed ports then too.
const USUAL_PORT: u16 = 50_080;

/// The certificate of the emulated voice server's authority, beside the development key.
const VOICE_AUTHORITY_FILE: &str = "ca.pem";

/// How long the printed token lives.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Development could not start.
#[derive(Debug, Error)]
pub enum DevError {
    /// The emulator's address cannot be bound.
    #[error("cannot start the emulated Discord on {address}: is another one running? Set --emulator-listen")]
    Emulator {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The emulated voice server's ports cannot be bound.
    #[error(
        "cannot start the emulated voice server on TCP port {gateway} and UDP port {media}: is another one running there?"
    )]
    Voice {
        /// The voice gateway's port; 0 = a free one.
        gateway: u16,
        /// The port of media.
        media: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The voice server's authority cannot be written.
    #[error("cannot write {file}, by which voice clients trust the emulated voice server")]
    Authority {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The emulator is not on loopback.
    #[error("the emulated Discord has to stay on loopback; {0} is not")]
    NotLoopback(SocketAddr),
    /// The development key cannot be used.
    #[error("cannot use the development key")]
    Key(#[from] DevKeyError),
    /// No token could be signed.
    #[error("cannot sign a token")]
    Token(#[from] MintError),
    /// The emulator's URL does not fit the settings.
    #[error("cannot point the server at the emulated Discord")]
    Url(#[from] UnitError),
    /// The server could not start.
    #[error("cannot start the server")]
    Start(#[from] StartError),
}

/// A running server with its emulated Discord.
pub struct Dev {
    server: Server,
    emulator: Emulator,
    token: String,
    authority: PathBuf,
}

/// Starts the emulator, then the server against it.
///
/// # Errors
/// See [`DevError`].
pub async fn start(mut config: Config, emulator_listen: SocketAddr, metrics: Metrics) -> Result<Dev, DevError> {
    if !emulator_listen.ip().is_loopback() {
        return Err(DevError::NotLoopback(emulator_listen));
    }
    let failed = |source| DevError::Emulator { address: emulator_listen, source };
    let listener = TcpListener::bind(emulator_listen).await.map_err(failed)?;
    let (gateway, media) = voice_ports(emulator_listen.port());
    let mut voice = VoiceConfig::default();
    voice.listen.set_port(gateway);
    voice.media.set_port(media);
    let discord = discord_emulator::Config { voice, ..discord_emulator::Config::default() };
    let emulator =
        Emulator::serve(listener, discord).await.map_err(|source| DevError::Voice { gateway, media, source })?;

    let directory = config.store.dir.join("dev");
    let issuer = DevIssuer::open(&directory)?;
    let authority = directory.join(VOICE_AUTHORITY_FILE);
    let written = std::fs::write(&authority, emulator.voice_authority());
    written.map_err(|source| DevError::Authority { file: authority.clone(), source })?;
    config.discord.voice_ca_file = Some(authority.clone());
    let everything = TokenRequest {
        subject: "dev".to_owned(),
        guilds: GuildGrant::All,
        scopes: BTreeSet::from(Scope::ALL),
        lifetime: TOKEN_LIFETIME,
    };
    let token = issuer.mint(&everything, SystemTime::now())?;

    config.discord.api_url = emulator.rest_url().parse()?;
    config.discord.gateway_url = None;
    config.server.reflection = true;
    config.server.allowed_origins = AllowedOrigins::Any;
    // Nobody's load balancer looks at a developer's machine.
    config.server.drain_grace = Duration::ZERO;
    let requirements = ServeRequirements {
        token_rules: issuer.rules(),
        key_source: KeySource::File(directory.join(JWKS_FILE)),
        bot_token: BOT_TOKEN.to_owned().into(),
    };
    let parts = Parts {
        requirements,
        listeners: Listeners::bind(&config).await?,
        metrics,
        clock: Arc::new(SystemTime::now),
        jwks: Some(issuer.jwks().to_owned()),
    };
    let server = Server::start(config, parts).await?;
    Ok(Dev { server, emulator, token, authority })
}

/// The ports of the emulated voice server, gateway and media: free ones beside an emulator at an unusual port, so that
/// several can run.
const fn voice_ports(emulator: u16) -> (u16, u16) {
    if emulator == USUAL_PORT { (50_443, 50_100) } else { (0, 0) }
}

impl Dev {
    /// What a person at the terminal can do now, with this grpcurl.
    pub fn what_to_type_next(&self, grpcurl: &str) -> String {
        let Self { server, emulator, token, authority } = self;
        let (voice, authority) = (emulator.voice_addr(), authority.display());
        let (api, ops, discord) = (server.api_addr(), server.ops_addr(), emulator.addr());
        let (guild, lobby) = (discord_emulator::PARLOR_DEV, discord_emulator::LOBBY);
        format!(
            r#"Parlor is up, with an emulated Discord. Nothing leaves this machine.

  gRPC, grpc-web        {api}
  metrics, probes       http://{ops}/metrics  /healthz  /readyz
  emulated Discord      http://{discord}/api/v10  (any bot token logs in)
  emulated voice server {voice}, with TLS: clients have to trust {authority}

The room page, which keeps the token in its tab:

  http://{api}/#token={token}

The same token, for everything and for 24 hours:

  export PARLOR_TOKEN='{token}'

Create a room:

  {grpcurl} -plaintext -H "authorization: Bearer $PARLOR_TOKEN" \
    -d '{{"guild_id":"{guild}","display_name":"My room"}}' {api} parlor.v1.RoomService/CreateRoom

Watch who is in which room (leave it running):

  {grpcurl} -plaintext -H "authorization: Bearer $PARLOR_TOKEN" -d '{{}}' {api} parlor.v1.VoiceEventService/SubscribeVoiceEvents

Make somebody join, move and leave (curl http://{discord}/control tells the rest):

  curl -X POST http://{discord}/control/users/ann/join -d 'My room'
  curl -X POST http://{discord}/control/users/ann/move -d Lobby
  curl -X POST http://{discord}/control/users/ann/leave

Have a bot speak in the Lobby, and record it (with target/debug in your PATH):

  parlor-caller Lobby --tone 440 --seconds 10 --discord {discord} --ca {authority} &
  parlor voice record {lobby} tape --time 5s --addr {api}

Ctrl-C stops everything."#
        )
    }

    /// The server and the emulator; the emulator lives as long as its handle.
    pub fn into_parts(self) -> (Server, Emulator) {
        (self.server, self.emulator)
    }
}

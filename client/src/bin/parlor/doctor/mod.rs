//! `parlor doctor`: what can be checked from here, in the order in which it has to work.

mod certificate;
mod claims;
mod discord;
mod jwks;
mod permissions;
mod reach;
mod report;
mod server;
mod settings;

use std::{
    process::ExitCode,
    time::{Duration, SystemTime},
};

use parlor_client::Address;

use self::{claims::Claims, report::Report};
use crate::{
    cli::{Doctor, Global},
    failure::{Exit, Failure, GET_A_TOKEN},
    session,
    terminal::Terminal,
};

/// How long any one thing may take before it counts as not answering.
const PATIENCE: Duration = Duration::from_secs(10);

/// Checks everything and prints what it found. The exit code says whether anything failed.
pub(crate) async fn run(doctor: &Doctor, global: &Global, terminal: Terminal) -> Result<ExitCode, Failure> {
    let bot_token = match &doctor.bot_token_file {
        Some(path) => Some(session::secret_from_file(path)?),
        None => session::secret_from_environment("DISCORD_TOKEN"),
    };
    if doctor.discord_only && bot_token.is_none() {
        return Err(Failure::new(Exit::Usage, "--discord-only needs the bot's token")
            .next("name its file with --bot-token-file, or set DISCORD_TOKEN"));
    }
    let mut report = Report::new(terminal);
    if !doctor.discord_only {
        parlor(doctor, global, &mut report).await?;
    }
    match bot_token {
        Some(token) => discord::check(&token, &doctor.api_url, &mut report).await?,
        None => report.skip(
            "discord",
            "no bot token was given: --bot-token-file FILE checks the bot too, and prints its invite URL",
        )?,
    }
    settings::check(doctor.config.as_deref(), &mut report)?;
    report.finish()
}

async fn parlor(doctor: &Doctor, global: &Global, report: &mut Report) -> Result<(), Failure> {
    let token = session::token(global)?;
    let claims = match &token {
        None => {
            report.fail("token", "none is set", GET_A_TOKEN)?;
            None
        }
        Some(token) => match Claims::decode(token) {
            Err(wrong) => {
                report.fail("token", &format!("it is no JWT: {wrong}"), GET_A_TOKEN)?;
                None
            }
            Ok(claims) => {
                for finding in claims.judge(SystemTime::now()) {
                    report.add(finding)?;
                }
                Some(claims)
            }
        },
    };
    if let Some(url) = &doctor.jwks_url {
        jwks::check(url, claims.as_ref(), report).await?;
    }
    let address: Address = match global.addr.parse() {
        Ok(address) => address,
        Err(error) => {
            let error = Failure::from(error);
            return Ok(report.fail(
                "address",
                error.text().message,
                "write host:port, or https://host:port for TLS",
            )?);
        }
    };
    let authority = session::authority(global)?;
    if reach::check(&address, authority.as_deref(), report).await? {
        server::check(&address, authority, token.filter(|_| claims.is_some()), report).await?;
    }
    Ok(())
}

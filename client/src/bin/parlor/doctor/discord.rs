//! Is the bot's token good, and may the bot do what Parlor needs?

use std::{fmt, io, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use reqwest::{Client, StatusCode, Url, redirect};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    PATIENCE,
    claims::span,
    jwks::innermost,
    permissions::{FOR_MORE, NEEDED, bits, invite_url, missing},
    reach,
    report::{Finding, GuildReport, Mark, Report},
};

/// Guilds on one page of GET /users/@me/guilds, which is Discord's most.
const GUILDS_PAGE: usize = 200;
/// Discord gives a bot 1,000 session starts a day; with fewer left than this, something starts too often.
const FEW_STARTS: u32 = 50;

/// Asks Discord, from the token to each guild.
pub(crate) async fn check(token: &str, api_url: &str, report: &mut Report) -> io::Result<()> {
    let rest = match Rest::new(token, api_url) {
        Ok(rest) => rest,
        Err(wrong) => return report.fail("discord", &wrong, "check --api-url and the bot's token"),
    };
    let bot: User = match rest.get("users/@me").await {
        Ok(bot) => bot,
        Err(error) => return report.add(error.finding("bot")),
    };
    report.ok("bot", &format!("{} ({})", bot.username, bot.id))?;
    match rest.get::<Application>("oauth2/applications/@me").await {
        Ok(application) => about_application(&application, report)?,
        Err(error) => report.add(error.finding("application"))?,
    }
    match rest.get::<GatewayBot>("gateway/bot").await {
        Ok(gateway) => about_gateway(&gateway, report).await?,
        Err(error) => report.add(error.finding("gateway"))?,
    }
    match rest.guilds().await {
        Ok(guilds) => about_guilds(guilds, report),
        Err(error) => report.add(error.finding("guild")),
    }
}

fn about_application(application: &Application, report: &mut Report) -> io::Result<()> {
    report.add(judge(application))?;
    report.ok(
        "intents",
        "Parlor asks for GUILDS and GUILD_VOICE_STATES: neither is privileged, nothing is to be enabled",
    )?;
    let (needed, for_more) = (bits(&NEEDED), bits(&NEEDED) | bits(&FOR_MORE));
    report.invite(invite_url(&application.id, needed), invite_url(&application.id, for_more));
    Ok(())
}

fn judge(application: &Application) -> Finding {
    if application.bot_require_code_grant {
        return Finding::failed(
            "application",
            "it requires an OAuth2 code grant, so that an invite URL alone invites nobody",
            "switch off \"Requires OAuth2 Code Grant\" on the Bot page of Discord's developer portal",
        );
    }
    let who = if application.bot_public { "everybody may invite it" } else { "only its owner may invite it" };
    Finding::ok("application", format!("{} ({}); {who}", application.name, application.id))
}

async fn about_gateway(gateway: &GatewayBot, report: &mut Report) -> io::Result<()> {
    let starts = &gateway.session_start_limit;
    let left = format!(
        "{} of {} session starts are left; recommended shards: {}",
        starts.remaining, starts.total, gateway.shards
    );
    let renewed = format!("Discord renews them in {}", span(starts.reset_after / 1_000));
    report.add(match starts.remaining {
        0 => Finding::failed("gateway", left, format!("{renewed}: until then Parlor cannot connect anew")),
        few if few < FEW_STARTS => {
            Finding::warning("gateway", left, format!("look for what starts so often; {renewed}"))
        }
        _ => Finding::ok("gateway", left),
    })?;
    let Some(url) = gateway.url.parse::<Url>().ok() else { return Ok(()) };
    let (Some(host), port) = (url.host_str(), url.port().unwrap_or(if url.scheme() == "ws" { 80 } else { 443 })) else {
        return Ok(());
    };
    let fix = "let this machine connect to it: Parlor needs the websocket, and no HTTP proxy will do";
    let reached = match reach::dial(host, port).await {
        Ok(stream) if url.scheme() == "wss" => reach::handshake(stream, host, None, &[b"http/1.1"]).await.map(|_| ()),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    match reached {
        Ok(()) => report.ok("gateway", &format!("{host}:{port} answers")),
        Err(error) => report.fail("gateway", &format!("{host}:{port}: {error}"), fix),
    }
}

fn about_guilds(guilds: Vec<Guild>, report: &mut Report) -> io::Result<()> {
    if guilds.is_empty() {
        return report.add(Finding::warning("guild", "the bot is in no guild", "invite it with the URL below"));
    }
    for guild in guilds {
        let Some(granted) = guild.permissions.as_deref().and_then(|bits| bits.parse::<u128>().ok()) else {
            let message = format!("{} ({}): Discord does not say what the bot may do there", guild.name, guild.id);
            report.add(Finding::skipped("guild", message))?;
            continue;
        };
        let lacks = missing(&NEEDED, granted, guild.owner);
        let lacks_for_more = missing(&FOR_MORE, granted, guild.owner);
        report.add(judge_guild(&guild, &lacks))?;
        report.add_guild(GuildReport {
            guild: guild.id,
            name: guild.name,
            missing: lacks,
            missing_for_more: lacks_for_more,
        });
    }
    report.skip("guild", "this is what the bot's roles give; a channel or category may still take it away")
}

fn judge_guild(guild: &Guild, lacks: &[&str]) -> Finding {
    let who = format!("{} ({})", guild.name, guild.id);
    if lacks.is_empty() {
        return Finding::ok("guild", format!("{who}: the bot has what rooms and events need"));
    }
    let fix = "open the invite URL below and choose this guild, or give the bot's role these permissions";
    Finding::failed("guild", format!("{who}: the bot lacks {}", lacks.join(", ")), fix)
}

#[derive(Deserialize)]
struct User {
    id: String,
    username: String,
}

#[derive(Deserialize)]
struct Application {
    id: String,
    name: String,
    #[serde(default)]
    bot_public: bool,
    #[serde(default)]
    bot_require_code_grant: bool,
}

#[derive(Deserialize)]
struct GatewayBot {
    url: String,
    shards: u32,
    session_start_limit: SessionStartLimit,
}

#[derive(Deserialize)]
struct SessionStartLimit {
    total: u32,
    remaining: u32,
    /// Milliseconds.
    reset_after: u64,
}

/// A guild as a member sees it in a list (Discord docs, User § Get Current User Guilds).
#[derive(Deserialize)]
struct Guild {
    id: String,
    name: String,
    #[serde(default)]
    owner: bool,
    /// What all roles of the bot give together, without what channels take away.
    permissions: Option<String>,
}

/// Discord's REST API, as far as it is asked here.
struct Rest {
    client: Client,
    base: String,
}

impl Rest {
    fn new(token: &str, api_url: &str) -> Result<Self, String> {
        let url: Url = api_url.parse().map_err(|_| format!("`{api_url}` is no URL"))?;
        let local =
            url.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]");
        if url.scheme() != "https" && !local {
            return Err(format!("`{api_url}` is not https: the bot's token would be readable on the way"));
        }
        let token = token.strip_prefix("Bot ").unwrap_or(token);
        let mut value = HeaderValue::try_from(format!("Bot {token}"))
            .map_err(|_| "the bot's token holds characters that no token has".to_owned())?;
        value.set_sensitive(true);
        // A redirect would be followed with the token.
        let client = Client::builder()
            .default_headers(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
            .user_agent(concat!("DiscordBot (", env!("CARGO_PKG_REPOSITORY"), ", ", env!("CARGO_PKG_VERSION"), ")"))
            .redirect(redirect::Policy::none())
            .timeout(PATIENCE);
        let client = client.build().map_err(|error| innermost(&error))?;
        Ok(Self { client, base: api_url.trim_end_matches('/').to_owned() })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RestError> {
        let answer = self.client.get(format!("{}/{path}", self.base)).send().await;
        let answer = answer.map_err(|error| RestError::Unreachable(innermost(&error)))?;
        match answer.status() {
            StatusCode::UNAUTHORIZED => Err(RestError::Unauthorized),
            StatusCode::TOO_MANY_REQUESTS => {
                let after =
                    answer.headers().get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
                Err(RestError::Limited(Duration::from_secs(after.unwrap_or(1))))
            }
            status if status.is_success() => answer.json().await.map_err(|_| RestError::Strange(status)),
            status => Err(RestError::Strange(status)),
        }
    }

    /// Every guild of the bot, page after page.
    async fn guilds(&self) -> Result<Vec<Guild>, RestError> {
        let mut guilds: Vec<Guild> = Vec::new();
        loop {
            let after = guilds.last().map(|guild| format!("&after={}", guild.id)).unwrap_or_default();
            let page: Vec<Guild> = self.get(&format!("users/@me/guilds?limit={GUILDS_PAGE}{after}")).await?;
            let is_last = page.len() < GUILDS_PAGE;
            guilds.extend(page);
            if is_last {
                return Ok(guilds);
            }
        }
    }
}

/// Why Discord did not answer.
#[derive(Debug)]
enum RestError {
    Unreachable(String),
    Unauthorized,
    Limited(Duration),
    Strange(StatusCode),
}

impl fmt::Display for RestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "Discord cannot be reached: {why}"),
            Self::Unauthorized => f.write_str("Discord does not accept the bot's token (401)"),
            Self::Limited(after) => write!(f, "Discord asks for {} s of patience (429)", after.as_secs()),
            Self::Strange(status) => write!(f, "Discord's answer was not understood (HTTP {})", status.as_u16()),
        }
    }
}

impl RestError {
    fn finding(&self, check: &'static str) -> Finding {
        let (result, fix) = match self {
            Self::Unreachable(_) => (Mark::Failed, "let this machine connect to the host of --api-url, port 443"),
            Self::Unauthorized => (
                Mark::Failed,
                "reset the token on the Bot page of Discord's developer portal, and put the new one into the file",
            ),
            Self::Limited(_) => (Mark::Warning, "wait, and run doctor again"),
            Self::Strange(_) => (Mark::Warning, "look at discordstatus.com, and run doctor again"),
        };
        Finding { check, result, message: self.to_string(), fix: fix.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_sent_where_it_can_be_read() {
        assert!(Rest::new("t", "http://discord.example/api").is_err());
        assert!(Rest::new("t", "http://127.0.0.1:50080/api/v10").is_ok());
        let broken = Rest::new("secret\n", "https://discord.com/api/v10").err().expect("a line break");
        assert!(!broken.contains("secret"), "{broken}");
    }

    #[test]
    fn an_application_that_wants_a_code_grant_cannot_be_invited() {
        let application =
            Application { id: "1".into(), name: "Parlor".into(), bot_public: true, bot_require_code_grant: true };
        assert_eq!(judge(&application).result, Mark::Failed);
    }
}

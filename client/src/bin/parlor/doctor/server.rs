//! Does Parlor answer, and does it let this token in?

use std::{
    io,
    time::{Duration, SystemTime},
};

use parlor_client::{
    Address, CallError, Parlor,
    v1::{self, subscribe_voice_events_request as request, subscribe_voice_events_response::Body},
};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{
    PATIENCE,
    report::{Finding, Report},
};
use crate::failure::Failure;

/// Parlor lets clocks differ by so much (`auth.leeway`).
const LEEWAY: Duration = Duration::from_secs(30);
/// More than clocks that are kept in step differ.
const ODD: Duration = Duration::from_secs(2);

/// Asks for health, then makes the calls that change nothing.
pub(crate) async fn check(
    address: &Address,
    authority: Option<Vec<u8>>,
    token: Option<String>,
    report: &mut Report,
) -> io::Result<()> {
    let mut connect = Parlor::at(address.to_string()).deadline(PATIENCE).token(token.clone().unwrap_or_default());
    if let Some(pem) = authority {
        connect = connect.authority(pem);
    }
    let parlor = match connect.connect().await {
        Ok(parlor) => parlor,
        Err(error) => {
            let failure = Failure::from(error);
            let said = failure.text();
            let message = format!("{}: {}", said.message, said.details.join(": "));
            return report.fail("grpc", &message, said.next.unwrap_or_default());
        }
    };
    if !health(parlor.channel(), report).await? {
        return Ok(());
    }
    if token.is_none() {
        return report.skip("calls", "not made without a token");
    }
    clock(&parlor, report).await?;
    calls(&parlor, report).await
}

/// The names of gRPC health that tell something, with what it means if they are not serving.
const HEALTH: [(&str, &str, &str); 4] = [
    ("live", "the server is stopping", "wait until it has started again"),
    (
        "ready",
        "the server cannot verify tokens: it has no keys of the issuer",
        "check auth.jwks_url or auth.jwks_file of parlord, and its log",
    ),
    (
        "discord-gateway",
        "Parlor has no connection to Discord's gateway: what it tells is what was last known",
        "look at parlord's log; --bot-token-file FILE checks the bot's token from here",
    ),
    (
        "discord-rest",
        "Discord does not accept Parlor's bot token (401): whatever has to ask Discord fails",
        "give parlord a token that is accepted, and start it anew",
    ),
];

/// Whether gRPC is spoken at all.
async fn health(channel: Channel, report: &mut Report) -> io::Result<bool> {
    let mut client = HealthClient::new(channel);
    let mut serving = Vec::new();
    for (name, wrong, fix) in HEALTH {
        let request = HealthCheckRequest { service: name.to_owned() };
        match timeout(PATIENCE, client.check(request)).await {
            Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => serving.push(name),
            Ok(Ok(_)) => report.fail("health", &format!("{name} is not serving: {wrong}"), fix)?,
            Ok(Err(status)) if status.code() == tonic::Code::NotFound => {
                report.fail("health", &format!("the server knows no `{name}`"), "is this address Parlor's?")?;
            }
            Ok(Err(status)) => {
                let message = format!("the server does not speak gRPC here: {}", status.message());
                report.fail(
                    "health",
                    &message,
                    "is this Parlor's address, and is it right that it is (not) https://?",
                )?;
                return Ok(false);
            }
            Err(_) => {
                report.fail(
                    "health",
                    "no answer",
                    "is this Parlor's address, and is it right that it is (not) https://?",
                )?;
                return Ok(false);
            }
        }
    }
    if !serving.is_empty() {
        report.ok("health", &format!("serving: {}", serving.join(", ")))?;
    }
    Ok(true)
}

async fn clock(parlor: &Parlor, report: &mut Report) -> io::Result<()> {
    let before = SystemTime::now();
    let finding = match timeout(PATIENCE, server_time(parlor)).await {
        Ok(Ok(Some(theirs))) => {
            let after = SystemTime::now();
            let ours = before + after.duration_since(before).unwrap_or_default() / 2;
            let apart = theirs.duration_since(ours).unwrap_or_else(|behind| behind.duration());
            judge_clock(apart)
        }
        Ok(Ok(None)) | Err(_) => Finding::skipped("clock", "the server did not say its time"),
        Ok(Err(error)) => Finding::skipped("clock", format!("the server says its time on streams alone ({error})")),
    };
    report.add(finding)
}

fn judge_clock(apart: Duration) -> Finding {
    let message = format!("this clock and the server's are {:.1} s apart", apart.as_secs_f64());
    if apart > LEEWAY {
        return Finding::failed(
            "clock",
            message,
            "set both by NTP: tokens are refused when clocks differ by more than 30 s",
        );
    }
    if apart > ODD { Finding::warning("clock", message, "set both by NTP") } else { Finding::ok("clock", message) }
}

/// The server's time, from the bookmark that a stream without a snapshot begins with.
async fn server_time(parlor: &Parlor) -> Result<Option<SystemTime>, CallError> {
    let start = request::Start::StartAt(v1::StartAt::Latest.into());
    let request = v1::SubscribeVoiceEventsRequest { start: Some(start), ..Default::default() };
    let mut frames = parlor.subscribe(request).await?;
    while let Some(frame) = frames.next().await? {
        if let Some(Body::Bookmark(bookmark)) = frame.body {
            return Ok(bookmark.as_of.and_then(|time| SystemTime::try_from(time).ok()));
        }
    }
    Ok(None)
}

/// Calls that change nothing.
async fn calls(parlor: &Parlor, report: &mut Report) -> io::Result<()> {
    match parlor.list_guilds().await {
        Ok(guilds) if guilds.is_empty() => report.add(Finding::warning(
            "ListGuilds",
            "no guild: the bot is in none that the token covers",
            "invite the bot (--bot-token-file FILE prints the URL), or let the token cover its guilds",
        ))?,
        Ok(guilds) => {
            let names: Vec<_> = guilds.iter().take(5).map(|guild| guild.display_name.as_str()).collect();
            let more = if guilds.len() > names.len() { ", …" } else { "" };
            report.ok("ListGuilds", &format!("{}: {}{more}", guilds.len(), names.join(", ")))?;
        }
        Err(error) => report.add(refused("ListGuilds", error))?,
    }
    match parlor.list_rooms(v1::ListRoomsRequest::default()).await {
        Ok(rooms) => report.ok("ListRooms", &format!("{} rooms", rooms.len()))?,
        Err(error) => report.add(refused("ListRooms", error))?,
    }
    match timeout(PATIENCE, parlor.subscribe(v1::SubscribeVoiceEventsRequest::default())).await {
        Ok(Ok(_)) => report.ok("Subscribe", "the stream opens"),
        Ok(Err(error)) => report.add(refused("Subscribe", error)),
        Err(_) => {
            report.fail("Subscribe", "no answer", "look for a proxy in between that does not pass HTTP/2 streams on")
        }
    }
}

/// A refused call. A scope that the token lacks may be meant so.
fn refused(call: &'static str, error: CallError) -> Finding {
    let meant = error.reason.as_deref() == Some("SCOPE_MISSING");
    let failure = Failure::from(error);
    let said = failure.text();
    let reason = said.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let message = format!("refused: {}{reason}", said.message);
    let fix = said.next.unwrap_or_default();
    if meant { Finding::warning(call, message, fix) } else { Finding::failed(call, message, fix) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Mark;

    #[test]
    fn clocks_may_differ_a_little() {
        let mark = |seconds| judge_clock(Duration::from_secs(seconds)).result;
        assert_eq!((mark(1), mark(10), mark(31)), (Mark::Ok, Mark::Warning, Mark::Failed));
    }
}

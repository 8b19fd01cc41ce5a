//! F01 to F24: what Discord's gateway and the way to it can do.

use std::time::{Duration, Instant};

use discord_emulator::{Fault, GatewayLimits, NewChannel, PARLOR_DEV, Stats};

use super::stage::{Plan, Stage};

type Outcome = Result<(), String>;

const SECOND: Duration = Duration::from_secs(1);
/// How long a resume or a new session may take: the longest pause between two connections is a minute.
const AGAIN: Duration = Duration::from_secs(90);

/// Waits until a session was taken up again, or another began, after these counts.
pub(super) async fn until_again(stage: &Stage, before: &Stats) -> Outcome {
    let count = before.identifies + before.resumes;
    stage.until_discord("a resume or a new session", AGAIN, |now| now.identifies + now.resumes > count).await
}

/// A fault that struck nothing shows nothing.
fn struck(count: u64, what: &str, was: &str) -> Outcome {
    (count > 0).then_some(()).ok_or_else(|| format!("no {what} was {was}: the fault did not strike"))
}

/// One fault that strikes at once.
async fn once(stage: &mut Stage, fault: Fault) -> Outcome {
    let pause = Duration::from_millis(stage.rng.u64(100..500));
    stage.goes_on(pause).await;
    let before = stage.emulator.stats();
    stage.emulator.inject(fault);
    until_again(stage, &before).await
}

/// F01: the connection is reset in the middle of a frame.
pub(super) async fn reset_mid_frame(stage: &mut Stage) -> Outcome {
    let before = stage.emulator.stats();
    stage.proxy().change(|weather| weather.cut += 1);
    until_again(stage, &before).await
}

/// F02
pub(super) async fn closed_without_code(stage: &mut Stage) -> Outcome {
    once(stage, Fault::DropConnections).await
}

/// F03: op 7 on a running session, then to connections that have not had Hello.
pub(super) async fn op_7(stage: &mut Stage) -> Outcome {
    once(stage, Fault::RequestReconnect).await?;
    let opened = stage.emulator.stats().gateway_opened;
    stage.emulator.inject(Fault::GreetWith { text: r#"{"t":null,"s":null,"op":7,"d":null}"#.to_owned() });
    stage.emulator.inject(Fault::DropConnections);
    stage.until_discord("two connections", AGAIN, |now| now.gateway_opened >= opened + 2).await?;
    let before = stage.emulator.stats();
    stage.emulator.clear_faults();
    until_again(stage, &before).await
}

/// F04
pub(super) async fn op_9_resumable(stage: &mut Stage) -> Outcome {
    once(stage, Fault::InvalidateSession { resumable: true }).await
}

/// F05: the session is gone when it is to be resumed.
pub(super) async fn op_9_on_resume(stage: &mut Stage) -> Outcome {
    stage.emulator.inject(Fault::KillSessions);
    stage.emulator.inject(Fault::DropConnections);
    stage.until_discord("a new session", AGAIN, |now| now.resumes_refused >= 1 && now.identifies >= 2).await
}

/// F06: five IDENTIFYs in a row are refused. At Discord's own rate: one in five seconds.
pub(super) async fn op_9_on_identify(stage: &mut Stage) -> Outcome {
    let began = Instant::now();
    stage.emulator.inject(Fault::RefuseIdentifies { next: 5 });
    stage.emulator.inject(Fault::InvalidateSession { resumable: false });
    stage
        .until_discord("five refusals and a session", 2 * AGAIN, |now| now.identifies >= 7 && now.sessions_open == 1)
        .await?;
    let identifies = stage.emulator.stats().identifies;
    let took = began.elapsed();
    stage.remark = format!("identifies={identifies} in {}s", took.as_secs());
    // Those that come too soon are refused too, and count.
    (identifies == 7).then_some(()).ok_or_else(|| format!("{identifies} identifies where 7 do, in {took:?}"))
}

/// As Discord limits sessions.
pub(super) fn strict() -> Plan {
    let gateway = GatewayLimits { heartbeat_interval: 2 * SECOND, ..GatewayLimits::of_discord() };
    Plan { gateway, ..Plan::default() }
}

/// F07: every close code that allows a resume, in any order.
pub(super) async fn closed_and_resumed(stage: &mut Stage) -> Outcome {
    let mut codes = [4000, 4001, 4002, 4003, 4005, 4008];
    stage.rng.shuffle(&mut codes);
    for code in codes {
        once(stage, Fault::Close { code }).await?;
    }
    stage.remark = format!("{codes:?}");
    Ok(())
}

/// F08
pub(super) async fn closed_for_a_new_session(stage: &mut Stage) -> Outcome {
    for code in [4007, 4009] {
        once(stage, Fault::Close { code }).await?;
        stage.goes_on(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// F09: some of the codes after which repeating mends nothing. The operator starts the server anew each time.
pub(super) async fn refused_for_good(stage: &mut Stage) -> Outcome {
    let mut codes = vec![4004, 4010, 4011, 4012, 4013, 4014];
    stage.rng.shuffle(&mut codes);
    codes.truncate(if stage.long { 3 } else { 1 });
    for code in &codes {
        stage.emulator.inject(Fault::Close { code: *code });
        let opened = stage.emulator.stats().gateway_opened;
        stage.until_health("discord-gateway", false).await?;
        stage.goes_on(2 * SECOND).await;
        if stage.emulator.stats().gateway_opened > opened {
            return Err(format!("{code} is retried"));
        }
        let server = stage.take_server()?;
        server.terminate().await?;
        stage.start_server().await?;
        stage.until_health("discord-gateway", true).await?;
    }
    stage.remark = format!("{codes:?}");
    Ok(())
}

/// F10: nothing is heard any more, though the connection is open. (One that still brings dispatches is not given up.)
pub(super) async fn no_heartbeat_acks(stage: &mut Stage) -> Outcome {
    stage.traffic.flow(false);
    let before = stage.emulator.stats();
    stage.emulator.inject(Fault::HoldHeartbeatAcks);
    until_again(stage, &before).await?;
    stage.emulator.clear_faults();
    stage.traffic.flow(true);
    Ok(())
}

/// F11: Discord asks for a heartbeat, on a connection whose own are far apart.
pub(super) async fn heartbeat_asked(stage: &mut Stage) -> Outcome {
    for _ in 0..5 {
        let before = stage.emulator.stats().heartbeats;
        stage.emulator.inject(Fault::RequestHeartbeat);
        stage.until_discord("a heartbeat", 5 * SECOND, |now| now.heartbeats > before).await?;
    }
    Ok(())
}

/// Heartbeats as far apart as Discord's.
pub(super) fn calm() -> Plan {
    let gateway = GatewayLimits { heartbeat_interval: Duration::from_millis(41_250), ..GatewayLimits::default() };
    Plan { gateway, ..Plan::default() }
}

/// Discord keeps more than happens in any outage of a round.
pub(super) fn long_memory() -> Plan {
    let plan = Plan::proxied();
    Plan { gateway: GatewayLimits { replay_events: 100_000, ..plan.gateway }, ..plan }
}

/// The same, without a proxy.
pub(super) fn remembering() -> Plan {
    Plan { proxied: false, ..long_memory() }
}

/// As [`long_memory`], with heartbeats that are not missed by a delay of seconds.
pub(super) fn patient() -> Plan {
    let plan = long_memory();
    Plan { gateway: GatewayLimits { heartbeat_interval: 10 * SECOND, ..plan.gateway }, ..plan }
}

/// Heartbeats that are soon missed.
pub(super) fn hasty() -> Plan {
    let plan = Plan::default();
    Plan { gateway: GatewayLimits { heartbeat_interval: 2 * SECOND, ..plan.gateway }, ..plan }
}

/// F12: a minute of a gateway that accepts and closes.
pub(super) async fn accepts_and_closes(stage: &mut Stage) -> Outcome {
    let span = stage.lasting(60 * SECOND, 10 * SECOND);
    let opened = stage.emulator.stats().gateway_opened;
    stage.emulator.inject(Fault::AcceptThenClose { code: Some(4000) });
    stage.emulator.inject(Fault::DropConnections);
    stage.goes_on(span).await;
    let connects = stage.emulator.stats().gateway_opened - opened;
    stage.emulator.clear_faults();
    stage.remark = format!("connects={connects} in {}s", span.as_secs());
    (connects <= 15).then_some(()).ok_or_else(|| format!("{connects} connections in {span:?}: at most 15"))
}

/// F13: nobody answers where the session is to be resumed.
pub(super) async fn dead_resume_url(stage: &mut Stage) -> Outcome {
    stage.emulator.clear_faults();
    once(stage, Fault::DropConnections).await
}

/// READY names a port where nobody is.
pub(super) fn resumes_nowhere() -> Plan {
    let nowhere = Fault::NameResumeUrl { url: "ws://127.0.0.1:9".to_owned() };
    Plan { from_the_start: vec![nowhere], ..Plan::default() }
}

/// F14: more happens during an outage than Discord keeps.
pub(super) async fn replay_overflows(stage: &mut Stage) -> Outcome {
    let before = stage.emulator.stats();
    stage.emulator.inject(Fault::RefuseConnections);
    stage.emulator.inject(Fault::DropConnections);
    stage.until_discord("more dispatches than are kept", AGAIN, |now| now.dispatches > before.dispatches + 40).await?;
    stage.emulator.clear_faults();
    until_again(stage, &before).await
}

/// Discord keeps ten dispatches.
pub(super) fn short_memory() -> Plan {
    let plan = Plan::default();
    Plan { gateway: GatewayLimits { replay_events: 10, ..plan.gateway }, ..plan }
}

/// F15
pub(super) async fn dispatches_come_thrice(stage: &mut Stage) -> Outcome {
    let before = stage.emulator.stats();
    stage.emulator.inject(Fault::RepeatDispatches { next: u32::MAX, times: 3 });
    stage.goes_on(2 * SECOND).await;
    stage.emulator.clear_faults();
    let now = stage.emulator.stats();
    let (sent, repeated) = (now.dispatches - before.dispatches, now.dispatches_repeated - before.dispatches_repeated);
    stage.remark = format!("dispatches={sent} of_them_repeated={repeated}");
    struck(repeated, "dispatch", "repeated")
}

/// F16: some dispatches are never sent. The next session finds it out.
pub(super) async fn dispatches_are_swallowed(stage: &mut Stage) -> Outcome {
    for _ in 0..6 {
        stage.emulator.inject(Fault::SwallowDispatches { next: 1, event: None });
        stage.goes_on(Duration::from_millis(200)).await;
    }
    once(stage, Fault::InvalidateSession { resumable: false }).await
}

/// F17: a channel is deleted before those who were in it have left, and other effects before their causes.
pub(super) async fn dispatches_are_reversed(stage: &mut Stage) -> Outcome {
    stage.emulator.inject(Fault::ReverseDispatches);
    for round in 0..20 {
        let made = stage.emulator.world(|world| {
            let room = world.create_channel(PARLOR_DEV, NewChannel::voice(&format!("Short-lived {round}"))).ok()?;
            for guest in 0..4 {
                let guest = world.person(&format!("guest{guest}"));
                world.join(guest, room).ok()?;
            }
            Some(room)
        });
        stage.goes_on(Duration::from_millis(20)).await;
        stage.emulator.world(|world| made.map(|room| world.delete_channel(room)));
    }
    stage.goes_on(SECOND).await;
    stage.emulator.clear_faults();
    let reversed = stage.emulator.stats().changes_reversed;
    stage.remark = format!("reversed={reversed}");
    struck(reversed, "change", "reversed")
}

/// F18
pub(super) async fn guild_outage(stage: &mut Stage) -> Outcome {
    stage.emulator.world(|world| world.guild_goes_down(PARLOR_DEV));
    stage.goes_on(2 * SECOND).await;
    stage.emulator.world(|world| world.guild_comes_back(PARLOR_DEV));
    stage.goes_on(Duration::from_millis(300)).await;
    Ok(())
}

/// F19: a new session, whose guilds come late.
pub(super) async fn guilds_come_late(stage: &mut Stage) -> Outcome {
    let span = stage.lasting(70 * SECOND, 3 * SECOND);
    let before = stage.emulator.stats();
    stage.emulator.inject(Fault::HoldGuildCreates);
    stage.emulator.inject(Fault::InvalidateSession { resumable: false });
    until_again(stage, &before).await?;
    stage.until_health("discord-gateway", false).await?;
    stage.goes_on(span).await;
    stage.emulator.clear_faults();
    stage.until_health("discord-gateway", true).await
}

/// Through a proxy, with payloads that nobody can read.
pub(super) fn strange() -> Plan {
    Plan { strange: true, ..Plan::proxied() }
}

/// F20: payloads that are malformed, unknown or very large.
pub(super) async fn strange_payloads(stage: &mut Stage) -> Outcome {
    let strange = [
        "not JSON at all".to_owned(),
        "{}".to_owned(),
        r#"{"t":"VOICE_STATE_UPDATE","s":null,"op":0,"d":{"guild_id":7}}"#.to_owned(),
        r#"{"t":"SOMETHING_NEW","s":null,"op":0,"d":{"a":[1,2,3]}}"#.to_owned(),
        r#"{"t":null,"s":null,"op":99,"d":null}"#.to_owned(),
        format!(r#"{{"t":"SOMETHING_LARGE","s":null,"op":0,"d":"{}"}}"#, "x".repeat(4 * 1024 * 1024)),
    ];
    for text in strange {
        stage.emulator.inject(Fault::SendPayload { text });
        stage.goes_on(Duration::from_millis(100)).await;
    }
    let skipped = stage.server()?.metric("parlor_gateway_skipped_total").await.unwrap_or(0.0);
    stage.remark = format!("skipped={skipped}");
    (skipped >= 1.0).then_some(()).ok_or_else(|| "nothing was counted as skipped".to_owned())
}

/// F21: a byte of the compressed stream is wrong.
pub(super) async fn garbled_stream(stage: &mut Stage) -> Outcome {
    for _ in 0..2 {
        let before = stage.emulator.stats();
        stage.proxy().change(|weather| weather.garbled += 1);
        until_again(stage, &before).await?;
    }
    Ok(())
}

/// F22
pub(super) async fn delay_and_loss(stage: &mut Stage) -> Outcome {
    let span = stage.lasting(20 * SECOND, 6 * SECOND);
    stage.proxy().change(|weather| {
        weather.delay = 3 * SECOND;
        weather.loss_percent = 30;
    });
    stage.goes_on(span).await;
    stage.proxy().change(|weather| {
        weather.delay = Duration::ZERO;
        weather.loss_percent = 0;
    });
    let (delayed, held_up) = stage.proxy().toll();
    stage.remark = format!("delayed={delayed} held_up={held_up}");
    struck(delayed, "piece", "delayed")?;
    struck(held_up, "piece", "held up")
}

/// F23: nothing passes, for many heartbeats. Discord ends a session of which it hears nothing (4009).
pub(super) async fn blackhole(stage: &mut Stage) -> Outcome {
    // Discord's heartbeats are eight times as far apart: this is more than the 90 s of the list to them.
    let span = stage.lasting(20 * SECOND, 10 * SECOND);
    let before = stage.emulator.stats();
    stage.proxy().change(|weather| weather.blackhole = true);
    stage.goes_on(span).await;
    stage.proxy().change(|weather| weather.blackhole = false);
    until_again(stage, &before).await
}

/// F24: Discord's name resolves to nothing, for the session that is to be resumed and for a server that starts.
pub(super) async fn no_dns(stage: &mut Stage) -> Outcome {
    stage.emulator.clear_faults();
    once(stage, Fault::DropConnections).await?;
    let server = stage.take_server()?;
    server.kill().await;
    let right = stage.run().settings.clone();
    let wrong = ("discord.api_url".to_owned(), "https://discord.invalid/api/v10".to_owned());
    stage.run().settings.push(wrong);
    stage.start_server().await?;
    let span = stage.lasting(20 * SECOND, 6 * SECOND);
    stage.goes_on(span).await;
    let asked = stage.log.count("Discord does not say where its gateway is");
    stage.remark = format!("questions={asked} in {}s", span.as_secs());
    let server = stage.take_server()?;
    server.kill().await;
    stage.run().settings = right;
    stage.start_server().await?;
    (1..=12).contains(&asked).then_some(()).ok_or_else(|| format!("Discord was asked for {asked} times in {span:?}"))
}

/// READY names a host that resolves to nothing.
pub(super) fn resumes_at_no_host() -> Plan {
    let nowhere = Fault::NameResumeUrl { url: "wss://gateway.discord.invalid".to_owned() };
    Plan { from_the_start: vec![nowhere], proxied: false, ..long_memory() }
}

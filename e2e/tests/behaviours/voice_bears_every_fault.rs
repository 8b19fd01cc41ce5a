//! What the voice server can do wrong, each against two Parlors who speak all the time: they are heard all the same, under
//! their names, and of every frame it is known what became of it.

use std::time::Duration;

use discord_emulator::{Fault, GAMES, LOBBY, PARLOR_DEV, VoiceConfig, VoiceTrouble};
use parlor_client::v1::VoiceSessionState as State;
use parlor_e2e::{
    soon,
    voice::{Company, Eye, moves},
};

/// Several at once where they dress packets up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_that_comes_otherwise_than_it_was_sent_is_heard() {
    use VoiceTrouble::{Delay, Duplicate, Extend, Lose, Mix, Pad, Reorder};
    let table: [&[VoiceTrouble]; 9] = [
        &[Pad { percent: 50, bytes: 7 }],
        &[Pad { percent: 100, bytes: 255 }],
        &[Extend { percent: 50 }],
        &[Mix { percent: 50 }],
        &[Pad { percent: 50, bytes: 1 }, Extend { percent: 50 }, Mix { percent: 50 }],
        &[Duplicate { percent: 50 }],
        &[Reorder { percent: 30 }],
        &[Delay { percent: 30, millis: 40 }],
        &[Lose { percent: 10 }],
    ];
    let mut company = Company::start(VoiceConfig::default(), 2).await;
    company.hear_each_other().await;
    for troubles in table {
        for trouble in troubles {
            company.house.emulator.inject(*trouble);
        }
        company.hear_each_other().await;
        company.house.emulator.clear_faults();
    }
    company.hear_each_other().await;
    let voice = company.house.emulator.stats().voice;
    let struck = [voice.duplicated, voice.reordered, voice.delayed, voice.lost];
    assert!(struck.iter().all(|times| *times > 0), "{voice:?}");
    for quality in company.add_up(&[0, 1]).await {
        let frames = quality.frames.expect("they are counted");
        assert!(frames.lost > 0 && frames.held == 0 && quality.datagrams_rejected == 0, "{quality:?}");
    }
    company.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_were_changed_on_their_way_are_counted_and_not_heard() {
    let mut company = Company::start(VoiceConfig::default(), 2).await;
    // For the first two seconds in a group, what cannot be opened may have been sealed before.
    for _ in 0..6 {
        company.hear_each_other().await;
    }
    company.house.emulator.inject(VoiceTrouble::Corrupt { percent: 20 });
    company.hear_each_other().await;
    company.house.emulator.clear_faults();
    company.hear_each_other().await;
    let counted = company.add_up(&[0, 1]).await;
    let undecryptable: u64 =
        counted.iter().filter_map(|quality| quality.frames).map(|frames| frames.undecryptable).sum();
    let corrupted = company.house.emulator.stats().voice.corrupted;
    assert!(corrupted > 0 && undecryptable == corrupted, "{undecryptable} of {corrupted}: {counted:?}");
}

/// One leaves and comes again while the trouble lasts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_in_while_the_voice_server_has_a_trouble_is_heard() {
    let table = [
        Fault::from(VoiceTrouble::LateSpeaking { millis: 700 }),
        VoiceTrouble::ReorderMessages { percent: 50 }.into(),
        VoiceTrouble::ReuseSources.into(),
        Fault::ReverseDispatches,
    ];
    let mut company = Company::start(VoiceConfig::default(), 2).await;
    company.hear_each_other().await;
    for fault in table {
        company.house.emulator.inject(fault.clone());
        company.leaves(1).await;
        company.comes(1).await;
        company.hear_each_other().await;
        // The one who stayed changes rooms and comes back under the same trouble.
        for room in [GAMES, LOBBY] {
            moves(&company.house, company.users[0], Some(room));
        }
        company.hear_each_other().await;
        company.house.emulator.clear_faults();
    }
    company.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_that_gets_lost_is_repeated_until_it_is_answered() {
    let mut company = Company::start(VoiceConfig::default(), 2).await;
    company.leaves(1).await;
    let emulator = company.house.emulator.clone();
    emulator.inject(VoiceTrouble::LoseDiscovery { percent: 100 });
    let losing = async {
        soon("two losses", emulator.wait_for(|stats| stats.voice.lost >= 2)).await;
        emulator.clear_faults();
    };
    tokio::join!(company.comes(1), losing);
    assert_eq!(emulator.stats().voice.identifies, 3, "it did not begin anew for that");
    company.hear_each_other().await;
    company.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voice_gateway_that_answers_no_heartbeat_is_left_and_resumed() {
    let heartbeat_interval = Duration::from_secs(2);
    let mut company = Company::start(VoiceConfig { heartbeat_interval, ..VoiceConfig::default() }, 2).await;
    company.hear_each_other().await;
    let place = company.places[0].as_ref().expect("it is in the call");
    let mut eye = Eye::open(&company.parlors[0], place.session(), "").await;
    let holds = Fault::from(VoiceTrouble::HoldHeartbeatAcks);
    company.house.emulator.inject(holds.only(company.users[0]));
    eye.until_state(State::Interrupted).await;
    company.house.emulator.clear_faults();
    eye.until_state(State::Connected).await;
    let voice = company.house.emulator.stats().voice;
    assert_eq!((voice.resumes, voice.resumes_refused, voice.identifies), (1, 0, 2), "{voice:?}");
    company.hear_each_other().await;
    for quality in company.add_up(&[0, 1]).await {
        assert_eq!(quality.frames.expect("they are counted").lost, 0, "media went on");
    }
    company.finish().await;
}

/// Discord puts silence, in the clear, in the place of what somebody says who is muted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_that_the_server_fills_in_is_let_in_and_nothing_else_is() {
    let mut company = Company::start(VoiceConfig::default(), 2).await;
    company.hear_each_other().await;
    company.house.emulator.inject(VoiceTrouble::FillSilence);
    let muted = company.users[1];
    let mute = |mute| {
        let edit = discord_emulator::MemberEdit { mute: Some(mute), ..Default::default() };
        company.house.emulator.world(|world| world.edit_member(PARLOR_DEV, muted, edit));
    };
    // Who knows to be muted sends nothing: neither Parlor is told.
    let event = Some("VOICE_STATE_UPDATE".to_owned());
    company.house.emulator.inject(Fault::SwallowDispatches { next: 2, event });
    mute(true);
    soon("silence", company.house.emulator.wait_for(|stats| stats.voice.silenced >= 25)).await;
    mute(false);
    company.hear_each_other().await;
    let counted = company.add_up(&[0]).await;
    let frames = counted[0].frames.expect("they are counted");
    assert!(frames.passthrough >= 25 && frames.lost == 0, "{frames:?}");
    company.finish().await;
}

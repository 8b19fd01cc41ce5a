//! Parlors with real keys, who speak without a pause while the group of their call is made anew, spoilt, left, given up and
//! taken up again: each is heard afterwards under its name, and of every frame it is known what became of it.

use discord_emulator::{DavePolicy, Fault, LOBBY, PARLOR_DEV, VoiceConfig, VoiceTrouble};
use parlor_client::v1::e2ee_state::Mode;
use parlor_e2e::{
    Process, soon,
    sound_file::caller,
    voice::{Company, encrypted},
};
use serde_json::json;

/// A client that begins its group anew says so with op 31, each time: so it is one that says nothing.
fn nothing_was_broken(company: &Company) {
    let voice = company.house.emulator.stats().voice;
    assert_eq!((voice.invalid_commits, voice.resumes), (0, 0), "{voice:?}");
}

/// Waits until a session's call is protected like this, with so many members.
async fn is_protected(company: &Company, who: usize, mode: Mode, members: usize) {
    let is_so = async || {
        let place = company.places[who].as_ref().expect("it is in the call");
        let request = parlor_client::v1::GetE2eeStateRequest {
            session_id: place.session().session_id.clone(),
            ..Default::default()
        };
        let answer = company.parlors[who].voice_sessions().get_e2ee_state(request).await.expect("told").into_inner();
        let state = answer.state.expect("a state");
        state.mode() == mode && state.member_user_ids.len() == members
    };
    soon("another protection", async { while !is_so().await {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_begins_anew_again_and_again_is_heard_again() {
    let mut company = Company::start(VoiceConfig::default(), 3).await;
    // One more, on the voice core alone.
    let caller = caller(&company.house, "Lobby", &["--tone", "1100"]).await;
    let voice = company.house.emulator.bot("caller.caller").expect("it is logged in");
    company.expect(voice, 1_100.0).await;
    company.hear_each_other_and(&[voice]).await;
    let emulator = &company.house.emulator;
    let before = emulator.stats().voice.transitions;
    emulator.inject(VoiceTrouble::BeginAnew { times: 5 });
    soon("five groups", emulator.wait_for(|stats| stats.voice.transitions >= before + 5)).await;
    company.hear_each_other_and(&[voice]).await;
    is_protected(&company, 0, Mode::EndToEnd, 4).await;
    nothing_was_broken(&company);
    drop(caller);
    company.add_up(&[0, 1, 2]).await;
    company.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_in_the_clear_while_somebody_cannot_encrypt() {
    const PLAIN: &str = "voice.plain";
    let mut company = Company::start(encrypted(DavePolicy::Optional), 2).await;
    company.hear_each_other().await;
    is_protected(&company, 0, Mode::EndToEnd, 2).await;
    let mut plain = Process::bot(&company.house, "node/voice_bot.mjs", PLAIN).await;
    for _ in 0..2 {
        plain.ask(json!({"do": "join", "guild": PARLOR_DEV, "channel": LOBBY, "encrypted": false})).await;
        plain.ask(json!({"do": "speak", "hz": 1_100, "seconds": 600})).await;
        let user = company.house.emulator.bot(PLAIN).expect("it is logged in");
        company.expect(user, 1_100.0).await;
        company.hear_each_other_and(&[user]).await;
        is_protected(&company, 1, Mode::Transport, 0).await;
        plain.ask(json!({"do": "listen", "among": [440, 660]})).await;
        let first = json!(company.users[0]);
        plain.until(|line| line["event"] == "heard" && line["user"] == first && line["hz"] == 440).await;
        plain.ask(json!({"do": "leave"})).await;
        for who in [0, 1] {
            is_protected(&company, who, Mode::EndToEnd, 2).await;
        }
        company.hear_each_other().await;
    }
    nothing_was_broken(&company);
    company.add_up(&[0, 1]).await;
    for (place, other) in company.places.iter().flatten().zip([1, 0]) {
        let heard = place.witness.heard()[&company.users[other].to_string()];
        assert!(heard.sealed > 0 && heard.sealed < heard.own, "some of it was sealed, and some was not: {heard:?}");
    }
    company.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_left_alone_is_heard_by_those_who_come_back() {
    let mut company = Company::start(VoiceConfig::default(), 3).await;
    for _ in 0..2 {
        company.hear_each_other().await;
        company.leaves(1).await;
        company.hear_each_other().await;
        company.leaves(2).await;
        company.comes(2).await;
        company.comes(1).await;
    }
    company.hear_each_other().await;
    nothing_was_broken(&company);
    company.add_up(&[0]).await;
    company.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gets_a_spoilt_commit_or_welcome_comes_in_again() {
    let mut company = Company::start(VoiceConfig::default(), 2).await;
    company.places.push(None);
    company.hear_each_other().await;
    let emulator = company.house.emulator.clone();
    // The one who is there already gets a commit, and the newcomer a welcome.
    for unlucky in [0, 1] {
        let before = emulator.stats().voice;
        let spoil = Fault::from(VoiceTrouble::SpoilCommits { percent: 100 });
        emulator.inject(spoil.only(company.users[unlucky]));
        if unlucky == 0 {
            let caller = caller(&company.house, "Lobby", &["--tone", "1100"]).await;
            soon("a commit", emulator.wait_for(|stats| stats.voice.commits_spoilt > before.commits_spoilt)).await;
            emulator.clear_faults();
            drop(caller);
        } else {
            // What is said by somebody who is out of the group can be opened by nobody: it is counted, and not judged here.
            company.places[1].take().expect("it is in the call").leave().await;
            let spoilt = async {
                soon("a welcome", emulator.wait_for(|stats| stats.voice.commits_spoilt > before.commits_spoilt)).await;
                emulator.clear_faults();
            };
            tokio::join!(company.comes(1), spoilt);
        }
        company.hear_each_other().await;
        let after = emulator.stats().voice;
        let (spoilt, told) =
            (after.commits_spoilt - before.commits_spoilt, after.invalid_commits - before.invalid_commits);
        assert!((1..=spoilt).contains(&told), "{told} of {spoilt} were told");
    }
    company.add_up(&[0]).await;
    for place in company.places.into_iter().flatten() {
        place.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_that_change_hands_change_no_names() {
    let mut company = Company::start(VoiceConfig::default(), 3).await;
    company.hear_each_other().await;
    for times in 0..4 {
        if times == 2 {
            // What is lost just before must not be made up from somebody else's sound.
            company.house.emulator.inject(VoiceTrouble::Lose { percent: 10 });
        }
        company.house.emulator.inject(VoiceTrouble::SwapSources);
        company.hear_each_other().await;
    }
    company.house.emulator.clear_faults();
    nothing_was_broken(&company);
    company.hear_each_other().await;
    company.finish().await;
}

//! Every close code of the voice gateway, and what becomes of a session that gets it.

use discord_emulator::{Fault, LOBBY, UserId, VoiceConfig, VoiceTrouble};
use futures_util::future::join_all;
use parlor_client::{
    Parlor,
    v1::{self, VoiceSessionEnding as Ending, VoiceSessionState as State, watch_session_response::Event as Told},
};
use parlor_e2e::{
    House, soon,
    voice::{Company, Eye, connect, moves},
};

/// What a code asks for (Discord docs, Opcodes and Status Codes, "Voice Close Event Codes").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Consequence {
    /// Audio goes on, and the session is resumed.
    Resumed,
    /// The session is over at the voice server; the bot asks for another one by itself.
    Anew,
    /// The session was taken away; what comes next is Discord's to say.
    Awaited,
    /// To try again would not mend it.
    Refused,
}

const TABLE: [(u16, Consequence); 23] = {
    use Consequence::{Anew, Awaited, Refused, Resumed};
    [
        (1_000, Resumed),
        (1_001, Resumed),
        (1_011, Resumed),
        (3_999, Resumed),
        (4_000, Anew),
        (4_001, Anew),
        (4_002, Anew),
        (4_003, Anew),
        (4_004, Anew),
        (4_005, Anew),
        (4_006, Anew),
        (4_009, Anew),
        (4_011, Anew),
        (4_012, Refused),
        (4_013, Resumed),
        (4_014, Awaited),
        (4_015, Resumed),
        (4_016, Refused),
        (4_017, Refused),
        (4_020, Anew),
        (4_021, Refused),
        (4_022, Awaited),
        (4_999, Anew),
    ]
};

/// The states that a session went through, from the one after Connected, until it is settled again.
async fn states(eye: &mut Eye) -> Vec<State> {
    let mut states = Vec::new();
    while !matches!(states.last(), Some(State::Connected | State::Ended)) {
        let told = eye.next().await.expect("it tells of its end");
        if let Told::StateChanged(changed) = told {
            states.push(changed.state());
        }
    }
    states
}

async fn happens(house: &House, parlor: &Parlor, user: UserId, code: u16, consequence: Consequence) {
    let answer = connect(parlor, &LOBBY).await;
    let session = answer.session.expect("a session");
    let lease_id = answer.lease.expect("a lease").lease_id;
    let mut eye = Eye::open(parlor, &session, &lease_id).await;
    house.emulator.inject(Fault::from(VoiceTrouble::Close { code }).only(user));
    let first = eye.until("another state", |told| matches!(told, Told::StateChanged(_))).await;
    let Told::StateChanged(first) = first else { panic!("{first:?}") };
    let mut seen = vec![first.state()];
    if consequence == Consequence::Awaited {
        // Nothing but Discord's word helps.
        house.emulator.inject(Fault::from(VoiceTrouble::MoveServer).only(user));
    }
    if first.state() != State::Ended {
        seen.extend(states(&mut eye).await);
    }
    let expected: &[State] = match consequence {
        Consequence::Resumed => &[State::Interrupted, State::Connected],
        Consequence::Anew | Consequence::Awaited => &[State::Reconnecting, State::Connected],
        Consequence::Refused => &[State::Ended],
    };
    assert_eq!(seen, expected, "{code}: {:?}", eye.seen);
    if consequence == Consequence::Refused {
        assert_eq!(first.ending(), Ending::Refused, "{code}");
        return;
    }
    assert!(first.detail.contains(&code.to_string()), "{code}: {first:?}");
    let leave = v1::DisconnectRequest { session_id: session.session_id, lease_id, force: false };
    parlor.voice_sessions().disconnect(leave).await.expect("it leaves");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_told_apart() {
    let company = Company::apart(VoiceConfig::default(), 3).await;
    // Each Parlor takes every third one.
    let rows = company.parlors.iter().zip(&company.users).enumerate().map(|(who, (parlor, user))| {
        let house = &company.house;
        async move {
            for (code, consequence) in TABLE.into_iter().skip(who).step_by(3) {
                happens(house, parlor, *user, code, consequence).await;
            }
        }
    });
    join_all(rows).await;
    let voice = company.house.emulator.stats().voice;
    let count = |wanted| TABLE.iter().filter(|(_, consequence)| *consequence == wanted).count() as u64;
    assert_eq!((voice.resumes, voice.resumes_refused), (count(Consequence::Resumed), 0), "{voice:?}");
    for (code, _) in TABLE {
        assert!(voice.closes.contains_key(&code), "{code} did not come: {:?}", voice.closes);
    }
}

/// After 4014 it is Discord who says what comes next, and it may be that the bot is nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_taken_away_asks_for_nothing_and_ends_where_discord_says_so() {
    let company = Company::apart(VoiceConfig::default(), 2).await;
    for (who, code) in [(0, 4_014), (1, 4_022)] {
        let (parlor, user) = (&company.parlors[who], company.users[who]);
        let answer = connect(parlor, &LOBBY).await;
        let mut eye = Eye::open(parlor, answer.session.as_ref().expect("a session"), "").await;
        let identifies = company.house.emulator.stats().voice.identifies;
        company.house.emulator.inject(Fault::from(VoiceTrouble::Close { code }).only(user));
        eye.until_state(State::Reconnecting).await;
        moves(&company.house, user, None);
        assert_eq!(soon("its end", eye.until_state(State::Ended)).await.ending(), Ending::Kicked, "{code}");
        assert_eq!(company.house.emulator.stats().voice.identifies, identifies, "{code}: it tried by itself");
    }
}

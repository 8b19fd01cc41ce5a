//! A bot that comes onto a stage has Discord let it speak; where Discord does not, its callers are told, and nothing that they
//! play counts as heard.

use std::time::Duration;

use discord_emulator::{LOBBY, MemberEdit, PARLOR_DEV, Permissions, UserId};
use parlor_client::v1::{self, SpeechObstacle as Obstacle, e2ee_state::Mode};
use parlor_e2e::{
    House, Setup, soon,
    voice::{Call, Eye, connect, pcm, share},
};
use v1::watch_session_response::Event as Told;

const SECOND: Duration = Duration::from_secs(1);
const ASKED: &str = "PATCH /guilds/{guild.id}/voice-states/{user.id}";

fn without(permissions: Permissions) -> Setup {
    let mut setup = Setup::default();
    setup.discord.bot_permissions = setup.discord.bot_permissions.without(permissions);
    setup
}

async fn stage(house: &House) -> String {
    let request = v1::CreateRoomRequest {
        guild_id: PARLOR_DEV.to_string(),
        display_name: "Talk".to_owned(),
        kind: v1::RoomKind::Stage.into(),
        ..v1::CreateRoomRequest::default()
    };
    house.parlor().await.create_room(request).await.expect("made").room_id
}

fn bot(call: &Call, who: usize) -> UserId {
    call.users[who].parse().expect("an id")
}

fn obstacle(session: &v1::VoiceSession) -> (bool, Obstacle) {
    let now = session.capabilities.expect("they are told");
    (now.send_audio, now.speech_obstacle())
}

/// What keeps the bot from being heard, once it is this.
async fn until(eye: &mut Eye, obstacle: Obstacle) {
    let is_it = |told: &Told| matches!(told, Told::CapabilitiesChanged(now) if now.speech_obstacle() == obstacle);
    let told = eye.until(obstacle.as_str_name(), is_it).await;
    let Told::CapabilitiesChanged(now) = told else { panic!("{told:?}") };
    assert_eq!(now.send_audio, obstacle == Obstacle::Unspecified);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_bots_on_a_stage_hear_each_other_without_end_to_end_encryption() {
    let house = Setup::default().start().await;
    let room = stage(&house).await;
    let call = Call::of(house, &room).await;
    for who in [0, 1] {
        let session = call.session(who).await;
        assert_eq!(obstacle(&session), (true, Obstacle::Unspecified));
        assert_eq!(session.e2ee.expect("it is told").mode(), Mode::Transport);
    }
    let (mut at_one, mut at_two) = tokio::join!(call.ear(0, pcm()), call.ear(1, pcm()));
    let (by_one, by_two, (), ()) = tokio::join!(
        call.play(0, 440.0, SECOND),
        call.play(1, 1_000.0, SECOND),
        at_one.hear(&call.users[1], 45),
        at_two.hear(&call.users[0], 45),
    );
    for report in [by_one, by_two] {
        assert_eq!((report.frames_played, report.frames_unsent), (50, 0), "{report:?}");
    }
    for (ear, user, hertz) in [(&at_one, &call.users[1], 1_000.0), (&at_two, &call.users[0], 440.0)] {
        let own = share(&ear.sound(user, 5), hertz);
        assert!(own > 0.9, "{hertz} Hz is {own} of it");
        assert!(ear.frames[user].iter().all(|frame| !frame.sealed));
    }
    assert_eq!(call.house.emulator.stats().rest[ASKED], 2, "each asks once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_is_told_and_a_moderator_decides() {
    let house = without(Permissions::MUTE_MEMBERS).start().await;
    let room = stage(&house).await;
    let call = Call::of(house, &room).await;
    // Connect waits until that is known.
    assert_eq!(obstacle(&call.sessions[0]), (false, Obstacle::Audience));
    let raised = || {
        let state = |world: &mut discord_emulator::World| {
            world.voice_state(PARLOR_DEV, bot(&call, 0)).and_then(|state| state.asked_to_speak.clone())
        };
        call.house.emulator.world(state)
    };
    assert!(raised().is_some(), "it has raised its hand");
    let (mut eye, mut ear) = (call.eye(0).await, call.ear(1, pcm()).await);
    let report = call.play(0, 440.0, SECOND).await;
    assert_eq!((report.frames_played, report.frames_unsent), (50, 50), "none of it is heard");
    soon("the count", async {
        while call.session(0).await.quality.expect("it is told").frames_unsent < 50 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(call.session(0).await.quality.expect("it is told").frames_sent, 0);
    assert_eq!(call.house.emulator.stats().voice.packets_in, 0, "nor is it sent");

    let suppress = |on| call.house.emulator.world(|world| world.set_suppressed(PARLOR_DEV, bot(&call, 0), on));
    suppress(false);
    until(&mut eye, Obstacle::Unspecified).await;
    let (report, ()) = tokio::join!(call.play(0, 1_000.0, SECOND), ear.hear(&call.users[0], 45));
    assert_eq!((report.frames_played, report.frames_unsent), (50, 0));
    let (own, before) = (share(&ear.sound(&call.users[0], 5), 1_000.0), share(&ear.sound(&call.users[0], 0), 440.0));
    assert!(own > 0.9 && before < 0.05, "{own} and {before}");

    let asked = call.house.emulator.stats().rest[ASKED];
    suppress(true);
    until(&mut eye, Obstacle::Audience).await;
    assert_eq!(call.house.emulator.stats().rest[ASKED], asked, "a moderator has the last word");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_other_rooms_too_it_is_told_what_keeps_the_bot_from_being_heard() {
    let house = without(Permissions::NONE).start().await;
    let parlor = house.parlor().await;
    let session = connect(&parlor, &LOBBY).await.session.expect("a session");
    assert_eq!(obstacle(&session), (true, Obstacle::Unspecified));
    let mut eye = Eye::open(&parlor, &session, "").await;
    let bot = house.emulator.bot(house.bot_token()).expect("it is logged in");
    for (mute, obstacle) in [(true, Obstacle::Muted), (false, Obstacle::Unspecified)] {
        let edit = MemberEdit { mute: Some(mute), ..MemberEdit::default() };
        house.emulator.world(|world| world.edit_member(PARLOR_DEV, bot, edit));
        until(&mut eye, obstacle).await;
    }
    house.emulator.world(|world| world.set_suppressed(PARLOR_DEV, bot, true));
    until(&mut eye, Obstacle::SpeakPermission).await;
    assert!(!house.emulator.stats().rest.contains_key(ASKED), "the lobby is no stage");
}

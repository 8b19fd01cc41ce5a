//! Somebody who is opted out is heard by nobody, before a session and in one, until they say otherwise; and a room can be told
//! that somebody listens.

use std::time::Duration;

use discord_emulator::{LOBBY, PARLOR_DEV};
use parlor_client::v1;
use parlor_e2e::{
    House, Setup, soon,
    voice::{Call, Ear, pcm},
};
use v1::watch_session_response::Event as Told;

const SECOND: Duration = Duration::from_secs(1);

fn consent(user: &str, opted_out: bool) -> v1::SetAudioConsentRequest {
    v1::SetAudioConsentRequest { guild_id: PARLOR_DEV.to_string(), user_id: user.to_owned(), opted_out }
}

async fn opted_out(call: &Call, who: usize) -> u64 {
    call.session(who).await.quality.expect("it is told").frames.expect("they are counted").opted_out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_hears_who_is_opted_out() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let shy = call.users[0].clone();
    let (mut ear, mut eye) = (call.ear(1, pcm()).await, call.eye(1).await);
    let mut people = call.clients[1].participants();
    let noted = people.set_audio_consent(consent(&shy, true)).await.expect("noted").into_inner().consent;
    assert!(noted.expect("a consent").opted_out);
    eye.until("the consent", |told| matches!(told, Told::ConsentChanged(now) if now.opted_out && now.user_id == shy))
        .await;

    call.play(0, 440.0, SECOND).await;
    soon("the count", async {
        while opted_out(&call, 1).await < 50 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(ear.heard().len(), 0, "nothing of theirs came");
    let known = call.session(1).await.users;
    assert!(known.iter().all(|user| user.user_id != shy || user.opted_out), "{known:?}");

    people.set_audio_consent(consent(&shy, false)).await.expect("noted");
    eye.until("the consent", |told| matches!(told, Told::ConsentChanged(now) if !now.opted_out)).await;
    let before = opted_out(&call, 1).await;
    tokio::join!(call.play(0, 440.0, SECOND), ear.hear(&shy, 45));
    assert!(ear.frames[&shy].len() <= 60, "what was said before stays unheard");
    assert!(opted_out(&call, 1).await - before < 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_said_about_being_heard_outlives_the_server() {
    let mut house = House::start().await;
    let user = "100000000000000042";
    let everybody = v1::ListAudioConsentsRequest::default();
    house.parlor().await.participants().set_audio_consent(consent(user, true)).await.expect("noted");
    house.restart_server().await;
    let mut people = house.parlor().await.participants();
    let listed = people.list_audio_consents(everybody.clone()).await.expect("listed").into_inner().consents;
    assert_eq!(listed.iter().map(|one| one.user_id.as_str()).collect::<Vec<_>>(), [user]);
    assert!(listed[0].opted_out && listed[0].update_time.is_some());
    people.set_audio_consent(consent(user, false)).await.expect("noted");
    house.restart_server().await;
    let listed = house.parlor().await.participants().list_audio_consents(everybody).await.expect("listed");
    assert!(listed.into_inner().consents.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_room_is_told_that_somebody_listens_where_that_was_asked_for() {
    let text = "Somebody listens.";
    let house = Setup::default().set("voice.announcement", text).start().await;
    let parlor = house.parlor().await;
    let request =
        v1::ConnectRequest { room_id: LOBBY.to_string(), announce_listening: true, ..v1::ConnectRequest::default() };
    let session = parlor.voice_sessions().connect(request).await.expect("connects").into_inner().session;
    let session = session.expect("a session");
    assert!(session.announces_listening);
    let told = || house.emulator.world(|world| world.messages(LOBBY).iter().filter(|one| one.content == text).count());
    assert_eq!(told(), 0, "nobody listens yet");
    let _first = Ear::open(&parlor, &session, None).await;
    let _second = Ear::open(&parlor, &session, None).await;
    soon(
        "the announcement",
        house.emulator.wait_for_world(|world| world.messages(LOBBY).iter().any(|one| one.content == text)),
    )
    .await;
    assert_eq!(told(), 1, "once");
}

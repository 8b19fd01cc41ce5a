//! Whoever knows the id of somebody else's lease can do nothing with it.

use std::time::SystemTime;

use discord_emulator::LOBBY;
use parlor_client::{CallError, Parlor, v1};
use parlor_e2e::{House, Issuer, Token};
use tonic::Code;

const LEASE: &str = "6a1c2b52-5c1f-4b87-9d0c-0a6f0f4b7d11";

async fn somebody(house: &House, subject: &str) -> Parlor {
    let token = Token { sub: subject.to_owned(), scope: "voice:listen".to_owned(), ..Token::default() };
    house.parlor_with(&Issuer::get().sign(&token)).await
}

fn request(seconds: i64) -> v1::ConnectRequest {
    v1::ConnectRequest {
        room_id: LOBBY.to_string(),
        lease_id: LEASE.to_owned(),
        lease_duration: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..v1::ConnectRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_renews_it() {
    let house = House::start().await;
    let (ann, bob) = (somebody(&house, "ann").await, somebody(&house, "bob").await);
    ann.voice_sessions().connect(request(60)).await.expect("connects");
    let refused = bob.voice_sessions().connect(request(3_600)).await.expect_err("it is Ann's");
    let error = CallError::from(refused);
    assert_eq!(error.code, Code::InvalidArgument, "{error}");
    assert_eq!(error.wrong_fields[0].0, "lease_id");

    let again = ann.voice_sessions().connect(request(60)).await.expect("renews").into_inner();
    assert_eq!(again.session.expect("a session").lease_count, 1);
    let until: SystemTime =
        again.lease.and_then(|lease| lease.expire_time).expect("a time").try_into().expect("a time");
    let left = until.duration_since(SystemTime::now()).expect("to come");
    assert!(left.as_secs() <= 60, "Bob has not made it longer: {left:?}");
}

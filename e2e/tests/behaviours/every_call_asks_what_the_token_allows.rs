//! No call of any service is answered to a token that lacks its scope or does not cover its guild. A new call without a row
//! here fails.

use std::collections::BTreeSet;

use discord_emulator::{ANN, GAMES, GENERAL, LOBBY, OTHER_GUILD, PARLOR_DEV};
use parlor_client::v1;
use parlor_e2e::{House, Issuer, Token, voice::connect};
use parlor_server::auth::Scope;
use prost::{
    Message,
    bytes::{Buf as _, BufMut as _},
};
use prost_types::{FieldMask, FileDescriptorSet};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

/// How a call refuses a guild that the token does not cover.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Foreign {
    /// As a whole.
    Refused,
    /// In the failure of the item that names it.
    InTheItem,
    /// By leaving it out: no guild is named.
    LeftOut,
}

struct Row {
    method: &'static str,
    /// Any of them is enough; empty where the call needs one that is named in `and`.
    scopes: &'static [Scope],
    /// Needed besides.
    and: &'static [Scope],
    request: Vec<u8>,
    foreign: Foreign,
}

fn row(method: &'static str, scopes: &'static [Scope], request: &impl Message) -> Row {
    Row { method, scopes, and: &[], request: request.encode_to_vec(), foreign: Foreign::Refused }
}

impl Row {
    fn and(self, and: &'static [Scope]) -> Self {
        Self { and, ..self }
    }

    fn foreign(self, foreign: Foreign) -> Self {
        Self { foreign, ..self }
    }
}

const READ: &[Scope] = &[Scope::RoomsRead];
const WRITE: &[Scope] = &[Scope::RoomsWrite];
const OPS: &[Scope] = &[Scope::Ops];
const CHANGE: &[Scope] = &[Scope::ParticipantsWrite];
const HOOKS: &[Scope] = &[Scope::WebhooksWrite];
const LISTEN: &[Scope] = &[Scope::VoiceListen];
const SPEAK: &[Scope] = &[Scope::VoiceSpeak];
const EITHER: &[Scope] = &[Scope::VoiceListen, Scope::VoiceSpeak];

/// Every call, about PARLOR_DEV or a room of it.
fn rows(session_id: &str, lease_id: &str) -> Vec<Row> {
    let (guild_id, room_id, user_id) = (PARLOR_DEV.to_string(), LOBBY.to_string(), ANN.to_string());
    let (session_id, lease_id) = (session_id.to_owned(), lease_id.to_owned());
    let create =
        v1::CreateRoomRequest { guild_id: guild_id.clone(), display_name: "Mine".to_owned(), ..Default::default() };
    let update = v1::UpdateRoomRequest {
        room_id: room_id.clone(),
        update_mask: Some(FieldMask { paths: vec!["user_limit".to_owned()] }),
        ..Default::default()
    };
    let end = v1::EndRoomRequest { room_id: GAMES.to_string(), ..Default::default() };
    let webhook_id = "1100000000000099999".to_owned();
    let open_audio = |listen: bool| v1::OpenAudio {
        session_id: session_id.clone(),
        lease_id: lease_id.clone(),
        listen: listen.then(v1::ListenOptions::default),
        speak: (!listen).then(v1::SpeakOptions::default),
    };
    let stream =
        |listen| v1::StreamAudioRequest { body: Some(v1::stream_audio_request::Body::Open(open_audio(listen))) };
    let send = v1::SendAudioRequest {
        body: Some(v1::send_audio_request::Body::Open(v1::OpenSource {
            session_id: session_id.clone(),
            lease_id: lease_id.clone(),
            speak: Some(v1::SpeakOptions::default()),
        })),
    };
    let disconnect = v1::DisconnectRequest { session_id: session_id.clone(), lease_id: lease_id.clone(), force: false };
    vec![
        row("RoomService/CreateRoom", WRITE, &create),
        row("RoomService/GetRoom", READ, &v1::GetRoomRequest { room_id: room_id.clone() }),
        row("RoomService/ListRooms", READ, &v1::ListRoomsRequest { guild_id: guild_id.clone(), ..Default::default() }),
        row("RoomService/UpdateRoom", WRITE, &update),
        row("RoomService/UpdateRoom", WRITE, &v1::UpdateRoomRequest { force: true, ..update.clone() }).and(OPS),
        row("RoomService/EndRoom", WRITE, &end),
        row("RoomService/EndRoom", WRITE, &v1::EndRoomRequest { force: true, ..end.clone() }).and(OPS),
        row(
            "RoomService/BatchCreateRooms",
            WRITE,
            &v1::BatchCreateRoomsRequest { requests: vec![create], ..Default::default() },
        )
        .foreign(Foreign::InTheItem),
        row(
            "RoomService/BatchEndRooms",
            WRITE,
            &v1::BatchEndRoomsRequest { requests: vec![end], ..Default::default() },
        )
        .foreign(Foreign::InTheItem),
        row("RoomService/ListGuilds", READ, &v1::ListGuildsRequest::default()).foreign(Foreign::LeftOut),
        row(
            "RoomService/ListChannels",
            READ,
            &v1::ListChannelsRequest { guild_id: guild_id.clone(), ..Default::default() },
        ),
        row(
            "RoomService/SendMessage",
            &[Scope::MessagesWrite],
            &v1::SendMessageRequest {
                guild_id: guild_id.clone(),
                channel_id: GENERAL.to_string(),
                content: "Hello".to_owned(),
                ..Default::default()
            },
        ),
        row(
            "VoiceEventService/SubscribeVoiceEvents",
            &[Scope::EventsRead],
            &v1::SubscribeVoiceEventsRequest { guild_ids: vec![guild_id.clone()], ..Default::default() },
        ),
        row(
            "ParticipantService/ListParticipants",
            READ,
            &v1::ListParticipantsRequest { guild_id: guild_id.clone(), ..Default::default() },
        ),
        row(
            "ParticipantService/MoveParticipant",
            CHANGE,
            &v1::MoveParticipantRequest {
                guild_id: guild_id.clone(),
                user_id: user_id.clone(),
                to_room_id: room_id.clone(),
                ..Default::default()
            },
        ),
        row(
            "ParticipantService/DisconnectParticipant",
            CHANGE,
            &v1::DisconnectParticipantRequest {
                guild_id: guild_id.clone(),
                user_id: user_id.clone(),
                ..Default::default()
            },
        ),
        row(
            "ParticipantService/SetParticipantMute",
            CHANGE,
            &v1::SetParticipantMuteRequest {
                guild_id: guild_id.clone(),
                user_id: user_id.clone(),
                ..Default::default()
            },
        ),
        row(
            "ParticipantService/SetParticipantDeafen",
            CHANGE,
            &v1::SetParticipantDeafenRequest {
                guild_id: guild_id.clone(),
                user_id: user_id.clone(),
                ..Default::default()
            },
        ),
        row(
            "ParticipantService/SetAudioConsent",
            CHANGE,
            &v1::SetAudioConsentRequest { guild_id: guild_id.clone(), user_id, ..Default::default() },
        ),
        row(
            "ParticipantService/ListAudioConsents",
            READ,
            &v1::ListAudioConsentsRequest { guild_id: guild_id.clone(), ..Default::default() },
        ),
        row(
            "WebhookService/CreateWebhook",
            HOOKS,
            &v1::CreateWebhookRequest {
                guild_id: guild_id.clone(),
                channel_id: room_id.clone(),
                display_name: "News".to_owned(),
                ..Default::default()
            },
        ),
        row(
            "WebhookService/ListWebhooks",
            HOOKS,
            &v1::ListWebhooksRequest { guild_id: guild_id.clone(), ..Default::default() },
        ),
        row(
            "WebhookService/DeleteWebhook",
            HOOKS,
            &v1::DeleteWebhookRequest {
                guild_id: guild_id.clone(),
                webhook_id: webhook_id.clone(),
                ..Default::default()
            },
        ),
        row(
            "WebhookService/ExecuteWebhook",
            HOOKS,
            &v1::ExecuteWebhookRequest {
                guild_id: guild_id.clone(),
                webhook_id,
                content: "News".to_owned(),
                ..Default::default()
            },
        ),
        row("VoiceSessionService/Connect", EITHER, &v1::ConnectRequest { room_id, ..Default::default() }),
        row("VoiceSessionService/GetSession", EITHER, &v1::GetSessionRequest { session_id: session_id.clone() }),
        row("VoiceSessionService/ListSessions", EITHER, &v1::ListSessionsRequest { guild_id, ..Default::default() }),
        row(
            "VoiceSessionService/WatchSession",
            EITHER,
            &v1::WatchSessionRequest { session_id: session_id.clone(), ..Default::default() },
        ),
        row("VoiceSessionService/StreamAudio", LISTEN, &stream(true)),
        row("VoiceSessionService/StreamAudio", SPEAK, &stream(false)),
        row("VoiceSessionService/SendAudio", SPEAK, &send),
        row(
            "VoiceSessionService/ReceiveAudio",
            LISTEN,
            &v1::ReceiveAudioRequest { session_id: session_id.clone(), ..Default::default() },
        ),
        row(
            "VoiceSessionService/GetE2eeState",
            EITHER,
            &v1::GetE2eeStateRequest { session_id: session_id.clone(), ..Default::default() },
        ),
        row("VoiceSessionService/Disconnect", EITHER, &v1::DisconnectRequest { force: true, ..disconnect.clone() })
            .and(OPS),
        // The session is over by then for whoever may.
        row("VoiceSessionService/Disconnect", EITHER, &disconnect),
    ]
}

/// Messages as bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}

/// The first message of the answer to one message, whatever streams.
async fn call(channel: &Channel, method: &str, token: &str, request: &[u8]) -> Result<Vec<u8>, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("the server is there");
    let mut request = Request::new(futures_util::stream::iter([request.to_vec()]));
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("ASCII"));
    let path = format!("/parlor.v1.{method}").parse().expect("a path");
    let answer = parlor_e2e::soon(method, grpc.streaming(request, path, Raw)).await?;
    Ok(parlor_e2e::soon(method, answer.into_inner().message()).await?.unwrap_or_default())
}

fn token(guild: &str, scopes: impl IntoIterator<Item = Scope>) -> String {
    let scope = scopes.into_iter().map(Scope::as_str).collect::<Vec<_>>().join(" ");
    Issuer::get().sign(&Token { guilds: vec![guild.to_owned()], scope, ..Token::default() })
}

fn without(left_out: &[Scope]) -> impl Iterator<Item = Scope> + use<'_> {
    Scope::ALL.into_iter().filter(|scope| !left_out.contains(scope))
}

#[track_caller]
fn assert_denied(outcome: Result<Vec<u8>, Status>, reason: &str, what: &str) -> Status {
    let status = outcome.expect_err(what);
    let told = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    assert_eq!((status.code(), told.as_str()), (Code::PermissionDenied, reason), "{what}: {status}");
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_and_guilds() {
    let house = House::start().await;
    let channel = Endpoint::new(format!("http://{}", house.api())).expect("a URL").connect().await.expect("connected");
    let there = connect(&house.parlor().await, &LOBBY).await;
    let session = there.session.expect("a session");
    let rows = rows(&session.session_id, &there.lease.expect("a lease").lease_id);

    let set = FileDescriptorSet::decode(parlor_proto::FILE_DESCRIPTOR_SET).expect("build.rs wrote it");
    let services = set.file.iter().filter(|file| file.package() == "parlor.v1").flat_map(|file| &file.service);
    let declared: BTreeSet<String> = services
        .flat_map(|service| service.method.iter().map(move |method| format!("{}/{}", service.name(), method.name())))
        .collect();
    let tried: BTreeSet<String> = rows.iter().map(|row| row.method.to_owned()).collect();
    assert_eq!(tried, declared, "each call has a row");

    for Row { method, scopes, and, request, foreign } in &rows {
        let lacks = token("*", without(scopes));
        let status = assert_denied(call(&channel, method, &lacks, request).await, "SCOPE_MISSING", method);
        let named = status.get_details_error_info().expect("an ErrorInfo").metadata["scope"].clone();
        assert!(scopes.iter().any(|scope| scope.as_str() == named), "{method} names {named}");
        for scope in *and {
            let lacks = token("*", without(&[*scope]));
            let status = assert_denied(call(&channel, method, &lacks, request).await, "SCOPE_MISSING", method);
            assert_eq!(status.get_details_error_info().expect("an ErrorInfo").metadata["scope"], scope.as_str());
        }
        let elsewhere = token(&OTHER_GUILD.to_string(), Scope::ALL);
        let outcome = call(&channel, method, &elsewhere, request).await;
        match foreign {
            Foreign::Refused => drop(assert_denied(outcome, "GUILD_NOT_GRANTED", method)),
            Foreign::InTheItem => {
                let answer = outcome.unwrap_or_else(|status| panic!("{method}: {status}"));
                let said = String::from_utf8_lossy(&answer).into_owned();
                assert!(said.contains("GUILD_NOT_GRANTED"), "{method}: {said}");
            }
            Foreign::LeftOut => {
                let answer = outcome.unwrap_or_else(|status| panic!("{method}: {status}"));
                let said = String::from_utf8_lossy(&answer).into_owned();
                assert!(said.contains(&OTHER_GUILD.to_string()) && !said.contains(&PARLOR_DEV.to_string()), "{said}");
            }
        }
    }
    // With what the rows name and nothing else each call gets past both questions, so that these were what it failed at.
    for Row { method, scopes, and, request, .. } in &rows {
        for scope in *scopes {
            let enough = token(&PARLOR_DEV.to_string(), std::iter::once(*scope).chain(and.iter().copied()));
            let code = call(&channel, method, &enough, request).await.err().map(|status| status.code());
            let passed = !matches!(
                code,
                Some(Code::PermissionDenied | Code::InvalidArgument | Code::Unimplemented | Code::Internal)
            );
            assert!(passed, "{method} with {scope}: {code:?}");
        }
    }
}

//! Writes those inputs of the corpus that are signed or binary: `cargo run -p parlor-fuzz --example seeds`. All others are
//! text and written by hand.

use std::{fs, path::Path, time::Instant};

use discord_emulator::{ANN, BOB, LOBBY};
use parlor_fuzz::keys;
use parlor_proto::v1::{self, subscribe_voice_events_request::Start};
use parlor_server::hub::{CursorKey, Epoch, Position, Sequence};
use parlor_voice::{
    Davey, E2eeGroup as _,
    audio::{Channels, Mixer, SourceFrame, SourceId, Talker, Volume},
};
use parlor_voice_wire::{
    ChannelId, ProtocolVersion, Ssrc, TransitionId, UserId,
    discovery::{Ping, Request, Response},
    frame::{ClearRange, Trailer},
    gateway::{DaveClientMessage, DaveServerMessage, ProposalsOperation, Sequence as GatewaySequence, Version},
    opus,
    rtcp::{Packet, ReportBlock},
    rtp::{Header, ONE_BYTE_PROFILE, RtpTimestamp, SequenceNumber},
    transport::{Content, Extension, Mode, Sealer, TransportKey},
};
use prost::Message as _;
use serde_json::{Value, json};

const GUILD: &str = "100000000000000001";
const ROOM: &str = "200000000000000001";

fn main() -> std::io::Result<()> {
    for (target, seeds) in [
        ("token", tokens()),
        ("cursor", cursors()),
        ("page_token", page_tokens()),
        ("create_room_request", creations()),
        ("update_room_request", changes()),
        ("move_participant_request", moves()),
        ("execute_webhook_request", executions()),
        ("subscribe_request", subscriptions()),
        ("grpc_web_body", calls()),
        ("emulator_voice", encrypted_calls()),
        ("voice_audio", speech()),
        ("voice_dave_opcode", dave_opcodes()),
        ("voice_discovery", discoveries()),
        ("voice_frame_trailer", frames()),
        ("voice_rtcp", reports()),
        ("voice_rtp", datagrams()),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in seeds {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}

/// Ann and Bob, with key packages of their own, in a call of the emulator.
fn encrypted_calls() -> Seeds {
    let mut text = String::new();
    for (number, user) in [ANN, BOB].into_iter().enumerate() {
        let (user, channel) = (UserId::new(user.get()), ChannelId::new(LOBBY.get()));
        let mut group = Davey::new(ProtocolVersion::V1, user, channel, 0, Instant::now()).expect("version 1");
        let frame = DaveClientMessage::KeyPackage(&group.key_package().expect("a package")).write();
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        text.push_str(&format!("!join {number}\n!connect 0\n!speak\n!binary {hex}\n!packet fcfffe\n"));
    }
    text.push_str("!use 0\n!binary 1c00\n{\"op\":31,\"d\":{\"transition_id\":0}}\n!use 1\n!leave\n!wait 3000\n");
    vec![("encrypted", text.into_bytes())]
}

type Seeds = Vec<(&'static str, Vec<u8>)>;

/// A tone, with packets that are missing, and packets of other kinds.
fn speech() -> Seeds {
    let mut mixer = Mixer::new(32_000);
    let mut tone = Vec::new();
    for turn in 0..12_usize {
        let samples = (turn * 960..(turn + 1) * 960).map(|at| ((at as f64 / 20.0).sin() * 9_000.0) as i16);
        let bytes: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
        let frame = SourceFrame::pcm(Channels::Mono, &bytes).expect("20 ms");
        let talker = Talker { source: SourceId(0), volume: Volume::FULL, priority: 0, frame };
        let packet = mixer.mix(vec![talker]).expect("libopus works").expect("somebody talks");
        tone.push(u8::try_from(packet.len()).expect("80 bytes or so"));
        tone.extend(packet);
        if turn == 7 {
            tone.extend([0, 0]);
        }
    }
    let silence = [&[3][..], &opus::SILENCE].concat();
    vec![("tone", tone), ("silence", silence.repeat(5)), ("no_packets", vec![1, 0xFF, 2, 0xFF, 0xFF, 3, 0x0B, 1, 2])]
}

fn moves() -> Seeds {
    let sound = v1::MoveParticipantRequest {
        guild_id: GUILD.to_owned(),
        user_id: "300000000000000001".to_owned(),
        to_room_id: "200000000000000002".to_owned(),
        ignore_user_limit: true,
        request_id: "0c3c0c3c-0c3c-4c3c-8c3c-0c3c0c3c0c3c".to_owned(),
        audit_log_reason: "next round".to_owned(),
    };
    let wrong = v1::MoveParticipantRequest {
        guild_id: "12*".to_owned(),
        user_id: "30000000000000000".repeat(2),
        to_room_id: "99999999999999999999".to_owned(),
        request_id: "{0c3c0c3c-0c3c-4c3c-8c3c-0c3c0c3c0c3c}".to_owned(),
        audit_log_reason: "ä".repeat(461),
        ..sound.clone()
    };
    vec![("sound", sound.encode_to_vec()), ("wrong", wrong.encode_to_vec())]
}

fn executions() -> Seeds {
    let sound = v1::ExecuteWebhookRequest {
        guild_id: GUILD.to_owned(),
        webhook_id: "400000000000000001".to_owned(),
        content: "<@300000000000000001> your turn".to_owned(),
        display_name: "Referee".to_owned(),
        avatar_url: "https://parlor.example/referee.png".to_owned(),
        mention_user_ids: vec!["300000000000000001".to_owned()],
        request_id: "0c3c0c3c-0c3c-4c3c-8c3c-0c3c0c3c0c3c".to_owned(),
    };
    let wrong = v1::ExecuteWebhookRequest {
        webhook_id: String::new(),
        content: "\u{85}".to_owned(),
        display_name: "DISCORD".to_owned(),
        avatar_url: "http://parlor.example".to_owned(),
        mention_user_ids: vec!["ann".to_owned(); 101],
        request_id: "one".to_owned(),
        ..sound.clone()
    };
    vec![("sound", sound.encode_to_vec()), ("wrong", wrong.encode_to_vec())]
}

fn claims() -> Value {
    json!({
        "iss": keys::ISSUER, "aud": keys::AUDIENCE, "sub": "ann", "exp": keys::NOW + 3_600, "iat": keys::NOW - 10,
        "guilds": [GUILD], "scope": "rooms:read rooms:write",
    })
}

/// The object with one member changed or added.
fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn tokens() -> Seeds {
    let sign = |header: &str, claims: &Value| keys::signed(header.as_bytes(), claims.to_string().as_bytes());
    let sound = sign(&keys::header(), &claims());
    let (signed, _) = sound.rsplit_once('.').expect("three parts");
    let other_algorithm = keys::header().replace("EdDSA", "RS256");
    let none = keys::header().replace("EdDSA", "none");
    vec![
        ("sound", sound.clone().into_bytes()),
        ("everything", keys::token_for_everything().into_bytes()),
        ("two_audiences", sign(&keys::header(), &with(claims(), "aud", json!(["other", "parlor"]))).into_bytes()),
        ("expired", sign(&keys::header(), &with(claims(), "exp", json!(keys::NOW - 31))).into_bytes()),
        ("unsigned", format!("{signed}.").into_bytes()),
        (
            "algorithm_none",
            format!("{}.", sign(&none, &claims()).rsplit_once('.').expect("three parts").0).into_bytes(),
        ),
        ("another_algorithm", sign(&other_algorithm, &claims()).into_bytes()),
        ("five_parts", format!("{sound}.{sound}").into_bytes()),
        ("padded", format!("{sound}==").into_bytes()),
        (
            "key_inside",
            sign(&with(json!({"alg": "EdDSA", "typ": "at+jwt"}), "jwk", json!({"kty": "OKP"})).to_string(), &claims())
                .into_bytes(),
        ),
    ]
}

fn sealed(epoch: u8, sequence: u64) -> String {
    let position = Position { epoch: Epoch::new([epoch; 16]), sequence: Sequence(sequence) };
    CursorKey::new(&[7; CursorKey::SECRET_BYTES]).seal(position)
}

fn cursors() -> Seeds {
    vec![
        ("first", sealed(1, 0).into_bytes()),
        ("fifth", sealed(1, 5).into_bytes()),
        ("last", sealed(1, u64::MAX).into_bytes()),
        ("another_epoch", sealed(2, 5).into_bytes()),
        ("padded", format!("{}=", sealed(1, 5)).into_bytes()),
        ("position", [&[1; 16][..], &7_u64.to_be_bytes(), b"flip"].concat()),
    ]
}

fn page_tokens() -> Seeds {
    let change = |at: usize| {
        let mut changes = vec![0; at];
        changes.push(1);
        [b"^".to_vec(), changes].concat()
    };
    vec![
        ("none", Vec::new()),
        ("made", b"^".to_vec()),
        ("another_question", change(0)),
        ("another_guild", change(8)),
        ("another_room", change(23)),
        ("too_short", b"AAAA".to_vec()),
        ("zeros", vec![b'A'; 32]),
        ("not_base64", b"%%%".to_vec()),
    ]
}

fn creation() -> v1::CreateRoomRequest {
    v1::CreateRoomRequest {
        guild_id: GUILD.to_owned(),
        display_name: "Movie night".to_owned(),
        kind: v1::RoomKind::Voice.into(),
        category_id: "200000000000000009".to_owned(),
        user_limit: 10,
        bitrate_bps: 96_000,
        request_id: "7f5aef21-90a5-4a7c-9d5e-1f6f0c5b7d11".to_owned(),
        audit_log_reason: "for the fans of films".to_owned(),
        region: "rotterdam".to_owned(),
        video_quality: v1::VideoQuality::Full.into(),
        status: "The Third Man".to_owned(),
        permission_overwrites: vec![v1::PermissionOverwrite {
            id: GUILD.to_owned(),
            kind: v1::permission_overwrite::Kind::Role.into(),
            allow: vec!["CONNECT".to_owned()],
            deny: vec!["SPEAK".to_owned(), "STREAM".to_owned()],
        }],
        private: None,
        labels: [("team".to_owned(), "films".to_owned())].into(),
        policy: Some(v1::RoomPolicy {
            empty_timeout: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
            departure_timeout: Some(prost_types::Duration { seconds: 60, nanos: 500_000_000 }),
            max_duration: None,
        }),
        invite: Some(v1::InviteOptions { max_age: None, max_uses: 5, temporary: true }),
    }
}

fn changes() -> Seeds {
    let change = |paths: &[&str]| v1::UpdateRoomRequest {
        room_id: ROOM.to_owned(),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
        display_name: "Film club".to_owned(),
        category_id: String::new(),
        user_limit: 99,
        bitrate_bps: 0,
        region: "rotterdam".to_owned(),
        video_quality: v1::VideoQuality::Auto.into(),
        status: "chess".to_owned(),
        labels: creation().labels,
        policy: creation().policy,
        force: false,
        request_id: String::new(),
        audit_log_reason: "why".to_owned(),
        permission_overwrites: Vec::new(),
        private: Some(v1::PrivateRoom { user_ids: vec![ROOM.to_owned()], role_ids: Vec::new() }),
    };
    let overwrite = v1::PermissionOverwrite {
        id: ROOM.to_owned(),
        kind: v1::permission_overwrite::Kind::Role.into(),
        allow: vec!["CONNECT".to_owned()],
        deny: vec!["SPEAK".to_owned()],
    };
    let silenced =
        v1::UpdateRoomRequest { permission_overwrites: vec![overwrite], ..change(&["permission_overwrites"]) };
    let all = change(&[
        "display_name",
        "category_id",
        "user_limit",
        "bitrate_bps",
        "region",
        "video_quality",
        "status",
        "labels",
        "policy",
        "private",
    ]);
    let wrong = v1::UpdateRoomRequest { user_limit: -1, status: "x".repeat(501), ..all.clone() };
    let unmasked = v1::UpdateRoomRequest { update_mask: None, ..all.clone() };
    [
        ("all", all),
        ("wrong", wrong),
        ("unmasked", unmasked),
        ("one", change(&["labels"])),
        ("other", change(&["*", "room_id"])),
        ("silenced", silenced),
        ("both", change(&["permission_overwrites", "private"])),
    ]
    .map(|(name, request)| (name, request.encode_to_vec()))
    .into()
}

fn creations() -> Seeds {
    let stage = v1::CreateRoomRequest {
        kind: v1::RoomKind::Stage.into(),
        user_limit: 10_000,
        bitrate_bps: 64_000,
        status: String::new(),
        ..creation()
    };
    let least = v1::CreateRoomRequest {
        guild_id: GUILD.to_owned(),
        display_name: "x".to_owned(),
        ..v1::CreateRoomRequest::default()
    };
    let wrong = v1::CreateRoomRequest {
        guild_id: "*".to_owned(),
        display_name: " \t".to_owned(),
        kind: 9,
        category_id: "1".to_owned(),
        user_limit: -1,
        bitrate_bps: 7_999,
        request_id: "no".to_owned(),
        audit_log_reason: "x".repeat(461),
        region: "a/b".to_owned(),
        video_quality: 9,
        status: "x".repeat(501),
        permission_overwrites: vec![v1::PermissionOverwrite { kind: 9, ..Default::default() }],
        private: Some(v1::PrivateRoom { user_ids: vec!["1".to_owned()], role_ids: Vec::new() }),
        labels: [("Team".to_owned(), "a\nb".to_owned())].into(),
        policy: Some(v1::RoomPolicy {
            max_duration: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
            ..Default::default()
        }),
        invite: Some(v1::InviteOptions { max_uses: 101, ..Default::default() }),
    };
    let one_too_many = v1::CreateRoomRequest {
        display_name: "x".repeat(101),
        user_limit: 100,
        bitrate_bps: 384_001,
        audit_log_reason: "x".repeat(461),
        ..creation()
    };
    let one_too_many_on_stage = v1::CreateRoomRequest {
        kind: v1::RoomKind::Stage.into(),
        user_limit: 10_001,
        bitrate_bps: 64_001,
        ..creation()
    };
    let most = v1::CreateRoomRequest {
        display_name: "x".repeat(100),
        user_limit: 99,
        bitrate_bps: 384_000,
        audit_log_reason: "x".repeat(460),
        ..creation()
    };
    let wide = v1::CreateRoomRequest { display_name: "🎧".repeat(100), ..creation() };
    let braced = v1::CreateRoomRequest { request_id: format!("{{{}}}", creation().request_id), ..creation() };
    vec![
        ("sound", creation().encode_to_vec()),
        ("stage", stage.encode_to_vec()),
        ("least", least.encode_to_vec()),
        ("nothing", Vec::new()),
        ("everything_wrong", wrong.encode_to_vec()),
        ("most", most.encode_to_vec()),
        ("one_too_many", one_too_many.encode_to_vec()),
        ("one_too_many_on_stage", one_too_many_on_stage.encode_to_vec()),
        ("four_bytes_a_character", wide.encode_to_vec()),
        ("braced_request_id", braced.encode_to_vec()),
        ("unknown_field", [creation().encode_to_vec(), vec![0xfa, 0x01, 0x02, b'h', b'i']].concat()),
        ("cut", creation().encode_to_vec()[..40].to_vec()),
    ]
}

fn subscriptions() -> Seeds {
    let request = v1::SubscribeVoiceEventsRequest::default;
    let from = |cursor: String| v1::SubscribeVoiceEventsRequest { start: Some(Start::Cursor(cursor)), ..request() };
    let filtered = v1::SubscribeVoiceEventsRequest {
        guild_ids: vec![GUILD.to_owned()],
        channel_ids: vec![ROOM.to_owned(), "200000000000000002".to_owned()],
        kinds: vec![v1::VoiceEventKind::RoomCreated.into(), v1::VoiceEventKind::ParticipantMoved.into()],
        start: Some(Start::StartAt(v1::StartAt::Latest.into())),
        gap_policy: v1::GapPolicy::Fail.into(),
        heartbeat: Some(prost_types::Duration { seconds: 7, nanos: 500_000_000 }),
        filter_id: String::new(),
    };
    let wrong = v1::SubscribeVoiceEventsRequest {
        guild_ids: vec!["*".to_owned()],
        channel_ids: vec![String::new()],
        kinds: vec![0, 99],
        start: Some(Start::StartAt(3)),
        gap_policy: 3,
        heartbeat: Some(prost_types::Duration { seconds: i64::MAX, nanos: i32::MIN }),
        filter_id: "0123456789abcdef".to_owned(),
    };
    let silent = |seconds, nanos| v1::SubscribeVoiceEventsRequest {
        heartbeat: Some(prost_types::Duration { seconds, nanos }),
        ..request()
    };
    let strict = v1::SubscribeVoiceEventsRequest { gap_policy: v1::GapPolicy::Fail.into(), ..from(sealed(2, 3)) };
    let narrowed = v1::SubscribeVoiceEventsRequest { filter_id: "0123456789abcdef".to_owned(), ..from(sealed(1, 3)) };
    vec![
        ("nothing", Vec::new()),
        ("filtered", filtered.encode_to_vec()),
        ("everything_wrong", wrong.encode_to_vec()),
        ("from_cursor", from(sealed(1, 3)).encode_to_vec()),
        ("ahead", from(sealed(1, 1 << 40)).encode_to_vec()),
        ("another_epoch", from(sealed(2, 3)).encode_to_vec()),
        ("another_epoch_strict", strict.encode_to_vec()),
        ("another_filter", narrowed.encode_to_vec()),
        ("longest_heartbeat", silent(60, 0).encode_to_vec()),
        ("heartbeat_too_long", silent(60, 1).encode_to_vec()),
        ("heartbeat_too_short", silent(5, -1).encode_to_vec()),
        ("forged", from("A".repeat(44)).encode_to_vec()),
        ("cut", filtered.encode_to_vec()[..30].to_vec()),
    ]
}

fn calls() -> Seeds {
    let framed = |message: Vec<u8>| {
        let length = u32::try_from(message.len()).expect("short").to_be_bytes();
        [&[0][..], &length, &message].concat()
    };
    let call =
        |path: &str, headers: &str, body: &[u8]| [format!("POST {path}\n{headers}\n\n").as_bytes(), body].concat();
    let (web, native) = ("content-type: application/grpc-web+proto", "content-type: application/grpc");
    let text = "content-type: application/grpc-web-text\naccept: application/grpc-web-text";
    let create = framed(creation().encode_to_vec());
    let in_text = |bytes: &[u8]| {
        use base64::Engine as _;
        base64::prelude::BASE64_STANDARD.encode(bytes).into_bytes()
    };
    let (rooms, events) = ("/parlor.v1.RoomService", "/parlor.v1.VoiceEventService/SubscribeVoiceEvents");
    let origin = format!("{web}\norigin: https://app.example\nx-grpc-web: 1\nx-user-agent: grpc-web-javascript/0.1");
    vec![
        ("web", call(&format!("{rooms}/CreateRoom"), web, &create)),
        ("web_text", call(&format!("{rooms}/CreateRoom"), text, &in_text(&create))),
        ("web_text_in_pieces", call(&format!("{rooms}/ListRooms"), text, b"AAAAAA==AAA=")),
        ("native", call(&format!("{rooms}/CreateRoom"), &format!("{native}\ngrpc-timeout: 2S"), &create)),
        ("from_a_page", call(&format!("{rooms}/ListGuilds"), &origin, &framed(Vec::new()))),
        ("stream", call(events, web, &framed(Vec::new()))),
        ("stream_text", call(events, text, &in_text(&framed(Vec::new())))),
        ("compressed", call(&format!("{rooms}/GetRoom"), &format!("{native}\ngrpc-encoding: gzip"), b"\x01\0\0\0\x04\x1f\x8b\x08\0")),
        ("too_long", call(&format!("{rooms}/GetRoom"), native, b"\0\xff\xff\xff\xff")),
        ("no_token", call(&format!("{rooms}/ListRooms"), &format!("{web}\nauthorization: none"), &framed(Vec::new()))),
        ("no_stream_without_token", call(events, &format!("{native}\nauthorization: Bearer a.b.c"), &framed(Vec::new()))),
        ("no_such_call", call(&format!("{rooms}/Nothing"), native, &framed(Vec::new()))),
        ("preflight", b"OPTIONS /parlor.v1.RoomService/ListRooms\norigin: https://app.example\naccess-control-request-method: POST\naccess-control-request-headers: content-type,x-grpc-web,authorization\n\n".to_vec()),
        ("page", b"GET /\naccept: text/html\n\n".to_vec()),
        ("deadline_gone", call(&format!("{rooms}/EndRoom"), &format!("{native}\ngrpc-timeout: 0n"), &framed(b"\x0a\x12200000000000000001".to_vec()))),
    ]
}

fn dave_opcodes() -> Seeds {
    let transition_id = TransitionId::new(17);
    let (append, revoke) = (ProposalsOperation::Append, ProposalsOperation::Revoke);
    let server = |message: DaveServerMessage<'_>| message.write(GatewaySequence::new(5), Version::V8);
    let sender = DaveServerMessage::ExternalSender(&[0x40, 0x41, 4]);
    vec![
        ("external_sender", server(sender)),
        ("external_sender_before_version_8", sender.write(GatewaySequence::new(5), Version::V4)),
        ("proposals", server(DaveServerMessage::Proposals { operation: append, proposals: &[3, 1, 2, 3] })),
        ("revoked", server(DaveServerMessage::Proposals { operation: revoke, proposals: &[0] })),
        ("commit", server(DaveServerMessage::AnnounceCommit { transition_id, commit: &[0, 1, 0, 1] })),
        ("welcome", server(DaveServerMessage::Welcome { transition_id, welcome: &[0, 2] })),
        ("key_package", DaveClientMessage::KeyPackage(&[0, 1, 0, 2]).write()),
        ("commit_welcome", DaveClientMessage::CommitWelcome(&[0, 1, 0, 2]).write()),
        ("no_opcode", vec![0, 5]),
    ]
}

fn discoveries() -> Seeds {
    let ssrc = Ssrc::new(0x0708_090A);
    let response = |address: &str| Response { ssrc, address: address.parse().expect("an address") }.write();
    vec![
        ("request", Request { ssrc }.write().to_vec()),
        ("response", response("203.0.113.9:50000").to_vec()),
        ("response_ipv6", response("[2001:db8::1]:50000").to_vec()),
        ("short", response("203.0.113.9:50000")[..70].to_vec()),
        ("ping", Ping { number: 7 }.write().to_vec()),
        ("answer", Ping { number: 7 }.write_answer().to_vec()),
    ]
}

fn frames() -> Seeds {
    let framed = |ranges: &[(u32, u32)], nonce| {
        let clear = ranges.iter().map(|(offset, len)| ClearRange { offset: *offset, len: *len }).collect();
        let mut frame = vec![0xAB; 20];
        Trailer { tag: [7; 8], nonce, clear }.write(&mut frame).expect("fits");
        frame
    };
    vec![
        ("opus", framed(&[], 1)),
        ("second_generation", framed(&[], 1 << 24)),
        ("two_ranges", framed(&[(0, 3), (10, 10)], 300)),
        ("range_outside", framed(&[(0, 300)], 1)),
        ("silence", opus::SILENCE.to_vec()),
        ("empty", Vec::new()),
    ]
}

fn reports() -> Seeds {
    let ssrc = Ssrc::new(1);
    let block = ReportBlock { ssrc: Ssrc::new(2), fraction_lost: 64, lost: -1, ..ReportBlock::default() };
    let (ntp_time, rtp_time, packets, bytes) = (1 << 40, 960, 2, 300);
    let blocks = vec![block, block];
    let sender = Packet::SenderReport { ssrc, ntp_time, rtp_time, packets, bytes, blocks: blocks.clone() };
    let about = Ssrc::new(3);
    let nack = Packet::Feedback { about_payload: false, format: 1, ssrc, about, control: vec![0, 1, 0, 0] };
    let written = |packets: &[Packet]| {
        let mut bytes = Vec::new();
        packets.iter().for_each(|packet| packet.write(&mut bytes));
        bytes
    };
    vec![
        ("sender_report", written(std::slice::from_ref(&sender))),
        ("receiver_report", written(&[Packet::ReceiverReport { ssrc, blocks }])),
        ("compound", written(&[sender, nack, Packet::Goodbye(vec![ssrc, about])])),
        ("another_kind", vec![0x80, 207, 0, 1, 1, 2, 3, 4]),
        ("cut", vec![0x81, 200, 0, 12, 0, 0, 0, 1]),
    ]
}

fn datagrams() -> Seeds {
    let header = Header::opus(SequenceNumber::new(0x0102), RtpTimestamp::new(0x0304_0506), Ssrc::new(0x0708_090A));
    let mixed = Header { contributing: vec![Ssrc::new(5), Ssrc::new(6)], marker: true, ..header.clone() };
    let extension = Some(Extension { profile: ONE_BYTE_PROFILE, elements: &[0x10, 0xFF, 0x90, 0x02] });
    let plain = Content::payload(&opus::SILENCE);
    let extended = Content { extension, ..plain };
    let padded = Content { padding: 3, ..extended };
    let sealed = |mode: u8, header: &Header, content| {
        let mut datagram = vec![mode];
        let mode = Mode::ALL[usize::from(mode)];
        Sealer::new(mode, &TransportKey::new(keys::TRANSPORT), 9)
            .seal_rtp(header, content, &mut datagram)
            .expect("has nonces");
        datagram
    };
    let mut open = vec![0];
    Header { padded: true, extended: true, ..header.clone() }.write(&mut open);
    open.extend([0xBE, 0xDE, 0, 1, 0x10, 0xFF, 0x90, 2, 0xF8, 0xFF, 0xFE, 0, 0, 3]);
    vec![
        ("aes", sealed(0, &header, plain)),
        ("aes_extended", sealed(0, &mixed, extended)),
        ("xchacha_padded", sealed(1, &header, padded)),
        ("xsalsa_lite_rtpsize", sealed(2, &header, extended)),
        ("xsalsa_lite", sealed(3, &header, plain)),
        ("xsalsa_suffix", sealed(4, &header, plain)),
        ("xsalsa", sealed(5, &header, plain)),
        ("opened", open),
        ("rtcp", vec![0, 0x81, 0xC9, 0, 7, 7, 8, 9, 10]),
        ("two_frames_of_60_ms", [&[0][..], &[0x80, 0x78, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0x19, 1, 2]].concat()),
    ]
}

//! The voice gateway's messages against Discord's documentation and frames that were seen.

use std::time::Duration;

use parlor_voice_wire::{
    ChannelId, GuildId, ProtocolVersion, Ssrc, TransitionId, UserId,
    gateway::{
        ClientMessage, ClientSpeaking, ClientsConnect, CloseCode, Credential, DaveClientMessage, DaveReadError,
        DaveServerMessage, ExecuteTransition, Hello, Identify, InvalidCommitWelcome, PrepareEpoch, PrepareTransition,
        ProposalsOperation, ReadError, Ready, Resume, SelectProtocol, Sequence, SequenceAck, Sequenced, ServerMessage,
        ServerSpeaking, SessionDescription, SpeakingFlags, TransitionReady, Version, Video,
    },
    transport::TransportKey,
};

fn parsed(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

fn server(text: &str, expected: &ServerMessage) {
    let read = ServerMessage::read(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(&read.message, expected, "{text}");
}

/// The examples of Discord docs, Voice Connections, where there are some.
#[test]
fn documented_messages_of_the_server_are_read() {
    server(
        r#"{"op":2,"d":{"ssrc":1,"ip":"127.0.0.1","port":1234,"modes":["xsalsa20_poly1305"],"heartbeat_interval":1}}"#,
        &ServerMessage::Ready(Ready {
            ssrc: Ssrc::new(1),
            ip: [127, 0, 0, 1].into(),
            port: 1234,
            modes: vec!["xsalsa20_poly1305".to_owned()],
        }),
    );
    let key: [u8; 32] = std::array::from_fn(|at| at as u8);
    let text = format!(
        r#"{{"op":4,"d":{{"mode":"aead_aes256_gcm_rtpsize","secret_key":{key:?},"dave_protocol_version":1,"x":[]}}}}"#
    );
    server(
        &text,
        &ServerMessage::SessionDescription(SessionDescription {
            mode: "aead_aes256_gcm_rtpsize".to_owned(),
            secret_key: TransportKey::new(key),
            dave_protocol_version: ProtocolVersion::V1,
            audio_codec: None,
        }),
    );
    server(
        r#"{"op":5,"d":{"speaking":1,"ssrc":7,"user_id":"175928847299117063"}}"#,
        &ServerMessage::Speaking(ServerSpeaking {
            user_id: UserId::new(175_928_847_299_117_063),
            ssrc: Ssrc::new(7),
            speaking: SpeakingFlags::VOICE,
        }),
    );
    server(r#"{"op":6,"d":{"t":1501184119561}}"#, &ServerMessage::HeartbeatAck { nonce: 1_501_184_119_561 });
    server(r#"{"op":6,"d":1501184119561}"#, &ServerMessage::HeartbeatAck { nonce: 1_501_184_119_561 });
    let hello = |millis| ServerMessage::Hello(Hello { heartbeat_interval: Duration::from_millis(millis), v: Some(8) });
    server(r#"{"op":8,"d":{"heartbeat_interval":41250.0,"v":8}}"#, &hello(41_250));
    server(r#"{"op":8,"d":{"heartbeat_interval":13750,"v":8}}"#, &hello(13_750));
    server(r#"{"op":9,"d":null}"#, &ServerMessage::Resumed);
    server(r#"{"op":3,"d":null}"#, &ServerMessage::HeartbeatDemanded);
    server(r#"{"op":15,"d":{"any":100}}"#, &ServerMessage::Other { op: 15 });
    server(
        r#"{"op":12,"d":{"user_id":"5","audio_ssrc":8,"video_ssrc":0,"streams":[]}}"#,
        &ServerMessage::Video(Video { user_id: UserId::new(5), audio_ssrc: Ssrc::new(8), video_ssrc: Ssrc::new(0) }),
    );
    server(
        r#"{"op":21,"d":{"transition_id":3,"protocol_version":0}}"#,
        &ServerMessage::PrepareTransition(PrepareTransition {
            transition_id: TransitionId::new(3),
            protocol_version: ProtocolVersion::NONE,
        }),
    );
    server(
        r#"{"op":22,"d":{"transition_id":3}}"#,
        &ServerMessage::ExecuteTransition(ExecuteTransition { transition_id: TransitionId::new(3) }),
    );
}

/// Frames of discord-api-docs issue 8063 and JDA issue 2889.
#[test]
fn frames_that_were_seen_are_read() {
    let read = ServerMessage::read(r#"{"op":24,"d":{"protocol_version":1,"epoch":1},"seq":8}"#).expect("a message");
    let epoch = PrepareEpoch { protocol_version: ProtocolVersion::V1, epoch: 1 };
    assert_eq!(read, Sequenced { message: ServerMessage::PrepareEpoch(epoch), sequence: Some(Sequence::new(8)) });
    let read = ServerMessage::read(r#"{"seq":0,"op":11,"d":{"user_ids":["1","2"]}}"#).expect("a message");
    let users = ClientsConnect { user_ids: vec![UserId::new(1), UserId::new(2)] };
    assert_eq!(read, Sequenced { message: ServerMessage::ClientsConnect(users), sequence: Some(Sequence::new(0)) });
    for text in [
        r#"{"op":18,"d":{"user_id":"1","flags":null},"seq":1}"#,
        r#"{"op":20,"d":{"user_id":"1","platform":null},"seq":2}"#,
    ] {
        let read = ServerMessage::read(text).expect("a message");
        assert_eq!(parsed(&read.message.write(read.sequence, Version::V8)), parsed(text));
    }
}

/// Discord docs, Voice Connections: what clients send, as the examples there have it.
#[test]
fn documented_messages_of_clients_are_written() {
    let identify = Identify {
        server_id: GuildId::new(41_771_983_423_143_937),
        user_id: UserId::new(104_694_319_306_248_192),
        session_id: Credential::new("my_session_id"),
        token: Credential::new("my_token"),
        max_dave_protocol_version: ProtocolVersion::V1,
        channel_id: None,
    };
    let resume = Resume {
        server_id: GuildId::new(41_771_983_423_143_937),
        session_id: Credential::new("my_session_id"),
        token: Credential::new("my_token"),
        seq_ack: SequenceAck::Seen(Sequence::new(10)),
    };
    let select =
        SelectProtocol::Udp { address: "127.0.0.1".to_owned(), port: 1337, mode: "aead_aes256_gcm_rtpsize".to_owned() };
    let beat = ClientMessage::Heartbeat { nonce: 1_501_184_119_561, seq_ack: SequenceAck::Seen(Sequence::new(10)) };
    let first = ClientMessage::Heartbeat { nonce: 1, seq_ack: SequenceAck::None };
    let (voice, ssrc) = (SpeakingFlags::new(5), Ssrc::new(1));
    for (message, text) in [
        (
            ClientMessage::Identify(identify),
            r#"{"op":0,"d":{"server_id":"41771983423143937","user_id":"104694319306248192","session_id":"my_session_id","token":"my_token","max_dave_protocol_version":1}}"#,
        ),
        (
            ClientMessage::SelectProtocol(select),
            r#"{"op":1,"d":{"protocol":"udp","data":{"address":"127.0.0.1","port":1337,"mode":"aead_aes256_gcm_rtpsize"}}}"#,
        ),
        (beat, r#"{"op":3,"d":{"t":1501184119561,"seq_ack":10}}"#),
        (first, r#"{"op":3,"d":{"t":1,"seq_ack":-1}}"#),
        (
            ClientMessage::Speaking(ClientSpeaking { speaking: voice, delay: 0, ssrc }),
            r#"{"op":5,"d":{"speaking":5,"delay":0,"ssrc":1}}"#,
        ),
        (
            ClientMessage::Resume(resume),
            r#"{"op":7,"d":{"server_id":"41771983423143937","session_id":"my_session_id","token":"my_token","seq_ack":10}}"#,
        ),
        (
            ClientMessage::TransitionReady(TransitionReady { transition_id: TransitionId::new(17) }),
            r#"{"op":23,"d":{"transition_id":17}}"#,
        ),
        (
            ClientMessage::InvalidCommitWelcome(InvalidCommitWelcome { transition_id: TransitionId::new(17) }),
            r#"{"op":31,"d":{"transition_id":17}}"#,
        ),
    ] {
        assert_eq!(parsed(&message.write(Version::V8)), parsed(text));
        assert_eq!(ClientMessage::read(text), Ok(message));
    }
}

/// What clients send besides, or otherwise: songbird's bare heartbeat and its extra member, ids as integers, and
/// sequence numbers that are none.
#[test]
fn what_clients_do_differently_is_read() {
    let absent = SequenceAck::Absent;
    assert_eq!(ClientMessage::read(r#"{"op":3,"d":42}"#), Ok(ClientMessage::Heartbeat { nonce: 42, seq_ack: absent }));
    let ready = ClientMessage::TransitionReady(TransitionReady { transition_id: TransitionId::new(2) });
    assert_eq!(ClientMessage::read(r#"{"op":23,"d":{"transition_id":2,"protocol_version":0}}"#), Ok(ready));
    let identify =
        r#"{"op":0,"d":{"server_id":1,"user_id":"2","session_id":"s","token":"t","channel_id":"3","streams":[]}}"#;
    let Ok(ClientMessage::Identify(identify)) = ClientMessage::read(identify) else { panic!("an Identify") };
    assert_eq!(identify.max_dave_protocol_version, ProtocolVersion::NONE);
    assert_eq!((identify.server_id, identify.channel_id), (GuildId::new(1), Some(ChannelId::new(3))));
    for odd in [r#""7""#, "null", "-2", "70000", "1.5"] {
        let text = format!(r#"{{"op":3,"d":{{"t":1,"seq_ack":{odd}}}}}"#);
        assert_eq!(ClientMessage::read(&text), Ok(ClientMessage::Heartbeat { nonce: 1, seq_ack: absent }), "{odd}");
    }
    let webrtc = r#"{"op":1,"d":{"protocol":"webrtc","data":"a=ice-ufrag:x","codecs":[]}}"#;
    let other = ClientMessage::SelectProtocol(SelectProtocol::Other("webrtc".to_owned()));
    assert_eq!(ClientMessage::read(webrtc), Ok(other));
    assert_eq!(ClientMessage::read(r#"{"op":16,"d":{}}"#), Ok(ClientMessage::Other { op: 16 }));
}

#[test]
fn before_version_8_there_is_no_sequence_and_no_object() {
    let seq = Some(Sequence::new(3));
    let ack = ServerMessage::HeartbeatAck { nonce: 9 };
    assert_eq!(ack.write(None, Version::V4), r#"{"op":6,"d":9}"#);
    assert_eq!(ack.write(None, Version::V8), r#"{"op":6,"d":{"t":9}}"#);
    assert_eq!(ServerMessage::Resumed.write(seq, Version::V4), r#"{"op":9,"d":null}"#);
    assert_eq!(ServerMessage::Resumed.write(seq, Version::V8), r#"{"op":9,"d":null,"seq":3}"#);
    let beat = ClientMessage::Heartbeat { nonce: 9, seq_ack: SequenceAck::Seen(Sequence::new(3)) };
    assert_eq!(beat.write(Version::V4), r#"{"op":3,"d":9}"#);
    assert_eq!(
        [3, 4, 7, 8, 9].map(Version::from_number),
        [None, Some(Version::V4), Some(Version::V4), Some(Version::V8), Some(Version::V8)]
    );
}

#[test]
fn what_is_no_message_is_refused_without_being_repeated() {
    for text in ["", "null", "[]", "{}", r#"{"op":"2"}"#, r#"{"op":256,"d":null}"#, r#"{"op":2"#] {
        assert_eq!(ServerMessage::read(text).map(|_| ()), Err(ReadError::NotAMessage), "{text}");
    }
    for (op, text) in [
        (2, r#"{"op":2,"d":{"ssrc":1,"ip":"voice.example","port":1,"modes":[]}}"#),
        (4, r#"{"op":4,"d":{"mode":"m","secret_key":[1,2,3]}}"#),
        (8, r#"{"op":8,"d":{"heartbeat_interval":0}}"#),
        (8, r#"{"op":8,"d":{"heartbeat_interval":1e300}}"#),
        (11, r#"{"op":11}"#),
    ] {
        assert_eq!(ServerMessage::read(text).map(|_| ()), Err(ReadError::Content { op }), "{text}");
    }
    let secret = r#"{"op":0,"d":{"server_id":"hunter2","user_id":"2","session_id":"hunter2","token":"hunter2"}}"#;
    let error = ClientMessage::read(secret).expect_err("no id");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let shown = format!("{:?}", Credential::new("hunter2"));
    assert!(!shown.contains("hunter2"));
}

/// The beginnings of frames in Discord.Net issue 3251 and JDA issue 2998; the layouts are the DAVE protocol's, "Voice
/// Gateway Opcodes".
#[test]
fn binary_frames_are_read() {
    let sender = [0x00, 0x05, 25, 0x40, 0x41, 0x04];
    let read = DaveServerMessage::read(&sender, Version::V8).expect("a message");
    assert_eq!(read.sequence, Some(Sequence::new(5)));
    assert_eq!(read.message, DaveServerMessage::ExternalSender(&[0x40, 0x41, 0x04]));
    assert_eq!(read.message.write(Sequence::new(5), Version::V8), sender);
    assert_eq!(DaveServerMessage::read(&sender[2..], Version::V4).expect("a message").message, read.message);
    assert_eq!(read.message.write(Sequence::new(5), Version::V4), sender[2..]);

    let (append, revoke) = (ProposalsOperation::Append, ProposalsOperation::Revoke);
    let transition_id = TransitionId::new(17);
    for (bytes, message) in [
        (&[0, 5, 27, 0, 0x41, 0xEF][..], DaveServerMessage::Proposals { operation: append, proposals: &[0x41, 0xEF] }),
        (&[0, 5, 27, 1, 0x00], DaveServerMessage::Proposals { operation: revoke, proposals: &[0x00] }),
        (&[0, 5, 29, 0, 17, 0, 1], DaveServerMessage::AnnounceCommit { transition_id, commit: &[0, 1] }),
        (&[0, 5, 30, 0, 17, 0, 2], DaveServerMessage::Welcome { transition_id, welcome: &[0, 2] }),
    ] {
        assert_eq!(DaveServerMessage::read(bytes, Version::V8).map(|read| read.message), Ok(message));
        assert_eq!(message.write(Sequence::new(5), Version::V8), bytes);
    }
    for (bytes, message) in [
        (&[26, 0, 1, 0, 2][..], DaveClientMessage::KeyPackage(&[0, 1, 0, 2])),
        (&[28, 9], DaveClientMessage::CommitWelcome(&[9])),
    ] {
        assert_eq!(DaveClientMessage::read(bytes), Ok(message));
        assert_eq!(message.write(), bytes);
    }
}

#[test]
fn binary_frames_that_are_none_are_refused() {
    let read = |bytes: &[u8]| DaveServerMessage::read(bytes, Version::V8).map(|_| ());
    for short in [&[][..], &[0], &[0, 5], &[0, 5, 27], &[0, 5, 29, 0], &[0, 5, 30]] {
        assert_eq!(read(short), Err(DaveReadError::TooShort), "{short:?}");
    }
    assert_eq!(read(&[0, 5, 27, 2]), Err(DaveReadError::Operation(2)));
    assert_eq!(read(&[0, 5, 26]), Err(DaveReadError::Opcode { op: 26 }));
    assert_eq!(DaveClientMessage::read(&[25]), Err(DaveReadError::Opcode { op: 25 }));
    assert_eq!(DaveClientMessage::read(&[]), Err(DaveReadError::TooShort));
}

#[test]
fn close_codes_have_their_numbers() {
    for code in CloseCode::NAMED {
        assert_eq!(CloseCode::from_number(code.number()), code);
    }
    assert_eq!(CloseCode::from_number(4014), CloseCode::Disconnected);
    assert_eq!(CloseCode::from_number(4010), CloseCode::Other(4010));
}

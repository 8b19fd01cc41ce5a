//! Opus packets from outside: what users send, and what callers play.

use parlor_voice::audio::{Channels, FRAME_SAMPLES, Mixer, SourceFrame, SourceId, Talker, Unpacker, Volume};

/// More packets than this are not taken, so that one input stays cheap.
const PACKETS: usize = 24;

/// The longest packet, in samples of both channels.
const MOST_SAMPLES: usize = 2 * 5_760;

/// Packets, each behind a byte that says how long it is; a length of 0 is a packet that never came.
///
/// Whatever they are, something can be made of each that came, and what is missing is made up or passed over. Those of 20 ms can be
/// played, alone as they are and together as a packet of 20 ms.
pub fn voice_audio(data: &[u8]) {
    let mut unpacker = Unpacker::new(Channels::Stereo).expect("memory");
    let mut mixer = Mixer::new(64_000);
    let (mut rest, mut before) = (data, None);
    for _ in 0..PACKETS {
        let Some((length, after)) = rest.split_first() else { break };
        let (packet, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        if packet.is_empty() {
            unpacker.gap(1);
            continue;
        }
        let expected = unpacker.concealable() as usize + 1;
        let made = unpacker.frame(packet).expect("libopus works");
        assert!((1..=expected).contains(&made.len()) && made.iter().all(|pcm| pcm.samples.len() <= MOST_SAMPLES));
        let Ok(frame) = SourceFrame::opus(packet.to_vec()) else { continue };
        let talker = |source, frame| Talker { source: SourceId(source), volume: Volume::FULL, priority: 0, frame };
        let alone = mixer.mix(vec![talker(0, frame.clone())]).expect("libopus works");
        assert_eq!(alone.as_deref(), Some(packet));
        if let Some(before) = before.replace(frame.clone()) {
            let both = mixer.mix(vec![talker(0, frame), talker(1, before)]).expect("libopus works");
            let both = both.expect("somebody talks");
            assert!(SourceFrame::opus(both.clone()).is_ok());
            let mut ear = Unpacker::new(Channels::Stereo).expect("memory");
            assert_eq!(ear.frame(&both).expect("its own packet")[0].samples.len(), FRAME_SAMPLES * 2);
        }
    }
}

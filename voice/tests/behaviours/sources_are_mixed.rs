//! One source passes untouched; several are heard together, as loud as they should be; what is missing is made up.

use std::f64::consts::TAU;

use parlor_voice::audio::{Channels, FRAME_SAMPLES, Mixer, SourceFrame, SourceId, Talker, Unpacker, Volume};

/// 20 ms of a tone, `turn` being how many came before.
fn tone(hertz: f64, loudness: f64, turn: usize) -> Vec<i16> {
    (turn * FRAME_SAMPLES..(turn + 1) * FRAME_SAMPLES)
        .map(|sample| ((sample as f64 * hertz * TAU / 48_000.0).sin() * loudness * 32_767.0) as i16)
        .collect()
}

fn pcm(samples: &[i16]) -> SourceFrame {
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    SourceFrame::pcm(Channels::Mono, &bytes).expect("20 ms")
}

fn talker(source: u64, frame: SourceFrame) -> Talker {
    Talker { source: SourceId(source), volume: Volume::FULL, priority: 0, frame }
}

/// How loud a tone is among samples, 0 to 1 (Goertzel).
fn loudness(samples: &[i16], hertz: f64) -> f64 {
    let coefficient = 2.0 * (TAU * hertz / 48_000.0).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        (one, two) = (f64::from(*sample) / 32_767.0 + coefficient * one - two, one);
    }
    2.0 * (one * one + two * two - coefficient * one * two).max(0.0).sqrt() / samples.len() as f64
}

/// A second of what a mixer makes of tones: (hertz, loudness, volume in percent, priority), decoded.
fn heard(tones: &[(f64, f64, u8, u8)]) -> Vec<i16> {
    let (mut mixer, mut unpacker) = (Mixer::new(96_000), Unpacker::new(Channels::Mono).expect("memory"));
    let mut samples = Vec::new();
    for turn in 0..50 {
        let talkers = tones.iter().zip(0..).map(|((hertz, loudness, volume, priority), source)| Talker {
            volume: Volume::new(*volume).expect("a volume"),
            priority: *priority,
            ..talker(source, pcm(&tone(*hertz, *loudness, turn)))
        });
        let packet = mixer.mix(talkers.collect()).expect("mixes").expect("somebody talks");
        samples.extend(unpacker.frame(&packet).expect("decodes").into_iter().flat_map(|pcm| pcm.samples));
    }
    // The encoder needs a moment.
    samples.split_off(9_600)
}

/// Packets of a tone, as one source alone makes them.
fn packets(hertz: f64, frames: usize) -> Vec<Vec<u8>> {
    let mut mixer = Mixer::new(64_000);
    (0..frames)
        .map(|turn| mixer.mix(vec![talker(0, pcm(&tone(hertz, 0.5, turn)))]).expect("mixes").expect("a talker"))
        .collect()
}

#[test]
fn a_packet_of_one_source_alone_is_not_touched() {
    let mut mixer = Mixer::new(64_000);
    for packet in packets(440.0, 5) {
        let frame = SourceFrame::opus(packet.clone()).expect("20 ms");
        assert_eq!(mixer.mix(vec![talker(1, frame)]).expect("passes"), Some(packet));
    }
    assert_eq!(mixer.mix(Vec::new()).expect("nobody"), None);
}

#[test]
fn several_sources_are_heard_together() {
    let samples = heard(&[(440.0, 0.2, 100, 0), (1_000.0, 0.2, 100, 0), (2_500.0, 0.2, 100, 0)]);
    for hertz in [440.0, 1_000.0, 2_500.0] {
        let found = loudness(&samples, hertz);
        assert!((0.16..0.24).contains(&found), "{hertz} Hz is heard at {found}");
    }
    assert!(loudness(&samples, 1_700.0) < 0.01, "and nothing else");
}

#[test]
fn opus_sources_are_decoded_to_be_mixed() {
    let (low, high) = (packets(500.0, 50), packets(1_500.0, 50));
    let (mut mixer, mut unpacker) = (Mixer::new(96_000), Unpacker::new(Channels::Mono).expect("memory"));
    let mut samples = Vec::new();
    for (low, high) in low.into_iter().zip(high) {
        let frame = |packet| SourceFrame::opus(packet).expect("20 ms");
        let packet = mixer.mix(vec![talker(1, frame(low)), talker(2, frame(high))]).expect("mixes").expect("two");
        samples.extend(unpacker.frame(&packet).expect("decodes").into_iter().flat_map(|pcm| pcm.samples));
    }
    let samples = samples.split_off(9_600);
    for hertz in [500.0, 1_500.0] {
        let found = loudness(&samples, hertz);
        assert!((0.4..0.6).contains(&found), "{hertz} Hz is heard at {found}");
    }
}

#[test]
fn a_source_is_as_loud_as_it_was_set() {
    let half = loudness(&heard(&[(800.0, 0.4, 50, 0)]), 800.0);
    assert!((0.17..0.23).contains(&half), "{half}");
    let double = loudness(&heard(&[(800.0, 0.2, 200, 0)]), 800.0);
    assert!((0.34..0.46).contains(&double), "{double}");
    assert!(loudness(&heard(&[(800.0, 0.4, 0, 0)]), 800.0) < 0.01);
}

#[test]
fn a_source_of_a_lower_priority_is_turned_down_while_another_speaks() {
    let samples = heard(&[(600.0, 0.3, 100, 0), (1_800.0, 0.3, 100, 1)]);
    let (low, high) = (loudness(&samples, 600.0), loudness(&samples, 1_800.0));
    assert!((0.04..0.08).contains(&low), "{low}");
    assert!((0.25..0.35).contains(&high), "{high}");
}

#[test]
fn what_is_too_loud_is_bent_and_not_cut() {
    let tones = [(500.0, 0.9, 100, 0), (500.0, 0.9, 100, 0), (500.0, 0.9, 100, 0)];
    let samples = heard(&tones);
    let (tone, third) = (loudness(&samples, 500.0), loudness(&samples, 1_500.0));
    assert!(tone > 0.8, "{tone}");
    // A sine that is cut at a third of its height has about a quarter of its loudness at three times its frequency.
    assert!(third / tone < 0.3, "{third} of {tone}");
}

#[test]
fn what_is_missing_is_made_up_and_too_much_is_not() {
    let packets = packets(440.0, 50);
    let mut unpacker = Unpacker::new(Channels::Mono).expect("memory");
    for packet in &packets[..20] {
        assert_eq!(unpacker.frame(packet).expect("decodes").len(), 1);
    }
    unpacker.gap(3);
    let made = unpacker.frame(&packets[23]).expect("decodes");
    assert_eq!(made.iter().map(|pcm| pcm.before).collect::<Vec<_>>(), [3, 2, 1, 0]);
    assert!(made.iter().all(|pcm| pcm.samples.len() == FRAME_SAMPLES));
    assert!(loudness(&made[0].samples, 440.0) > 0.2, "a steady tone goes on");
    unpacker.gap(6);
    assert_eq!(unpacker.frame(&packets[30]).expect("decodes").len(), 1);
}

#[test]
fn a_packet_that_is_garbage_is_made_up_too() {
    let mut unpacker = Unpacker::new(Channels::Stereo).expect("memory");
    let made = unpacker.frame(&[0xFF, 0xFF, 0xFF]).expect("made up");
    assert_eq!(made.iter().map(|pcm| pcm.samples.len()).collect::<Vec<_>>(), [FRAME_SAMPLES * 2]);
}

#[test]
fn only_20_ms_are_a_frame() {
    // 10 ms, 40 ms, nothing, and more than fits a datagram.
    for wrong in [vec![0xF0, 1], vec![0xF9, 1], Vec::new(), vec![0xF8; 1_276]] {
        assert!(SourceFrame::opus(wrong.clone()).is_err(), "{wrong:?}");
    }
    assert!(SourceFrame::pcm(Channels::Stereo, &[0; 1_920]).is_err());
    assert!(SourceFrame::pcm(Channels::Stereo, &[0; 3_840]).is_ok());
}

//! Sound in files: written for tests to play, and read to hear what was recorded. All sound is stereo at 48 kHz, signed 16
//! bits, little endian.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use ogg::{PacketReader, PacketWriteEndInfo, PacketWriter};
use parlor_voice::audio::{Channels, Unpacker};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{House, programs, soon};

/// Bytes of stereo in a second.
const SECOND: f64 = 48_000.0 * 4.0;

/// Writes Opus packets of 20 ms as an Ogg file.
///
/// # Panics
/// The disk does not take it.
pub fn write_opus(path: &Path, packets: &[Vec<u8>]) {
    let mut writer = PacketWriter::new(File::create(path).expect("a file"));
    let mut head = b"OpusHead\x01\x02".to_vec();
    head.extend([0, 0, 0x80, 0xbb, 0, 0, 0, 0, 0]);
    let mut tags = b"OpusTags".to_vec();
    tags.extend([0; 8]);
    for header in [head, tags] {
        writer.write_packet(header, 1, PacketWriteEndInfo::EndPage, 0).expect("it is written");
    }
    for (turn, packet) in (1..).zip(packets) {
        let is_last = turn == packets.len() as u64;
        let end = if is_last { PacketWriteEndInfo::EndStream } else { PacketWriteEndInfo::NormalPacket };
        writer.write_packet(packet.clone(), 1, end, turn * 960).expect("it is written");
    }
}

/// What is in an Ogg Opus file.
#[derive(Debug)]
pub struct Recorded {
    /// The sound.
    pub pcm: Vec<u8>,
    /// The granule position of the last page: samples of one channel.
    pub position: u64,
    /// Whether the file says where it ends.
    pub is_finished: bool,
}

/// Reads and decodes an Ogg Opus file. What is torn at its end is left out, as players do.
///
/// # Panics
/// It is none, or a packet in it cannot be decoded.
pub fn read_opus(path: &Path) -> Recorded {
    let mut packets = PacketReader::new(File::open(path).expect("the file is there"));
    let head = packets.read_packet().expect("Ogg").expect("a head");
    assert!(head.data.starts_with(b"OpusHead\x01\x02"), "{:?}", head.data);
    let tags = packets.read_packet().expect("Ogg").expect("tags");
    assert!(tags.data.starts_with(b"OpusTags"), "{:?}", tags.data);
    let mut decoder = Unpacker::new(Channels::Stereo).expect("libopus");
    let mut recorded = Recorded { pcm: Vec::new(), position: 0, is_finished: false };
    while let Ok(Some(packet)) = packets.read_packet() {
        for made in decoder.frame(&packet.data).expect("a packet") {
            recorded.pcm.extend(made.to_bytes());
        }
        recorded.position = packet.absgp_page();
        recorded.is_finished = packet.last_in_stream();
    }
    recorded
}

/// Writes sound as a WAV file.
///
/// # Panics
/// The disk does not take it.
pub fn write_wav(path: &Path, pcm: &[u8]) {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("a file");
    for sample in pcm.chunks_exact(2) {
        writer.write_sample(i16::from_le_bytes([sample[0], sample[1]])).expect("it is written");
    }
    writer.finalize().expect("it is written");
}

/// Reads a WAV file. One channel becomes two.
///
/// # Panics
/// It is none, or not as sound is here.
pub fn read_wav(path: &Path) -> Vec<u8> {
    let mut reader = hound::WavReader::open(path).expect("WAV");
    let spec = reader.spec();
    assert_eq!((spec.sample_rate, spec.bits_per_sample), (48_000, 16));
    let times = if spec.channels == 1 { 2 } else { 1 };
    let samples = reader.samples::<i16>().map(|sample| sample.expect("a sample").to_le_bytes());
    samples.flat_map(|sample| std::iter::repeat_n(sample, times)).flatten().collect()
}

/// When sound begins after silence of half a second or more, or at the beginning.
pub fn onsets(pcm: &[u8]) -> Vec<Duration> {
    let (mut found, mut silent_from) = (Vec::new(), None::<usize>);
    for (place, pair) in pcm.chunks_exact(4).enumerate() {
        if i16::from_le_bytes([pair[0], pair[1]]).unsigned_abs() < 1_000 {
            continue;
        }
        if silent_from.is_none_or(|from| place - from > 24_000) {
            found.push(Duration::from_secs_f64(place as f64 / 48_000.0));
        }
        silent_from = Some(place);
    }
    found
}

/// A piece of sound.
///
/// # Panics
/// There is not as much.
pub fn piece(pcm: &[u8], from: Duration, length: Duration) -> &[u8] {
    let at = |time: Duration| (time.as_secs_f64() * SECOND) as usize / 4 * 4;
    &pcm[at(from)..at(from + length)]
}

/// The program `parlor-caller`, in a room of a house, once it speaks. It hangs up when it is dropped.
///
/// # Panics
/// It does not speak.
pub async fn caller(house: &House, room: &str, arguments: &[&str]) -> Child {
    let program: PathBuf = programs().join("parlor-caller");
    let mut child = Command::new(program)
        .arg(room)
        .args(["--discord", &house.emulator.addr().to_string()])
        .arg("--ca")
        .arg(house.voice_authority())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("cargo builds programs for a test of the workspace");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let speaks = async {
        loop {
            let line = lines.next_line().await.expect("text").expect("it goes on until it speaks");
            if line.contains(" speaks in ") {
                return;
            }
        }
    };
    soon("a caller's voice", speaks).await;
    child
}

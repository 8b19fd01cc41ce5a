//! Tones: made, and found in what is heard.

use std::f64::consts::TAU;

/// Samples a second.
pub const RATE: u32 = 48_000;

/// A sine tone in stereo, as bytes of 32-bit floats.
pub fn samples(hz: u64, seconds: u64) -> Vec<u8> {
    let sample = |at: u64| {
        let angle = TAU * (hz * (at % u64::from(RATE))) as f64 / f64::from(RATE);
        (angle.sin() * 0.25) as f32
    };
    (0..u64::from(RATE) * seconds).flat_map(|at| [sample(at); 2]).flat_map(f32::to_le_bytes).collect()
}

/// Which frequency a sound has most of; 0 when it has little of any.
pub fn strongest(samples: &[i16], frequencies: &[u64]) -> u64 {
    let energy: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    let share = |hz: u64| {
        let (mut sine, mut cosine) = (0.0, 0.0);
        for (at, sample) in samples.iter().enumerate() {
            let angle = TAU * hz as f64 * at as f64 / f64::from(RATE);
            sine += f64::from(*sample) * angle.sin();
            cosine += f64::from(*sample) * angle.cos();
        }
        2.0 * (sine * sine + cosine * cosine) / (samples.len() as f64 * energy.max(1.0))
    };
    let shares = frequencies.iter().map(|hz| (*hz, share(*hz)));
    shares.filter(|(_, share)| *share > 0.3).max_by(|one, other| one.1.total_cmp(&other.1)).map_or(0, |(hz, _)| hz)
}

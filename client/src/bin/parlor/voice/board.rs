//! Lines on a terminal that are drawn over each other.

use std::io::{self, Write as _};

/// Some lines at the end of what is on the terminal.
#[derive(Debug, Default)]
pub(super) struct Board {
    drawn: usize,
}

impl Board {
    /// Draws these lines in place of those before.
    pub(super) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(self.over(lines).as_bytes())?;
        out.flush()
    }

    /// What to send. A line that is too long is cut off by the terminal, so that each stays one.
    fn over(&mut self, lines: &[String]) -> String {
        let mut text = String::from("\u{1b}[?7l");
        if self.drawn > 0 {
            text += &format!("\u{1b}[{}A", self.drawn);
        }
        for line in lines {
            text += &format!("\r\u{1b}[2K{line}\n");
        }
        text += "\u{1b}[J\u{1b}[?7h";
        self.drawn = lines.len();
        text
    }
}

/// How loud something is, 0 to 1, as a bar of ten places from -60 dB to 0 dB.
pub(super) fn bar(level: f32) -> String {
    let filled = ((decibels(level) + 60.0) / 6.0).round().clamp(0.0, 10.0) as usize;
    "▮".repeat(filled) + &"▯".repeat(10 - filled)
}

/// How loud something is, in decibels below the loudest; -90 where it is silent.
pub(super) fn decibels(level: f32) -> f32 {
    (20.0 * level.log10()).clamp(-90.0, 0.0)
}

/// The loudest sample of PCM, 0 to 1: signed 16 bits, little endian.
pub(super) fn level(pcm: &[u8]) -> f32 {
    let samples = pcm.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]).unsigned_abs());
    f32::from(samples.max().unwrap_or_default()) / 32_768.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_picture_lies_over_the_first() {
        let mut board = Board::default();
        assert!(!board.over(&["a".into(), "b".into()]).contains("2A"));
        let second = board.over(&["c".into()]);
        assert!(second.contains("\u{1b}[2A\r\u{1b}[2Kc\n\u{1b}[J"), "{second:?}");
    }

    #[test]
    fn levels_are_bars() {
        assert_eq!((bar(0.0).as_str(), bar(1.0).as_str()), ("▯▯▯▯▯▯▯▯▯▯", "▮▮▮▮▮▮▮▮▮▮"));
        assert_eq!(bar(level(&[0, 0, 0xff, 0x0c])), "▮▮▮▮▮▮▮▯▯▯", "-20 dB");
        assert_eq!(decibels(0.0), -90.0);
    }
}

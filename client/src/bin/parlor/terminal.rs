//! Where words go: results to standard output, talk to standard error, colours where somebody sees them.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _, Write as _},
};

use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;

use crate::{
    cli::{Color, Output},
    failure::Failure,
};

/// What a piece of text is, for its colour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Warning,
    News,
    Strong,
    Faint,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::News => AnsiColor::Cyan.on_default(),
            Self::Strong => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
        }
    }
}

/// Both streams of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    output: Output,
    /// Whether standard output is a terminal, so that a person reads it.
    person: bool,
    /// Whether standard error is a terminal that can draw over a line.
    draws: bool,
    colored_out: bool,
    colored_err: bool,
}

/// Back to the beginning of the line, which is empty then (ECMA-48, CR and EL).
const OVER: &str = "\r\u{1b}[K";

impl Terminal {
    pub(crate) fn new(output: Output, color: Color) -> Self {
        // https://no-color.org: present and not empty.
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colored = |terminal: bool| match color {
            Color::Auto => terminal && !unwanted,
            Color::Always => true,
            Color::Never => false,
        };
        let (person, seen) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { output, person, draws: seen && !is_dumb, colored_out: colored(person), colored_err: colored(seen) }
    }

    /// Whether a person reads the results.
    pub(crate) fn is_read(self) -> bool {
        self.person && !self.is_json()
    }

    /// Whether [`draw`](Self::draw) shows anything.
    pub(crate) fn draws(self) -> bool {
        self.draws
    }

    /// Shows how far something is, in a line that the next one replaces. [`wipe`](Self::wipe) before anything else is printed.
    pub(crate) fn draw(self, text: &str) {
        if self.draws {
            let mut err = io::stderr().lock();
            let _ = write!(err, "{OVER}{}", painted(self.colored_err, Tone::Faint, text));
            let _ = err.flush();
        }
    }

    /// Takes away what was drawn last.
    pub(crate) fn wipe(self) {
        if self.draws {
            let mut err = io::stderr().lock();
            let _ = write!(err, "{OVER}");
            let _ = err.flush();
        }
    }

    pub(crate) fn is_json(self) -> bool {
        self.output == Output::Json
    }

    /// Whether a person sees what is drawn over and over.
    pub(crate) fn is_live(self) -> bool {
        self.person && !self.is_json() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// Text for standard output, coloured where that is wanted.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        painted(self.colored_out, tone, text)
    }

    /// Prints a line of results; it is on its way when this returns.
    pub(crate) fn line(self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// Prints a result as one line of JSON.
    pub(crate) fn json(self, result: &impl Serialize) -> io::Result<()> {
        self.line(&serde_json::to_string(result).map_err(io::Error::from)?)
    }

    /// Prints rows: aligned under a header for a person, otherwise with tabs and without a header.
    pub(crate) fn table(self, header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        let rows: Vec<Vec<Cow<'_, str>>> =
            rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
        if !self.person {
            return rows.iter().try_for_each(|row| self.line(&row.join("\t")));
        }
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([header[column].len()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        let aligned = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
            padded.join("  ").trim_end().to_owned()
        };
        self.line(&self.paint(Tone::Faint, &aligned(&mut header.iter().copied())))?;
        rows.iter().try_for_each(|row| self.line(&aligned(&mut row.iter().map(AsRef::as_ref))))
    }

    /// Says something beside the results. Nobody may be listening.
    pub(crate) fn say(self, tone: Tone, text: &str) {
        let text = painted(self.colored_err, tone, text);
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Says why a command did not succeed and what to do next.
    pub(crate) fn fail(self, failure: &Failure) {
        if failure.is_quiet() {
            return;
        }
        let mut err = io::stderr().lock();
        if self.is_json() {
            let line = serde_json::to_string(&failure.json()).unwrap_or_default();
            let _ = writeln!(err, "{line}");
            return;
        }
        let text = failure.text();
        let error = painted(self.colored_err, Tone::Bad, "error:");
        let reason = text.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let _ = writeln!(err, "{error} {}{reason}", clean(text.message));
        for detail in text.details {
            let _ = writeln!(err, "  {}", clean(detail));
        }
        if let Some(next) = text.next {
            let _ = writeln!(err, "{} {next}", painted(self.colored_err, Tone::News, "next:"));
        }
    }
}

fn painted(colored: bool, tone: Tone, text: &str) -> String {
    if !colored {
        return text.to_owned();
    }
    let style = tone.style();
    format!("{style}{text}{style:#}")
}

/// Text from outside, made safe to print: names are chosen by whoever has an account at Discord, and a terminal obeys
/// what it is sent. Control characters and those that turn the direction of text become U+FFFD.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let commands = |symbol: char| {
        symbol.is_control()
            || matches!(symbol, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(commands) { Cow::Owned(text.replace(commands, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_command_the_terminal() {
        assert_eq!(clean("Lobby 🎲"), "Lobby 🎲");
        assert_eq!(clean("a\u{1b}[2Jb\tc\nd\u{202e}e"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e");
    }

    #[test]
    fn colours_are_only_where_they_are_wanted() {
        assert_eq!(painted(false, Tone::Bad, "x"), "x");
        assert_eq!(painted(true, Tone::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
    }
}

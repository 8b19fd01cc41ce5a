//! What was found, told as it is found.

use std::{io, process::ExitCode};

use serde::Serialize;

use crate::{
    failure::Failure,
    terminal::{Terminal, Tone, clean},
};

/// What a check came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mark {
    Ok,
    /// It works, though somebody should look.
    Warning,
    Failed,
    /// It was not looked at, or could not be.
    Skipped,
}

/// One check's outcome.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Finding {
    pub(crate) check: &'static str,
    pub(crate) result: Mark,
    pub(crate) message: String,
    /// How to mend it; empty where there is nothing to mend.
    pub(crate) fix: String,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, result: Mark::Ok, message: message.into(), fix: String::new() }
    }

    pub(crate) fn warning(check: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, result: Mark::Warning, message: message.into(), fix: fix.into() }
    }

    pub(crate) fn failed(check: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, result: Mark::Failed, message: message.into(), fix: fix.into() }
    }

    pub(crate) fn skipped(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, result: Mark::Skipped, message: message.into(), fix: String::new() }
    }
}

/// What the bot may do in a guild.
#[derive(Debug, Serialize)]
pub(crate) struct GuildReport {
    pub(crate) guild: String,
    pub(crate) name: String,
    /// Permissions that rooms and events need and the bot lacks.
    pub(crate) missing: Vec<&'static str>,
    /// Permissions that it lacks of those that only some calls need.
    pub(crate) missing_for_more: Vec<&'static str>,
}

/// Everything that was found so far.
pub(crate) struct Report {
    terminal: Terminal,
    checks: Vec<Finding>,
    guilds: Vec<GuildReport>,
    invite_url: Option<String>,
    invite_url_for_more: Option<String>,
}

impl Report {
    pub(crate) fn new(terminal: Terminal) -> Self {
        Self { terminal, checks: Vec::new(), guilds: Vec::new(), invite_url: None, invite_url_for_more: None }
    }

    pub(crate) fn ok(&mut self, check: &'static str, message: &str) -> io::Result<()> {
        self.add(Finding::ok(check, message))
    }

    pub(crate) fn fail(&mut self, check: &'static str, message: &str, fix: &str) -> io::Result<()> {
        self.add(Finding::failed(check, message, fix))
    }

    pub(crate) fn skip(&mut self, check: &'static str, message: &str) -> io::Result<()> {
        self.add(Finding::skipped(check, message))
    }

    /// Adds a finding, and tells it at once: some checks take a while.
    pub(crate) fn add(&mut self, finding: Finding) -> io::Result<()> {
        if !self.terminal.is_json() {
            let (tone, sign) = match finding.result {
                Mark::Ok => (Tone::Good, "✓"),
                Mark::Warning => (Tone::Warning, "!"),
                Mark::Failed => (Tone::Bad, "✗"),
                Mark::Skipped => (Tone::Faint, "·"),
            };
            let sign = self.terminal.paint(tone, sign);
            self.terminal.line(&format!("{sign} {:<12} {}", finding.check, clean(&finding.message)))?;
            if !finding.fix.is_empty() {
                let arrow = self.terminal.paint(Tone::News, "→");
                self.terminal.line(&format!("  {:<12} {arrow} {}", "", clean(&finding.fix)))?;
            }
        }
        self.checks.push(finding);
        Ok(())
    }

    pub(crate) fn add_guild(&mut self, guild: GuildReport) {
        self.guilds.push(guild);
    }

    /// Notes how the bot is invited: with what rooms and events need, and with what every call needs.
    pub(crate) fn invite(&mut self, url: String, for_more: String) {
        self.invite_url = Some(url);
        self.invite_url_for_more = Some(for_more);
    }

    /// Ends the report: success unless something failed.
    pub(crate) fn finish(self) -> Result<ExitCode, Failure> {
        let failed = self.checks.iter().filter(|finding| finding.result == Mark::Failed).count();
        if self.terminal.is_json() {
            #[derive(Serialize)]
            struct Answer<'a> {
                ok: bool,
                checks: &'a [Finding],
                invite_url: Option<&'a str>,
                invite_url_for_more: Option<&'a str>,
                guilds: &'a [GuildReport],
            }
            self.terminal.json(&Answer {
                ok: failed == 0,
                checks: &self.checks,
                invite_url: self.invite_url.as_deref(),
                invite_url_for_more: self.invite_url_for_more.as_deref(),
                guilds: &self.guilds,
            })?;
        }
        if let (Some(url), Some(for_more), false) =
            (&self.invite_url, &self.invite_url_for_more, self.terminal.is_json())
        {
            self.terminal.line("")?;
            self.terminal.line("To invite the bot, or to give it what it lacks:")?;
            self.terminal.line(&format!("  {url}"))?;
            self.terminal.line("The same, and to move and mute people, send messages and manage webhooks:")?;
            self.terminal.line(&format!("  {for_more}"))?;
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

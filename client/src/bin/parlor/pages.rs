//! `parlor completions` and `parlor man`.

use std::{fs, io, path::Path};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{
    cli::Cli,
    failure::{Exit, Failure},
    terminal::{Terminal, Tone},
};

/// Prints a completion script.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "parlor", &mut script);
    print(&script)
}

/// Prints the manual page, or writes one for each command.
pub(crate) fn manual(directory: Option<&Path>, terminal: Terminal) -> Result<(), Failure> {
    let command = Cli::command();
    let Some(directory) = directory else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        return print(&page);
    };
    let unwritable = |error: io::Error| {
        Failure::new(Exit::Failed, format!("cannot write to {}", directory.display())).because(&error)
    };
    fs::create_dir_all(directory).map_err(unwritable)?;
    let command: Command = command;
    clap_mangen::generate_to(command, directory).map_err(unwritable)?;
    terminal.say(Tone::Faint, &format!("written to {}", directory.display()));
    Ok(())
}

fn print(page: &[u8]) -> Result<(), Failure> {
    use io::Write as _;
    let mut out = io::stdout().lock();
    out.write_all(page)?;
    Ok(out.flush()?)
}

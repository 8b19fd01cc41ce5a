//! parlor: rooms, and who is in which, from the command line.
//!
//! Parses the command line, runs one command and maps how it ended to an exit code ([`failure`]).

#![allow(missing_docs, reason = "a program: its documentation is --help")]

mod cli;
mod doctor;
mod failure;
mod pages;
mod participants;
mod rooms;
mod session;
mod shapes;
mod signals;
mod terminal;
mod token;
mod voice;
mod watch;
mod webhooks;

use std::{process::ExitCode, time::SystemTime};

use clap::Parser as _;

use self::{
    cli::{Cli, Command, Events},
    failure::Failure,
    terminal::Terminal,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Several libraries below take the process's provider.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing has installed a provider before main");
    let terminal = Terminal::new(cli.global.output, cli.global.color);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the operating system gives what a runtime needs");
    match runtime.block_on(run(cli, terminal)) {
        Ok(code) => code,
        Err(failure) if failure.is_quiet() => ExitCode::SUCCESS,
        Err(failure) => {
            terminal.fail(&failure);
            ExitCode::from(failure.exit() as u8)
        }
    }
}

async fn run(cli: Cli, terminal: Terminal) -> Result<ExitCode, Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Rooms(command) => rooms::run(command, &session::connect(&global).await?, terminal).await?,
        Command::Participants(command) => {
            participants::run(command, &session::connect(&global).await?, terminal).await?;
        }
        Command::Voice(command) => voice::run(command, &global, terminal).await?,
        Command::Webhooks(command) => webhooks::run(command, &session::connect(&global).await?, terminal).await?,
        Command::Channels(command) => rooms::channels(command, &session::connect(&global).await?, terminal).await?,
        Command::Guilds(command) => rooms::guilds(command, &session::connect(&global).await?, terminal).await?,
        Command::Events(Events::Watch(watch)) => watch::run(watch, &global, terminal).await?,
        Command::Token(request) => token::run(&request, terminal, SystemTime::now())?,
        Command::Doctor(doctor) => return doctor::run(&doctor, &global, terminal).await,
        Command::Completions { shell } => pages::completions(shell)?,
        Command::Man { directory } => pages::manual(directory.as_deref(), terminal)?,
    }
    Ok(ExitCode::SUCCESS)
}

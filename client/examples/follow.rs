//! Follows who is in which room for good: goes on where it was, over its own end and the server's.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the program's own output")]
#![allow(clippy::wildcard_enum_match_arm, reason = "it acts on what it wants to")]

use std::fs;

use parlor_client::{Event, Parlor, Start, Watch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = format!("http://{}", std::env::var("PARLOR_ADDR")?);
    let parlor = Parlor::connect(&address, &std::env::var("PARLOR_TOKEN")?).await?;
    let start = match fs::read_to_string("position") {
        Ok(stored) => Start::After(stored.parse()?),
        Err(_) => Start::Snapshot,
    };
    let mut events = parlor.events(Watch { start, ..Watch::default() }).await?;
    while let Some(event) = events.next().await? {
        match event {
            Event::Snapshot(everything) => println!("{} people in voice", everything.participants.len()),
            Event::Changed(change) => {
                println!("entry {}: {change:?}", events.frame().map_or(0, |frame| frame.sequence));
            }
            Event::Disconnected { why, retry_in } => eprintln!("{why}; again in {retry_in:?}"),
            _ => {}
        }
        // After the event was dealt with: at worst one comes twice, none is lost. Whole or not at all, whatever ends the program.
        if let Some(position) = events.position() {
            fs::write("position.new", position.to_string())?;
            fs::rename("position.new", "position")?;
        }
    }
    Ok(())
}

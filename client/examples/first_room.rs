//! Creates a room, waits until somebody is in it, says who, and ends it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the program's own output")]

use parlor_client::{Parlor, Picture, v1};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = format!("http://{}", std::env::var("PARLOR_ADDR")?);
    let parlor = Parlor::connect(&address, &std::env::var("PARLOR_TOKEN")?).await?;
    let room = parlor
        .create_room(v1::CreateRoomRequest {
            guild_id: "1100000000000000001".into(),
            display_name: "From Rust".into(),
            ..Default::default()
        })
        .await?;
    eprintln!("made {}", room.room_id);

    let mut picture = Picture::default();
    let mut frames = parlor.subscribe(v1::SubscribeVoiceEventsRequest::default()).await?;
    while let Some(frame) = frames.next().await? {
        picture.fold(&frame)?;
        if let Some(somebody) = picture.participants(&room.room_id).next() {
            println!("{} is in {}", somebody.display_name, room.display_name);
            break;
        }
    }
    parlor.end_room(v1::EndRoomRequest { room_id: room.room_id, ..Default::default() }).await?;
    Ok(())
}

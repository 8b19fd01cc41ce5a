//! Rust client for Parlor: rooms, and who is in which.
//!
//! ```no_run
//! use parlor_client::{Parlor, Picture, v1};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let parlor = Parlor::connect("http://127.0.0.1:50051", &std::env::var("PARLOR_TOKEN")?).await?;
//! let room = parlor.create_room(v1::CreateRoomRequest {
//!     guild_id: "1100000000000000001".into(),
//!     display_name: "Standup".into(),
//!     ..Default::default()
//! }).await?;
//!
//! let mut picture = Picture::default();
//! let mut frames = parlor.subscribe(v1::SubscribeVoiceEventsRequest::default()).await?;
//! while let Some(frame) = frames.next().await? {
//!     picture.fold(&frame)?;
//!     println!("{} people are in {:?}", picture.participants(&room.room_id).count(), room.display_name);
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod events;
mod parlor;
mod picture;

pub use parlor_proto::v1;

pub use self::{
    error::{CallError, ConnectError},
    events::Frames,
    parlor::Parlor,
    picture::{BrokenChain, Picture},
};

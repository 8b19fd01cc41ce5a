//! Rust client for Parlor: rooms, and who is in which.
//!
//! ```no_run
//! use parlor_client::{Event, Parlor, Watch, v1};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let parlor = Parlor::connect("127.0.0.1:50051", &std::env::var("PARLOR_TOKEN")?).await?;
//! let room = parlor.create_room(v1::CreateRoomRequest {
//!     guild_id: "1100000000000000001".into(),
//!     display_name: "Standup".into(),
//!     ..Default::default()
//! }).await?;
//!
//! let mut events = parlor.events(Watch { rooms: vec![room.room_id.clone()], ..Watch::default() }).await?;
//! while let Some(event) = events.next().await? {
//!     if let (Event::Changed(_), Some(picture)) = (event, events.picture()) {
//!         println!("{} people are in {}", picture.participants(&room.room_id).count(), room.display_name);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Events
//!
//! [`Parlor::events`] gives one stream that mends itself. When a connection ends, whatever ended it, the next one continues
//! after the last [`Position`]: pauses between attempts grow from a quarter of a second to 15 s, a server that drains is
//! obeyed, and one that is silent for three heartbeats is left. `prev_sequence` of each frame is checked, so that a frame that
//! is missing is noticed and asked for again. What cannot be continued is said ([`Event::Reset`]) and told anew; what
//! Discord itself lost is said too ([`Event::Discontinuity`]).
//!
//! To go on after a restart of your program, store [`Events::position`] after acting on each event, and begin with
//! [`Start::After`]. What was done but not stored comes again: delivery is at-least-once, and a sequence that is not above the
//! stored one has been seen.
//!
//! [`Parlor::subscribe`] is the layer below: one stream, frame by frame, and [`Picture`] to fold the frames into.
//!
//! # Errors
//!
//! [`ConnectError`] before there is a connection, [`CallError`] from calls: `code` says what to do (see
//! [gRPC's codes](https://grpc.io/docs/guides/status-codes/)), `reason` says why, and the comments of the contract list
//! the reasons of each call.
//!
//! # Features
//!
//! `cli` (default) builds the program `parlor`. `default-features = false` leaves the library alone.

mod address;
mod backoff;
mod error;
mod event;
mod events;
mod follow;
mod parlor;
mod picture;
mod position;
mod watch;

pub use parlor_proto::{prost_types, v1};

pub use self::{
    address::Address,
    error::{CallError, ConnectError},
    event::{Event, Lost, Snapshot},
    events::{Events, Frames},
    parlor::{Bearer, Connect, Parlor},
    picture::{BrokenChain, Picture},
    position::{NoPosition, Position},
    watch::{Gap, Start, Watch},
};

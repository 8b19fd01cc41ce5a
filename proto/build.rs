//! Compiles `parlor/v1/*.proto` with protox, so that nobody needs protoc to build Parlor.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 5] = [
    "parlor/v1/participants.proto",
    "parlor/v1/rooms.proto",
    "parlor/v1/voice_events.proto",
    "parlor/v1/voice_sessions.proto",
    "parlor/v1/webhooks.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=parlor");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("parlor.v1.binpb"), descriptors.encode_to_vec())?;
    let configuration = tonic_prost_build::configure()
        // Maps keep their order, so that the same message is always the same bytes.
        .btree_map(".")
        // A client's `connect` would be what opens a channel, and an RPC is called Connect.
        .build_transport(false);
    // Audio is shared by everybody who hears it, not copied.
    let audio = [".parlor.v1.AudioFrame.audio", ".parlor.v1.SourceFrame.audio"];
    audio.into_iter().fold(configuration, |all, field| all.bytes(field)).compile_fds(descriptors)?;
    Ok(())
}

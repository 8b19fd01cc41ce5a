//! Compiles `parlor/v1/*.proto` with protox, so that nobody needs protoc to build Parlor.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 4] = [
    "parlor/v1/participants.proto",
    "parlor/v1/rooms.proto",
    "parlor/v1/voice_events.proto",
    "parlor/v1/webhooks.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=parlor");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("parlor.v1.binpb"), descriptors.encode_to_vec())?;
    // Maps keep their order, so that the same message is always the same bytes.
    tonic_prost_build::configure().btree_map(".").compile_fds(descriptors)?;
    Ok(())
}

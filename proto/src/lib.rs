//! The `parlor.v1` contract as Rust types, with gRPC clients and servers.
//!
//! The source of truth, with every rule and unit, is `parlor/v1/*.proto` beside this crate; `build.rs` compiles it
//! with protox. A message's documentation here is the comment there.

/// Messages, clients and servers of the package `parlor.v1`.
#[allow(clippy::all, missing_docs, reason = "generated; the proto files carry lints of their own")]
pub mod v1 {
    tonic::include_proto!("parlor.v1");
}

/// Times, durations and field masks, as the messages hold them.
pub use prost_types;

/// The encoded `FileDescriptorSet` of the package, imports included: what gRPC reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/parlor.v1.binpb"));

/// The domain of every `google.rpc.ErrorInfo` that Parlor sends.
pub const ERROR_DOMAIN: &str = "parlor";

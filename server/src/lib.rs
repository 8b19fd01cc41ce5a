//! parlord: Discord voice rooms as a gRPC service.

pub mod auth;
pub mod config;
pub mod edge;
pub mod status;
pub mod telemetry;

//! parlord: Discord voice rooms as a gRPC service.

pub mod app;
pub mod auth;
pub mod config;
#[cfg(feature = "dev")]
pub mod dev;
pub mod edge;
pub mod hub;
pub mod page;
pub mod rates;
pub mod rooms;
pub mod services;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod voice;

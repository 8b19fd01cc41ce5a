//! What the operator sees: log lines, metrics, health and the pages of the ops listener.

pub mod names;

mod grpc;
mod health;
mod logging;
mod ops;
mod recorder;

pub use grpc::{GrpcMetricsLayer, GrpcMetricsService};
pub use health::Health;
pub use logging::{LogError, init_logging};
pub use ops::{OpsPages, Readiness, ops_router};
pub use recorder::{Metrics, RecorderError};

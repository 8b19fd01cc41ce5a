//! The store of metrics, in Prometheus' text format.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::names;

/// How often samples are folded into their buckets while nobody reads them.
const UPKEEP: Duration = Duration::from_secs(5);
/// How far behind streams are, in entries.
const LAG_BUCKETS: [f64; 8] = [0.0, 1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0];

/// Metrics cannot be recorded.
#[derive(Debug, Error)]
#[error("metrics cannot be recorded")]
pub struct RecorderError(#[source] BuildError);

/// Reads what was recorded.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Begins recording for the whole process.
    ///
    /// # Errors
    /// Something records already.
    pub fn install() -> Result<Self, RecorderError> {
        let handle = builder().install_recorder().map_err(RecorderError)?;
        names::describe();
        Ok(Self { handle })
    }

    /// Everything recorded, as Prometheus reads it.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds samples until `cancel` is cancelled: without it they pile up while nobody reads.
    pub async fn keep(self, cancel: CancellationToken) {
        let mut ticks = interval(UPKEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
            self.handle.run_upkeep();
        }
    }

    #[cfg(test)]
    pub(super) fn of(recorder: &metrics_exporter_prometheus::PrometheusRecorder) -> Self {
        Self { handle: recorder.handle() }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// A recorder with our buckets.
pub(super) fn builder() -> PrometheusBuilder {
    let buckets = [
        (names::RPC_DURATION, &names::RPC_DURATION_BUCKETS[..]),
        (names::STREAM_LAG_ENTRIES, &LAG_BUCKETS),
        (names::DISCORD_WAIT_SECONDS, &names::DISCORD_WAIT_BUCKETS),
    ];
    buckets.into_iter().fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets).expect("there are buckets")
    })
}

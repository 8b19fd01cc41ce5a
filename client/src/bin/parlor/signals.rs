//! Ctrl-C.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM: the ordinary ends of what goes on until it is told to stop.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn new() -> Self {
        let catch = |kind| signal(kind).expect("the runtime handles signals");
        Self { interrupt: catch(SignalKind::interrupt()), terminate: catch(SignalKind::terminate()) }
    }

    /// Waits for either.
    pub(crate) async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

//! The threads that audio has to itself.

use std::{io, num::NonZeroUsize, thread};

use tokio::runtime::{Builder, Handle, Runtime};

/// More threads than this only cost: a thread carries hundreds of sessions.
const MOST: usize = 8;

/// A runtime of its own for voice: what decrypts, decodes and mixes does not stand in the way of calls, nor they in its.
#[derive(Debug)]
pub struct Threads(Option<Runtime>);

impl Threads {
    /// Half as many as there are processors, one at least.
    ///
    /// # Errors
    /// If the operating system gives no threads.
    pub fn start() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = processors.div_ceil(2).min(MOST);
        let runtime = Builder::new_multi_thread().worker_threads(threads).thread_name("voice").enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    /// Where to spawn.
    pub(super) fn handle(&self) -> &Handle {
        self.0.as_ref().expect("it is taken when it is dropped").handle()
    }
}

impl Drop for Threads {
    /// Does not wait: it may be dropped on a thread of another runtime, which must not block.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

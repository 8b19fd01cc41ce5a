//! A door between client and server: the same address, whatever stands behind it, and it can be slammed.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A TCP proxy on a port that the system picks.
pub(crate) struct Door {
    address: SocketAddr,
    behind: Arc<Mutex<SocketAddr>>,
    open: Arc<Mutex<Vec<JoinHandle<()>>>>,
    accepting: JoinHandle<()>,
}

impl Door {
    /// A door to this address.
    pub(crate) async fn to(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let behind = Arc::new(Mutex::new(behind));
        let open = Arc::new(Mutex::new(Vec::new()));
        let accepting = tokio::spawn({
            let (behind, open) = (Arc::clone(&behind), Arc::clone(&open));
            async move {
                loop {
                    let (mut outside, _) = listener.accept().await.unwrap();
                    let target = *behind.lock().unwrap();
                    let passing = tokio::spawn(async move {
                        if let Ok(mut inside) = TcpStream::connect(target).await {
                            // Either side may end it at any time.
                            let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                        }
                    });
                    open.lock().unwrap().push(passing);
                }
            }
        });
        Self { address, behind, open, accepting }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Leads to another address from the next connection on.
    pub(crate) fn leads_to(&self, behind: SocketAddr) {
        *self.behind.lock().unwrap() = behind;
    }

    /// Breaks every connection; nothing passes any longer when this returns.
    pub(crate) async fn slam(&self) {
        let passing: Vec<_> = self.open.lock().unwrap().drain(..).collect();
        for passing in passing {
            passing.abort();
            // Its error is that it was aborted.
            let _ = passing.await;
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.accepting.abort();
        self.open.lock().unwrap().iter().for_each(JoinHandle::abort);
    }
}

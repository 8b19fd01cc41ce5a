//! What stands between a socket and the services.
//!
//! [`Acceptor`] turns a listener into a stream of connections that are worth serving: within the caps, with TLS where it
//! is configured, and never silent for long. [`server_builder`] sets every HTTP/2 limit explicitly, because some of the
//! library's defaults are "none". [`service`] puts the layers around the routes.

mod accept;
mod admission;
mod caps;
mod cors;
mod guard;
mod limits;
mod panics;
mod stack;
mod tls;

#[cfg(test)]
mod tests;

pub use accept::{Acceptor, Connection, Incoming, PeerAddress};
pub use admission::{AdmissionLayer, AdmissionService};
pub use cors::{CorsLayer, CorsService};
pub use limits::server_builder;
pub use panics::{PanicLayer, PanicService};
pub use stack::{EdgeService, service};
pub use tls::{TlsError, tls_config};

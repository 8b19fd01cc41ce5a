//! What stands between a socket and the services.
//!
//! [`Acceptor`] turns a listener into a stream of connections that are worth serving: within the caps, with TLS where it
//! is configured, and never silent for long. [`Server`] makes calls of them, with every HTTP/2 limit set explicitly, because
//! some of the library's defaults are "none". [`service`] puts the layers around the routes.

mod accept;
mod admission;
mod calls;
mod caps;
mod cors;
mod guard;
mod limits;
mod panics;
mod rate;
mod serve;
mod stack;
mod tls;

#[cfg(test)]
mod tests;

pub use accept::{Acceptor, Connection, Incoming};
pub use admission::{AdmissionLayer, AdmissionService};
pub use cors::{CorsLayer, CorsService};
pub use panics::{PanicLayer, PanicService};
pub use rate::{CallRateLayer, CallRateService, RefusedTokenLayer, RefusedTokenService};
pub use serve::{CarriedBy, Server, server_builder};
pub use stack::{EdgeService, service};
pub use tls::{TlsError, tls_config};

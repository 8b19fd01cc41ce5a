//! The layers around the routes, outermost first, each with its one sentence of why.

use std::{convert::Infallible, sync::Arc};

use http::{Request, Response};
use tonic::{body::Body, service::Routes};
use tonic_web::GrpcWebLayer;
use tower::{ServiceBuilder, util::BoxCloneSyncService};

use super::{
    admission::AdmissionLayer,
    cors::CorsLayer,
    panics::PanicLayer,
    rate::{CallRateLayer, RefusedTokenLayer},
};
use crate::{
    auth::{AuthLayer, Authenticator},
    config::{AllowedOrigins, LimitsConfig},
    page::PageLayer,
    rates::Rates,
    telemetry::GrpcMetricsLayer,
};

/// The routes with everything around them; give it to [`Server::serve_with_incoming_shutdown`](super::Server::serve_with_incoming_shutdown).
pub type EdgeService = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Puts the layers around the routes. Call it once: the service's clones share the limits.
pub fn service(
    routes: Routes,
    authenticator: Arc<Authenticator>,
    origins: AllowedOrigins,
    limits: &LimitsConfig,
    rates: &Arc<Rates>,
    metrics: GrpcMetricsLayer,
) -> EdgeService {
    let layers = ServiceBuilder::new()
        // The room page is for everybody and no call: it is answered before anything asks for a token, an origin or gRPC.
        .layer(PageLayer)
        // A page's preflight carries no token and speaks no gRPC, so it is the first of the calls to be answered.
        .layer(CorsLayer::new(origins))
        // From here on every call is plain gRPC, whatever a browser sent.
        .layer(GrpcWebLayer::new())
        // Counts what is refused below it too.
        .layer(metrics)
        // Also catches what the layers below it get wrong.
        .layer(PanicLayer)
        // Before the token is looked at: verifying one costs more than refusing.
        .layer(AdmissionLayer::new(limits.active_calls))
        // Counts what the next one refuses.
        .layer(RefusedTokenLayer::new(Arc::clone(rates)))
        // Nothing below it is reached without a principal, except health and reflection.
        .layer(AuthLayer::new(authenticator))
        // Whose calls are counted is known from here on.
        .layer(CallRateLayer::new(Arc::clone(rates)));
    BoxCloneSyncService::new(layers.service(routes.prepare()))
}

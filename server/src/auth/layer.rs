//! Authentication before every call.

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, Request, Response};
use tonic::{Status, body::Body};
use tower::{Layer, Service};
use tracing::debug;

use super::{authenticator::Authenticator, error::AuthError, principal::Principal};

/// Services that answer without a token. Whether they are served at all is the listener's choice.
const OPEN_SERVICES: [&str; 3] =
    ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

/// Puts the caller's [`Principal`] into the extensions of every call, or turns the call away.
#[derive(Clone, Debug)]
pub struct AuthLayer {
    authenticator: Arc<Authenticator>,
}

impl AuthLayer {
    /// A layer that asks this authenticator.
    pub fn new(authenticator: Arc<Authenticator>) -> Self {
        Self { authenticator }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> AuthService<S> {
        AuthService { inner, authenticator: Arc::clone(&self.authenticator) }
    }
}

/// The service of [`AuthLayer`].
#[derive(Clone, Debug)]
pub struct AuthService<S> {
    inner: S,
    authenticator: Arc<Authenticator>,
}

impl<S, B> Service<Request<B>> for AuthService<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The service that was made ready does the work; its clone stays behind for the next call.
        let spare = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, spare);
        if OPEN_SERVICES.iter().any(|service| request.uri().path().starts_with(service)) {
            return Box::pin(inner.call(request));
        }
        let authenticator = Arc::clone(&self.authenticator);
        Box::pin(async move {
            match authenticator.authenticate(request.headers()).await {
                Ok(principal) => {
                    request.extensions_mut().insert(Arc::new(principal));
                    inner.call(request).await
                }
                Err(error) => {
                    debug!(error = &error as &dyn Error, cause = error.source(), "call not authenticated");
                    Ok(Status::from(error).into_http())
                }
            }
        })
    }
}

/// The caller of a request that came through [`AuthLayer`]: `principal_of(request.extensions())`.
///
/// # Errors
/// The request came another way; it is treated as one without a token.
pub fn principal_of(extensions: &Extensions) -> Result<Arc<Principal>, AuthError> {
    extensions.get::<Arc<Principal>>().cloned().ok_or(AuthError::Missing)
}

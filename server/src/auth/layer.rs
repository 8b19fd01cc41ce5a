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
                    request.extensions_mut().insert(principal);
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::header;
    use tonic::Code;
    use tower::{ServiceExt as _, service_fn};

    use super::*;
    use crate::auth::{Keys, SigningAlgorithm, Verifier, testing::*};

    /// Answers OK with the subject in `grpc-message`, or UNKNOWN where nobody is said to call.
    async fn call(path: &str, authorization: &[&str]) -> Status {
        let inner = service_fn(|request: Request<Body>| async move {
            let status = match principal_of(request.extensions()) {
                Ok(principal) => Status::new(Code::Ok, principal.subject.as_str()),
                Err(_) => Status::unknown("nobody"),
            };
            Ok::<_, Infallible>(status.into_http::<Body>())
        });
        let verifier = Verifier::new(rules([SigningAlgorithm::Rs256]));
        let authenticator = Authenticator::new(verifier, Keys::fixed(rsa().key_set()), Arc::new(now));
        let mut request = Request::builder().uri(path);
        for value in authorization {
            request = request.header(header::AUTHORIZATION, *value);
        }
        let service = AuthLayer::new(Arc::new(authenticator)).layer(inner);
        let response = service.oneshot(request.body(Body::empty()).expect("a request")).await.expect("infallible");
        Status::from_header_map(response.headers()).expect("a status")
    }

    #[tokio::test]
    async fn a_handler_knows_who_calls() {
        let token = format!("bearer {}", rsa().sign(&header(), &claims()));
        let answer = call("/parlor.v1.RoomService/GetRoom", &[&token]).await;
        assert_eq!((answer.code(), answer.message()), (Code::Ok, "ann"));
    }

    #[tokio::test]
    async fn no_call_gets_past_without_a_token() {
        let good = format!("Bearer {}", rsa().sign(&header(), &claims()));
        let forged = format!("Bearer {}", forger().sign(&header(), &claims()));
        let late = format!("Bearer {}", rsa().sign(&header(), &with(claims(), "exp", (NOW - 60).into())));
        for authorization in [&[][..], &[&*good, &good], &[&forged], &[&late], &["Basic dXNlcjpwYXNz"]] {
            for path in
                ["/parlor.v1.RoomService/GetRoom", "/", "/grpc.health.v1.HealthX/Check", "/grpc.reflection.v1.x/"]
            {
                assert_eq!(call(path, authorization).await.code(), Code::Unauthenticated, "{path} {authorization:?}");
            }
        }
    }

    #[tokio::test]
    async fn probes_need_no_token() {
        for path in ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] {
            assert_eq!(call(path, &[]).await.message(), "nobody", "{path}");
        }
    }
}

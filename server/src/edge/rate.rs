//! Calls that come too often are told when to come back.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{CarriedBy, caps::counted_as};
use crate::{auth::principal_of, rates::Rates};

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

/// Refuses calls that their subject makes too often. Stands below authentication; what needs no token has no subject
/// and passes.
#[derive(Clone, Debug)]
pub struct CallRateLayer {
    rates: Arc<Rates>,
}

impl CallRateLayer {
    /// A layer that asks these buckets.
    pub fn new(rates: Arc<Rates>) -> Self {
        Self { rates }
    }
}

impl<S> Layer<S> for CallRateLayer {
    type Service = CallRateService<S>;

    fn layer(&self, inner: S) -> CallRateService<S> {
        CallRateService { inner, rates: Arc::clone(&self.rates) }
    }
}

/// The service of [`CallRateLayer`].
#[derive(Clone, Debug)]
pub struct CallRateService<S> {
    inner: S,
    rates: Arc<Rates>,
}

impl<S, B> Service<Request<B>> for CallRateService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Ok(principal) = principal_of(request.extensions())
            && let Err(failure) = self.rates.call(&principal.subject, request.uri().path())
        {
            return Box::pin(std::future::ready(Ok(failure.into_status().into_http())));
        }
        Box::pin(self.inner.call(request))
    }
}

/// Tells addresses whose tokens are refused too often to wait. Stands above authentication. Good tokens always pass, so
/// nobody is shut out by others behind the same address; who sends bad ones is told to slow down.
#[derive(Clone, Debug)]
pub struct RefusedTokenLayer {
    rates: Arc<Rates>,
}

impl RefusedTokenLayer {
    /// A layer that asks these buckets.
    pub fn new(rates: Arc<Rates>) -> Self {
        Self { rates }
    }
}

impl<S> Layer<S> for RefusedTokenLayer {
    type Service = RefusedTokenService<S>;

    fn layer(&self, inner: S) -> RefusedTokenService<S> {
        RefusedTokenService { inner, rates: Arc::clone(&self.rates) }
    }
}

/// The service of [`RefusedTokenLayer`].
#[derive(Clone, Debug)]
pub struct RefusedTokenService<S> {
    inner: S,
    rates: Arc<Rates>,
}

impl<S, B> Service<Request<B>> for RefusedTokenService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let peer = request.extensions().get::<CarriedBy>().map(|by| counted_as(by.peer.ip()));
        let rates = Arc::clone(&self.rates);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            let refused =
                Status::from_header_map(response.headers()).is_some_and(|it| it.code() == Code::Unauthenticated);
            match peer.filter(|_| refused).map(|peer| rates.refused_token(peer)) {
                Some(Err(failure)) => Ok(failure.into_status().into_http()),
                Some(Ok(())) | None => Ok(response),
            }
        })
    }
}

//! A layer that answers on one path, in front of any service on hyper.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::serve::hub::Hub;
use crate::source::{EventSource, LogSource};

impl<S: EventSource> Hub<S> {
    /// A layer that answers requests for this path by itself, and passes all others on. It makes
    /// the WebSocket out of hyper's connection: the framework behind it has no part in that.
    pub fn layer(&self, path: impl Into<String>) -> HubLayer<S> {
        HubLayer {
            hub: self.clone(),
            path: path.into(),
        }
    }
}

/// See [`Hub::layer`].
pub struct HubLayer<S: EventSource = LogSource> {
    hub: Hub<S>,
    path: String,
}

impl<S: EventSource> Clone for HubLayer<S> {
    fn clone(&self) -> Self {
        self.hub.layer(self.path.clone())
    }
}

impl<S: EventSource> fmt::Debug for HubLayer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubLayer")
            .field("hub", &self.hub)
            .field("path", &self.path)
            .finish()
    }
}

impl<S: EventSource, I> Layer<I> for HubLayer<S> {
    type Service = HubService<I, S>;

    fn layer(&self, inner: I) -> HubService<I, S> {
        let layer = self.clone();
        HubService { inner, layer }
    }
}

/// A service with a hub in front of it.
#[derive(Debug)]
pub struct HubService<I, S: EventSource = LogSource> {
    inner: I,
    layer: HubLayer<S>,
}

impl<I: Clone, S: EventSource> Clone for HubService<I, S> {
    fn clone(&self) -> Self {
        let (inner, layer) = (self.inner.clone(), self.layer.clone());
        Self { inner, layer }
    }
}

type Answer<B, E> = Pin<Box<dyn Future<Output = Result<Response<B>, E>> + Send>>;

impl<I, S, A, B> Service<Request<A>> for HubService<I, S>
where
    I: Service<Request<A>, Response = Response<B>, Future: Send + 'static>,
    S: EventSource,
    A: Send + 'static,
    B: From<String>,
{
    type Response = Response<B>;
    type Error = I::Error;
    type Future = Answer<B, I::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        if request.uri().path() != self.layer.path {
            return Box::pin(self.inner.call(request));
        }
        let hub = self.layer.hub.clone();
        Box::pin(async move { Ok(hub.answer(request, None).await.map(B::from)) })
    }
}

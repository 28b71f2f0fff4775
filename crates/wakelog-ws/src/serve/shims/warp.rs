//! The shim for warp.

use std::convert::Infallible;

use hyper::header::HeaderMap;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use warp::{Filter, Rejection};

use crate::serve::hub::Hub;
use crate::source::EventSource;

impl<S: EventSource> Hub<S> {
    /// A filter that answers requests for an upgrade, whatever their path, and serves the
    /// connection.
    ///
    /// What is refused is answered as [`accept`](Hub::accept) says, and 400 if it is no request for
    /// a WebSocket.
    pub fn warp_filter(
        &self,
    ) -> impl Filter<Extract = (Response<String>,), Error = Rejection> + Clone + use<S> {
        let hub = self.clone();
        let query = warp::query::raw().or(warp::any().map(String::new));
        warp::get()
            .and(warp::header::headers_cloned())
            .and(query.unify())
            .and(warp::addr::remote())
            .and(warp::ext::optional::<OnUpgrade>())
            .and_then(move |headers, query: String, peer, upgrade| {
                let hub = hub.clone();
                async move {
                    let request = request(headers, &query, upgrade);
                    Ok::<_, Infallible>(hub.answer(request, peer).await)
                }
            })
    }
}

/// The request that warp has taken apart.
fn request(headers: HeaderMap, query: &str, upgrade: Option<OnUpgrade>) -> Request<()> {
    let mut request = Request::new(());
    if let Ok(uri) = format!("/?{query}").parse() {
        *request.uri_mut() = uri;
    }
    *request.headers_mut() = headers;
    if let Some(upgrade) = upgrade {
        request.extensions_mut().insert(upgrade);
    }
    request
}

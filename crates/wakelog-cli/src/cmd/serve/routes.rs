//! What the server answers.

use super::{Args, metrics};
use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::future::ready;
use wakelog::Log;
use wakelog_ws::{Hub, browser_client};

/// The page: path, type, text.
const PAGE: [(&str, &str, &str); 4] = [
    ("/", "text/html", include_str!("page/page.html")),
    ("/page.css", "text/css", include_str!("page/page.css")),
    ("/page.js", "text/javascript", include_str!("page/page.js")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

/// The text form that Prometheus reads.
const PROMETHEUS: &str = "text/plain; version=0.0.4";

/// The page loads nothing from elsewhere and may not be put into a frame.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

pub(super) fn all(log: Log, hub: Hub, args: &Args) -> Router {
    let health = {
        let (log, hub) = (log.clone(), hub.clone());
        move || ready(health(&log, &hub))
    };
    let numbers = {
        let hub = hub.clone();
        move || ready(file(PROMETHEUS, &metrics::text(&log, &hub)))
    };
    let events = move |request: Request| async move { hub.upgrade(request).await };
    let client = |headers: HeaderMap| ready(browser_client(&headers));
    let mut routes = Router::new()
        .route("/events", get(events))
        .route("/wakelog.js", get(client))
        .route("/healthz", get(health));
    if !args.no_metrics {
        routes = routes.route("/metrics", get(numbers));
    }
    if !args.no_page {
        for (path, kind, text) in PAGE {
            routes = routes.route(path, get(move || ready(file(kind, text))));
        }
    }
    routes
}

/// Well while appends can be taken.
fn health(log: &Log, hub: &Hub) -> Response {
    if hub.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    if log.stats().poisoned {
        return (StatusCode::SERVICE_UNAVAILABLE, "a sync has failed\n").into_response();
    }
    "ok\n".into_response()
}

fn file(kind: &str, text: &str) -> Response {
    let kind = format!("{kind}; charset=utf-8");
    let headers = [
        (CONTENT_TYPE, kind.as_str()),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text.to_owned()).into_response()
}

//! What carries frames between a client and a hub: each shim is for one server or kind of
//! connection, behind a feature, and knows nothing of what the frames say. And one that carries a
//! hub's numbers to a recorder.

#[cfg(feature = "actix")]
mod actix;
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "tungstenite")]
mod http;
#[cfg(feature = "lines")]
mod lines;
#[cfg(feature = "tungstenite")]
mod metered;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "tungstenite")]
mod socket;
#[cfg(feature = "axum")]
mod sse;
#[cfg(feature = "tower")]
mod tower;
#[cfg(feature = "warp")]
mod warp;

#[cfg(feature = "axum")]
pub use axum::{CLIENT, browser_client};
#[cfg(feature = "tower")]
pub use tower::{HubLayer, HubService};

/// In JSON, line feeds stand between tokens alone: those that a publisher has put there.
#[cfg(any(feature = "axum", feature = "lines"))]
fn one_line(text: String) -> String {
    if text.contains(['\n', '\r']) {
        return text.replace(['\n', '\r'], " ");
    }
    text
}

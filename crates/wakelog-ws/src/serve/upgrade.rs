//! What is known of a connection before its first message, and whether it may become one.

use std::fmt;
use std::net::SocketAddr;

use super::hub::Hub;
use super::registry::Place;
use crate::protocol::SUBPROTOCOL;
use crate::source::EventSource;

/// A request for an upgrade, free of any HTTP library's types: what an application may look at to
/// say who a client is.
///
/// `Debug` shows which headers there are, and not what stands in them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Upgrade {
    /// Names in lower case.
    headers: Vec<(String, String)>,
    query: Option<String>,
    peer: Option<SocketAddr>,
}

impl Upgrade {
    /// A request of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Self {
        let name = name.as_ref().to_ascii_lowercase();
        self.headers.push((name, value.into()));
        self
    }

    /// What stands behind the `?` of the URL.
    #[must_use]
    pub fn query(mut self, query: impl Into<String>) -> Self {
        self.query = Some(query.into());
        self
    }

    /// The address from which it comes, perhaps a proxy's.
    #[must_use]
    pub fn peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// The values of a header, whose name is given in lower case. What is not UTF-8 is replaced.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = move |(key, _): &&(String, String)| key == name;
        self.headers
            .iter()
            .filter(of_name)
            .map(|(_, value)| value.as_str())
    }

    /// The address from which it comes, where the server was told.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.peer
    }

    fn offers_subprotocol(&self) -> bool {
        self.headers("sec-websocket-protocol")
            .flat_map(|list| list.split(','))
            .any(|one| one.trim() == SUBPROTOCOL)
    }

    /// URLs end up in the logs of servers and proxies; a token in one is a token for many readers.
    fn has_token_in_url(&self) -> bool {
        let query = self.query.as_deref().unwrap_or_default();
        query.split('&').any(|pair| {
            let key = pair.split('=').next().unwrap_or_default();
            ["token", "access_token"]
                .iter()
                .any(|t| key.eq_ignore_ascii_case(t))
        })
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Upgrade")
            .field("headers", &names)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Why a request is not upgraded: the answer to give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
#[non_exhaustive]
pub struct Refusal {
    /// The status of the HTTP answer.
    pub status: u16,
    /// Its body.
    pub text: String,
}

impl Refusal {
    fn new(status: u16, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { status, text }
    }
}

/// A connection that may be served: its place among the others, which it gives up when dropped.
#[derive(Debug)]
pub struct Ticket {
    pub(super) upgrade: Upgrade,
    pub(super) place: Place,
}

impl<S: EventSource> Hub<S> {
    /// Decides whether a request may become a connection. To be asked before the upgrade is
    /// answered; the ticket is for [`serve`](Hub::serve).
    ///
    /// # Errors
    /// 403 for a page of a foreign origin, 503 while the hub is being drained or full, 400 without
    /// the subprotocol or with a token in the URL, 401 if the application's hook says no.
    pub async fn accept(&self, upgrade: Upgrade) -> Result<Ticket, Refusal> {
        // The origin comes first, so that a foreign page learns nothing.
        if !self.shared.origins.permit(&upgrade) {
            let (origin, host) = (
                upgrade.headers("origin").next(),
                upgrade.headers("host").next(),
            );
            tracing::warn!(origin, host, "refused: `allow_origins` does not name it");
            return Err(Refusal::new(403, "this origin may not connect"));
        }
        if self.is_draining() {
            return Err(Refusal::new(503, "the server is stopping"));
        }
        if !upgrade.offers_subprotocol() {
            let text = format!("offer the WebSocket subprotocol {SUBPROTOCOL}");
            return Err(Refusal::new(400, text));
        }
        if upgrade.has_token_in_url() {
            let text = "send the token in hello or in a header, never in the URL";
            return Err(Refusal::new(400, text));
        }
        let full = || Refusal::new(503, "the server has no room for another connection");
        let place = self.shared.registry.enter().ok_or_else(full)?;
        if let Some(hook) = &self.shared.authorize {
            let answer = self.shared.ask(hook.upgrade(&upgrade)).await;
            answer.map_err(|failure| {
                let status = if failure.code.retry() { 503 } else { 401 };
                Refusal::new(status, failure.message)
            })?;
        }
        Ok(Ticket { upgrade, place })
    }
}

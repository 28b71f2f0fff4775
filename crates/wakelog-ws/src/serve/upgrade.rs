//! What is known of a connection before its first message, and whether it may become one.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::SocketAddr;
use std::time::Duration;

use derive_more::Debug;

use super::driver::now;
use super::hub::Hub;
use super::registry::Place;
use crate::protocol::{SUBPROTOCOL, SUBPROTOCOL_BIN};
use crate::settings::settings;
use crate::source::EventSource;

/// How long one of many who come at once is kept waiting.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Those who are sent away come back within so many seconds.
const COME_BACK: u64 = 10;

/// A request for an upgrade, free of any HTTP library's types: what an application may look at to
/// say who a client is. By default nothing is known.
///
/// `Debug` shows which headers there are, and not what stands in them.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Upgrade {
    /// Names in lower case.
    #[debug("{:?}", headers.iter().map(|(name, _)| name).collect::<Vec<_>>())]
    headers: Vec<(String, String)>,
    #[debug(skip)]
    query: Option<String>,
    peer: Option<SocketAddr>,
}

impl Upgrade {
    /// Adds a header.
    pub fn header(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Self {
        let name = name.as_ref().to_ascii_lowercase();
        self.headers.push((name, value.into()));
        self
    }

    settings! {
        /// What stands behind the `?` of the URL.
        query(query: impl Into<String>) => query = Some(query.into());

        /// The address from which it comes, perhaps a proxy's.
        peer(peer: SocketAddr) => peer = Some(peer);
    }

    /// The values of a header, whose name is given in lower case. What is not UTF-8 is replaced.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let headers = self.headers.iter();
        headers.filter_map(move |(key, value)| (key == name).then_some(value.as_str()))
    }

    /// The address from which it comes, where the server was told.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The first subprotocol in the client's list that there is: with it the upgrade is answered.
    pub fn subprotocol(&self) -> Option<&'static str> {
        let lists = self.headers("sec-websocket-protocol");
        let mut offered = lists.flat_map(|list| list.split(',')).map(str::trim);
        let ours = [SUBPROTOCOL, SUBPROTOCOL_BIN];
        offered.find_map(|name| ours.into_iter().find(|own| *own == name))
    }

    /// URLs end up in the logs of servers and proxies; a token in one is a token for many readers.
    fn has_token_in_url(&self) -> bool {
        let query = self.query.as_deref().unwrap_or_default();
        let mut keys = query.split('&').filter_map(|pair| pair.split('=').next());
        keys.any(|key| ["token", "access_token"].contains(&&*key.to_ascii_lowercase()))
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
    /// With 503, what the header `Retry-After` is to say, in seconds: another number for each, so
    /// that not all come at once.
    pub retry_after: Option<u32>,
}

impl Refusal {
    fn new(status: u16, text: impl Into<String>) -> Self {
        let spread = 1 + RandomState::new().hash_one(status) % COME_BACK;
        let retry_after = u32::try_from(spread).ok().filter(|_| status == 503);
        let text = text.into();
        Self {
            status,
            text,
            retry_after,
        }
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
    /// 403 for a page of a foreign origin, 503 while the hub is being drained, full or stormed, 400
    /// without the subprotocol or with a token in the URL, 401 if the application's hook says no.
    pub async fn accept(&self, upgrade: Upgrade) -> Result<Ticket, Refusal> {
        self.judge(upgrade).await.inspect_err(|refusal| {
            let code = format!("http_{}", refusal.status);
            self.shared.stats.lock().refuse(&code);
        })
    }

    async fn judge(&self, upgrade: Upgrade) -> Result<Ticket, Refusal> {
        // The origin comes first, so that a foreign page learns nothing.
        if !self.shared.origins.permit(&upgrade) {
            let origin = upgrade.headers("origin").next();
            let host = upgrade.headers("host").next();
            tracing::warn!(origin, host, "refused: `allow_origins` does not name it");
            return Err(Refusal::new(403, "this origin may not connect"));
        }
        if self.is_draining() {
            return Err(Refusal::new(503, "the server is stopping"));
        }
        if upgrade.subprotocol().is_none() {
            let text = format!("offer the WebSocket subprotocol {SUBPROTOCOL}");
            return Err(Refusal::new(400, text));
        }
        if upgrade.has_token_in_url() {
            let text = "send the token in hello or in a header, never in the URL";
            return Err(Refusal::new(400, text));
        }
        let full = || Refusal::new(503, "the server has no room for another connection");
        let place = self.shared.registry.enter().ok_or_else(full)?;
        // Those who come at once are kept apart.
        let arrivals = &self.shared.arrivals;
        let moment = arrivals.lock().count_within(now(), LONGEST_WAIT);
        let stormed = |_| Refusal::new(503, "too many come at once");
        if let Some(moment) = moment.map_err(stormed)? {
            tokio::time::sleep_until(moment.into()).await;
        }
        if let Some(hook) = &self.shared.authorize {
            let asked = async { hook.upgrade(&upgrade).await };
            self.shared.ask(asked).await.map_err(|failure| {
                let status = if failure.code.retry() { 503 } else { 401 };
                Refusal::new(status, failure.message)
            })?;
        }
        Ok(Ticket { upgrade, place })
    }
}

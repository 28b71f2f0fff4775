//! The settings of a hub.

use std::sync::Arc;
use std::time::Duration;

use derive_more::Debug;
use parking_lot::Mutex;
use wakelog::{Filter, FilterError};

use super::authorize::{Authorize, HookFuture};
use super::calls::{Answer, Call, Calls};
use super::driver::now;
use super::hub::{Hub, Shared};
use super::members::Members;
use super::origin::{Origin, Origins};
use super::registry::Registry;
use crate::protocol::{Limits, Reconnect};
use crate::session::{Pace, SessionConfig};
use crate::settings::settings;
use crate::source::{EventSource, LogSource};

/// Heartbeats come no faster.
const SHORTEST_BEAT: Duration = Duration::from_millis(10);

/// Settings of a [`Hub`].
#[derive(Debug)]
#[debug("HubBuilder {{ config: {:?}, .. }}", shared.config)]
#[must_use = "a builder does nothing until `build`"]
pub struct HubBuilder<S: EventSource = LogSource> {
    shared: Shared<S>,
}

impl<S: EventSource> HubBuilder<S> {
    /// A hub over a source of one's own.
    pub fn over(source: S) -> Self {
        let shared = Shared {
            source,
            config: SessionConfig::default(),
            authorize: None,
            calls: Calls::default(),
            origins: Origins::default(),
            registry: Registry::new(16_384),
            members: Members::new(64, 1_000),
            stall: Duration::from_secs(30),
            arrivals: Mutex::new(Pace::new(1_000, now())),
            hook_limit: Duration::from_secs(5),
            stats: Mutex::default(),
        };
        Self { shared }
    }

    settings! {
        /// What a client may do. How many ids are remembered is for the source to say.
        limits(limits: Limits) => shared.config.limits = limits;

        /// How often heartbeats are sent, 20 seconds by default; a client that is silent for two
        /// and a half is given up.
        heartbeat(every: Duration) => shared.config.heartbeat = every.max(SHORTEST_BEAT);

        /// The window in which clients come back after a cut: half a second to 30 seconds by
        /// default.
        reconnect(window: Reconnect) => shared.config.reconnect = window;

        /// How long a client may leave what was sent to it in the socket: 30 seconds by default.
        stall(longest: Duration) => shared.stall = longest;

        /// Asks the application who may do what. Without it, every client is believed: see
        /// [`Authorize`].
        authorize(hook: impl Authorize) => shared.authorize = Some(Arc::new(hook));

        /// How long hooks and handler together may take for the answer to one message: 5 seconds by
        /// default.
        hook_limit(longest: Duration) => shared.hook_limit = longest;

        /// How many connections there may be at a time, from the upgrade on: 16,384 by default. One
        /// more is answered with the status 503.
        connections(most: usize) => shared.registry = Registry::new(most);

        /// How many connections one identity (`from`) may have at a time: 64 by default. One more
        /// is closed with 1013. Those without an identity are counted by
        /// [`connections`](Self::connections) alone.
        connections_of_identity(most: usize) => shared.members.connections = most;

        /// How many messages, pings and pongs a client may send in a second: 1,000 by default, and
        /// four seconds' worth at once. Those beyond it wait in the socket.
        messages_per_second(most: u32) => shared.config.messages_per_second = most;

        /// How many events one identity may publish in a second, over all of its connections: 1,000
        /// by default, and four seconds' worth at once. Those beyond it wait, and their connection
        /// with them. Each connection without an identity is counted by itself.
        publishes_per_second(most: u32) => shared.members.publishes_per_second = most;

        /// How many connections may be made in a second: 1,000 by default, and four seconds' worth
        /// at once. Those beyond it wait for up to five seconds, before the hook is asked; if that
        /// is not enough, they are told with the status 503 to come back at a random moment later.
        /// So the clients that all come back after a cut do not shut each other out.
        arrivals_per_second(most: u32) => shared.arrivals = Mutex::new(Pace::new(most, now()));
    }

    /// Gives what clients publish to topics that match `filter` to a handler, once the
    /// [`authorize`](Self::authorize) hook has let it pass. The handler answers for it, has it
    /// stored, or refuses it. Of several handlers the first that hears one of the topics is asked.
    ///
    /// The events of one connection come one after the other. One that a client sends again, since
    /// it has not seen the answer, is handled again: what must be done once is to be known by its
    /// id. A handler has as long as the hooks, [`hook_limit`](Self::hook_limit).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let log = wakelog::Log::open("events")?;
    /// use wakelog_ws::{Answer, Hub, Payload};
    ///
    /// let hub = Hub::builder(log)?
    ///     .on("clock", |call| {
    ///         let who = call.client.from.clone().unwrap_or_default();
    ///         Box::pin(async move { Ok(Answer::Reply(Payload::text(format!("{who}: noon")))) })
    ///     })?
    ///     .build();
    /// # drop(hub); Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The filter breaks the rules.
    pub fn on<F>(mut self, filter: &str, handler: F) -> Result<Self, FilterError>
    where
        F: Fn(Call) -> HookFuture<'static, Answer> + Send + Sync + 'static,
    {
        let heard = Filter::parse(filter)?;
        self.shared.calls.push((heard, Arc::new(handler)));
        Ok(self)
    }

    /// Lets pages of these origins connect, beside those of the server's own.
    ///
    /// A browser lets any page ask any server, with the user's cookies, and says which page it is:
    /// so each other origin is refused with the status 403. The server's own is the one whose host
    /// and port are those of the header `Host`, if it is secure, an address or `localhost`: an
    /// insecure name has to be given here, for somebody else's can be made to point here. Behind a
    /// proxy that changes `Host`, give every origin. Programs send none and are let in.
    pub fn allow_origins(mut self, origins: impl IntoIterator<Item = Origin>) -> Self {
        self.shared.origins.allowed.extend(origins);
        self
    }

    /// Lets pages of all origins connect. **Only for hubs on which nobody is told from anybody
    /// else by what a browser sends by itself**, such as a cookie, a certificate or an address.
    pub fn allow_any_origin(mut self) -> Self {
        self.shared.origins.any = true;
        self
    }

    /// The hub.
    pub fn build(mut self) -> Hub<S> {
        self.shared.config.limits.dedup_ids = self.shared.source.dedup_ids().into();
        let shared = Arc::new(self.shared);
        Hub { shared }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::LogSource;

    /// PROTOCOL.md tells them to those who write clients.
    #[test]
    fn the_defaults_of_the_document_are_those_of_the_builder() {
        let dir = tempfile::tempdir().unwrap();
        let log = wakelog::Log::open(dir.path().join("log")).unwrap();
        let shared = HubBuilder::over(LogSource::new(log).unwrap()).shared;
        let config = shared.config;
        assert_eq!(config.hello_deadline, Duration::from_secs(5));
        assert_eq!(config.heartbeat, Duration::from_secs(20));
        assert_eq!(config.messages_per_second, 1_000);
        assert_eq!(shared.stall, Duration::from_secs(30));
        assert_eq!(shared.hook_limit, Duration::from_secs(5));
        assert_eq!(shared.members.publishes_per_second, 1_000);
        assert_eq!(shared.members.connections, 64);
        let mut arrivals = shared.arrivals.lock();
        let moment = now();
        assert!((0..4_000).all(|_| arrivals.count(moment).is_none()));
        assert!(arrivals.count(moment + Duration::from_micros(1)).is_some());
        let table = include_str!("../../PROTOCOL.md");
        let table = table.split("What a server bounds besides").nth(1).unwrap();
        for row in [
            "| until `hello` | 5 s |",
            "| nothing is heard of the client | 2.5 heartbeats of 20 s |",
            "| what was sent lies in the socket | 30 s |",
            "| messages, pings and pongs of a connection | 1,000 a second, 4,000 at once |",
            "| publishes of an identity | 1,000 a second, 4,000 at once |",
            "| new connections | 1,000 a second, 4,000 at once |",
            "| connections | 16,384 |",
            "| connections of an identity | 64 |",
            "| the application decides about a message | 5 s |",
        ] {
            assert!(table.contains(row), "{row}");
        }
        let places = (0..16_384).map(|_| shared.registry.enter());
        let places: Vec<_> = places.collect();
        assert!(places.iter().all(Option::is_some) && shared.registry.enter().is_none());
    }
}

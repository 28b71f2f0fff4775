//! The hub: all connections of a server on one log.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use futures_sink::Sink;
use wakelog::{FilterError, Log, Position};

use super::authorize::{Authorize, Denied, HookFuture, cursor_name};
use super::calls::{Answer, Call, Calls};
use super::driver;
use super::frame::{Frame, FrameError};
use super::members::Members;
use super::origin::{Origin, Origins};
use super::registry::{Client, Registry};
use super::upgrade::Ticket;
use crate::protocol::{ErrorCode, Limits, Reconnect};
use crate::session::{Failure, SessionConfig};
use crate::source::{EventSource, LogSource, Outgoing, SourceError};

/// Serves a log to any number of connections. A clone is another handle of the same hub.
pub struct Hub<S: EventSource = LogSource> {
    pub(super) shared: Arc<Shared<S>>,
}

/// What the hub and its connections share.
pub(super) struct Shared<S> {
    pub(super) source: S,
    pub(super) config: SessionConfig,
    pub(super) authorize: Option<Arc<dyn Authorize>>,
    pub(super) calls: Calls,
    pub(super) origins: Origins,
    pub(super) registry: Arc<Registry>,
    pub(super) members: Arc<Members>,
    pub(super) stall: Duration,
    hook_limit: Duration,
}

impl<S> Shared<S> {
    /// The answer of a hook, which has only so much time.
    pub(super) async fn ask<T>(&self, hook: HookFuture<'_, T>) -> Result<T, Failure> {
        match tokio::time::timeout(self.hook_limit, hook).await {
            Ok(answer) => answer.map_err(|Denied(text)| Failure::new(ErrorCode::Forbidden, text)),
            Err(_) => {
                tracing::warn!("the hook that authorises takes too long");
                let text = "the server cannot decide at the moment";
                Err(Failure::new(ErrorCode::Unavailable, text))
            }
        }
    }
}

/// Where an event came to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Its offset.
    pub offset: u64,
    /// The position after it.
    pub position: Position,
}

/// An event was not published, or it is not known whether it is durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct EmitError(Failure);

impl EmitError {
    /// Whether the same event may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.0.code.retry()
    }
}

impl Hub<LogSource> {
    /// A hub with default settings.
    ///
    /// # Errors
    /// A log with [`SyncPolicy::Manual`](wakelog::SyncPolicy::Manual) is refused: clients are told
    /// durable events alone, and nobody could say when that would be. So is a log that was opened
    /// read-only.
    pub fn new(log: Log) -> Result<Self, SourceError> {
        Ok(Self::builder(log)?.build())
    }

    /// A hub whose settings can be changed before it is built.
    ///
    /// # Errors
    /// As [`Hub::new`].
    pub fn builder(log: Log) -> Result<HubBuilder<LogSource>, SourceError> {
        Ok(HubBuilder::over(LogSource::new(log)?))
    }
}

impl<S: EventSource> Hub<S> {
    /// Appends an event and resolves when it is durable, from when on clients can see it. For an id
    /// that the log remembers, the answer is that of the first event.
    ///
    /// # Errors
    /// Says whether trying again makes sense. After an error the event may stand in the log all the
    /// same, if its sync has failed.
    pub async fn emit(&self, event: Outgoing) -> Result<Published, EmitError> {
        let source = &self.shared.source;
        let position = source.append(event).await.map_err(EmitError)?;
        source.durable(position).await.map_err(EmitError)?;
        let offset = position.offset.saturating_sub(1);
        Ok(Published { offset, position })
    }

    /// Resolves when a consumer has acknowledged an event, on this or any later connection: its
    /// client has processed it and everything before it. `from` is the identity to which the
    /// consumer belongs. It does not resolve while the client is away; wrap it in a timeout.
    ///
    /// # Errors
    /// The consumer has no cursor, its cursor was deleted, or the log was closed or has failed.
    pub async fn acked(
        &self,
        from: Option<&str>,
        consumer: &str,
        event: Published,
    ) -> Result<(), EmitError> {
        let name = cursor_name(from, consumer);
        let acked = self.shared.source.acked(name, event.position).await;
        acked.map_err(EmitError)
    }

    /// Who is connected, in the order in which they came. A connection is among them once it was
    /// welcomed.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        self.shared
            .registry
            .clients(self.shared.source.end().offset)
    }

    /// Ends all connections, and those that are still to come, and resolves when none is left.
    ///
    /// Each is answered what it has published, and is asked to come back at a random moment within
    /// the window, so that a restart does not bring all clients back at once.
    pub async fn drain(&self, window: RangeInclusive<Duration>) {
        let millis = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.shared
            .registry
            .drain([millis(window.start()), millis(window.end())])
            .await;
    }

    /// Whether [`drain`](Self::drain) was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.registry.is_draining()
    }

    /// What a client may do.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.shared.config.limits
    }

    /// Serves one connection until it ends. To be called within a tokio runtime with its timers on.
    ///
    /// The ticket is [`accept`](Hub::accept)'s, and the socket must have been upgraded with the
    /// subprotocol [`SUBPROTOCOL`](crate::protocol::SUBPROTOCOL). Its limits of message size must
    /// not be below those of the hub, and it must bound of how many frames a message may be made.
    pub async fn serve<F>(&self, socket: F, ticket: Ticket)
    where
        F: Stream<Item = Result<Frame, FrameError>> + Sink<Frame, Error = FrameError> + Unpin,
    {
        driver::drive(Arc::clone(&self.shared), socket, ticket).await;
    }
}

impl<S: EventSource> Clone for Hub<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S: EventSource> fmt::Debug for Hub<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

/// Settings of a [`Hub`].
pub struct HubBuilder<S: EventSource = LogSource> {
    source: S,
    config: SessionConfig,
    authorize: Option<Arc<dyn Authorize>>,
    calls: Calls,
    origins: Origins,
    connections: usize,
    of_identity: usize,
    publishes_per_second: u32,
    stall: Duration,
    hook_limit: Duration,
}

impl<S: EventSource> HubBuilder<S> {
    /// A hub over a source of one's own.
    #[must_use]
    pub fn over(source: S) -> Self {
        let config = SessionConfig::default();
        Self {
            source,
            config,
            authorize: None,
            calls: Calls::default(),
            origins: Origins::default(),
            connections: 16_384,
            of_identity: 64,
            publishes_per_second: 1_000,
            stall: Duration::from_secs(30),
            hook_limit: Duration::from_secs(5),
        }
    }

    /// What a client may do. How many ids are remembered is for the source to say.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// How often heartbeats are sent, 20 seconds by default; a client that is silent for two and a
    /// half is given up.
    #[must_use]
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.config.heartbeat = every.max(Duration::from_millis(10));
        self
    }

    /// The window in which clients come back after a cut: half a second to 30 seconds by default.
    #[must_use]
    pub fn reconnect(mut self, window: Reconnect) -> Self {
        self.config.reconnect = window;
        self
    }

    /// How long a client may leave what was sent to it in the socket: 30 seconds by default.
    #[must_use]
    pub fn stall(mut self, longest: Duration) -> Self {
        self.stall = longest;
        self
    }

    /// Asks the application who may do what. Without it, every client is believed: see
    /// [`Authorize`].
    #[must_use]
    pub fn authorize(mut self, hook: impl Authorize) -> Self {
        self.authorize = Some(Arc::new(hook));
        self
    }

    /// Gives what clients publish to topics that match `filter` to a handler, once the
    /// [`authorize`](Self::authorize) hook has let it pass. The handler answers for it, has it
    /// stored, or refuses it. Of several handlers the first that hears one of the topics is asked.
    ///
    /// The events of one connection come one after the other. One that a client sends again, since
    /// it has not seen the answer, is handled again: what must be done once is to be known by its
    /// id. A handler has as long as a hook: [`hook_limit`](Self::hook_limit).
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
        self.calls.on(filter, handler)?;
        Ok(self)
    }

    /// How long the hook may take for an answer: 5 seconds by default.
    #[must_use]
    pub fn hook_limit(mut self, longest: Duration) -> Self {
        self.hook_limit = longest;
        self
    }

    /// Lets pages of these origins connect, beside those of the server's own.
    ///
    /// A browser lets any page ask any server, with the user's cookies, and says which page it is:
    /// so each other origin is refused with the status 403. The server's own is the one whose host
    /// and port are those of the header `Host`, if it is secure, an address or `localhost`: an
    /// insecure name has to be given here, for somebody else's can be made to point here. Behind a
    /// proxy that changes `Host`, give every origin. Programs send none and are let in.
    #[must_use]
    pub fn allow_origins(mut self, origins: impl IntoIterator<Item = Origin>) -> Self {
        self.origins.allowed.extend(origins);
        self
    }

    /// Lets pages of all origins connect. **Only for hubs on which nobody is told from anybody
    /// else by what a browser sends by itself**, such as a cookie, a certificate or an address.
    #[must_use]
    pub fn allow_any_origin(mut self) -> Self {
        self.origins.any = true;
        self
    }

    /// How many connections there may be at a time, from the upgrade on: 16,384 by default. One
    /// more is answered with the status 503.
    #[must_use]
    pub fn connections(mut self, most: usize) -> Self {
        self.connections = most;
        self
    }

    /// How many connections one identity (`from`) may have at a time: 64 by default. One more is
    /// closed with 1013. Those without an identity are counted by
    /// [`connections`](Self::connections) alone.
    #[must_use]
    pub fn connections_of_identity(mut self, most: usize) -> Self {
        self.of_identity = most;
        self
    }

    /// How many messages, pings and pongs a client may send in a second: 1,000 by default, and four
    /// seconds' worth at once. Those beyond it wait in the socket.
    #[must_use]
    pub fn messages_per_second(mut self, most: u32) -> Self {
        self.config.messages_per_second = most;
        self
    }

    /// How many events one identity may publish in a second, over all of its connections: 1,000 by
    /// default, and four seconds' worth at once. Those beyond it wait, and their connection with
    /// them. Each connection without an identity is counted by itself.
    #[must_use]
    pub fn publishes_per_second(mut self, most: u32) -> Self {
        self.publishes_per_second = most;
        self
    }

    /// The hub.
    #[must_use]
    pub fn build(self) -> Hub<S> {
        let mut config = self.config;
        config.limits.dedup_ids = self.source.dedup_ids().into();
        Hub {
            shared: Arc::new(Shared {
                source: self.source,
                config,
                authorize: self.authorize,
                calls: self.calls,
                origins: self.origins,
                registry: Arc::new(Registry::new(self.connections)),
                members: Arc::new(Members::new(self.of_identity, self.publishes_per_second)),
                stall: self.stall,
                hook_limit: self.hook_limit,
            }),
        }
    }
}

impl<S: EventSource> fmt::Debug for HubBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

//! The hub: all connections of a server on one log.

use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use derive_more::Debug;
use futures_core::Stream;
use futures_sink::Sink;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use wakelog::{Log, Position, Topic, TopicError};

use super::authorize::{Authorize, Denied, Principal, cursor_name};
use super::builder::HubBuilder;
use super::calls::Calls;
use super::driver::Driver;
use super::frame::{Frame, FrameError};
use super::members::Members;
use super::origin::Origins;
use super::registry::{Client, Registry};
use super::stats::HubStats;
use super::upgrade::Ticket;
use crate::protocol::{EncodedPage, ErrorCode, Failure, Limits, Outgoing, PageEvent};
use crate::session::{Pace, SessionConfig};
use crate::source::{EventSource, LogSource, SourceError};

/// Serves a log to any number of connections. A clone is another handle of the same hub.
#[derive(Debug)]
#[debug("Hub {{ config: {:?}, .. }}", shared.config)]
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
    pub(super) registry: Registry,
    pub(super) members: Members,
    pub(super) stall: Duration,
    pub(super) arrivals: Mutex<Pace>,
    pub(super) hook_limit: Duration,
    pub(super) stats: Mutex<HubStats>,
}

impl<S> Shared<S> {
    /// May this session read what matches these filters?
    pub(super) async fn may_read(
        &self,
        principal: &Principal,
        filters: &[String],
    ) -> Result<(), Failure> {
        let Some(hook) = &self.authorize else {
            return Ok(());
        };
        self.ask(async {
            for filter in filters {
                hook.subscribe(principal, filter).await?;
            }
            Ok(())
        })
        .await
    }

    /// The answer of the application about one message: for all its hooks together there is only
    /// so much time, and one that panics has said no.
    pub(super) async fn ask<T>(
        &self,
        hooks: impl Future<Output = Result<T, Denied>>,
    ) -> Result<T, Failure> {
        let hooks = AssertUnwindSafe(hooks).catch_unwind();
        match tokio::time::timeout(self.hook_limit, hooks).await {
            Ok(Ok(answer)) => {
                answer.map_err(|Denied(text)| Failure::new(ErrorCode::Forbidden, text))
            }
            Ok(Err(panic)) => {
                let text = panic.downcast_ref::<&str>().copied();
                let text = text.or_else(|| panic.downcast_ref().map(String::as_str));
                tracing::error!(panic = text, "a hook or handler has panicked");
                Err(Failure::internal())
            }
            Err(_) => {
                tracing::warn!("the hook that authorises takes too long");
                let text = "the server cannot decide at the moment";
                Err(Failure::new(ErrorCode::Unavailable, text))
            }
        }
    }
}

impl<S: EventSource> Shared<S> {
    /// Tells an event that is not stored to those who are here, and says where the log ends.
    pub(super) fn tell(&self, event: &Outgoing) -> Result<Published, Failure> {
        let bad = |error: TopicError| Failure::new(ErrorCode::BadTopic, error.to_string());
        for topic in &event.topics {
            Topic::check(topic).map_err(bad)?;
        }
        let position = self.source.end();
        let offset = position.offset;
        let page = EncodedPage::new(&[PageEvent::volatile(event, offset)], false);
        if page.bytes() > u64::try_from(self.config.limits.message_bytes).unwrap_or(u64::MAX) {
            let text = "longer than a message may be";
            return Err(Failure::new(ErrorCode::TooLarge, text));
        }
        self.registry.tell(event, &page, position);
        Ok(Published { offset, position })
    }
}

/// Where an event came to stand. One that is volatile stands nowhere: this is where the log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Its offset.
    pub offset: u64,
    /// The position after it.
    pub position: Position,
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
    /// A [`volatile`](Outgoing::volatile) event is told to the clients of this hub alone, and at
    /// once; the answer is then the place at which the log ended.
    ///
    /// # Errors
    /// Says whether trying again makes sense. After an error the event may stand in the log all the
    /// same, if its sync has failed.
    pub async fn emit(&self, event: Outgoing) -> Result<Published, Failure> {
        let source = &self.shared.source;
        if event.volatile {
            return self.shared.tell(&event);
        }
        let position = source.append(event).await?;
        source.durable(position).await?;
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
    ) -> Result<(), Failure> {
        let name = cursor_name(from, consumer);
        self.shared.source.acked(name, event.position).await
    }

    /// Who is connected, in the order in which they came. A connection is among them once it was
    /// welcomed.
    pub fn clients(&self) -> Vec<Client> {
        let end = self.shared.source.end().offset;
        self.shared.registry.clients(end)
    }

    /// The hub in numbers.
    pub fn stats(&self) -> HubStats {
        HubStats {
            connections: self.shared.registry.count(),
            sessions: u64::try_from(self.clients().len()).unwrap_or(u64::MAX),
            ..self.shared.stats.lock().clone()
        }
    }

    /// Ends all connections of an identity, whose rights are not what they were; says how many it
    /// had. Clients are told `expired` and closed with 4401; with fresh credentials they may come
    /// back. A `hello` that is being decided is decided again.
    ///
    /// Tell the [`Authorize`] hook before: it is asked when they come back.
    pub fn revoke(&self, from: &str) -> usize {
        self.shared.registry.revoke(from)
    }

    /// Ends all connections, and those that are still to come, and resolves when none is left.
    ///
    /// Each is answered what it has published, and is asked to come back at a random moment within
    /// the window, so that a restart does not bring all clients back at once.
    pub async fn drain(&self, window: RangeInclusive<Duration>) {
        let millis = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let window = [millis(window.start()), millis(window.end())];
        self.shared.registry.drain(window).await;
    }

    /// Whether [`drain`](Self::drain) was called.
    pub fn is_draining(&self) -> bool {
        self.shared.registry.draining().is_some()
    }

    /// What a client may do.
    pub fn limits(&self) -> Limits {
        self.shared.config.limits
    }

    /// Serves one connection until it ends. It counts from the call on.
    ///
    /// The ticket is [`accept`](Hub::accept)'s, and the socket must have been upgraded with the
    /// [subprotocol](crate::Upgrade::subprotocol) of what was accepted. Its limits of message size
    /// must not be below those of the hub, and it must bound of how many frames a message may be
    /// made. Once it has nothing it is not asked again before it has woken the task, and what it is
    /// given may wait in it until it is flushed.
    ///
    /// # Panics
    /// Outside of a tokio runtime, and in one whose timers are off.
    pub fn serve<F>(&self, socket: F, ticket: Ticket) -> impl Future<Output = ()> + use<S, F>
    where
        F: Stream<Item = Result<Frame, FrameError>> + Sink<Frame, Error = FrameError> + Unpin,
    {
        // Not an async function: that would keep room for the socket twice.
        let mut driver = Driver::new(Arc::clone(&self.shared), socket, ticket);
        async move { poll_fn(|cx| driver.poll(cx)).await }
    }
}

impl<S: EventSource> Clone for Hub<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

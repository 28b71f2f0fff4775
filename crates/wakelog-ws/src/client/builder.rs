//! How a client is set up.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

use super::desk::Desk;
use super::driver::{State, run};
use super::{Client, random};

type TokenFuture = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

pub(super) struct Settings {
    pub(super) url: String,
    pub(super) consumer: Option<String>,
    pub(super) token: Option<Box<dyn Fn() -> TokenFuture + Send + Sync>>,
    pub(super) headers: Vec<(String, String)>,
}

/// Sets up a [`Client`].
#[must_use = "a builder does nothing until `start`"]
pub struct ClientBuilder {
    settings: Settings,
    renews: bool,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { url, consumer, .. } = &self.settings;
        let mut text = f.debug_struct("ClientBuilder");
        text.field("url", url).field("consumer", consumer);
        text.finish_non_exhaustive()
    }
}

impl ClientBuilder {
    pub(super) fn new(url: String) -> Self {
        let settings = Settings {
            url,
            consumer: None,
            token: None,
            headers: Vec::new(),
        };
        let renews = false;
        Self { settings, renews }
    }

    /// The name under which the server keeps one durable position for this client. What was
    /// processed is acknowledged by itself. One consumer is one connection: a younger one fences
    /// this one ([`Ended::Fenced`](super::Ended::Fenced)).
    pub fn consumer(mut self, name: impl Into<String>) -> Self {
        self.settings.consumer = Some(name.into());
        self
    }

    /// Credentials for the server's hook.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        let token = token.into();
        self.settings.token = Some(Box::new(move || Box::pin(ready(Some(token.clone())))));
        self.renews = false;
        self
    }

    /// Where to get credentials, asked anew for each connection. With it the client comes back by
    /// itself when its credentials have ended.
    pub fn token_from<F>(mut self, source: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<String>> + Send + 'static,
    {
        self.settings.token = Some(Box::new(move || Box::pin(source())));
        self.renews = true;
        self
    }

    /// A header of the upgrade, such as `authorization`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.headers.push((name.into(), value.into()));
        self
    }

    /// The client. It connects in a task of its own and keeps at it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self) -> Client {
        let session = Arc::new(AtomicU64::new(0));
        let has_consumer = self.settings.consumer.is_some();
        let desk = Desk::new(has_consumer, self.renews, Arc::clone(&session));
        let (commands, receiver) = unbounded_channel();
        let (sender, state) = watch::channel(State::Away);
        tokio::spawn(run(self.settings, desk, receiver, sender));
        let prefix = format!("{:016x}", random());
        Client {
            commands,
            session,
            state,
            ids: Arc::new((prefix, AtomicU64::new(0))),
        }
    }
}

//! A client for services: it keeps its place, comes back by itself, and gets what it missed.
//!
//! ```no_run
//! use wakelog_ws::client::{Client, Told};
//! use wakelog_ws::{Outgoing, Payload};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("ws://127.0.0.1:8080/wakelog").consumer("billing").start();
//! client.emit(Outgoing::to("orders.new", Payload::text("one more"))).await?; // it is on disk
//!
//! let mut orders = client.subscribe(["orders.*"]);
//! loop {
//!     match orders.next().await? {
//!         Told::Event(event) => println!("{} {:?}", event.offset, event.payload),
//!         Told::Gap(gap) => println!("{gap}: what was there will not come"),
//!         Told::Reset(_) => println!("another log: forget what came of the old one"),
//!         _ => {}
//!     }
//! }
//! # }
//! ```
//!
//! It does what the browser's client does (`client/wakelog.js`):
//!
//! - **Place.** Asking for the next event says that the one before is processed. With a consumer
//!   the server is told, and a new process goes on from there; a service that stores
//!   [`Event::position`] together with the effect of the event, and gives it to
//!   [`Subscription::at`], processes each event just once. The cursor follows the slowest
//!   subscription: one that nobody reads holds it.
//! - **Outbox.** [`Client::emit`] sends again, under the same id, until the server has answered.
//! - **Cuts.** Whatever happens to the connection, the client dials again, after a random time that
//!   the server has a say in, and goes on from the place of each subscription.
//! - **Ends.** What is final is an [`Ended`]: closed, fenced by a younger connection of the
//!   consumer, refused. Then only a new client helps.
//!
//! For `wss://`, turn on a TLS feature of `tokio-tungstenite` in your own `Cargo.toml`.

mod builder;
mod desk;
mod driver;
mod event;
mod subscription;
mod wire;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};

pub use self::builder::ClientBuilder;
pub use self::event::{EmitError, Emitted, Ended, Event, Told};
pub use self::subscription::Subscription;
pub use wakelog::Start;

use self::desk::Command;
use self::driver::State;
use crate::protocol::{Outgoing, Welcome};

/// A client. Clones are the same one; when all are gone, and their subscriptions, it disconnects.
#[derive(Clone, Debug)]
#[must_use = "it disconnects when it is dropped"]
pub struct Client {
    commands: UnboundedSender<Command>,
    session: Arc<AtomicU64>,
    state: watch::Receiver<State>,
    /// What the ids of events begin with, and how many there were.
    ids: Arc<(String, AtomicU64)>,
}

impl Client {
    /// Sets up a client of the server at a `ws://` or `wss://` address.
    pub fn connect(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(url.into())
    }

    /// Hears what matches one of the filters (`room.42`, `room.*`, `room.>`), in order.
    pub fn subscribe<F: Into<String>>(&self, filters: impl IntoIterator<Item = F>) -> Subscription {
        let sub = format!("s{}", self.ids.1.fetch_add(1, Ordering::Relaxed));
        let filters = filters.into_iter().map(Into::into).collect();
        Subscription::new(self.clone(), sub, filters)
    }

    /// Publishes one event. It waits while there is no connection, and is sent again under the same
    /// id until the server has answered; also if this call is given up before.
    ///
    /// # Errors
    /// It can never be stored, or the client has ended.
    pub async fn emit(&self, mut event: Outgoing) -> Result<Emitted, EmitError> {
        let (prefix, count) = &*self.ids;
        event.id.get_or_insert_with(|| {
            let count = count.fetch_add(1, Ordering::Relaxed);
            format!("{prefix}-{count}")
        });
        let (sender, answer) = oneshot::channel();
        self.command(Command::Emit(event, sender));
        answer.await.unwrap_or_else(|_| Err(self.ended().into()))
    }

    /// What the server said when it let this client in; none while there is no connection.
    pub fn welcome(&self) -> Option<Arc<Welcome>> {
        match &*self.state.borrow() {
            State::Open(welcome) => Some(Arc::clone(welcome)),
            State::Away | State::Ended(_) => None,
        }
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// There will be none.
    pub async fn connected(&self) -> Result<Arc<Welcome>, Ended> {
        let mut state = self.state.clone();
        let found = state.wait_for(|state| !matches!(state, State::Away)).await;
        match found.as_deref() {
            Ok(State::Open(welcome)) => Ok(Arc::clone(welcome)),
            Ok(State::Ended(ended)) => Err(ended.clone()),
            Ok(State::Away) | Err(_) => Err(Ended::Closed),
        }
    }

    /// Ends the client. What was said before is sent; what waits in the outbox is given up, with
    /// [`Ended::Closed`] for whoever waits.
    pub async fn close(self) {
        let (sender, done) = oneshot::channel();
        self.command(Command::Close(sender));
        let _ = done.await;
    }

    fn command(&self, command: Command) {
        // A client that has ended takes none, and says so where an answer is waited for.
        let _ = self.commands.send(command);
    }

    fn session(&self) -> u64 {
        self.session.load(Ordering::Acquire)
    }

    fn ended(&self) -> Ended {
        match &*self.state.borrow() {
            State::Ended(ended) => ended.clone(),
            State::Away | State::Open(_) => Ended::Closed,
        }
    }
}

/// Numbers that nobody can foretell: the keys of hash maps are such.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

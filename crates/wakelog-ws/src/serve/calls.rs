//! What clients publish to the application instead of, or before, the log.

use std::sync::Arc;

use wakelog::Filter;

use super::authorize::{HookFuture, Principal};
use crate::protocol::{Outgoing, Payload};

/// An event that a client has published, on its way to a handler; see
/// [`HubBuilder::on`](super::HubBuilder::on).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// Who has published it, as the hub knows the session.
    pub client: Arc<Principal>,
    /// The event as it would be stored, with the identity that the hub has set.
    pub event: Outgoing,
}

/// What a handler makes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// It is stored, and the client gets `published`, as without a handler.
    Store,
    /// It is not stored; the client gets this.
    Reply(Payload),
}

pub(super) type Handler = Arc<dyn Fn(Call) -> HookFuture<'static, Answer> + Send + Sync>;

/// The handlers of a hub, in the order in which they were set.
pub(super) type Calls = Vec<(Filter, Handler)>;

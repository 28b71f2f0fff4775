//! Connections at work: one driver over any socket and any source.
//!
//! All decisions are made in [`session`](crate::session); what is here moves bytes, waits and keeps
//! time.

mod append;
mod authorize;
mod builder;
mod calls;
mod desk;
mod driver;
mod frame;
mod hello;
mod hub;
mod members;
mod origin;
mod readers;
mod registry;
pub(crate) mod shims;
mod stats;
mod upgrade;

pub use authorize::{Authorize, Denied, HookFuture, Principal};
pub use builder::HubBuilder;
pub use calls::{Answer, Call};
pub use frame::{Frame, FrameError};
pub use hub::{Hub, Published};
pub use origin::{Origin, OriginError};
pub use registry::Client;
pub use stats::HubStats;
pub use upgrade::{Refusal, Ticket, Upgrade};

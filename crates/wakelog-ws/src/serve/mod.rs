//! Connections at work: one driver over any socket and any source.
//!
//! All decisions are made in [`session`](crate::session); what is here moves bytes, waits and keeps
//! time.

mod authorize;
#[cfg(feature = "axum")]
mod axum;
mod calls;
mod desk;
mod driver;
mod frame;
mod hub;
mod members;
mod origin;
mod readers;
mod registry;
#[cfg(feature = "axum")]
mod socket;
mod upgrade;
mod work;

pub use authorize::{Authorize, Denied, HookFuture, Principal};
#[cfg(feature = "axum")]
pub use axum::{CLIENT, browser_client};
pub use calls::{Answer, Call};
pub use frame::{Frame, FrameError};
pub use hub::{EmitError, Hub, HubBuilder, Published};
pub use origin::{Origin, OriginError};
pub use registry::Client;
pub use upgrade::{Refusal, Ticket, Upgrade};

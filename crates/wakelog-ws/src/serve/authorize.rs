//! The seam at which an application says who may do what.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::upgrade::Upgrade;
use crate::protocol::Hello;

/// A future that an object-safe hook can return.
pub type HookFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Denied>> + Send + 'a>>;

/// Who a session is, once its `hello` was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// The consumer whose cursor the session takes over. Names must follow
    /// [`check_consumer`](crate::protocol::check_consumer). A cursor belongs to the identity and
    /// the name: one name of two identities is two cursors.
    pub consumer: Option<String>,
    /// The identity under which the session publishes; no client can choose it for itself once a
    /// hook is set.
    pub from: Option<String>,
    /// Further identities: an event that is *not to* one of them, or to `from`, is not delivered to
    /// the session.
    pub identities: Vec<String>,
    /// How long the credentials are good for; the session is closed then (4401). None: for as long
    /// as it lasts.
    pub valid_for: Option<Duration>,
}

/// The name under which the cursor of a consumer is kept. It is bound to the identity: however a
/// client calls its consumer, it does not reach another identity's cursor.
pub(super) fn cursor_name(from: Option<&str>, consumer: &str) -> String {
    match from {
        Some(from) if from == consumer => consumer.to_owned(),
        // No name of a consumer has a slash, so the last one ends the identity.
        from => format!("{}/{consumer}", from.unwrap_or_default()),
    }
}

/// The application says no. The text goes to the client, so it must not say more than the client
/// may know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Denied(pub String);

/// Decides who may do what. It is asked at every upgrade, at every `hello` (so also after each
/// reconnect), for every filter of every `subscribe`, and for every topic of every `publish`.
///
/// Without a hook a hub believes every client: the consumer is the name in `hello`, which is also
/// the identity, and all topics are open, except those that begin with `$`. **That is for trusted
/// networks alone.**
///
/// An answer that takes longer than [`HubBuilder::hook_limit`](super::HubBuilder::hook_limit) is a
/// no for now, and so is a panic, which is logged.
pub trait Authorize: Send + Sync + 'static {
    /// May this request become a connection? By default every one may: who it is can be said by
    /// `hello` too. A no is answered with the HTTP status 401.
    fn upgrade<'a>(&'a self, upgrade: &'a Upgrade) -> HookFuture<'a, ()> {
        let _ = upgrade;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Who is this? `upgrade` has the headers with which the connection was made, for those who
    /// know their clients by a cookie or an `Authorization`.
    fn hello<'a>(&'a self, hello: &'a Hello, upgrade: &'a Upgrade) -> HookFuture<'a, Principal>;

    /// May the session read what matches this filter?
    fn subscribe<'a>(&'a self, principal: &'a Principal, filter: &'a str) -> HookFuture<'a, ()>;

    /// May the session publish to this topic?
    fn publish<'a>(&'a self, principal: &'a Principal, topic: &'a str) -> HookFuture<'a, ()>;
}

/// What a hub without a hook makes of a `hello`.
pub(super) fn believe(hello: &Hello) -> Principal {
    Principal {
        consumer: hello.consumer.clone(),
        from: hello.consumer.clone(),
        ..Principal::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_owners_have_different_cursors() {
        let names = [
            None,
            Some("a"),
            Some("a/b"),
            Some("a/b/c"),
            Some("b"),
            Some("/"),
            Some(""),
        ];
        let mut all = std::collections::HashSet::new();
        let mut count = 0;
        for from in names {
            for consumer in ["a", "b", "c", "a.b"] {
                all.insert(cursor_name(from, consumer));
                count += 1;
            }
        }
        // Nobody and the one whose name is empty are the same.
        assert_eq!(all.len(), count - 4);
    }
}

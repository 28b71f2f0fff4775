//! From `hello` to `welcome`: who it is, and the cursor of a consumer.

use std::sync::Arc;

use super::authorize::{Principal, believe, cursor_name};
use super::desk::Desk;
use super::driver::now;
use super::hub::Shared;
use super::registry::Connection;
use super::upgrade::Upgrade;
use crate::protocol::{ErrorCode, Failure, Hello, NameError, check_consumer};
use crate::session::Admission;
use crate::source::{EventSource, SourceCursor as _};

impl<S: EventSource> Desk<S> {
    pub(super) fn hello(&mut self, hello: Hello) {
        self.library.clone_from(&hello.client);
        let upgrade = self.upgrade.take().unwrap_or_default();
        let (shared, connection) = (Arc::clone(&self.shared), Arc::clone(&self.connection));
        self.begin(async move {
            let answer = decide(&shared, &connection, &hello, &upgrade).await;
            move |desk: &mut Self| {
                if desk.session.is_closed() {
                    return;
                }
                match answer.and_then(|principal| desk.admit(principal)) {
                    Ok(admission) => desk.load_cursor(admission),
                    Err(failure) => desk.welcome(Err(failure)),
                }
            }
        });
    }

    fn admit(&mut self, principal: Principal) -> Result<Admission, Failure> {
        let (from, consumer) = (principal.from.clone(), principal.consumer.clone());
        if let Some(consumer) = &consumer {
            let cursor = cursor_name(from.as_deref(), consumer);
            self.claimed = Some(self.shared.registry.claim(cursor, &self.connection));
        }
        // After the older connection of the consumer was fenced: dead or not, it does not count.
        let Some(member) = self.shared.members.join(from.as_deref(), now()) else {
            let text = "this identity has as many connections as it may";
            return Err(Failure::new(ErrorCode::TooManyConnections, text));
        };
        self.connection.join(member);
        // What ends beyond the clock's range does not end.
        let expires = principal.valid_for.and_then(|time| now().checked_add(time));
        self.principal = Arc::new(principal);
        Ok(Admission {
            from,
            consumer,
            end: self.shared.source.end(),
            expires,
            cursor: None,
        })
    }

    /// A consumer is welcomed once it has its cursor.
    fn load_cursor(&mut self, mut admission: Admission) {
        let Some(claimed) = self.claimed.clone() else {
            self.welcome(Ok(admission));
            return;
        };
        let (shared, connection) = (Arc::clone(&self.shared), Arc::clone(&self.connection));
        self.begin(async move {
            let opened = {
                let _open_in_order = claimed.gate.lock().await;
                match connection.is_ended() {
                    None => Some(shared.source.open_cursor(claimed.cursor).await),
                    // A younger connection has the consumer.
                    Some(_) => None,
                }
            };
            move |desk: &mut Self| match opened {
                None => desk.session.handle_fenced(),
                Some(Err(failure)) => desk.welcome(Err(failure)),
                Some(Ok(cursor)) => {
                    admission.cursor = Some(cursor.loaded());
                    desk.cursor = Some(Box::new(cursor));
                    desk.welcome(Ok(admission));
                }
            }
        });
    }

    fn welcome(&mut self, admission: Result<Admission, Failure>) {
        self.session.handle_admitted(now(), admission);
        if self.session.is_open() {
            let (library, at) = (self.library.clone(), self.session.stands());
            self.connection.show(&self.principal, library, at);
        }
    }
}

/// Asks the application who this is.
async fn decide<S: EventSource>(
    shared: &Shared<S>,
    connection: &Connection,
    hello: &Hello,
    upgrade: &Upgrade,
) -> Result<Principal, Failure> {
    let answer = loop {
        let before = shared.registry.revocations();
        let answer = match &shared.authorize {
            Some(hook) => shared.ask(async { hook.hello(hello, upgrade).await }).await,
            None => Ok(believe(hello)),
        };
        let from = answer.as_ref().ok().and_then(|who| who.from.clone());
        *connection.identity.lock() = from;
        // A revocation finds the name that was set just now, or it is found here.
        if shared.registry.revocations() == before {
            break answer;
        }
    };
    let principal = answer.map_err(|failure| match failure.code {
        ErrorCode::Forbidden => Failure::new(ErrorCode::Unauthorized, failure.message),
        _ => failure,
    })?;
    // The hook's word is taken for who the client is, but not for what a name looks like.
    let checked = principal.consumer.as_deref().map_or(Ok(()), check_consumer);
    checked.map_err(|NameError(text)| Failure::new(ErrorCode::Internal, text))?;
    Ok(principal)
}

//! What a client publishes: one event after the other, answered when it is durable.

use std::sync::Arc;

use wakelog::Position;

use super::authorize::Principal;
use super::calls::{self, Answer};
use super::desk::Desk;
use super::driver::now;
use super::hub::Shared;
use crate::protocol::{Failure, Outgoing};
use crate::session::AppendKey;
use crate::source::EventSource;

impl<S: EventSource> Desk<S> {
    pub(super) fn append(&mut self, key: AppendKey, mut event: Outgoing) {
        self.appending = true;
        event.from.clone_from(&self.principal.from);
        let (shared, principal) = (Arc::clone(&self.shared), Arc::clone(&self.principal));
        let entry = self.entry.clone();
        self.begin(async move {
            if let Some(moment) = entry.and_then(|entry| entry.lock().publishes.count(now())) {
                tokio::time::sleep_until(moment.into()).await;
            }
            let answer = match shared.may_publish(&principal, &event).await {
                Ok(Answer::Store) => shared.source.append(event).await.map(Ok),
                Ok(Answer::Reply(payload)) => Ok(Err(payload)),
                Err(failure) => Err(failure),
            };
            move |desk: &mut Self| {
                desk.appending = false;
                match answer {
                    Ok(Ok(position)) => desk.undurable.push_back((key, position)),
                    Ok(Err(payload)) => desk.session.handle_replied(key, payload),
                    Err(failure) => desk.session.handle_appended(key, Err(failure)),
                }
            }
        });
    }

    /// Waits until everything before a position is durable.
    pub(super) fn sync(&mut self, position: Position) {
        self.syncing = true;
        let shared = Arc::clone(&self.shared);
        self.begin(async move {
            let answer = shared.source.durable(position).await;
            move |desk: &mut Self| desk.durable(position, &answer)
        });
    }

    /// Answers all appends that one sync has made durable, or has failed for. Of another epoch it
    /// says nothing: an offset may be another event's there.
    fn durable(&mut self, position: Position, answer: &Result<(), Failure>) {
        self.syncing = false;
        let end = self.shared.source.end();
        while let Some((key, at)) = self.undurable.front().copied() {
            let below = |mark: Position| at.epoch == mark.epoch && at.offset <= mark.offset;
            match answer {
                Ok(()) if below(position) || below(end) => {
                    let offset = at.offset.saturating_sub(1);
                    self.session.handle_appended(key, Ok((offset, at)));
                }
                Err(failure) if at.epoch == position.epoch => {
                    self.session.handle_appended(key, Err(failure.clone()));
                }
                Ok(()) | Err(_) => break,
            }
            self.undurable.pop_front();
        }
    }
}

impl<S: EventSource> Shared<S> {
    /// What the application makes of an event.
    async fn may_publish(
        &self,
        principal: &Arc<Principal>,
        event: &Outgoing,
    ) -> Result<Answer, Failure> {
        self.ask(async {
            if let Some(hook) = &self.authorize {
                for topic in &event.topics {
                    hook.publish(principal, topic).await?;
                }
            }
            match calls::ask(&self.calls, principal, event) {
                Some(handler) => handler.await,
                None => Ok(Answer::Store),
            }
        })
        .await
    }
}

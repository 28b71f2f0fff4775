//! What a client publishes: one event after the other, answered when it is durable.

use std::sync::Arc;

use wakelog::{Filter, Position};

use super::authorize::Principal;
use super::calls::{Answer, Call};
use super::desk::Desk;
use super::driver::now;
use super::hub::Shared;
use crate::protocol::{Failure, Outgoing, Payload};
use crate::session::AppendKey;
use crate::source::EventSource;

impl<S: EventSource> Desk<S> {
    pub(super) fn append(&mut self, key: AppendKey, mut event: Outgoing) {
        self.appending = true;
        event.from.clone_from(&self.principal.from);
        let (shared, principal) = (Arc::clone(&self.shared), Arc::clone(&self.principal));
        let too_early = self.connection.count_publish(now());
        self.begin(async move {
            if let Some(moment) = too_early {
                tokio::time::sleep_until(moment.into()).await;
            }
            let answer = match shared.may_publish(&principal, &event).await {
                // There is nothing to say but that nothing was stored.
                Ok(Answer::Store) if event.volatile => {
                    shared.tell(&event).map(|_| Err(Payload::default()))
                }
                Ok(Answer::Store) => shared.source.append(event).await.map(Ok),
                Ok(Answer::Reply(payload)) => Ok(Err(payload)),
                Err(failure) => Err(failure),
            };
            move |desk: &mut Self| {
                desk.appending = false;
                match answer {
                    Ok(Ok(position)) => desk.sync(key, position),
                    Ok(Err(payload)) => desk.session.handle_replied(key, payload),
                    Err(failure) => desk.session.handle_appended(key, Err(failure)),
                }
            }
        });
    }

    /// Answers once it is durable, each in its turn. The next appends do not wait for that.
    fn sync(&mut self, key: AppendKey, position: Position) {
        let shared = Arc::clone(&self.shared);
        self.syncs.push_back(Self::work(async move {
            let durable = shared.source.durable(position).await;
            let answer = durable.map(|()| position);
            move |desk: &mut Self| desk.session.handle_appended(key, answer)
        }));
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
            let heard = |filter: &Filter| event.topics.iter().any(|topic| filter.matches(topic));
            // The first that hears one of the topics.
            let Some((_, handler)) = self.calls.iter().find(|(filter, _)| heard(filter)) else {
                return Ok(Answer::Store);
            };
            let (client, event) = (Arc::clone(principal), event.clone());
            handler(Call { client, event }).await
        })
        .await
    }
}

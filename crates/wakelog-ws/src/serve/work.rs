//! What a connection has under way: requests of the session as futures.

use std::pin::Pin;
use std::sync::Arc;

use wakelog::Position;

use super::authorize::{Principal, believe};
use super::calls::Answer;
use super::driver::now;
use super::hub::Shared;
use super::members::Member;
use super::registry::Connection;
use super::upgrade::Upgrade;
use crate::protocol::{EVERYONE, ErrorCode, Hello, Payload, Publish, check_consumer, personal};
use crate::session::{AppendKey, Failure, OpenFailure, Place, ReadAnswer, SubKey};
use crate::source::{EventSource, Outgoing, ReaderSpec, SourceCursor, SourceReader};

/// Something under way; it resolves to what came of it.
pub(super) type Work<S> = Pin<Box<dyn Future<Output = Done<S>> + Send>>;

/// What came of a piece of work.
pub(super) enum Done<S: EventSource> {
    Admitted(Result<(Principal, Member), Failure>),
    /// None: a newer connection has the consumer.
    Cursor(Option<Result<S::Cursor, Failure>>),
    Opened(SubKey, Result<S::Reader, OpenFailure>),
    Read(SubKey, S::Reader, ReadAnswer),
    Appended(AppendKey, Result<Outcome, Failure>),
    /// Everything before the position is durable.
    Durable(Position, Result<(), Failure>),
    Stored(S::Cursor, Result<Position, Failure>),
}

/// What became of an event.
pub(super) enum Outcome {
    /// It is in the log; the position behind it.
    Stored(Position),
    /// A handler has answered for it.
    Replied(Payload),
}

pub(super) fn admit<S: EventSource>(
    shared: Arc<Shared<S>>,
    hello: Hello,
    upgrade: Upgrade,
) -> Work<S> {
    Box::pin(async move {
        let Some(hook) = &shared.authorize else {
            return Done::Admitted(join(&shared, believe(hello)));
        };
        let answer = shared.ask(hook.hello(&hello, &upgrade)).await;
        let answer = answer.map_err(|failure| match failure.code {
            ErrorCode::Forbidden => Failure::new(ErrorCode::Unauthorized, failure.message),
            _ => failure,
        });
        // The hook's word is taken for who the client is, but not for what a name looks like.
        let checked = answer.and_then(|principal| match &principal.consumer {
            Some(name) => match check_consumer(name) {
                Ok(()) => Ok(principal),
                Err(error) => Err(Failure::new(ErrorCode::Internal, error.to_string())),
            },
            None => Ok(principal),
        });
        Done::Admitted(checked.and_then(|principal| join(&shared, principal)))
    })
}

fn join<S>(shared: &Shared<S>, principal: Principal) -> Result<(Principal, Member), Failure> {
    let text = "this identity has as many connections as it may";
    let full = || Failure::new(ErrorCode::TooManyConnections, text);
    let member = shared.members.join(principal.from.as_deref(), now());
    Ok((principal, member.ok_or_else(full)?))
}

pub(super) fn load_cursor<S: EventSource>(
    shared: Arc<Shared<S>>,
    connection: Arc<Connection>,
    cursor: String,
) -> Work<S> {
    // Claimed now, not when the future is first polled: the older connection is fenced at once.
    let gate = shared.registry.claim(&cursor, &connection);
    Box::pin(async move {
        let _open_in_order = gate.lock().await;
        if connection.is_fenced() {
            return Done::Cursor(None);
        }
        Done::Cursor(Some(shared.source.open_cursor(cursor).await))
    })
}

pub(super) fn open_reader<S: EventSource>(
    shared: Arc<Shared<S>>,
    principal: Arc<Principal>,
    key: SubKey,
    mut filters: Vec<String>,
    place: Place,
) -> Work<S> {
    Box::pin(async move {
        if let Some(hook) = &shared.authorize {
            for filter in &filters {
                if let Err(failure) = shared.ask(hook.subscribe(&principal, filter)).await {
                    return Done::Opened(key, Err(OpenFailure::Failed(failure)));
                }
            }
        }
        filters.push(EVERYONE.to_owned());
        filters.extend(principal.from.as_deref().and_then(personal));
        let identities = principal
            .from
            .iter()
            .chain(&principal.identities)
            .cloned()
            .collect();
        let spec = ReaderSpec {
            filters,
            identities,
            place,
        };
        Done::Opened(key, shared.source.open_reader(spec).await)
    })
}

pub(super) fn read<S: EventSource>(
    key: SubKey,
    mut reader: S::Reader,
    max_events: u32,
    max_bytes: u32,
) -> Work<S> {
    Box::pin(async move {
        let answer = reader.read(max_events, max_bytes).await;
        Done::Read(key, reader, answer)
    })
}

pub(super) fn append<S: EventSource>(
    shared: Arc<Shared<S>>,
    principal: Arc<Principal>,
    member: Option<Arc<Member>>,
    key: AppendKey,
    event: Publish,
) -> Work<S> {
    Box::pin(async move {
        if let Some(moment) = member.and_then(|member| member.publish(now())) {
            tokio::time::sleep_until(moment.into()).await;
        }
        if let Some(hook) = &shared.authorize {
            for topic in &event.topics {
                if let Err(failure) = shared.ask(hook.publish(&principal, topic)).await {
                    return Done::Appended(key, Err(failure));
                }
            }
        }
        let Publish {
            id,
            topics,
            not_to,
            name,
            payload,
        } = event;
        let from = principal.from.clone();
        let event = Outgoing {
            topics,
            not_to,
            name,
            id: Some(id),
            from,
            payload,
        };
        if let Some(handler) = shared.calls.ask(&principal, &event) {
            match shared.ask(handler).await {
                Ok(Answer::Store) => {}
                Ok(Answer::Reply(payload)) => {
                    return Done::Appended(key, Ok(Outcome::Replied(payload)));
                }
                Err(failure) => return Done::Appended(key, Err(failure)),
            }
        }
        Done::Appended(key, shared.source.append(event).await.map(Outcome::Stored))
    })
}

pub(super) fn durable<S: EventSource>(shared: Arc<Shared<S>>, position: Position) -> Work<S> {
    Box::pin(async move { Done::Durable(position, shared.source.durable(position).await) })
}

pub(super) fn store<S: EventSource>(mut cursor: S::Cursor, position: Position) -> Work<S> {
    Box::pin(async move {
        let answer = cursor.store(position).await;
        Done::Stored(cursor, answer)
    })
}

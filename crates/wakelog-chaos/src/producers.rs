//! Those who append: through sockets, with ids that stay the same, and in the server's process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use wakelog_ws::client::{Client, EmitError, Emitted};
use wakelog_ws::{Outgoing, Payload};

use crate::child::Server;
use crate::clients::WELCOME;
use crate::history::Fact;
use crate::random::Random;
use crate::record::Record;

/// How many rooms there are to publish to.
const ROOMS: u64 = 6;

/// An event that nobody has sent.
fn draw(id: &str, random: &mut Random) -> (Vec<String>, String) {
    let mut topics = vec![format!("room.{}", random.below(ROOMS))];
    if random.one_in(5) {
        topics.push("news".to_owned());
    }
    let filler = "x".repeat(usize::try_from(random.below(200)).unwrap_or(0));
    (topics, format!("{id}:{}:{filler}", random.next()))
}

/// A client that has been welcome once, and so comes back as soon as the server wants it to.
pub(crate) async fn arrive(url: &str, name: &str) -> Client {
    loop {
        let client = Client::connect(url).consumer(name).start();
        if let Ok(Ok(_)) = timeout(WELCOME, client.connected()).await {
            return client;
        }
    }
}

/// One of several that share a connection: each waits for its answer before it goes on.
pub(crate) async fn publish(
    client: Client,
    name: String,
    record: Record,
    enough: Arc<AtomicBool>,
    mut random: Random,
    shunned: &'static str,
) {
    for n in 0_u64.. {
        if enough.load(Ordering::Acquire) {
            return;
        }
        let id = format!("{name}-{n}");
        let (topics, text) = draw(&id, &mut random);
        let mut event = Outgoing::to(topics[0].as_str(), Payload::text(text.as_str())).id(&id);
        for topic in &topics[1..] {
            event = event.also_to(topic);
        }
        let mut not_to = Vec::new();
        if random.one_in(4) {
            event = event.not_to(shunned);
            not_to.push(shunned.to_owned());
        }
        record.add(Fact::Appending {
            id: id.clone(),
            topics,
            not_to,
            text,
        });
        match client.emit(event).await {
            Ok(Emitted::Stored(position)) => record.add(Fact::Appended {
                id,
                offset: position.offset - 1,
            }),
            Ok(_) => record.fault(format!("{id} got a reply")),
            Err(EmitError::Ended(_)) => return,
            Err(error) => record.fault(format!("{id}: {error}")),
        }
        sleep(Duration::from_millis(random.below(20))).await;
    }
}

/// The one in the server's process.
pub(crate) async fn append(
    server: Arc<Mutex<Server>>,
    record: Record,
    enough: Arc<AtomicBool>,
    mut random: Random,
) {
    for n in 0_u64.. {
        if enough.load(Ordering::Acquire) {
            return;
        }
        let id = format!("inside-{n}");
        let (topics, text) = draw(&id, &mut random);
        append_one(&server, &record, &id, &topics[0], &text).await;
        sleep(Duration::from_millis(random.below(20))).await;
    }
}

/// Until it is answered: a process that dies is asked again when it is back, with the same id.
pub(crate) async fn append_one(
    server: &Mutex<Server>,
    record: &Record,
    id: &str,
    topic: &str,
    text: &str,
) {
    record.add(Fact::Appending {
        id: id.to_owned(),
        topics: vec![topic.to_owned()],
        not_to: Vec::new(),
        text: text.to_owned(),
    });
    let mut appended = server.lock().await.appended.subscribe();
    loop {
        server.lock().await.append(id, topic, text).await;
        let answered = async {
            while let Ok(other) = appended.recv().await {
                if other == id {
                    return;
                }
            }
        };
        if timeout(Duration::from_millis(500), answered).await.is_ok() {
            return;
        }
    }
}

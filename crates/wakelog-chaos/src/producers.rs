//! Those who append: through sockets, with ids that stay the same, and in the server's process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use wakelog_ws::client::Client;

use crate::child::Server;
use crate::clients::WELCOME;
use crate::history::Fact;
use crate::random::Random;
use crate::record::Record;
use crate::target::{Answer, Draft, Line, NEWS, ROOMS};

/// An event that nobody has sent.
fn draw(id: &str, random: &mut Random) -> (Vec<String>, String) {
    let mut topics = vec![format!("room.{}", random.below(ROOMS))];
    if random.one_in(5) {
        topics.push(NEWS.to_owned());
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
    line: impl Line,
    name: String,
    record: Record,
    enough: Arc<AtomicBool>,
    mut random: Random,
    shunned: &'static str,
    pace: u64,
) {
    for n in 0_u64.. {
        if enough.load(Ordering::Acquire) {
            return;
        }
        let id = format!("{name}-{n}");
        let (topics, text) = draw(&id, &mut random);
        let mut not_to = Vec::new();
        if random.one_in(4) {
            not_to.push(shunned.to_owned());
        }
        let draft = Draft {
            id: id.clone(),
            topics,
            not_to,
            text,
        };
        record.add(Fact::Appending {
            id: draft.id.clone(),
            topics: draft.topics.clone(),
            not_to: draft.not_to.clone(),
            text: draft.text.clone(),
        });
        match line.emit(&draft).await {
            Answer::Stored(offset) => record.add(Fact::Appended { id, offset }),
            Answer::None(why) => record.fault(format!("{id}: {why}")),
            Answer::Ended => return,
        }
        sleep(Duration::from_millis(random.below(pace))).await;
    }
}

/// The one in the server's process.
pub(crate) async fn append(
    server: Arc<Mutex<Server>>,
    record: Record,
    enough: Arc<AtomicBool>,
    mut random: Random,
    pace: u64,
) {
    for n in 0_u64.. {
        if enough.load(Ordering::Acquire) {
            return;
        }
        let id = format!("inside-{n}");
        let (topics, text) = draw(&id, &mut random);
        append_one(&server, &record, &id, &topics[0], &text).await;
        sleep(Duration::from_millis(random.below(pace))).await;
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

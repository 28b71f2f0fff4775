//! Clients: those in this process, and those in others, which tell their facts line by line.

use std::io::{Error, Result};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use wakelog_ws::client::{Client, Event, Start, Subscription, Told};

use crate::history::Fact;
use crate::random::Random;
use crate::record::Record;

/// The last event of a run: every client hears this topic.
pub(crate) const END: &str = "end";

/// A process that is not welcome for so long ends, and another one begins. A client that has never
/// been welcome comes back after up to half a minute, as it must when it knows nothing of the
/// server; here that would be most of the time that healing takes.
pub(crate) const WELCOME: Duration = Duration::from_secs(2);

/// A second connection has time to come through a slow network.
const FENCING: Duration = Duration::from_secs(5);

/// How a client lives.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) filters: Vec<String>,
    /// It goes on from its cursor, in a new process now and then; otherwise it keeps its position.
    pub(crate) has_cursor: bool,
    /// How long it takes for an event, while there are faults.
    pub(crate) takes: Duration,
    /// When it comes.
    pub(crate) after: Duration,
}

/// What a client in this process shares with the run.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) url: String,
    pub(crate) record: Record,
    pub(crate) calm: Arc<AtomicBool>,
}

/// Lives until the last event has come, and tells where it stands.
pub(crate) async fn live(kind: Kind, setting: Setting, mut random: Random) {
    sleep(kind.after).await;
    let mut known = Known {
        first: true,
        position: None,
    };
    while !process(&kind, &setting, &mut random, &mut known).await {}
}

/// What a client's next process knows.
struct Known {
    first: bool,
    /// Its own position, if it has no cursor.
    position: Option<wakelog::Position>,
}

/// One process of the client; true when it has come to the end of all.
async fn process(kind: &Kind, setting: &Setting, random: &mut Random, known: &mut Known) -> bool {
    let name = &kind.name;
    let client = Client::connect(&setting.url).consumer(name).start();
    let Ok(Ok(welcome)) = timeout(WELCOME, client.connected()).await else {
        return false;
    };
    let cursor = welcome
        .cursor
        .as_ref()
        .map_or(0, |cursor| cursor.position.offset);
    let filters = kind.filters.iter().cloned().chain([END.to_owned()]);
    let filters: Vec<String> = filters.collect();
    let first = std::mem::take(&mut known.first);
    begin(kind, setting, cursor, &filters, first);
    let mut subscription = client.subscribe(filters);
    if kind.has_cursor {
        // The cursor may have been made by a `hello` whose answer was lost: then it is not new.
        subscription = subscription.start(Start::Offset(cursor));
    } else if let Some(at) = known.position {
        subscription = subscription.at(at);
    } else if let Some(at) = welcome.cursor.as_ref().filter(|_| first) {
        let start = wakelog::Position {
            offset: 0,
            ..at.position
        };
        subscription = subscription.at(start);
    }
    let mut left = if kind.has_cursor {
        20 + random.below(400)
    } else {
        u64::MAX
    };
    while left > 0 {
        left -= 1;
        match subscription.next().await {
            Ok(Told::Event(event)) => {
                let ends = event.topics.iter().any(|topic| topic == END);
                let offset = event.position.offset;
                hear(setting, name, event);
                if ends {
                    finish(&mut subscription, setting, name, offset);
                    client.close().await;
                    return true;
                }
                if !kind.takes.is_zero() && !setting.calm.load(Ordering::Acquire) {
                    sleep(kind.takes).await;
                }
            }
            Ok(Told::Gap(gap)) => miss(setting, name, &gap),
            Ok(Told::Reset(_)) => setting.record.add(Fact::Reset {
                client: name.clone(),
            }),
            Ok(_) => {}
            // Somebody else took the name over, say: the next process begins at the cursor, or at
            // the position that this one has kept.
            Err(ended) => {
                subscription.done();
                known.position = subscription.position().filter(|_| !kind.has_cursor);
                setting.record.fault(format!("{name} ended: {ended}"));
                break;
            }
        }
    }
    if random.one_in(2) {
        client.close().await;
    }
    false
}

/// Writes down that a process of the client begins.
fn begin(kind: &Kind, setting: &Setting, cursor: u64, filters: &[String], first: bool) {
    let name = &kind.name;
    if first {
        setting.record.add(Fact::Client {
            client: name.clone(),
            identity: name.clone(),
            filters: filters.to_vec(),
            start: if kind.has_cursor { cursor } else { 0 },
        });
    } else if kind.has_cursor {
        setting.record.add(Fact::Resumed {
            client: name.clone(),
            offset: cursor,
        });
    }
}

fn hear(setting: &Setting, name: &str, event: Event) {
    setting.record.add(Fact::Heard {
        client: name.to_owned(),
        offset: event.offset,
        id: event.id.unwrap_or_default(),
        text: String::from_utf8_lossy(event.payload.as_bytes()).into_owned(),
    });
}

fn miss(setting: &Setting, name: &str, gap: &wakelog::Gap) {
    setting.record.add(Fact::Gap {
        client: name.to_owned(),
        from: gap.from,
        to: gap.to,
        reason: format!("{:?}", gap.reason).to_lowercase(),
    });
}

fn finish(subscription: &mut Subscription, setting: &Setting, name: &str, offset: u64) {
    subscription.done();
    setting.record.add(Fact::Stands {
        client: name.to_owned(),
        offset,
    });
}

/// Takes a consumer's name over for a moment; false if it could not come.
pub(crate) async fn fence(url: &str, name: &str) -> bool {
    let client = Client::connect(url).consumer(name).start();
    let came = timeout(FENCING, client.connected()).await;
    client.close().await;
    matches!(came, Ok(Ok(_)))
}

/// A client in another language: it is given an address, a name and its filters.
pub(crate) async fn foreign(mut command: Command, kind: Kind, setting: Setting) -> Result<()> {
    command
        .arg(&setting.url)
        .arg(&kind.name)
        .args(&kind.filters)
        .arg(END);
    command
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let mut child: Child = command.spawn()?;
    let output = child
        .stdout
        .take()
        .ok_or_else(|| Error::other("no output"))?;
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str(&line) {
            Ok(fact) => setting.record.add(fact),
            Err(error) => return Err(Error::other(format!("{}: {error}: {line}", kind.name))),
        }
    }
    let status = child.wait().await?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::other(format!("{} ended with {status}", kind.name)))
    }
}

//! Socket.IO's own client, in a process of its own: those who listen, and the sockets of producers.

use std::collections::HashMap;
use std::io::{Error, Result};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::{Answer, Draft, LISTENERS, Line};
use crate::history::Fact;
use crate::people::PRODUCERS;
use crate::record::Record;

/// Longer than it takes until everybody has been connected once.
const PATIENCE: Duration = Duration::from_secs(120);

/// A script under Node, with what was installed for it and a number.
pub(super) fn script(name: &str, modules: &Path, number: u64) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/socketio");
    let mut command = Command::new("node");
    command
        .arg(scripts.join(name))
        .arg(modules)
        .arg(number.to_string());
    command
}

/// What a line of the process says.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Said {
    Fact(Fact),
    Answered { answered: String, offset: u64 },
    Phase { phase: Phase },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Coming,
    /// Everybody listens: what is published from now on is owed to them.
    Began,
    /// Everybody is connected again, and stays so.
    Gathered,
}

/// Who waits for the answer to which event.
type Answers = Arc<Mutex<HashMap<String, oneshot::Sender<u64>>>>;

fn lock(answers: &Answers) -> MutexGuard<'_, HashMap<String, oneshot::Sender<u64>>> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everybody who speaks to a Socket.IO server.
#[derive(Clone, Debug)]
pub(crate) struct People {
    input: mpsc::UnboundedSender<String>,
    phase: watch::Receiver<Phase>,
    answers: Answers,
}

/// A process that reads and tells until the last event has come to all.
pub(crate) struct Process {
    child: Child,
    answers: Answers,
    phase: watch::Sender<Phase>,
    record: Record,
}

impl People {
    /// Starts all; `port` gives a proxy for each.
    pub(crate) async fn start(
        modules: &Path,
        record: &Record,
        last: &str,
        port: impl AsyncFn(&str) -> Result<u16>,
    ) -> Result<(Self, Process)> {
        let url =
            async |name: &str| Ok::<_, Error>(format!("http://127.0.0.1:{}", port(name).await?));
        let mut clients = Vec::new();
        for listener in &LISTENERS {
            let (client, rooms) = (listener.name, listener.topics(last));
            record.add(Fact::Client {
                client: client.to_owned(),
                identity: client.to_owned(),
                filters: rooms.clone(),
                start: 0,
            });
            clients.push(json!({ "client": client, "rooms": rooms, "url": url(client).await? }));
        }
        let mut producers = Vec::new();
        for n in 0..PRODUCERS {
            producers.push(url(&format!("producer-{n}")).await?);
        }
        let mut command = script("clients.mjs", modules, 0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().ok_or_else(|| Error::other("no input"))?;
        let (input, lines) = mpsc::unbounded_channel();
        tokio::spawn(write(stdin, lines));
        let (telling, phase) = watch::channel(Phase::Coming);
        let answers = Answers::default();
        let process = Process {
            child,
            answers: Arc::clone(&answers),
            phase: telling,
            record: record.clone(),
        };
        let people = Self {
            input,
            phase,
            answers,
        };
        people.say(&json!({ "clients": clients, "producers": producers }));
        Ok((people, process))
    }

    /// False once the process has ended.
    fn say(&self, what: &serde_json::Value) -> bool {
        self.input.send(format!("{what}\n")).is_ok()
    }

    async fn reach(&self, wanted: Phase) -> Result<()> {
        let mut phase = self.phase.clone();
        let reached = timeout(PATIENCE, phase.wait_for(|phase| *phase == wanted)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::other(format!("the clients are not {wanted:?}"))),
        }
    }

    /// Waits until all listen.
    pub(crate) async fn begin(&self) -> Result<()> {
        self.reach(Phase::Began).await
    }

    /// Waits until all are there to hear the last event.
    pub(crate) async fn gather(&self) -> Result<()> {
        self.say(&json!({ "gather": true }));
        self.reach(Phase::Gathered).await
    }

    /// A producer's socket.
    pub(crate) fn socket(&self, producer: u64) -> Socket {
        Socket {
            people: self.clone(),
            producer,
        }
    }
}

async fn write(mut stdin: ChildStdin, mut lines: mpsc::UnboundedReceiver<String>) {
    while let Some(line) = lines.recv().await {
        if stdin.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

impl Process {
    /// Takes down what is told.
    pub(crate) async fn live(mut self) -> Result<()> {
        let output = self
            .child
            .stdout
            .take()
            .ok_or_else(|| Error::other("no output"))?;
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await? {
            match serde_json::from_str(&line) {
                Ok(Said::Fact(fact)) => self.record.add(fact),
                Ok(Said::Answered { answered, offset }) => {
                    if let Some(answer) = lock(&self.answers).remove(&answered) {
                        let _ = answer.send(offset);
                    }
                }
                Ok(Said::Phase { phase }) => drop(self.phase.send(phase)),
                Err(error) => return Err(Error::other(format!("{error}: {line}"))),
            }
        }
        lock(&self.answers).clear();
        match self.child.wait().await? {
            status if status.success() => Ok(()),
            status => Err(Error::other(format!("the clients ended with {status}"))),
        }
    }
}

/// One producer's.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    people: People,
    producer: u64,
}

impl Line for Socket {
    async fn emit(&self, draft: &Draft) -> Answer {
        let (sender, answer) = oneshot::channel();
        lock(&self.people.answers).insert(draft.id.clone(), sender);
        let message = json!({ "producer": self.producer, "event": draft });
        if !self.people.say(&message) {
            return Answer::Ended;
        }
        answer.await.map_or(Answer::Ended, Answer::Stored)
    }
}

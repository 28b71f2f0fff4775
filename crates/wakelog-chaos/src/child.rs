//! The server's process: started, told what to append, stopped in every way.

use std::io::{Error, Result};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::flips::Flip;
use crate::history::Fact;
use crate::power::{Disk, stands_still};
use crate::proxy::Network;
use crate::random::Random;
use crate::record::Record;
use crate::target::Target;

/// Longer than a server takes to start or to end in order.
const PATIENCE: Duration = Duration::from_secs(60);

/// What has come of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    Listens,
    /// It says why it cannot, and has ended.
    Refuses(String),
}

pub(crate) struct Server {
    target: Target,
    /// How often it was started.
    starts: u64,
    dir: PathBuf,
    /// Who may have a cursor: of one that is damaged it is told.
    consumers: Vec<String>,
    /// What the directory is on, if that can lose power.
    disk: Option<Disk>,
    network: Arc<Network>,
    record: Record,
    running: Option<(Child, ChildStdin, JoinHandle<()>)>,
    /// The ids of events that the process itself has appended.
    pub(crate) appended: broadcast::Sender<String>,
    /// How many of them it has refused.
    refused: Arc<AtomicU64>,
}

impl Server {
    pub(crate) fn new(
        target: Target,
        dir: PathBuf,
        consumers: Vec<String>,
        disk: Option<Disk>,
        network: Arc<Network>,
        record: Record,
    ) -> Self {
        let (appended, _) = broadcast::channel(1024);
        Self {
            target,
            starts: 0,
            dir,
            consumers,
            disk,
            network,
            record,
            running: None,
            appended,
            refused: Arc::default(),
        }
    }

    /// Starts it where nothing keeps it from that.
    pub(crate) async fn start(&mut self) -> Result<()> {
        match self.try_start().await? {
            Started::Listens => Ok(()),
            Started::Refuses(why) => Err(Error::other(why)),
        }
    }

    pub(crate) async fn try_start(&mut self) -> Result<Started> {
        self.starts += 1;
        let mut command = self
            .target
            .server(&self.dir, &self.consumers, self.starts)?;
        command.kill_on_drop(true);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || Error::other("a process without pipes");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let (listens, refuses) = (Arc::new(Notify::new()), Arc::new(OnceLock::new()));
        let hearing = Hearing {
            record: self.record.clone(),
            network: Arc::clone(&self.network),
            appended: self.appended.clone(),
            refused: Arc::clone(&self.refused),
            listens: Arc::clone(&listens),
            refuses: Arc::clone(&refuses),
        };
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                hearing.take(line);
            }
        });
        let ended = tokio::select! {
            () = listens.notified() => None,
            status = child.wait() => Some(status?.to_string()),
            () = sleep(PATIENCE) => Some("it takes too long".to_owned()),
        };
        let Some(ended) = ended else {
            self.running = Some((child, input, reader));
            return Ok(Started::Listens);
        };
        let _ = child.kill().await;
        let _ = reader.await;
        match refuses.get() {
            Some(why) => Ok(Started::Refuses(String::clone(why))),
            None => Err(Error::other(format!("the server does not start: {ended}"))),
        }
    }

    /// Asks the process to append an event by itself. It answers, or dies.
    pub(crate) async fn append(&mut self, id: &str, topic: &str, text: &str) {
        if let Some((_, input, _)) = &mut self.running {
            let line = format!("append {id} {topic} {text}\n");
            let _ = input.write_all(line.as_bytes()).await;
        }
    }

    /// SIGKILL, and the same files again.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.die().await?;
        self.start().await
    }

    /// SIGKILL.
    pub(crate) async fn die(&mut self) -> Result<()> {
        self.record.fault("SIGKILL");
        if let Some((mut child, _, reader)) = self.running.take() {
            child.kill().await?;
            let _ = reader.await;
        }
        Ok(())
    }

    /// SIGKILL, and the same files again but for one bit. If the server does not open them, the bit
    /// is set right, and it must; false then.
    pub(crate) async fn kill_and_flip(&mut self, random: &mut Random) -> Result<bool> {
        self.die().await?;
        let flip = Flip::draw(&self.dir, random)?;
        // What is told from now on may come of it.
        self.record.add(flip.fact());
        flip.flip()?;
        if let Started::Refuses(why) = self.try_start().await? {
            self.record.add(Fact::Refused { why });
            flip.flip()?;
            self.start().await?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether its disk can be filled: it takes all room that there is.
    pub(crate) fn fill(&self) -> Result<bool> {
        let filled = self.disk.as_ref().map(Disk::fill).transpose();
        Ok(filled?.is_some())
    }

    /// Gives the room back.
    pub(crate) fn free(&self) -> Result<()> {
        self.disk.as_ref().map_or(Ok(()), Disk::free)
    }

    /// How many events of its own it has refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The power goes, and comes back; false where the disk cannot lose it.
    ///
    /// The process is stopped first: a sync that is under way while a file system is shut down may
    /// say that all is well, and after a loss of power nobody would hear it.
    pub(crate) async fn cut_power(&mut self) -> Result<bool> {
        let Some(disk) = &mut self.disk else {
            return Ok(false);
        };
        if let Some((mut child, _, reader)) = self.running.take() {
            let pid = child.id().ok_or_else(|| Error::other("no server"))?;
            signal(pid, "-STOP").await?;
            stands_still(pid).await?;
            disk.cut().await?;
            self.record.add(Fact::PowerCut);
            child.kill().await?;
            let _ = reader.await;
        }
        disk.restart().await?;
        self.start().await?;
        Ok(true)
    }

    /// SIGSTOP, and SIGCONT after a while.
    pub(crate) async fn pause(&mut self, length: Duration) -> Result<()> {
        self.record.fault(format!("SIGSTOP for {length:?}"));
        let child = self.running.as_ref().and_then(|(child, ..)| child.id());
        let pid = child.ok_or_else(|| Error::other("no server"))?;
        signal(pid, "-STOP").await?;
        sleep(length).await;
        signal(pid, "-CONT").await
    }

    /// Ends in order.
    pub(crate) async fn drain(&mut self) -> Result<()> {
        self.record.fault("drain");
        if let Some((mut child, mut input, reader)) = self.running.take() {
            input.write_all(b"drain\n").await?;
            drop(input); // it reads to the end
            let Ok(status) = timeout(PATIENCE, child.wait()).await else {
                return Err(Error::other("the server does not drain"));
            };
            let _ = reader.await;
            if !status?.success() {
                return Err(Error::other("the server did not end in order"));
            }
        }
        Ok(())
    }
}

/// What is made of the lines that a server says.
struct Hearing {
    record: Record,
    network: Arc<Network>,
    appended: broadcast::Sender<String>,
    refused: Arc<AtomicU64>,
    listens: Arc<Notify>,
    refuses: Arc<OnceLock<String>>,
}

impl Hearing {
    fn take(&self, line: String) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
        match (words[0], number(1), number(2), number(3)) {
            ("listening", Some(port), ..) => {
                let port = u16::try_from(port).unwrap_or(0);
                self.network.server.store(port, Ordering::Release);
                self.listens.notify_one();
            }
            ("first", Some(offset), ..) => self.record.add(Fact::First { offset }),
            ("takes", Some(rss), Some(files), Some(disk)) => {
                self.record.add(Fact::Takes { rss, files, disk });
            }
            ("appended", _, Some(offset), _) => {
                let id = words[1].to_owned();
                self.record.add(Fact::Appended {
                    id: id.clone(),
                    offset,
                });
                let _ = self.appended.send(id);
            }
            ("forgot", ..) => self.record.add(Fact::Forgotten {
                client: words[1..].join(" "),
            }),
            ("refuses", ..) => {
                let _ = self.refuses.set(words[1..].join(" "));
                self.record.fault(line);
            }
            ("refused", ..) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                self.record.fault(line);
            }
            _ => self.record.fault(line),
        }
    }
}

async fn signal(pid: u32, signal: &str) -> Result<()> {
    let mut command = Command::new("kill");
    match command
        .args([signal, &pid.to_string()])
        .status()
        .await?
        .success()
    {
        true => Ok(()),
        false => Err(Error::other("kill has failed")),
    }
}

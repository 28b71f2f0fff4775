//! The server's process: started, told what to append, stopped in every way.

use std::io::{Error, Result};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::history::Fact;
use crate::power::{Disk, stands_still};
use crate::proxy::Network;
use crate::record::Record;

/// Longer than a server takes to start or to end in order.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    dir: PathBuf,
    /// What the directory is on, if that can lose power.
    disk: Option<Disk>,
    network: Arc<Network>,
    record: Record,
    running: Option<(Child, ChildStdin, JoinHandle<()>)>,
    /// The ids of events that the process itself has appended.
    pub(crate) appended: broadcast::Sender<String>,
}

impl Server {
    pub(crate) fn new(
        dir: PathBuf,
        disk: Option<Disk>,
        network: Arc<Network>,
        record: Record,
    ) -> Self {
        let (appended, _) = broadcast::channel(1024);
        Self {
            dir,
            disk,
            network,
            record,
            running: None,
            appended,
        }
    }

    pub(crate) async fn start(&mut self) -> Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg(&self.dir).kill_on_drop(true);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || Error::other("a process without pipes");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let listens = Arc::new(Notify::new());
        let (record, network) = (self.record.clone(), Arc::clone(&self.network));
        let (appended, of_reader) = (self.appended.clone(), Arc::clone(&listens));
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let words: Vec<&str> = line.split(' ').collect();
                let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
                match (words[0], number(1), number(2), number(3)) {
                    ("listening", Some(port), ..) => {
                        let port = u16::try_from(port).unwrap_or(0);
                        network.server.store(port, Ordering::Release);
                        of_reader.notify_one();
                    }
                    ("first", Some(offset), ..) => record.add(Fact::First { offset }),
                    ("takes", Some(rss), Some(files), Some(disk)) => {
                        record.add(Fact::Takes { rss, files, disk });
                    }
                    ("appended", _, Some(offset), _) => {
                        let id = words[1].to_owned();
                        record.add(Fact::Appended {
                            id: id.clone(),
                            offset,
                        });
                        let _ = appended.send(id);
                    }
                    _ => record.fault(line),
                }
            }
        });
        if timeout(PATIENCE, listens.notified()).await.is_err() {
            let _ = child.kill().await;
            return Err(Error::other("the server does not start"));
        }
        self.running = Some((child, input, reader));
        Ok(())
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
        self.record.fault("SIGKILL");
        if let Some((mut child, _, reader)) = self.running.take() {
            child.kill().await?;
            let _ = reader.await;
        }
        self.start().await
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

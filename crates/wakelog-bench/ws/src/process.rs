//! A server in a process of its own: orders go in, answers come out, its costs are read outside.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::Value;

use crate::Outcome;
use crate::server::Kind;

/// The cores of the server and of the clients.
pub const SERVER_CORE: usize = 0;
pub const CLIENT_CORE: usize = 1;

/// Keeps this thread, and those that it starts, on one core, where there are two.
pub fn pin(core: usize) -> Outcome<()> {
    if std::thread::available_parallelism()?.get() < 2 {
        return Ok(());
    }
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// Memory of a process in KiB: all of it, its peak, and the part that is no file's.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub all: f64,
    pub peak: f64,
    pub own: f64,
}

pub struct Server {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(kind: Kind, dir: &Path) -> Outcome<Server> {
        let mut child = Command::new("/proc/self/exe")
            .args(["serve", kind.name()])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().ok_or("no stdin")?;
        let mut answers = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let address = line.trim().parse()?;
        Ok(Server {
            child,
            orders,
            answers,
            address,
        })
    }

    /// Gives an order without waiting for the answer.
    pub fn order(&mut self, order: &str) -> Outcome<()> {
        Ok(writeln!(self.orders, "{order}")?)
    }

    /// Waits for the answer to the oldest order.
    pub fn answer(&mut self) -> Outcome<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    pub fn ask(&mut self, order: &str) -> Outcome<Value> {
        self.order(order)?;
        self.answer()
    }

    /// Its processor time so far, in nanoseconds.
    pub fn cpu(&mut self) -> Outcome<f64> {
        Ok(self.ask("cpu")?.as_f64().ok_or("no time")?)
    }

    pub fn memory(&self) -> Outcome<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let word = line.and_then(|line| line.split_whitespace().nth(1));
            word.and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
        };
        Ok(Memory {
            all: field("VmRSS:"),
            peak: field("VmHWM:"),
            own: field("RssAnon:"),
        })
    }

    /// The peak begins anew.
    pub fn forget_peak(&self) -> Outcome<()> {
        Ok(fs::write(
            format!("/proc/{}/clear_refs", self.child.id()),
            "5",
        )?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

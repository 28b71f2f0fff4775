//! One measurement in a process of its own: how the parent starts it, and what it prints.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::peers::{self, Outcome, Peer};
use crate::work::{self, Scale, Work};

/// Printed when a directory is filled: at the end, or by one that appends on until it is killed.
pub const READY: &str = "wakelog-bench: ready";

/// This very program, also when another build has replaced its file meanwhile.
const THIS: &str = "/proc/self/exe";

/// Printed before the figures.
const FIGURES: &str = "wakelog-bench: figures ";

/// The command words of the two kinds of child.
pub const MEASURE: &str = "measure-one";
pub const PREPARE: &str = "prepare-one";

/// What a child does; the arguments are a workload, a peer, a directory and the scale.
pub fn run(command: &str, arguments: &[String]) -> Outcome<()> {
    let [work, peer, dir, scale] = arguments else {
        return Err("a child needs a workload, a peer, a directory and a scale".into());
    };
    let (work, peer, dir) = (work::numbered(work)?, peers::named(peer)?, Path::new(dir));
    let scale = Scale {
        quick: scale == "quick",
    };
    if command == PREPARE {
        (work.prepare)(peer, dir, scale)?;
        println!("\n{READY}");
        return Ok(());
    }
    let figures = (work.measure)(peer, dir, scale)?;
    println!("\n{FIGURES}{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// A child process whose output is read by a thread, so that waiting for it can end.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(
        command: &str,
        work: &Work,
        peer: &Peer,
        dir: &Path,
        scale: Scale,
    ) -> Outcome<Running> {
        std::fs::create_dir_all(dir)?;
        let mut child = Command::new(THIS)
            .args([command, work.id, peer.name])
            .arg(dir)
            .arg(scale.pick("full", "quick"))
            .env("WALRUS_DATA_DIR", dir)
            .env("WALRUS_QUIET", "1")
            .env("RUST_LOG", "off")
            // The last words of a panic shall be its message.
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            let sender = sender.clone();
            std::thread::spawn(move || pass_on(output, &sender));
        }
        if let Some(output) = child.stderr.take() {
            std::thread::spawn(move || pass_on(output, &sender));
        }
        Ok(Running { child, lines })
    }

    /// Waits for a line that begins like this. Otherwise the last words of the child are the error.
    fn expect(&mut self, start: &str, limit: Duration) -> Outcome<String> {
        let deadline = Instant::now() + limit;
        let mut last = String::from("it said nothing");
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(start) {
                        return Ok(rest.to_owned());
                    }
                    if !line.trim().is_empty() && !line.starts_with("note: ") {
                        last = line;
                    }
                }
                Err(_) if Instant::now() < deadline => return Err(last.into()),
                Err(_) => return Err(format!("not done after {} s", limit.as_secs()).into()),
            }
        }
    }
}

fn pass_on(output: impl std::io::Read, lines: &std::sync::mpsc::Sender<String>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if lines.send(line).is_err() {
            break;
        }
    }
}

impl Drop for Running {
    /// By its own process id, and only if it still runs.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long a child may take.
fn limit(scale: Scale) -> Duration {
    scale.pick(Duration::from_secs(1_800), Duration::from_secs(180))
}

/// How long a store that all rounds share may take to be filled. Whoever needs longer has no
/// figure: else one peer takes as long as all the rest.
const FILLED_WITHIN: Duration = Duration::from_secs(900);

/// Fills the directory of a workload whose rounds share it.
pub fn prepare(work: &Work, peer: &Peer, dir: &Path, scale: Scale) -> Outcome<()> {
    let mut running = Running::start(PREPARE, work, peer, dir, scale)?;
    running.expect(READY, limit(scale).min(FILLED_WITHIN))?;
    running.child.wait()?;
    Ok(())
}

/// Fills the directory, and kills whoever fills it while it appends.
pub fn prepare_and_kill(work: &Work, peer: &Peer, dir: &Path, scale: Scale) -> Outcome<()> {
    let mut running = Running::start(PREPARE, work, peer, dir, scale)?;
    running.expect(READY, limit(scale))?;
    std::thread::sleep(Duration::from_millis(20));
    if let Some(status) = running.child.try_wait()? {
        return Err(format!("it ended before it was killed: {status}").into());
    }
    running.child.kill()?;
    running.child.wait()?;
    Ok(())
}

/// Measures.
pub fn measure(work: &Work, peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let mut running = Running::start(MEASURE, work, peer, dir, scale)?;
    let figures = running.expect(FIGURES, limit(scale))?;
    // NaN is null in JSON.
    let figures: Vec<Option<f64>> = serde_json::from_str(&figures)?;
    running.child.wait()?;
    Ok(figures
        .into_iter()
        .map(|figure| figure.unwrap_or(f64::NAN))
        .collect())
}

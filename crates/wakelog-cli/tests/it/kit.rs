//! Runs `wakelog` and looks at what it says.

use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A directory for a log, and commands on it.
pub(crate) struct Place {
    dir: TempDir,
}

/// What a command has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

/// The binary, not started yet.
pub(crate) fn wakelog<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wakelog"));
    command.args(words).env_remove("NO_COLOR");
    command
}

impl Place {
    pub(crate) fn new() -> Place {
        Place {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// Where the log is.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Another place beside the log.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `wakelog COMMAND DIR WORDS...`, not started yet.
    pub(crate) fn command(&self, command: &str, words: &[&str]) -> Command {
        let mut command = wakelog([command]);
        command.arg(self.log()).args(words);
        command
    }

    /// Runs a command that reads nothing.
    pub(crate) fn run(&self, command: &str, words: &[&str]) -> Answer {
        let mut command = self.command(command, words);
        Answer::of(command.stdin(Stdio::null()).output().unwrap())
    }

    /// Runs a command on this input.
    pub(crate) fn feed(&self, command: &str, words: &[&str], input: &[u8]) -> Answer {
        feed(&mut self.command(command, words), input)
    }

    /// Runs a command on this input whose output nobody reads.
    pub(crate) fn feed_unheard(&self, command: &str, words: &[&str], input: &[u8]) -> Answer {
        let (reader, writer) = UnixStream::pair().unwrap();
        drop(reader);
        let mut command = self.command(command, words);
        let command = command
            .stdin(Stdio::piped())
            .stdout(OwnedFd::from(writer))
            .stderr(Stdio::piped());
        answer(command, input)
    }

    /// Appends lines; they must be taken.
    pub(crate) fn append(&self, words: &[&str], input: &[u8]) {
        self.feed("append", words, input).good();
    }
}

/// Runs a command on this input.
pub(crate) fn feed(command: &mut Command, input: &[u8]) -> Answer {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    answer(command, input)
}

fn answer(command: &mut Command, input: &[u8]) -> Answer {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A command that ends early closes its input.
        scope.spawn(move || stdin.write_all(input));
        Answer::of(child.wait_with_output().unwrap())
    })
}

impl Answer {
    fn of(output: Output) -> Answer {
        Answer {
            code: output.status.code().unwrap_or(-1),
            out: output.stdout,
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// Exit code 0, and nothing to complain about.
    #[track_caller]
    pub(crate) fn good(self) -> Answer {
        assert_eq!((self.code, self.err.as_str()), (0, ""));
        self
    }

    /// This exit code, one line on stderr that has these words, and nothing on stdout.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {:?}", self.err);
        }
        assert!(
            self.err.starts_with("wakelog: ") && self.err.lines().count() == 1,
            "{self:?}"
        );
        assert_eq!(self.text(), "");
    }
}

/// The lines as JSON values.
#[track_caller]
pub(crate) fn json_lines(answer: &Answer) -> Vec<serde_json::Value> {
    let lines = answer.text().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Sends a signal, such as `-INT`.
pub(crate) fn interrupt_by(signal: &str, child: &Child) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args([signal, &id]).status().unwrap();
    assert!(sent.success());
}

/// Tries until `good`, for half a minute at most.
pub(crate) fn until(what: &str, mut good: impl FnMut() -> bool) {
    let start = Instant::now();
    while !good() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "never came: {what}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

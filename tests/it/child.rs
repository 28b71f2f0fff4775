//! A test that needs a second process starts itself again: the same test of the same binary, with a
//! task in its environment. The test looks for the task first and does it when there is one.
//!
//! Parent and child talk in lines over the child's standard input and output. Lines that begin with
//! another mark are the test harness's own.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child as Process, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Holds the task of a process that a test has started.
const TASK: &str = "WAKELOG_TEST_TASK";

const MARK: &str = "|> ";

/// What this process is to do, if a test has started it.
pub(crate) fn task() -> Option<String> {
    std::env::var(TASK).ok()
}

/// Tells the parent a line.
pub(crate) fn tell(line: &str) {
    // Straight to the stream: what `println` writes may be kept back by the harness. One write, so
    // that a kill leaves whole lines.
    let line = format!("\n{MARK}{line}\n");
    let mut out = io::stdout().lock();
    let told = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    // Nobody listens any more: the parent is gone, and so is the reason to go on.
    if told.is_err() {
        std::process::exit(3);
    }
}

/// The next line from the parent; `None` when it has closed its end.
pub(crate) fn hear() -> Option<String> {
    let mut line = String::new();
    let count = io::stdin().lock().read_line(&mut line).unwrap();
    (count > 0).then(|| line.trim_end().to_owned())
}

/// A second process of this test. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Child {
    /// Starts `test` (its path in the binary) again with a task.
    pub(crate) fn start(test: &str, task: &str) -> Child {
        let own = std::env::current_exe().unwrap();
        Child::start_by(Command::new(own), test, task)
    }

    /// As [`Child::start`], by a command that is this program under other conditions.
    pub(crate) fn start_by(mut command: Command, test: &str, task: &str) -> Child {
        let mut process = command
            .args(["--exact", test, "--nocapture"])
            .env(TASK, task)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().unwrap());
        Child {
            process,
            input,
            output,
        }
    }

    #[allow(
        dead_code,
        reason = "this file is a part of two test binaries; one uses this"
    )]
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Tells the child a line.
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// The next line of the child; `None` when it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        next_line(&mut self.output)
    }

    /// Tells the child a line and returns its answer.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        let answer = self.hear();
        answer.unwrap_or_else(|| panic!("the child ended instead of answering {line:?}"))
    }

    /// Sends SIGKILL. What the child has told before can still be heard.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        let _ = self.process.wait().unwrap();
    }

    /// Listens for a while, sends SIGKILL, and returns all that the child has told.
    #[allow(
        dead_code,
        reason = "this file is a part of two test binaries; one uses this"
    )]
    pub(crate) fn kill_after(&mut self, pause: Duration) -> Vec<String> {
        self.hear_while(|| std::thread::sleep(pause))
    }

    /// Listens while `work` is done, sends SIGKILL, and returns all that the child has told.
    #[allow(
        dead_code,
        reason = "this file is a part of two test binaries; one uses this"
    )]
    pub(crate) fn hear_while(&mut self, work: impl FnOnce()) -> Vec<String> {
        let Child {
            process, output, ..
        } = self;
        std::thread::scope(|scope| {
            let listener = scope.spawn(|| {
                let mut told = Vec::new();
                while let Some(line) = next_line(output) {
                    told.push(line);
                }
                told
            });
            work();
            process.kill().unwrap();
            let _ = process.wait().unwrap();
            listener.join().unwrap()
        })
    }

    /// Closes the child's input and waits for its good end.
    pub(crate) fn finish(mut self) {
        self.input = None;
        assert_eq!(self.hear(), None, "the child had more to tell");
        let status = self.process.wait().unwrap();
        assert!(status.success(), "the child ended with {status}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already, which is all that is wanted here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn next_line(output: &mut impl BufRead) -> Option<String> {
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        // A line that a kill has cut short was not told.
        if let Some(told) = line.strip_prefix(MARK).filter(|_| line.ends_with('\n')) {
            return Some(told.trim_end().to_owned());
        }
    }
}

/// Tries until `good`, for half a minute at most: what must come in the end, however slow the
/// machine is.
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

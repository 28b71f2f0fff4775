//! How a command ends: the exit codes, and errors as one sentence that says what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;
use wakelog::{AppendError, OpenError, ReadError};

/// A command did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Fine,
    /// The answer is no, or damage was found; it was told already.
    No,
}

/// A command could not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read the output has left. It ends a command that does nothing but print, and is no
    /// error; one with more to do or to say goes on by [`unheard`].
    Pipe,
    /// The answer is no, and this is why.
    No(String),
    /// The command or its input is not what it must be.
    Usage(String),
    /// Input or output failed, or the log is locked.
    System(String),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        ExitCode::from(match outcome {
            Outcome::Fine => 0,
            Outcome::No => 1,
        })
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> ExitCode {
        ExitCode::from(match failure {
            Failure::Pipe => 0,
            Failure::No(_) => 1,
            Failure::Usage(_) => 2,
            Failure::System(_) => 3,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Pipe => f.write_str("the output was closed"),
            Failure::No(text) | Failure::Usage(text) | Failure::System(text) => f.write_str(text),
        }
    }
}

/// Printing that nobody hears any more is done: neither the work of a command nor its outcome
/// hangs on who listens.
pub(crate) fn unheard(printed: Result<(), Failure>) -> Result<(), Failure> {
    match printed {
        Err(Failure::Pipe) => Ok(()),
        printed => printed,
    }
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors repeat their cause.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

impl Failure {
    /// What was written to the standard output did not arrive.
    pub(crate) fn output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Pipe,
            _ => Failure::System(format!("cannot write to the standard output: {error}")),
        }
    }

    /// The system failed with something else.
    pub(crate) fn system(what: &str, error: &dyn Error) -> Failure {
        Failure::System(format!("{what}: {}", chain(error)))
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        let text = chain(&error);
        let advice = match &error {
            OpenError::Locked { .. } => {
                "stop that process, append through it, or read beside it with `wakelog cat`"
            }
            OpenError::NotALog { .. } => "name the directory of a log, or an empty one",
            OpenError::NotFound { .. } => "create one with `wakelog append`, or correct the path",
            OpenError::Foreign { .. } => "take the file out of the directory",
            OpenError::Newer { .. } => "use a newer wakelog",
            OpenError::Older { .. } => "read it with the wakelog that has written it",
            OpenError::Damaged(_) => "restore the file from a backup or a snapshot",
            OpenError::Options { .. } => return Failure::Usage(text),
            OpenError::Permission(_) => "run it as a user who may",
            OpenError::DiskFull(_) => "make room and try again; nothing is lost",
            _ => "try again",
        };
        let text = format!("{text}; {advice}");
        match error {
            OpenError::Damaged(_) => Failure::No(text),
            _ => Failure::System(text),
        }
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Failure {
        let text = chain(&error);
        match error {
            AppendError::Topic(_)
            | AppendError::Audience { .. }
            | AppendError::Attributes { .. }
            | AppendError::ReservedTag { .. }
            | AppendError::EmptyBatch => Failure::Usage(text),
            AppendError::TooLarge { .. } | AppendError::TooMany { .. } => {
                Failure::Usage(format!("{text}; split it"))
            }
            AppendError::DiskFull(_) => {
                Failure::System(format!("{text}; make room and go on, nothing is lost"))
            }
            _ => Failure::System(text),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        let text = chain(&error);
        match error {
            ReadError::Filter(_) => Failure::Usage(text),
            ReadError::Offset { .. } => Failure::No(format!("{text}; begin there or before it")),
            ReadError::Reset => Failure::No(format!("{text}; begin with --from earliest")),
            ReadError::Fenced => Failure::No(format!("{text}; this one has ended")),
            ReadError::Gap(_) => Failure::No(text),
            _ => Failure::System(text),
        }
    }
}

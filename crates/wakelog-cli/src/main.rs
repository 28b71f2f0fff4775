//! `wakelog`: the command line of the event log.
//!
//! Each command stands in `cmd/` and speaks to the log's public interface alone. It says what it
//! has found with an exit code: 0 fine, 1 the answer is no or damage was found, 2 wrong usage,
//! 3 the system failed or the log is locked.

mod cmd;
mod failure;
mod form;
mod output;
mod place;
mod stop;
mod time;

use clap::{ColorChoice, Parser};
use failure::{Failure, unheard};
use output::{Output, Terminal};
use std::process::ExitCode;

/// An event log in a directory: append to it, read it, look after it.
#[derive(Debug, Parser)]
#[command(
    name = "wakelog",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 fine, 1 the answer is no or damage was found, 2 wrong usage, \
                  3 input or output failed, or the log is locked.\n\n\
                  Example: seq 3 | wakelog append events --topic numbers && wakelog cat events"
)]
struct Arguments {
    /// When to use colours; NO_COLOR is honoured too.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,

    /// Say nothing but results and errors.
    #[arg(long, short, global = true)]
    quiet: bool,

    #[command(subcommand)]
    command: cmd::Command,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let terminal = Terminal::new(arguments.color, arguments.quiet);
    let mut output = Output::new(terminal);
    let ended = cmd::run(arguments.command, &mut output)
        .and_then(|outcome| unheard(output.flush()).map(|()| outcome));
    match ended {
        Ok(outcome) => outcome.into(),
        Err(Failure::Pipe) => ExitCode::SUCCESS,
        Err(failure) => {
            // What was found before stands on stdout already, or nobody reads it.
            let _ = output.flush();
            output.complain(&failure.to_string());
            failure.into()
        }
    }
}

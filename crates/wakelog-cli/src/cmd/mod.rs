//! The commands, one file each.

mod append;
mod cat;
mod feed;
mod stat;
mod tail;

use crate::failure::{Failure, Outcome};
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Append(append::Args),
    Cat(cat::Args),
    Tail(tail::Args),
    Stat(stat::Args),
}

pub(crate) fn run(command: Command, output: &mut Output) -> Result<Outcome, Failure> {
    match command {
        Command::Append(args) => append::run(args, output),
        Command::Cat(args) => cat::run(&args, output),
        Command::Tail(args) => tail::run(&args, output),
        Command::Stat(args) => stat::run(&args, output),
    }
}

//! The commands, one file each.

mod append;
mod bench;
mod cat;
mod cursors;
mod feed;
mod serve;
mod snapshot;
mod stat;
mod tail;
mod trim;
mod verify;

use crate::failure::{Failure, Outcome};
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Append(append::Args),
    Cat(cat::Args),
    Tail(tail::Args),
    Stat(stat::Args),
    Cursors(cursors::Args),
    Verify(verify::Args),
    Trim(trim::Args),
    Snapshot(snapshot::Args),
    Serve(serve::Args),
    Bench(bench::Args),
}

pub(crate) fn run(command: Command, output: &mut Output) -> Result<Outcome, Failure> {
    match command {
        Command::Append(args) => append::run(args, output),
        Command::Cat(args) => cat::run(&args, output),
        Command::Tail(args) => tail::run(&args, output),
        Command::Stat(args) => stat::run(&args, output),
        Command::Cursors(args) => cursors::run(&args, output),
        Command::Verify(args) => verify::run(&args, output),
        Command::Trim(args) => trim::run(&args, output),
        Command::Snapshot(args) => snapshot::run(&args, output),
        Command::Serve(args) => serve::run(args, output),
        Command::Bench(args) => bench::run(&args, output),
    }
}

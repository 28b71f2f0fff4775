//! What the run is pointed at: wakelog, or another server beside it.
//!
//! Faults, proxies, events, their pace and the checker are the same for all. A target says how its
//! server starts, who listens, and how a producer's event gets there.

mod socketio;
mod wakelog;

use std::future::Future;
use std::io::Result;
use std::path::{Path, PathBuf};

use ::wakelog::Filter;
use serde::Serialize;
use tokio::process::Command;

pub(crate) use socketio::People;
#[cfg(test)]
pub(crate) use socketio::Said;

/// The topics that producers speak of, rooms aside.
pub(crate) const NEWS: &str = "news";

/// How many rooms there are to publish to.
pub(crate) const ROOMS: u64 = 6;

/// Whose server it is.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// In a comparison it is set as the other one is.
    Wakelog { compared: bool },
    /// npm's, with its connection state recovery; its packages are here.
    SocketIo(PathBuf),
}

impl Target {
    /// The server's process, for the n-th time. What a server numbers anew each time is given
    /// numbers that were never used.
    pub(crate) fn server(&self, dir: &Path, consumers: &[String], start: u64) -> Result<Command> {
        match self {
            Self::Wakelog { compared } => {
                let how = if *compared { "compared" } else { "own" };
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("serve").arg(dir).arg(how).args(consumers);
                Ok(command)
            }
            Self::SocketIo(modules) => Ok(socketio::script("server.mjs", modules, start << 32)),
        }
    }
}

/// An event that a producer sends, as often as it must.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) topics: Vec<String>,
    pub(crate) not_to: Vec<String>,
    pub(crate) text: String,
}

/// What came of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Stored(u64),
    /// Why there is none.
    None(String),
    /// There will be no answers any more.
    Ended,
}

/// A producer's way to the server.
pub(crate) trait Line: Clone + Send + 'static {
    /// Sends it until it is answered.
    fn emit(&self, draft: &Draft) -> impl Future<Output = Answer> + Send;
}

/// Somebody who listens from before the first event on, in one process that is never ended: what
/// clients of all targets can do.
pub(crate) struct Listener {
    pub(crate) name: &'static str,
    pub(crate) filters: &'static [&'static str],
}

const fn listener(name: &'static str, filters: &'static [&'static str]) -> Listener {
    Listener { name, filters }
}

/// All of them, for runs that compare.
pub(crate) const LISTENERS: [Listener; 8] = [
    listener("all", &[">"]),
    listener(SHUNNED, &[">"]),
    listener("rooms", &["room.*"]),
    listener("deep", &["room.>"]),
    listener("overlapping", &["room.*", "room.1", NEWS]),
    listener("news", &[NEWS, "room.3"]),
    listener("two", &["room.2", "room.4"]),
    listener("one", &["room.0", NEWS]),
];

/// The one of them to whom some events are not.
pub(crate) const SHUNNED: &str = "shunned";

impl Listener {
    /// The topics it hears, where there are no wildcards.
    fn topics(&self, last: &str) -> Vec<String> {
        let filters: Vec<Filter> = self
            .filters
            .iter()
            .filter_map(|f| Filter::parse(f).ok())
            .collect();
        let rooms = (0..ROOMS).map(|n| format!("room.{n}"));
        let mut topics: Vec<String> = rooms.chain([NEWS.to_owned()]).collect();
        topics.retain(|topic| filters.iter().any(|filter| filter.matches(topic)));
        topics.push(last.to_owned());
        topics
    }
}

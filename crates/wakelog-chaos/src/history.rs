//! What is written down while a run goes on: facts in the order in which they became known.

use serde::{Deserialize, Serialize};

/// One fact. A history is a list of them, a file has one a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub(crate) enum Fact {
    /// A producer is about to append an event; written before anything is sent.
    Appending {
        id: String,
        topics: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        not_to: Vec<String>,
        text: String,
    },
    /// It was answered: it is on disk under this offset.
    Appended { id: String, offset: u64 },
    /// A client begins; everything that matches from its start on is owed to it.
    Client {
        client: String,
        identity: String,
        filters: Vec<String>,
        start: u64,
    },
    /// A new process of a client goes on from its cursor on the server, which stands here.
    Resumed { client: String, offset: u64 },
    /// The server has told a client where its cursor stands.
    Cursor { client: String, offset: u64 },
    /// A client got an event.
    Heard {
        client: String,
        offset: u64,
        id: String,
        text: String,
    },
    /// A client was told a gap.
    Gap {
        client: String,
        from: u64,
        to: u64,
        reason: String,
    },
    /// A client is connected again, and was told whether all that it missed comes.
    Connected { client: String, recovered: bool },
    /// A client was told that the log is another one.
    Reset { client: String },
    /// The oldest offset that the server has.
    First { offset: u64 },
    /// All faults have ended, and the client had time: it has come so far.
    Stands { client: String, offset: u64 },
    /// The file system under the server lost what was not yet on its disk.
    PowerCut,
    /// One bit of a file of the log was flipped while no server had it open.
    Flip { file: String, byte: u64, bit: u8 },
    /// So the server did not open the log, and said why; the bit was set right.
    Refused { why: String },
    /// The damaged cursor of a client was deleted.
    Forgotten { client: String },
    /// What the server takes.
    Takes { rss: u64, files: u64, disk: u64 },
    /// What was done to the system; for people who read the history.
    Fault { what: String },
}

/// What the server may take at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) rss: u64,
    pub(crate) files: u64,
    pub(crate) disk: u64,
}

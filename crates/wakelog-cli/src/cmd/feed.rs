//! The standard input as lines, read by a thread of its own so that a signal can end the wait.

use crate::failure::Failure;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// How much is read at once. What was read together is appended before anybody waits for a disk.
const CHUNK: usize = 256 << 10;

/// What the threads have to say.
#[derive(Debug)]
pub(super) enum Message {
    Bytes(Vec<u8>),
    End,
    Failed(io::Error),
    /// Somebody has asked the command to end.
    Stop,
}

/// Lines as they come in.
#[derive(Debug)]
pub(super) struct Feed {
    messages: Receiver<Message>,
    sender: SyncSender<Message>,
    /// What came in and was not handed out.
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// No newline stands before this.
    looked: usize,
    longest: usize,
    ended: bool,
}

/// What is in hand now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A line without its newline; the last one may have had none.
    Whole { bytes: &'a [u8], ended: bool },
    /// Nothing more until the next [`Feed::fill`].
    Nothing,
}

impl Feed {
    /// Starts to read. A line may have `longest` bytes.
    pub(super) fn start(longest: usize) -> Result<Self, Failure> {
        let (sender, messages) = sync_channel(2);
        let to = sender.clone();
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || read(&mut io::stdin().lock(), &to))
            .map_err(|error| Failure::system("cannot read the standard input", &error))?;
        Ok(Self {
            messages,
            sender,
            bytes: Vec::new(),
            start: 0,
            looked: 0,
            longest,
            ended: false,
        })
    }

    /// A way to end the wait for input.
    pub(super) fn stopper(&self) -> SyncSender<Message> {
        self.sender.clone()
    }

    /// The next line of what has come in.
    pub(super) fn line(&mut self) -> Line<'_> {
        let start = self.start;
        let fresh = self.bytes.get(self.looked..).unwrap_or_default();
        if let Some(length) = fresh.iter().position(|byte| *byte == b'\n') {
            let end = self.looked + length;
            self.start = end + 1;
            self.looked = self.start;
            let bytes = self.bytes.get(start..end).unwrap_or_default();
            return Line::Whole { bytes, ended: true };
        }
        self.looked = self.bytes.len();
        if self.ended && start < self.bytes.len() {
            self.start = self.bytes.len();
            let bytes = self.bytes.get(start..).unwrap_or_default();
            return Line::Whole {
                bytes,
                ended: false,
            };
        }
        Line::Nothing
    }

    /// Waits for more. `false` when nothing more will come; then [`Feed::line`] may hand out a last
    /// line.
    pub(super) fn fill(&mut self) -> Result<bool, Failure> {
        self.bytes.drain(..self.start);
        self.looked -= self.start;
        self.start = 0;
        if self.bytes.len() > self.longest {
            let longest = self.longest;
            return Err(Failure::Usage(format!(
                "it has more than {longest} bytes; split it, or raise --segment-bytes"
            )));
        }
        match self.messages.recv() {
            Ok(Message::Bytes(bytes)) => {
                self.bytes.extend_from_slice(&bytes);
                Ok(true)
            }
            Ok(Message::Failed(error)) => {
                Err(Failure::system("cannot read the standard input", &error))
            }
            // A line that was cut short by a signal is no line.
            Ok(Message::Stop) => {
                self.bytes.clear();
                self.looked = 0;
                Ok(false)
            }
            Ok(Message::End) | Err(_) => {
                self.ended = true;
                Ok(false)
            }
        }
    }
}

fn read(input: &mut impl Read, to: &SyncSender<Message>) {
    loop {
        let mut chunk = vec![0; CHUNK];
        let message = match input.read(&mut chunk) {
            Ok(0) => Message::End,
            Ok(count) => {
                chunk.truncate(count);
                Message::Bytes(chunk)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Message::Failed(error),
        };
        let last = !matches!(message, Message::Bytes(_));
        if to.send(message).is_err() || last {
            return;
        }
    }
}

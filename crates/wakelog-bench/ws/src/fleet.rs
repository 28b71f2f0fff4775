//! The clients: many connections in one thread, which count and understand nothing else.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use memchr::memmem::Finder;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::work::wide;
use crate::{Outcome, words};

/// After so many events a client pays back what they took.
const CREDIT: u64 = 1_024;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(90);

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    pub topic: String,
    pub start: &'static str,
    /// Events after which it is content.
    pub events: u64,
    /// Reads nothing once it has subscribed.
    pub stalls: bool,
    /// Wants pages in binary.
    pub binary: bool,
}

/// Connections and what they have got.
pub struct Fleet {
    runtime: tokio::runtime::Runtime,
    tasks: LocalSet,
    pub count: Rc<Count>,
}

#[derive(Default)]
pub struct Count {
    /// Connections that have heard that they are live.
    ready: Cell<usize>,
    content: Cell<usize>,
    pub events: Cell<u64>,
    pub bytes: Cell<u64>,
    /// Nanoseconds from the publish of an event to its arrival.
    pub delays: RefCell<Vec<u64>>,
    lost: RefCell<Option<String>>,
    changed: Notify,
    /// One buffer for all: they read one after the other.
    buffer: RefCell<Vec<u8>>,
}

impl Fleet {
    pub fn new() -> Outcome<Fleet> {
        let count = Count {
            buffer: RefCell::new(vec![0; 256 << 10]),
            ..Count::default()
        };
        Ok(Fleet {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            tasks: LocalSet::new(),
            count: Rc::new(count),
        })
    }

    /// Makes connections, all at once.
    pub fn launch(&mut self, address: SocketAddr, wishes: impl IntoIterator<Item = Wish>) {
        for wish in wishes {
            let count = Rc::clone(&self.count);
            self.tasks.spawn_local(async move {
                if let Err(error) = connection(address, wish, &count).await {
                    count.lost.borrow_mut().get_or_insert(error.to_string());
                    count.changed.notify_one();
                }
            });
        }
    }

    /// Waits until so many are live.
    pub fn until_ready(&mut self, connections: usize) -> Outcome<()> {
        self.until(|count| count.ready.get() >= connections)
    }

    /// Waits until so many have all their events.
    pub fn until_content(&mut self, connections: usize) -> Outcome<()> {
        self.until(|count| count.content.get() >= connections)
    }

    /// Waits until all together have so many events.
    pub fn until_got(&mut self, events: f64) -> Outcome<()> {
        while wide(self.count.events.get()) < events {
            self.linger(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Goes on for so long.
    pub fn linger(&mut self, time: Duration) {
        let wait = async { tokio::time::sleep(time).await };
        self.tasks.block_on(&self.runtime, wait);
    }

    fn until(&mut self, done: impl Fn(&Count) -> bool) -> Outcome<()> {
        let count = Rc::clone(&self.count);
        let wait = async {
            while !done(&count) {
                if let Some(error) = count.lost.borrow_mut().take() {
                    return Err(error);
                }
                count.changed.notified().await;
            }
            Ok(())
        };
        let (runtime, tasks) = (&self.runtime, &self.tasks);
        let limited = async { tokio::time::timeout(LIMIT, wait).await };
        match tasks.block_on(runtime, limited) {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(format!(
                "not done after {} s: {} live, {} content, {} events",
                LIMIT.as_secs(),
                self.count.ready.get(),
                self.count.content.get(),
                self.count.events.get(),
            )
            .into()),
        }
    }
}

async fn connection(address: SocketAddr, wish: Wish, count: &Count) -> Outcome<()> {
    let socket = TcpSocket::new_v4()?;
    if wish.stalls {
        socket.set_recv_buffer_size(4 << 10)?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    let form = ["json", "bin"][usize::from(wish.binary)];
    let request = format!(
        "GET /wakelog HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: wakelog.v1.{form}\r\n\r\n"
    );
    send(&stream, request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        stream.readable().await?;
        let mut byte = [0; 256];
        match stream.try_read(&mut byte) {
            Ok(0) => return Err("no upgrade".into()),
            Ok(read) => head.extend_from_slice(&byte[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut words = frame(words::HELLO);
    words.extend(frame(&words::subscribe(&wish.topic, wish.start)));
    send(&stream, &words).await?;
    if wish.stalls {
        count.ready.set(count.ready.get() + 1);
        count.changed.notify_one();
        std::future::pending::<()>().await;
    }
    read(&stream, &wish, count).await
}

async fn read(stream: &TcpStream, wish: &Wish, count: &Count) -> Outcome<()> {
    let (event, stamp) = match wish.binary {
        true => (words::EVENT_BIN, words::STAMP_BIN),
        false => (words::EVENT, words::STAMP),
    };
    let (mut events, mut live) = (Needle::new(event), Needle::new(words::LIVE));
    let stamp = Finder::new(stamp);
    let (mut is_live, mut got, mut bytes, mut paid) = (false, 0, 0, 0);
    loop {
        stream.readable().await?;
        let more = {
            let mut buffer = count.buffer.borrow_mut();
            let read = match stream.try_read(&mut buffer) {
                Ok(0) => return Err("the server has closed".into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            };
            let chunk = &buffer[..read];
            bytes += u64::try_from(read)?;
            count.bytes.set(count.bytes.get() + u64::try_from(read)?);
            if wish.topic == "live" {
                arrived(&stamp, chunk, count);
            }
            if !is_live && live.count(chunk) > 0 {
                is_live = true;
                count.ready.set(count.ready.get() + 1);
                count.changed.notify_one();
            }
            events.count(chunk)
        };
        got += more;
        count.events.set(count.events.get() + more);
        if got >= wish.events && got - more < wish.events {
            count.content.set(count.content.get() + 1);
            count.changed.notify_one();
        }
        if got - paid >= CREDIT {
            let credit = words::credit(got - paid, bytes);
            (paid, bytes) = (got, 0);
            send(stream, &frame(&credit)).await?;
        }
    }
}

fn arrived(stamp: &Finder<'_>, chunk: &[u8], count: &Count) {
    let now = words::clock();
    let mut delays = count.delays.borrow_mut();
    for at in stamp.find_iter(chunk) {
        let digits = chunk.get(at + stamp.needle().len()..);
        let digits = digits.and_then(|rest| rest.get(..words::STAMP_DIGITS));
        let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(then) = text.and_then(|text| text.parse::<u64>().ok()) {
            delays.push(now.saturating_sub(then));
        }
    }
}

/// A text message of a client, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(short) if short < 126 => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 126);
            let long = u16::try_from(text.len()).unwrap_or(u16::MAX);
            frame.extend_from_slice(&long.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

async fn send(stream: &TcpStream, mut bytes: &[u8]) -> Outcome<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Counts a word in a stream that comes in pieces.
struct Needle {
    finder: Finder<'static>,
    /// The end of what came before, too short to hold the word.
    tail: Vec<u8>,
}

impl Needle {
    fn new(word: &'static [u8]) -> Needle {
        Needle {
            finder: Finder::new(word),
            tail: Vec::new(),
        }
    }

    fn count(&mut self, chunk: &[u8]) -> u64 {
        let keep = self.finder.needle().len() - 1;
        let mut joint = std::mem::take(&mut self.tail);
        joint.extend_from_slice(&chunk[..chunk.len().min(keep)]);
        let across = self.finder.find_iter(&joint).count();
        let within = self.finder.find_iter(chunk).count();
        if chunk.len() >= keep {
            joint.clear();
            joint.extend_from_slice(&chunk[chunk.len() - keep..]);
        } else {
            joint.drain(..joint.len().saturating_sub(keep));
        }
        self.tail = joint;
        u64::try_from(across + within).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_counted_once_however_it_is_cut() {
        let text = b"x{\"offset\":1,{\"offset\":2}{\"off{\"offset\":3".repeat(7);
        for size in 1..40 {
            let mut needle = Needle::new(words::EVENT);
            let found: u64 = text.chunks(size).map(|piece| needle.count(piece)).sum();
            assert_eq!(found, 21, "{size}");
        }
    }
}

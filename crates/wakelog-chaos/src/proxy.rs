//! Between a client and the server: everything that a network does to a connection.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::random::Random;

/// What all proxies of a run share.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// Where the server listens; 0 while there is none.
    pub(crate) server: AtomicU16,
    /// No more faults.
    pub(crate) calm: AtomicBool,
    /// How many connections were cut, and how many of them in each way.
    pub(crate) cuts: AtomicU64,
    pub(crate) half_closed: AtomicU64,
    pub(crate) black_holes: AtomicU64,
}

/// Opens a proxy and returns its port.
///
/// One in `short` connections ends after any number of bytes, be it one; on the others much is
/// said first.
pub(crate) async fn open(
    network: Arc<Network>,
    mut random: Random,
    short: u64,
) -> std::io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let plan = Plan::draw(&mut random, short);
            tokio::spawn(carry(client, plan, Arc::clone(&network)));
        }
    });
    Ok(port)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both directions at once.
    Cut,
    /// One direction ends, the other goes on for a while.
    HalfClose,
    /// Nothing comes through any more, and nobody is told.
    BlackHole,
}

/// What happens to one connection.
#[derive(Clone, Copy, Debug)]
struct Plan {
    end: End,
    /// After so many bytes from the server, or from the client, or after so long.
    down: u64,
    up: u64,
    longest: Duration,
    /// Each piece waits so long, and is at most so large.
    delay: Duration,
    piece: usize,
    seed: u64,
}

impl Plan {
    fn draw(random: &mut Random, short: u64) -> Self {
        let end = match random.below(10) {
            0 | 1 => End::HalfClose,
            2 => End::BlackHole,
            _ => End::Cut,
        };
        // Small numbers as often as large ones: the upgrade and the first messages are cut too.
        let mut bytes = |least: u64, most: u64| {
            let scale = 1 << (least + random.below(most - least));
            scale + random.below(scale)
        };
        let (down, up) = (bytes(0, 18), bytes(0, 14));
        let long = (bytes(14, 20), bytes(14, 20));
        let (down, up) = match random.one_in(short) {
            true => (down, up),
            false => long,
        };
        let slow = random.one_in(4);
        Self {
            end,
            down,
            up,
            longest: Duration::from_millis(100 + random.below(2_000)),
            delay: Duration::from_millis(if slow { random.below(20) } else { 0 }),
            piece: if random.one_in(3) { 7 } else { 16 << 10 },
            seed: random.next(),
        }
    }
}

async fn carry(client: TcpStream, plan: Plan, network: Arc<Network>) {
    let server = network.server.load(Ordering::Acquire);
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let random = Random::new(plan.seed);
    let calm = &network.calm;
    let mut up = Way::new(from_client, to_server, plan.up, random.branch("up"));
    let mut down = Way::new(from_server, to_client, plan.down, random.branch("down"));
    let (is_ours, of_client) = tokio::select! {
        cut = up.pass(plan, calm) => (cut, true),
        cut = down.pass(plan, calm) => (cut, false),
        () = too_long(plan, calm) => (true, plan.seed % 2 == 0),
    };
    if !is_ours {
        return; // one side has ended it by itself
    }
    network.cuts.fetch_add(1, Ordering::Relaxed);
    match plan.end {
        End::Cut => {}
        End::HalfClose => {
            network.half_closed.fetch_add(1, Ordering::Relaxed);
            let (ends, goes_on) = match of_client {
                true => (&mut up, &mut down),
                false => (&mut down, &mut up),
            };
            let _ = ends.to.shutdown().await;
            goes_on.left = u64::MAX;
            let _ = timeout(Duration::from_millis(300), goes_on.pass(plan, calm)).await;
        }
        End::BlackHole => {
            network.black_holes.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(3)).await;
        }
    }
}

/// The connection has lasted as long as it may; never, once all is calm.
async fn too_long(plan: Plan, calm: &AtomicBool) {
    sleep(plan.longest).await;
    if calm.load(Ordering::Acquire) {
        std::future::pending::<()>().await;
    }
}

/// One direction of a connection.
struct Way<R, W> {
    from: R,
    to: W,
    /// So many bytes still pass.
    left: u64,
    random: Random,
    buffer: Vec<u8>,
    /// What was read and not yet written, of `buffer`.
    held: Range<usize>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Way<R, W> {
    fn new(from: R, to: W, left: u64, random: Random) -> Self {
        Self {
            from,
            to,
            left,
            random,
            buffer: vec![0; 16 << 10],
            held: 0..0,
        }
    }

    /// Carries bytes; true if the plan ends it, false if a side does. It may be dropped at any
    /// moment and called again: then it goes on with the very next byte, as a network does.
    async fn pass(&mut self, plan: Plan, calm: &AtomicBool) -> bool {
        loop {
            let quiet = calm.load(Ordering::Acquire);
            if self.held.is_empty() {
                if self.left == 0 && !quiet {
                    return true;
                }
                let most = 1 + usize::try_from(self.random.below(1 << 14)).unwrap_or(0);
                let most = match quiet {
                    true => self.buffer.len(),
                    false => most.min(plan.piece),
                };
                let Ok(read @ 1..) = self.from.read(&mut self.buffer[..most]).await else {
                    return false;
                };
                let passes = match calm.load(Ordering::Acquire) {
                    true => read,
                    false => read.min(usize::try_from(self.left).unwrap_or(read)),
                };
                let count = u64::try_from(passes).unwrap_or(u64::MAX);
                self.left = self.left.saturating_sub(count);
                self.held = 0..passes;
            }
            if !quiet && !plan.delay.is_zero() {
                sleep(plan.delay).await;
            }
            while !self.held.is_empty() {
                match self.to.write(&self.buffer[self.held.clone()]).await {
                    Ok(wrote @ 1..) => self.held.start += wrote,
                    _ => return false,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    /// What was read when a direction was given up for a moment is not lost.
    #[tokio::test]
    async fn a_way_that_is_dropped_goes_on_with_the_next_byte() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let ((mut sender, from), (to, mut receiver)) = (duplex(1 << 10), duplex(100));
        let sent = bytes.clone();
        tokio::spawn(async move { sender.write_all(&sent).await });
        let mut random = Random::new(1);
        let plan = Plan {
            delay: Duration::ZERO,
            ..Plan::draw(&mut random, 1)
        };
        let mut way = Way::new(from, to, u64::MAX, random);
        let calm = AtomicBool::new(false);
        let mut came: Vec<u8> = Vec::new();
        let mut piece = [0; 77];
        loop {
            // Reading ends the other future wherever it waits.
            tokio::select! {
                _ = way.pass(plan, &calm) => break,
                read = receiver.read(&mut piece) => came.extend(&piece[..read.unwrap()]),
            }
        }
        drop(way);
        receiver.read_to_end(&mut came).await.unwrap();
        assert!(came == bytes);
    }
}

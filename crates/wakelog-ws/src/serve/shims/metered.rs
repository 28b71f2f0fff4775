//! What goes between the library and the connection: a bound on what one message may cost, pages
//! that the library does not copy, and one write for what is flushed at once.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::protocol::PageMessage;

/// So much that goes out in small pieces is one write.
pub(super) const BUFFER: usize = 4 << 10;

/// So much is read from the connection at a time.
const READ: usize = 4 << 10;

/// So much of that the library takes at a time. It has a buffer of this size as long as the
/// connection lives; clients say little, and seldom.
pub(super) const TAKEN: usize = 256;

/// Counts the bytes that come in until a message is whole, and holds what goes out in front of a
/// page, so that small messages and that page are one write. Nothing else is held: the library does
/// not flush the last thing that it writes, its answer to a close.
///
/// tungstenite bounds the length of a message, but not of how many frames it is made: a million
/// empty ones are still an empty message, and are read in one go for as long as they come.
#[derive(Debug)]
pub(super) struct Metered<I> {
    pub(super) io: I,
    allowance: usize,
    /// Bytes of the message that is coming in.
    pub(super) read: usize,
    /// What was read and not yet taken, at most [`READ`]; then, how that failed, or that it ended.
    ahead: Vec<u8>,
    taken: usize,
    failed: Option<io::Error>,
    ended: bool,
    /// At most [`BUFFER`]; only while there is no page.
    held: Vec<u8>,
    /// Goes out before anything else that is written.
    page: Option<Whole>,
    /// A page follows at once: a flush would be too early.
    pub(super) goes_on: bool,
}

impl<I> Metered<I> {
    pub(super) fn new(io: I, allowance: usize) -> Self {
        Self {
            io,
            allowance,
            read: 0,
            ahead: Vec::new(),
            taken: 0,
            failed: None,
            ended: false,
            held: Vec::new(),
            page: None,
            goes_on: false,
        }
    }
}

/// Events that are shorter than this are copied: a write of one piece costs less than one of three.
const SHORT: usize = 1 << 10;

/// A page as one frame of the WebSocket, which goes around the library: that would copy it.
#[derive(Debug)]
pub(super) struct Whole {
    /// The head of the frame and that of the message; and all the rest if that is short.
    front: Vec<u8>,
    page: Option<PageMessage>,
    written: usize,
}

impl Whole {
    pub(super) fn new(page: PageMessage) -> io::Result<Self> {
        let pieces = page.pieces();
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let data = match page.is_binary() {
            true => Data::Binary,
            false => Data::Text,
        };
        let header = FrameHeader {
            opcode: OpCode::Data(data),
            ..FrameHeader::default()
        };
        let [head, events, tail] = pieces;
        let short = events.len() <= SHORT;
        let copied = if short { length } else { head.len() };
        let mut front = Vec::with_capacity(header.len(to_u64(length)?) + copied);
        header
            .format(to_u64(length)?, &mut front)
            .map_err(io::Error::other)?;
        front.extend_from_slice(head);
        if short {
            front.extend_from_slice(events);
            front.extend_from_slice(tail);
        }
        Ok(Self {
            front,
            page: (!short).then_some(page),
            written: 0,
        })
    }

    /// What is not written yet.
    fn rest(&self) -> [IoSlice<'_>; 3] {
        let mut skip = self.written;
        let page = self.page.as_ref().map(PageMessage::pieces);
        let [_, events, tail] = page.unwrap_or_default();
        [&*self.front, events, tail].map(|piece| {
            let skipped = skip.min(piece.len());
            skip -= skipped;
            IoSlice::new(&piece[skipped..])
        })
    }
}

fn to_u64(length: usize) -> io::Result<u64> {
    u64::try_from(length).map_err(io::Error::other)
}

impl<I: AsyncRead + Unpin> Metered<I> {
    /// Reads, if nothing is left. The library asks with a buffer that it has cleared, also where
    /// nothing comes, and a connection that is woken to send something is asked each time; so the
    /// library is left out of it until there is something.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.taken == self.ahead.len() && self.failed.is_none() && !self.ended {
            let mut space = [const { MaybeUninit::uninit() }; READ];
            let mut buf = ReadBuf::uninit(&mut space);
            let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf));
            (self.failed, self.ended) = (read.err(), buf.filled().is_empty());
            (self.ahead, self.taken) = (buf.filled().to_vec(), 0);
        }
        Poll::Ready(())
    }
}

impl<I: AsyncWrite + Unpin> Metered<I> {
    /// Puts it behind what is held.
    pub(super) fn put(&mut self, mut page: Whole) {
        if !self.held.is_empty() {
            let mut front = std::mem::take(&mut self.held);
            front.append(&mut page.front);
            page.front = front;
        }
        self.page = Some(page);
    }

    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_page(cx))?;
        if !self.held.is_empty() {
            self.page = Some(Whole {
                front: std::mem::take(&mut self.held),
                page: None,
                written: 0,
            });
        }
        self.poll_page(cx)
    }

    /// Until the page is out; `Ok` where there is none.
    pub(super) fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(page) = &mut self.page {
            let (rest, io) = (page.rest(), Pin::new(&mut self.io));
            let written = match &rest {
                [one, others @ ..] if others.iter().all(|piece| piece.is_empty()) => {
                    if one.is_empty() {
                        self.page = None;
                        break;
                    }
                    io.poll_write(cx, one)
                }
                all => io.poll_write_vectored(cx, all),
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => page.written += written,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Carried by the `io::Error` of a message that costs too much.
#[derive(Debug, thiserror::Error)]
#[error("a message is too long on the wire")]
pub(super) struct TooLong;

impl<I: AsyncRead + Unpin> AsyncRead for Metered<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read > self.allowance {
            return Poll::Ready(Err(io::Error::other(TooLong)));
        }
        ready!(self.poll_ahead(cx));
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        let rest = &self.ahead[self.taken..];
        let taken = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..taken]);
        self.taken += taken;
        self.read = self.read.saturating_add(taken);
        if self.taken == self.ahead.len() {
            (self.ahead, self.taken) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Metered<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_page(cx))?;
        if self.goes_on && self.held.len() + buf.len() <= BUFFER {
            self.held.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.goes_on {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

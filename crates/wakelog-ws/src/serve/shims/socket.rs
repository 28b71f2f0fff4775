//! A WebSocket over any stream of bytes, on tungstenite: frames in our clothes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, error::ProtocolError};

use super::metered::{BUFFER, Metered, TAKEN, TooLong, Whole};
use crate::serve::frame::{Frame, FrameError};

/// An upgraded connection as a socket of frames.
#[derive(Debug)]
pub(super) struct Socket<I> {
    library: WebSocketStream<Metered<I>>,
    /// The library has something to send, or may have: an answer to a ping, a message of ours.
    busy: bool,
    /// The library can say nothing more before something comes in.
    starved: bool,
    /// To be sent behind what the library still has.
    page: Option<Whole>,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Socket<I> {
    /// Between `message_bytes` and its double, a message is read and refused in good order; beyond
    /// that, unread. The double is also what a message may cost on the wire, with the heads of all
    /// its frames.
    pub(super) async fn server(io: I, message_bytes: usize) -> Self {
        let longest = message_bytes.saturating_mul(2);
        let config = WebSocketConfig::default()
            .max_message_size(Some(longest))
            .max_frame_size(Some(longest))
            .read_buffer_size(TAKEN)
            .write_buffer_size(BUFFER)
            // The driver gives one message at a time and waits until it is out, so the bound is
            // the longest message; a smaller one would make a large event impossible to deliver.
            .max_write_buffer_size(usize::MAX);
        // What was read ahead belongs to the messages that follow.
        let io = Metered::new(io, longest.saturating_add(TAKEN));
        Self {
            library: WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await,
            busy: true,
            starved: false,
            page: None,
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Stream for Socket<I> {
    type Item = Result<Frame, FrameError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.starved {
            ready!(self.library.get_mut().poll_ahead(cx));
        }
        let message = Pin::new(&mut self.library).poll_next(cx);
        self.starved = message.is_pending();
        let message = ready!(message);
        self.busy = true;
        let Some(message) = message else {
            return Poll::Ready(None);
        };
        // Not by a ping: it may stand between the frames of a message that never ends.
        if matches!(message, Ok(Message::Text(_) | Message::Binary(_))) {
            self.library.get_mut().read = 0;
        }
        Poll::Ready(Some(match message {
            Ok(Message::Text(text)) => Ok(Frame::Text(text.as_str().to_owned())),
            Ok(Message::Binary(_)) => Ok(Frame::Binary),
            Ok(Message::Ping(data) | Message::Pong(data)) => {
                // No part of a message, and with a head and a mask of six bytes.
                let io = self.library.get_mut();
                io.read = io.read.saturating_sub(data.len() + 6);
                Ok(Frame::Alive)
            }
            Ok(Message::Frame(_)) => Ok(Frame::Alive),
            Ok(Message::Close(_)) => Ok(Frame::Closed),
            Err(error) => Err(frame_error(error)),
        }))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Sink<Frame> for Socket<I> {
    type Error = FrameError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        if self.page.is_some() {
            ready!(self.as_mut().poll_flush(cx))?;
        }
        if !self.busy {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.library)
            .poll_ready(cx)
            .map_err(frame_error)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), FrameError> {
        let message = match frame {
            Frame::Text(text) => Message::text(text),
            Frame::Page(page) => {
                let page = Whole::new(page).map_err(|error| frame_error(error.into()))?;
                self.page = Some(page);
                return Ok(());
            }
            Frame::Close { code, reason } => Message::Close(Some(CloseFrame {
                code: CloseCode::from(code),
                reason: reason.into(),
            })),
            // The driver sends nothing else.
            Frame::Binary | Frame::Alive | Frame::Closed => return Ok(()),
        };
        self.busy = true;
        Pin::new(&mut self.library)
            .start_send(message)
            .map_err(frame_error)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        if self.busy {
            self.library.get_mut().goes_on = self.page.is_some();
            let flushed = Pin::new(&mut self.library).poll_flush(cx);
            self.library.get_mut().goes_on = false;
            ready!(flushed).map_err(frame_error)?;
            self.busy = false;
        }
        let Self { library, page, .. } = &mut *self;
        let io = library.get_mut();
        // The page before this one may be half out.
        if let Err(error) = ready!(io.poll_page(cx)) {
            return Poll::Ready(Err(frame_error(error.into())));
        }
        // No frame of the library's is half out now, and from here on what it writes, such as the
        // answer to a ping, waits for the page.
        if let Some(page) = page.take() {
            io.put(page);
        }
        let flushed = ready!(Pin::new(io).poll_flush(cx));
        Poll::Ready(flushed.map_err(|error| frame_error(error.into())))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        Pin::new(&mut self.library)
            .poll_close(cx)
            .map_err(frame_error)
    }
}

fn frame_error(error: tungstenite::Error) -> FrameError {
    use tungstenite::Error;
    match error {
        Error::Capacity(_) => FrameError::TooLong,
        Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) => {
            FrameError::TooLong
        }
        Error::Io(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            FrameError::Cut(error.to_string())
        }
        Error::Utf8(_) => FrameError::NotText,
        _ => FrameError::Broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{EncodedPage, PageMessage};
    use futures_util::{SinkExt as _, StreamExt as _};
    use hyper::body::Incoming;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::io::{self, IoSlice};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use tokio::io::ReadBuf;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

    /// The message of a page.
    fn whole(page: &PageMessage) -> Message {
        match page.is_binary() {
            true => Message::binary(page.pieces().concat()),
            false => Message::text(page.text()),
        }
    }

    /// Pages go around the library, which answers pings meanwhile: no frame stands in another.
    #[tokio::test]
    async fn pages_and_pongs_take_turns_on_a_narrow_connection() {
        const PINGS: usize = 50;
        let (near, far) = tokio::io::duplex(64);
        let sizes = [0, 1, 40, 200, 70_000, 3, 1_024, 1_025, 300_000];
        // Text and binary by turns.
        let page = |size: usize| PageMessage {
            head: b"[".to_vec(),
            page: EncodedPage::one("x".repeat(size), size % 2 == 1),
        };
        let server = async {
            let (mut sink, mut stream) = Socket::server(near, 1 << 10).await.split();
            let send = async {
                for size in sizes {
                    sink.send(Frame::Page(page(size))).await.unwrap();
                    let small = Frame::Text(format!("after {size}"));
                    sink.send(small).await.unwrap();
                }
                // What is left of the pongs.
                loop {
                    sink.flush().await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let hear = async { while let Some(Ok(_)) = stream.next().await {} };
            tokio::select! { () = send => {}, () = hear => {} }
        };
        let client = async {
            let socket = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
            let (mut sink, mut stream) = socket.split();
            let ping = async {
                for n in 0..PINGS {
                    let n = n.to_string().into_bytes();
                    sink.send(Message::Ping(n.into())).await.unwrap();
                }
            };
            let hear = async {
                let (mut texts, mut pongs) = (Vec::new(), 0);
                while texts.len() < 2 * sizes.len() || pongs == 0 {
                    match stream.next().await.unwrap().unwrap() {
                        Message::Text(text) => texts.push(Message::Text(text)),
                        Message::Binary(bytes) => texts.push(Message::Binary(bytes)),
                        Message::Pong(_) => pongs += 1,
                        other => panic!("{other:?}"),
                    }
                }
                texts
            };
            let ((), texts) = tokio::join!(ping, hear);
            let after = |size| Message::text(format!("after {size}"));
            let expected = sizes.map(|size| [whole(&page(size)), after(size)]);
            assert!(texts == expected.concat(), "texts differ");
        };
        let both = async {
            tokio::select! { () = server => panic!("the server has ended"), () = client => {} }
        };
        let limit = std::time::Duration::from_secs(60);
        tokio::time::timeout(limit, both).await.unwrap();
    }

    /// As the driver does it: the next page is handed over while the one before is half out.
    #[tokio::test]
    async fn a_page_waits_for_the_one_before_it() {
        const PAGES: usize = 20;
        let page = |n: usize| PageMessage {
            head: format!("{n}[").into_bytes(),
            page: EncodedPage::one("x".repeat(50 * n * n), n % 2 == 1),
        };
        let (near, far) = tokio::io::duplex(64);
        let server = async {
            let mut socket = Socket::server(near, 1 << 10).await;
            for n in 0..PAGES {
                socket.feed(Frame::Page(page(n))).await.unwrap();
                // Once, and not until it is done.
                std::future::poll_fn(|cx| {
                    let _ = Pin::new(&mut socket).poll_flush(cx);
                    Poll::Ready(())
                })
                .await;
            }
            socket.flush().await.unwrap();
            socket
        };
        let client = async {
            let mut socket = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
            for n in 0..PAGES {
                let heard = socket.next().await.unwrap().unwrap();
                assert!(heard == whole(&page(n)), "page {n}");
            }
        };
        let both = async { tokio::join!(server, client) };
        let limit = std::time::Duration::from_secs(60);
        tokio::time::timeout(limit, both).await.unwrap();
    }

    /// As the driver ends what its client has closed: the answer is out before the socket is gone.
    #[tokio::test]
    async fn a_close_is_answered() {
        let (near, far) = tokio::io::duplex(1 << 10);
        let server = async {
            let mut socket = Socket::server(near, 1 << 10).await;
            assert_eq!(socket.next().await, Some(Ok(Frame::Closed)));
            socket.close().await.unwrap();
        };
        let client = async {
            let mut socket = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
            socket.send(Message::Close(None)).await.unwrap();
            let answer = socket.next().await.unwrap();
            assert!(matches!(answer, Ok(Message::Close(_))), "{answer:?}");
        };
        tokio::join!(server, client);
    }

    /// Counts how often it is written to.
    struct Counting(tokio::io::DuplexStream, usize);

    impl AsyncRead for Counting {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Counting {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.1 += 1;
            Pin::new(&mut self.0).poll_write(cx, buf)
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all = bufs.iter().flat_map(|buf| buf.iter().copied());
            self.poll_write(cx, &all.collect::<Vec<_>>())
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn what_is_flushed_at_once_is_one_write() {
        let (near, far) = tokio::io::duplex(1 << 20);
        let mut client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        let mut socket = Socket::server(Counting(near, 0), 1 << 10).await;
        let mut writes = 0;
        for size in [10, 1_000, 2_000, 100_000] {
            let page = PageMessage {
                head: b"[".to_vec(),
                page: EncodedPage::one("x".repeat(size), false),
            };
            let expected = ["welcome", "subscribed", &page.text()].map(Message::text);
            for frame in ["welcome", "subscribed"].map(|text| Frame::Text(text.into())) {
                socket.feed(frame).await.unwrap();
            }
            socket.feed(Frame::Page(page)).await.unwrap();
            socket.flush().await.unwrap();
            writes += 1;
            assert_eq!(socket.library.get_ref().io.1, writes, "{size}");
            for message in expected {
                assert!(client.next().await.unwrap().unwrap() == message, "{size}");
            }
        }
        // And nothing waits for more.
        socket.send(Frame::Text("alone".into())).await.unwrap();
        assert_eq!(
            client.next().await.unwrap().unwrap(),
            Message::text("alone")
        );
        assert_eq!(socket.library.get_ref().io.1, writes + 1);
    }

    /// What a connection brings, one read after the other; none where nothing has come yet.
    struct Script(VecDeque<Option<io::Result<Vec<u8>>>>);

    impl AsyncRead for Script {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let Some(come) = self.0.pop_front().expect("asked once too often") else {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            };
            buf.put_slice(&come?);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Script {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// The library is not asked while nothing comes, and hears all that does: what comes in pieces,
    /// more than it takes at a time, and that the connection has broken, which is said once.
    #[tokio::test]
    async fn what_is_read_ahead_of_the_library_comes_whole() {
        let text = "x".repeat(3 * TAKEN);
        // A mask that changes nothing, and a length in the order of the network.
        let length = u16::try_from(text.len()).unwrap().to_le_bytes();
        let head = [0x81, 0xfe, length[1], length[0], 0, 0, 0, 0];
        let long = [&head[..], text.as_bytes()].concat();
        let short = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
        let come = [
            None,
            Some(long[..5].to_vec()),
            None,
            None,
            Some(long[5..20].to_vec()),
            Some([&long[20..], &short, &short[..3]].concat()),
            None,
            Some(short[3..].to_vec()),
            None,
        ];
        let broken = io::Error::from(io::ErrorKind::ConnectionReset);
        for end in [Err(broken), Ok(Vec::new())] {
            let come = come.iter().map(|come| come.clone().map(Ok));
            let script = come.chain([Some(end)]).collect();
            let mut socket = Socket::server(Script(script), 10_000).await;
            for expected in [&*text, "hi", "hi"] {
                let heard = socket.next().await.unwrap().unwrap();
                assert!(matches!(heard, Frame::Text(text) if text == expected));
            }
            let end = socket.next().await.unwrap();
            assert!(matches!(end, Err(FrameError::Cut(_))), "{end:?}");
        }
    }

    /// Who is kept alive by pings alone is, for as long as it likes.
    #[tokio::test]
    async fn pings_are_no_part_of_a_message() {
        const PINGS: usize = 100;
        let ping = [&[0x89, 0xfd][..], &[0; 4], &[b'p'; 125]].concat();
        let text = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
        let pings = (0..PINGS).map(|_| Some(Ok(ping.clone())));
        let script = pings.chain([Some(Ok(text.to_vec()))]).collect();
        let mut socket = Socket::server(Script(script), 1_000).await;
        for _ in 0..PINGS {
            let heard = socket.next().await.unwrap();
            assert!(matches!(heard, Ok(Frame::Alive)), "{heard:?}");
        }
        let heard = socket.next().await.unwrap();
        assert!(matches!(heard, Ok(Frame::Text(text)) if text == "hi"));
    }

    /// As long as the longest message of the cases, of bytes as small frames.
    const LONGEST: usize = 64 << 20;

    /// A program of Python's packages: beside the Python that `WAKELOG_PYTHON` names, or on the
    /// path. Without it the test is skipped, loudly; with `WAKELOG_REQUIRE_ALL=1` it has failed.
    fn tool(name: &str) -> Option<PathBuf> {
        let python = std::env::var_os("WAKELOG_PYTHON").map(PathBuf::from);
        let beside = python.as_deref().and_then(Path::parent);
        let tool = beside.map_or_else(|| PathBuf::from(name), |bin| bin.join(name));
        let mut check = Command::new(&tool);
        let check = check.arg("--help").stdout(Stdio::null()).status();
        if check.is_ok_and(|status| status.success()) {
            return Some(tool);
        }
        let required = std::env::var_os("WAKELOG_REQUIRE_ALL").is_some_and(|value| value == "1");
        assert!(!required, "no {name}");
        println!("SKIPPED: no {name}; set WAKELOG_PYTHON to a Python that has it");
        None
    }

    /// Says what it hears, and ends broken connections as the driver does.
    async fn echo<I: AsyncRead + AsyncWrite + Unpin>(io: I) {
        let mut socket = Socket::server(io, LONGEST).await;
        while let Some(heard) = socket.library.next().await {
            match heard {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                    socket.library.get_mut().read = 0;
                    if socket.library.send(message).await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    let (error, reason) = (frame_error(error), "");
                    let code = error.close_code().number();
                    if !matches!(error, FrameError::Cut(_)) {
                        let _ = socket.send(Frame::Close { code, reason }).await;
                    }
                    return;
                }
            }
        }
    }

    async fn upgrade(mut request: Request<Incoming>) -> Result<Response<String>, Infallible> {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move { echo(TokioIo::new(upgraded.await.unwrap())).await });
        Ok(create_response_with_body(&request, String::new).unwrap())
    }

    async fn serve(stream: TcpStream) {
        let http = hyper::server::conn::http1::Builder::new();
        let service = hyper::service::service_fn(upgrade);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let _ = connection.with_upgrades().await;
    }

    /// The cases of the Autobahn test suite, but those of compression, which we do not have.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_cases_of_rfc_6455_pass() {
        let Some(kosoku) = tool("kosoku") else {
            return;
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        let reports = tempfile::tempdir().unwrap();
        let mut run = Command::new(kosoku);
        run.args(["-x", "12.*", "-x", "13.*", "-o"])
            .arg(reports.path());
        run.arg(address).stdout(Stdio::null());
        let status = tokio::task::spawn_blocking(move || run.status().unwrap()).await;
        let index = std::fs::read(reports.path().join("index.json"));
        let index = index.unwrap_or_else(|error| panic!("{status:?}: {error}"));
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        let agents = index.as_object().unwrap().values();
        let (mut count, mut found) = (0, std::collections::BTreeMap::new());
        for (case, result) in agents.flat_map(|cases| cases.as_object().unwrap()) {
            count += 1;
            for what in ["behavior", "behaviorClose"] {
                let how = result[what].as_str().unwrap();
                let fine = ["OK", "NON-STRICT", "INFORMATIONAL"].contains(&how);
                assert!(fine, "case {case}, {what}: {how}");
                *found.entry((what, how.to_owned())).or_insert(0) += 1;
            }
        }
        println!("{count} cases: {found:?}");
        assert!(count > 200, "{count} cases");
    }
}

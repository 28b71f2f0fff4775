//! Sockets and time for the [`Desk`].

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Sink, SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::builder::Settings;
use super::desk::{Command, Desk, FAREWELL};
use super::event::Ended;
use super::wire::{decode, decode_binary, encode};
use crate::protocol::{ClientMessage, Hello, SUBPROTOCOL, SUBPROTOCOL_BIN, Welcome};

/// A message of the server may be one event of any size that its log takes.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

const CUT: u16 = 1006;
const SILENT: u16 = 4408;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects, talks, and comes back, until something final happens or nobody asks any more.
pub(super) async fn run(
    settings: Settings,
    mut desk: Desk,
    mut commands: UnboundedReceiver<Command>,
    state: watch::Sender<State>,
) {
    while desk.ended.is_none() {
        let dialed = timeout(desk.patience(), dial(&settings));
        let mut not_before = Duration::ZERO;
        let code = match meanwhile(&mut desk, &mut commands, dialed).await {
            Some(Ok(Ok((socket, hello)))) => {
                converse(&mut desk, &mut commands, socket, hello, &state).await
            }
            Some(Ok(Err(error))) => {
                tracing::debug!(%error, "no connection");
                not_before = retry_after(&error);
                CUT
            }
            Some(Err(_)) | None => CUT,
        };
        let Some(wait) = desk.lost(code, Instant::now()) else {
            break;
        };
        state.send_replace(State::Away);
        meanwhile(&mut desk, &mut commands, sleep(wait.max(not_before))).await;
    }
    let ended = desk.ended.clone().unwrap_or(Ended::Closed);
    state.send_replace(State::Ended(ended));
    desk.end();
}

/// Where a client is.
#[derive(Clone, Debug)]
pub(super) enum State {
    Away,
    Open(Arc<Welcome>),
    Ended(Ended),
}

/// Does the work and what handles ask for meanwhile; none if the client ends before.
async fn meanwhile<T>(
    desk: &mut Desk,
    commands: &mut UnboundedReceiver<Command>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    while desk.ended.is_none() {
        tokio::select! {
            done = &mut work => return Some(done),
            command = commands.recv() => take(desk, command),
        }
    }
    None
}

fn take(desk: &mut Desk, command: Option<Command>) {
    match command {
        Some(command) => desk.take(command, Instant::now()),
        // All handles are gone.
        None => desk.ended = Some(Ended::Closed),
    }
}

/// A connection, and the `hello` for it.
async fn dial(settings: &Settings) -> Result<(Socket, String), Error> {
    let token = match &settings.token {
        Some(token) => token().await,
        None => None,
    };
    let hello = encode(&ClientMessage::Hello(Hello {
        consumer: settings.consumer.clone(),
        token,
        client: Some(concat!("wakelog-ws/", env!("CARGO_PKG_VERSION")).to_owned()),
    }));
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let request = request(settings)?;
    let (socket, _) = connect_async_with_config(request, Some(config), true).await?;
    Ok((socket, hello))
}

fn request(settings: &Settings) -> Result<Request, Error> {
    let mut request = settings.url.as_str().into_client_request()?;
    let headers = request.headers_mut();
    // A server that does not know the first takes the second.
    let offer = format!("{SUBPROTOCOL_BIN}, {SUBPROTOCOL}");
    headers.insert("sec-websocket-protocol", HeaderValue::from_str(&offer)?);
    for (name, value) in &settings.headers {
        let name: HeaderName = name.parse().map_err(|_| Error::Utf8(name.clone()))?;
        headers.append(name, HeaderValue::from_str(value)?);
    }
    Ok(request)
}

/// A server that is full says when to come back.
fn retry_after(error: &Error) -> Duration {
    let Error::Http(response) = error else {
        return Duration::ZERO;
    };
    let header = response.headers().get("retry-after");
    let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
    match response.status() {
        StatusCode::SERVICE_UNAVAILABLE => Duration::from_secs(seconds.unwrap_or(0)),
        _ => Duration::ZERO,
    }
}

/// One connection, to its end; returns the close code.
async fn converse(
    desk: &mut Desk,
    commands: &mut UnboundedReceiver<Command>,
    socket: Socket,
    hello: String,
    state: &watch::Sender<State>,
) -> u16 {
    let (sink, mut stream) = socket.split();
    let (out, queue) = unbounded_channel();
    // Written beside the reading, so that two sides that write never wait for each other.
    let mut writing = pin!(write(sink, queue));
    let _ = out.send(Message::text(hello));
    let mut heard = Instant::now();
    let mut greeted = false;
    while desk.ended.is_none() {
        for text in desk.out.drain(..) {
            let _ = out.send(Message::text(text));
        }
        tokio::select! {
            () = &mut writing => return CUT,
            message = stream.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    heard = Instant::now();
                    match decode(&text) {
                        Ok(message) => desk.hear(message, heard),
                        Err(error) => {
                            tracing::warn!(%error, "the server sent what is no message");
                            return CUT;
                        }
                    }
                }
                Some(Ok(Message::Binary(bytes))) => {
                    heard = Instant::now();
                    match decode_binary(&bytes) {
                        Some(message) => desk.hear(message, heard),
                        None => {
                            tracing::warn!("the server sent a broken page");
                            return CUT;
                        }
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    return frame.map_or(CUT, |frame| frame.code.into());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return CUT,
            },
            command = commands.recv() => take(desk, command),
            () = sleep_until((heard + desk.patience()).into()) => return SILENT,
            () = until(desk.due()) => desk.wake(Instant::now()),
        }
        if let (false, Some(welcome)) = (greeted, desk.welcome()) {
            greeted = true;
            state.send_replace(State::Open(welcome));
        }
    }
    for text in desk.out.drain(..) {
        let _ = out.send(Message::text(text));
    }
    let _ = out.send(Message::Close(None));
    drop(out);
    // The server closes once it has taken what came before.
    let farewell = async {
        writing.await;
        while let Some(Ok(_)) = stream.next().await {}
    };
    let _ = timeout(FAREWELL, farewell).await;
    CUT
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}

/// Ends when the socket takes no more, or when there is nothing to come.
async fn write(mut sink: impl Sink<Message> + Unpin, mut queue: UnboundedReceiver<Message>) {
    while let Some(message) = queue.recv().await {
        if sink.feed(message).await.is_err() {
            return;
        }
        // What is there already goes out together.
        while let Ok(message) = queue.try_recv() {
            if sink.feed(message).await.is_err() {
                return;
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
}

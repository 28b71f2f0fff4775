//! Takes connections, and bounds what a stranger can do before anything is known of it: how long
//! and how large the head of a request may be, and how many connections there are without one.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// After an error of the system, such as too many open files, it is left alone for a moment.
const PAUSE: Duration = Duration::from_millis(100);

/// What a connection may cost until it is upgraded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long the head of a request may take; also how long the next one is waited for.
    pub(super) head: Duration,
    /// How large it may be, in bytes.
    pub(super) head_bytes: usize,
    /// How many headers it may have.
    pub(super) headers: usize,
    /// How long a connection lives that is not upgraded, whatever it asks for.
    pub(super) life: Duration,
    /// How many there are at a time; others wait until one of them has ended.
    pub(super) connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            head_bytes: 16 << 10,
            headers: 64,
            life: Duration::from_secs(60),
            connections: 512,
        }
    }
}

/// Answers requests until it is told to stop, then ends what is under way. Connections that were
/// upgraded are the hub's.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        // The sender is kept until the server has ended.
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else {
            continue;
        };
        let (routes, stop) = (routes.clone(), stop.clone());
        connections.spawn(async move {
            // One that lives too long is cut.
            let _ = timeout(limits.life, connection(stream, routes, limits, stop)).await;
            drop(place);
        });
    }
    while connections.join_next().await.is_some() {}
}

type Place = tokio::sync::OwnedSemaphorePermit;

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, Place)> {
    // The place comes first, so that whoever waits for one waits in the system's queue.
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(_) => {
            sleep(PAUSE).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    routes: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    // Live events are small and wait for nothing.
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers);
    let service = TowerToHyperService::new(routes);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection.with_upgrades());
    // Errors are the client's: it is gone, or was no client.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const PATIENCE: Duration = Duration::from_secs(30);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    async fn start(limits: Limits) -> (std::net::SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", get(|| async { "hello" }));
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(serve(listener, routes, limits, stopped));
        (address, stop)
    }

    /// All that comes until the server ends the connection.
    async fn answer(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        // A reset counts as an end.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes))
            .await
            .unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn a_head_that_does_not_end_is_cut() {
        let head = Duration::from_millis(200);
        let limits = Limits {
            head,
            ..Limits::default()
        };
        let (address, _stop) = start(limits).await;
        for part in [&b""[..], b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n"] {
            let mut drip = TcpStream::connect(address).await.unwrap();
            drip.write_all(part).await.unwrap();
            let said = answer(&mut drip).await;
            assert!(!said.contains(" 200 "), "{said}");
        }
        // After a whole request it is the same.
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        assert!(answer(&mut idle).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn a_head_has_so_many_bytes_and_headers() {
        let (address, _stop) = start(Limits::default()).await;
        let long = format!(
            "GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
            "x".repeat(64 << 10)
        );
        let many = format!(
            "GET / HTTP/1.1\r\nhost: x\r\n{}\r\n",
            "x: y\r\n".repeat(100)
        );
        let lawful = format!(
            "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: {}\r\n{}\r\n",
            "x".repeat(8 << 10),
            "x: y\r\n".repeat(40)
        );
        for (head, status) in [(long, " 431 "), (many, " 431 "), (lawful, " 200 ")] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // The answer may come before everything is written.
            let _ = stream.write_all(head.as_bytes()).await;
            let mut line = vec![0; 16];
            let read = timeout(PATIENCE, stream.read_exact(&mut line))
                .await
                .unwrap();
            let line = String::from_utf8_lossy(&line).into_owned();
            assert!(read.is_ok() && line.contains(status), "{line}");
        }
    }

    #[tokio::test]
    async fn half_open_connections_are_counted() {
        let limits = Limits {
            connections: 2,
            head: PATIENCE * 10,
            ..Limits::default()
        };
        let (address, _stop) = start(limits).await;
        let drip = TcpStream::connect(address).await.unwrap();
        let _other = TcpStream::connect(address).await.unwrap();
        let mut third = TcpStream::connect(address).await.unwrap();
        third.write_all(REQUEST).await.unwrap();
        let early = timeout(Duration::from_millis(200), third.read_u8()).await;
        assert!(early.is_err(), "a third connection was answered");
        drop(drip);
        assert!(answer(&mut third).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn a_connection_that_is_not_upgraded_does_not_live_for_ever() {
        let limits = Limits {
            life: Duration::from_millis(300),
            head: PATIENCE * 10,
            ..Limits::default()
        };
        let (address, _stop) = start(limits).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(answer(&mut stream).await, "");
    }

    #[tokio::test]
    async fn it_stops_when_told_and_answers_what_it_has() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stop, stopped) = watch::channel(false);
        let routes = Router::new().route("/", get(|| async { "hello" }));
        let server = tokio::spawn(serve(listener, routes, Limits::default(), stopped));
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut first = vec![0; 15];
        timeout(PATIENCE, stream.read_exact(&mut first))
            .await
            .unwrap()
            .unwrap();
        stop.send(true).unwrap();
        assert!(answer(&mut stream).await.ends_with("hello"));
        timeout(PATIENCE, server).await.unwrap().unwrap();
    }
}

//! Takes connections, and bounds what a stranger can do before anything is known of it: how long
//! and how large the head of a request may be, and how many connections there are without one.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
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
    /// How many there are at a time; one more cuts one of those that there are.
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
    let mut tasks = JoinSet::new();
    let mut open = Vec::new();
    loop {
        // The sender is kept until the server has ended.
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(ended) = tasks.join_next_with_id() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                open.retain(|connection: &Open| connection.task.id() != id);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        if open.len() >= limits.connections {
            cut_one(&mut open);
        }
        let (routes, stop) = (routes.clone(), stop.clone());
        let task = tasks.spawn(async move {
            // One that lives too long is cut.
            let _ = timeout(limits.life, connection(stream, routes, limits, stop)).await;
        });
        let from = network_of(peer.ip());
        open.push(Open { from, task });
    }
    while tasks.join_next().await.is_some() {}
}

/// A connection that is not upgraded.
struct Open {
    from: IpAddr,
    task: AbortHandle,
}

/// Makes room for one more: of the network that has most connections, the oldest is cut. So whoever
/// fills the server with idle ones shuts out nobody but itself.
fn cut_one(open: &mut Vec<Open>) {
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    for connection in &*open {
        *counts.entry(connection.from).or_default() += 1;
    }
    let most = counts.values().max().copied();
    let victim = open
        .iter()
        .position(|connection| counts.get(&connection.from).copied() == most);
    if let Some(victim) = victim {
        open.remove(victim).task.abort();
    }
}

/// Whose address it is: of IPv6, one has at least the last 64 bits to choose from.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address => address,
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

    async fn come(from: [u8; 4], to: std::net::SocketAddr) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        socket.connect(to).await.unwrap()
    }

    #[tokio::test]
    async fn idle_connections_shut_out_nobody_but_their_own() {
        let limits = Limits {
            connections: 8,
            head: PATIENCE * 10,
            life: PATIENCE * 10,
            ..Limits::default()
        };
        let (address, _stop) = start(limits).await;
        // Slow, and there before the others come.
        let mut slow = come([127, 0, 0, 2], address).await;
        slow.write_all(&REQUEST[..10]).await.unwrap();
        let mut idle = Vec::new();
        for _ in 0..100 {
            idle.push(come([127, 0, 0, 1], address).await);
        }
        let mut good = come([127, 0, 0, 3], address).await;
        good.write_all(REQUEST).await.unwrap();
        assert!(answer(&mut good).await.ends_with("hello"));
        slow.write_all(&REQUEST[10..]).await.unwrap();
        assert!(answer(&mut slow).await.ends_with("hello"));
        // The oldest of them are gone, the newest is served.
        assert_eq!(answer(&mut idle[0]).await, "");
        let last = idle.last_mut().unwrap();
        last.write_all(REQUEST).await.unwrap();
        assert!(answer(last).await.ends_with("hello"));
    }

    #[test]
    fn a_network_is_an_address_or_half_of_one() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
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

//! The route that serves the browser client.

use tempfile::tempdir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wakelog_ws::{CLIENT, Hub};

use crate::kit::{Server, log_at, within};

async fn get(server: &Server, header: &str) -> (String, String) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request =
        format!("GET /wakelog.js HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test]
async fn the_client_is_served_with_an_etag_and_not_sent_twice() {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let (head, body) = get(&server, "").await;
    assert!(head.starts_with("http/1.1 200"));
    assert_eq!(body, CLIENT);
    for line in [
        "content-type: text/javascript; charset=utf-8",
        "cache-control: no-cache",
    ] {
        assert!(head.contains(line), "{head}");
    }
    let tag = head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap()
        .to_owned();

    for known in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"x\", {tag}"),
        "*".to_owned(),
    ] {
        let (head, body) = get(&server, &format!("if-none-match: {known}\r\n")).await;
        assert!(head.starts_with("http/1.1 304"), "{known}: {head}");
        assert!(head.contains(&tag) && body.is_empty());
    }
    let (head, _) = get(&server, "if-none-match: \"other\"\r\n").await;
    assert!(head.starts_with("http/1.1 200"));
}

//! Clients that send too much, in ways that no library has.

use tempfile::tempdir;
use tokio::io::AsyncWriteExt as _;
use wakelog_ws::Hub;

use crate::kit::{Server, log_at, within};

/// A million empty frames are an empty message still, and each of them costs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_endless_frames_is_cut() {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let (mut good, _) = server.welcome(None).await;
    let empty = [0x00, 0x80, 0, 0, 0, 0];
    let one_byte = [0x00, 0x81, 0, 0, 0, 0, b'x'];
    let with_pings = [0x00, 0x80, 0, 0, 0, 0, 0x89, 0x80, 0, 0, 0, 0];
    for (n, fragment) in [&empty[..], &one_byte, &with_pings].into_iter().enumerate() {
        let (mut client, _) = server.welcome(None).await;
        let socket = client.socket.get_mut();
        within(socket.write_all(&[0x01, 0x80, 0, 0, 0, 0]))
            .await
            .unwrap();
        let many = fragment.repeat(1_000);
        let mut sent = 0;
        // The server closes in good order while the flood still comes, so writing fails at some
        // moment; what it has read by then is far below a million frames.
        while sent < 1_000 && within(socket.write_all(&many)).await.is_ok() {
            sent += 1;
        }
        assert!(sent < 1_000, "a million frames were read");
        good.publish(&n.to_string(), "a", "others are served").await;
    }
    // Some fragments are fine, over and over.
    let (mut client, _) = server.welcome(None).await;
    let text = br#"{"type":"publish","id":"1","topics":["a"]}"#;
    let (first, rest) = text.split_at(1);
    let mut frames = vec![0x01, 0x81, 0, 0, 0, 0, first[0]];
    for byte in rest {
        frames.extend([0x00, 0x81, 0, 0, 0, 0, *byte]);
    }
    frames.extend([0x80, 0x80, 0, 0, 0, 0]);
    for _ in 0..600 {
        within(client.socket.get_mut().write_all(&frames))
            .await
            .unwrap();
        client.hear("published").await;
    }
}

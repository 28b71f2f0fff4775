//! Forged positions, consumers that never ack, heads that do not end.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::tempdir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wakelog::{Options, Retention, SyncPolicy};
use wakelog_ws::Hub;

use crate::kit::{Server, fill, log_at, offsets, within};
use crate::shims::{Shim, hub, serve};

/// A position is no secret and no right: whatever one is changed to, it is a place of this log, or
/// is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_with_any_bit_changed_opens_nothing() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    fill(&log, "secret", 0..4);
    fill(&log, "a", 4..8);
    let server = Server::start(Hub::new(log).unwrap()).await;
    let (mut client, welcome) = server.welcome(Some("alice")).await;
    let good = welcome["end"].as_str().unwrap().to_owned();
    let mut places = 0;
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(forged) = String::from_utf8(bytes) else {
            continue;
        };
        client.say(json!({"type": "ack", "position": forged})).await;
        let answer = client.next().await.unwrap();
        match answer["type"].as_str().unwrap() {
            // Of this log, at its end or before.
            "ack_ok" => assert_eq!(answer["position"], good),
            _ => {
                assert!(["bad_position", "ack_refused"].contains(&answer["code"].as_str().unwrap()))
            }
        }
        client
            .say(json!({"type": "subscribe", "sub": "s", "filters": ["a"], "position": forged}))
            .await;
        let answer = client.next().await.unwrap();
        match answer["type"].as_str().unwrap() {
            "subscribed" => {
                places += 1;
                // A place before the end, perhaps behind a gap; what comes matches the filter.
                let first = client.next().await.unwrap();
                if first["type"] == "events" {
                    let heard = first["events"].as_array().unwrap();
                    assert!(offsets(heard).iter().all(|offset| *offset >= 4), "{first}");
                }
                client.say(json!({"type": "unsubscribe", "sub": "s"})).await;
                client.find("unsubscribed").await;
            }
            "reset" => {}
            _ => assert_eq!(answer["code"], "bad_position", "{forged}"),
        }
    }
    assert!(places < 16, "{places} of them are places");
}

/// One that is away, or never acks, costs what retention allows, and is told what it missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_consumer_pins_no_disk() {
    const SEGMENT: u64 = 64 << 10;
    const LIMIT: u64 = 4 * SEGMENT;
    let dir = tempdir().unwrap();
    let options = Options::new()
        .segment_bytes(u32::try_from(SEGMENT).unwrap())
        .sync(SyncPolicy::Every(Duration::from_millis(1)))
        .retention(Retention::new().max_bytes(LIMIT));
    let log = options.open(dir.path()).unwrap();
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let (mut stuck, welcome) = server.welcome(Some("stuck")).await;
    assert_eq!(welcome["cursor"]["state"], "new");
    stuck
        .subscribe(&["a"], json!({"credit": {"events": 1, "bytes": 1}}))
        .await;
    stuck.take(0).await;
    let (mut writer, _) = server.welcome(None).await;
    let text = "x".repeat(8 << 10);
    for n in 0..200 {
        writer.publish(&n.to_string(), "a", &text).await;
    }
    log.retain().unwrap();
    let kept = log.next_offset() - log.first_offset();
    assert!(
        kept * (8 << 10) <= LIMIT + SEGMENT,
        "{kept} events are kept"
    );
    drop(stuck);
    let (mut again, _) = server.welcome(Some("stuck")).await;
    again.subscribe(&["a"], json!({})).await;
    let gap = again.hear("gap").await;
    assert_eq!(gap["to"], log.first_offset());
    assert_eq!(
        (&gap["from"], &gap["reason"]),
        (&json!(0), &json!("trimmed"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_does_not_end_or_is_too_large_is_cut() {
    let (_dir, hub) = hub();
    let address = serve(hub, Shim::Tcp).await;
    let mut drip = TcpStream::connect(address).await.unwrap();
    drip.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n")
        .await
        .unwrap();
    let long = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "x".repeat(64 << 10)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "x: y\r\n".repeat(100)
    );
    for head in [long, many] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The answer may come before everything is written.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut line = [0; 13];
        within(stream.read_exact(&mut line)).await.unwrap();
        assert_eq!(&line, b"HTTP/1.1 431 ");
    }
    let mut rest = Vec::new();
    let _ = within(drip.read_to_end(&mut rest)).await;
    assert!(!rest.starts_with(b"HTTP/1.1 2"));
}

/// docs/transport.md says for each kind of abuse which tests fail without what stands against it.
#[test]
fn the_table_of_abuse_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table = std::fs::read_to_string(root.join("docs/transport.md")).unwrap();
    let mut sources = String::new();
    for folder in ["crates/wakelog-ws", "crates/wakelog-cli/src", "src"] {
        read_all(&root.join(folder), &mut sources);
    }
    let numbered = |line: &&str| line.starts_with("| W") && !line.starts_with("| We");
    let rows: Vec<_> = table.lines().filter(numbered).collect();
    assert_eq!(rows.len(), 20);
    for (n, row) in (1..).zip(rows) {
        assert!(row.starts_with(&format!("| W{n} |")), "{row}");
        let tests = row.trim_end_matches(" |").rsplit('|').next().unwrap();
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            assert!(sources.contains(&format!("fn {name}()")), "{name}");
        }
    }
}

fn read_all(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, into);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            into.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

//! The server: a process of its own, so that it can be killed.
//!
//! It is told what to append on its standard input and says what it knows on its standard output, a
//! line of words each: `listening PORT`, `appended ID OFFSET`, `refused ID WHY`, `first OFFSET`,
//! `takes RSS FILES DISK`; `refuses WHY` if it does not open the log, `forgot CONSUMER` if it has
//! deleted a damaged cursor, as whoever runs a server would.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use wakelog::{CursorError, Log, OpenError, Options, Retention, SyncPolicy};
use wakelog_ws::{Hub, Outgoing, Payload, Reconnect};

/// Small, so that segments roll and leave all the time.
const SEGMENT_BYTES: u32 = 128 << 10;
pub(crate) const RETAINED_BYTES: u64 = 2 << 20;

const RECONNECT: Reconnect = Reconnect {
    min_ms: 20,
    max_ms: 200,
};

/// As the defaults of Socket.IO's client: after a second on average, and 5 s at most.
const SLOWLY: Reconnect = Reconnect {
    min_ms: 2_000,
    max_ms: 5_000,
};

/// One that is compared keeps as much as the other server does, and its clients come back as
/// slowly.
fn setting(compared: bool) -> (u32, Retention, Reconnect) {
    let retention = Retention::new();
    if compared {
        let two_minutes = Duration::from_secs(120);
        (4 << 20, retention.max_age(two_minutes), SLOWLY)
    } else {
        let retention = retention.max_bytes(RETAINED_BYTES);
        (SEGMENT_BYTES, retention, RECONNECT)
    }
}

/// Serves until it is told to drain, or killed.
pub(crate) async fn serve(
    dir: &Path,
    compared: bool,
    consumers: &[String],
) -> Result<(), Box<dyn Error>> {
    let (segment_bytes, retention, reconnect) = setting(compared);
    let opened = Options::new()
        .segment_bytes(segment_bytes)
        .sync(SyncPolicy::Every(Duration::from_millis(2)))
        .retention(retention)
        .open(dir);
    let log = match opened {
        Ok(log) => log,
        Err(error) if refuses(&error) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    forget(&log, consumers)?;
    let hub = Hub::builder(log.clone())?
        .heartbeat(Duration::from_millis(250))
        .reconnect(reconnect)
        .publishes_per_second(100_000)
        .build();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("first {}", log.first_offset());
    println!("listening {}", listener.local_addr()?.port());
    let (of_accept, of_tell) = (hub.clone(), log.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let hub = of_accept.clone();
            tokio::spawn(async move { hub.serve_tcp(stream).await });
        }
    });
    let of_dir = dir.to_owned();
    tokio::spawn(async move { tell(&of_tell, &of_dir).await });
    let (sender, mut lines) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = lines.recv().await {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("append"), Some(id), Some(topic), Some(text)) => {
                let event = Outgoing::to(topic, Payload::text(text)).id(id);
                let (hub, id) = (hub.clone(), id.to_owned());
                tokio::spawn(async move {
                    match hub.emit(event).await {
                        Ok(stored) => println!("appended {id} {}", stored.offset),
                        Err(error) => println!("refused {id} {error}"),
                    }
                });
            }
            (Some("drain"), ..) => {
                let soon = Duration::ZERO..=Duration::from_millis(100);
                hub.drain(soon).await;
                break;
            }
            _ => return Err(format!("what is {line}?").into()),
        }
    }
    log.close()?;
    Ok(())
}

/// Whether the log is as it may be after what was done to it, and cannot be opened for that; then
/// it is said.
fn refuses(error: &OpenError) -> bool {
    use OpenError::{Damaged, DiskFull, Foreign, Newer, Older};
    let may_be = matches!(
        error,
        Damaged(_) | DiskFull(_) | Foreign { .. } | Newer { .. } | Older { .. }
    );
    if may_be {
        let why = error.source().map_or_else(String::new, ToString::to_string);
        println!("refuses {error}: {why}");
    }
    may_be
}

/// Says which of these consumers have damaged cursors: they begin anew.
fn forget(log: &Log, consumers: &[String]) -> Result<(), CursorError> {
    for consumer in consumers {
        let name = format!("ws.{consumer}");
        let known = log.wait_acked_timeout(&name, 0, Duration::ZERO);
        if matches!(known, Err(CursorError::Corrupt(_))) {
            println!("forgot {consumer}");
        }
    }
    Ok(())
}

async fn tell(log: &Log, dir: &Path) {
    loop {
        println!("first {}", log.first_offset());
        let (rss, files, disk) = takes(dir);
        println!("takes {rss} {files} {disk}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Bytes of memory, open files, bytes on disk.
fn takes(dir: &Path) -> (u64, u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    // What is mapped from files is the page cache's, and not this process's to bound.
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| Some(entry.metadata().ok()?.len()));
    let files = u64::try_from(files).unwrap_or(u64::MAX);
    (kib.unwrap_or(0) * 1024, files, sizes.sum())
}

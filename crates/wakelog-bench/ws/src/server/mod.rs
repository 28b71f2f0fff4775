//! The servers: the hub, and bare ones that say the same.

mod axum;
mod bare;
mod fast;
mod hub;
mod plain;

use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::process::{SERVER_CORE, pin};
use crate::{Outcome, words};

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `Hub::axum_router`, whose upgrades and frames are the hub's own.
    Wakelog,
    /// The same, to clients that want pages in binary.
    WakelogBin,
    /// An axum handler that says the same messages.
    Axum,
    /// fastwebsockets under hyper, likewise.
    Fast,
    /// axum with a message for each event.
    AxumEach,
    /// fastwebsockets with a message for each event.
    FastEach,
    /// tokio-tungstenite on bare TCP, buffers of 4 KiB.
    Plain,
}

impl Kind {
    pub const ALL: [Kind; 7] = [
        Kind::Wakelog,
        Kind::WakelogBin,
        Kind::Axum,
        Kind::Fast,
        Kind::AxumEach,
        Kind::FastEach,
        Kind::Plain,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Wakelog => "wakelog",
            Kind::WakelogBin => "wakelog, .bin",
            Kind::Axum => "axum",
            Kind::Fast => "fastwebsockets",
            Kind::AxumEach => "axum, a message an event",
            Kind::FastEach => "fastwebsockets, a message an event",
            Kind::Plain => "tokio-tungstenite, 4 KiB buffers",
        }
    }
}

/// What a server does when it is told to.
trait Service {
    /// Makes a backlog of so many events for each of so many rooms.
    fn fill(&mut self, rooms: usize, events: u64) -> Outcome<()>;

    /// Publishes an event to the topic `live`; resolves when it is on its way.
    fn publish(&mut self) -> Outcome<()>;

    /// Publishes so many to the topic `live` as fast as it goes.
    fn flood(&mut self, events: u64) -> Outcome<()>;
}

/// Runs a server until its orders end.
pub fn run(kind: &str, dir: &str) -> Outcome<()> {
    pin(SERVER_CORE)?;
    let kind = Kind::ALL.into_iter().find(|one| one.name() == kind);
    let kind = kind.ok_or("no such server")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    let address = listener.local_addr()?;
    let mut service = start(kind, dir.as_ref(), listener, runtime.handle())?;
    println!("{address}");
    for order in stdin().lock().lines() {
        let answer = obey(service.as_mut(), &order?)?;
        println!("{answer}");
        stdout().flush()?;
    }
    Ok(())
}

fn start(
    kind: Kind,
    dir: &Path,
    listener: TcpListener,
    runtime: &Handle,
) -> Outcome<Box<dyn Service>> {
    let each = matches!(kind, Kind::AxumEach | Kind::FastEach);
    let bare = bare::Bare::new(each);
    let stock = bare.stock();
    match kind {
        Kind::Wakelog | Kind::WakelogBin => {
            return Ok(Box::new(hub::start(dir, listener, runtime)?));
        }
        Kind::Axum | Kind::AxumEach => runtime.spawn(axum::serve(listener, stock)),
        Kind::Fast | Kind::FastEach => runtime.spawn(fast::serve(listener, stock)),
        Kind::Plain => runtime.spawn(plain::serve(listener, stock)),
    };
    Ok(Box::new(bare))
}

fn obey(service: &mut dyn Service, order: &str) -> Outcome<Value> {
    let mut arguments = order.split(' ');
    let word = arguments.next().unwrap_or_default();
    let mut number = || -> Outcome<u64> { Ok(arguments.next().ok_or("a number")?.parse()?) };
    match word {
        "cpu" => Ok(cpu().into()),
        "fill" => {
            let (rooms, events) = (number()?, number()?);
            service.fill(usize::try_from(rooms)?, events)?;
            Ok(Value::Null)
        }
        "flood" => {
            service.flood(number()?)?;
            Ok(Value::Null)
        }
        // So many events, so many a second.
        "publish" => {
            let (events, rate) = (number()?, number()?);
            publish(service, events, rate)
        }
        _ => Err(format!("no such order: {order}").into()),
    }
}

fn publish(service: &mut dyn Service, events: u64, rate: u64) -> Outcome<Value> {
    let mut times = Vec::new();
    let mut next = Instant::now();
    for _ in 0..events {
        let begin = words::clock();
        service.publish()?;
        times.push(words::clock() - begin);
        if rate > 0 {
            next += Duration::from_secs(1) / u32::try_from(rate)?;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
    Ok(json!(times))
}

/// Processor time of all threads, those that have ended too.
fn cpu() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

//! One run: everybody starts, everything happens, everything heals, the history is checked.

use std::io::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::check::{Verdict, check};
use crate::child::Server;
use crate::clients::END;
use crate::history::{Bounds, Fact};
use crate::people::consumers;
use crate::power::Disk;
use crate::producers::append_one;
use crate::proxy::{Network, open};
use crate::random::Random;
use crate::record::Record;
use crate::server::RETAINED_BYTES;
use crate::target::{People, Target};

const BOUNDS: Bounds = Bounds {
    rss: 64 << 20,
    files: 200,
    // Retention, the active segment and one made ahead, cursors, ids, indexes.
    disk: RETAINED_BYTES + (8 << 20),
};

/// What to do, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) target: Target,
    pub(crate) faults: Faults,
    /// A producer waits for so long at most between an answer and its next event, in milliseconds.
    pub(crate) pace: u64,
    /// It goes on until all of these are reached.
    pub(crate) least: Duration,
    pub(crate) cuts: u64,
    pub(crate) kills: u64,
    /// Windows in which the disk is full; where a disk can be mounted.
    pub(crate) full: u64,
    /// Each kill flips a bit of the log, and the power stays.
    pub(crate) flips: Option<u64>,
    /// How long clients have to come to the end once the faults have ended.
    pub(crate) healing: Duration,
    pub(crate) power: Power,
    /// Where the log lives; a temporary directory otherwise.
    pub(crate) dir: Option<PathBuf>,
    /// Where disks are made and mounted.
    pub(crate) home: PathBuf,
    pub(crate) node: Option<PathBuf>,
    pub(crate) python: Option<PathBuf>,
}

/// What happens beside the cuts of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faults {
    /// All that wakelog is meant for, as often as can be, to all kinds of clients.
    Own,
    /// Nothing: the server stays. For comparisons, with clients that every target can have.
    Cuts,
    /// Every 5 to 15 s the server is killed, or rarely drained or paused. For comparisons too.
    CutsAndKills,
}

/// Does the power go, one kill of ten, and is the disk full now and then?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    Required,
    /// Where a disk can be mounted; elsewhere it says that it does not.
    Try,
    Stays,
}

/// What has happened.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) kills: u64,
    pub(crate) power_cuts: u64,
    pub(crate) drains: u64,
    pub(crate) pauses: u64,
    /// Second connections that came, and how many there were to be.
    pub(crate) fences: u64,
    pub(crate) to_fence: u64,
    /// Windows with a full disk in which events were refused, and all of them.
    pub(crate) full: u64,
    pub(crate) to_fill: u64,
    /// Bits that were flipped, and how many of them kept the server from opening the log.
    pub(crate) flips: u64,
    pub(crate) refused: u64,
    pub(crate) took: Duration,
    pub(crate) healed: Duration,
    pub(crate) network: Arc<Network>,
    pub(crate) verdict: Verdict,
    pub(crate) history: Vec<Fact>,
    /// Why it did not come to its end.
    pub(crate) broken: Option<String>,
}

pub(crate) struct Stage {
    pub(crate) random: Random,
    pub(crate) network: Arc<Network>,
    pub(crate) record: Record,
    pub(crate) calm: Arc<AtomicBool>,
    pub(crate) server: Arc<Mutex<Server>>,
    /// Power can be lost, and a disk be full.
    pub(crate) has_disk: bool,
    pub(crate) clients: JoinSet<Result<()>>,
    pub(crate) producers: Vec<JoinHandle<()>>,
    /// Those who speak to a server that is not wakelog's.
    pub(crate) others: Option<People>,
}

pub(crate) async fn run(plan: &Plan) -> Result<Done> {
    let temporary = tempfile::tempdir()?;
    let disk = disk(plan).await?;
    let place = disk.as_ref().map(Disk::path);
    let place = place.unwrap_or_else(|| temporary.path().to_owned());
    let dir = plan.dir.clone().unwrap_or_else(|| place.join("log"));
    let network = Arc::new(Network::default());
    let record = Record::default();
    let has_disk = disk.is_some();
    let consumers = consumers();
    let mut server = Server::new(
        plan.target.clone(),
        dir,
        consumers,
        disk,
        Arc::clone(&network),
        record.clone(),
    );
    server.start().await?;
    let mut stage = Stage {
        random: Random::new(plan.seed),
        network,
        record,
        calm: Arc::default(),
        server: Arc::new(Mutex::new(server)),
        has_disk,
        clients: JoinSet::new(),
        producers: Vec::new(),
        others: None,
    };
    let mut done = Done {
        network: Arc::clone(&stage.network),
        ..Done::default()
    };
    if let Err(error) = stage.all(plan, &mut done).await {
        done.broken = Some(error.to_string());
    }
    done.history = stage.record.take();
    if let Target::Wakelog { compared } = plan.target {
        let disk = if compared { u64::MAX } else { BOUNDS.disk };
        done.verdict = check(&done.history, Bounds { disk, ..BOUNDS });
    }
    Ok(done)
}

/// What can lose power, if it is to and can be had.
async fn disk(plan: &Plan) -> Result<Option<Disk>> {
    let stays = plan.power == Power::Stays || plan.flips.is_some();
    if stays || (plan.dir.is_some() && plan.power == Power::Try) {
        if plan.full > 0 {
            eprintln!("\n!!! NOT TESTED: full disks, in a run without a disk of its own\n");
        }
        return Ok(None);
    }
    match Disk::make(&plan.home).await {
        Ok(disk) => Ok(Some(disk)),
        Err(error) if plan.power == Power::Try => {
            eprintln!("\n!!! NOT TESTED: losses of power, full disks: {error}\n");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Stage {
    async fn all(&mut self, plan: &Plan, done: &mut Done) -> Result<()> {
        let start = Instant::now();
        self.people(plan).await?;
        match plan.faults {
            Faults::Own => self.faults(plan, done).await?,
            _ => self.few_faults(plan, done).await?,
        }
        done.took = start.elapsed();
        self.heal(plan, done).await
    }

    /// A proxy.
    pub(crate) async fn port(&self, name: &str) -> Result<u16> {
        let short = match name {
            "second connections" => u64::MAX,
            _ if name.starts_with("producer") => 4,
            _ => 2,
        };
        let random = self.random.branch(name);
        open(Arc::clone(&self.network), random, short).await
    }

    /// Where a proxy of one's own listens.
    pub(crate) async fn url(&self, name: &str) -> Result<String> {
        let port = self.port(name).await?;
        Ok(format!("ws://127.0.0.1:{port}/wakelog"))
    }

    /// No more faults and no more events; then one last event, which everybody gets.
    async fn heal(&mut self, plan: &Plan, done: &mut Done) -> Result<()> {
        self.network.calm.store(true, Ordering::Release);
        self.calm.store(true, Ordering::Release);
        let start = Instant::now();
        let all = async {
            for producer in self.producers.drain(..) {
                producer.await.map_err(Error::other)?;
            }
            if let Some(others) = &self.others {
                others.gather().await?;
            }
            append_one(&self.server, &self.record, "the-end", END, "that is all").await;
            while let Some(ended) = self.clients.join_next().await {
                ended.map_err(Error::other)??;
            }
            Ok::<_, Error>(())
        };
        match timeout(plan.healing, all).await {
            Ok(ended) => ended?,
            Err(_) => {
                let text = format!("not all clients were at the end within {:?}", plan.healing);
                done.broken = Some(text);
            }
        }
        done.healed = start.elapsed();
        // What was let go last is told before the server ends.
        sleep(Duration::from_millis(250)).await;
        self.server.lock().await.drain().await
    }
}

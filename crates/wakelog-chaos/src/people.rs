//! Everybody who takes part: those who listen, in this process and in others, and the producers.

use std::io::Result;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;

use crate::clients::{END, Kind, Setting, foreign, live};
use crate::producers::{append, arrive, publish};
use crate::run::{Faults, Plan, Stage};
use crate::target::{LISTENERS, Line, People, SHUNNED, Target};

pub(crate) const PRODUCERS: u64 = 4;
const WORKERS: u64 = 96;

fn kind(name: &str, filters: &[&str]) -> Kind {
    Kind {
        name: name.to_owned(),
        filters: filters.iter().map(|&filter| filter.to_owned()).collect(),
        has_cursor: false,
        takes: Duration::ZERO,
        after: Duration::ZERO,
    }
}

/// Steady, slow, late; with a cursor or with their own position; filters that overlap.
fn kinds() -> Vec<Kind> {
    let mut kinds = vec![
        kind("steady-all", &[">"]),
        kind("steady-rooms", &["room.*", "room.1", "news"]),
        kind("slow-own", &["room.*"]),
        kind("cursor-all", &[">"]),
        kind("cursor-news", &["news", "room.3"]),
        kind("slow-cursor", &["room.2", "room.*"]),
        kind("late-own", &["room.>"]),
        kind("late-cursor", &["room.0", "news"]),
    ];
    for kind in &mut kinds {
        kind.has_cursor = kind.name.contains("cursor");
        if kind.name.starts_with("slow") {
            kind.takes = Duration::from_millis(25);
        }
        if kind.name.starts_with("late") {
            kind.after = Duration::from_secs(8);
        }
    }
    kinds
}

/// All who may have a cursor.
pub(crate) fn consumers() -> Vec<String> {
    let producers = (0..PRODUCERS).map(|n| format!("producer-{n}"));
    let others = ["node", "python"].map(str::to_owned);
    let kinds = kinds().into_iter().map(|kind| kind.name);
    kinds.chain(others).chain(producers).collect()
}

/// Whose events some producers withhold.
const WITHHELD: &str = "cursor-all";

impl Stage {
    async fn setting(&self, name: &str) -> Result<Setting> {
        Ok(Setting {
            url: self.url(name).await?,
            record: self.record.clone(),
            calm: Arc::clone(&self.calm),
        })
    }

    /// Everybody who takes part.
    pub(crate) async fn people(&mut self, plan: &Plan) -> Result<()> {
        let kinds = match (&plan.target, plan.faults) {
            (Target::SocketIo(modules), _) => {
                self.others(modules).await?;
                Vec::new()
            }
            (Target::Wakelog { .. }, Faults::Own) => kinds(),
            (Target::Wakelog { .. }, _) => LISTENERS.map(|who| kind(who.name, who.filters)).into(),
        };
        for kind in kinds {
            let setting = self.setting(&kind.name).await?;
            let random = self.random.branch(&format!("life of {}", kind.name));
            self.clients.spawn(async move {
                live(kind, setting, random).await;
                Ok(())
            });
        }
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
        if let Some(modules) = &plan.node {
            let mut command = Command::new("node");
            command
                .arg(scripts.join("browser.mjs"))
                .env("WAKELOG_NODE_MODULES", modules);
            let setting = self.setting("node").await?;
            self.clients
                .spawn(foreign(command, kind("node", &["room.*", "news"]), setting));
        }
        if let Some(python) = &plan.python {
            let mut command = Command::new(python);
            command.arg("-B").arg(scripts.join("python.py"));
            let setting = self.setting("python").await?;
            self.clients.spawn(foreign(
                command,
                kind("python", &["room.1", "news"]),
                setting,
            ));
        }
        let shunned = match plan.faults {
            Faults::Own => WITHHELD,
            _ => SHUNNED,
        };
        for n in 0..PRODUCERS {
            if let Some(others) = &self.others {
                let line = others.socket(n);
                self.workers(n, &line, shunned, plan.pace);
            } else {
                let name = format!("producer-{n}");
                let line = arrive(&self.url(&name).await?, &name).await;
                self.workers(n, &line, shunned, plan.pace);
            }
        }
        let (server, record) = (Arc::clone(&self.server), self.record.clone());
        let inside = append(
            server,
            record,
            Arc::clone(&self.calm),
            self.random.branch("inside"),
            plan.pace,
        );
        self.producers.push(tokio::spawn(inside));
        Ok(())
    }

    /// Those who share a producer's connection.
    fn workers(&mut self, producer: u64, line: &impl Line, shunned: &'static str, pace: u64) {
        for worker in 0..WORKERS {
            let name = format!("p{producer}.{worker}");
            let random = self.random.branch(&name);
            let (record, calm) = (self.record.clone(), Arc::clone(&self.calm));
            let work = publish(line.clone(), name, record, calm, random, shunned, pace);
            self.producers.push(tokio::spawn(work));
        }
    }

    /// Everybody who speaks to another server.
    async fn others(&mut self, modules: &Path) -> Result<()> {
        let port = async |name: &str| self.port(name).await;
        let (people, process) = People::start(modules, &self.record, END, port).await?;
        self.clients.spawn(process.live());
        people.begin().await?;
        self.others = Some(people);
        Ok(())
    }
}

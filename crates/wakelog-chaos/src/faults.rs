//! What is done to the server and to its clients, one thing after the other.

use std::io::{Error, Result};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::child::Started;
use crate::clients::fence;
use crate::random::Random;
use crate::run::{Done, Plan, Stage};

/// A run whose faults take so much longer than they should has come to a stop somewhere.
const LONGEST: Duration = Duration::from_secs(20 * 60);

/// Those whom second connections throw out.
const FENCED: [&str; 3] = ["cursor-all", "cursor-news", "slow-cursor"];

/// A disk stays full until an event was refused, but not for longer.
const FULL_LONGEST: Duration = Duration::from_secs(5);

impl Stage {
    /// Goes on until there were enough of each kind.
    pub(crate) async fn faults(&mut self, plan: &Plan, done: &mut Done) -> Result<()> {
        let start = Instant::now();
        let mut random = self.random.branch("faults");
        let second = self.url("second connections").await?;
        // Each kind comes soon, so that a short run has it too.
        let mut due = vec![3, 0];
        loop {
            let cuts = self.network.cuts.load(Ordering::Relaxed);
            let enough = cuts >= plan.cuts
                && done.kills >= plan.kills
                && (done.full >= plan.full || !self.has_disk)
                && done.flips >= plan.flips.unwrap_or(0);
            if start.elapsed() >= plan.least && enough {
                return Ok(());
            }
            if start.elapsed() > 2 * plan.least + LONGEST {
                return Err(Error::other(format!(
                    "{cuts} cuts, {} kills, {} full disks and {} flips in this time",
                    done.kills, done.full, done.flips
                )));
            }
            sleep(Duration::from_millis(100 + random.below(500))).await;
            match due.pop().unwrap_or_else(|| random.below(20)) {
                0 => {
                    let name = FENCED[usize::try_from(random.below(3)).unwrap_or(0)];
                    done.to_fence += 1;
                    done.fences += u64::from(fence(&second, name).await);
                }
                1 => {
                    let length = Duration::from_millis(random.below(1_000));
                    self.server.lock().await.pause(length).await?;
                    done.pauses += 1;
                }
                2 => {
                    let mut server = self.server.lock().await;
                    server.drain().await?;
                    server.start().await?;
                    done.drains += 1;
                }
                3 if self.has_disk => self.full(&mut random, done).await?,
                _ => self.kill(plan, &mut random, done).await?,
            }
        }
    }

    async fn kill(&mut self, plan: &Plan, random: &mut Random, done: &mut Done) -> Result<()> {
        let mut server = self.server.lock().await;
        done.kills += 1;
        if plan.flips.is_some() {
            done.flips += 1;
            done.refused += u64::from(!server.kill_and_flip(random).await?);
        } else if done.kills > 10 * done.power_cuts && server.cut_power().await? {
            done.power_cuts += 1;
        } else {
            server.kill().await?;
        }
        Ok(())
    }

    /// The disk is full for a while. In one window of three the server is killed meanwhile: if it
    /// does not start without room, it must when there is some.
    async fn full(&mut self, random: &mut Random, done: &mut Done) -> Result<()> {
        let length = Duration::from_millis(300 + random.below(1_200));
        let mut kills = random.one_in(3);
        let before = self.server.lock().await.refused();
        self.record.fault("the disk is full");
        let start = Instant::now();
        let refused = loop {
            // Retention gives room back meanwhile.
            let mut server = self.server.lock().await;
            server.fill()?;
            let refused = server.refused() > before;
            if start.elapsed() >= FULL_LONGEST || (refused && start.elapsed() >= length) {
                break refused;
            }
            if kills && start.elapsed() >= length / 2 {
                kills = false;
                done.kills += 1;
                server.die().await?;
                if let Started::Refuses(why) = server.try_start().await? {
                    self.record.fault(why);
                    break true;
                }
            }
            drop(server);
            sleep(Duration::from_millis(10)).await;
        };
        let mut server = self.server.lock().await;
        server.free()?;
        self.record.fault("there is room");
        if !server.is_running() {
            server.start().await?;
        }
        done.to_fill += 1;
        done.full += u64::from(refused);
        Ok(())
    }
}

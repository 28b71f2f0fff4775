//! The hub, as its README says.

use std::path::Path;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use wakelog::Log;
use wakelog_ws::{Hub, Outgoing, Payload};

use super::Service;
use crate::Outcome;
use crate::words::{clock, payload, room};

pub struct Served {
    log: Log,
    hub: Hub,
    runtime: Handle,
}

pub fn start(dir: &Path, listener: TcpListener, runtime: &Handle) -> Outcome<Served> {
    let _inside = runtime.enter();
    let log = Log::open(dir)?;
    let hub = Hub::new(log.clone())?;
    let routes: axum::Router = hub.axum_router();
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    runtime.spawn(async move { axum::serve(listener, routes).await });
    Ok(Served {
        log,
        hub,
        runtime: runtime.clone(),
    })
}

impl Service for Served {
    fn fill(&mut self, rooms: usize, events: u64) -> Outcome<()> {
        let rooms: Vec<_> = (0..rooms).map(room).collect();
        let payload = payload(0);
        for _ in 0..events {
            for room in &rooms {
                self.log.append(room, payload.as_bytes())?;
            }
        }
        Ok(self.log.sync()?)
    }

    fn publish(&mut self) -> Outcome<()> {
        let event = Outgoing::to("live", Payload::text(payload(clock())));
        self.runtime.block_on(self.hub.emit(event))?;
        Ok(())
    }

    fn flood(&mut self, events: u64) -> Outcome<()> {
        for _ in 0..events {
            self.log.append("live", payload(clock()))?;
        }
        Ok(())
    }
}

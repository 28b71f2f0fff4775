//! Ctrl-C and SIGTERM: a command that goes on until somebody ends it is asked to end in order.

use crate::failure::Failure;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether somebody has asked the command to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens from now on. `act` is called once, on a thread of its own; a second signal ends the
    /// process at once.
    pub(crate) fn listen(act: impl FnOnce() + Send + 'static) -> Result<Self, Failure> {
        let stop = Self::default();
        let flag = Arc::clone(&stop.0);
        let failed = |error| Failure::system("cannot listen for signals", &error);
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
        let listen = move || {
            let mut signals = signals.forever();
            if signals.next().is_some() {
                flag.store(true, Ordering::Release);
                act();
            }
            if let Some(signal) = signals.next() {
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(listen)
            .map_err(failed)?;
        Ok(stop)
    }

    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

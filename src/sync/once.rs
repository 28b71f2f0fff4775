//! A [`OnceLock`] for builds with ThreadSanitizer. The one of the standard library orders by stores
//! that stand in code which is built without it, so whoever reads what was set seems to race.

use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    cell: std::sync::OnceLock<T>,
    told: AtomicBool,
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> OnceLock<T> {
    pub(crate) const fn new() -> Self {
        Self {
            cell: std::sync::OnceLock::new(),
            told: AtomicBool::new(false),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        let value = self.cell.get()?;
        // Whoever has set it is about to say so.
        while !self.told.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        Some(value)
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        self.cell.set(value)?;
        self.told.store(true, Ordering::Release);
        Ok(())
    }

    pub(crate) fn get_or_init(&self, value: impl FnOnce() -> T) -> &T {
        let mut first = false;
        let told = self.cell.get_or_init(|| {
            first = true;
            value()
        });
        if first {
            self.told.store(true, Ordering::Release);
        }
        self.get().unwrap_or(told)
    }
}

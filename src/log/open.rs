//! Opening and creating.

use super::Log;
use crate::dir::{Directory, DiskDir, MemoryDir};
use crate::error::OpenError;
use crate::format::Limits;
use crate::listen::Pool;
use crate::options::Options;
use crate::recovery::{self, Begin, Followed};
use crate::store::{Shared, Store};
use crate::{dispatch, follow};
use std::io;
use std::path::Path;
use std::sync::Arc;

impl Log {
    /// Opens the log in this directory for writing with the default [`Options`], creating it if
    /// there is none.
    ///
    /// # Errors
    /// See [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Options::new().open(path)
    }

    /// Opens the log in this directory for reading, while another process may write it.
    ///
    /// # Errors
    /// See [`Options::open_read_only`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Options::new().open_read_only(path)
    }

    /// A log in memory, for tests and for what need not last: everything works, nothing stays.
    ///
    /// # Errors
    /// [`OpenError::Io`] if a thread cannot be started.
    pub fn in_memory() -> Result<Self, OpenError> {
        Options::new().in_memory()
    }
}

impl Options {
    /// Opens the log in this directory for writing; makes the directory (mode 0700) and the log if
    /// there is none.
    ///
    /// One handle at a time may be open for writing, in all processes; clone it to share it.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if it is open for writing elsewhere; [`OpenError::NotALog`] for a
    /// directory with somebody else's files; [`OpenError::Newer`], [`OpenError::Older`],
    /// [`OpenError::Foreign`], [`OpenError::Damaged`] for files that cannot be taken;
    /// [`OpenError::Options`] for an option out of its bounds; [`OpenError::Permission`],
    /// [`OpenError::DiskFull`], [`OpenError::Io`] from the system. Nothing is lost or changed by
    /// any of them.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Log, OpenError> {
        let dir = self.made(path.as_ref())?;
        self.open_in(Arc::new(dir))
    }

    /// The directory, which is made if there is none.
    pub(super) fn made(&self, path: &Path) -> Result<DiskDir, OpenError> {
        self.checked()?;
        let dir = DiskDir::open(path).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => DiskDir::create(path),
            _ => Err(error),
        });
        dir.map_err(|error| OpenError::from_io(path, "open the directory", error))
    }

    /// Opens the log in this directory for reading only, while another process may write it.
    /// Nothing in the directory is changed. New events are seen within [`Options::poll_interval`].
    ///
    /// # Errors
    /// [`OpenError::NotFound`] if there is no log; otherwise as [`Options::open`], except that it
    /// is never locked.
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<Log, OpenError> {
        let path = path.as_ref();
        self.checked()?;
        let dir = DiskDir::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => OpenError::NotFound { path: path.into() },
            _ => OpenError::from_io(path, "open the directory", error),
        })?;
        self.follow_in(Arc::new(dir))
    }

    /// A log in memory; see [`Log::in_memory`].
    ///
    /// # Errors
    /// [`OpenError::Options`]; [`OpenError::Io`] if a thread cannot be started.
    pub fn in_memory(&self) -> Result<Log, OpenError> {
        self.checked()?;
        self.open_in(Arc::new(MemoryDir::new()))
    }

    pub(crate) fn open_in(&self, dir: Arc<dyn Directory>) -> Result<Log, OpenError> {
        self.open_kind(dir, None)
    }

    /// With `mirror`, opens a mirror.
    pub(super) fn open_kind(
        &self,
        dir: Arc<dyn Directory>,
        mirror: Option<Begin>,
    ) -> Result<Log, OpenError> {
        let recovered = recovery::open(dir, self, mirror)?;
        let shared = Arc::new(Shared::new(recovered, self.clone()));
        let store = Store::start(shared, dispatch::run)?;
        Ok(Log {
            store,
            limits: Limits::new(self),
            listeners: Pool::new(self.listener_threads_value()),
        })
    }

    pub(crate) fn follow_in(&self, dir: Arc<dyn Directory>) -> Result<Log, OpenError> {
        let Followed {
            recovered,
            follower,
        } = recovery::open_read_only(dir)?;
        let shared = Arc::new(Shared::new(recovered, self.clone()));
        shared.set_follower(follower);
        let store = Store::start_following(shared, follow::run, dispatch::run)?;
        Ok(Log {
            store,
            limits: Limits::new(self),
            listeners: Pool::new(self.listener_threads_value()),
        })
    }

    fn checked(&self) -> Result<(), OpenError> {
        self.check()
            .map_err(|(option, why)| OpenError::Options { option, why })
    }
}

//! The drive that all files of a directory share: its room, its planned faults, its clock of
//! operations.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::sync::Mutex;
use rustix::io::Errno;

use super::super::memory::{Content, File};
use super::{Journal, Platter};

/// What all files share.
#[derive(Default)]
pub(in crate::dir) struct Disk {
    state: Mutex<State>,
}

struct State {
    capacity: u64,
    used: u64,
    operations: u64,
    /// The operation before which the machine stops.
    stop_at: u64,
    faults: Faults,
}

/// What is planned to fail, of each kind.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    syncs: Plan,
    creates: Plan,
    unlinks: Plan,
    writes: Plan,
    renames: Plan,
    maps: Plan,
}

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Syncs of regions, files and the directory alike.
    Sync,
    /// Creates of files, with their room.
    Create,
    Unlink,
    /// Writes by call.
    Write,
    Rename,
    /// Files that are opened or mapped.
    Map,
}

impl Faults {
    fn plan(&mut self, fault: Fault) -> &mut Plan {
        match fault {
            Fault::Sync => &mut self.syncs,
            Fault::Create => &mut self.creates,
            Fault::Unlink => &mut self.unlinks,
            Fault::Write => &mut self.writes,
            Fault::Rename => &mut self.renames,
            Fault::Map => &mut self.maps,
        }
    }

    /// Whether none of this kind is still to be spared.
    #[cfg(test)]
    pub(crate) fn is_reached(mut self, fault: Fault) -> bool {
        !matches!(self.plan(fault), Plan::After { spared: 1.., .. })
    }
}

impl Default for State {
    fn default() -> Self {
        State {
            capacity: u64::MAX,
            used: 0,
            operations: 0,
            stop_at: u64::MAX,
            faults: Faults::default(),
        }
    }
}

/// When a kind of operation is to fail.
#[derive(Clone, Copy, Default)]
enum Plan {
    #[default]
    None,
    /// After this many that succeed.
    After {
        spared: u64,
        error: Errno,
        forever: bool,
    },
}

impl Plan {
    fn from_kth(kth: u64, error: Errno, forever: bool) -> Plan {
        Plan::After {
            spared: kth.saturating_sub(1),
            error,
            forever,
        }
    }

    fn step(&mut self) -> io::Result<()> {
        match self {
            Plan::None => Ok(()),
            Plan::After {
                spared: 0,
                error,
                forever,
            } => {
                let error = *error;
                if !*forever {
                    *self = Plan::None;
                }
                Err(error.into())
            }
            Plan::After { spared, .. } => {
                *spared -= 1;
                Ok(())
            }
        }
    }
}

impl State {
    /// Counts an operation, unless the machine has stopped.
    fn step(&mut self) -> io::Result<()> {
        if self.operations + 1 >= self.stop_at {
            return Err(Errno::IO.into());
        }
        self.operations += 1;
        Ok(())
    }

    fn take_room(&mut self, bytes: u64) -> io::Result<()> {
        match self.used.checked_add(bytes) {
            // What takes no room does not fail on a disk that is over-full.
            Some(used) if used <= self.capacity || bytes == 0 => {
                self.used = used;
                Ok(())
            }
            _ => Err(Errno::NOSPC.into()),
        }
    }
}

impl Disk {
    /// A file of so many bytes is being created.
    pub(in crate::dir) fn create(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        state.faults.creates.step()?;
        state.take_room(bytes)
    }

    /// A name is being changed.
    pub(in crate::dir) fn change(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        state.faults.renames.step()
    }

    /// A file is being opened or mapped: that changes nothing, and is no operation.
    pub(in crate::dir) fn map(&self) -> io::Result<()> {
        self.state.lock().faults.maps.step()
    }

    /// A name is being removed.
    pub(in crate::dir) fn unlink(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        state.faults.unlinks.step()
    }

    /// A file is being written by a call and grows by so many bytes.
    pub(in crate::dir) fn write(&self, grows_by: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        state.faults.writes.step()?;
        state.take_room(grows_by)
    }

    /// So many bytes of files are gone.
    pub(in crate::dir) fn free(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.used = state.used.saturating_sub(bytes);
    }

    /// So many bytes of files appear by no operation, and whether there is room or not.
    pub(super) fn occupy(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.used = state.used.saturating_add(bytes);
    }

    /// The pages of `content` that cover `range` are being synced.
    pub(in crate::dir) fn sync_file(
        &self,
        platter: &mut Platter,
        content: &Content,
        range: Range<usize>,
    ) -> io::Result<()> {
        let mut state = self.state.lock();
        // A machine that has stopped leaves its pages dirty: any of them may have been under way.
        state.step()?;
        match state.faults.syncs.step() {
            Ok(()) => platter.synced(content, range),
            Err(error) => {
                platter.sync_failed(content, range);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The directory is being synced. When that fails its changes stay unsynced.
    pub(in crate::dir) fn sync_names(
        &self,
        journal: &mut Journal,
        files: &BTreeMap<String, Arc<File>>,
    ) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        state.faults.syncs.step()?;
        drop(state);
        *journal = Journal::settled(files);
        Ok(())
    }

    pub(super) fn fail(&self, fault: Fault, kth: u64, error: Errno, forever: bool) {
        *self.state.lock().faults.plan(fault) = Plan::from_kth(kth, error, forever);
    }

    #[cfg(test)]
    pub(super) fn faults(&self) -> Faults {
        self.state.lock().faults
    }

    #[cfg(test)]
    pub(super) fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    pub(super) fn stop_at(&self, kth: u64) {
        let mut state = self.state.lock();
        state.stop_at = state.operations.saturating_add(kth.max(1));
    }

    pub(super) fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    pub(super) fn capacity(&self) -> u64 {
        self.state.lock().capacity
    }

    pub(super) fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// The machine is on again, and no fault is planned.
    pub(super) fn restart(&self) {
        let mut state = self.state.lock();
        state.stop_at = u64::MAX;
        state.faults = Faults::default();
    }
}

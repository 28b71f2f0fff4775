//! What of the names is on the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::memory::File;
use super::fate::Fate;

/// The names that are on the disk, and what has been done to them since.
pub(in crate::dir) struct Journal {
    synced: BTreeMap<String, Arc<File>>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Created {
        name: String,
        file: Arc<File>,
    },
    Renamed {
        from: String,
        to: String,
        file: Arc<File>,
    },
    Unlinked {
        name: String,
    },
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, Arc<File>>) {
        match self {
            Change::Created { name, file } => {
                // It survived already, under the name that a later rename gave it.
                if !names.values().any(|other| Arc::ptr_eq(other, file)) {
                    names.insert(name.clone(), Arc::clone(file));
                }
            }
            Change::Renamed { from, to, file } => {
                if names
                    .get(from)
                    .is_some_and(|other| Arc::ptr_eq(other, file))
                {
                    names.remove(from);
                }
                names.insert(to.clone(), Arc::clone(file));
            }
            Change::Unlinked { name } => drop(names.remove(name)),
        }
    }
}

impl Journal {
    /// The journal of an empty directory.
    pub(in crate::dir) fn empty() -> Journal {
        Journal {
            synced: BTreeMap::new(),
            unsynced: Vec::new(),
        }
    }

    /// The journal of a directory that is wholly synced.
    pub(super) fn settled(files: &BTreeMap<String, Arc<File>>) -> Journal {
        Journal {
            synced: files.clone(),
            unsynced: Vec::new(),
        }
    }

    pub(in crate::dir) fn created(&mut self, name: &str, file: &Arc<File>) {
        self.unsynced.push(Change::Created {
            name: name.to_owned(),
            file: Arc::clone(file),
        });
    }

    pub(in crate::dir) fn renamed(&mut self, from: &str, to: &str, file: &Arc<File>) {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.unsynced.push(Change::Renamed {
            from,
            to,
            file: Arc::clone(file),
        });
    }

    pub(in crate::dir) fn unlinked(&mut self, name: &str) {
        self.unsynced.push(Change::Unlinked {
            name: name.to_owned(),
        });
    }

    /// A name is on the disk at once.
    pub(super) fn put(&mut self, name: &str, file: &Arc<File>) {
        self.synced.insert(name.to_owned(), Arc::clone(file));
        // What was done to the name before must not undo this.
        self.unsynced.retain(|change| match change {
            Change::Created { name: other, .. } | Change::Unlinked { name: other } => other != name,
            Change::Renamed { to, from, .. } => to != name && from != name,
        });
    }

    /// The names that are left after a loss of power.
    pub(super) fn after_power_loss(&self, fate: &mut Fate) -> BTreeMap<String, Arc<File>> {
        let mut names = self.synced.clone();
        for index in fate.changes(self.unsynced.len()) {
            self.unsynced[index].apply(&mut names);
        }
        names
    }

    /// The file system commits some of the changes by itself, the first ones.
    pub(super) fn write_back(&mut self, fate: &mut Fate) {
        let committed = fate.first_of(self.unsynced.len());
        for change in self.unsynced.drain(..committed) {
            change.apply(&mut self.synced);
        }
    }

    /// How many changes are not on the disk.
    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// All files that there are, or that may be there again.
    pub(super) fn files(&self) -> Vec<Arc<File>> {
        let created = self.unsynced.iter().filter_map(|change| match change {
            Change::Created { file, .. } => Some(file),
            Change::Renamed { .. } | Change::Unlinked { .. } => None,
        });
        self.synced.values().chain(created).cloned().collect()
    }

    /// The same journal over other files.
    pub(super) fn copy(&self, mut of: impl FnMut(&Arc<File>) -> Arc<File>) -> Journal {
        let synced = self
            .synced
            .iter()
            .map(|(name, file)| (name.clone(), of(file)))
            .collect();
        let unsynced = self.unsynced.iter().cloned().map(|mut change| {
            if let Change::Created { file, .. } | Change::Renamed { file, .. } = &mut change {
                *file = of(file);
            }
            change
        });
        Journal {
            synced,
            unsynced: unsynced.collect(),
        }
    }

    /// Puts `new` everywhere in the place of `old`.
    pub(super) fn replace(&mut self, old: &Arc<File>, new: &Arc<File>) {
        let of = |file: &Arc<File>| Arc::clone(if Arc::ptr_eq(file, old) { new } else { file });
        *self = self.copy(of);
    }
}

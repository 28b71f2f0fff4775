//! Where a log under test stands: in memory, whose power can be lost, or on the disk.

use crate::dir::{Directory, DiskDir, MemoryDir};
use std::sync::Arc;
use tempfile::TempDir;

pub(super) enum Place {
    Memory(MemoryDir),
    Disk(
        Arc<DiskDir>,
        #[expect(dead_code, reason = "held: the directory goes with it")] TempDir,
    ),
}

impl Place {
    pub(super) fn in_memory() -> Self {
        Self::Memory(MemoryDir::new())
    }

    pub(super) fn on_disk() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = DiskDir::create(&temporary.path().join("log")).unwrap();
        Self::Disk(Arc::new(dir), temporary)
    }

    pub(super) fn dir(&self) -> Arc<dyn Directory> {
        match self {
            Self::Memory(dir) => Arc::new(dir.clone()),
            Self::Disk(dir, _) => {
                let dir: Arc<dyn Directory> = dir.clone();
                dir
            }
        }
    }
}

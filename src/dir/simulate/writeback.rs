//! What the kernel writes by itself at any moment, and losses of power told bit by bit.

use super::super::memory::MemoryDir;
use super::fate::Fate;

impl MemoryDir {
    /// The kernel writes some of the dirty sectors as they are at this moment, and commits some
    /// of the changes of names, the first ones, as `seed` says. Nobody is told: what is stored
    /// later may be lost, and then this is what is left.
    pub(crate) fn write_back(&self, seed: u64) {
        let mut names = self.inner.names.lock();
        let mut fate = Fate::new(seed);
        for file in names.journal.files() {
            let mut body = file.body.lock();
            let super::Body { content, platter } = &mut *body;
            platter.write_back(content, &mut fate);
        }
        names.journal.write_back(&mut fate);
    }

    /// How many changes of names and how many sectors are not on the disk.
    pub(crate) fn unsynced(&self) -> (usize, usize) {
        let names = self.inner.names.lock();
        let mut sectors = 0;
        for file in names.files.values() {
            let body = file.body.lock();
            sectors += body.platter.dirty_sectors(&body.content).len();
        }
        (names.journal.unsynced(), sectors)
    }

    /// As [`MemoryDir::power_loss`], but exactly the first `changes` changes of names survive, and
    /// of the first 64 dirty sectors those whose bit is set in `sectors`.
    pub(crate) fn power_loss_exactly(&self, changes: usize, sectors: u64) {
        self.lose(Fate::exactly(changes, sectors));
    }
}

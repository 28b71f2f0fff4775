//! Where a walk over frames stands, and the keys under which frames verify.

use crate::format::{self, Bound, Context};
use crate::types::{Epoch, LogId};

/// What the checksums of one segment's frames are bound to, besides the epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    pub(crate) log: LogId,
    pub(crate) salt: [u8; 16],
    /// Skip frames may stand here. In a log of its own events they are damage.
    pub(crate) mirror: bool,
}

impl Keys {
    pub(crate) fn context(&self, epoch: Epoch) -> Context {
        format::context(&self.salt, self.log, epoch)
    }
}

/// A place between two frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Frame position: bytes from the start of the file.
    pub(crate) at: usize,
    /// The offset that the next event there has.
    pub(crate) offset: u64,
    /// The epoch in force there.
    pub(crate) epoch: Epoch,
    /// The checksum context of that epoch in this segment.
    pub(crate) context: Context,
}

impl Place {
    /// What the checksum of a frame here is bound to.
    #[inline]
    pub(crate) fn bound(&self) -> Bound {
        self.context.at(self.at)
    }
}

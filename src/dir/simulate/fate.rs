//! Who survives a loss of power: every choice of the simulator, from one seed.

/// The choices of one loss of power.
#[derive(Debug)]
pub(super) struct Fate {
    choice: Choice,
    state: u64,
    mode: Mode,
    next_sector: usize,
}

/// Where the choices come from.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Seed(u64),
    /// So many of the changes of names survive, the first ones, and these sectors, a bit each.
    Exactly(usize, u64),
}

/// Which of the dirty sectors survive, by their number.
#[derive(Clone, Copy, Debug)]
enum Mode {
    These(u64),
    Nothing,
    Everything,
    Only(usize),
    AllBut(usize),
    /// Those below, and the one at the number is torn.
    Prefix(usize),
    Random,
}

/// What becomes of one dirty sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Survival {
    Old,
    New,
    /// Each eight bytes are either old or new.
    Torn,
}

impl Fate {
    pub(super) fn new(seed: u64) -> Fate {
        Fate {
            choice: Choice::Seed(seed),
            state: seed,
            mode: Mode::Nothing,
            next_sector: 0,
        }
    }

    /// The first `changes` changes of names survive, and the sectors whose bit is set, whole.
    pub(super) fn exactly(changes: usize, sectors: u64) -> Fate {
        Fate {
            choice: Choice::Exactly(changes, sectors),
            state: 0,
            mode: Mode::Nothing,
            next_sector: 0,
        }
    }

    /// The next number of the sequence (SplitMix64).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % limit
    }

    pub(super) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Chooses among `dirty` sectors, which are then asked for in order.
    pub(super) fn decide(&mut self, dirty: usize) {
        self.next_sector = 0;
        self.mode = match (self.choice, dirty) {
            (Choice::Seed(0), _) | (_, 0) => Mode::Nothing,
            (Choice::Seed(1), _) => Mode::Everything,
            (Choice::Exactly(_, sectors), _) => Mode::These(sectors),
            _ => match self.below(8) {
                0 => Mode::Nothing,
                1 => Mode::Everything,
                2 => Mode::Only(self.below(dirty)),
                3 => Mode::AllBut(self.below(dirty)),
                4 => Mode::Prefix(self.below(dirty)),
                _ => Mode::Random,
            },
        };
    }

    pub(super) fn of_next_sector(&mut self) -> Survival {
        let sector = self.next_sector;
        self.next_sector += 1;
        let new_if = |new| if new { Survival::New } else { Survival::Old };
        match self.mode {
            Mode::These(sectors) => new_if(sector < 64 && sectors & 1 << sector != 0),
            Mode::Nothing => Survival::Old,
            Mode::Everything => Survival::New,
            Mode::Only(one) => new_if(sector == one),
            Mode::AllBut(one) => new_if(sector != one),
            Mode::Prefix(torn) if sector == torn => Survival::Torn,
            Mode::Prefix(torn) => new_if(sector < torn),
            Mode::Random => match self.below(4) {
                0 => Survival::Torn,
                choice => new_if(choice == 1 || self.coin()),
            },
        }
    }

    /// The length of a file that had `old` bytes on the disk and `new` in memory.
    pub(super) fn length(&mut self, old: usize, new: usize) -> usize {
        match self.choice {
            Choice::Seed(0) | Choice::Exactly(_, 0) => old,
            Choice::Seed(1) | Choice::Exactly(..) => new,
            Choice::Seed(_) => match self.below(3) {
                0 => old,
                1 => new,
                _ => old + self.below(new.saturating_sub(old) + 1),
            },
        }
    }

    /// How many of `count` changes reach a journal, the first ones.
    pub(super) fn first_of(&mut self, count: usize) -> usize {
        self.below(count + 1)
    }

    /// Which of `count` unsynced changes of names survive, and in which order they happened.
    pub(super) fn changes(&mut self, count: usize) -> Vec<usize> {
        match self.choice {
            Choice::Seed(0) => return Vec::new(),
            Choice::Seed(1) => return (0..count).collect(),
            Choice::Exactly(changes, _) => return (0..changes.min(count)).collect(),
            Choice::Seed(_) => {}
        }
        // A file system with a journal, like ext4, keeps a prefix.
        if self.coin() {
            return (0..self.first_of(count)).collect();
        }
        // Nothing that is promised to us forbids any subset in any order.
        let mut kept: Vec<usize> = (0..count).filter(|_| self.coin()).collect();
        for last in (1..kept.len()).rev() {
            kept.swap(last, self.below(last + 1));
        }
        kept
    }
}

//! Where a log ends when its last segments, or its mark, say less than they should.

use crate::dir::{Directory, MemoryDir};
use crate::format::EpochRecord;
use crate::recovery::EPOCHS;
use crate::types::{Epoch, LogId};
use crate::{
    Log, Mirror, MirrorSource, NewEvent, OpenError, Options, Start, SyncPolicy, mark_file, segment,
};
use std::sync::Arc;

fn options() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
}

fn try_open(dir: &MemoryDir) -> Result<Log, OpenError> {
    options().open_in(Arc::new(dir.clone()))
}

fn epoch(counter: u32) -> Epoch {
    Epoch {
        counter,
        tag: counter * 77,
    }
}

const SOURCE: MirrorSource = MirrorSource {
    log: LogId([9; 16]),
    epoch: Epoch {
        counter: 1,
        tag: 77,
    },
    first: 0,
};

fn open_mirror(dir: &MemoryDir) -> Mirror {
    let dir = Arc::new(dir.clone());
    options().open_mirror_in(dir, SOURCE).unwrap()
}

/// So many of the events fit into a segment.
const IN_EACH: u64 = 13;

/// A log of `bases.len()` segments, the last of which is not full, and the marks that stood in
/// each.
struct Rolled {
    dir: MemoryDir,
    bases: Vec<u64>,
    marks: Vec<Vec<u8>>,
    /// Where the mark stood in each.
    offsets: Vec<u64>,
    end: u64,
}

fn rolled(segments: u64) -> Rolled {
    let dir = MemoryDir::new();
    let log = try_open(&dir).unwrap();
    roll(&dir, &log, segments, || {
        _ = log.append("a", [7; 900]).unwrap()
    })
}

fn rolled_mirror(segments: u64) -> Rolled {
    let dir = MemoryDir::new();
    let mirror = open_mirror(&dir);
    let log = mirror.log();
    let event = NewEvent::new("a", &[7; 900]);
    roll(&dir, log, segments, || {
        assert!(mirror.append_at(log.next_offset(), 1, &event).unwrap());
    })
}

fn roll(dir: &MemoryDir, log: &Log, segments: u64, append: impl Fn()) -> Rolled {
    let (mut marks, mut offsets) = (Vec::new(), Vec::new());
    for number in 0..segments {
        while log.next_offset() < number * IN_EACH + 5 {
            append();
        }
        log.sync().unwrap();
        marks.push(dir.read(mark_file::NAME));
        offsets.push(log.durable_offset());
    }
    let end = log.next_offset();
    let dir = MemoryDir::from_image(&log.abandon(|| dir.image()));
    dir.power_loss(0);
    let names = dir.list().unwrap().into_iter();
    let bases: Vec<_> = names
        .filter_map(|entry| segment::parse_name(&entry.name))
        .collect();
    assert!(
        bases
            .iter()
            .copied()
            .eq((0..segments).map(|number| number * IN_EACH))
    );
    Rolled {
        dir,
        bases,
        marks,
        offsets,
        end,
    }
}

impl Rolled {
    /// The mark is the one that stood in this segment, and both copies of the headers of these are
    /// not there.
    fn damage(&self, mark: usize, headers: &[usize]) {
        self.dir.write(mark_file::NAME, &self.marks[mark]);
        for number in headers {
            let name = segment::name_of(self.bases[*number]);
            let mut bytes = self.dir.read(&name);
            bytes[..1_024].fill(0);
            self.dir.write(&name, &bytes);
        }
    }
}

/// A segment cannot be read, the mark stands in it, and the roll behind it was under way.
#[test]
fn the_last_segment_counts_though_the_one_of_the_mark_cannot_be_read() {
    let log = rolled(3);
    log.damage(1, &[1]);
    let opened = try_open(&log.dir).unwrap();
    assert_eq!(opened.next_offset(), log.end);
    let damaged = opened.recovery().damaged;
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    assert_eq!(damaged[0].file, segment::name_of(log.bases[1]));
    let start = Start::Offset(log.bases[2]);
    let mut reader = opened.reader().start(start).open().unwrap();
    let read = std::iter::from_fn(|| reader.next().unwrap()).map(|event| event.offset());
    assert!(read.eq(log.bases[2]..log.end));
}

#[test]
fn with_the_last_segment_gone_too_the_log_ends_at_the_mark_or_nowhere() {
    let log = rolled(3);
    log.damage(1, &[1, 2]);
    assert_eq!(try_open(&log.dir).unwrap().next_offset(), log.offsets[1]);
    // A mark that stands further back says nothing about these two.
    let log = rolled(3);
    log.damage(0, &[1, 2]);
    let refused = try_open(&log.dir);
    assert!(matches!(refused, Err(OpenError::Damaged(_))), "{refused:?}");
}

/// An epoch of a mirror was being entered. What it drops is no damage any more; what stands below
/// is, and so is a mark that is lost.
#[test]
fn an_epoch_that_was_being_entered_takes_back_the_damage_above_it_alone() {
    let begin = |log: &Rolled, first| {
        let record = EpochRecord {
            epoch: epoch(2),
            first,
            began: 5,
        };
        let mut epochs = log.dir.read(EPOCHS);
        epochs.extend(record.to_bytes(SOURCE.log));
        log.dir.write(EPOCHS, &epochs);
        let mirror = open_mirror(&log.dir);
        let told = mirror.log().recovery().damaged.into_iter();
        let told: Vec<_> = told.map(|damage| damage.file).collect();
        (mirror.log().next_offset(), told)
    };
    for (number, is_told) in [(2, true), (1, false)] {
        let log = rolled_mirror(3);
        log.damage(1, &[1]);
        let base = log.bases[number];
        let told = begin(&log, base + 1);
        let damaged = is_told.then(|| segment::name_of(log.bases[1]));
        assert_eq!(told, (base, damaged.into_iter().collect()));
    }
    let log = rolled_mirror(3);
    let lost = vec![0; log.marks[0].len()];
    log.dir.write(mark_file::NAME, &lost);
    let told = begin(&log, log.end - 1);
    assert_eq!(told, (log.bases[2], vec![mark_file::NAME.into()]));
    // It begins where the log ends: nothing is dropped.
    let log = rolled_mirror(3);
    assert_eq!(begin(&log, log.end), (log.end, vec![]));
}

use crate::sync::atomic::AtomicBool;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;

use super::*;

const LEN: usize = 3 * PAGE_BYTES;
const WORDS: usize = 64;

/// Counts what reaches it.
#[derive(Debug, Default)]
struct Calls {
    synced: sync::Mutex<Vec<Range<usize>>>,
    rewritten: sync::Mutex<Vec<Range<usize>>>,
}

impl BlockDisk for Calls {
    fn sync(&self, range: Range<usize>) -> io::Result<()> {
        self.synced.lock().push(range);
        Ok(())
    }

    fn rewritten(&self, range: Range<usize>) {
        self.rewritten.lock().push(range);
    }
}

fn heap() -> (Arc<Block>, RegionWriter) {
    let block = Arc::new(Block::zeroed(LEN, WORDS).unwrap());
    let writer = Arc::clone(&block).writer(Arc::<Calls>::default()).unwrap();
    (block, writer)
}

fn file() -> (File, RegionWriter) {
    let file = tempfile::tempfile().unwrap();
    file.set_len(u64::try_from(LEN).unwrap()).unwrap();
    let writer = RegionWriter::map_file(file.try_clone().unwrap(), LEN, WORDS).unwrap();
    (file, writer)
}

/// The same test on both backings.
fn on_both(test: impl Fn(RegionWriter)) {
    test(heap().1);
    test(file().1);
}

fn panics<T>(action: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(action)).is_err()
}

#[test]
fn a_new_region_is_zeros_with_nothing_frozen() {
    on_both(|writer| {
        let region = writer.region();
        assert_eq!(
            (region.len(), region.words(), region.end()),
            (LEN, WORDS, WORDS)
        );
        assert_eq!(region.bytes(WORDS..WORDS), Some(&[][..]));
        assert_eq!(region.bytes(WORDS..WORDS + 1), None);
        assert!(writer.unpublished().iter().all(|&byte| byte == 0));
        assert_eq!(writer.unpublished().len(), LEN - WORDS);
    });
}

#[test]
fn bytes_show_what_is_published_and_nothing_else() {
    on_both(|mut writer| {
        let reader = writer.region().clone();
        writer.write(WORDS, b"first");
        assert_eq!(&writer.unpublished()[..5], b"first");
        assert_eq!(reader.bytes(WORDS..WORDS + 5), None);
        writer.publish(WORDS + 5);
        assert_eq!(reader.bytes(WORDS..WORDS + 5), Some(&b"first"[..]));
        assert_eq!(reader.bytes(WORDS + 1..WORDS + 3), Some(&b"ir"[..]));
        assert_eq!(reader.bytes(WORDS..WORDS + 6), None);
        assert_eq!(
            reader.bytes(WORDS - 1..WORDS + 1),
            None,
            "words are no bytes"
        );
        let backwards = Range {
            start: WORDS + 3,
            end: WORDS + 1,
        };
        assert_eq!(reader.bytes(backwards), None);
        assert_eq!(reader.bytes(WORDS..usize::MAX), None);
        assert_eq!(reader.bytes(usize::MAX..usize::MAX), None);
        drop(writer);
        assert_eq!(
            reader.bytes(WORDS..WORDS + 5),
            Some(&b"first"[..]),
            "the region outlives it"
        );
    });
}

#[test]
fn writes_stay_inside_the_writers_bytes() {
    on_both(|mut writer| {
        writer.write(LEN - 1, b"x");
        writer.write(LEN, b"");
        assert!(panics(|| writer.write(LEN, b"x")));
        assert!(panics(|| writer.write(LEN - 1, b"xy")));
        assert!(panics(|| writer.write(usize::MAX, b"x")));
        assert!(panics(|| writer.write(WORDS - 1, b"x")));
        writer.publish(100);
        assert!(panics(|| writer.write(99, b"x")), "frozen");
        writer.write(100, b"x");
        assert!(panics(|| writer.publish(99)));
        assert!(panics(|| writer.publish(LEN + 1)));
        writer.publish(LEN);
        assert_eq!(writer.region().end(), LEN);
        assert!(writer.unpublished().is_empty());
    });
}

#[test]
fn words_are_whole_aligned_and_inside() {
    on_both(|writer| {
        let region = writer.region();
        region.word(0).store(7, Ordering::Relaxed);
        region.word(WORDS - 8).store(9, Ordering::Release);
        assert_eq!(region.load_word(0, Ordering::Acquire), 7);
        assert_eq!(region.load_word(WORDS - 8, Ordering::Relaxed), 9);
        for at in [4, WORDS, WORDS - 4, LEN, usize::MAX, usize::MAX - 7] {
            assert!(panics(|| region.word(at).load(Ordering::Relaxed)), "{at}");
            assert!(panics(|| region.load_word(at, Ordering::Relaxed)), "{at}");
        }
    });
}

#[test]
fn impossible_geometry_panics() {
    for (len, words) in [(64, 65), (64, 72), (64, 4), (usize::MAX, 8)] {
        assert!(panics(|| check_geometry(len, words)), "{len} {words}");
    }
    check_geometry(0, 0);
    assert_eq!(Block::zeroed(0, 0).unwrap().len(), 0);
}

#[test]
fn sync_and_rewrite_check_their_ranges() {
    on_both(|mut writer| {
        writer.write(WORDS, b"abc");
        writer.publish(WORDS + 3);
        let region = writer.region();
        region.sync(0..LEN).unwrap();
        region.sync(PAGE_BYTES + 1..PAGE_BYTES + 2).unwrap();
        region.sync(LEN..LEN).unwrap();
        assert!(panics(|| region.sync(0..LEN + 1)));
        writer.rewrite(0..WORDS + 3).unwrap();
        writer.rewrite(WORDS + 1..WORDS + 2).unwrap();
        assert!(panics(|| writer.rewrite(0..WORDS + 4)), "not frozen");
        assert_eq!(region.bytes(WORDS..WORDS + 3), Some(&b"abc"[..]));
        region.arm(0..usize::MAX);
        region.arm(LEN + 5..LEN + 9);
        region.arm(PAGE_BYTES + 1..PAGE_BYTES + 1);
    });
}

#[test]
fn the_heap_tells_its_disk() {
    let calls = Arc::<Calls>::default();
    let block = Arc::new(Block::zeroed(LEN, WORDS).unwrap());
    let mut writer = block.writer(Arc::<Calls>::clone(&calls)).unwrap();
    writer.publish(200);
    writer.region().sync(5..300).unwrap();
    writer.region().sync(5..5).unwrap();
    writer.rewrite(100..200).unwrap();
    assert_eq!(*calls.synced.lock(), vec![5..300]);
    assert_eq!(*calls.rewritten.lock(), vec![100..200]);
}

#[test]
fn a_mapping_is_the_file() {
    use std::os::unix::fs::FileExt;
    let (file, mut writer) = file();
    writer.write(WORDS, b"seen");
    writer.region().word(8).store(0x0102, Ordering::Relaxed);
    let mut buf = [0; 4];
    file.read_exact_at(&mut buf, u64::try_from(WORDS).unwrap())
        .unwrap();
    assert_eq!(
        &buf, b"seen",
        "even unpublished bytes survive the death of the process"
    );
    file.read_exact_at(&mut buf, 8).unwrap();
    assert_eq!(buf, [2, 1, 0, 0]);
}

#[test]
fn rewrite_stores_every_frozen_byte_and_no_other() {
    let (_, mut writer) = file();
    let bytes: Vec<u8> = (0..LEN - WORDS)
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    writer.write(WORDS, &bytes);
    writer.publish(LEN - 100);
    writer.region().word(0).store(77, Ordering::Relaxed);
    writer.rewrite(0..LEN - 100).unwrap();
    assert_eq!(
        writer.region().bytes(WORDS..LEN - 100).unwrap(),
        &bytes[..LEN - 100 - WORDS]
    );
    assert_eq!(writer.unpublished(), &bytes[LEN - 100 - WORDS..]);
    assert_eq!(writer.region().load_word(0, Ordering::Relaxed), 77);
}

#[test]
fn a_follower_reads_ahead_and_freezes_what_was_published() {
    let (block, heap_writer) = heap();
    let heap_follower = block.follower(Arc::<Calls>::default());
    let (file, file_writer) = file();
    let file_follower = RegionFollower::map_file(file, LEN, WORDS).unwrap();
    let pairs = [(heap_writer, heap_follower), (file_writer, file_follower)];
    for (mut writer, mut follower) in pairs {
        writer.region().word(8).store(1000, Ordering::Release);
        writer.write(WORDS, b"frame");
        writer.publish(WORDS + 5);
        let region = follower.region().clone();
        for order in [Ordering::Relaxed, Ordering::Acquire, Ordering::SeqCst] {
            assert_eq!(region.load_word(8, order), 1000);
        }
        assert!(
            panics(|| region.word(8).load(Ordering::Relaxed)),
            "loads only"
        );
        assert!(panics(|| region.load_word(8, Ordering::Release)));
        assert!(panics(|| region.load_word(WORDS, Ordering::Relaxed)));
        assert_eq!(
            region.sync(0..8).unwrap_err().kind(),
            io::ErrorKind::Unsupported
        );
        region.arm(0..LEN);
        let mut buf = [0xff; 16];
        assert_eq!(follower.read_at(WORDS - 4, &mut buf).unwrap(), 16);
        assert_eq!(&buf[4..9], b"frame");
        assert_eq!(&buf[9..], &[0; 7]);
        assert_eq!(follower.read_at(LEN - 3, &mut buf).unwrap(), 3);
        assert_eq!(follower.read_at(LEN, &mut buf).unwrap(), 0);
        assert_eq!(follower.read_at(usize::MAX, &mut buf).unwrap(), 0);
        assert_eq!(region.bytes(WORDS..WORDS + 5), None);
        follower.publish(WORDS + 5);
        assert_eq!(region.bytes(WORDS..WORDS + 5), Some(&b"frame"[..]));
        assert!(panics(|| follower.publish(WORDS)));
        assert!(panics(|| follower.publish(LEN + 1)));
    }
}

#[test]
fn the_heap_lets_no_follower_run_ahead() {
    let (block, mut writer) = heap();
    let mut follower = Arc::clone(&block).follower(Arc::<Calls>::default());
    writer.publish(100);
    assert!(panics(|| follower.publish(101)));
    follower.publish(100);
    drop(writer);
    follower.publish(200);
    let mut writer = block.writer(Arc::<Calls>::default()).unwrap();
    assert!(
        panics(|| writer.write(199, b"x")),
        "the follower's readers hold these bytes"
    );
    writer.write(200, b"x");
}

#[test]
fn the_heap_has_one_writer_and_never_thaws() {
    let (block, mut writer) = heap();
    let busy = Arc::clone(&block)
        .writer(Arc::<Calls>::default())
        .unwrap_err();
    assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
    writer.write(WORDS, b"old");
    writer.publish(WORDS + 3);
    let held = writer.region().clone();
    drop(writer);
    let mut writer = block.writer(Arc::<Calls>::default()).unwrap();
    assert_eq!(writer.region().end(), WORDS, "recovery begins at the words");
    assert_eq!(&writer.unpublished()[..3], b"old");
    assert!(panics(|| writer.write(WORDS + 2, b"x")));
    writer.publish(WORDS + 3);
    writer.write(WORDS + 3, b"new");
    assert_eq!(held.bytes(WORDS..WORDS + 3), Some(&b"old"[..]));
}

#[test]
fn a_copy_of_a_block_stops_at_what_is_published() {
    let (block, mut writer) = heap();
    writer
        .region()
        .word(0)
        .store(0x0605_0403_0201, Ordering::Relaxed);
    writer.write(WORDS, b"abcdef");
    writer.publish(WORDS + 3);
    let mut buf = [0xee; 80];
    assert_eq!(block.copy_readable(0, &mut buf), WORDS + 3);
    assert_eq!(&buf[..6], &[1, 2, 3, 4, 5, 6]);
    assert_eq!(&buf[WORDS..WORDS + 4], b"abc\xee");
    let mut odd = [0; 5];
    assert_eq!(block.copy_readable(3, &mut odd), 5);
    assert_eq!(odd, [4, 5, 6, 0, 0]);
    assert_eq!(block.copy_readable(WORDS + 10, &mut odd), 0);
    drop(writer);
    assert_eq!(block.copy_readable(WORDS, &mut odd), 5);
    assert_eq!(&odd, b"abcde");
}

/// Readers on other threads see only whole frames, while the writer goes on.
#[test]
fn published_bytes_are_whole_on_every_thread() {
    const FRAME: usize = 24;
    on_both(|mut writer| {
        let reader = writer.region().clone();
        let done = AtomicBool::new(false);
        let frames = (LEN - WORDS) / FRAME;
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut checked = 0;
                    while checked < frames {
                        let last = done.load(Ordering::Acquire);
                        let end = reader.end();
                        while WORDS + (checked + 1) * FRAME <= end {
                            let at = WORDS + checked * FRAME;
                            let byte = u8::try_from(checked % 255 + 1).unwrap();
                            assert_eq!(reader.bytes(at..at + FRAME), Some(&[byte; FRAME][..]));
                            checked += 1;
                        }
                        assert!(!last || checked == frames, "frames are missing");
                    }
                });
            }
            for frame in 0..frames {
                let byte = u8::try_from(frame % 255 + 1).unwrap();
                let at = WORDS + frame * FRAME;
                writer.write(at, &[byte; 10]);
                writer.write(at + 10, &[byte; FRAME - 10]);
                writer.publish(at + FRAME);
                if frame % 64 == 0 {
                    writer.region().sync(at..at + FRAME).unwrap();
                    std::thread::yield_now();
                }
            }
            done.store(true, Ordering::Release);
        });
    });
}

proptest! {
    /// Any sequence of writes and publishes reads back as in a plain vector.
    #[test]
    fn a_region_is_a_vector(
        steps in prop::collection::vec((0..400_usize, prop::collection::vec(any::<u8>(), 0..300),
            0..300_usize), 1..60)
    ) {
        for mut writer in [heap().1, file().1] {
            let reader = writer.region().clone();
            let mut model = vec![0; LEN];
            let mut end = WORDS;
            for (skip, bytes, forward) in &steps {
                let at = end + skip;
                if at + bytes.len() <= LEN {
                    writer.write(at, bytes);
                    model[at..at + bytes.len()].copy_from_slice(bytes);
                }
                end = (end + forward).min(LEN);
                writer.publish(end);
                prop_assert_eq!(reader.end(), end);
                prop_assert_eq!(reader.bytes(WORDS..end), Some(&model[WORDS..end]));
                prop_assert_eq!(writer.unpublished(), &model[end..]);
            }
        }
    }
}

//! Bugs that can be put in, to see that the tests which are there for them turn red.
//!
//! They exist in builds with `--cfg loom`, `--cfg shuttle` or `--cfg sabotage` alone, where the
//! environment names one: `WAKELOG_PLANT=RelaxedPublish`.

use std::sync::atomic::Ordering;

/// A bug in the protocols between threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// Appends publish without Release.
    RelaxedPublish,
    /// A sleeper sets its bit without looking whether something was published since.
    DroppedWakeUp,
    /// A reader that sits down does not look again before it sleeps.
    BlindSeat,
    /// A dispatcher forgets who registered while it looked.
    ForgottenWaiter,
    /// A roll publishes the new segment to nobody before it is in the table.
    UnlinkedRoll,
    /// Readers are told of a trim after the trim is over.
    LateTrim,
    /// Who waits for the disk is not woken by a failed sync.
    UntoldPoison,
    /// The durable mark moves before the sync.
    EarlyMark,
    /// A close is told to the sync thread before appends are refused.
    EarlyClose,
    /// A close wakes those who wait, and only then says that it is one.
    LateClose,
    /// Who takes a cursor over does not look again where the older handle has come to, if that was
    /// dropped meanwhile.
    HastyHandover,
}

/// Whether this bug is in.
#[cfg(not(any(loom, shuttle, sabotage)))]
#[inline(always)]
pub(crate) const fn planted(_: Plant) -> bool {
    false
}

/// The order in which to store, unless it is spoiled.
#[inline(always)]
pub(crate) fn order(plant: Plant, right: Ordering) -> Ordering {
    if planted(plant) {
        Ordering::Relaxed
    } else {
        right
    }
}

/// Whether this bug is in: the one that the environment names.
#[cfg(any(loom, shuttle, sabotage))]
pub(crate) fn planted(plant: Plant) -> bool {
    use std::sync::OnceLock;
    static NAMED: OnceLock<Option<String>> = OnceLock::new();
    let named = NAMED.get_or_init(|| std::env::var(NAME).ok());
    named
        .as_ref()
        .is_some_and(|name| *name == format!("{plant:?}"))
}

/// Runs the test that calls this once more, with the bug in, and says whether it failed, as it
/// must. In a process of its own: after a deadlock there is no way to clean up.
#[cfg(all(test, any(loom, shuttle)))]
pub(crate) fn is_found(plant: Plant) -> bool {
    let test = std::thread::current();
    let test = test.name().expect("a test's thread has its name");
    let mut process = std::process::Command::new(std::env::current_exe().unwrap());
    let process = process
        .args(["--exact", test])
        // However many schedules are tried, as many as usual must do for this one.
        .env_remove("WAKELOG_SCHEDULES")
        .env(NAME, format!("{plant:?}"));
    let output = process.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("running 1 test"), "{test}: {text}");
    !output.status.success()
}

/// Whether some bug is in.
#[cfg(all(test, any(loom, shuttle)))]
pub(crate) fn is_planted() -> bool {
    std::env::var_os(NAME).is_some()
}

#[cfg(any(loom, shuttle, sabotage))]
const NAME: &str = "WAKELOG_PLANT";

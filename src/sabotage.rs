//! Bugs to order, for the proof that the tests find them: a build with `--cfg sabotage` has all of
//! these, and `WAKELOG_SABOTAGE` says which one is alive. In every other build nothing is left of
//! them: the question is a `false` that the compiler sees. `cargo xtask sabotage` runs them.

/// Whether this bug is alive. It stands where the bug is.
#[cfg(not(sabotage))]
macro_rules! sabotaged {
    ($bug:literal) => {
        false
    };
}

#[cfg(sabotage)]
macro_rules! sabotaged {
    ($bug:literal) => {{
        const NUMBER: usize = crate::sabotage::number($bug);
        crate::sabotage::is_alive(NUMBER)
    }};
}

/// The bugs. `cargo xtask sabotage` has a line for each: which tests are to find it.
#[cfg(sabotage)]
const BUGS: [&str; 25] = [
    "no-directory-sync",
    "mark-before-sync",
    "roll-without-sync",
    "sync-retried",
    "reopen-without-rewrite",
    "poison-shows-more",
    "checksum-without-offset",
    "checksum-without-epoch",
    "checksum-without-salt",
    "checksum-without-place",
    "checksum-believed",
    "end-before-copy",
    "wake-up-dropped",
    "stale-index",
    "ids-forgotten",
    "gap-off-by-one",
    "epoch-reused",
    "epoch-never-over",
    "cursor-goes-back",
    "cursor-not-lowered",
    "kept-gap-forgotten",
    "slot-before-definition",
    "unlink-before-cursors",
    "retention-without-cap",
    "newest-goes-first",
];

/// The place of a bug in the list. Asked when the library is compiled, so no name is misspelt.
#[cfg(sabotage)]
pub(crate) const fn number(bug: &str) -> usize {
    let mut number = 0;
    while number < BUGS.len() {
        if same(BUGS[number].as_bytes(), bug.as_bytes()) {
            return number;
        }
        number += 1;
    }
    panic!("the bug is not in the list")
}

#[cfg(sabotage)]
const fn same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// Whether this is the bug that `WAKELOG_SABOTAGE` names.
#[cfg(sabotage)]
pub(crate) fn is_alive(number: usize) -> bool {
    static ALIVE: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let named = || match std::env::var("WAKELOG_SABOTAGE") {
        Ok(name) if !name.is_empty() => crate::sabotage::number(&name),
        _ => usize::MAX,
    };
    *ALIVE.get_or_init(named) == number
}

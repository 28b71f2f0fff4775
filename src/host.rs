//! What the machine gives: the time, and random bytes.

use std::io;

/// UTC microseconds. 0 before 1970; the log takes the larger of this and its last event's time.
///
/// On Linux the kernel's coarse clock, which moves once a tick (1 to 10 milliseconds) and costs a
/// fifth of the fine one: the time of an event is for people, its order is the offset.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    match (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec)) {
        (Ok(seconds), Ok(nanos)) => seconds * 1_000_000 + nanos / 1_000,
        _ => 0,
    }
}

/// UTC microseconds. 0 before 1970; the log takes the larger of this and its last event's time.
#[cfg(not(target_os = "linux"))]
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

/// This thread lets others go first. What cannot be had is not needed: it is a courtesy.
pub(crate) fn step_back() {
    // On Linux the call concerns the thread alone, elsewhere the process; and under a model all
    // threads are one.
    #[cfg(all(target_os = "linux", not(any(loom, shuttle))))]
    let _ = rustix::process::nice(10);
}

/// `N` random bytes from the kernel.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let rest = bytes.get_mut(filled..).unwrap_or_default();
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

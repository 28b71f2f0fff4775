//! The keyed hash of cursor names.

use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// SipHash-1-3 of the name's bytes under the secret of the log, so that nobody outside can choose
/// names that collide.
pub(crate) fn name_hash(secret: &[u8; 16], name: &str) -> u64 {
    let mut hasher = SipHasher13::new_with_key(secret);
    hasher.write(name.as_bytes());
    hasher.finish()
}

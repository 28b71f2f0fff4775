//! Numbers in as few bytes as they need: seven bits a byte, the lowest first, the high bit says
//! that more follow.

/// Writes `value`, in 1 to 10 bytes.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Takes the number that the bytes begin with. `None`: they end before it does, or it has more
/// than 64 bits.
#[inline]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (index, byte) in bytes.iter().copied().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            *bytes = &bytes[index + 1..];
            return Some(value);
        }
    }
    None
}

/// Passes a number without looking at it.
#[inline]
pub(crate) fn pass_varint(bytes: &mut &[u8]) -> Option<()> {
    let last = bytes.iter().position(|byte| *byte < 0x80)?;
    *bytes = &bytes[last + 1..];
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_nothing_else_is_one() {
        for value in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            1 << 53,
            u64::MAX - 1,
            u64::MAX,
        ] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            bytes.push(0xff);
            let mut rest = &bytes[..];
            assert_eq!(take_varint(&mut rest), Some(value));
            assert_eq!(rest, [0xff]);
            let mut cut = &bytes[..bytes.len() - 2];
            assert_eq!(take_varint(&mut cut), None);
        }
        assert_eq!(take_varint(&mut &[0xff; 11][..]), None);
        let mut too_large = [0xff; 10];
        too_large[9] = 2;
        assert_eq!(take_varint(&mut &too_large[..]), None);
    }
}

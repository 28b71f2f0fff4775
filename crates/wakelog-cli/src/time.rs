//! Times as text: RFC 3339 in UTC, to the microsecond, as events have them.

use jiff::Timestamp;

/// The text of a time in microseconds since 1970 (UTC). Beyond the year 9999, the number itself.
pub(crate) fn text(micros: u64) -> String {
    let time = i64::try_from(micros)
        .ok()
        .and_then(|micros| Timestamp::from_microsecond(micros).ok());
    time.map_or_else(|| micros.to_string(), |time| format!("{time:.6}"))
}

/// Microseconds since 1970 of a text such as `2026-05-01T12:00:00Z`; before 1970, 0.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let time: Timestamp = text.parse().ok()?;
    Some(u64::try_from(time.as_microsecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back() {
        let micros = 1_777_636_800_000_001;
        assert_eq!(text(micros), "2026-05-01T12:00:00.000001Z");
        assert_eq!(parse(&text(micros)), Some(micros));
        assert_eq!(parse("2026-05-01T14:00:00.000001+02:00"), Some(micros));
        assert_eq!(parse("1969-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse("yesterday"), None);
        assert_eq!(text(u64::MAX), u64::MAX.to_string());
    }
}

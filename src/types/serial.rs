//! With the feature `serde`: what has one text is that text.

use super::{Epoch, LogId, Position};
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};
use std::borrow::Cow;

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(Error::custom)
    }
}

impl Serialize for LogId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        // A position's parser is the one that says what a log id is.
        let within = format!("{text}.1-00000000.0").parse::<Position>();
        within.map(|position| position.log).map_err(Error::custom)
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let within = format!("{:032x}.{text}.0", 0).parse::<Position>();
        within.map(|position| position.epoch).map_err(Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gap, GapReason, Stats};
    use serde::de::value::{Error, StrDeserializer};
    use serde::de::{DeserializeOwned, IntoDeserializer};
    use std::fmt;

    /// A formatter is the simplest serializer there is.
    struct Shown<T>(T);

    impl<T: Serialize> fmt::Display for Shown<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.serialize(f)
        }
    }

    fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
        let text: StrDeserializer<'_, Error> = text.into_deserializer();
        T::deserialize(text)
    }

    fn both_ways<T>(value: T, text: &str)
    where
        T: Serialize + DeserializeOwned + PartialEq + fmt::Debug + Copy,
    {
        assert_eq!(Shown(value).to_string(), text);
        assert_eq!(read::<T>(text), Ok(value));
    }

    #[test]
    fn what_has_a_text_is_that_text() {
        let text = "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.1042";
        let position: Position = text.parse().unwrap();
        both_ways(position, text);
        both_ways(position.log, "0f8fad5bd9cb469fa16570867728950e");
        both_ways(position.epoch, "3-9c1e22b7");
        both_ways(GapReason::Diverged, "diverged");
        for wrong in ["", "0f8f", "3-9c1e22b7.4", "3-9C1E22B7", ".", "1-1"] {
            assert!(read::<Position>(wrong).is_err(), "{wrong}");
            assert!(read::<LogId>(wrong).is_err(), "{wrong}");
            assert!(read::<Epoch>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn gaps_and_numbers_go_both_ways() {
        fn check<T: Serialize + DeserializeOwned>() {}
        check::<Gap>();
        check::<Stats>();
    }
}

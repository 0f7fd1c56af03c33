//! Settings on their way from the office, and as a car keeps them.

use chrono::{DateTime, Utc};
use prost::Message;

use super::{Key, Values};

/// What settings are called among the things that the office hands down. No list can have this name.
pub const SETTINGS: &str = "+settings";
/// The most bytes of them.
pub const MOST_BYTES: usize = 16 << 10;
/// The most keys of one revision, known or not.
const MOST: usize = 64;
/// The longest name of a key or of a unit, bytes.
const LONGEST: usize = 64;
const VERSION: u8 = 1;

/// One revision of settings, for one car or for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handed {
    /// Grows with every change.
    pub revision: u64,
    /// When it was set.
    pub made: DateTime<Utc>,
    /// For which unit; empty: for all.
    pub unit: String,
    /// What is set.
    pub values: Values,
    /// Keys that this program does not know: a newer office's. They are named, and nothing follows from them.
    pub unknown: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredSettings {
    #[prost(uint64, tag = "1")]
    revision: u64,
    /// Seconds since 1970.
    #[prost(sint64, tag = "2")]
    made: i64,
    #[prost(string, tag = "3")]
    unit: String,
    #[prost(message, repeated, tag = "4")]
    settings: Vec<StoredSetting>,
}

/// One key with its value; which sort of value it has, the key says.
#[derive(Clone, PartialEq, Message)]
struct StoredSetting {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint64, optional, tag = "2")]
    whole: Option<u64>,
    #[prost(string, optional, tag = "3")]
    text: Option<String>,
}

impl Handed {
    /// Whether they are for the unit of this name.
    pub fn is_for(&self, unit: &str) -> bool {
        self.unit.is_empty() || self.unit == unit
    }

    /// In one line, for people: "revision 7: longest_shift_h 10; not known to this car: wipers".
    pub fn words(&self) -> String {
        let unknown = match self.unknown.as_slice() {
            [] => String::new(),
            names => format!("; not known to this car: {}", names.join(", ")),
        };
        format!("revision {}: {}{unknown}", self.revision, self.values.words())
    }

    /// The bytes that are signed and handed down. What is [unknown](Self::unknown) is not among them: only a decoder has it.
    pub fn encode(&self) -> Vec<u8> {
        self.stored().encoded()
    }

    /// The same with a key that no program knows yet.
    #[cfg(test)]
    pub(crate) fn encode_with(&self, name: &str, whole: u64) -> Vec<u8> {
        let mut stored = self.stored();
        stored.settings.push(StoredSetting { name: name.to_owned(), whole: Some(whole), text: None });
        stored.encoded()
    }

    fn stored(&self) -> StoredSettings {
        let setting = |(key, value): (&Key, &super::Value)| {
            let (whole, text) = match value {
                super::Value::Whole(number) => (Some(u64::from(*number)), None),
                super::Value::Text(text) => (None, Some(text.clone())),
            };
            StoredSetting { name: key.name().to_owned(), whole, text }
        };
        StoredSettings {
            revision: self.revision,
            made: self.made.timestamp(),
            unit: self.unit.clone(),
            settings: self.values.0.iter().map(setting).collect(),
        }
    }

    /// The settings in bytes that [`Self::encode`] gave. One value out of bounds refuses them all.
    ///
    /// # Errors
    /// A clause saying why there are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let stored = match bytes {
            _ if bytes.len() > MOST_BYTES => return Err("there are more settings than a car takes".into()),
            [VERSION, rest @ ..] => StoredSettings::decode(rest).map_err(|error| error.to_string())?,
            _ => return Err("the settings are of another version".into()),
        };
        if stored.settings.len() > MOST {
            return Err("there are more settings than a car takes".into());
        }
        if stored.unit.len() > LONGEST || stored.unit.chars().any(char::is_control) {
            return Err("the unit that the settings are for is none".into());
        }
        let made = DateTime::from_timestamp(stored.made, 0).ok_or("the time of the settings is none")?;
        let (mut values, mut unknown) = (Values::default(), Vec::new());
        for StoredSetting { name, whole, text } in stored.settings {
            let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            if name.is_empty() || name.len() > LONGEST || !name.bytes().all(letters) {
                return Err("the name of a setting is none".into());
            }
            let Some(key) = Key::parse(&name) else {
                if unknown.contains(&name) {
                    return Err(format!("{name} is set twice"));
                }
                unknown.push(name);
                continue;
            };
            let value = match (whole, text) {
                (Some(number), None) => key.whole(number.into())?,
                (None, Some(text)) => key.text(&text)?,
                _ => return Err(format!("{name} has no value, or two")),
            };
            if values.0.insert(key, value).is_some() {
                return Err(format!("{name} is set twice"));
            }
        }
        Ok(Self { revision: stored.revision, made, unit: stored.unit, values, unknown })
    }
}

impl StoredSettings {
    fn encoded(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        self.encode_raw(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::Value;

    fn handed() -> Handed {
        let values =
            Values([(Key::LongestShift, Value::Whole(10)), (Key::Notice, Value::Text("Bridge closed".into()))].into());
        Handed { revision: 7, made: DateTime::UNIX_EPOCH, unit: "EX-01".into(), values, unknown: Vec::new() }
    }

    fn with(name: &str, whole: Option<u64>, text: Option<&str>) -> Vec<u8> {
        let mut stored = handed().stored();
        stored.settings.push(StoredSetting { name: name.into(), whole, text: text.map(str::to_owned) });
        stored.encoded()
    }

    #[test]
    fn settings_come_back_as_they_were_and_a_key_that_nobody_knows_is_named_and_let_be() {
        let plain = handed();
        assert_eq!(Handed::decode(&plain.encode()), Ok(plain.clone()));
        assert!(plain.is_for("EX-01") && !plain.is_for("EX-02"));
        assert!(Handed { unit: String::new(), ..plain.clone() }.is_for("EX-02"));
        for newer in [plain.encode_with("wipers", 3), with("wipers", None, Some("on")), with("wipers", None, None)] {
            let read = Handed::decode(&newer).expect("the rest counts");
            assert_eq!((&read.values, read.unknown.as_slice()), (&plain.values, &["wipers".to_owned()][..]));
            assert!(read.words().ends_with("; not known to this car: wipers"), "{}", read.words());
        }
    }

    #[test]
    fn one_value_that_is_wrong_refuses_the_whole_revision() {
        for (bytes, why) in [
            (with("drill_days", Some(0), None), "drill_days is 0, must be 1 to 90"),
            (with("drill_days", Some(u64::MAX), None), "must be 1 to 90"),
            (with("health_s", Some(1), None), "health_s is 1"),
            (with("position_s", Some(1), None), "position_s is 1"),
            (with("lists_stale_h", Some(1), None), "lists_stale_h is 1"),
            (with("drill_days", None, Some("7")), "drill_days is text"),
            (with("drill_days", None, None), "no value"),
            (with("drill_days", Some(7), Some("7")), "or two"),
            (with("longest_shift_h", Some(9), None), "set twice"),
            (with("Retention\n", Some(9), None), "name of a setting"),
            (with("", Some(9), None), "name of a setting"),
            (with(&"x".repeat(65), Some(9), None), "name of a setting"),
            (vec![VERSION; MOST_BYTES + 1], "more settings than a car takes"),
            (vec![2, 8, 7], "another version"),
            (Vec::new(), "another version"),
        ] {
            let refused = Handed::decode(&bytes).expect_err(why);
            assert!(refused.contains(why), "{refused}");
        }
        let mut many = handed().stored();
        many.settings =
            (0..=MOST).map(|n| StoredSetting { name: format!("x{n}"), ..StoredSetting::default() }).collect();
        assert!(Handed::decode(&many.encoded()).is_err_and(|why| why.contains("more settings")));
        let timeless = StoredSettings { made: i64::MAX, ..handed().stored() };
        assert!(Handed::decode(&timeless.encoded()).is_err_and(|why| why.contains("time")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_settings_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Handed::decode(&bytes);
            let _ = Handed::decode(&[&[VERSION], &bytes[..]].concat());
        }
    }
}

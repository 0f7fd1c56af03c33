//! One line of a list, and how it is kept.

use std::fmt;

use chrono::{DateTime, Utc};
use prost::Message;
use prost::encoding;
use serde::{Deserialize, Serialize};

use super::mark::Mark;

/// How urgent an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// For information.
    Low,
    /// The rest.
    #[default]
    Medium,
    /// Act at once.
    High,
}

impl Priority {
    /// Reads a priority as lists write it: `high`, `h`, `1` and so on, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "high" | "h" | "1" => Some(Self::High),
            "medium" | "med" | "m" | "2" => Some(Self::Medium),
            "low" | "l" | "3" => Some(Self::Low),
            _ => None,
        }
    }

    pub(super) fn number(self) -> u32 {
        match self {
            Self::High => 1,
            Self::Medium => 2,
            Self::Low => 3,
        }
    }

    pub(super) fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::High),
            2 => Some(Self::Medium),
            3 => Some(Self::Low),
            _ => None,
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        })
    }
}

/// One line of a list. Texts are as the list has them; empty where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The VRM or pattern as it is listed.
    pub vrm: Mark,
    /// Why the vehicle is wanted: "stolen".
    pub reason: String,
    /// How urgent.
    pub priority: Priority,
    /// What the crew should do: "stop".
    pub action: String,
    /// Make.
    pub make: String,
    /// Model.
    pub model: String,
    /// Colour.
    pub colour: String,
    /// Class of vehicle: "car", "motorcycle".
    pub class: String,
    /// The country that registered it, as on its oval: "GB", "F".
    pub country: String,
    /// Warning markers.
    pub markers: String,
    /// Who put it on the list.
    pub source: String,
    /// When it was put on the list.
    pub added: Option<DateTime<Utc>>,
    /// When it was last confirmed.
    pub confirmed: Option<DateTime<Utc>>,
    /// From when on it does not count any more.
    pub expires: Option<DateTime<Utc>>,
    /// Anything for the crew to read.
    pub note: String,
    /// Columns that the list has beyond these: name and text.
    pub extra: Vec<(String, String)>,
}

impl Entry {
    /// An entry of which nothing but the VRM or pattern is known.
    pub fn bare(mark: impl Into<Mark>) -> Self {
        Self {
            vrm: mark.into(),
            reason: String::new(),
            priority: Priority::default(),
            action: String::new(),
            make: String::new(),
            model: String::new(),
            colour: String::new(),
            class: String::new(),
            country: String::new(),
            markers: String::new(),
            source: String::new(),
            added: None,
            confirmed: None,
            expires: None,
            note: String::new(),
            extra: Vec::new(),
        }
    }

    /// The bytes that are stored and handed down: those of [`Stored`] behind a version byte, written without a copy of
    /// every text.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        bytes.push(VERSION);
        let mut text = |tag: u32, text: &str| {
            if !text.is_empty() {
                encoding::encode_key(tag, encoding::WireType::LengthDelimited, &mut bytes);
                encoding::encode_varint(text.len() as u64, &mut bytes);
                bytes.extend_from_slice(text.as_bytes());
            }
        };
        text(1, self.vrm.as_str());
        text(2, &self.reason);
        text(4, &self.action);
        text(5, &self.make);
        text(6, &self.model);
        text(7, &self.colour);
        text(8, &self.markers);
        text(9, &self.source);
        text(13, &self.note);
        text(15, &self.class);
        text(16, &self.country);
        encoding::uint32::encode(3, &self.priority.number(), &mut bytes);
        for (tag, time) in [(10, self.added), (11, self.confirmed), (12, self.expires)] {
            if let Some(time) = time {
                encoding::int64::encode(tag, &time.timestamp(), &mut bytes);
            }
        }
        for text in self.extra.iter().flat_map(|(name, text)| [name, text]) {
            encoding::string::encode(14, text, &mut bytes);
        }
        bytes
    }

    /// The entry in `bytes`, or why there is none.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let stored = match bytes {
            [VERSION, rest @ ..] => Stored::decode(rest).map_err(|error| error.to_string())?,
            [version, ..] => return Err(format!("an entry has version {version}, this program knows {VERSION}")),
            [] => return Err("an entry is empty".into()),
        };
        let time = |seconds: Option<i64>| seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        let mut extra = stored.extra.into_iter();
        Ok(Self {
            vrm: Mark::parse(&stored.vrm).map_err(|why| format!("an entry's VRM is none: {why}"))?,
            reason: stored.reason,
            priority: Priority::from_number(stored.priority).ok_or("an entry's priority is none")?,
            action: stored.action,
            make: stored.make,
            model: stored.model,
            colour: stored.colour,
            class: stored.class,
            country: stored.country,
            markers: stored.markers,
            source: stored.source,
            added: time(stored.added),
            confirmed: time(stored.confirmed),
            expires: time(stored.expires),
            note: stored.note,
            extra: std::iter::from_fn(|| extra.next().zip(extra.next())).collect(),
        })
    }
}

const VERSION: u8 = 1;

/// An entry as it is kept. A number is never used again for something else.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(string, tag = "1")]
    vrm: String,
    #[prost(string, tag = "2")]
    reason: String,
    #[prost(uint32, tag = "3")]
    priority: u32,
    #[prost(string, tag = "4")]
    action: String,
    #[prost(string, tag = "5")]
    make: String,
    #[prost(string, tag = "6")]
    model: String,
    #[prost(string, tag = "7")]
    colour: String,
    #[prost(string, tag = "8")]
    markers: String,
    #[prost(string, tag = "9")]
    source: String,
    #[prost(int64, optional, tag = "10")]
    added: Option<i64>,
    #[prost(int64, optional, tag = "11")]
    confirmed: Option<i64>,
    #[prost(int64, optional, tag = "12")]
    expires: Option<i64>,
    #[prost(string, tag = "13")]
    note: String,
    /// Names and texts in turn.
    #[prost(string, repeated, tag = "14")]
    extra: Vec<String>,
    #[prost(string, tag = "15")]
    class: String,
    #[prost(string, tag = "16")]
    country: String,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn entry(vrm: &str, reason: &str) -> Entry {
        Entry { reason: reason.into(), ..Entry::bare(Mark::parse(vrm).expect("a VRM")) }
    }

    #[test]
    fn an_entry_survives_being_stored() {
        let full = Entry {
            priority: Priority::High,
            action: "stop".into(),
            make: "FORD".into(),
            model: "FOCUS".into(),
            colour: "RED".into(),
            class: "car".into(),
            country: "GB".into(),
            markers: "FI".into(),
            source: "42AB".into(),
            note: "a\nb".into(),
            added: DateTime::from_timestamp(-1, 0),
            confirmed: DateTime::from_timestamp(0, 0),
            expires: DateTime::from_timestamp(1_800_000_000, 0),
            extra: vec![("pnc_id".into(), "7".into()), ("cad".into(), String::new())],
            ..entry("AB12CDE", "stolen")
        };
        assert_eq!(Entry::decode(&full.encode()), Ok(full));
        let pattern = entry("AB*?", "");
        assert_eq!(Entry::decode(&pattern.encode()), Ok(pattern));
        assert!(Entry::decode(&[]).is_err());
        assert!(Entry::decode(&[9, 1]).is_err_and(|why| why.contains("version 9")));
    }

    proptest! {
        #[test]
        fn no_bytes_can_break_decoding(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::decode(&bytes);
            let _ = Entry::decode(&[&[VERSION], &bytes[..]].concat());
        }
    }
}

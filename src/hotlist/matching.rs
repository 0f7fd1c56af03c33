//! What a read means against the lists.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::entry::Entry;
use super::store::ListHead;

/// How a read matches an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum How {
    /// Every glyph is the same.
    Exact,
    /// Some characters are taken for others that look alike.
    Probable,
    /// The entry is a pattern that the read fits.
    Pattern,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Probable => "probable",
            Self::Pattern => "pattern",
        })
    }
}

/// What speaks against a hit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Contradiction {
    /// The entry says that it does not count any more.
    Expired {
        /// Since when.
        on: DateTime<Utc>,
    },
    /// Nobody has brought the list up to date for long.
    ListStale {
        /// How long.
        age: Duration,
    },
    /// The VRM is listed, but the store could not give the entry: nothing but the VRM is known.
    EntryUnreadable,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { on } => write!(f, "the entry expired on {}", on.format("%Y-%m-%d")),
            Self::ListStale { age } => write!(f, "the list is {} days old", age.as_secs() / 86_400),
            Self::EntryUnreadable => f.write_str("the entry cannot be read from the store"),
        }
    }
}

/// A read that matches an entry.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The list that has the entry.
    pub list: Arc<ListHead>,
    /// The entry.
    pub entry: Entry,
    /// How the read matches it.
    pub how: How,
    /// Probability that the vehicle bears the listed VRM.
    pub probability: f32,
    /// What speaks against it; empty if nothing is known to.
    pub against: Vec<Contradiction>,
    /// Time since the list was produced (or received, where it does not say), by the time of the read.
    pub list_age: Duration,
}

/// From which age on a list speaks against its own hits.
pub(super) const LIST_STALE: Duration = Duration::from_secs(7 * 86_400);

impl Hit {
    /// An exact hit at `utc`, with what speaks against it.
    pub(super) fn exact(
        list: Arc<ListHead>,
        entry: Option<Entry>,
        bare: impl FnOnce() -> Entry,
        probability: f32,
        utc: DateTime<Utc>,
    ) -> Self {
        let mut against = Vec::new();
        let entry = entry.unwrap_or_else(|| {
            against.push(Contradiction::EntryUnreadable);
            bare()
        });
        if let Some(on) = entry.expires.filter(|on| *on <= utc) {
            against.push(Contradiction::Expired { on });
        }
        let list_age = list.age(utc);
        if list_age > LIST_STALE {
            against.push(Contradiction::ListStale { age: list_age });
        }
        Self { list, entry, how: How::Exact, probability, against, list_age }
    }
}

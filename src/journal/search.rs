//! Looking back: which vehicles that passed bore a text.

use chrono::{DateTime, Utc};
use redb::ReadableTable;

use super::archive::{Archive, READS};
use super::record::StoredRead;
use super::vault::Row;
use crate::fault::Result;
use crate::recognise::ReadId;

/// A vehicle that passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Passed {
    /// Which read.
    pub id: ReadId,
    /// What it says, in its newest version.
    pub text: String,
    /// When it was seen.
    pub utc: DateTime<Utc>,
    /// The camera's name.
    pub camera: String,
    /// Latitude and longitude, where they were known.
    pub place: Option<(f64, f64)>,
}

impl Archive {
    /// The passes whose newest text `fits`, oldest first.
    ///
    /// # Errors
    /// The disk fails, or the journal is damaged.
    pub fn passed(&self, fits: impl Fn(&str) -> bool) -> Result<Vec<Passed>> {
        self.read("cannot look through the journal", |transaction| {
            let mut found: Vec<Passed> = Vec::new();
            let mut last: Option<StoredRead> = None;
            let mut take = |read: Option<StoredRead>| {
                if let Some(read) = read.filter(|read| !read.text.is_empty() && fits(&read.text)) {
                    found.push(Passed {
                        id: read.id(),
                        utc: read.utc(),
                        place: read.place.as_ref().map(|place| (place.lat, place.lon)),
                        text: read.text,
                        camera: read.camera,
                    });
                }
            };
            for row in transaction.open_table(READS)?.iter()? {
                let (key, value) = row?;
                let (run, pass, version) = key.value();
                let Some(read) = self.decoded::<StoredRead>(Row::Read(run, pass, version), value.value())? else {
                    continue;
                };
                // Versions of one pass follow each other: the last one counts.
                if last.as_ref().is_some_and(|last| (last.run, last.pass) != (run, pass)) {
                    take(last.take());
                }
                last = Some(read);
            }
            take(last);
            Ok(found)
        })
    }
}

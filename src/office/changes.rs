//! Who changed which list, and why: a line for each revision that was handed to the cars.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::files;
use crate::fault::{Fault, Kind, Result};

/// One revision of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListChange {
    /// When.
    pub utc: DateTime<Utc>,
    /// Which list.
    pub list: String,
    /// Its revision from then on.
    pub revision: u64,
    /// Who; empty: nobody said.
    pub by: String,
    /// Why.
    pub why: String,
    /// Whether the whole list was handed over, not only what changed.
    pub whole: bool,
    /// The VRMs and patterns that were given other entries; those of a whole list are not named.
    pub set: Vec<String>,
    /// The VRMs and patterns that were taken off.
    pub removed: Vec<String>,
}

/// Every change of the lists of the office in `data`, oldest first.
///
/// # Errors
/// The record cannot be read or is damaged.
pub fn changes(data: &Path) -> Result<Vec<ListChange>> {
    files::lines(&files::changes(data), "the record of who changed the lists")
}

/// Puts a change on record.
pub(crate) fn note(data: &Path, change: &ListChange) -> Result<()> {
    let line = serde_json::to_string(change)
        .map_err(|error| Fault::new(Kind::Internal, "cannot write who changed the list").because(error))?;
    files::append(&files::changes(data), &line)
}

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
    let _held = hold(data)?;
    files::append(&files::changes(data), &line)
}

/// Takes what is from before this instant off the record, once `first` has heard how much that is; gives how much. The file is
/// written anew, and the old one is gone.
pub(crate) fn forget(data: &Path, before: DateTime<Utc>, first: impl FnOnce(u64) -> Result<()>) -> Result<u64> {
    let _held = hold(data)?;
    let all = changes(data)?;
    let (over, kept): (Vec<_>, Vec<_>) = all.iter().partition(|change| change.utc < before);
    if over.is_empty() {
        return Ok(0);
    }
    first(over.len() as u64)?;
    let mut text = String::new();
    for change in kept {
        let line = serde_json::to_string(change)
            .map_err(|error| Fault::new(Kind::Internal, "cannot write who changed the lists").because(error))?;
        text += &line;
        text.push('\n');
    }
    files::replace(&files::changes(data), text.as_bytes())?;
    Ok(over.len() as u64)
}

/// Held by who writes the record: what is noted while others are taken off must not go with them.
fn hold(data: &Path) -> Result<std::fs::File> {
    files::hold(&data.join("changes.lock"), "cannot change the record of who changed the lists")
}

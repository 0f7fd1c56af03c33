//! Who let which car in, cut it off, or made a code for it: a line each, never changed.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::files;
use crate::fault::{Fault, Kind, Result};

/// One thing that was done about who may speak to the office.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// When.
    pub utc: DateTime<Utc>,
    /// Who did it, as they say; "the office" where it was done by itself.
    pub by: String,
    /// What was done: "code K7QM made for car-01, until 14:15".
    pub what: String,
}

/// What stands for whoever does not say who they are.
pub(crate) const NOT_SAID: &str = "not said";

/// What stands for the service.
pub(crate) const BY_ITSELF: &str = "the office";

/// Puts on record what is about to be done: a change that nobody answers for is worse than one that is told twice.
pub(crate) fn note(data: &Path, utc: DateTime<Utc>, by: &str, what: String) -> Result<()> {
    let by = if by.trim().is_empty() { NOT_SAID } else { by.trim() };
    let line = serde_json::to_string(&Enrolment { utc, by: by.to_owned(), what })
        .map_err(|error| Fault::new(Kind::Internal, "cannot write who let a car in").because(error))?;
    files::append(&files::enrolments(data), &line)
}

/// Everything that was done about who may speak to the office in `data`, oldest first.
///
/// # Errors
/// The record cannot be read or is damaged.
pub fn enrolments(data: &Path) -> Result<Vec<Enrolment>> {
    files::lines(&files::enrolments(data), "the record of who let cars in")
}

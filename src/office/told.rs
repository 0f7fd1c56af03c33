//! What is told on of what cars sent: the words of crews and the heads of audit chains in files for the commands, and the
//! verdicts of crews for the other cars. Each look costs what has come since the last one, however much is stored.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::store::{Store, UnitCounts};
use super::verdicts::Verdicts;
use super::{authority, crews, heads};
use crate::fault::Result;

/// Verdicts are looked through again after so long, so that those whose time is over go.
const VERDICTS_LOOK: TimeDelta = TimeDelta::minutes(5);

/// How far each of them is.
#[derive(Default)]
pub(crate) struct Told(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    stored: Counts,
    /// How many heads there were when their file was last written, and the number of the newest in it.
    heads: Option<(u64, u64)>,
    /// The same for statements.
    crews: Option<(u64, crews::Written)>,
    /// How many statements there were when verdicts were last gathered, and when that was.
    gathered: Option<(u64, DateTime<Utc>)>,
    verdicts: Verdicts,
}

/// How much is stored.
#[derive(Default, Clone, Copy)]
struct Counts {
    statements: u64,
    heads: u64,
}

impl Told {
    /// So much is stored now.
    pub(crate) fn counted(&self, units: &BTreeMap<String, UnitCounts>) {
        let stored = Counts {
            statements: units.values().map(|unit| unit.statements).sum(),
            heads: units.values().map(|unit| unit.heads).sum(),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).stored = stored;
    }

    /// Brings all of it up to date. Says whether cars are to be handed other verdicts. Blocks on the disk.
    ///
    /// # Errors
    /// The store or a file does not work. The next look begins that file anew.
    pub(crate) fn look(&self, data: &Path, store: &dyn Store, utc: DateTime<Utc>) -> Result<bool> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { statements, heads } = inner.stored;
        if inner.heads.is_none_or(|(count, _)| count != heads) {
            let newest = inner.heads.take().map(|(_, newest)| newest);
            inner.heads = Some((heads, heads::write(data, store, newest)?));
        }
        if inner.crews.as_ref().is_none_or(|(count, written)| *count != statements || written.is_old(utc)) {
            let written = inner.crews.take().map(|(_, written)| written);
            inner.crews = Some((statements, crews::write(data, store, written, utc)?));
        }
        let is_recent = |at: DateTime<Utc>| (utc - at).abs() < VERDICTS_LOOK;
        if inner.gathered.is_some_and(|(count, at)| count == statements && is_recent(at)) {
            return Ok(false);
        }
        let changed = inner.verdicts.hand_out(|| authority::lists_key(data), store, utc)?;
        inner.gathered = Some((statements, utc));
        Ok(changed)
    }
}

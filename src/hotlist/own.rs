//! The crew's own entries: a list of the car's, taken up one by one.

use std::sync::PoisonError;

use chrono::{DateTime, Utc};

use super::chain::Removals;
use super::entry::Entry;
use super::head::{ListHead, Settings};
use super::index::Packed;
use super::mark::Mark;
use super::patterns::Automaton;
use super::statement::{Said, Statement};
use super::store::Hotlist;
use super::writer::Changes;
use crate::fault::{Fault, Kind, Result};

/// The id of the list that has the crew's own entries.
pub const OWN: &str = "crew";

impl Hotlist {
    /// Takes up an entry of the crew's: it is matched from now on, and the office is told. Entries of the same VRM that have expired at `now` go.
    ///
    /// # Errors
    /// It has no reason, no expiry, or one that has passed; or the disk fails.
    pub fn add_own(&self, entry: Entry, now: DateTime<Utc>) -> Result<ListHead> {
        let refuse = |why: &str, remedy: &str| {
            Err(Fault::new(Kind::Usage, "cannot take up the entry")
                .at(&entry.vrm)
                .because(why.to_owned())
                .remedy(remedy))
        };
        if entry.reason.trim().is_empty() {
            return refuse("it has no reason", "Say why the vehicle is wanted");
        }
        match entry.expires {
            None => return refuse("it has no expiry", "Say until when it counts"),
            Some(expires) if expires <= now => return refuse("it has expired already", "Name a later time"),
            Some(_) => {}
        }
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        if self.head(OWN).is_none() {
            let settings = Settings { owner: "the crew".into(), ..Settings::default() };
            self.replace(&mut new_list(settings, now), |_| Ok(()))?;
        }
        let snapshot = self.snapshot();
        let Some(held) = snapshot.list(OWN) else {
            return Err(Fault::new(Kind::Internal, "the crew's list is not there"));
        };
        let kept: Vec<Entry> = match &entry.vrm {
            Mark::Vrm(vrm) => {
                let packed = Packed::of(vrm.as_str());
                let entries = packed.map_or(Ok(Vec::new()), |packed| held.entries(packed));
                let entries = entries.map_err(|error| self.unstored(error.into()))?;
                entries.into_iter().filter_map(std::result::Result::ok).collect()
            }
            Mark::Pattern(pattern) => held.of_pattern(pattern.as_str()).to_vec(),
        };
        let mut changes = Changes::default();
        let entries =
            changes.of(&entry.vrm).ok_or_else(|| Fault::new(Kind::Internal, "a VRM that was read is none"))?;
        for kept in kept.iter().filter(|kept| kept.expires.is_some_and(|expires| expires > now) && **kept != entry) {
            entries.push(kept.encode());
        }
        entries.push(entry.encode());
        let head =
            ListHead { revision: held.head.revision + 1, produced: now, received: now, ..ListHead::clone(&held.head) };
        let said = Statement { utc: now, said: Said::Entry(Box::new(entry)) };
        self.change_list(held, head, &changes, &[], Some(&said), |_| Ok(()))?;
        self.head(OWN)
            .map(|head| ListHead::clone(&head))
            .ok_or_else(|| Fault::new(Kind::Internal, "the crew's list is gone"))
    }

    /// Takes an entry of the crew's off again, and tells the office. False if there is none of that VRM or pattern.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove_own(&self, mark: &Mark, why: &str, now: DateTime<Utc>) -> Result<bool> {
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.snapshot();
        let Some(held) = snapshot.list(OWN).filter(|held| held.holds(mark)) else { return Ok(false) };
        let mut changes = Changes::default();
        if let Some(entries) = changes.of(mark) {
            entries.clear();
        }
        let removals: Removals = vec![(mark.clone(), why.to_owned())];
        let head =
            ListHead { revision: held.head.revision + 1, produced: now, received: now, ..ListHead::clone(&held.head) };
        let said = Statement { utc: now, said: Said::Removal { mark: mark.clone(), why: why.to_owned() } };
        self.change_list(held, head, &changes, &removals, Some(&said), |_| Ok(()))?;
        Ok(true)
    }
}

fn new_list(settings: Settings, now: DateTime<Utc>) -> ListHead {
    ListHead {
        id: OWN.into(),
        name: "The crew's own".into(),
        revision: 1,
        produced: now,
        received: now,
        count: 0,
        patterns: 0,
        settings,
        state: None,
        generation: 1,
    }
}

impl Mark {
    /// Something that says of texts whether they are this VRM, or fit this pattern; shared glyphs are taken for one.
    pub fn fitting(&self) -> impl Fn(&str) -> bool + use<> {
        let (packed, automaton) = match self {
            Self::Vrm(vrm) => (Packed::of(vrm.as_str()), None),
            Self::Pattern(pattern) => (None, Some(Automaton::of([pattern]))),
        };
        move |text: &str| match &automaton {
            Some(automaton) => !automaton.matches(text).is_empty(),
            None => packed.is_some() && Packed::of(text) == packed,
        }
    }
}

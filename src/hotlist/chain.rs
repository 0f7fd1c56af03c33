//! The chain of a list's revisions: the office signs and hands down, the car checks and applies.

use std::io::Read;
use std::path::Path;
use std::sync::PoisonError;

use chrono::Days;
use redb::ReadableTable;

use super::block;
use super::entry::Entry;
use super::head::{ListHead, Settings};
use super::import::{ImportOptions, Report};
use super::index::Packed;
use super::mark::Mark;
use super::revision::{self, Base, Body, Chunks, Manifest, Record, Refusal, Signed};
use super::signing::SigningKey;
use super::snapshot::Listed;
use super::statement::{self, Statement};
use super::store::{Hotlist, LISTS, REMOVED, begin, check_id};
use super::writer::{self, Changes};
use crate::fault::{Fault, Kind, Result};
use crate::plate;

/// What came of a revision that was handed down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The list is replaced.
    Replaced {
        /// Which list.
        list: String,
        /// The revision it has now.
        revision: u64,
        /// How many entries that has.
        count: u64,
    },
    /// The list is changed.
    Changed {
        /// Which list.
        list: String,
        /// The revision it has now.
        revision: u64,
        /// How many entries that has.
        count: u64,
        /// How many VRMs and patterns have other entries than before, or none.
        changed: u64,
    },
    /// The same revision was held already.
    Held {
        /// Which list.
        list: String,
        /// The revision.
        revision: u64,
    },
}

/// A revision as the office hands it down.
#[derive(Debug)]
pub struct Published {
    /// Which revision.
    pub revision: u64,
    /// The whole list.
    pub whole: Signed,
    /// What changed, and since which revision; `None` where there is nothing to go on from, or the whole list is as good.
    pub change: Option<(u64, Signed)>,
}

/// What is taken off, and why.
pub(super) type Removals = Vec<(Mark, String)>;

/// One thing that changes of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amendment {
    /// Its VRM or pattern has this entry from now on, and those of further amendments of the same; no others.
    Set(Box<Entry>),
    /// A VRM or pattern is taken off.
    Remove {
        /// Which.
        mark: Mark,
        /// Why, as the crew is to be told: "recovered 14:02".
        why: String,
    },
}

/// How long it is kept why an entry was taken off, days: alerts do not live longer.
const KEPT: u64 = 7;
/// Bytes of the largest change that is made: a car holds it in memory while it is applied. Beyond it cars take the whole
/// list, which they need not hold.
const CHANGE_LIMIT: u64 = 64 << 20;
const WHAT: &str = "cannot use the list's revision";

impl Hotlist {
    /// Brings a list to a revision that an office has signed, which `reader` gives. Matching goes on against the old one
    /// until the new one is there, whole. Of a whole list no more is held in memory than a chunk, its patterns and a
    /// number an entry.
    ///
    /// # Errors
    /// No trusted signature; damaged or cut short; of another list than `expected`; older than what is held, or a change of
    /// another revision than is held; or the disk fails. The list is then as it was.
    pub fn apply(&self, reader: impl Read, expected: Option<&str>) -> Result<Applied> {
        let trusted = self.trusted.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (manifest, body) = revision::open(reader, &trusted)?;
        check_id(&manifest.list)?;
        let denied = |why: String| Fault::new(Kind::Denied, WHAT).at(&manifest.list).because(why);
        if expected.is_some_and(|expected| expected != manifest.list) {
            return Err(denied(format!("it was handed down as list {}", expected.unwrap_or_default())));
        }
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.snapshot();
        let held = snapshot.list(&manifest.list);
        if let Some(held) = held.map(|held| &held.head) {
            if held.revision == manifest.revision && held.state == Some(manifest.state) {
                return Ok(Applied::Held { list: manifest.list, revision: manifest.revision });
            }
            if held.revision >= manifest.revision {
                return Err(denied(format!(
                    "revision {} is not newer than {}, which is held",
                    manifest.revision, held.revision
                )));
            }
        }
        match (manifest.base, held) {
            (None, _) => self.apply_whole(manifest, body),
            (Some(base), Some(held)) if held.head.revision == base.revision && held.head.state == Some(base.state) => {
                self.apply_change(manifest, body, held)
            }
            (Some(base), held) => Err(denied(format!(
                "it changes revision {} of the office, and {}",
                base.revision,
                match held {
                    None => "the list is not held".to_owned(),
                    Some(held) if held.head.revision == base.revision =>
                        "another one of that number is held".to_owned(),
                    Some(held) => format!("{} is held", held.head.revision),
                }
            ))
            .remedy("Have the whole list sent")),
        }
    }

    fn apply_whole(&self, manifest: Manifest, mut body: Body<impl Read>) -> Result<Applied> {
        let mut head = self.new_head(&manifest);
        head.generation = self.head(&manifest.list).map_or(0, |head| head.generation) + 1;
        self.replace(&mut head, |writer| {
            let mut last: Option<(Option<Packed>, String)> = None;
            while let Some(record) = body.next()? {
                let Record::Entry(bytes) = record else {
                    return Err(damaged("a whole list removes an entry".into()));
                };
                let entry = Entry::decode(bytes).map_err(damaged)?;
                // VRMs before patterns, each in their own order.
                let place = match &entry.vrm {
                    Mark::Vrm(vrm) => (Packed::of(vrm.as_str()), String::new()),
                    Mark::Pattern(pattern) => (None, pattern.as_str().to_owned()),
                };
                let before = |a: &(Option<Packed>, String), b: &(Option<Packed>, String)| match (a.0, b.0) {
                    (Some(a), Some(b)) => a <= b,
                    (Some(_), None) => true,
                    (None, Some(_)) => false,
                    (None, None) => a.1 <= b.1,
                };
                if last.as_ref().is_some_and(|last| !before(last, &place)) {
                    return Err(damaged("its entries are out of order".into()));
                }
                match place.0 {
                    Some(packed) => writer.entry(packed, bytes).map_err(|error| self.unstored(error))?,
                    None => writer.pattern(&place.1, bytes),
                }
                last = Some(place);
            }
            if writer.count() != manifest.count {
                return Err(damaged(format!(
                    "it has {} entries where its manifest says {}",
                    writer.count(),
                    manifest.count
                )));
            }
            Ok(())
        })?;
        Ok(Applied::Replaced { list: manifest.list, revision: manifest.revision, count: head.count })
    }

    fn apply_change(&self, manifest: Manifest, mut body: Body<impl Read>, held: &Listed) -> Result<Applied> {
        let mut changes = Changes::default();
        let mut removals = Removals::new();
        while let Some(record) = body.next()? {
            match record {
                Record::Entry(bytes) => {
                    let entry = Entry::decode(bytes).map_err(damaged)?;
                    changes
                        .of(&entry.vrm)
                        .ok_or_else(|| damaged("an entry's VRM is none".into()))?
                        .push(bytes.to_vec());
                }
                Record::Removal { mark, why } => {
                    let mark =
                        Mark::parse(&mark).map_err(|error| damaged(format!("a removal names no VRM: {error}")))?;
                    removals.push((mark, why));
                }
            }
        }
        // A removal outranks whatever else the change says of the same VRM.
        for (mark, _) in &removals {
            changes.of(mark).ok_or_else(|| damaged("a removal names no VRM".into()))?.clear();
        }
        let mut head = self.new_head(&manifest);
        head.generation = held.head.generation;
        self.change_list(held, head, &changes, &removals, None, |head| {
            if (head.count, head.patterns) != (manifest.count, manifest.patterns) {
                return Err(damaged(format!(
                    "it leads to {} entries where its manifest says {}",
                    head.count, manifest.count
                )));
            }
            Ok(())
        })?;
        let changed = (changes.vrms.len() + changes.patterns.len()) as u64;
        Ok(Applied::Changed { list: manifest.list, revision: manifest.revision, count: manifest.count, changed })
    }

    /// Makes the changes in one transaction, and with them keeps what is `said` of them. `check` sees the new head, its
    /// counts filled in, and may add to it or refuse.
    pub(super) fn change_list(
        &self,
        held: &Listed,
        mut head: ListHead,
        changes: &Changes,
        removals: &[(Mark, String)],
        said: Option<&Statement>,
        check: impl FnOnce(&mut ListHead) -> Result<()>,
    ) -> Result<()> {
        let fault = |error| self.unstored(error);
        let transaction = begin(&self.database).map_err(fault)?;
        let counts = (held.head.count, held.head.patterns);
        let written = writer::change(&transaction, &head.id, head.generation, &held.index, counts, changes);
        let written = written.map_err(fault)?;
        (head.count, head.patterns) = (written.count, written.patterns);
        check(&mut head)?;
        let stated = self.stated.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (|| {
            if let Some(said) = said {
                statement::keep(&transaction, said, &stated)?;
            }
            transaction.open_table(LISTS)?.insert(head.id.as_str(), &head.encode()[..])?;
            {
                let now = self.clock.utc();
                let mut removed = transaction.open_table(REMOVED)?;
                let kept = (now - Days::new(KEPT)).timestamp();
                removed.retain(|_, (at, _)| at >= kept)?;
                for (mark, why) in removals {
                    let key = plate::fold(mark.as_str());
                    removed.insert((head.id.as_str(), key.as_str()), (now.timestamp(), why.as_str()))?;
                }
            }
            transaction.commit()?;
            Ok::<_, redb::Error>(())
        })()
        .map_err(fault)?;
        self.refresh(Some(&head.id))
    }

    /// Changes the list `id`, which must have been signed before, and signs the change: it costs what changes, not what the
    /// list holds. Gives the revision that it goes on from, and the signed change. A VRM that is taken off must be on the
    /// list: whoever mistyped it is to know.
    ///
    /// # Errors
    /// There is no such list, it was never signed, an amendment is of no VRM, or the disk fails; nothing is changed then.
    pub fn amend(
        &self,
        id: &str,
        amendments: &[Amendment],
        revision: Option<u64>,
        key: &SigningKey,
    ) -> Result<(u64, Signed)> {
        let what = "cannot change the list";
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.snapshot();
        let Some(held) = snapshot.list(id) else {
            return Err(Fault::new(Kind::Missing, what).at(id).because("there is no such list"));
        };
        let Some(state) = held.head.state else {
            return Err(Fault::new(Kind::Usage, what)
                .at(id)
                .because("it was never signed")
                .remedy("Publish it whole first"));
        };
        let unusable = || Fault::new(Kind::Usage, what).at(id).because("an amendment is of no VRM");
        let (mut changes, mut removals, mut chunks) =
            (Changes::default(), Vec::new(), Chunks::in_folder(self.folder()));
        for amendment in amendments {
            match amendment {
                Amendment::Set(entry) => {
                    let bytes = entry.encode();
                    chunks.push(&Record::Entry(&bytes)).map_err(|error| self.unsigned(error))?;
                    changes.of(&entry.vrm).ok_or_else(unusable)?.push(bytes);
                }
                Amendment::Remove { mark, why } => {
                    if !held.holds(mark) {
                        return Err(Fault::new(Kind::Missing, what).at(id).because(format!("{mark} is not on it")));
                    }
                    let removal = Record::Removal { mark: mark.to_string(), why: why.clone() };
                    chunks.push(&removal).map_err(|error| self.unsigned(error))?;
                    removals.push((mark.clone(), why.clone()));
                }
            }
        }
        for (mark, _) in &removals {
            changes.of(mark).ok_or_else(unusable)?.clear();
        }
        let now = self.clock.utc();
        let base = Base { revision: held.head.revision, state };
        let revision = revision.unwrap_or(base.revision + 1);
        if revision <= base.revision {
            return Err(Fault::new(Kind::Usage, what)
                .at(id)
                .because(format!("revision {revision} is not newer than {}, which is held", base.revision)));
        }
        let head = ListHead { revision, produced: now, received: now, ..ListHead::clone(&held.head) };
        let mut change = None;
        self.change_list(held, head, &changes, &removals, None, |head| {
            let (signed, state) = chunks.sign(head, Some(base), None, key).map_err(|error| self.unsigned(error))?;
            head.state = Some(state);
            change = Some(signed);
            Ok(())
        })?;
        let change = change.ok_or_else(|| Fault::new(Kind::Internal, what).because("it was not signed"))?;
        Ok((base.revision, change))
    }

    /// Uses the list `id` otherwise from now on. The office's next revision brings its own settings again.
    ///
    /// # Errors
    /// There is no such list, the settings make no sense, or the disk fails.
    pub fn set(&self, id: &str, settings: Settings) -> Result<()> {
        let what = "cannot change how the list is used";
        settings.check().map_err(|why| Fault::new(Kind::Usage, what).at(id).because(why))?;
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(head) = self.head(id) else {
            return Err(Fault::new(Kind::Missing, what).at(id).because("there is no such list"));
        };
        self.put_head(&ListHead { settings, ..ListHead::clone(&head) })
    }

    fn put_head(&self, head: &ListHead) -> Result<()> {
        (|| {
            let transaction = begin(&self.database)?;
            transaction.open_table(LISTS)?.insert(head.id.as_str(), &head.encode()[..])?;
            transaction.commit()?;
            Ok::<_, redb::Error>(())
        })()
        .map_err(|error| self.unstored(error))?;
        self.refresh(Some(&head.id))
    }

    fn new_head(&self, manifest: &Manifest) -> ListHead {
        ListHead {
            id: manifest.list.clone(),
            name: manifest.name.clone(),
            revision: manifest.revision,
            produced: manifest.produced,
            received: self.clock.utc(),
            count: manifest.count,
            patterns: manifest.patterns,
            settings: manifest.settings.clone(),
            state: Some(manifest.state),
            generation: 0,
        }
    }

    /// Imports a CSV as the next revision of list `id` and signs it: whole, and as a change of the revision that was signed
    /// before. `None` for a trial.
    ///
    /// # Errors
    /// As [`Self::import`].
    pub fn publish(
        &self,
        id: &str,
        reader: impl Read,
        file: &Path,
        options: &ImportOptions,
        key: &SigningKey,
    ) -> Result<(Report, Option<Published>)> {
        let before = self.snapshot();
        let report = self.import(id, reader, file, options)?;
        if report.dry_run {
            return Ok((report, None));
        }
        let published = self.sign(id, before.list(id), key)?;
        Ok((report, Some(published)))
    }

    /// Signs the revision of `id` that is held.
    ///
    /// # Errors
    /// There is no such list, or the disk fails.
    pub fn sign_whole(&self, id: &str, key: &SigningKey) -> Result<Published> {
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        self.sign(id, None, key)
    }

    fn unsigned(&self, error: std::io::Error) -> Fault {
        Fault::io("cannot sign the list: its bytes are put together in this folder", self.folder(), error)
    }

    /// Signs the revision of `id` that is held: whole, and as a change of `before`, if that was signed.
    pub(super) fn sign(&self, id: &str, before: Option<&Listed>, key: &SigningKey) -> Result<Published> {
        let snapshot = self.snapshot();
        let Some(list) = snapshot.list(id) else {
            return Err(Fault::new(Kind::Missing, "cannot sign the list").at(id).because("there is no such list"));
        };
        let unsigned = |error| self.unsigned(error);
        let mut chunks = Chunks::in_folder(self.folder());
        for entry in self.rows(list) {
            chunks.push(&Record::Entry(&entry?.1)).map_err(unsigned)?;
        }
        let limit = (chunks.size() / 2).min(CHANGE_LIMIT);
        let (whole, state) = chunks.sign(&list.head, None, list.head.state, key).map_err(unsigned)?;
        let mut change = None;
        if let Some((before, base)) = before.and_then(|before| Some((before, before.head.state?)))
            && let Some(chunks) = self.differences(before, list, limit)?
        {
            let base = Base { revision: before.head.revision, state: base };
            let signed = chunks.sign(&list.head, Some(base), Some(state), key).map_err(unsigned)?;
            change = Some((base.revision, signed.0));
        }
        // Remembered, so that the next change can go on from it.
        let head = ListHead { state: Some(state), ..ListHead::clone(&list.head) };
        self.put_head(&head)?;
        Ok(Published { revision: head.revision, whole, change })
    }

    /// What leads from `before` to `after`; `None` if that is `limit` bytes or more.
    fn differences(&self, before: &Listed, after: &Listed, limit: u64) -> Result<Option<Chunks>> {
        let mut chunks = Chunks::in_folder(self.folder());
        let (mut old, mut new) = (self.groups(before), self.groups(after));
        let (mut a, mut b) = (old.next().transpose()?, new.next().transpose()?);
        loop {
            if chunks.size() >= limit {
                return Ok(None);
            }
            let order = match (&a, &b) {
                (None, None) => return Ok(Some(chunks)),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => a.place.cmp(&b.place),
            };
            if order.is_lt()
                && let Some(gone) = &a
            {
                let entry = Entry::decode(&gone.entries[0]).map_err(|why| self.damaged(why))?;
                let removal = Record::Removal { mark: entry.vrm.to_string(), why: String::new() };
                chunks.push(&removal).map_err(|error| self.unsigned(error))?;
            }
            if let Some(new) = &b
                && (order.is_gt() || (order.is_eq() && a.as_ref().is_some_and(|a| a.entries != new.entries)))
            {
                for entry in &new.entries {
                    chunks.push(&Record::Entry(entry)).map_err(|error| self.unsigned(error))?;
                }
            }
            if order.is_le() {
                a = old.next().transpose()?;
            }
            if order.is_ge() {
                b = new.next().transpose()?;
            }
        }
    }

    /// The entries of a list by VRM and pattern, in the order of a revision.
    fn groups<'a>(&'a self, list: &'a Listed) -> impl Iterator<Item = Result<Group>> + 'a {
        let mut rows = self.rows(list).peekable();
        std::iter::from_fn(move || {
            let (place, first) = match rows.next()? {
                Ok(row) => row,
                Err(fault) => return Some(Err(fault)),
            };
            let mut entries = vec![first];
            while let Some(Ok((_, entry))) = rows.next_if(|row| row.as_ref().is_ok_and(|(p, _)| *p == place)) {
                entries.push(entry);
            }
            Some(Ok(Group { place, entries }))
        })
    }

    /// Every entry of a list in the order of a revision: those of VRMs, then those of patterns.
    fn rows<'a>(&'a self, list: &'a Listed) -> impl Iterator<Item = Result<(Place, Vec<u8>)>> + 'a {
        let unreadable = |error| Fault::database("cannot read the list", &self.path, error);
        let blocks: Box<dyn Iterator<Item = Result<(Packed, Vec<u8>)>>> = match list.blocks.iter() {
            Ok(blocks) => Box::new(blocks.map(move |block| {
                let (last, bytes) = block.map_err(unreadable)?;
                Ok((Packed(last.value()), bytes.value().to_vec()))
            })),
            Err(error) => Box::new(std::iter::once(Err(unreadable(error)))),
        };
        let entries = blocks.flat_map(move |block| -> Vec<Result<(Place, Vec<u8>)>> {
            match block {
                Err(fault) => vec![Err(fault)],
                Ok((last, bytes)) => block::entries(last, &bytes)
                    .map(|entry| match entry {
                        Ok((key, bytes)) => Ok((Place::Vrm(key), bytes.to_vec())),
                        Err(why) => Err(self.damaged(why)),
                    })
                    .collect(),
            }
        });
        let patterns = list.patterns.entries.iter().flatten();
        entries.chain(patterns.map(|entry| Ok((Place::Pattern(entry.vrm.to_string()), entry.encode()))))
    }
}

/// Where an entry stands in a revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Vrm(Packed),
    Pattern(String),
}

/// All entries of one VRM or pattern.
struct Group {
    place: Place,
    entries: Vec<Vec<u8>>,
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Damaged(why) => damaged(why),
            Refusal::Unreadable(error) => Fault::new(Kind::Unavailable, WHAT).because(error),
            Refusal::Untrusted(why) => Fault::new(Kind::Denied, WHAT).because(why).remedy(
                "Enrol the car again, so that it has the office's key; if it has, somebody else made this file",
            ),
        }
    }
}

fn damaged(why: String) -> Fault {
    Fault::new(Kind::Damaged, WHAT).because(why).remedy("Have it sent again")
}

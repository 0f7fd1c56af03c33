//! From a CSV file to a list.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::entry::{Entry, Priority};
use super::head::{ListHead, Settings};
use super::index::Packed;
use super::mark::Mark;
use super::sheet::{Remark, Row, Sheet, Trouble};
use super::sort::{Sorted, Sorter};
use super::store::{Hotlist, LISTS, begin, check_id, delete_tables};
use super::writer::ListWriter;
use crate::fault::{Fault, Kind, Result};

/// Remarks that a report lists; further ones are counted.
const REMARKS: usize = 1000;

/// How a file is to be imported.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The list's name for people; default: as it was, or its id.
    pub name: Option<String>,
    /// How the list is to be used; default: as it was.
    pub settings: Option<Settings>,
    /// The priority of entries that name none; default: that of the settings.
    pub priority: Option<Priority>,
    /// When the file was made; default: now.
    pub produced: Option<DateTime<Utc>>,
    /// Its revision; default: one more than is held.
    pub revision: Option<u64>,
    /// Only report, change nothing.
    pub dry_run: bool,
    /// Hears how far the import is.
    pub watch: Option<Watch>,
}

/// Hears how many lines were read and how many entries were stored.
#[derive(Clone)]
pub struct Watch(pub Arc<dyn Fn(Progress) + Send + Sync>);

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many lines that count were read, and so many bytes.
    Read(u64, u64),
    /// So many entries were stored, of so many.
    Stored(u64, u64),
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many entries the list has now (or would have).
    pub accepted: u64,
    /// How many lines said exactly what another line said.
    pub repeated: u64,
    /// How many lines count, though something of them could not be used.
    pub corrected_lines: u64,
    /// How many lines do not count.
    pub refused_lines: u64,
    /// The first of the lines that were corrected.
    pub corrected: Vec<Remark>,
    /// The first of the lines that were refused.
    pub refused: Vec<Remark>,
    /// The list's revision now (or then).
    pub revision: u64,
    /// Whether it was a trial that changed nothing.
    pub dry_run: bool,
}

const WHAT: &str = "cannot import the list";

/// The good lines of a file, and what was said of the others.
struct Gathered {
    sorted: Sorted,
    patterns: BTreeMap<String, BTreeSet<Vec<u8>>>,
    lines: u64,
    corrected_lines: u64,
    refused_lines: u64,
    corrected: Vec<Remark>,
    refused: Vec<Remark>,
}

impl Hotlist {
    /// Replaces the list `id` by what the CSV in `reader` says. `file` is its name, for errors. Of the largest file no more
    /// is held in memory than some 50 MB and a number an entry.
    ///
    /// # Errors
    /// Nothing in it can be used, or the disk fails. The list is then as it was.
    pub fn import(&self, id: &str, reader: impl Read, file: &Path, options: &ImportOptions) -> Result<Report> {
        check_id(id)?;
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.head(id);
        let held = old.as_ref().map_or(0, |head| head.revision);
        let revision = options.revision.unwrap_or(held + 1);
        if revision <= held {
            return Err(Fault::new(Kind::Usage, WHAT)
                .at(file.display())
                .because(format!("its revision {revision} is not newer than {held}, which is held")));
        }
        let mut settings =
            options.settings.clone().or(old.as_ref().map(|head| head.settings.clone())).unwrap_or_default();
        settings.priority = options.priority.unwrap_or(settings.priority);
        settings.check().map_err(|why| Fault::new(Kind::Usage, WHAT).at(id).because(why))?;
        let gathered = self.gather(reader, file, settings.priority, options.watch.as_ref())?;
        let now = self.clock.utc();
        let mut head = ListHead {
            id: id.to_owned(),
            name: options.name.clone().or(old.as_ref().map(|head| head.name.clone())).unwrap_or_else(|| id.to_owned()),
            revision,
            produced: options.produced.unwrap_or(now),
            received: now,
            count: 0,
            patterns: 0,
            settings,
            state: None,
            generation: old.as_ref().map_or(0, |head| head.generation) + 1,
        };
        let Gathered { mut sorted, patterns, lines, .. } = gathered;
        let of_patterns: u64 = patterns.values().map(|entries| entries.len() as u64).sum();
        let accepted = if options.dry_run {
            let mut count = of_patterns;
            for entry in sorted.by_ref() {
                entry.map_err(|error| self.scratch(error))?;
                count += 1;
            }
            count
        } else {
            let written = self.replace(&mut head, |writer| {
                for entry in sorted.by_ref() {
                    let (key, bytes) = entry.map_err(|error| self.scratch(error))?;
                    writer.entry(key, &bytes).map_err(|error| self.unstored(error))?;
                    if writer.count().is_multiple_of(STEP)
                        && let Some(Watch(watch)) = &options.watch
                    {
                        watch(Progress::Stored(writer.count(), lines));
                    }
                }
                for (pattern, entries) in &patterns {
                    for entry in entries {
                        writer.pattern(pattern, entry);
                    }
                }
                Ok(())
            });
            written?;
            head.count
        };
        Ok(Report {
            accepted,
            repeated: lines - accepted,
            corrected_lines: gathered.corrected_lines,
            refused_lines: gathered.refused_lines,
            corrected: gathered.corrected,
            refused: gathered.refused,
            revision,
            dry_run: options.dry_run,
        })
    }

    /// Reads and sorts the file.
    fn gather(&self, reader: impl Read, file: &Path, priority: Priority, watch: Option<&Watch>) -> Result<Gathered> {
        let remedy = "Name a CSV file with a header that has a column \"vrm\", or one of the 16-column layout";
        let damaged = |why: String| Fault::new(Kind::Damaged, WHAT).at(file.display()).because(why).remedy(remedy);
        let unreadable = |error| Fault::io(WHAT, file, error);
        let mut sheet = Sheet::open(reader, priority).map_err(|trouble| match trouble {
            Trouble::Io(error) => unreadable(error),
            Trouble::NoList(why) => damaged(why),
        })?;
        let mut sorter = Sorter::in_folder(self.folder().to_owned());
        let mut patterns: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
        let (mut lines, mut corrected_lines, mut refused_lines) = (0u64, 0, 0);
        let (mut corrected, mut refused) = (Vec::new(), Vec::new());
        while let Some(row) = sheet.next().map_err(unreadable)? {
            match row {
                Row::Entry(entry, remark) => {
                    lines += 1;
                    if let Some(remark) = remark {
                        corrected_lines += 1;
                        keep(&mut corrected, remark);
                    }
                    match &entry.vrm {
                        Mark::Vrm(vrm) => {
                            let key = Packed::of(vrm.as_str())
                                .ok_or_else(|| Fault::new(Kind::Internal, "a VRM that was read is none"))?;
                            sorter.push(key, &entry.encode()).map_err(|error| self.scratch(error))?;
                        }
                        Mark::Pattern(pattern) => {
                            patterns.entry(pattern.as_str().to_owned()).or_default().insert(entry.encode());
                        }
                    }
                }
                Row::Refused(remark) => {
                    refused_lines += 1;
                    keep(&mut refused, remark);
                }
            }
            if lines.is_multiple_of(STEP)
                && let Some(Watch(watch)) = watch
            {
                watch(Progress::Read(lines, sheet.bytes()));
            }
        }
        if lines == 0 {
            return Err(damaged(match refused.first() {
                Some(first) => {
                    format!("none of its {refused_lines} lines can be used; line {}: {}", first.line, first.reason)
                }
                None => "it has a header and no lines".into(),
            }));
        }
        let sorted = sorter.finish().map_err(|error| self.scratch(error))?;
        Ok(Gathered { sorted, patterns, lines, corrected_lines, refused_lines, corrected, refused })
    }

    /// Puts a whole list in the place of what was there, in one transaction: the new generation is written beside the
    /// old one, then the head points to it. Fills in what `head` says of its size.
    pub(super) fn replace(
        &self,
        head: &mut ListHead,
        write: impl FnOnce(&mut ListWriter<'_>) -> Result<()>,
    ) -> Result<()> {
        let old = self.head(&head.id);
        let fault = |error| self.unstored(error);
        let transaction = begin(&self.database).map_err(fault)?;
        {
            let mut writer = ListWriter::new(&transaction, &head.id, head.generation).map_err(fault)?;
            write(&mut writer)?;
            let written = writer.finish().map_err(fault)?;
            (head.count, head.patterns) = (written.count, written.patterns);
        }
        (|| {
            transaction.open_table(LISTS)?.insert(head.id.as_str(), &head.encode()[..])?;
            if let Some(old) = &old {
                delete_tables(&transaction, &head.id, old.generation)?;
            }
            transaction.commit()?;
            Ok::<_, redb::Error>(())
        })()
        .map_err(fault)?;
        self.refresh(Some(&head.id))
    }

    pub(super) fn unstored(&self, error: redb::Error) -> Fault {
        Fault::database("cannot store the list", &self.path, error)
    }

    fn scratch(&self, error: std::io::Error) -> Fault {
        Fault::io("cannot sort the list's entries in this folder", self.folder(), error)
            .remedy("Make room there, about as much as the list takes")
    }
}

/// The entries of a CSV file that holds a few, and what is to be said of its bad lines. `file` is its name, for errors.
///
/// # Errors
/// It cannot be read, or is no list.
pub fn entries(reader: impl Read, file: &Path) -> Result<(Vec<Entry>, Vec<Remark>)> {
    let what = "cannot read the entries";
    let mut sheet = Sheet::open(reader, Priority::default()).map_err(|trouble| match trouble {
        Trouble::Io(error) => Fault::io(what, file, error),
        Trouble::NoList(why) => Fault::new(Kind::Damaged, what).at(file.display()).because(why),
    })?;
    let (mut entries, mut refused) = (Vec::new(), Vec::new());
    while let Some(row) = sheet.next().map_err(|error| Fault::io(what, file, error))? {
        match row {
            Row::Entry(entry, None) => entries.push(*entry),
            Row::Entry(_, Some(remark)) | Row::Refused(remark) => refused.push(remark),
        }
    }
    Ok((entries, refused))
}

/// Lines or entries between two words on progress.
const STEP: u64 = 16 * 1024;

fn keep(remarks: &mut Vec<Remark>, remark: Remark) {
    if remarks.len() < REMARKS {
        remarks.push(remark);
    }
}

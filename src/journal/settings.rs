//! What the office set in this car, and when the crew last had a drill. Sealed like all else that people wrote.
//!
//! The bytes are kept as the office signed them: a program that comes later may know keys of them that this one lets be.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use chrono::{DateTime, Utc};
use redb::{TableDefinition, WriteTransaction};

use super::archive::{Archive, Trouble};
use super::chain::{self, Act, Deed};
use super::keyfile::Use;
use super::record::StoredDeed;
use super::vault::Row;
use crate::fault::{Fault, Kind, Result};
use crate::settings::{Handed, Values};
use crate::tag::When;

/// See [`Part`].
const OFFICE: TableDefinition<u8, &[u8]> = TableDefinition::new("office");

/// Rows of [`OFFICE`], both sealed.
#[derive(Clone, Copy)]
enum Part {
    Settings = 1,
    Drill = 2,
}

/// What of it an archive holds in memory.
#[derive(Debug, Default)]
pub(super) struct Steered(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    kept: Option<Arc<Handed>>,
    refused: Option<Arc<Fault>>,
    drilled: Option<DateTime<Utc>>,
}

/// Makes the table.
pub(super) fn prepare(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(OFFICE)?;
    Ok(())
}

impl Archive {
    /// What the office set, as it is known in memory: no disk is waited for. `None`: nothing ever was.
    pub fn settings(&self) -> Option<Arc<Handed>> {
        self.steered().kept.clone()
    }

    /// Why the newest settings of the office do not count, where that is so.
    pub fn settings_refused(&self) -> Option<Arc<Fault>> {
        self.steered().refused.clone()
    }

    /// Settings came that do not count. Those before them stand.
    pub fn refuse_settings(&self, why: &Fault) {
        self.steered_mut().refused = Some(Arc::new(Fault::new(why.kind(), why.to_string())));
    }

    /// Keeps settings in place of those before; they count from then on. `signed` are their bytes without the signature.
    ///
    /// # Errors
    /// The disk fails, or they are not newer than what the office handed down before.
    pub fn keep_settings(&self, handed: Handed, signed: &[u8], when: When) -> Result<()> {
        let before = self.settings();
        if let Some(before) = before.as_ref().filter(|before| handed.revision <= before.revision) {
            return Err(Fault::new(Kind::Denied, "the settings from the office cannot be used")
                .because(format!("revision {} is not newer than {}", handed.revision, before.revision)));
        }
        let nothing = Values::default();
        let changed = handed.values.changed_from(before.as_ref().map_or(&nothing, |before| &before.values));
        let unknown = match handed.unknown.as_slice() {
            [] => String::new(),
            names => format!("; not known to this car: {}", names.join(", ")),
        };
        let detail = format!("revision {}: {changed}{unknown}", handed.revision);
        let deed = Deed::of_the_unit(Act::Set, "settings", detail, when);
        let deed = Deed { who: "the office".into(), ..deed };
        self.write("cannot keep the settings from the office", |transaction| {
            self.put_part(transaction, Part::Settings, signed)?;
            chain::append(transaction, &self.vault, vec![StoredDeed::of(deed, 0)])
        })?;
        let mut known = self.steered_mut();
        (known.kept, known.refused) = (Some(Arc::new(handed)), None);
        Ok(())
    }

    /// When the crew last had a drill, where that is known.
    pub fn drilled(&self) -> Option<DateTime<Utc>> {
        self.steered().drilled
    }

    /// A drill is over.
    ///
    /// # Errors
    /// The disk fails.
    pub fn note_drill(&self, utc: DateTime<Utc>) -> Result<()> {
        self.write("cannot note the drill", |transaction| {
            self.put_part(transaction, Part::Drill, &utc.timestamp().to_be_bytes())
        })?;
        self.steered_mut().drilled = Some(utc);
        Ok(())
    }

    /// Reads what was kept. Settings that are damaged do not count, which is said, and stop nothing else.
    pub(super) fn learn_settings(&self) {
        let read = self.read("cannot read the settings from the office", |transaction| {
            let table = transaction.open_table(OFFICE)?;
            let part = |part: Part| -> Result<Option<Vec<u8>>, Trouble> {
                match table.get(part as u8)? {
                    Some(sealed) => self.opened(Row::Office(part as u8), sealed.value()),
                    None => Ok(None),
                }
            };
            let drilled = part(Part::Drill)?
                .and_then(|bytes| DateTime::from_timestamp(i64::from_be_bytes(bytes.try_into().ok()?), 0));
            let kept = part(Part::Settings)?.map(|bytes| Handed::decode(&bytes).map_err(Trouble::Damaged));
            Ok((kept.transpose()?, drilled))
        });
        let mut known = self.steered_mut();
        match read {
            Ok((kept, drilled)) => (known.kept, known.drilled) = (kept.map(Arc::new), drilled),
            Err(fault) => {
                tracing::error!("{fault}");
                known.refused = Some(Arc::new(fault));
            }
        }
    }

    fn put_part(&self, transaction: &WriteTransaction, part: Part, plain: &[u8]) -> Result<(), Trouble> {
        let row = Row::Office(part as u8);
        let sealed = self.vault.seal(Use::Chain, 0, row, plain).map_err(Trouble::Other)?;
        transaction.open_table(OFFICE)?.insert(part as u8, &sealed[..])?;
        Ok(())
    }

    fn steered(&self) -> RwLockReadGuard<'_, Known> {
        self.steered.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn steered_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.steered.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::journal::tests::hour;
    use crate::journal::{Archive, Key, make_token};

    /// Settings of one key, which lies behind the others on the wire.
    fn handed(revision: u64, days: u64) -> (Handed, Vec<u8>) {
        let bytes = Handed { revision, ..Handed::default() }.encode_with("drill_days", days);
        (Handed::decode(&bytes).expect("settings"), bytes)
    }

    fn keep(archive: &Archive, (handed, bytes): (Handed, Vec<u8>)) -> Result<()> {
        archive.keep_settings(handed, &bytes, hour(0))
    }

    fn open(folder: &Path) -> Archive {
        Archive::open(folder, &Key::Token(folder.join("token"))).expect("opened")
    }

    #[test]
    fn settings_count_after_a_restart_an_older_revision_never_and_each_change_is_in_the_chain() {
        let folder = tempfile::tempdir().expect("a folder");
        make_token(&folder.path().join("token")).expect("made");
        let archive = open(folder.path());
        assert!(archive.settings().is_none() && archive.drilled().is_none());
        keep(&archive, handed(7, 30)).expect("kept");
        archive.note_drill(hour(3).utc).expect("noted");
        drop(archive);

        let archive = open(folder.path());
        assert_eq!(archive.settings().expect("kept").words(), "revision 7: drill_days 30");
        assert_eq!(archive.drilled(), Some(hour(3).utc));
        for revision in [7, 6, 0] {
            let fault = keep(&archive, handed(revision, 1)).expect_err("played again");
            assert!(fault.to_string().contains("is not newer than 7"), "{fault}");
        }
        archive.refuse_settings(&Fault::new(Kind::Damaged, "a test"));
        assert!(archive.settings_refused().is_some() && archive.settings().expect("they stand").revision == 7);
        let bytes = Handed { revision: 8, ..Handed::default() }.encode_with("wipers", 1);
        keep(&archive, (Handed::decode(&bytes).expect("settings"), bytes)).expect("newer");
        assert!(archive.settings_refused().is_none());
        let deeds = archive.deeds().expect("read");
        let said: Vec<_> = deeds.iter().map(|d| (d.act.as_str(), d.who.as_str(), d.detail.as_str())).collect();
        let office = "the office";
        assert_eq!(
            said,
            [
                ("set", office, "revision 7: drill_days from the car's own to 30"),
                ("set", office, "revision 8: drill_days from 30 to the car's own; not known to this car: wipers")
            ]
        );
        archive.verify().expect("whole");
    }

    #[test]
    fn words_for_the_crew_lie_on_no_disk_in_the_clear() {
        let folder = tempfile::tempdir().expect("a folder");
        make_token(&folder.path().join("token")).expect("made");
        let archive = open(folder.path());
        let text = "Bridge at Exampleford closed";
        // Field 4, a setting, with the fields 1, its name, and 3, its words.
        let mut bytes = vec![1, 0x08, 7, 0x22, (2 + 6 + 2 + text.len()) as u8, 0x0a, 6];
        bytes.extend(b"notice");
        bytes.extend([0x1a, text.len() as u8]);
        bytes.extend(text.as_bytes());
        let handed = Handed::decode(&bytes).expect("settings");
        assert_eq!(handed.values.notice(), Some(text));
        archive.keep_settings(handed, &bytes, hour(0)).expect("kept");
        drop(archive);
        for file in std::fs::read_dir(folder.path()).expect("a folder") {
            let bytes = std::fs::read(file.expect("a file").path()).expect("read");
            assert!(!bytes.windows(11).any(|window| window == b"Exampleford"));
        }
        assert_eq!(open(folder.path()).settings().expect("kept").values.notice(), Some(text));
    }

    #[test]
    fn settings_that_are_damaged_do_not_count_and_the_next_ones_heal_it() {
        let folder = tempfile::tempdir().expect("a folder");
        make_token(&folder.path().join("token")).expect("made");
        let archive = open(folder.path());
        keep(&archive, handed(7, 30)).expect("kept");
        archive
            .write("test", |transaction| {
                transaction.open_table(OFFICE)?.insert(Part::Settings as u8, &b"spoiled"[..])?;
                Ok(())
            })
            .expect("written");
        drop(archive);
        let archive = open(folder.path());
        assert!(archive.settings().is_none() && archive.settings_refused().is_some());
        keep(&archive, handed(8, 30)).expect("kept");
        assert!(archive.settings().is_some() && archive.settings_refused().is_none());
    }
}

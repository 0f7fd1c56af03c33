//! A journal of the first layout, in which nothing is sealed, is taken over: copied sealed into a file of its own, put in its
//! place, and then overwritten. Whatever waits for the office stays what it was, under the same keys.
//!
//! ```text
//! journal.redb (plain)  ─copy─►  journal.redb.sealed
//! journal.redb  ─►  journal.redb.plain;   journal.redb.sealed  ─►  journal.redb;   journal.redb.plain overwritten, removed
//! ```
//! Killed at any instant, [`finish`] knows by the names how far it came, as for every file that is taken over.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, ReadableTable};

use super::archive::{self, EVENTS, FILE, HITS, META, OUTBOX, PICTURES, READS, RUNS, Trouble};
use super::keyfile::Use;
use super::record::{StoredEvent, StoredHit, StoredRead, decode};
use super::vault::{Row, Vault, day_of};
use crate::fault::{Fault, Kind, Result};
use crate::seal;

/// The layout in which nothing is sealed.
pub(super) const PLAIN: u64 = 1;
const WHAT: &str = "cannot seal the journal of an earlier program";

/// The earlier journal, once the sealed one is in its place.
pub(super) fn plain(folder: &Path) -> PathBuf {
    seal::plain_of(&folder.join(FILE))
}

/// The sealed one, until it is whole.
pub(super) fn sealed(folder: &Path) -> PathBuf {
    seal::sealed_of(&folder.join(FILE))
}

/// Ends what an earlier takeover could not.
pub(super) fn finish(folder: &Path) -> Result<()> {
    seal::finish(&folder.join(FILE)).map_err(|error| Fault::io(WHAT, &plain(folder), error))
}

/// Seals the journal in `folder`, which `earlier` is.
pub(super) fn seal(folder: &Path, earlier: Database, vault: &Vault) -> Result<()> {
    let (path, sealed) = (folder.join(FILE), sealed(folder));
    if sealed.exists() {
        std::fs::remove_file(&sealed).map_err(|error| Fault::io(WHAT, &sealed, error))?;
    }
    copy(&earlier, &sealed, vault).map_err(|trouble| match trouble {
        Trouble::Database(error) => Fault::database(WHAT, &path, error),
        Trouble::Damaged(why) => Fault::new(Kind::Damaged, WHAT).at(path.display()).because(why),
        Trouble::Other(fault) => fault,
    })?;
    drop(earlier);
    seal::take_place(&path).map_err(|error| Fault::io(WHAT, &path, error))
}

fn copy(earlier: &Database, path: &Path, vault: &Vault) -> Result<(), Trouble> {
    let from = earlier.begin_read()?;
    let made = Database::builder().set_cache_size(archive::CACHE).create(path)?;
    archive::prepare(&made, vault.id())?;
    let into = made.begin_write()?;
    {
        let mut pinned = HashSet::new();
        let mut hits = into.open_table(HITS)?;
        for row in from.open_table(HITS)?.iter()? {
            let (sequence, value) = row?;
            let row = Row::Hit(sequence.value());
            let hit: StoredHit = decoded(row, value.value())?;
            let day = hit.read.as_ref().map_or(0, |read| day_of(read.utc_us));
            pinned.extend(hit.read.map(|read| (read.run, read.pass)));
            hits.insert(sequence.value(), &seal_one(vault, Use::Hits, day, row, value.value())?[..])?;
        }
        let use_of = |run, pass| if pinned.contains(&(run, pass)) { Use::Hits } else { Use::Reads };
        let (mut reads, plain_reads) = (into.open_table(READS)?, from.open_table(READS)?);
        for row in plain_reads.iter()? {
            let (key, value) = row?;
            let (run, pass, version) = key.value();
            let row = Row::Read(run, pass, version);
            let day = day_of(decoded::<StoredRead>(row, value.value())?.utc_us);
            reads.insert(key.value(), &seal_one(vault, use_of(run, pass), day, row, value.value())?[..])?;
        }
        let mut pictures = into.open_table(PICTURES)?;
        for row in from.open_table(PICTURES)?.iter()? {
            let (key, value) = row?;
            let (run, pass, version, which) = key.value();
            let row = Row::Picture(run, pass, version, which);
            let read = plain_reads.get((run, pass, version))?;
            let read = read.ok_or_else(|| Trouble::Damaged(format!("the read of {row} is missing")))?;
            let day = day_of(decoded::<StoredRead>(row, read.value())?.utc_us);
            pictures.insert(key.value(), &seal_one(vault, use_of(run, pass), day, row, value.value())?[..])?;
        }
        let mut events = into.open_table(EVENTS)?;
        for row in from.open_table(EVENTS)?.iter()? {
            let (sequence, value) = row?;
            let row = Row::Event(sequence.value());
            let day = day_of(decoded::<StoredEvent>(row, value.value())?.utc_us);
            events.insert(sequence.value(), &seal_one(vault, Use::Events, day, row, value.value())?[..])?;
        }
        let mut outbox = into.open_table(OUTBOX)?;
        for row in from.open_table(OUTBOX)?.iter()? {
            let (key, value) = row?;
            outbox.insert(key.value(), value.value())?;
        }
        let mut runs = into.open_table(RUNS)?;
        for row in from.open_table(RUNS)?.iter()? {
            let (run, at) = row?;
            runs.insert(run.value(), at.value())?;
        }
        let mut meta = into.open_table(META)?;
        for row in from.open_table(META)?.iter()? {
            let (name, number) = row?;
            if name.value() != "layout" {
                meta.insert(name.value(), number.value())?;
            }
        }
    }
    into.commit()?;
    Ok(())
}

fn seal_one(vault: &Vault, purpose: Use, day: i32, row: Row, plain: &[u8]) -> Result<Vec<u8>, Trouble> {
    vault.seal(purpose, day, row, plain).map_err(Trouble::Other)
}

fn decoded<M: prost::Message + Default>(row: Row, plain: &[u8]) -> Result<M, Trouble> {
    decode(plain).map_err(|why| Trouble::Damaged(format!("{row}: {why}")))
}

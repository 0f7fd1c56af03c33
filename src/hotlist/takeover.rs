//! Takes over a store of the second layout, whose blocks had their first VRM as key.

use redb::{ReadableTable, WriteTransaction};

use super::block;
use super::head::ListHead;
use super::index::Packed;
use super::store::{Blocks, LISTS, Names, PatternRows, delete_tables};
use super::writer::ListWriter;

/// The layout that is taken over.
pub(super) const LAYOUT: u64 = 2;

/// Writes every list anew as a further generation, within `transaction`. Some seconds for a list of millions, once.
pub(super) fn lists(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    let mut heads = Vec::new();
    for row in transaction.open_table(LISTS)?.iter()? {
        let (id, head) = row?;
        heads.push(ListHead::decode(id.value(), head.value()).map_err(redb::Error::Corrupted)?);
    }
    for mut head in heads {
        let old = head.generation;
        head.generation += 1;
        tracing::info!(list = head.id, entries = head.count, "writes a list of the earlier layout anew");
        list(transaction, &head.id, old, head.generation)?;
        delete_tables(transaction, &head.id, old)?;
        transaction.open_table(LISTS)?.insert(head.id.as_str(), &head.encode()[..])?;
    }
    Ok(())
}

fn list(transaction: &WriteTransaction, id: &str, old: u64, new: u64) -> Result<(), redb::Error> {
    let names = Names::of(id, old);
    let mut writer = ListWriter::new(transaction, id, new)?;
    for row in transaction.open_table(Blocks::new(&names.blocks))?.iter()? {
        let (first, bytes) = row?;
        for entry in block::entries_from(Packed(first.value()), bytes.value()) {
            let (key, entry) = entry.map_err(redb::Error::Corrupted)?;
            writer.entry(key, entry)?;
        }
    }
    for row in transaction.open_table(PatternRows::new(&names.patterns))?.iter()? {
        let (pattern, bytes) = row?;
        for entry in block::entries_from(Packed(0), bytes.value()) {
            let (_, entry) = entry.map_err(redb::Error::Corrupted)?;
            writer.pattern(pattern.value(), entry);
        }
    }
    writer.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use prost::encoding::encode_varint;

    use super::super::entry::tests::entry;
    use super::super::head::Settings;
    use super::super::index;
    use super::super::store::{Chunks, Hotlist, META};
    use super::*;
    use crate::clock::SimulatedClock;

    /// A store of one list as the second layout had it: a block of two VRMs and a pattern of two entries.
    fn earlier(path: &std::path::Path, marks: &[&str], pattern: &str) {
        let database = redb::Database::create(path).expect("a database");
        let transaction = database.begin_write().expect("begins");
        {
            let names = Names::of("stolen", 4);
            let mut vrms: Vec<Packed> = marks.iter().filter_map(|mark| Packed::of(mark)).collect();
            vrms.sort();
            let mut bytes = Vec::new();
            let mut put = |step: u64, entry: Vec<u8>| {
                encode_varint(step, &mut bytes);
                encode_varint(entry.len() as u64, &mut bytes);
                bytes.extend(entry);
            };
            for vrm in &vrms {
                let mark = marks.iter().find(|mark| Packed::of(mark) == Some(*vrm)).expect("is one of them");
                put(vrm.0 - vrms[0].0, entry(mark, "stolen").encode());
            }
            let mut blocks = transaction.open_table(Blocks::new(&names.blocks)).expect("a table");
            blocks.insert(vrms[0].0, &bytes[..]).expect("inserts");
            let mut chunks = transaction.open_table(Chunks::new(&names.chunks)).expect("a table");
            for (number, chunk) in index::chunks(&vrms).enumerate() {
                chunks.insert(number as u32, &chunk[..]).expect("inserts");
            }
            let mut row = Vec::new();
            for reason in ["first", "second"] {
                let entry = entry(pattern, reason).encode();
                encode_varint(0, &mut row);
                encode_varint(entry.len() as u64, &mut row);
                row.extend(entry);
            }
            let mut patterns = transaction.open_table(PatternRows::new(&names.patterns)).expect("a table");
            patterns.insert(pattern, &row[..]).expect("inserts");
            let utc = DateTime::UNIX_EPOCH;
            let (id, name) = ("stolen".to_owned(), "Stolen".to_owned());
            let settings = Settings::default();
            let head = ListHead {
                id,
                name,
                revision: 1,
                produced: utc,
                received: utc,
                count: 4,
                patterns: 2,
                settings,
                state: None,
                generation: 4,
            };
            transaction.open_table(LISTS).expect("a table").insert("stolen", &head.encode()[..]).expect("inserts");
            let mut meta = transaction.open_table(META).expect("a table");
            meta.insert("layout", LAYOUT).expect("inserts");
            meta.insert("id", 77).expect("inserts");
        }
        transaction.commit().expect("commits");
    }

    #[test]
    fn lists_of_the_earlier_layout_are_found_whole_and_nothing_of_it_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hotlist.redb");
        earlier(&path, &["AB12CDE", "KT19XVB"], "ZZ*");
        let utc: DateTime<Utc> = "2026-11-25T12:00:00Z".parse().expect("a time");
        for _ in 0..2 {
            let hotlist = Hotlist::open(&path, SimulatedClock::starting(utc)).expect("opens");
            assert_eq!(hotlist.id, 77);
            let snapshot = hotlist.snapshot();
            let list = snapshot.list("stolen").expect("is there");
            assert_eq!((list.head.count, list.head.patterns, list.head.generation), (4, 2, 5));
            for mark in ["AB12CDE", "KT19XVB"] {
                let found = list.entries(Packed::of(mark).expect("a mark")).expect("reads");
                assert_eq!(found, [Ok(entry(mark, "stolen"))]);
            }
            assert_eq!(list.of_pattern("ZZ*").len(), 2);
        }
        let database = redb::Database::create(&path).expect("opens");
        use redb::{ReadableDatabase, TableHandle};
        let read = database.begin_read().expect("reads");
        let left = read.list_tables().expect("lists").filter(|table| table.name().contains(".4.")).count();
        assert_eq!(left, 0, "tables of the old generation");
    }
}

//! Writes a list into the store: a whole one as a new generation beside the old one, changes into the one that is there.
//! Either way within one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{ReadableTable, Table, WriteTransaction};

use super::block::{self, Builder};
use super::index::{self, Index, Packed};
use super::mark::Mark;
use super::store::{Blocks, Chunks, Names, PatternRows};

type Result<T> = std::result::Result<T, redb::Error>;

/// Writes the entries of a new generation.
pub(super) struct ListWriter<'t> {
    transaction: &'t WriteTransaction,
    names: Names,
    blocks: Table<'t, u64, &'static [u8]>,
    builder: Builder,
    vrms: Vec<Packed>,
    count: u64,
    patterns: BTreeMap<String, Vec<Vec<u8>>>,
}

/// How many entries a list has now.
pub(super) struct Written {
    pub(super) count: u64,
    pub(super) patterns: u64,
}

impl<'t> ListWriter<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction, id: &str, generation: u64) -> Result<Self> {
        let names = Names::of(id, generation);
        let blocks = transaction.open_table(Blocks::new(&names.blocks))?;
        Ok(Self {
            transaction,
            blocks,
            names,
            builder: Builder::default(),
            vrms: Vec::new(),
            count: 0,
            patterns: BTreeMap::new(),
        })
    }

    /// How many entries were written so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Takes the next entry of a VRM; they come in order.
    pub(super) fn entry(&mut self, key: Packed, bytes: &[u8]) -> Result<()> {
        self.count += 1;
        if self.vrms.last() != Some(&key) {
            self.vrms.push(key);
        }
        if let Some((last, block)) = self.builder.push(key, bytes) {
            self.blocks.insert(last.0, &block[..])?;
        }
        Ok(())
    }

    /// Takes an entry of a pattern.
    pub(super) fn pattern(&mut self, pattern: &str, bytes: &[u8]) {
        self.count += 1;
        self.patterns.entry(pattern.to_owned()).or_default().push(bytes.to_vec());
    }

    pub(super) fn finish(mut self) -> Result<Written> {
        if let Some((last, block)) = self.builder.finish() {
            self.blocks.insert(last.0, &block[..])?;
        }
        write_index(self.transaction, &self.names, &self.vrms)?;
        let mut rows = self.transaction.open_table(PatternRows::new(&self.names.patterns))?;
        let mut patterns = 0;
        for (pattern, entries) in &self.patterns {
            patterns += entries.len() as u64;
            rows.insert(pattern.as_str(), &pattern_row(entries)[..])?;
        }
        Ok(Written { count: self.count, patterns })
    }
}

fn write_index(transaction: &WriteTransaction, names: &Names, vrms: &[Packed]) -> Result<()> {
    let mut chunks = transaction.open_table(Chunks::new(&names.chunks))?;
    let mut count = 0;
    for chunk in index::chunks(vrms) {
        chunks.insert(count, &chunk[..])?;
        count += 1;
    }
    chunks.retain(|number, _| number < count)?;
    Ok(())
}

/// The entries of a pattern as a block.
fn pattern_row(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut builder = Builder::default();
    for entry in entries {
        // All of one key: the builder never ends a block between them.
        builder.push(Packed(0), entry);
    }
    builder.finish().map(|(_, bytes)| bytes).unwrap_or_default()
}

/// What becomes of each VRM and pattern that changes: its entries, none if it is taken off.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) vrms: BTreeMap<Packed, Vec<Vec<u8>>>,
    pub(super) patterns: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Changes {
    /// The entries of `mark` from now on.
    pub(super) fn of(&mut self, mark: &Mark) -> Option<&mut Vec<Vec<u8>>> {
        match mark {
            Mark::Vrm(vrm) => Some(self.vrms.entry(Packed::of(vrm.as_str())?).or_default()),
            Mark::Pattern(pattern) => Some(self.patterns.entry(pattern.as_str().to_owned()).or_default()),
        }
    }
}

/// Applies `changes` to the generation of list `id` that is there; `old` is its index, `count` and `patterns` how many
/// entries it has.
pub(super) fn change(
    transaction: &WriteTransaction,
    id: &str,
    generation: u64,
    old: &Arc<Index>,
    (mut count, mut patterns): (u64, u64),
    changes: &Changes,
) -> Result<Written> {
    let names = Names::of(id, generation);
    let mut blocks = transaction.open_table(Blocks::new(&names.blocks))?;
    let mut changed = changes.vrms.iter().peekable();
    while let Some((key, _)) = changed.peek() {
        // The block that has the first of them, and all changes that belong there.
        let owned = |(last, bytes): (redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &'static [u8]>)| {
            (Packed(last.value()), bytes.value().to_vec())
        };
        let block = blocks.range(key.0..)?.next().transpose()?.map(owned);
        // Whatever comes up to the block's last VRM belongs into it, into the last one all the rest.
        let up_to = block.as_ref().map_or(Packed(u64::MAX), |(last, _)| *last);
        let block = match block {
            Some(block) => Some(block),
            None => blocks.iter()?.next_back().transpose()?.map(owned),
        };
        let mut entries: BTreeMap<Packed, Vec<Vec<u8>>> = BTreeMap::new();
        if let Some((last, held)) = &block {
            for entry in block::entries(*last, held) {
                let (key, bytes) = entry.map_err(redb::Error::Corrupted)?;
                entries.entry(key).or_default().push(bytes.to_vec());
            }
        }
        while let Some((key, new)) = changed.next_if(|(key, _)| **key <= up_to) {
            let before = entries.remove(key).map_or(0, |entries| entries.len());
            count = count.saturating_sub(before as u64) + new.len() as u64;
            if !new.is_empty() {
                entries.insert(*key, new.clone());
            }
        }
        let mut builder = Builder::default();
        let mut full = Vec::new();
        for (key, entries) in &entries {
            for entry in entries {
                full.extend(builder.push(*key, entry));
            }
        }
        full.extend(builder.finish());
        if let Some((last, _)) = block
            && full.iter().all(|(key, _)| *key != last)
        {
            blocks.remove(last.0)?;
        }
        for (last, block) in full {
            blocks.insert(last.0, &block[..])?;
        }
    }
    write_index(transaction, &names, &merged(old.vrms(), &changes.vrms))?;
    let mut rows = transaction.open_table(PatternRows::new(&names.patterns))?;
    for (pattern, entries) in &changes.patterns {
        let before = match rows.remove(pattern.as_str())? {
            Some(row) => block::entries(Packed(0), row.value()).count() as u64,
            None => 0,
        };
        count = count.saturating_sub(before) + entries.len() as u64;
        patterns = patterns.saturating_sub(before) + entries.len() as u64;
        if !entries.is_empty() {
            rows.insert(pattern.as_str(), &pattern_row(entries)[..])?;
        }
    }
    Ok(Written { count, patterns })
}

/// The VRMs that are listed once the changes are made.
fn merged(old: &[Packed], changes: &BTreeMap<Packed, Vec<Vec<u8>>>) -> Vec<Packed> {
    let mut vrms = Vec::with_capacity(old.len() + changes.len());
    let mut rest = old;
    for (key, entries) in changes {
        let before = rest.partition_point(|vrm| vrm < key);
        vrms.extend_from_slice(&rest[..before]);
        rest = &rest[before..];
        if rest.first() == Some(key) {
            rest = &rest[1..];
        }
        if !entries.is_empty() {
            vrms.push(*key);
        }
    }
    vrms.extend_from_slice(rest);
    vrms
}

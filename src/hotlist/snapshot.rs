//! All lists as of one commit: what matching works on.

use std::sync::Arc;

use redb::ReadOnlyTable;

use super::block;
use super::entry::Entry;
use super::head::ListHead;
use super::index::{Index, Packed};
use super::judge::Silenced;
use super::mark::Mark;
use super::patterns::Automaton;
use super::traffic::{self, Traffic};

/// All lists as of one commit. VRMs are in memory, so that a read that is not listed costs no disk; entries are read
/// by a transaction that stays open for as long as the snapshot lives, so neither a writer nor its fsync is in
/// the way, and what the index promises is there.
pub(super) struct Snapshot {
    pub(super) lists: Vec<Listed>,
    pub(super) traffic: Traffic,
    /// The smallest share of a text that any list makes something of.
    pub(super) least: f32,
    pub(super) silenced: Arc<Silenced>,
    /// Counts the changes of lists since the store was opened.
    pub(super) version: u64,
}

/// One list.
#[derive(Clone)]
pub(super) struct Listed {
    pub(super) head: Arc<ListHead>,
    pub(super) index: Arc<Index>,
    pub(super) patterns: Arc<Patterns>,
    pub(super) classes: Arc<traffic::Listed>,
    pub(super) blocks: Arc<ReadOnlyTable<u64, &'static [u8]>>,
}

/// The patterns of one list, with their entries.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    pub(super) automaton: Automaton,
    /// By pattern, as the automaton numbers them.
    pub(super) entries: Vec<Vec<Entry>>,
}

/// VRMs of a list that are looked at to learn what classes of text it holds.
const SAMPLE: usize = 20_000;
/// Texts are searched down to this share in any case: what is listed beside the likeliest text weighs against it.
const LEAST: f32 = 0.2;

impl Snapshot {
    pub(super) fn of(lists: Vec<Listed>, silenced: Arc<Silenced>, version: u64) -> Self {
        let mut listed = traffic::Listed::default();
        for list in &lists {
            listed.add(&list.classes);
        }
        let least = lists.iter().map(|list| match &list.head.settings {
            // Here the hit is that it is none of the listed.
            settings if settings.white => 1.0 - settings.thresholds.possible,
            settings => settings.thresholds.possible,
        });
        let least = least.fold(LEAST, f32::min);
        Self { lists, traffic: Traffic::with_listed(&listed), least, silenced, version }
    }

    pub(super) fn list(&self, id: &str) -> Option<&Listed> {
        self.lists.iter().find(|list| list.head.id == id)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({} lists)", self.lists.len())
    }
}

impl Listed {
    /// The entries with this VRM, each or why it cannot be read.
    pub(super) fn entries(&self, packed: Packed) -> Result<Vec<Result<Entry, String>>, redb::StorageError> {
        let mut found = Vec::new();
        let Some(block) = self.blocks.range(packed.0..)?.next() else { return Ok(self.promised(packed, found)) };
        let (last, block) = block?;
        for entry in block::entries(Packed(last.value()), block.value()) {
            match entry {
                Ok((key, _)) if key < packed => {}
                Ok((key, bytes)) if key == packed => found.push(Entry::decode(bytes)),
                Ok(_) => break,
                Err(why) => found.push(Err(why)),
            }
        }
        Ok(self.promised(packed, found))
    }

    /// What was found, or that it should have been.
    fn promised(&self, packed: Packed, mut found: Vec<Result<Entry, String>>) -> Vec<Result<Entry, String>> {
        if found.is_empty() && self.index.holds(packed) {
            found.push(Err("the index names a VRM that has no entry".into()));
        }
        found
    }

    /// The entries of a pattern.
    pub(super) fn of_pattern(&self, pattern: &str) -> &[Entry] {
        self.patterns
            .entries
            .iter()
            .find(|entries| entries.first().is_some_and(|entry| entry.vrm.as_str() == pattern))
            .map_or(&[], Vec::as_slice)
    }

    /// Whether the list holds an entry for `mark`.
    pub(super) fn holds(&self, mark: &Mark) -> bool {
        match mark {
            Mark::Vrm(vrm) => Packed::of(vrm.as_str()).is_some_and(|packed| self.index.holds(packed)),
            Mark::Pattern(pattern) => !self.of_pattern(pattern.as_str()).is_empty(),
        }
    }
}

impl Patterns {
    /// The patterns of entries that come pattern by pattern.
    pub(super) fn of(entries: Vec<Vec<Entry>>) -> Self {
        let patterns = entries.iter().filter_map(|entries| match &entries.first()?.vrm {
            Mark::Pattern(pattern) => Some(pattern),
            Mark::Vrm(_) => None,
        });
        Self { automaton: Automaton::of(patterns), entries }
    }
}

/// What classes of text a list holds, from a sample.
pub(super) fn classes(index: &Index) -> traffic::Listed {
    let mut listed = traffic::Listed::default();
    let step = (index.vrms().len() / SAMPLE).max(1);
    for vrm in index.vrms().iter().step_by(step) {
        let (numbers, length) = vrm.numbers();
        listed.count(&numbers[..length], step as f32);
    }
    listed
}

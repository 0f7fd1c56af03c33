//! Sorts entries that are more than memory should hold: runs go to unnamed files, sealed, and are merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use super::index::Packed;
use crate::seal::{Scratch, ScratchReader};

/// Bytes of entries that are held before they go to a file.
const HELD: usize = 40 << 20;

/// An entry as it is stored, with its key.
pub(super) type Keyed = (Packed, Vec<u8>);

/// Takes entries in any order.
pub(super) struct Sorter {
    /// Where the unnamed files lie; they are gone with the process, however it ends.
    folder: PathBuf,
    held: usize,
    bytes: Vec<u8>,
    /// Key, and where the entry is in `bytes`.
    places: Vec<(Packed, u32, u32)>,
    runs: Vec<Scratch>,
}

impl Sorter {
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Self::holding(HELD, folder)
    }

    fn holding(held: usize, folder: PathBuf) -> Self {
        Self { folder, held, bytes: Vec::new(), places: Vec::new(), runs: Vec::new() }
    }

    pub(super) fn push(&mut self, key: Packed, entry: &[u8]) -> io::Result<()> {
        if !self.places.is_empty() && self.bytes.len() + entry.len() > self.held {
            self.spill()?;
        }
        self.places.push((key, self.bytes.len() as u32, entry.len() as u32));
        self.bytes.extend_from_slice(entry);
        Ok(())
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        let entry = |place: &(Packed, u32, u32)| &bytes[place.1 as usize..][..place.2 as usize];
        self.places.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| entry(a).cmp(entry(b))));
    }

    fn spill(&mut self) -> io::Result<()> {
        self.sort();
        let mut run = BufWriter::with_capacity(256 << 10, Scratch::in_folder(&self.folder)?);
        for (key, start, length) in &self.places {
            run.write_all(&key.0.to_le_bytes())?;
            run.write_all(&length.to_le_bytes())?;
            run.write_all(&self.bytes[*start as usize..][..*length as usize])?;
        }
        self.runs.push(run.into_inner().map_err(io::IntoInnerError::into_error)?);
        self.places.clear();
        self.bytes.clear();
        Ok(())
    }

    /// Everything, ascending, each entry once.
    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        if !self.runs.is_empty() && !self.places.is_empty() {
            self.spill()?;
        }
        self.sort();
        let mut runs: Vec<Run> = std::mem::take(&mut self.runs)
            .into_iter()
            .map(|run| Run::File(Box::new(BufReader::with_capacity(128 << 10, run.into_reader()))))
            .collect();
        if runs.is_empty() {
            runs.push(Run::Held { bytes: self.bytes, places: self.places.into_iter() });
        }
        let mut sorted = Sorted { runs, next: BinaryHeap::new(), last: None };
        for run in 0..sorted.runs.len() {
            sorted.advance(run)?;
        }
        Ok(sorted)
    }
}

enum Run {
    File(Box<BufReader<ScratchReader>>),
    Held { bytes: Vec<u8>, places: std::vec::IntoIter<(Packed, u32, u32)> },
}

impl Run {
    fn next(&mut self) -> io::Result<Option<Keyed>> {
        match self {
            Self::Held { bytes, places } => {
                Ok(places.next().map(|(key, start, length)| (key, bytes[start as usize..][..length as usize].to_vec())))
            }
            Self::File(file) => {
                let mut head = [0; 12];
                match file.read_exact(&mut head) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                    Err(error) => return Err(error),
                }
                let [k0, k1, k2, k3, k4, k5, k6, k7, l0, l1, l2, l3] = head;
                let key = u64::from_le_bytes([k0, k1, k2, k3, k4, k5, k6, k7]);
                let mut entry = vec![0; u32::from_le_bytes([l0, l1, l2, l3]) as usize];
                file.read_exact(&mut entry)?;
                Ok(Some((Packed(key), entry)))
            }
        }
    }
}

/// Entries in order.
pub(super) struct Sorted {
    runs: Vec<Run>,
    next: BinaryHeap<Reverse<(Keyed, usize)>>,
    last: Option<Keyed>,
}

impl Sorted {
    fn advance(&mut self, run: usize) -> io::Result<()> {
        if let Some(entry) = self.runs[run].next()? {
            self.next.push(Reverse((entry, run)));
        }
        Ok(())
    }
}

impl Iterator for Sorted {
    type Item = io::Result<Keyed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Reverse((entry, run)) = self.next.pop()?;
            if let Err(error) = self.advance(run) {
                return Some(Err(error));
            }
            if self.last.as_ref() == Some(&entry) {
                continue;
            }
            self.last = Some(entry.clone());
            return Some(Ok(entry));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_sorts_and_leaves_repetitions_out(entries in proptest::collection::vec((0u64..20, proptest::collection::vec(0u8..3, 0..3)), 0..60),
                                               held in 1usize..80) {
            let folder = tempfile::tempdir().expect("a folder");
            let mut sorter = Sorter::holding(held, folder.path().to_owned());
            for (key, entry) in &entries {
                sorter.push(Packed(*key), entry).expect("taken");
            }
            let found: Vec<Keyed> = sorter.finish().expect("sorted").collect::<Result<_, _>>().expect("read");
            let expected: std::collections::BTreeSet<Keyed> = entries.iter().map(|(key, entry)| (Packed(*key), entry.clone())).collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
        }
    }
}

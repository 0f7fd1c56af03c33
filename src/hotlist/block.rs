//! Entries in blocks: how they lie in the store.
//!
//! A block holds the entries of neighbouring VRMs, all those of one VRM together, and is about as large as a page of the
//! store: a row of its own for each entry would double the file. Its key is its first VRM. An entry in it is a varint
//! (its VRM less the first), a varint (its length) and its bytes.

use prost::encoding::{decode_varint, encode_varint};

use super::index::Packed;

/// The bytes of a block, but for VRMs that have more entries than fit: with its key and its place in the page it fills a
/// page of 4096.
const FULL: usize = 3960;

/// Makes blocks of entries that come in order.
#[derive(Debug, Default)]
pub(super) struct Builder {
    first: Option<Packed>,
    last: Option<Packed>,
    bytes: Vec<u8>,
    /// Where the entries of `last` begin.
    start_of_last: usize,
}

/// A block and its key.
pub(super) type Block = (Packed, Vec<u8>);

impl Builder {
    /// Takes the next entry; gives a block when one has become full.
    pub(super) fn push(&mut self, key: Packed, entry: &[u8]) -> Option<Block> {
        if self.last != Some(key) {
            self.start_of_last = self.bytes.len();
            self.last = Some(key);
        }
        let first = *self.first.get_or_insert(key);
        append(&mut self.bytes, key.0 - first.0, entry);
        if self.bytes.len() <= FULL || self.start_of_last == 0 {
            return None;
        }
        // The last VRM begins a block of its own.
        let tail = self.bytes.split_off(self.start_of_last);
        let full = std::mem::replace(&mut self.bytes, Vec::with_capacity(FULL + 256));
        for (_, entry) in entries(first, &tail).flatten() {
            append(&mut self.bytes, 0, entry);
        }
        self.first = Some(key);
        self.start_of_last = 0;
        Some((first, full))
    }

    /// The block that remains.
    pub(super) fn finish(&mut self) -> Option<Block> {
        let first = self.first.take()?;
        self.last = None;
        self.start_of_last = 0;
        Some((first, std::mem::take(&mut self.bytes)))
    }
}

fn append(bytes: &mut Vec<u8>, step: u64, entry: &[u8]) {
    encode_varint(step, bytes);
    encode_varint(entry.len() as u64, bytes);
    bytes.extend_from_slice(entry);
}

/// The entries of the block with key `first`, in order; ends with an error where it is damaged.
pub(super) fn entries(first: Packed, mut rest: &[u8]) -> impl Iterator<Item = Result<(Packed, &[u8]), String>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = take(first, &mut rest);
        if entry.is_err() {
            rest = &[];
        }
        Some(entry)
    })
}

fn take<'a>(first: Packed, rest: &mut &'a [u8]) -> Result<(Packed, &'a [u8]), String> {
    let number = |rest: &mut &[u8]| decode_varint(rest).map_err(|error| format!("a block of entries: {error}"));
    let (step, length) = (number(rest)?, number(rest)?);
    let key = first.0.checked_add(step).ok_or("a block of entries counts too far")?;
    let length =
        usize::try_from(length).ok().filter(|length| *length <= rest.len()).ok_or("a block of entries is cut short")?;
    let (entry, after) = rest.split_at(length);
    *rest = after;
    Ok((Packed(key), entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_damaged_block_ends_with_an_error() {
        for bytes in [&[5][..], &[0, 9, 1], &[0x80]] {
            assert!(entries(Packed(1), bytes).last().is_some_and(|entry| entry.is_err()));
        }
        assert!(entries(Packed(u64::MAX), &[1, 0]).next().is_some_and(|entry| entry.is_err()));
    }

    proptest! {
        #[test]
        fn blocks_hold_all_entries_in_order_and_keep_a_vrm_together(
            keys in proptest::collection::vec((1u64..60, 0usize..900), 0..80),
        ) {
            let mut wanted: Vec<(Packed, Vec<u8>)> = keys.iter().map(|(key, size)| (Packed(*key), vec![*key as u8; *size])).collect();
            wanted.sort();
            let mut builder = Builder::default();
            let mut blocks = Vec::new();
            for (key, entry) in &wanted {
                blocks.extend(builder.push(*key, entry));
            }
            blocks.extend(builder.finish());
            let mut found = Vec::new();
            let mut last = None;
            for (key, block) in &blocks {
                let held: Vec<_> = entries(*key, block).collect::<Result<_, _>>().expect("whole");
                prop_assert_eq!(held[0].0, *key);
                prop_assert!(last.is_none_or(|last| last < *key), "a VRM in two blocks");
                prop_assert!(block.len() <= FULL || held.iter().all(|(k, _)| k == key));
                last = held.last().map(|(key, _)| *key);
                found.extend(held.into_iter().map(|(key, entry)| (key, entry.to_vec())));
            }
            prop_assert_eq!(found, wanted);
        }
    }
}

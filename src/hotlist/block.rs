//! Entries in blocks: how they lie in the store.
//!
//! A block holds the entries of neighbouring VRMs, all those of one VRM together, and is about as large as a page of the
//! store: a row of its own for each entry would double the file. Its key is its last VRM, so that looking for a VRM
//! comes to the right page at once; it begins with a varint (the last VRM less the first). An entry in it is a varint
//! (its VRM less the first), a varint (its length) and its bytes.

use prost::encoding::{decode_varint, encode_varint};

use super::index::Packed;

/// The bytes of a block, but for VRMs that have more entries than fit: with its key and its place in the page it fills a
/// page of 4096.
const FULL: usize = 3952;

/// Makes blocks of entries that come in order.
#[derive(Debug, Default)]
pub(super) struct Builder {
    first: Option<Packed>,
    last: Option<Packed>,
    bytes: Vec<u8>,
    /// Where the entries of `last` begin.
    start_of_last: usize,
    /// The VRM before it.
    before: Packed,
}

/// A block and its key.
pub(super) type Block = (Packed, Vec<u8>);

impl Builder {
    /// Takes the next entry; gives a block when one has become full.
    pub(super) fn push(&mut self, key: Packed, entry: &[u8]) -> Option<Block> {
        if self.last != Some(key) {
            self.start_of_last = self.bytes.len();
            self.before = self.last.replace(key).unwrap_or(key);
        }
        let first = *self.first.get_or_insert(key);
        append(&mut self.bytes, key.0 - first.0, entry);
        if self.bytes.len() <= FULL || self.start_of_last == 0 {
            return None;
        }
        // The last VRM begins a block of its own.
        let mut tail = &self.bytes[self.start_of_last..];
        let mut next = Vec::with_capacity(FULL + 256);
        while let Ok((_, entry)) = take(first, &mut tail) {
            append(&mut next, 0, entry);
        }
        let full = block(first, self.before, &self.bytes[..self.start_of_last]);
        self.bytes = next;
        self.first = Some(key);
        self.start_of_last = 0;
        Some(full)
    }

    /// The block that remains.
    pub(super) fn finish(&mut self) -> Option<Block> {
        let (first, last) = (self.first.take()?, self.last.take()?);
        self.start_of_last = 0;
        Some(block(first, last, &std::mem::take(&mut self.bytes)))
    }
}

fn block(first: Packed, last: Packed, entries: &[u8]) -> Block {
    let mut bytes = Vec::with_capacity(entries.len() + 10);
    encode_varint(last.0 - first.0, &mut bytes);
    bytes.extend_from_slice(entries);
    (last, bytes)
}

fn append(bytes: &mut Vec<u8>, step: u64, entry: &[u8]) {
    encode_varint(step, bytes);
    encode_varint(entry.len() as u64, bytes);
    bytes.extend_from_slice(entry);
}

/// The entries of the block with key `last`, in order; ends with an error where it is damaged.
pub(super) fn entries(last: Packed, mut rest: &[u8]) -> impl Iterator<Item = Result<(Packed, &[u8]), String>> {
    let first = decode_varint(&mut rest).ok().and_then(|span| last.0.checked_sub(span)).map(Packed);
    let mut damaged = first.is_none().then(|| Err("a block of entries has no beginning".to_owned()));
    let mut held = entries_from(first.unwrap_or_default(), if damaged.is_none() { rest } else { &[] });
    std::iter::from_fn(move || damaged.take().or_else(|| held.next()))
}

/// The entries after the beginning of a block whose first VRM is `first`; a block of the store's second layout is
/// nothing else.
pub(super) fn entries_from(first: Packed, mut rest: &[u8]) -> impl Iterator<Item = Result<(Packed, &[u8]), String>> {
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
        for bytes in [&[][..], &[5], &[2], &[0, 0, 9, 1], &[0, 0x80]] {
            assert!(entries(Packed(1), bytes).last().is_some_and(|entry| entry.is_err()), "{bytes:?}");
        }
        assert!(entries(Packed(u64::MAX), &[0, 1, 0]).next().is_some_and(|entry| entry.is_err()));
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
                prop_assert_eq!(held[held.len() - 1].0, *key);
                prop_assert!(last.is_none_or(|last| last < held[0].0), "a VRM in two blocks");
                prop_assert!(block.len() <= FULL + 10 || held.iter().all(|(k, _)| k == key));
                last = Some(*key);
                found.extend(held.into_iter().map(|(key, entry)| (key, entry.to_vec())));
            }
            prop_assert_eq!(found, wanted);
        }
    }
}

//! VRMs as numbers: what matching holds in memory of a list.

use prost::encoding::{decode_varint, encode_varint};

use crate::plate;

/// A folded VRM as one number: base 37, so that texts of different length differ. Twelve characters fit 64 bits, so
/// the number is the VRM: no collisions to check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Packed(pub(super) u64);

impl Packed {
    /// The number of `text`, shared glyphs folded; `None` if it is no VRM.
    pub(super) fn of(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > plate::LONGEST {
            return None;
        }
        text.chars()
            .try_fold(0, |packed: u64, character| {
                Some(packed * 37 + plate::index_of(plate::fold_char(character))? as u64 + 1)
            })
            .map(Self)
    }

    /// The number of a text of folded characters, numbered as in the alphabet.
    pub(super) fn of_numbers(numbers: &[u8]) -> Self {
        Self(numbers.iter().fold(0, |packed, number| packed * 37 + u64::from(*number) + 1))
    }

    /// The folded text, numbered as in the alphabet, and its length.
    pub(super) fn numbers(self) -> ([u8; plate::LONGEST], usize) {
        let (mut numbers, mut rest, mut length) = ([0; plate::LONGEST], self.0, 0);
        while rest > 0 && length < plate::LONGEST {
            numbers[length] = ((rest - 1) % 37) as u8;
            rest = (rest - 1) / 37;
            length += 1;
        }
        numbers[..length].reverse();
        (numbers, length)
    }
}

/// The VRMs of one list.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Ascending, each once: 8 bytes an entry.
    vrms: Vec<Packed>,
    /// Says at once of nearly everything that is not listed that it is not.
    filter: Filter,
}

/// VRMs in one stored chunk.
const CHUNK: usize = 16 * 1024;

impl Index {
    /// An index of VRMs that come in ascending order.
    pub(super) fn of_sorted(mut vrms: Vec<Packed>) -> Self {
        debug_assert!(vrms.is_sorted());
        vrms.dedup();
        vrms.shrink_to_fit();
        let mut filter = Filter::for_count(vrms.len());
        for vrm in &vrms {
            filter.add(*vrm);
        }
        Self { vrms, filter }
    }

    /// Whether `vrm` is listed.
    pub(super) fn holds(&self, vrm: Packed) -> bool {
        self.filter.may_hold(vrm) && self.vrms.binary_search(&vrm).is_ok()
    }

    /// Every VRM, ascending.
    pub(super) fn vrms(&self) -> &[Packed] {
        &self.vrms
    }

    /// Appends the VRMs of a stored chunk, or says what is wrong with it.
    pub(super) fn read_chunk(mut bytes: &[u8], vrms: &mut Vec<Packed>) -> Result<(), String> {
        let mut last = 0u64;
        while !bytes.is_empty() {
            let step = decode_varint(&mut bytes).map_err(|error| error.to_string())?;
            last = last.checked_add(step).ok_or("a chunk of the index counts too far")?;
            if vrms.last().is_some_and(|before| before.0 >= last) {
                return Err("a chunk of the index is out of order".into());
            }
            vrms.push(Packed(last));
        }
        Ok(())
    }
}

/// An index as it is stored: chunks of differences, each of which begins anew. `vrms` ascend.
pub(super) fn chunks(vrms: &[Packed]) -> impl Iterator<Item = Vec<u8>> + '_ {
    vrms.chunks(CHUNK).map(|vrms| {
        let mut bytes = Vec::with_capacity(vrms.len() * 3);
        let mut last = 0;
        for vrm in vrms {
            encode_varint(vrm.0 - last, &mut bytes);
            last = vrm.0;
        }
        bytes
    })
}

/// A set that may take a stranger for a member, never a member for a stranger. All bits of one VRM are in one cache
/// line, so that a stranger costs one access to memory.
#[derive(Debug, Default)]
struct Filter {
    lines: Vec<[u64; 8]>,
}

impl Filter {
    /// Bits a member: with `PROBES` of them set, some 2 strangers in 1000 pass.
    const BITS: usize = 14;
    const PROBES: u32 = 6;

    fn for_count(count: usize) -> Self {
        Self { lines: vec![[0; 8]; (count * Self::BITS).div_ceil(512)] }
    }

    fn add(&mut self, vrm: Packed) {
        let (line, mut bits) = self.place(vrm);
        for _ in 0..Self::PROBES {
            self.lines[line][(bits >> 6) as usize & 7] |= 1 << (bits & 63);
            bits >>= 9;
        }
    }

    fn may_hold(&self, vrm: Packed) -> bool {
        if self.lines.is_empty() {
            return false;
        }
        let (line, mut bits) = self.place(vrm);
        let line = &self.lines[line];
        (0..Self::PROBES).all(|_| {
            let set = line[(bits >> 6) as usize & 7] & (1 << (bits & 63)) != 0;
            bits >>= 9;
            set
        })
    }

    /// The line of `vrm` and 54 bits that say which of it.
    fn place(&self, vrm: Packed) -> (usize, u64) {
        let hash = mixed(vrm.0);
        let line = (u128::from(hash) * self.lines.len() as u128) >> 64;
        (line as usize, mixed(hash ^ 0x9e37_79b9_7f4a_7c15))
    }
}

/// Spreads a number over all bits (the finaliser of SplitMix64).
fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_vrm_fits_and_what_is_none_has_no_number() {
        assert!(Packed::of("ZZZZZZZZZZZZ").is_some());
        for text in ["", "AB 12", "ab12", "É1", "ZZZZZZZZZZZZZ"] {
            assert_eq!(Packed::of(text), None, "{text:?}");
        }
    }

    #[test]
    fn nearly_every_stranger_is_told_by_the_filter() {
        let index = Index::of_sorted((0..100_000).map(|n| Packed(n * 31)).collect());
        let passed = (0..100_000u64).filter(|n| index.filter.may_hold(Packed(n * 31 + 7))).count();
        assert!(passed < 1000, "{passed} of 100000 strangers pass");
    }

    #[test]
    fn a_chunk_that_is_damaged_is_refused() {
        assert!(Index::read_chunk(&[5, 0], &mut Vec::new()).is_err());
        assert!(Index::read_chunk(&[0x80], &mut Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn numbers_are_equal_exactly_if_the_folded_texts_are(a in "[A-Z0-9]{1,12}", b in "[A-Z0-9]{1,12}") {
            prop_assert_eq!(Packed::of(&a) == Packed::of(&b), plate::fold(&a) == plate::fold(&b));
            prop_assert_eq!(Packed::of(&a), Packed::of(&plate::fold(&a)));
            let (numbers, length) = Packed::of(&a).expect("a VRM").numbers();
            prop_assert_eq!(Some(Packed::of_numbers(&numbers[..length])), Packed::of(&a));
            let text: String = numbers[..length].iter().map(|n| char::from(plate::ALPHABET[usize::from(*n)])).collect();
            prop_assert_eq!(text, plate::fold(&a));
        }

        #[test]
        fn an_index_holds_what_it_was_made_of_and_comes_back_from_its_chunks(vrms in proptest::collection::btree_set(1u64..5000, 0..300)) {
            let sorted: Vec<Packed> = vrms.iter().copied().map(Packed).collect();
            let index = Index::of_sorted(sorted.clone());
            for n in 0..5000 {
                prop_assert_eq!(index.holds(Packed(n)), vrms.contains(&n));
            }
            let mut back = Vec::new();
            for chunk in chunks(index.vrms()) {
                Index::read_chunk(&chunk, &mut back).expect("whole");
            }
            prop_assert_eq!(back, sorted);
        }
    }
}

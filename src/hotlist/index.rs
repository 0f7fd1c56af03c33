//! VRMs as numbers: what matching holds in memory.

use crate::plate;

/// A folded VRM as one number: base 37, so that texts of different length differ. Twelve characters fit 64 bits, so
/// the number is the VRM: no collisions to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
}

/// The VRMs of one list.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Ascending, each once: 8 bytes an entry, and 23 steps to find one of five million.
    vrms: Vec<Packed>,
}

impl Index {
    /// An index of VRMs that come in ascending order.
    pub(super) fn of_sorted(vrms: impl IntoIterator<Item = Packed>) -> Self {
        let mut vrms: Vec<_> = vrms.into_iter().collect();
        debug_assert!(vrms.is_sorted());
        vrms.dedup();
        vrms.shrink_to_fit();
        Self { vrms }
    }

    /// Whether `vrm` is listed.
    pub(super) fn holds(&self, vrm: Packed) -> bool {
        self.vrms.binary_search(&vrm).is_ok()
    }
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

    proptest! {
        #[test]
        fn numbers_are_equal_exactly_if_the_folded_texts_are(a in "[A-Z0-9]{1,12}", b in "[A-Z0-9]{1,12}") {
            prop_assert_eq!(Packed::of(&a) == Packed::of(&b), plate::fold(&a) == plate::fold(&b));
            prop_assert_eq!(Packed::of(&a), Packed::of(&plate::fold(&a)));
        }
    }
}

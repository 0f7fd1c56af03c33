//! Packing of pieces of lists: raw deflate (RFC 1951), never beyond the length that was said.

use std::io::Read;

use flate2::read::DeflateDecoder;

use super::wire::PIECE;

/// The bytes packed; `None` where that saves nothing.
#[cfg(feature = "office")]
pub(crate) fn pack(bytes: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    let mut encoder = DeflateEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::new(LEVEL));
    // A vector takes everything.
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().filter(|packed| packed.len() < bytes.len())
}

/// How hard packing tries: see docs/design/sync.md for what each level makes of a list.
#[cfg(feature = "office")]
const LEVEL: u32 = 6;

/// The `length` bytes that were packed; `None` if they are others, or more than a piece has. No more memory is used than that.
pub(crate) fn unpack(packed: &[u8], length: u32) -> Option<Vec<u8>> {
    let length = usize::try_from(length).ok().filter(|length| *length <= PIECE)?;
    let mut bytes = Vec::with_capacity(length.min(packed.len().saturating_mul(8)));
    DeflateDecoder::new(packed).take(length as u64 + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() == length).then_some(bytes)
}

#[cfg(all(test, feature = "office"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bomb_is_refused_without_being_unpacked() {
        let bomb = pack(&vec![0; 100 << 20]).expect("zeros pack well");
        assert!(bomb.len() < 200_000);
        for length in [1, PIECE as u32, PIECE as u32 + 1, u32::MAX] {
            assert_eq!(unpack(&bomb, length), None, "{length}");
        }
        assert_eq!(unpack(&pack(&[7; 300]).expect("packs"), 299), None, "more than was said");
        assert_eq!(unpack(&pack(&[7; 300]).expect("packs"), 301), None, "less than was said");
        assert_eq!(unpack(b"no deflate", 10), None);
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in prop::collection::vec(0..4u8, 64..5000)) {
            let packed = pack(&bytes).expect("four letters pack");
            prop_assert_eq!(unpack(&packed, bytes.len() as u32), Some(bytes));
        }
    }
}

//! A whole list as bytes: what the back office hands down.
//!
//! ```text
//! "ORLIST" version(u16, big-endian)  SHA-256 of what follows(32)
//! head: length-delimited message
//! entries: length-delimited, ascending by packed VRM, as many as the head says
//! ```
//! The same list gives the same bytes, whoever makes them: their hash names the content.

use chrono::{DateTime, Utc};
use prost::Message;
use prost::encoding::{decode_varint, encode_varint};
use sha2::{Digest, Sha256};

use super::entry::{Entry, Priority};
use super::index::Packed;

const MAGIC: &[u8; 6] = b"ORLIST";
const VERSION: u16 = 1;
const HEAD: usize = MAGIC.len() + 2 + 32;

/// What the bytes say of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RevisionHead {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) revision: u64,
    pub(super) produced: DateTime<Utc>,
    pub(super) priority: Priority,
    pub(super) count: u64,
}

/// The head as it is written. A number is never used again for something else.
#[derive(Clone, PartialEq, Message)]
struct StoredHead {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(uint64, tag = "3")]
    revision: u64,
    /// Seconds since 1970.
    #[prost(int64, tag = "4")]
    produced: i64,
    #[prost(uint32, tag = "5")]
    priority: u32,
    #[prost(uint64, tag = "6")]
    count: u64,
}

/// An entry as it is stored, with its key.
pub(super) type Keyed = (Packed, Vec<u8>);

/// The bytes of a revision. `entries` are as [`Entry::encode`] gives them, ascending by VRM.
pub(super) fn encode<E>(
    head: &RevisionHead,
    entries: impl IntoIterator<Item = Result<Vec<u8>, E>>,
) -> Result<Vec<u8>, E> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 32]);
    let stored = StoredHead {
        id: head.id.clone(),
        name: head.name.clone(),
        revision: head.revision,
        produced: head.produced.timestamp(),
        priority: head.priority.number(),
        count: head.count,
    };
    append(&mut bytes, &stored.encode_to_vec());
    for entry in entries {
        append(&mut bytes, &entry?);
    }
    let hash = Sha256::digest(&bytes[HEAD..]);
    bytes[HEAD - 32..HEAD].copy_from_slice(&hash);
    Ok(bytes)
}

fn append(bytes: &mut Vec<u8>, message: &[u8]) {
    encode_varint(message.len() as u64, bytes);
    bytes.extend_from_slice(message);
}

/// The SHA-256 that the bytes carry, unchecked.
pub(super) fn hash_of(bytes: &[u8]) -> Option<[u8; 32]> {
    bytes.get(HEAD - 32..HEAD)?.try_into().ok()
}

/// What `bytes` hold, every entry of it decoded and in order, or a clause saying what is wrong.
pub(super) fn decode(bytes: &[u8]) -> Result<(RevisionHead, Vec<Keyed>), String> {
    if bytes.len() < HEAD || !bytes.starts_with(MAGIC) {
        return Err("these are not the bytes of a list's revision".into());
    }
    let version = u16::from_be_bytes([bytes[MAGIC.len()], bytes[MAGIC.len() + 1]]);
    if version != VERSION {
        return Err(format!("the revision has format {version}, this program knows {VERSION}"));
    }
    let mut rest = &bytes[HEAD..];
    if hash_of(bytes) != Some(Sha256::digest(rest).into()) {
        return Err("it is damaged or cut short: its SHA-256 is another".into());
    }
    let stored = StoredHead::decode(take(&mut rest)?).map_err(|error| error.to_string())?;
    let head = RevisionHead {
        id: stored.id,
        name: stored.name,
        revision: stored.revision,
        produced: DateTime::from_timestamp(stored.produced, 0).ok_or("its date is none")?,
        priority: Priority::from_number(stored.priority).ok_or("its priority is none")?,
        count: stored.count,
    };
    let mut entries = Vec::new();
    let mut last = None;
    while !rest.is_empty() {
        let bytes = take(&mut rest)?;
        let entry = Entry::decode(bytes)?;
        let packed = Packed::of(entry.vrm.as_str()).ok_or("an entry's VRM is none")?;
        if last.is_some_and(|last| last > packed) {
            return Err("its entries are out of order".into());
        }
        last = Some(packed);
        entries.push((packed, bytes.to_vec()));
    }
    if entries.len() as u64 != head.count {
        return Err(format!("it has {} entries where its head says {}", entries.len(), head.count));
    }
    Ok((head, entries))
}

/// Cuts the next length-delimited message off `rest`.
fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = decode_varint(rest).map_err(|error| error.to_string())?;
    let length =
        usize::try_from(length).ok().filter(|length| *length <= rest.len()).ok_or("a length runs beyond its end")?;
    let (message, after) = rest.split_at(length);
    *rest = after;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::entry::tests::entry;
    use super::*;
    use proptest::prelude::*;

    fn revision(vrms: &[&str]) -> (RevisionHead, Vec<u8>) {
        let head = RevisionHead {
            id: "pnc".into(),
            name: "PNC".into(),
            revision: 7,
            produced: DateTime::UNIX_EPOCH,
            priority: Priority::High,
            count: vrms.len() as u64,
        };
        let Ok(bytes) = encode::<Infallible>(&head, vrms.iter().map(|vrm| Ok(entry(vrm, "stolen").encode())));
        (head, bytes)
    }

    #[test]
    fn a_revision_comes_back_as_it_was() {
        let (head, bytes) = revision(&["A1", "AB12CDE", "ABI2CDE"]);
        let (found, entries) = decode(&bytes).expect("whole");
        assert_eq!((found, entries.len()), (head, 3));
        assert_eq!(Entry::decode(&entries[1].1), Ok(entry("AB12CDE", "stolen")));
    }

    #[test]
    fn entries_out_of_order_or_miscounted_are_refused() {
        assert!(decode(&revision(&["AB12CDE", "A1"]).1).is_err_and(|why| why.contains("out of order")));
        let (mut head, _) = revision(&[]);
        head.count = 1;
        let Ok(bytes) = encode::<Infallible>(&head, []);
        assert!(decode(&bytes).is_err_and(|why| why.contains("0 entries")));
    }

    proptest! {
        #[test]
        fn every_damage_is_noticed(at in 0usize..400, bit in 0u8..8, cut in 0usize..400) {
            let (_, bytes) = revision(&["A1", "AB12CDE", "CD34EFG"]);
            let (at, cut) = (at % bytes.len(), cut % bytes.len());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            prop_assert!(decode(&flipped).is_err());
            prop_assert!(decode(&bytes[..cut]).is_err());
        }

        #[test]
        fn no_bytes_with_a_right_hash_can_break_it(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = [&MAGIC[..], &VERSION.to_be_bytes(), &Sha256::digest(&body)].concat();
            bytes.extend(body);
            let _ = decode(&bytes);
        }
    }
}

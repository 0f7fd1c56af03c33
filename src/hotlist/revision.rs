//! A signed revision of a list as bytes: what the back office hands down.
//!
//! ```text
//! "ORLIST" version(u16, big-endian)
//! manifest: length (varint), message
//! signature(64): Ed25519 over the manifest
//! chunks, one after the other, of the sizes and SHA-256 that the manifest names
//! ```
//! A chunk holds whole records: a varint length, a byte that says what it is, and the record. A whole list has every
//! entry, those of VRMs ascending, then those of patterns ascending. A change names its base; it has, for each VRM or
//! pattern that changes, all entries that it has from now on, or its removal.

use chrono::{DateTime, Utc};
use prost::Message;
use prost::encoding::{decode_varint, encode_varint};
use sha2::{Digest, Sha256};

use super::head::{ListHead, Settings, StoredSettings};
use super::signing::{SIGNATURE, SigningKey, VerifyingKey};

const MAGIC: &[u8; 6] = b"ORLIST";
const VERSION: u16 = 2;
const HEAD: usize = MAGIC.len() + 2;
/// Bytes of a chunk, about.
const CHUNK: usize = 1 << 20;
/// The largest manifest.
const MANIFEST_LIMIT: usize = 4 << 20;

const ENTRY: u8 = 0;
const REMOVAL: u8 = 1;

/// The manifest as it is written. A number is never used again for something else.
#[derive(Clone, PartialEq, Message)]
struct StoredManifest {
    #[prost(string, tag = "1")]
    list: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(uint64, tag = "3")]
    revision: u64,
    /// The revision that this one changes; 0: it is a whole list.
    #[prost(uint64, tag = "4")]
    base: u64,
    /// The state of that revision.
    #[prost(bytes = "vec", tag = "5")]
    base_state: Vec<u8>,
    /// Names the content, the same in the whole list and in the change that leads to it.
    #[prost(bytes = "vec", tag = "6")]
    state: Vec<u8>,
    /// Seconds since 1970.
    #[prost(int64, tag = "7")]
    produced: i64,
    /// Entries of the list once the revision is applied, and how many of them are patterns.
    #[prost(uint64, tag = "8")]
    count: u64,
    #[prost(uint64, tag = "9")]
    patterns: u64,
    #[prost(message, optional, tag = "10")]
    settings: Option<StoredSettings>,
    #[prost(message, repeated, tag = "11")]
    chunks: Vec<StoredChunk>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredChunk {
    #[prost(uint64, tag = "1")]
    size: u64,
    #[prost(bytes = "vec", tag = "2")]
    sha256: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredRemoval {
    #[prost(string, tag = "1")]
    mark: String,
    #[prost(string, tag = "2")]
    why: String,
}

/// What the manifest says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Manifest {
    pub(super) list: String,
    pub(super) name: String,
    pub(super) revision: u64,
    pub(super) base: Option<Base>,
    pub(super) state: [u8; 32],
    pub(super) produced: DateTime<Utc>,
    pub(super) count: u64,
    pub(super) patterns: u64,
    pub(super) settings: Settings,
    chunks: Vec<(usize, [u8; 32])>,
}

/// What a change goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) revision: u64,
    pub(super) state: [u8; 32],
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// An entry as it is stored.
    Entry(&'a [u8]),
    /// A VRM or pattern is taken off, and why.
    Removal { mark: String, why: String },
}

/// Collects records into chunks.
#[derive(Default)]
pub(super) struct Chunks {
    body: Vec<u8>,
    start: usize,
    chunks: Vec<StoredChunk>,
}

impl Chunks {
    pub(super) fn push(&mut self, record: &Record<'_>) {
        match record {
            Record::Entry(bytes) => self.append(ENTRY, bytes),
            Record::Removal { mark, why } => {
                let removal = StoredRemoval { mark: mark.clone(), why: why.clone() };
                self.append(REMOVAL, &removal.encode_to_vec());
            }
        }
    }

    fn append(&mut self, kind: u8, bytes: &[u8]) {
        encode_varint(bytes.len() as u64 + 1, &mut self.body);
        self.body.push(kind);
        self.body.extend_from_slice(bytes);
        if self.body.len() - self.start >= CHUNK {
            self.close();
        }
    }

    fn close(&mut self) {
        let chunk = &self.body[self.start..];
        if !chunk.is_empty() {
            self.chunks.push(StoredChunk { size: chunk.len() as u64, sha256: Sha256::digest(chunk).to_vec() });
            self.start = self.body.len();
        }
    }

    /// How many bytes of records there are.
    pub(super) fn size(&self) -> usize {
        self.body.len()
    }

    /// The signed bytes of the revision with `head`. `state`: the one of the content, where it is known already.
    pub(super) fn sign(
        mut self,
        head: &ListHead,
        base: Option<Base>,
        state: Option<[u8; 32]>,
        key: &SigningKey,
    ) -> (Vec<u8>, [u8; 32]) {
        self.close();
        let mut manifest = StoredManifest {
            list: head.id.clone(),
            name: head.name.clone(),
            revision: head.revision,
            base: base.map_or(0, |base| base.revision),
            base_state: base.map_or_else(Vec::new, |base| base.state.to_vec()),
            state: Vec::new(),
            produced: head.produced.timestamp(),
            count: head.count,
            patterns: head.patterns,
            settings: Some(StoredSettings::from(&head.settings)),
            chunks: self.chunks,
        };
        let state = state.unwrap_or_else(|| Sha256::digest(manifest.encode_to_vec()).into());
        manifest.state = state.to_vec();
        let manifest = manifest.encode_to_vec();
        let mut bytes = Vec::with_capacity(HEAD + manifest.len() + SIGNATURE + 10 + self.body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        encode_varint(manifest.len() as u64, &mut bytes);
        bytes.extend_from_slice(&manifest);
        bytes.extend_from_slice(&key.sign(&manifest));
        bytes.extend_from_slice(&self.body);
        (bytes, state)
    }
}

/// Why bytes are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// They are not what they claim to be.
    Damaged(String),
    /// Nobody whom this car trusts has signed them.
    Untrusted(String),
}

fn damaged(why: impl Into<String>) -> Refusal {
    Refusal::Damaged(why.into())
}

/// The manifest of a revision, its signature checked, and the bytes of its chunks, which are not checked yet.
pub(super) fn open<'a>(bytes: &'a [u8], trusted: &[VerifyingKey]) -> Result<(Manifest, &'a [u8]), Refusal> {
    if bytes.len() < HEAD || !bytes.starts_with(MAGIC) {
        return Err(damaged("these are not the bytes of a list's revision"));
    }
    let version = u16::from_be_bytes([bytes[MAGIC.len()], bytes[MAGIC.len() + 1]]);
    if version != VERSION {
        return Err(damaged(format!("the revision has format {version}, this program knows {VERSION}")));
    }
    let mut rest = &bytes[HEAD..];
    let length = decode_varint(&mut rest).map_err(|error| damaged(error.to_string()))?;
    let length = usize::try_from(length).ok().filter(|length| *length <= MANIFEST_LIMIT);
    let length = length.filter(|length| *length + SIGNATURE <= rest.len());
    let length = length.ok_or_else(|| damaged("it is cut short in its manifest"))?;
    let (manifest, rest) = rest.split_at(length);
    let (signature, body) = rest.split_at(SIGNATURE);
    if trusted.is_empty() {
        return Err(Refusal::Untrusted("this car has no key of an office to check its signature with".into()));
    }
    if !trusted.iter().any(|key| key.verifies(manifest, signature)) {
        return Err(Refusal::Untrusted("its signature is not that of an office that this car trusts".into()));
    }
    let manifest = StoredManifest::decode(manifest).map_err(|error| damaged(error.to_string()))?;
    let manifest = Manifest::try_from(manifest).map_err(damaged)?;
    let size: usize = manifest.chunks.iter().map(|(size, _)| size).sum();
    if size != body.len() {
        return Err(damaged(format!("it is cut short: {} bytes of {size}", body.len())));
    }
    Ok((manifest, body))
}

impl Manifest {
    /// The records in `body`, each chunk checked before its first record is given; ends with an error where it is damaged.
    pub(super) fn records<'a>(&'a self, mut body: &'a [u8]) -> impl Iterator<Item = Result<Record<'a>, String>> {
        let mut chunks = self.chunks.iter().enumerate();
        let mut chunk: &[u8] = &[];
        std::iter::from_fn(move || {
            if chunk.is_empty() {
                let (number, (size, sha256)) = chunks.next()?;
                (chunk, body) = body.split_at(*size);
                if <[u8; 32]>::from(Sha256::digest(chunk)) != *sha256 {
                    (chunk, chunks) = (&[], [].iter().enumerate());
                    return Some(Err(format!("its chunk {} is damaged: its SHA-256 is another", number + 1)));
                }
            }
            let record = record(&mut chunk);
            if record.is_err() {
                (chunk, chunks) = (&[], [].iter().enumerate());
            }
            Some(record)
        })
    }
}

/// Cuts the next record off `rest`.
fn record<'a>(rest: &mut &'a [u8]) -> Result<Record<'a>, String> {
    let length = decode_varint(rest).map_err(|error| error.to_string())?;
    let length =
        usize::try_from(length).ok().filter(|length| *length <= rest.len()).ok_or("a record runs beyond its chunk")?;
    let (record, after) = rest.split_at(length);
    *rest = after;
    match record {
        [ENTRY, bytes @ ..] => Ok(Record::Entry(bytes)),
        [REMOVAL, bytes @ ..] => {
            let removal = StoredRemoval::decode(bytes).map_err(|error| error.to_string())?;
            Ok(Record::Removal { mark: removal.mark, why: removal.why })
        }
        [kind, ..] => Err(format!("a record of kind {kind}, which this program does not know")),
        [] => Err("an empty record".into()),
    }
}

impl TryFrom<StoredManifest> for Manifest {
    type Error = String;

    fn try_from(stored: StoredManifest) -> Result<Self, String> {
        let hash =
            |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes).map_err(|_| "a hash of its manifest is none".to_owned());
        Ok(Self {
            base: match stored.base {
                0 => None,
                revision => Some(Base { revision, state: hash(stored.base_state)? }),
            },
            state: hash(stored.state)?,
            produced: DateTime::from_timestamp(stored.produced, 0).ok_or("its date is none")?,
            settings: stored.settings.ok_or("it has no settings")?.try_into()?,
            chunks: stored
                .chunks
                .into_iter()
                .map(|chunk| {
                    Ok((
                        usize::try_from(chunk.size)
                            .ok()
                            .filter(|n| *n <= 1 << 40)
                            .ok_or("a chunk of its manifest is too large")?,
                        hash(chunk.sha256)?,
                    ))
                })
                .collect::<Result<_, String>>()?,
            list: stored.list,
            name: stored.name,
            revision: stored.revision,
            count: stored.count,
            patterns: stored.patterns,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::entry::tests::entry;
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn key() -> SigningKey {
        SigningKey::from_bytes(&SigningKey::generate().expect("made")).expect("a key")
    }

    fn head() -> ListHead {
        ListHead {
            id: "pnc".into(),
            name: "PNC".into(),
            revision: 7,
            produced: DateTime::UNIX_EPOCH,
            received: DateTime::UNIX_EPOCH,
            count: 1,
            patterns: 0,
            settings: Settings::default(),
            state: None,
            generation: 0,
        }
    }

    fn revision(key: &SigningKey) -> Vec<u8> {
        let mut chunks = Chunks::default();
        chunks.push(&Record::Entry(&entry("AB12CDE", "stolen").encode()));
        chunks.push(&Record::Removal { mark: "CD34EFG".into(), why: "recovered".into() });
        chunks.sign(&head(), Some(Base { revision: 6, state: [1; 32] }), Some([2; 32]), key).0
    }

    fn whole(bytes: &[u8], trusted: &[VerifyingKey]) -> Result<usize, Refusal> {
        let (manifest, body) = open(bytes, trusted)?;
        manifest.records(body).collect::<Result<Vec<_>, _>>().map(|records| records.len()).map_err(Refusal::Damaged)
    }

    #[test]
    fn a_revision_comes_back_as_it_was() {
        let key = key();
        let bytes = revision(&key);
        let (manifest, body) = open(&bytes, &[key.verifying()]).expect("whole");
        assert_eq!((manifest.list.as_str(), manifest.revision, manifest.state), ("pnc", 7, [2; 32]));
        assert_eq!(manifest.base, Some(Base { revision: 6, state: [1; 32] }));
        let records: Vec<_> = manifest.records(body).collect::<Result<_, _>>().expect("whole");
        assert_eq!(records[0], Record::Entry(&entry("AB12CDE", "stolen").encode()));
        assert_eq!(records[1], Record::Removal { mark: "CD34EFG".into(), why: "recovered".into() });
    }

    #[test]
    fn what_nobody_trusted_has_signed_is_refused() {
        let bytes = revision(&key());
        let said = |trusted: &[VerifyingKey]| match open(&bytes, trusted) {
            Err(Refusal::Untrusted(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(said(&[]).contains("no key") && said(&[key().verifying()]).contains("signature"));
    }

    proptest! {
        #[test]
        fn every_damage_is_noticed(at in 0usize..2000, bit in 0u8..8, cut in 0usize..2000) {
            let key = key();
            let bytes = revision(&key);
            let (at, cut) = (at % bytes.len(), cut % bytes.len());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            prop_assert!(whole(&flipped, &[key.verifying()]).is_err());
            prop_assert!(whole(&bytes[..cut], &[key.verifying()]).is_err());
        }

        #[test]
        fn no_signed_bytes_can_break_it(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let key = key();
            let chunks = vec![StoredChunk { size: body.len() as u64, sha256: Sha256::digest(&body).to_vec() }];
            let (bytes, _) = Chunks { start: body.len(), body, chunks }.sign(&head(), None, None, &key);
            let _ = whole(&bytes, &[key.verifying()]);
        }
    }
}

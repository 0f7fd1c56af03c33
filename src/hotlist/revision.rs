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

use std::io::{self, Read, Seek, Write};
use std::path::Path;

use chrono::{DateTime, Utc};
use prost::Message;
use prost::encoding::{decode_varint, encode_varint};
use sha2::{Digest, Sha256};
use tempfile::{SpooledTempFile, spooled_tempfile_in};

use super::head::{ListHead, Settings, StoredSettings};
use super::signing::{SIGNATURE, SigningKey, VerifyingKey};

const MAGIC: &[u8; 6] = b"ORLIST";
const VERSION: u16 = 2;
const HEAD: usize = MAGIC.len() + 2;
/// Bytes of a chunk, about.
const CHUNK: usize = 1 << 20;
/// The largest manifest, and the largest chunk, that is read.
const MANIFEST_LIMIT: u64 = 4 << 20;
const CHUNK_LIMIT: u64 = 16 << 20;

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

/// What is taken off, and why: in signed changes, and in what crews make known.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredRemoval {
    #[prost(string, tag = "1")]
    pub(super) mark: String,
    #[prost(string, tag = "2")]
    pub(super) why: String,
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

/// Collects records into chunks, in memory as long as there are few, then in a file.
pub(super) struct Chunks {
    written: SpooledTempFile,
    /// The chunk that is being filled.
    open: Vec<u8>,
    size: u64,
    chunks: Vec<StoredChunk>,
}

/// Bytes of chunks that are held in memory.
const HELD: usize = 4 << 20;

impl Chunks {
    /// None yet; many are put into a file without a name in `folder`.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { written: spooled_tempfile_in(HELD, folder), open: Vec::new(), size: 0, chunks: Vec::new() }
    }

    pub(super) fn push(&mut self, record: &Record<'_>) -> io::Result<()> {
        match record {
            Record::Entry(bytes) => self.append(ENTRY, bytes),
            Record::Removal { mark, why } => {
                let removal = StoredRemoval { mark: mark.clone(), why: why.clone() };
                self.append(REMOVAL, &removal.encode_to_vec())
            }
        }
    }

    fn append(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let before = self.open.len();
        encode_varint(bytes.len() as u64 + 1, &mut self.open);
        self.open.push(kind);
        self.open.extend_from_slice(bytes);
        self.size += (self.open.len() - before) as u64;
        if self.open.len() >= CHUNK { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> io::Result<()> {
        if !self.open.is_empty() {
            let sha256 = Sha256::digest(&self.open).to_vec();
            self.chunks.push(StoredChunk { size: self.open.len() as u64, sha256 });
            self.written.write_all(&self.open)?;
            self.open.clear();
        }
        Ok(())
    }

    /// How many bytes of records there are.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The signed revision with `head`. `state`: the one of the content, where it is known already.
    pub(super) fn sign(
        mut self,
        head: &ListHead,
        base: Option<Base>,
        state: Option<[u8; 32]>,
        key: &SigningKey,
    ) -> io::Result<(Signed, [u8; 32])> {
        self.close()?;
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
        let mut head = Vec::with_capacity(HEAD + manifest.len() + SIGNATURE + 10);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_be_bytes());
        encode_varint(manifest.len() as u64, &mut head);
        head.extend_from_slice(&manifest);
        head.extend_from_slice(&key.sign(&manifest));
        Ok((Signed { head, chunks: self.written, size: self.size }, state))
    }
}

/// A signed revision, ready to be handed down. A large one is in a file that has no name and goes with this.
#[derive(Debug)]
pub struct Signed {
    head: Vec<u8>,
    chunks: SpooledTempFile,
    size: u64,
}

impl Signed {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.head.len() as u64 + self.size
    }

    /// Its bytes from the first on.
    ///
    /// # Errors
    /// The file that they are in cannot be read.
    pub fn reader(&mut self) -> io::Result<impl Read + '_> {
        self.chunks.rewind()?;
        Ok(self.head.as_slice().chain(&mut self.chunks))
    }
}

/// Why a revision is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Its bytes are not what they claim to be.
    Damaged(String),
    /// Nobody whom this car trusts has signed them.
    Untrusted(String),
    /// They cannot be read.
    Unreadable(io::Error),
}

fn damaged(why: impl Into<String>) -> Refusal {
    Refusal::Damaged(why.into())
}

/// Reads `length` bytes; fewer are damage.
fn exactly(reader: &mut impl Read, length: u64, part: &str) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut bytes).map_err(Refusal::Unreadable)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(damaged(format!("it is cut short in its {part}"))) }
}

/// The manifest of a revision, its signature checked, and its chunks, which are read and checked one by one.
pub(super) fn open<R: Read>(mut reader: R, trusted: &[VerifyingKey]) -> Result<(Manifest, Body<R>), Refusal> {
    let (manifest, signature) = front(&mut reader)?;
    if trusted.is_empty() {
        return Err(Refusal::Untrusted("this car has no key of an office to check its signature with".into()));
    }
    if !trusted.iter().any(|key| key.verifies(&manifest, &signature)) {
        return Err(Refusal::Untrusted("its signature is not that of an office that this car trusts".into()));
    }
    behind(&manifest, reader)
}

/// The bytes of the manifest, and its signature, unchecked.
fn front(reader: &mut impl Read) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    let head = exactly(reader, HEAD as u64, "head").ok().filter(|head| head.starts_with(MAGIC));
    let head = head.ok_or_else(|| damaged("these are not the bytes of a list's revision"))?;
    let version = u16::from_be_bytes([head[MAGIC.len()], head[MAGIC.len() + 1]]);
    if version != VERSION {
        return Err(damaged(format!("the revision has format {version}, this program knows {VERSION}")));
    }
    let mut length = Vec::new();
    while length.last().is_none_or(|byte| byte & 0x80 != 0) {
        length.extend(exactly(reader, 1, "head")?);
        if length.len() > 5 {
            return Err(damaged("its manifest has no length"));
        }
    }
    let length = decode_varint(&mut &length[..]).map_err(|error| damaged(error.to_string()))?;
    if length > MANIFEST_LIMIT {
        return Err(damaged(format!("its manifest has {length} bytes, more than {MANIFEST_LIMIT}")));
    }
    Ok((exactly(reader, length, "manifest")?, exactly(reader, SIGNATURE as u64, "signature")?))
}

/// What the manifest says, and what comes behind it.
fn behind<R: Read>(manifest: &[u8], reader: R) -> Result<(Manifest, Body<R>), Refusal> {
    let mut manifest = StoredManifest::decode(manifest).map_err(|error| damaged(error.to_string()))?;
    let chunks = std::mem::take(&mut manifest.chunks);
    let manifest = Manifest::try_from(manifest).map_err(damaged)?;
    Ok((manifest, Body { reader, chunks: chunks.into_iter(), number: 0, chunk: Vec::new(), at: 0 }))
}

/// Decodes a revision as if its signature and the sums of its chunks were right; whether it is one.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn unsigned(mut bytes: &[u8]) -> bool {
    let Ok((_, mut body)) = front(&mut bytes).and_then(|(manifest, _)| behind(&manifest, bytes)) else { return false };
    let mut rest = body.reader;
    while !rest.is_empty() {
        match record(&mut rest) {
            Ok(Record::Entry(entry)) => _ = super::Entry::decode(entry),
            Ok(Record::Removal { mark, .. }) => _ = super::Mark::parse(&mark),
            Err(_) => break,
        }
    }
    loop {
        match body.next() {
            Ok(Some(_)) => {}
            whole => return whole.is_ok(),
        }
    }
}

/// The chunks of a revision as they are read: no more than one of them is held.
pub(super) struct Body<R> {
    reader: R,
    chunks: std::vec::IntoIter<StoredChunk>,
    /// Of the chunk that is held, from 1.
    number: usize,
    chunk: Vec<u8>,
    /// Where its next record begins.
    at: usize,
}

impl<R: Read> Body<R> {
    /// The next record, each chunk checked before its first is given; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, Refusal> {
        while self.at == self.chunk.len() {
            let Some(StoredChunk { size, sha256 }) = self.chunks.next() else {
                return match exactly(&mut self.reader, 1, "end") {
                    Ok(_) => Err(damaged("it goes on behind its last chunk")),
                    Err(Refusal::Damaged(_)) => Ok(None),
                    Err(other) => Err(other),
                };
            };
            self.number += 1;
            if size > CHUNK_LIMIT {
                return Err(damaged(format!("its chunk {} has {size} bytes, more than {CHUNK_LIMIT}", self.number)));
            }
            self.at = 0;
            self.chunk = exactly(&mut self.reader, size, &format!("chunk {}", self.number))?;
            if Sha256::digest(&self.chunk)[..] != sha256[..] {
                return Err(damaged(format!("its chunk {} is damaged: its SHA-256 is another", self.number)));
            }
        }
        let mut rest = &self.chunk[self.at..];
        let record = record(&mut rest).map_err(damaged)?;
        self.at = self.chunk.len() - rest.len();
        Ok(Some(record))
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

    pub(crate) fn bytes(mut signed: Signed) -> Vec<u8> {
        let size = signed.size();
        let mut bytes = Vec::new();
        signed.reader().expect("readable").read_to_end(&mut bytes).expect("readable");
        assert_eq!(bytes.len() as u64, size);
        bytes
    }

    pub(crate) fn revision(key: &SigningKey) -> Vec<u8> {
        let mut chunks = Chunks::in_folder(Path::new("."));
        chunks.push(&Record::Entry(&entry("AB12CDE", "stolen").encode())).expect("taken");
        chunks.push(&Record::Removal { mark: "CD34EFG".into(), why: "recovered".into() }).expect("taken");
        let base = Base { revision: 6, state: [1; 32] };
        bytes(chunks.sign(&head(), Some(base), Some([2; 32]), key).expect("signed").0)
    }

    fn whole(bytes: &[u8], trusted: &[VerifyingKey]) -> Result<usize, Refusal> {
        let (_, mut body) = open(bytes, trusted)?;
        let mut records = 0;
        while body.next()?.is_some() {
            records += 1;
        }
        Ok(records)
    }

    #[test]
    fn a_revision_comes_back_as_it_was() {
        let key = key();
        let bytes = revision(&key);
        let (manifest, mut body) = open(&bytes[..], &[key.verifying()]).expect("whole");
        assert_eq!((manifest.list.as_str(), manifest.revision, manifest.state), ("pnc", 7, [2; 32]));
        assert_eq!(manifest.base, Some(Base { revision: 6, state: [1; 32] }));
        let first = entry("AB12CDE", "stolen").encode();
        assert_eq!(body.next().expect("whole"), Some(Record::Entry(&first)));
        let second = Record::Removal { mark: "CD34EFG".into(), why: "recovered".into() };
        assert_eq!(body.next().expect("whole"), Some(second));
        assert_eq!(body.next().expect("whole"), None);
        let longer = [&bytes[..], b"x"].concat();
        assert!(matches!(whole(&longer, &[key.verifying()]), Err(Refusal::Damaged(why)) if why.contains("goes on")));
    }

    #[test]
    fn many_records_are_in_many_chunks_and_come_back_in_order() {
        let (key, folder) = (key(), tempfile::tempdir().expect("a folder"));
        let mut chunks = Chunks::in_folder(folder.path());
        let text = |n: u32| format!("{n:06}{}", "x".repeat(2000));
        let count = 4000;
        for n in 0..count {
            chunks.push(&Record::Entry(text(n).as_bytes())).expect("taken");
        }
        assert!(chunks.written.is_rolled(), "more than is held in memory");
        let mut signed = chunks.sign(&head(), None, None, &key).expect("signed").0;
        // More than once, as an office may.
        for _ in 0..2 {
            let (_, mut body) = open(signed.reader().expect("readable"), &[key.verifying()]).expect("whole");
            for n in 0..count {
                assert_eq!(body.next().expect("whole"), Some(Record::Entry(text(n).as_bytes())));
            }
            assert!(body.next().expect("whole").is_none() && body.number > 5);
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
    }

    #[test]
    fn what_nobody_trusted_has_signed_is_refused() {
        let bytes = revision(&key());
        let said = |trusted: &[VerifyingKey]| match open(&bytes[..], trusted) {
            Err(Refusal::Untrusted(why)) => why,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it is taken"),
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
            let size = body.len() as u64;
            let chunks = Chunks { open: body, size, ..Chunks::in_folder(Path::new(".")) };
            let _ = whole(&bytes(chunks.sign(&head(), None, None, &key).expect("signed").0), &[key.verifying()]);
        }
    }
}

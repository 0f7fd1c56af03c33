//! The audit chain: who did what with the journal, and why. Nothing is ever changed in it.
//!
//! Each record is hashed over the one before, and sealed like all else that names people: the hash is taken over the sealed
//! bytes, so that the chain holds when the keys of old records are destroyed. With every commit that adds to it the unit
//! signs its head, and seals the head's number, so that a chain whose end was cut off is found out.

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use ring::hmac;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use super::archive::{Archive, META, Trouble, get};
use super::keyfile::Use;
use super::record::{StoredDeed, decode, encode};
use super::vault::{Row, Vault, day_of};
use crate::anchor::{Head, statement};
use crate::fault::Result;
use crate::seal;
use crate::tag::When;

/// Number, from 1: the record's hash, then its sealed bytes.
const DEEDS: TableDefinition<u64, &[u8]> = TableDefinition::new("deeds");
/// Number: the unit's signature of the chain up to there.
const SIGNATURES: TableDefinition<u64, &[u8]> = TableDefinition::new("signatures");
/// What the chain is kept with: see [`Part`].
const CHAIN: TableDefinition<u8, &[u8]> = TableDefinition::new("chain");

/// Rows of [`CHAIN`].
#[derive(Clone, Copy)]
enum Part {
    /// The seed of the key that the unit signs with, sealed.
    Seed = 1,
    /// The key that plates are hashed with, sealed.
    Names = 2,
    /// The number of the last record and its hash, sealed.
    Head = 3,
    /// The key that checks the unit's signatures.
    Signer = 4,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The unit was started.
    Started,
    /// The unit's settings were read, as they are from then on.
    Set,
    /// Reads were looked through for a plate.
    Searched,
    /// An entry was made.
    Entered,
    /// An alert was judged.
    Judged,
    /// The journal, or a part of it, was written out.
    Exported,
    /// Records were taken away.
    Purged,
    /// The journal was locked otherwise.
    Locked,
    /// Somebody signed on.
    SignedOn,
    /// Somebody signed off.
    SignedOff,
    /// Somebody was refused: by a wrong PIN, or for want of a right.
    Refused,
}

impl Act {
    /// The word in the chain.
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Set => "set",
            Self::Searched => "searched",
            Self::Entered => "entered",
            Self::Judged => "judged",
            Self::Exported => "exported",
            Self::Purged => "purged",
            Self::Locked => "locked",
            Self::SignedOn => "signed on",
            Self::SignedOff => "signed off",
            Self::Refused => "refused",
        }
    }
}

/// One thing that was done.
#[derive(Debug, Clone)]
pub struct Deed {
    /// What.
    pub act: Act,
    /// By whom: a collar number, or "the unit".
    pub who: String,
    /// Why, in their own words.
    pub reason: String,
    /// The number of the case that it was for.
    pub case: Option<String>,
    /// The plate that it was about. Only its keyed hash is kept.
    pub plate: Option<String>,
    /// What more there is to say; no plate.
    pub detail: String,
    /// When.
    pub when: When,
}

impl Deed {
    /// Something that the unit did by itself.
    pub fn of_the_unit(act: Act, reason: &str, detail: String, when: When) -> Self {
        Self { act, who: "the unit".into(), reason: reason.into(), case: None, plate: None, detail, when }
    }
}

/// Looking up one plate so often, without a case number and within [`WITHIN_US`], raises a flag.
const OFTEN: usize = 3;
/// Thirty days, microseconds.
const WITHIN_US: i64 = 30 * 86_400 * 1_000_000;

/// A record of the chain, for people.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Noted {
    /// Its number, from 1.
    pub number: u64,
    /// When, RFC 3339; empty once the record's key is destroyed, as are the others.
    pub utc: String,
    /// Whether satellites told that time.
    pub utc_trusted: bool,
    /// See [`Act`].
    pub act: String,
    /// By whom.
    pub who: String,
    /// Why.
    pub reason: String,
    /// For which case.
    pub case: String,
    /// What more there is to say.
    pub detail: String,
    /// The same person has looked up the same plate again and again without a case number.
    pub flagged: bool,
}

/// The chain without what its records say: what the office compares with the heads that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Tells the journal's keys from every other's.
    pub vault: u64,
    /// The key that the unit signs with; empty while there is no record.
    pub signer: Vec<u8>,
    /// The hash of each record, from number 1 on.
    pub hashes: Vec<[u8; 32]>,
}

/// How the chain is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sound {
    /// How many records it has.
    pub(super) deeds: u64,
    /// Of these: flagged.
    pub(super) flagged: u64,
}

fn first_hash(vault: u64) -> [u8; 32] {
    Sha256::new().chain_update(b"outrider audit chain").chain_update(vault.to_be_bytes()).finalize().into()
}

fn hash(before: &[u8; 32], number: u64, sealed: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(before).chain_update(number.to_be_bytes()).chain_update(sealed).finalize().into()
}

/// A row of [`DEEDS`] in its two parts.
fn parts(value: &[u8]) -> Option<(&[u8; 32], &[u8])> {
    value.split_first_chunk()
}

/// Adds `deeds` to the chain in `transaction`, and signs it.
pub(super) fn append(transaction: &WriteTransaction, vault: &Vault, deeds: Vec<StoredDeed>) -> Result<(), Trouble> {
    if deeds.is_empty() {
        return Ok(());
    }
    let added = deeds.len() as u64;
    let mut chain = transaction.open_table(CHAIN)?;
    let mut table = transaction.open_table(DEEDS)?;
    let mut secret = |part: Part| -> Result<[u8; 32], Trouble> {
        let row = Row::Chain(part as u8);
        if let Some(sealed) = chain.get(part as u8)? {
            let plain = vault.open_value(row, sealed.value()).map_err(Trouble::Damaged)?;
            return plain
                .and_then(|plain| plain.try_into().ok())
                .ok_or_else(|| Trouble::Damaged(format!("{row} makes no sense")));
        }
        let made = seal::random().map_err(Trouble::Other)?;
        let sealed = vault.seal(Use::Chain, 0, row, &made).map_err(Trouble::Other)?;
        chain.insert(part as u8, &sealed[..])?;
        Ok(made)
    };
    let (seed, names) = (secret(Part::Seed)?, secret(Part::Names)?);
    let signer = signer(&seed)?;
    let (mut number, mut last) = match table.last()? {
        None => (0, first_hash(vault.id())),
        Some((number, value)) => {
            let (hash, _) = parts(value.value()).ok_or_else(|| wrong(number.value(), "is cut short"))?;
            (number.value(), *hash)
        }
    };
    for mut deed in deeds {
        number += 1;
        if !deed.subject.is_empty() {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &names);
            deed.subject = hmac::sign(&key, &deed.subject).as_ref().to_vec();
            deed.flagged = deed.case.is_empty() && often(&table, vault, &deed)?;
        }
        let row = Row::Deed(number);
        let sealed = vault.seal(Use::Deeds, day_of(deed.utc_us), row, &encode(&deed)).map_err(Trouble::Other)?;
        last = hash(&last, number, &sealed);
        table.insert(number, &[&last[..], &sealed].concat()[..])?;
    }
    let head = [&number.to_be_bytes()[..], &last].concat();
    let sealed = vault.seal(Use::Chain, 0, Row::Chain(Part::Head as u8), &head).map_err(Trouble::Other)?;
    chain.insert(Part::Head as u8, &sealed[..])?;
    chain.insert(Part::Signer as u8, signer.public_key().as_ref())?;
    let signature = signer.sign(&statement(vault.id(), number, &last));
    transaction.open_table(SIGNATURES)?.insert(number, signature.as_ref())?;
    let mut meta = transaction.open_table(META)?;
    let before = get(&meta, "deeds")?;
    meta.insert("deeds", before + added)?;
    Ok(())
}

fn signer(seed: &[u8; 32]) -> Result<Ed25519KeyPair, Trouble> {
    Ed25519KeyPair::from_seed_unchecked(seed)
        .map_err(|_| Trouble::Damaged("the unit's signing key makes no sense".into()))
}

/// Whether `deed` is one search too many.
fn often(table: &impl ReadableTable<u64, &'static [u8]>, vault: &Vault, deed: &StoredDeed) -> Result<bool, Trouble> {
    let mut before = 1;
    for row in table.iter()?.rev() {
        let (number, value) = row?;
        let Some(earlier) = opened(vault, number.value(), value.value())? else { continue };
        if deed.utc_us.saturating_sub(earlier.utc_us) > WITHIN_US {
            break;
        }
        let same = earlier.subject == deed.subject && earlier.who == deed.who && earlier.act == deed.act;
        before += usize::from(same && earlier.case.is_empty());
        if before >= OFTEN {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A record's content; `None` once its key is destroyed.
fn opened(vault: &Vault, number: u64, value: &[u8]) -> Result<Option<StoredDeed>, Trouble> {
    let (_, sealed) = parts(value).ok_or_else(|| wrong(number, "is cut short"))?;
    let plain = vault.open_value(Row::Deed(number), sealed).map_err(Trouble::Damaged)?;
    plain.map(|plain| decode(&plain).map_err(|why| wrong(number, &why))).transpose()
}

fn wrong(number: u64, why: &str) -> Trouble {
    Trouble::Damaged(format!("record {number} of the audit chain {why}"))
}

/// Follows the whole chain; `each` hears the hash of each record in turn.
pub(super) fn verify(
    transaction: &ReadTransaction,
    vault: &Vault,
    mut each: impl FnMut(&[u8; 32]),
) -> Result<Sound, Trouble> {
    let counted = get(&transaction.open_table(META)?, "deeds")?;
    let (table, chain) = (transaction.open_table(DEEDS)?, transaction.open_table(CHAIN)?);
    let signatures = transaction.open_table(SIGNATURES)?;
    let signer = chain.get(Part::Signer as u8)?.map(|key| key.value().to_vec());
    if let Some(seed) = chain.get(Part::Seed as u8)? {
        let seed = vault.open_value(Row::Chain(Part::Seed as u8), seed.value()).map_err(Trouble::Damaged)?;
        let seed: [u8; 32] = seed
            .unwrap_or_default()
            .try_into()
            .map_err(|_| Trouble::Damaged("the unit's signing key is gone".into()))?;
        if Some(self::signer(&seed)?.public_key().as_ref()) != signer.as_deref() {
            return Err(Trouble::Damaged("the key that checks the audit chain's signatures is not the unit's".into()));
        }
    }
    let (mut number, mut last, mut signed, mut flagged) = (0, first_hash(vault.id()), 0, 0);
    for row in table.iter()? {
        let (at, value) = row?;
        number += 1;
        if at.value() != number {
            return Err(wrong(number, "is missing"));
        }
        let (said, sealed) = parts(value.value()).ok_or_else(|| wrong(number, "is cut short"))?;
        last = hash(&last, number, sealed);
        if *said != last {
            return Err(wrong(number, "was changed, or does not follow the one before"));
        }
        each(&last);
        flagged += u64::from(opened(vault, number, value.value())?.is_some_and(|deed| deed.flagged));
        if let Some(signature) = signatures.get(number)? {
            let key = UnparsedPublicKey::new(&ED25519, signer.as_deref().unwrap_or_default());
            key.verify(&statement(vault.id(), number, &last), signature.value())
                .map_err(|_| wrong(number, "has a signature that is not the unit's"))?;
            signed = number;
        }
    }
    let head = match chain.get(Part::Head as u8)? {
        None => (0, first_hash(vault.id())),
        Some(sealed) => {
            let row = Row::Chain(Part::Head as u8);
            let head = vault.open_value(row, sealed.value()).map_err(Trouble::Damaged)?.unwrap_or_default();
            match head.split_first_chunk::<8>().map(|(n, hash)| (u64::from_be_bytes(*n), hash.try_into())) {
                Some((n, Ok(hash))) => (n, hash),
                _ => return Err(Trouble::Damaged("the head of the audit chain makes no sense".into())),
            }
        }
    };
    if number < head.0.max(counted) {
        return Err(wrong(number + 1, &format!("is missing: the chain had {}", head.0.max(counted))));
    }
    if head != (number, last) || signed != number {
        return Err(wrong(head.0.min(signed) + 1, "was added by somebody else"));
    }
    Ok(Sound { deeds: number, flagged })
}

impl Archive {
    /// Adds to the audit chain. Gives whether the same person has looked up the same plate again and again without a case
    /// number.
    ///
    /// # Errors
    /// The disk fails; nothing is noted then, and what was to be done should not be.
    pub fn note(&self, deed: Deed) -> Result<bool> {
        self.write("cannot add to the audit chain", |transaction| {
            append(transaction, &self.vault, vec![StoredDeed::of(deed, 0)])?;
            let table = transaction.open_table(DEEDS)?;
            let Some((number, value)) = table.last()? else { return Ok(false) };
            Ok(opened(&self.vault, number.value(), value.value())?.is_some_and(|deed| deed.flagged))
        })
    }

    /// The chain's head as the unit signed it; `None` while there is no record.
    ///
    /// # Errors
    /// The disk fails, or the chain is damaged.
    pub fn head(&self) -> Result<Option<Head>> {
        self.read("cannot read the audit chain", |transaction| {
            let (deeds, chain) = (transaction.open_table(DEEDS)?, transaction.open_table(CHAIN)?);
            let Some((number, value)) = deeds.last()? else { return Ok(None) };
            let number = number.value();
            let (hash, _) = parts(value.value()).ok_or_else(|| wrong(number, "is cut short"))?;
            let bytes = |row: Option<redb::AccessGuard<&[u8]>>| row.map(|row| row.value().to_vec()).unwrap_or_default();
            let unsigned = |_| wrong(number, "is not signed");
            let signature = bytes(transaction.open_table(SIGNATURES)?.get(number)?).try_into().map_err(unsigned)?;
            let signer = bytes(chain.get(Part::Signer as u8)?).try_into().map_err(unsigned)?;
            Ok(Some(Head { vault: self.vault.id(), number, hash: *hash, signer, signature }))
        })
    }

    /// The chain without what its records say, once it was followed and is whole.
    ///
    /// # Errors
    /// The disk fails, or the chain is not as it was written.
    pub fn chain(&self) -> Result<Chain> {
        self.read("the journal is not as it was written", |transaction| {
            let mut hashes = Vec::new();
            verify(transaction, &self.vault, |hash| hashes.push(*hash))?;
            let signer = transaction.open_table(CHAIN)?.get(Part::Signer as u8)?.map(|key| key.value().to_vec());
            Ok(Chain { vault: self.vault.id(), signer: signer.unwrap_or_default(), hashes })
        })
    }

    /// The audit chain, oldest first. Says nothing of whether it is whole: see [`Self::verify`].
    ///
    /// # Errors
    /// The disk fails, or a record cannot be read.
    pub fn deeds(&self) -> Result<Vec<Noted>> {
        self.read("cannot read the audit chain", |transaction| {
            let mut noted = Vec::new();
            for row in transaction.open_table(DEEDS)?.iter()? {
                let (number, value) = row?;
                let number = number.value();
                let deed = opened(&self.vault, number, value.value())?;
                let utc = deed.as_ref().map_or_else(String::new, |deed| super::export::time(deed.utc_us));
                let deed = deed.unwrap_or_default();
                noted.push(Noted {
                    number,
                    utc,
                    utc_trusted: deed.utc_trusted,
                    act: deed.act,
                    who: deed.who,
                    reason: deed.reason,
                    case: deed.case,
                    detail: deed.detail,
                    flagged: deed.flagged,
                });
            }
            Ok(noted)
        })
    }

    /// The key that checks this unit's signatures, as hexadecimal digits; empty before anything was noted.
    ///
    /// # Errors
    /// The disk fails.
    pub fn signer(&self) -> Result<String> {
        self.read("cannot read the unit's key", |transaction| {
            let key = transaction.open_table(CHAIN)?.get(Part::Signer as u8)?;
            Ok(key.map_or_else(String::new, |key| hex::encode(key.value())))
        })
    }

    /// Signs `message` with the unit's key, which is there once anything was noted.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        self.read("cannot sign", |transaction| {
            let sealed = transaction.open_table(CHAIN)?.get(Part::Seed as u8)?;
            let row = Row::Chain(Part::Seed as u8);
            let seed = sealed.map(|sealed| self.vault.open_value(row, sealed.value())).transpose();
            let seed: Option<[u8; 32]> =
                seed.map_err(Trouble::Damaged)?.flatten().and_then(|seed| seed.try_into().ok());
            let seed = seed.ok_or_else(|| Trouble::Damaged("the unit's signing key is missing".into()))?;
            Ok(signer(&seed)?.sign(message).as_ref().to_vec())
        })
    }
}

/// Makes the chain's tables.
pub(super) fn prepare(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(DEEDS)?;
    transaction.open_table(SIGNATURES)?;
    transaction.open_table(CHAIN)?;
    Ok(())
}

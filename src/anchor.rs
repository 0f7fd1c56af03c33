//! What anchors a car's audit chain at the office: the chain's head, signed by the unit. Both sides know these bytes.
//!
//! Whoever has a journal and its key can make a whole new chain, or put an earlier copy back. They cannot take back the heads
//! that have left the car.

use prost::Message;
use ring::signature::{ED25519, UnparsedPublicKey};

/// The last record of a chain at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Tells the journal's keys from every other's; a chain belongs to them for good.
    pub vault: u64,
    /// The record's number, from 1.
    pub number: u64,
    /// Its hash, which holds all records before.
    pub hash: [u8; 32],
    /// The key that the unit signs with.
    pub signer: [u8; 32],
    /// The unit's signature of the three first.
    pub signature: [u8; 64],
}

const VERSION: u8 = 1;

#[derive(Clone, PartialEq, Message)]
struct StoredHead {
    #[prost(fixed64, tag = "1")]
    vault: u64,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(bytes = "vec", tag = "3")]
    hash: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    signer: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    signature: Vec<u8>,
}

/// What a unit signs of record `number` of the chain of `vault`.
pub fn statement(vault: u64, number: u64, hash: &[u8; 32]) -> Vec<u8> {
    [b"outrider audit head", &vault.to_be_bytes()[..], &number.to_be_bytes(), hash].concat()
}

impl Head {
    /// Whether the signature is by the key that the head names.
    pub fn is_signed(&self) -> bool {
        let signed = statement(self.vault, self.number, &self.hash);
        UnparsedPublicKey::new(&ED25519, self.signer).verify(&signed, &self.signature).is_ok()
    }

    /// The head as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let stored = StoredHead {
            vault: self.vault,
            number: self.number,
            hash: self.hash.to_vec(),
            signer: self.signer.to_vec(),
            signature: self.signature.to_vec(),
        };
        let mut bytes = vec![VERSION];
        stored.encode_raw(&mut bytes);
        bytes
    }

    /// The head in bytes that [`Self::encode`] gave.
    ///
    /// # Errors
    /// Why there is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let [VERSION, rest @ ..] = bytes else { return Err("it is of another version".into()) };
        let stored = StoredHead::decode(rest).map_err(|error| error.to_string())?;
        let short = |_| "a part of it is too short or too long".to_owned();
        Ok(Self {
            vault: stored.vault,
            number: stored.number,
            hash: stored.hash.try_into().map_err(short)?,
            signer: stored.signer.try_into().map_err(short)?,
            signature: stored.signature.try_into().map_err(short)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    #[test]
    fn a_head_comes_back_as_it_was_and_only_the_unit_signs_it() {
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key");
        let signer = key.public_key().as_ref().try_into().expect("a key's length");
        let signature = key.sign(&statement(5, 9, &[3; 32])).as_ref().try_into().expect("a signature's length");
        let head = Head { vault: 5, number: 9, hash: [3; 32], signer, signature };
        assert_eq!(Head::decode(&head.encode()), Ok(head.clone()));
        assert!(head.is_signed());
        assert!(!Head { number: 8, ..head.clone() }.is_signed() && !Head { vault: 6, ..head.clone() }.is_signed());
        assert!(!Head { signer: [1; 32], ..head }.is_signed());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_head_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Head::decode(&bytes);
            let _ = Head::decode(&[&[VERSION], &bytes[..]].concat());
        }
    }
}

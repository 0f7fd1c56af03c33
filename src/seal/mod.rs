//! Files whose every block is sealed: what lies below a database that names vehicles, and below what is put together beside it.
//!
//! The journal seals values, since its rows have numbers for keys. The hotlist's rows are ordered by VRM, so that the whole
//! file has to be sealed: [`Sealed`] keeps each block of 4096 bytes under AES-256-GCM, and redb works on it as on any
//! storage. [`Scratch`] is a file without a name under a key that is nowhere but in memory. See docs/design/journal.md.

mod backend;
mod file;
mod scratch;
mod wipe;

#[cfg(test)]
pub(crate) mod disk;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;

use std::io;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{self, KeyType};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

pub use backend::Sealed;
pub use file::{database, finish, is_sealed, plain_of, sealed_of, take_place};
pub use scratch::{Scratch, ScratchReader};
pub use wipe::{overwrite, wipe};

use crate::fault::{Fault, Kind, Result};

/// How many bytes are sealed together: a page of redb.
const BLOCK: usize = 4096;
const TAG: usize = 16;

/// A key of 256 bits that is overwritten when it is dropped.
pub type Secret = Zeroizing<[u8; 32]>;

/// What sealed files are opened with. Each file has a key of its own, made of this one and of bytes that were drawn for it.
#[derive(Clone)]
pub struct SealKey(Secret);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey")
    }
}

impl SealKey {
    /// Takes `secret` for a key.
    pub fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// A key that nobody has and that is kept nowhere: of a file that does not outlive the process.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn passing() -> Result<Self> {
        Ok(Self(Zeroizing::new(random()?)))
    }

    /// The key of the file that has this salt.
    fn of_file(&self, salt: &[u8; 32]) -> LessSafeKey {
        aead(&derived(&*self.0, salt, b"outrider sealed file"))
    }
}

/// A key made of another one, for one purpose: HKDF with SHA-256.
pub fn derived(secret: &[u8], salt: &[u8], purpose: &[u8]) -> Secret {
    struct Length;
    impl KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let mut out = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[purpose], Length)
        .and_then(|made| made.fill(&mut out[..]))
        .expect("SHA-256 gives up to 8160 bytes");
    out
}

/// Bytes that nobody can guess.
///
/// # Errors
/// The operating system has no randomness to give.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    drawn().map_err(|error| Fault::new(Kind::Unavailable, error.to_string()))
}

fn drawn<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let drawn = SystemRandom::new().fill(&mut bytes);
    drawn.map(|()| bytes).map_err(|_| io::Error::other("the operating system gives no random bytes"))
}

fn aead(secret: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, secret).expect("32 bytes are a key"))
}

/// What a block was sealed with: nonce, then tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seal([u8; Self::LENGTH]);

impl Seal {
    const LENGTH: usize = NONCE_LEN + TAG;
    /// Of a block that was never written.
    const NONE: Self = Self([0; Self::LENGTH]);

    fn nonce(&self) -> Nonce {
        Nonce::assume_unique_for_key(self.0[..NONCE_LEN].try_into().expect("as long as a nonce"))
    }

    /// Seals `block`, bound to `place`. The nonce is drawn at random: a file counts how often that was done, and is written
    /// anew under another key long before two are likely to meet.
    fn close(key: &LessSafeKey, place: &[u8], block: &mut [u8]) -> io::Result<Self> {
        let mut seal = Self::NONE;
        seal.0[..NONCE_LEN].copy_from_slice(&drawn::<NONCE_LEN>()?);
        let tag = key
            .seal_in_place_separate_tag(seal.nonce(), Aad::from(place), block)
            .map_err(|_| io::Error::other("a block could not be sealed"))?;
        seal.0[NONCE_LEN..].copy_from_slice(tag.as_ref());
        Ok(seal)
    }

    /// Opens `block`; false if it is not what was sealed there.
    fn open(&self, key: &LessSafeKey, place: &[u8], block: &mut [u8]) -> bool {
        let tag: [u8; TAG] = self.0[NONCE_LEN..].try_into().expect("as long as a tag");
        key.open_in_place_separate_tag(self.nonce(), Aad::from(place), tag.into(), block, 0..).is_ok()
    }
}

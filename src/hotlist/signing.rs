//! Who signs lists, and whose signature a car believes.

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::fault::{Fault, Kind, Result};

/// Bytes of a signature.
pub(super) const SIGNATURE: usize = 64;
/// What is signed begins with this, so that no other use of the key makes a signature that counts here.
const CONTEXT: &[u8] = b"outrider list manifest\0";
/// The same for the roll of people, which the office hands down beside its lists.
const ROLL_CONTEXT: &[u8] = b"outrider roll of people\0";
/// The same for the verdicts of crews.
const VERDICTS_CONTEXT: &[u8] = b"outrider verdicts\0";
/// The same for settings.
const SETTINGS_CONTEXT: &[u8] = b"outrider settings\0";

/// The office's key: signs revisions of lists.
pub struct SigningKey(Ed25519KeyPair);

/// Whose signature is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey([u8; 32]);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Makes a new key; gives the bytes to keep it as (PKCS #8), which are a secret.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate() -> Result<Vec<u8>> {
        Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map(|bytes| bytes.as_ref().to_vec())
            .map_err(|_| Fault::new(Kind::Internal, "cannot make a key: the system gives no randomness"))
    }

    /// The key in bytes that [`Self::generate`] gave.
    ///
    /// # Errors
    /// The bytes are damaged or another sort of key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Ed25519KeyPair::from_pkcs8(bytes)
            .map(Self)
            .map_err(|error| Fault::new(Kind::Damaged, "not a key that signs lists").because(error.to_string()))
    }

    /// The key that checks what this one signs.
    pub fn verifying(&self) -> VerifyingKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        VerifyingKey(bytes)
    }

    /// The roll of people behind its signature, as it is handed down.
    pub fn sign_roll(&self, roll: &[u8]) -> Vec<u8> {
        self.sign_as(ROLL_CONTEXT, roll)
    }

    /// The verdicts of crews behind their signature, as they are handed down.
    pub fn sign_verdicts(&self, verdicts: &[u8]) -> Vec<u8> {
        self.sign_as(VERDICTS_CONTEXT, verdicts)
    }

    /// Settings of cars behind their signature, as they are handed down.
    pub fn sign_settings(&self, settings: &[u8]) -> Vec<u8> {
        self.sign_as(SETTINGS_CONTEXT, settings)
    }

    fn sign_as(&self, context: &[u8], bytes: &[u8]) -> Vec<u8> {
        [self.0.sign(&[context, bytes].concat()).as_ref(), bytes].concat()
    }

    pub(super) fn sign(&self, manifest: &[u8]) -> [u8; SIGNATURE] {
        let mut signature = [0; SIGNATURE];
        signature.copy_from_slice(self.0.sign(&[CONTEXT, manifest].concat()).as_ref());
        signature
    }
}

impl VerifyingKey {
    /// Reads a key from its 64 hexadecimal digits.
    ///
    /// # Errors
    /// The text is something else.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = || {
            Fault::new(Kind::Damaged, "not a key that checks lists")
                .because("it is not 64 hexadecimal digits")
                .remedy("Copy the file lists.pub of the office's identity again")
        };
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| refuse())?;
        Ok(Self(bytes))
    }

    /// The roll of people in bytes that the office's key signed; `None` for others.
    pub fn open_roll<'r>(&self, signed: &'r [u8]) -> Option<&'r [u8]> {
        self.open_as(ROLL_CONTEXT, signed)
    }

    /// The verdicts of crews in bytes that the office's key signed; `None` for others.
    pub fn open_verdicts<'v>(&self, signed: &'v [u8]) -> Option<&'v [u8]> {
        self.open_as(VERDICTS_CONTEXT, signed)
    }

    /// The settings in bytes that the office's key signed; `None` for others.
    pub fn open_settings<'s>(&self, signed: &'s [u8]) -> Option<&'s [u8]> {
        self.open_as(SETTINGS_CONTEXT, signed)
    }

    fn open_as<'b>(&self, context: &[u8], signed: &'b [u8]) -> Option<&'b [u8]> {
        let (signature, bytes) = signed.split_first_chunk::<SIGNATURE>()?;
        let of = [context, bytes].concat();
        UnparsedPublicKey::new(&ED25519, self.0).verify(&of, signature).is_ok().then_some(bytes)
    }

    pub(super) fn verifies(&self, manifest: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(&[CONTEXT, manifest].concat(), signature).is_ok()
    }
}

impl std::fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_key_and_the_very_bytes_verify() {
        let key = SigningKey::from_bytes(&SigningKey::generate().expect("made")).expect("a key");
        let other = SigningKey::from_bytes(&SigningKey::generate().expect("made")).expect("a key");
        let signature = key.sign(b"manifest");
        let written = VerifyingKey::parse(&format!("{}\n", key.verifying())).expect("a key");
        assert_eq!(written, key.verifying());
        assert!(written.verifies(b"manifest", &signature));
        assert!(!written.verifies(b"manifesT", &signature) && !other.verifying().verifies(b"manifest", &signature));
        let roll = key.sign_roll(b"people");
        assert_eq!(written.open_roll(&roll), Some(&b"people"[..]));
        assert_eq!((other.verifying().open_roll(&roll), written.open_roll(&roll[1..])), (None, None));
        let settings = key.sign_settings(b"people");
        assert_eq!(written.open_settings(&settings), Some(&b"people"[..]));
        assert_eq!((written.open_settings(&roll), written.open_roll(&settings)), (None, None));
        // A signature of a list is none of a roll.
        assert_eq!(written.open_roll(&[&signature[..], b"manifest"].concat()), None);
        assert!(VerifyingKey::parse("x").is_err() && VerifyingKey::parse(&"zz".repeat(32)).is_err());
        assert!(SigningKey::from_bytes(b"no key").is_err());
    }
}

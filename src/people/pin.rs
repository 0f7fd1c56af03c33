//! PINs: typed where nobody reads along, kept only as what Argon2id makes of them.

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use super::secret::{Cost, first_line};
use crate::fault::{Fault, Kind, Result};
use crate::seal;

/// A PIN has so many digits. Guessing is stopped by the delay after wrong ones; see docs/design/journal.md.
const DIGITS: std::ops::RangeInclusive<usize> = 6..=12;
/// A longer first line is a file that was named by mistake.
const LONGEST_LINE: usize = 256;
/// What asks for more than this to be tried is damaged, or made to exhaust the car's memory.
const MOST: Cost = Cost { memory: 256 << 10, passes: 16 };

/// A PIN. It is overwritten in memory when it is dropped, and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(Zeroizing<String>);

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin")
    }
}

impl Pin {
    /// What somebody typed to sign on: right or wrong, it is not looked at before it is compared.
    pub fn typed(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// A new PIN of the person with this collar number.
    ///
    /// # Errors
    /// It is too short or too long, not of digits, or one that is guessed first.
    pub fn new(text: Zeroizing<String>, number: &str) -> Result<Self> {
        let wrong = |why: &str| {
            let remedy = format!("Choose {} to {} digits that follow no pattern", DIGITS.start(), DIGITS.end());
            Err(Fault::new(Kind::Usage, "this cannot be a PIN").because(why.to_owned()).remedy(remedy))
        };
        if !DIGITS.contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return wrong("it has too few or too many characters, or others than digits");
        }
        // One step throughout: 000000, 123456, 975310.
        let step = |pair: &[u8]| (10 + pair[1] - pair[0]) % 10;
        let steps: Zeroizing<Vec<u8>> = Zeroizing::new(text.as_bytes().windows(2).map(step).collect());
        if steps.windows(2).all(|pair| pair[0] == pair[1]) {
            return wrong("its digits follow each other");
        }
        if text.contains(number) || number.contains(&**text) {
            return wrong("it is made of the collar number");
        }
        Ok(Self(text))
    }

    /// The first line of a file, or of an open descriptor such as `/dev/fd/3`.
    ///
    /// # Errors
    /// The file cannot be read, or is no text.
    pub fn line_of(path: &Path) -> Result<Zeroizing<String>> {
        first_line(path, "cannot read the PIN", LONGEST_LINE)
    }
}

/// What is kept of a PIN: salt, cost, and what Argon2id made of it.
#[derive(Clone, PartialEq, Eq)]
pub struct PinHash {
    salt: [u8; 16],
    cost: Cost,
    hash: [u8; 32],
}

impl fmt::Debug for PinHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinHash")
    }
}

impl PinHash {
    /// Of a new PIN.
    ///
    /// # Errors
    /// The operating system gives no random bytes, or no memory.
    pub fn of(pin: &Pin) -> Result<Self> {
        let (salt, cost) = (seal::random()?, Cost::USUAL);
        let hash = cost.stretched(pin.0.as_bytes(), &salt, MOST);
        let hash = hash.ok_or_else(|| Fault::new(Kind::Internal, "a PIN could not be hashed"))?;
        Ok(Self { salt, cost, hash: *hash })
    }

    /// One that no PIN fits, and that costs as much to try as any: what is compared where there is nobody.
    pub fn decoy() -> Self {
        Self { salt: [0; 16], cost: Cost::USUAL, hash: [0; 32] }
    }

    /// Whether it is this PIN.
    pub fn fits(&self, pin: &Pin) -> bool {
        // As long for one that fits as for one that does not.
        self.cost
            .stretched(pin.0.as_bytes(), &self.salt, MOST)
            .is_some_and(|hash| hash.iter().zip(&self.hash).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0)
    }

    /// Cost, salt, hash.
    pub(super) fn encode(&self) -> Vec<u8> {
        [&self.cost.memory.to_be_bytes()[..], &self.cost.passes.to_be_bytes(), &self.salt, &self.hash].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (memory, rest) = bytes.split_first_chunk()?;
        let (passes, rest) = rest.split_first_chunk()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let cost = Cost { memory: u32::from_be_bytes(*memory), passes: u32::from_be_bytes(*passes) };
        let bearable = cost.memory <= MOST.memory && cost.passes <= MOST.passes;
        Some(Self { salt: *salt, cost, hash: rest.try_into().ok()? }).filter(|_| bearable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[test]
    fn a_pin_that_is_guessed_first_is_refused_and_none_is_printed() {
        for bad in ["", "12345", "1234567890123", "12345a", "000000", "123456", "654321", "890123", "135791", "451200"]
        {
            assert!(Pin::new(text(bad), "4512").is_err(), "{bad}");
        }
        let pin = Pin::new(text("480615"), "4512").expect("a PIN");
        assert!(!format!("{pin:?} {:?}", PinHash::of(&pin)).contains('4'));
    }

    #[test]
    fn only_the_same_pin_fits_and_each_hash_has_a_salt_of_its_own() {
        let pin = Pin::new(text("480615"), "4512").expect("a PIN");
        let (one, other) = (PinHash::of(&pin).expect("hashed"), PinHash::of(&pin).expect("hashed"));
        assert!(one != other && one.fits(&pin) && other.fits(&pin));
        assert!(!one.fits(&Pin::typed(text("480616"))) && !PinHash::decoy().fits(&pin));
        let kept = PinHash::decode(&one.encode()).expect("as it was");
        assert!(kept.fits(&pin));
        let mut greedy = one.encode();
        greedy[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(PinHash::decode(&greedy).is_none() && PinHash::decode(&one.encode()[1..]).is_none());
    }
}

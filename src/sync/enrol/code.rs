//! The code with which a car is enrolled: what an administrator reads out and a technician types.
//!
//! Twenty-four characters in six groups: `K7QM-3PXD-...`. The first group names the code at the office, the next eight
//! characters are its secret, eleven are a fingerprint of the office's authority, and the last one checks the others. The
//! car compares the fingerprint in the handshake, before the secret leaves it: a stranger who answers in the office's place
//! learns nothing. Fingerprint and secret are stretched by Argon2id, so that an authority that fits a known fingerprint
//! (2^55 tries), or the secret that fits what the office keeps (2^40), cannot be searched for.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::fault::{Fault, Kind, Result};
use crate::people::Cost;
use crate::seal::{self, Secret};

/// What a code is written with: capitals and digits without those that are taken for each other, 0 and O, 1 and I.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Characters of the name, of the secret, of the fingerprint, and in all.
const NAME: usize = 4;
const SECRET: usize = 8;
const AUTHORITY: usize = 11;
const LENGTH: usize = NAME + SECRET + AUTHORITY + 1;
/// Characters that are read out at once.
const GROUP: usize = 4;
/// The parameters of the OWASP cheat sheet on password storage, 19 MiB and two passes, some thirty milliseconds. Every car and
/// every office must come to the same.
const COST: Cost = Cost { memory: 19 << 10, passes: 2 };
/// What stretches the fingerprint; every car must come to the same.
const AUTHORITY_SALT: &[u8; 16] = b"outrider office/";

/// A code. It is never printed but by [`fmt::Display`], which is for whoever is to type it.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    /// Values of the characters, 0 to 31.
    values: [u8; LENGTH],
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({}-...)", self.name())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self.values.chunks(GROUP).map(text).collect();
        f.write_str(&groups.join("-"))
    }
}

impl Code {
    /// A new code of the office with this authority, a certificate in DER.
    ///
    /// # Errors
    /// The operating system gives no random bytes, or no memory.
    pub fn new(authority: &[u8]) -> Result<Self> {
        let mut values = [0; LENGTH];
        values[..NAME + SECRET].copy_from_slice(&seal::random::<{ NAME + SECRET }>()?);
        values.iter_mut().for_each(|value| *value %= 32);
        values[NAME + SECRET..LENGTH - 1].copy_from_slice(&fingerprint(authority)?);
        values[LENGTH - 1] = check(&values[..LENGTH - 1]);
        Ok(Self { values })
    }

    /// The code in what somebody typed; small letters, spaces and hyphens are as good.
    ///
    /// # Errors
    /// There is a slip in it.
    pub fn parse(text: &str) -> Result<Self> {
        let slip = |why: String| {
            Err(Fault::new(Kind::Usage, "there is a slip in the code, and nothing was sent")
                .because(why)
                .remedy("Read it again, group by group"))
        };
        let mut values = Vec::with_capacity(LENGTH);
        for c in text.chars().filter(|c| !c.is_whitespace() && !"-.,".contains(*c)) {
            let c = c.to_ascii_uppercase();
            match ALPHABET.iter().position(|known| char::from(*known) == c) {
                Some(value) => values.push(value as u8),
                None => return slip(format!("{c:?} is in no code; there are no 0, 1, I and O")),
            }
            if values.len() > LENGTH {
                break;
            }
        }
        let Ok(values) = <[u8; LENGTH]>::try_from(values) else {
            return slip(format!("a code has {} groups of {GROUP} characters", LENGTH / GROUP));
        };
        if check(&values[..LENGTH - 1]) != values[LENGTH - 1] {
            return slip("its characters do not fit together".into());
        }
        Ok(Self { values })
    }

    /// By what the office knows it: its first group.
    pub fn name(&self) -> String {
        text(&self.values[..NAME])
    }

    /// What proves that it was given to whoever types it.
    pub fn secret(&self) -> String {
        text(&self.values[NAME..NAME + SECRET])
    }

    /// Whether this certificate in DER is the authority of the office that made the code.
    pub fn is_of(&self, authority: &[u8]) -> bool {
        fingerprint(authority).is_ok_and(|there| there == self.values[NAME + SECRET..LENGTH - 1])
    }
}

/// Whether `text` can be the name of a code.
#[cfg(feature = "office")]
pub(crate) fn is_name(text: &str) -> bool {
    text.len() == NAME && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// What Argon2id makes of a short secret, at the cost of a code.
///
/// # Errors
/// There is no memory.
pub(crate) fn stretched(secret: &[u8], salt: &[u8; 16]) -> Result<Secret> {
    COST.stretched(secret, salt, COST).ok_or_else(|| Fault::new(Kind::Internal, "a code could not be hashed"))
}

/// The first 55 bits of the stretched hash of an authority's certificate.
fn fingerprint(authority: &[u8]) -> Result<[u8; AUTHORITY]> {
    let hash = stretched(&Sha256::digest(authority), AUTHORITY_SALT)?;
    let bits = hash.iter().take(8).fold(0, |bits: u64, byte| bits << 8 | u64::from(*byte));
    Ok(std::array::from_fn(|place| (bits >> (59 - 5 * place)) as u8 % 32))
}

fn text(values: &[u8]) -> String {
    values.iter().map(|value| char::from(ALPHABET[usize::from(*value)])).collect()
}

/// A sum over the field of 32 elements, in which every place has a weight of its own: one wrong character, and any two that
/// changed places, always make another sum.
fn check(values: &[u8]) -> u8 {
    // Times the generator of the field, modulo x^5 + x^2 + 1.
    let times = |value: u8| if value & 16 == 0 { value << 1 } else { (value << 1) ^ 0b10_0101 };
    values.iter().fold(0, |sum, value| times(sum ^ value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code() -> Code {
        Code::new(b"an authority").expect("made")
    }

    #[test]
    fn a_code_is_read_as_it_is_typed_and_fits_its_office_only() {
        let code = code();
        let shown = code.to_string();
        assert!(shown.len() == 29 && shown.chars().all(|c| c == '-' || ALPHABET.contains(&(c as u8))), "{shown}");
        for typed in
            [shown.clone(), shown.to_lowercase(), shown.replace('-', " "), format!("  {}\n", shown.replace('-', ""))]
        {
            assert_eq!(Code::parse(&typed).expect("a code"), code);
        }
        assert!(code.is_of(b"an authority") && !code.is_of(b"another authority"));
        assert!(shown.starts_with(&code.name()) && is_name(&code.name()) && !is_name("../x") && !is_name("ABCDE"));
        assert!(!format!("{code:?}").contains(&code.secret()[..4]));
        assert_ne!(code.secret(), self::code().secret());
    }

    /// The fingerprint must come out the same in every car that was ever built.
    #[test]
    fn the_fingerprint_stays_as_it_is() {
        assert_eq!(text(&fingerprint(b"an authority").expect("hashed")), "PLQ9NLSJ5XT");
    }

    #[test]
    fn every_slip_of_one_character_and_every_swap_is_told() {
        let values = code().values;
        let told = |values: [u8; LENGTH]| Code::parse(&text(&values)).is_err();
        for at in 0..LENGTH {
            for other in (0..32).filter(|other| *other != values[at]) {
                let mut wrong = values;
                wrong[at] = other;
                assert!(told(wrong));
            }
            for to in (at + 1..LENGTH).filter(|to| values[*to] != values[at]) {
                let mut wrong = values;
                wrong.swap(at, to);
                assert!(told(wrong));
            }
        }
        let shown = code().to_string();
        for (typed, why) in [
            (shown[1..].to_owned(), "6 groups"),
            (format!("{shown}A"), "6 groups"),
            (format!("0{}", &shown[1..]), "no 0"),
            (String::new(), "6 groups"),
        ] {
            let fault = Code::parse(&typed).expect_err("a slip");
            assert!(fault.kind() == Kind::Usage && fault.to_string().contains(why), "{fault}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_code_or_refused(text in "\\PC{0,80}") {
            if let Ok(code) = Code::parse(&text) {
                prop_assert_eq!(Code::parse(&code.to_string()).expect("the same"), code);
            }
        }
    }
}

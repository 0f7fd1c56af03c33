//! What the master key is locked with: a passphrase, a token that is taken out of the car, or the computer's security chip.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::tpm::Tpm;
use crate::fault::{Fault, Kind, Result};
use crate::people::{Cost, first_line};
use crate::seal::{Secret, derived, random};

/// What unlocks a journal.
#[derive(Debug, Clone)]
pub enum Key {
    /// Nothing: the key lies beside the journal, and whoever has the disk has both.
    Beside,
    /// What the crew types when a shift begins.
    Passphrase(Passphrase),
    /// A file on a token that is taken out of the car, made by [`make_token`].
    Token(PathBuf),
    /// The computer's own security chip.
    Tpm(Tpm),
}

/// What a journal is locked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Nothing: see [`Key::Beside`].
    None = 0,
    /// A passphrase.
    Passphrase = 1,
    /// A key file.
    Token = 2,
    /// The computer's security chip.
    Tpm = 3,
}

impl Key {
    /// What kind of lock this opens.
    pub fn protection(&self) -> Protection {
        match self {
            Self::Beside => Protection::None,
            Self::Passphrase(_) => Protection::Passphrase,
            Self::Token(_) => Protection::Token,
            Self::Tpm(_) => Protection::Tpm,
        }
    }
}

/// The fewest characters of a passphrase. Length is what guessing is stopped by; see docs/design/journal.md.
const SHORTEST: usize = 12;
/// A longer one is a file that was named by mistake.
const LONGEST: usize = 1024;

/// A passphrase. It is overwritten in memory when it is dropped, and never printed.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

impl Passphrase {
    /// Takes `text` for a passphrase.
    ///
    /// # Errors
    /// It is shorter than twelve characters, or longer than a thousand bytes.
    pub fn new(text: Zeroizing<String>) -> Result<Self> {
        if text.chars().count() < SHORTEST || text.len() > LONGEST {
            return Err(Fault::new(Kind::Usage, "the passphrase is too short or too long")
                .because(format!("it must have {SHORTEST} characters at least and {LONGEST} bytes at most"))
                .remedy("Use four words or more"));
        }
        Ok(Self(text))
    }

    /// Reads a passphrase from the first line of a file, or of an open descriptor such as `/dev/fd/3`.
    ///
    /// # Errors
    /// The file cannot be read, or holds no passphrase.
    pub fn from_file(path: &Path) -> Result<Self> {
        let line = first_line(path, "cannot read the passphrase", LONGEST)?;
        Self::new(line).map_err(|fault| fault.at(path.display()))
    }
}

/// A lock that asks for more than this to be tried is damaged, or made to exhaust the car's memory.
const MOST: Cost = Cost { memory: 1 << 20, passes: 64 };

/// The key that locks the master key. `sealed` is what a TPM made, where one locks it.
pub(super) fn locking_key(key: &Key, salt: &[u8; 16], cost: Cost, beside: &[u8; 32], sealed: &[u8]) -> Result<Secret> {
    match key {
        Key::Tpm(tpm) => Ok(derived(&*tpm.unseal(sealed)?, salt, TPM)),
        Key::Beside => Ok(Zeroizing::new(*beside)),
        Key::Passphrase(passphrase) => {
            let out = cost.stretched(passphrase.0.as_bytes(), salt, MOST);
            out.ok_or_else(|| Fault::new(Kind::Damaged, "the journal's lock makes no sense"))
        }
        Key::Token(path) => Ok(derived(&*read_token(path)?, salt, b"outrider token")),
    }
}

/// What the key is made for that a TPM's secret is made into.
pub(super) const TPM: &[u8] = b"outrider tpm";

/// How a token's one line begins, so that another file is not taken for one.
const TOKEN: &str = "outrider-token-1 ";

/// Makes a key file: random bytes in a line of text, readable by its owner only.
///
/// # Errors
/// The file is there already, or cannot be written.
pub fn make_token(path: &Path) -> Result<()> {
    let secret = Zeroizing::new(random::<32>()?);
    let digits: Zeroizing<String> = Zeroizing::new(hex::encode(*secret));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(TOKEN.as_bytes())?;
            file.write_all(digits.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        })
        .map_err(|error| {
            let there = error.kind() == std::io::ErrorKind::AlreadyExists;
            let fault = Fault::io("cannot make the key file", path, error);
            if there {
                fault.remedy("Name another file: one that is there may be the only key of a journal")
            } else {
                fault
            }
        })
}

pub(super) fn read_token(path: &Path) -> Result<Secret> {
    let mut text = Zeroizing::new(String::new());
    File::open(path).and_then(|file| file.take(4096).read_to_string(&mut text)).map_err(|error| {
        Fault::io("cannot read the key file", path, error).remedy("Put the token in that the journal is locked with")
    })?;
    let wrong = || {
        Fault::new(Kind::Damaged, "this is no key file")
            .at(path.display())
            .remedy("Name the file that outrider journal token made")
    };
    let digits = text.trim_end().strip_prefix(TOKEN).ok_or_else(wrong)?;
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, &mut secret[..]).map_err(|_| wrong())?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_the_first_line_of_a_file_and_not_short() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("passphrase");
        for (text, good) in [
            ("correct horse battery\nstaple\n", true),
            ("correct horse battery\r\n", true),
            ("elevenchars", false),
            ("", false),
        ] {
            std::fs::write(&path, text).expect("written");
            let read = Passphrase::from_file(&path);
            assert_eq!(read.is_ok(), good, "{text:?}");
            match read {
                Ok(read) => {
                    assert_eq!(&**read.0, "correct horse battery");
                    assert!(!format!("{:?}", Key::Passphrase(read)).contains("horse"));
                }
                Err(fault) => assert!(fault.to_string().contains("12 characters"), "{fault}"),
            }
        }
    }

    #[test]
    fn a_token_is_made_once_read_by_its_owner_and_told_from_other_files() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        make_token(&one).expect("made");
        make_token(&other).expect("made");
        assert_ne!(*read_token(&one).expect("read"), *read_token(&other).expect("read"));
        assert_eq!(std::fs::metadata(&one).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(make_token(&one).expect_err("it is there").to_string().contains("Name another file"));
        let good = std::fs::read_to_string(&one).expect("text");
        for text in
            ["", "hello", &good[..good.len() - 2], &good.replace('-', "_"), &format!("{TOKEN}{}", "é".repeat(32))]
        {
            std::fs::write(&other, text).expect("written");
            assert_eq!(read_token(&other).expect_err("no token").kind(), Kind::Damaged, "{text:?}");
        }
    }

    #[test]
    fn a_lock_that_asks_for_all_the_memory_is_refused() {
        let passphrase = Passphrase::new(Zeroizing::new("correct horse battery".into())).expect("long enough");
        for cost in [Cost { memory: u32::MAX, passes: 1 }, Cost { memory: 64, passes: u32::MAX }] {
            let key = Key::Passphrase(passphrase.clone());
            assert_eq!(locking_key(&key, &[0; 16], cost, &[0; 32], &[]).expect_err("refused").kind(), Kind::Damaged);
        }
    }
}

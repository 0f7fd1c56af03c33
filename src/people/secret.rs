//! What people know and type: how it is read from a file, and what it costs to try.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use crate::fault::{Fault, Kind, Result};
use crate::seal::Secret;

/// The first line of a file, or of an open descriptor such as `/dev/fd/3`. No more than `longest` bytes and two are read:
/// a longer line is a file that was named by mistake. `what` cannot be done without: "cannot read the PIN".
///
/// # Errors
/// The file cannot be read, or is no text.
pub(crate) fn first_line(path: &Path, what: &str, longest: usize) -> Result<Zeroizing<String>> {
    // Room for all of it from the start: what grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(longest + 3));
    File::open(path)
        .and_then(|file| file.take(longest as u64 + 2).read_to_end(&mut bytes))
        .map_err(|error| Fault::io(what, path, error))?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line))
        .map_err(|_| Fault::new(Kind::Damaged, what).at(path.display()).because("it is not text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// What a passphrase, a PIN or a code costs to try, as it is stored with what was made of it where it may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Memory, KiB.
    pub(crate) memory: u32,
    /// Passes over it.
    pub(crate) passes: u32,
}

impl Cost {
    /// 64 MiB and three passes, the second of the two settings that RFC 9106, section 4, recommends, but for one lane.
    #[cfg(not(test))]
    pub(crate) const USUAL: Self = Self { memory: 64 << 10, passes: 3 };
    /// Tests try secrets by the dozen.
    #[cfg(test)]
    pub(crate) const USUAL: Self = Self { memory: 64, passes: 1 };

    /// What Argon2id makes of a secret at this cost. `None` where it costs more than `most`: then it is damaged, or made to
    /// exhaust the memory; or where it makes no sense.
    pub(crate) fn stretched(self, secret: &[u8], salt: &[u8; 16], most: Self) -> Option<Secret> {
        if self.memory > most.memory || self.passes > most.passes {
            return None;
        }
        let mut out = Secret::default();
        let params = Params::new(self.memory, self.passes, 1, Some(out.len())).ok()?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(secret, salt, &mut out[..]).ok()?;
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_first_line_of_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("written");
            first_line(&path, "cannot read the PIN", 12)
        };
        for bytes in [&b"480615"[..], b"480615\n", b"480615\r\nmore\n"] {
            assert_eq!(**read(bytes).expect("read"), *"480615");
        }
        assert_eq!(**read(b"").expect("read"), *"");
        // Long enough for whoever asked to see that it is too long, and no longer.
        assert_eq!(read(&[b'1'; 4000]).expect("read").len(), 14);
        let fault = read(b"\xff\xfe\n").expect_err("no text");
        assert!(fault.kind() == Kind::Damaged && fault.to_string().contains("cannot read the PIN: it is not text"));
        let none = first_line(&folder.path().join("none"), "cannot read the PIN", 12);
        assert_eq!(none.expect_err("not there").kind(), Kind::Missing);
    }

    #[test]
    fn what_costs_more_than_is_borne_is_not_tried() {
        let (salt, most) = ([7; 16], Cost { memory: 128, passes: 2 });
        let of = |memory, passes| Cost { memory, passes }.stretched(b"a secret", &salt, most);
        assert!(of(64, 1).is_some() && of(128, 2).is_some());
        assert!(of(64, 1) != of(64, 2) && of(64, 1) != Cost::USUAL.stretched(b"another", &salt, most));
        assert!(of(u32::MAX, 1).is_none() && of(64, u32::MAX).is_none() && of(0, 1).is_none() && of(64, 0).is_none());
    }
}

//! The computer's own security chip, a TPM 2.0, as what unlocks the journal: it keeps a secret that comes out on this computer
//! only. The programs of the Debian package `tpm2-tools` talk to it, so that neither building nor a car without a chip needs
//! anything for it.
//!
//! A secret of 32 bytes is sealed under the chip's storage key; what comes of it, two blobs that only this chip opens, lies with
//! the lock. The secret passes through pipes, never through a file or an argument. Bound to PCRs, it comes out only as long as the
//! computer starts as it did then.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use crate::fault::{Fault, Kind, Result};
use crate::seal::{self, Secret};

/// Which chip, and how a new lock is bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tpm {
    /// PCRs that a new lock is bound to, as `sha256:7`; none: this computer, however it was started.
    pub pcrs: Option<String>,
    /// How the chip is reached, in the words of `tpm2-tools` (`--tcti`); default: the kernel's resource manager.
    pub tcti: Option<String>,
}

/// What the chip made of a secret. None of it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sealed {
    public: Vec<u8>,
    private: Vec<u8>,
    /// Empty: none.
    pcrs: String,
}

/// The longest part of [`Sealed`], bytes: a chip gives less than 300.
const LONGEST: usize = 1024;

impl Sealed {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [&self.public[..], &self.private, self.pcrs.as_bytes()] {
            bytes.extend((part.len() as u16).to_be_bytes());
            bytes.extend(part);
        }
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut part = || {
            let (length, rest) = bytes.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (part, after) = rest.split_at_checked(length).filter(|_| length <= LONGEST)?;
            bytes = after;
            Some(part.to_vec())
        };
        Some(Self { public: part()?, private: part()?, pcrs: String::from_utf8(part()?).ok()? })
    }
}

impl Tpm {
    /// Has the chip seal a new secret; gives the secret, and what the chip needs to give it again.
    pub(super) fn seal(&self) -> Result<(Secret, Vec<u8>)> {
        let secret: Secret = Zeroizing::new(seal::random()?);
        let bench = Bench::new(self)?;
        bench.run("tpm2_createprimary", &["-Q", "-C", "o", "-G", "ecc", "-c", "primary"], &[])?;
        let mut create = vec!["-Q", "-C", "primary", "-i", "-", "-u", "public", "-r", "private", "-a"];
        match &self.pcrs {
            None => create.push("fixedtpm|fixedparent|noda|userwithauth"),
            Some(pcrs) => {
                bench.run("tpm2_createpolicy", &["-Q", "--policy-pcr", "-l", pcrs, "-L", "policy"], &[])?;
                // Without `userwithauth` nothing but the policy opens it.
                create.extend(["fixedtpm|fixedparent|noda|adminwithpolicy", "-L", "policy"]);
            }
        }
        bench.run("tpm2_create", &create, &secret[..])?;
        let sealed = Sealed {
            public: bench.file("public")?,
            private: bench.file("private")?,
            pcrs: self.pcrs.clone().unwrap_or_default(),
        };
        Ok((secret, sealed.encode()))
    }

    /// Has the chip give the secret again.
    pub(super) fn unseal(&self, sealed: &[u8]) -> Result<Secret> {
        let sealed = Sealed::decode(sealed)
            .ok_or_else(|| Fault::new(Kind::Damaged, "what the TPM sealed the journal's key as is damaged"))?;
        let bench = Bench::new(self)?;
        bench.put("public", &sealed.public)?;
        bench.put("private", &sealed.private)?;
        bench.run("tpm2_createprimary", &["-Q", "-C", "o", "-G", "ecc", "-c", "primary"], &[])?;
        let refused = |fault: Fault| {
            Fault::new(fault.kind(), "the TPM does not unlock the journal")
                .because(fault.to_string())
                .remedy(
                    "If this is the computer that it was locked on, start that as it was started then; on another one nobody \
                     can read it",
                )
        };
        bench
            .run("tpm2_load", &["-Q", "-C", "primary", "-u", "public", "-r", "private", "-c", "key"], &[])
            .map_err(refused)?;
        let policy = format!("pcr:{}", sealed.pcrs);
        let mut unseal = vec!["-c", "key"];
        if !sealed.pcrs.is_empty() {
            unseal.extend(["-p", &policy]);
        }
        let secret = bench.run("tpm2_unseal", &unseal, &[]).map_err(refused)?;
        let secret: [u8; 32] = secret[..].try_into().map_err(|_| {
            Fault::new(Kind::Damaged, "the TPM does not unlock the journal").because("what it gives is no key")
        })?;
        Ok(Zeroizing::new(secret))
    }

    /// What chip there is, in words.
    ///
    /// # Errors
    /// There is none, or the programs that talk to it are not installed.
    pub fn found(&self) -> Result<String> {
        let said = Bench::new(self)?.run("tpm2_getcap", &["properties-fixed"], &[])?;
        let said = String::from_utf8_lossy(&said);
        // TPM2_PT_MANUFACTURER:\n  raw: 0x...\n  value: "IBM"
        let maker = said.split("TPM2_PT_MANUFACTURER").nth(1).and_then(|rest| rest.split('"').nth(1));
        Ok(format!("a TPM 2.0 made by {}", maker.map_or("somebody", str::trim)))
    }
}

/// A folder in which the tools leave what they hand on to each other. No secret is part of it.
struct Bench<'a> {
    folder: tempfile::TempDir,
    tcti: Option<&'a str>,
}

impl<'a> Bench<'a> {
    fn new(tpm: &'a Tpm) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(|error| {
            Fault::new(Kind::Unavailable, "cannot make a folder for the TPM's tools").because(error)
        })?;
        Ok(Self { folder, tcti: tpm.tcti.as_deref() })
    }

    /// Runs a tool with `input`; gives what it puts out.
    fn run(&self, tool: &str, arguments: &[&str], input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let ran = self.start(tool, arguments, input);
        if self.tcti.is_some() {
            // A chip that is reached without the resource manager holds three things at once, and tools leave theirs behind.
            let _ = self.start("tpm2_flushcontext", &["-Q", "-t"], &[]);
        }
        ran
    }

    fn start(&self, tool: &str, arguments: &[&str], input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let missing = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Fault::new(Kind::Missing, "there is nothing that talks to the TPM")
                .because(format!("the program {tool} is not installed"))
                .remedy("Install the Debian package tpm2-tools"),
            _ => Fault::new(Kind::Unavailable, format!("cannot run {tool}")).because(error),
        };
        let mut command = Command::new(tool);
        if let Some(tcti) = self.tcti {
            command.args(["--tcti", tcti]);
        }
        let mut child = command
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(missing)?;
        if let Some(mut pipe) = child.stdin.take() {
            // A tool that ends before it has read says why by itself.
            let _ = pipe.write_all(input);
        }
        let output = child.wait_with_output().map_err(missing)?;
        if output.status.success() {
            return Ok(Zeroizing::new(output.stdout));
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let why = said.lines().find(|line| line.starts_with("ERROR")).unwrap_or("it does not say why").to_owned();
        let denied = said.contains("policy check failed") || said.contains("integrity check failed");
        let fault =
            Fault::new(if denied { Kind::Denied } else { Kind::Unavailable }, format!("{tool} failed")).because(why);
        Err(if denied {
            fault
        } else {
            fault.remedy("Switch the TPM on in the computer's set-up; see outrider doctor")
        })
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).map_err(|error| Fault::io("cannot write for the TPM's tools", &path, error))
    }

    fn file(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.folder.path().join(name);
        read(&path).map_err(|error| Fault::io("cannot read what the TPM sealed", &path, error))
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    if bytes.len() <= LONGEST { Ok(bytes) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use std::process::Child;
    use std::time::Duration;

    use super::super::tests::{clock, hour, read as seen, record_read};
    use super::super::{Archive, Journal, Key, Protection, make_token};
    use super::*;
    use crate::clock::RealClock;

    /// A chip in software, of the Debian package `swtpm`.
    struct Chip {
        folder: tempfile::TempDir,
        process: Child,
    }

    impl Chip {
        /// `None` where the packages are not there.
        fn new() -> Option<Self> {
            let folder = tempfile::tempdir().expect("a folder");
            let path = |name: &str| folder.path().join(name).display().to_string();
            let started = Command::new("swtpm")
                .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
                .args(["--tpmstate", &format!("dir={}", path(""))])
                .args(["--server", &format!("type=unixio,path={}", path("chip"))])
                .args(["--ctrl", &format!("type=unixio,path={}", path("chip.ctrl"))])
                .stderr(Stdio::null())
                .spawn();
            let chip = Self { process: started.ok()?, folder };
            let clock = RealClock::shared();
            // It is there once its socket is; tools that are not installed never find it.
            (0..200).find(|_| {
                clock.sleep(Duration::from_millis(20));
                chip.tpm(None).found().is_ok()
            })?;
            Some(chip)
        }

        fn tpm(&self, pcrs: Option<&str>) -> Tpm {
            let tcti = Some(format!("swtpm:path={}", self.folder.path().join("chip").display()));
            Tpm { pcrs: pcrs.map(Into::into), tcti }
        }

        /// The computer is started otherwise.
        fn started_otherwise(&self) {
            let tpm = self.tpm(None);
            let digest = format!("7:sha256={}", "ab".repeat(32));
            Bench::new(&tpm).and_then(|bench| bench.run("tpm2_pcrextend", &[&digest], &[])).expect("extended");
        }
    }

    impl Drop for Chip {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }

    #[test]
    fn a_journal_that_a_chip_locks_opens_with_that_chip_and_as_the_computer_was_started() {
        let Some(chip) = Chip::new() else {
            println!("not tested: the packages swtpm, libtss2-tcti-swtpm0 and tpm2-tools are not installed");
            return;
        };
        assert!(chip.tpm(None).found().expect("a chip").starts_with("a TPM 2.0 made by "));
        let folder = tempfile::tempdir().expect("a folder");
        let bound = Key::Tpm(chip.tpm(Some("sha256:7")));
        let journal = Journal::open_with(folder.path(), &bound, clock()).expect("made");
        record_read(&journal, seen(1, 1, "AB12CDE", hour(0)));
        journal.flush().expect("on disk");
        drop(journal);
        assert_eq!(Archive::protection_of(folder.path()).expect("read"), Some(Protection::Tpm));
        // What a lock is bound to it says itself.
        let key = Key::Tpm(chip.tpm(None));
        let archive = Archive::open_existing(folder.path(), &key).expect("the same chip");
        assert_eq!(archive.verify().expect("whole").reads, 1);
        drop(archive);

        let other = Chip::new().expect("another chip");
        let fault = Archive::open_existing(folder.path(), &Key::Tpm(other.tpm(None))).expect_err("another chip");
        assert!(fault.to_string().contains("the TPM does not unlock the journal"), "{fault}");

        chip.started_otherwise();
        let fault = Archive::open_existing(folder.path(), &key).expect_err("started otherwise");
        assert_eq!(fault.kind(), Kind::Denied, "{fault}");

        // Another lock, and back to the chip as it was started now, bound to nothing.
        let folder = tempfile::tempdir().expect("a folder");
        let token = folder.path().join("token");
        make_token(&token).expect("made");
        drop(Journal::open_with(folder.path(), &Key::Token(token.clone()), clock()).expect("made"));
        let archive = Archive::open_existing(folder.path(), &Key::Token(token)).expect("opened");
        archive.lock_with(&key).expect("locked");
        drop(archive);
        chip.started_otherwise();
        Archive::open_existing(folder.path(), &key).expect("bound to no start");
    }

    #[test]
    fn a_chip_that_is_not_there_is_said_in_a_sentence() {
        let nowhere = Tpm { tcti: Some("device:/dev/no-such-tpm".into()), ..Tpm::default() };
        let fault = nowhere.seal().expect_err("no chip");
        assert!(matches!(fault.kind(), Kind::Missing | Kind::Unavailable), "{fault}");
        let said = fault.to_string();
        assert!(said.contains("Install the Debian package tpm2-tools") || said.contains("Switch the TPM on"), "{said}");
    }

    #[test]
    fn what_a_chip_made_is_kept_whole_and_damage_is_none() {
        let sealed = Sealed { public: vec![1; 80], private: vec![2; 160], pcrs: "sha256:7".into() };
        let bytes = sealed.encode();
        assert_eq!(Sealed::decode(&bytes), Some(sealed));
        for length in 0..bytes.len() {
            assert_eq!(Sealed::decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(Sealed::decode(&[0xff; 4000]), None);
    }
}

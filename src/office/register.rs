//! The register of enrolled units: one small file for each certificate, named by its SHA-256.
//!
//! A valid signature of the authority is not enough to be heard: the certificate must be in the register, not revoked, not
//! replaced by a newer one that was used, and not run out. The register, not the certificate's text, says whose it is, so
//! nothing in a certificate has to be parsed but by TLS.
//!
//! Commands and the service share the folder. A [`Register`] keeps what it has read, and reads again only what has changed:
//! looking whether there is a change costs one look at the folder's own time.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files;
use crate::fault::{Fault, Kind, Result};

/// One enrolled certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) unit: String,
    pub(crate) issued: DateTime<Utc>,
    pub(crate) expires: DateTime<Utc>,
    /// How the unit came by it, for people.
    #[serde(default)]
    pub(crate) how: String,
    /// The certificate that it renews, where it does.
    #[serde(default)]
    pub(crate) renews: Option<Fingerprint>,
    /// When a newer one of the same unit was first used.
    #[serde(default)]
    pub(crate) replaced: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) revoked: Option<DateTime<Utc>>,
    /// SHA-256 of its public key, as hexadecimal digits; entries of earlier programs have none.
    #[serde(default)]
    pub(crate) key: String,
    /// The certificate itself, PEM: an answer that was lost is given again.
    #[serde(default)]
    pub(crate) certificate: String,
}

/// What a certificate is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The office listens to it.
    Good,
    /// It has run out.
    Expired,
    /// A newer one of the same unit has been used.
    Replaced,
    /// It was taken out of use.
    Revoked,
}

impl Standing {
    /// For people and logs.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Expired => "run out",
            Self::Replaced => "replaced by a newer one",
            Self::Revoked => "revoked",
        }
    }
}

impl Entry {
    /// What it is worth at `utc`.
    pub(crate) fn standing(&self, utc: DateTime<Utc>) -> Standing {
        if self.revoked.is_some() {
            Standing::Revoked
        } else if self.replaced.is_some() {
            Standing::Replaced
        } else if utc >= self.expires {
            Standing::Expired
        } else {
            Standing::Good
        }
    }
}

/// A certificate's name in the register.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub(crate) fn of(certificate: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(certificate)))
    }

    /// As hexadecimal digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The register of one office.
#[derive(Debug)]
pub(crate) struct Register {
    folder: PathBuf,
    known: Mutex<Known>,
}

/// What was read of the folder.
#[derive(Debug, Default)]
struct Known {
    /// The folder when it was read.
    folder: Option<Mark>,
    /// So many more looks read it again though its time is the same: two changes within one tick of the file system's
    /// clock look like one.
    again: u8,
    entries: HashMap<Fingerprint, (Mark, Result<Entry, String>)>,
}

/// Whether a file or folder is the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark(u64, i64, i64);

impl Mark {
    fn of(data: &Metadata) -> Self {
        Self(data.ino(), data.mtime(), data.mtime_nsec())
    }
}

/// Looks after a change that read the folder again.
const AGAIN: u8 = 3;

impl Register {
    /// The register of the office in `data`.
    pub(crate) fn of(data: &Path) -> Self {
        Self { folder: files::units(data), known: Mutex::default() }
    }

    /// Looks whether somebody has changed it, and says so.
    ///
    /// # Errors
    /// It cannot be read; what was known before is kept.
    pub(crate) fn look(&self) -> Result<bool> {
        let mut known = self.known();
        let before = known.again;
        let changed = self.refresh(&mut known)?;
        if !changed && before > 0 {
            known.again = before - 1;
            return self.read(&mut known);
        }
        Ok(changed)
    }

    /// The entry of this certificate.
    ///
    /// # Errors
    /// The register cannot be read, or the entry is damaged.
    pub(crate) fn entry(&self, certificate: &Fingerprint) -> Result<Option<Entry>> {
        let mut known = self.known();
        self.refresh(&mut known)?;
        Ok(self.entry_in(&known, certificate)?.cloned())
    }

    /// What a certificate is worth by what was read before: nothing waits for the disk. `None` where it is not there.
    ///
    /// # Errors
    /// The entry is damaged.
    pub(crate) fn known_standing(&self, certificate: &Fingerprint, utc: DateTime<Utc>) -> Result<Option<Standing>> {
        Ok(self.entry_in(&self.known(), certificate)?.map(|entry| entry.standing(utc)))
    }

    /// Every entry that can be read, by unit, the oldest first.
    ///
    /// # Errors
    /// The register cannot be read.
    pub(crate) fn entries(&self) -> Result<Vec<(Fingerprint, Entry)>> {
        let mut known = self.known();
        self.refresh(&mut known)?;
        let good =
            known.entries.iter().filter_map(|(name, (_, entry))| Some((name.clone(), entry.as_ref().ok()?.clone())));
        let mut all: Vec<_> = good.collect();
        all.sort_by(|(a, one), (b, other)| (&one.unit, one.issued, a).cmp(&(&other.unit, other.issued, b)));
        Ok(all)
    }

    /// Enters a certificate.
    pub(crate) fn add(&self, certificate: &Fingerprint, entry: &Entry) -> Result<()> {
        self.save(certificate, entry)
    }

    /// Whether older certificates of the same unit count that are to end now that this one is used.
    pub(crate) fn has_older(&self, entry: &Entry) -> bool {
        self.known().entries.values().filter_map(|(_, other)| other.as_ref().ok()).any(|other| is_older(other, entry))
    }

    /// This certificate is used: older ones of the same unit end. Whoever calls holds the door.
    pub(crate) fn end_older(&self, entry: &Entry, at: DateTime<Utc>) -> Result<()> {
        self.replace(|_, other| is_older(other, entry), at)
    }

    /// Marks certificates as replaced. Whoever calls holds the door.
    pub(crate) fn replace(&self, meant: impl Fn(&Fingerprint, &Entry) -> bool, at: DateTime<Utc>) -> Result<()> {
        for (certificate, entry) in self.entries()? {
            if entry.replaced.is_none() && meant(&certificate, &entry) {
                self.save(&certificate, &Entry { replaced: Some(at), ..entry })?;
            }
        }
        Ok(())
    }

    /// Revokes the certificates that are `meant`, and says which. Whoever calls holds the door.
    pub(crate) fn revoke(
        &self,
        meant: impl Fn(&Fingerprint, &Entry) -> bool,
        at: DateTime<Utc>,
    ) -> Result<Vec<(Fingerprint, Entry)>> {
        let mut revoked = Vec::new();
        for (certificate, entry) in self.entries()? {
            if entry.revoked.is_none() && meant(&certificate, &entry) {
                self.save(&certificate, &Entry { revoked: Some(at), ..entry.clone() })?;
                revoked.push((certificate, entry));
            }
        }
        Ok(revoked)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry_in<'k>(&self, known: &'k Known, certificate: &Fingerprint) -> Result<Option<&'k Entry>> {
        match known.entries.get(certificate) {
            None => Ok(None),
            Some((_, Ok(entry))) => Ok(Some(entry)),
            Some((_, Err(why))) => Err(Fault::new(Kind::Damaged, "an entry of the register cannot be read")
                .at(self.path(certificate).display())
                .because(why.clone())
                .remedy("Take the file away, and enrol the unit again")),
        }
    }

    /// Reads the folder if its own time has changed.
    fn refresh(&self, known: &mut Known) -> Result<bool> {
        let now = std::fs::metadata(&self.folder).map_err(|error| self.unreadable(error))?;
        if known.folder == Some(Mark::of(&now)) {
            return Ok(false);
        }
        known.again = AGAIN;
        self.read(known)
    }

    /// Reads what has changed in the folder, and says whether there was anything.
    fn read(&self, known: &mut Known) -> Result<bool> {
        let unreadable = |error| self.unreadable(error);
        // Taken before the files are looked at: what changes meanwhile is found by the next look.
        let folder = Mark::of(&std::fs::metadata(&self.folder).map_err(unreadable)?);
        let (mut there, mut fresh) = (HashSet::new(), Vec::new());
        for file in std::fs::read_dir(&self.folder).map_err(unreadable)? {
            let file = file.map_err(unreadable)?;
            let name = file.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".json")).filter(|n| !n.starts_with('.'))
            else {
                continue;
            };
            // Replaced or gone between two calls: the folder's time tells the next look.
            let Ok(data) = file.metadata() else { continue };
            let (name, mark) = (Fingerprint(name.to_owned()), Mark::of(&data));
            if known.entries.get(&name).is_none_or(|(then, _)| *then != mark) {
                let entry = std::fs::read(file.path())
                    .map_err(|error| error.to_string())
                    .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()));
                fresh.push((name.clone(), (mark, entry)));
            }
            there.insert(name);
        }
        let before = known.entries.len();
        known.entries.retain(|name, _| there.contains(name));
        let changed = !fresh.is_empty() || known.entries.len() != before;
        known.entries.extend(fresh);
        known.folder = Some(folder);
        Ok(changed)
    }

    fn unreadable(&self, error: std::io::Error) -> Fault {
        Fault::io("cannot read the register of units", &self.folder, error)
    }

    fn path(&self, certificate: &Fingerprint) -> PathBuf {
        self.folder.join(format!("{}.json", certificate.0))
    }

    fn save(&self, certificate: &Fingerprint, entry: &Entry) -> Result<()> {
        let json = serde_json::to_vec_pretty(entry)
            .map_err(|error| Fault::new(Kind::Internal, "cannot write the register of units").because(error))?;
        let path = self.path(certificate);
        files::replace(&path, &json)?;
        // Known at once, whatever the folder's time says.
        let mark = std::fs::metadata(&path).map(|data| Mark::of(&data)).map_err(|error| self.unreadable(error))?;
        self.known().entries.insert(certificate.clone(), (mark, Ok(entry.clone())));
        Ok(())
    }
}

fn is_older(other: &Entry, entry: &Entry) -> bool {
    other.unit == entry.unit && other.issued < entry.issued && other.replaced.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(unit: &str, issued: i64) -> Entry {
        let time = |seconds| DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a time");
        Entry {
            unit: unit.into(),
            issued: time(issued),
            expires: time(issued + 1000),
            how: "folder".into(),
            renews: None,
            replaced: None,
            revoked: None,
            key: String::new(),
            certificate: String::new(),
        }
    }

    #[test]
    fn what_another_program_changes_is_seen_and_each_certificate_has_its_standing() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(files::units(folder.path())).expect("made");
        let (service, command) = (Register::of(folder.path()), Register::of(folder.path()));
        assert!(!service.look().expect("read"));
        let names: Vec<Fingerprint> = (0..200_u32).map(|n| Fingerprint::of(&n.to_be_bytes())).collect();
        // Faster than the ticks of any file system's clock.
        for (n, name) in names.iter().enumerate() {
            command.add(name, &entry("EX-01", n as i64)).expect("added");
            service.entry(name).expect("read");
        }
        let looks = (0..=AGAIN).filter(|_| service.look().is_ok()).count();
        assert_eq!(looks, usize::from(AGAIN) + 1);
        let at = DateTime::from_timestamp(1_800_000_250, 0).expect("a time");
        let known = |name: &Fingerprint| service.known_standing(name, at).expect("read");
        assert!(names.iter().all(|name| known(name) == Some(Standing::Good)));
        let worth = |n: usize, at| command.entry(&names[n]).expect("read").expect("there").standing(at);
        let newest = service.entry(&names[100]).expect("read").expect("there");
        assert!(service.has_older(&newest));
        service.end_older(&newest, at).expect("ended");
        assert!(!service.has_older(&newest));
        assert_eq!(
            (worth(100, at), worth(99, at), worth(101, at)),
            (Standing::Good, Standing::Replaced, Standing::Good)
        );
        assert_eq!(worth(100, at + chrono::TimeDelta::seconds(1000)), Standing::Expired);
        let gone = command.revoke(|_, entry| entry.unit == "EX-01", at).expect("revoked");
        assert_eq!(gone.len(), 200);
        assert!(command.revoke(|_, entry| entry.unit == "EX-01", at).expect("revoked").is_empty());
        service.look().expect("read");
        assert_eq!(known(&names[101]), Some(Standing::Revoked));

        // A file that is damaged is named, and the others are read.
        std::fs::write(service.path(&names[7]), "{").expect("written");
        std::fs::write(folder.path().join("units/.x"), "").expect("written");
        assert!(service.entry(&names[7]).expect_err("damaged").to_string().contains(&names[7].0));
        assert_eq!(service.entries().expect("read").len(), 199);
    }

    #[test]
    fn entries_of_earlier_programs_are_read() {
        let text =
            r#"{"unit":"EX-01","issued":"2026-01-01T00:00:00Z","expires":"2028-01-01T00:00:00Z","revoked":null}"#;
        let entry: Entry = serde_json::from_str(text).expect("read");
        assert!(entry.renews.is_none() && entry.key.is_empty());
    }
}

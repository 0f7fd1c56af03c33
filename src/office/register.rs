//! The register of enrolled units: one small file for each certificate, named by its SHA-256.
//!
//! A valid signature of the authority is not enough to be heard: the certificate must be in the register, and not
//! revoked. The register, not the certificate's text, says whose it is, so nothing in a certificate has to be parsed
//! but by TLS.

use std::path::{Path, PathBuf};

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
    #[serde(default)]
    pub(crate) revoked: Option<DateTime<Utc>>,
}

/// The register of one office.
#[derive(Debug, Clone)]
pub(crate) struct Register {
    folder: PathBuf,
}

/// A certificate's name in the register.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub(crate) fn of(certificate: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(certificate)))
    }
}

impl Register {
    /// The register of the office in `data`.
    pub(crate) fn of(data: &Path) -> Self {
        Self { folder: files::units(data) }
    }

    /// Whose certificate this is; `None` if it is not enrolled, or revoked.
    pub(crate) fn unit_of(&self, certificate: &Fingerprint) -> Result<Option<String>> {
        Ok(self.load(&self.path(certificate))?.filter(|entry| entry.revoked.is_none()).map(|entry| entry.unit))
    }

    /// Enters a certificate.
    pub(crate) fn add(&self, certificate: &[u8], entry: &Entry) -> Result<()> {
        self.save(&self.path(&Fingerprint::of(certificate)), entry)
    }

    /// Revokes all certificates of a unit, and says how many.
    pub(crate) fn revoke(&self, unit: &str, at: DateTime<Utc>) -> Result<usize> {
        let mut count = 0;
        let unreadable = |error| Fault::io("cannot read the register of units", &self.folder, error);
        for file in std::fs::read_dir(&self.folder).map_err(unreadable)? {
            let path = file.map_err(unreadable)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            if let Some(entry) = self.load(&path)?
                && entry.unit == unit
                && entry.revoked.is_none()
            {
                self.save(&path, &Entry { revoked: Some(at), ..entry })?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn path(&self, certificate: &Fingerprint) -> PathBuf {
        self.folder.join(format!("{}.json", certificate.0))
    }

    fn load(&self, path: &Path) -> Result<Option<Entry>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Fault::io("cannot read the register of units", path, error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Fault::new(Kind::Damaged, "an entry of the register cannot be read")
                .at(path.display())
                .because(error)
                .remedy("Take the file away, and enrol the unit again")
        })
    }

    fn save(&self, path: &Path, entry: &Entry) -> Result<()> {
        let json = serde_json::to_vec_pretty(entry)
            .map_err(|error| Fault::new(Kind::Internal, "cannot write the register of units").because(error))?;
        files::replace(path, &json)
    }
}

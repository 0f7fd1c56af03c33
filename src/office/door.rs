//! Who is enrolled, and who is cut off.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::record::note;
use super::register::{Entry, Fingerprint, Register};
use super::{codes, files};
use crate::clock::Clock;
use crate::fault::{Fault, Kind, Result};

/// Hexadecimal digits of a certificate's name that people are shown, and the fewest that they may name it by.
const SHOWN: usize = 16;
const FEWEST: usize = 8;

/// An enrolled certificate, as people are shown it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Enrolled {
    /// Whose it is.
    pub unit: String,
    /// The first digits of its SHA-256.
    pub certificate: String,
    /// "good", or why the office does not listen to it.
    pub standing: &'static str,
    /// Since when.
    pub issued: DateTime<Utc>,
    /// Until when.
    pub expires: DateTime<Utc>,
    /// How the unit came by it.
    pub how: String,
}

/// Every certificate that was ever enrolled at the office in `data`, by unit, the oldest first.
///
/// # Errors
/// There is no office, or the register cannot be read.
pub fn units(data: &Path, clock: &dyn Clock) -> Result<Vec<Enrolled>> {
    let shown = |(certificate, entry): (Fingerprint, Entry)| Enrolled {
        certificate: certificate.as_str().chars().take(SHOWN).collect(),
        standing: entry.standing(clock.utc()).words(),
        unit: entry.unit,
        issued: entry.issued,
        expires: entry.expires,
        how: entry.how,
    };
    Ok(Register::of(data).entries()?.into_iter().map(shown).collect())
}

/// What is to be taken out of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation<'a> {
    /// All that a unit has: certificates, renewals on their way, open codes.
    Unit(&'a str),
    /// One certificate, by the first digits of its name.
    Certificate(&'a str),
}

/// Takes identities out of use; a running service cuts the car off at once. `by` goes on record. Says how many certificates
/// and codes there were.
///
/// # Errors
/// There is nothing of that name; or the register cannot be written.
pub fn revoke(data: &Path, what: Revocation<'_>, by: &str, clock: &dyn Clock) -> Result<(usize, usize)> {
    let utc = clock.utc();
    let register = Register::of(data);
    let _door = files::hold_the_door(data)?;
    let known = register.entries()?;
    let meant = |certificate: &Fingerprint, entry: &Entry| match what {
        Revocation::Unit(unit) => entry.unit == unit,
        Revocation::Certificate(name) => certificate.as_str().starts_with(&name.to_lowercase()),
    };
    let found = known.iter().filter(|(certificate, entry)| meant(certificate, entry));
    let found: Vec<_> = found.filter(|(_, entry)| entry.revoked.is_none()).collect();
    let (what_words, withdrawn) = match what {
        Revocation::Unit(unit) => {
            let withdrawn = codes::withdraw_all_of(data, unit)?;
            if found.is_empty() && withdrawn == 0 {
                return Err(Fault::new(Kind::Missing, format!("no valid identity of a unit named {unit:?}"))
                    .at(data.display())
                    .remedy("The name must be as it was enrolled; outrider-office units prints them"));
            }
            (format!("{unit} revoked"), withdrawn)
        }
        Revocation::Certificate(name) => {
            let [(certificate, entry)] = found[..] else {
                return Err(Fault::new(Kind::Missing, format!("{name:?} does not name one valid certificate"))
                    .at(data.display())
                    .remedy("Take it from what outrider-office units prints"));
            };
            if name.len() < FEWEST {
                return Err(Fault::new(Kind::Usage, format!("{name:?} is too short to name a certificate"))
                    .remedy(format!("Use its first {FEWEST} digits or more")));
            }
            let shown: String = certificate.as_str().chars().take(SHOWN).collect();
            (format!("certificate {shown} of {} revoked", entry.unit), 0)
        }
    };
    note(data, utc, by, what_words)?;
    Ok((register.revoke(meant, utc)?.len(), withdrawn))
}

//! One-time codes: made by [`make_code`], each a small file until its time is over, used by the service.
//!
//! Of the secret only what Argon2id makes of it is kept. A code is found by its name, which has a million values; who does not
//! know it cannot even spoil it. Tries are counted on the disk before they are judged.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::authority::{authority_of, check_unit};
use super::files;
use super::record::note;
use crate::clock::Clock;
use crate::fault::{Fault, Kind, Result};
use crate::seal;
use crate::sync::enrol::{Code, is_name, stretched};

/// The longest that a code may be open.
const LONGEST: TimeDelta = TimeDelta::days(7);
/// Wrong secrets after which a code is dead.
pub(super) const TRIES: u32 = 5;

/// An open code, as people are shown it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenCode {
    /// Its first group.
    pub name: String,
    /// For whom it was made.
    pub unit: String,
    /// By whom.
    pub by: String,
    /// When.
    pub made: DateTime<Utc>,
    /// Until when it can be used.
    pub until: DateTime<Utc>,
    /// How often a wrong secret was tried with its name.
    pub wrong: u32,
}

/// What is kept of a code.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) unit: String,
    pub(super) by: String,
    pub(super) made: DateTime<Utc>,
    pub(super) until: DateTime<Utc>,
    salt: String,
    hash: String,
    /// Wrong tries, and the one that is being judged.
    pub(super) tries: u32,
    /// The key that was let in with it, as in the register: only that one gets an answer again.
    pub(super) used: Option<String>,
}

impl Kept {
    /// Whether this is its secret. Takes as long for one that fits as for one that does not.
    pub(super) fn fits(&self, secret: &str) -> bool {
        let (mut salt, mut hash) = ([0; 16], [0; 32]);
        let whole =
            hex::decode_to_slice(&self.salt, &mut salt).is_ok() & hex::decode_to_slice(&self.hash, &mut hash).is_ok();
        stretched(secret.as_bytes(), &salt)
            .is_ok_and(|tried| tried.iter().zip(&hash).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0)
            & whole
    }

    /// Whether it can be used, by a car or by the one that has used it and had no answer.
    pub(super) fn counts(&self, utc: DateTime<Utc>) -> bool {
        utc < self.until && self.tries < TRIES
    }
}

/// What is compared where there is no code of that name, so that it takes as long.
pub(super) fn decoy(secret: &str) {
    let _ = stretched(secret.as_bytes(), &[0; 16]);
}

/// Makes a code with which a car named `unit` can be enrolled once, within `valid`; `by` goes on record.
///
/// # Errors
/// There is no office; the name cannot be a unit's; nobody says who they are; the time makes no sense; or the file cannot be
/// written.
pub fn make_code(
    data: &Path,
    unit: &str,
    by: &str,
    valid: TimeDelta,
    clock: &dyn Clock,
) -> Result<(Code, DateTime<Utc>)> {
    check_unit(unit)?;
    said(by)?;
    if valid < TimeDelta::minutes(1) || valid > LONGEST {
        return Err(Fault::new(Kind::Usage, "a code cannot be open for so long, or so short")
            .remedy("Use one minute (1m) to seven days (168h)"));
    }
    let code = {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let pem = authority_of(data)?;
        let authority = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| {
            Fault::new(Kind::Damaged, "the authority cannot be used")
                .at(files::authority(data).display())
                .because(error.to_string())
                .remedy("Bring its files back from a backup")
        })?;
        let _door = files::hold_the_door(data)?;
        files::make_folder(&files::codes(data))?;
        clear(data, clock.utc())?;
        let mut code = Code::new(&authority)?;
        while path(data, &code.name()).exists() {
            code = Code::new(&authority)?;
        }
        let salt = seal::random::<16>()?;
        let (made, hash) = (clock.utc(), stretched(code.secret().as_bytes(), &salt)?);
        let kept = Kept {
            unit: unit.to_owned(),
            by: by.trim().to_owned(),
            made,
            until: made + valid,
            salt: hex::encode(salt),
            hash: hex::encode(*hash),
            tries: 0,
            used: None,
        };
        let until = kept.until.format("%Y-%m-%d %H:%M UTC");
        note(data, made, by, format!("code {} made for {unit}, until {until}", code.name()))?;
        save(data, &code.name(), &kept)?;
        (code, kept.until)
    };
    Ok(code)
}

/// The codes that can be used now, the oldest first.
///
/// # Errors
/// They cannot be read.
pub fn open_codes(data: &Path, clock: &dyn Clock) -> Result<Vec<OpenCode>> {
    let mut open: Vec<OpenCode> = all(data)?
        .into_iter()
        .filter(|(_, kept)| kept.counts(clock.utc()) && kept.used.is_none())
        .map(|(name, kept)| OpenCode {
            name,
            unit: kept.unit,
            by: kept.by,
            made: kept.made,
            until: kept.until,
            wrong: kept.tries,
        })
        .collect();
    open.sort_by_key(|code| code.made);
    Ok(open)
}

/// Takes the code of this name back; `by` goes on record.
///
/// # Errors
/// There is none, nobody says who they are, or the file cannot be removed.
pub fn withdraw_code(data: &Path, name: &str, by: &str, clock: &dyn Clock) -> Result<()> {
    said(by)?;
    let name = name.trim().to_uppercase();
    let _door = files::hold_the_door(data)?;
    let kept = load(data, &name)?.filter(|kept| kept.counts(clock.utc()) && kept.used.is_none()).ok_or_else(|| {
        Fault::new(Kind::Missing, format!("no code named {name:?} is open"))
            .at(data.display())
            .remedy("See which are with outrider-office codes; the name is the first group")
    })?;
    note(data, clock.utc(), by, format!("code {name} for {} withdrawn", kept.unit))?;
    remove(data, &name)
}

/// Takes back every code of a unit, used or not, and says how many. Whoever calls holds the door.
pub(super) fn withdraw_all_of(data: &Path, unit: &str) -> Result<usize> {
    let mut count = 0;
    for (name, _) in all(data)?.into_iter().filter(|(_, kept)| kept.unit == unit) {
        remove(data, &name)?;
        count += 1;
    }
    Ok(count)
}

/// Removes codes whose time is over. Whoever calls holds the door.
pub(super) fn clear(data: &Path, utc: DateTime<Utc>) -> Result<()> {
    all(data)?.into_iter().filter(|(_, kept)| utc >= kept.until).try_for_each(|(name, _)| remove(data, &name))
}

/// What is kept of the code of this name.
pub(super) fn load(data: &Path, name: &str) -> Result<Option<Kept>> {
    if !is_name(name) {
        return Ok(None);
    }
    let path = path(data, name);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::io("cannot read a code", &path, error)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Fault::new(Kind::Damaged, "a code cannot be read")
            .at(path.display())
            .because(error)
            .remedy("Take the file away, and make another code")
    })
}

/// Keeps a code. Whoever calls holds the door.
pub(super) fn save(data: &Path, name: &str, kept: &Kept) -> Result<()> {
    let json = serde_json::to_vec_pretty(kept)
        .map_err(|error| Fault::new(Kind::Internal, "cannot write a code").because(error))?;
    files::replace(&path(data, name), &json)
}

fn all(data: &Path) -> Result<Vec<(String, Kept)>> {
    let folder = files::codes(data);
    let unreadable = |error| Fault::io("cannot read the codes", &folder, error);
    let files = match std::fs::read_dir(&folder) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut all = Vec::new();
    for file in files {
        let name = file.map_err(unreadable)?.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(".json")).unwrap_or_default();
        all.extend(load(data, name)?.map(|kept| (name.to_owned(), kept)));
    }
    Ok(all)
}

fn remove(data: &Path, name: &str) -> Result<()> {
    let path = path(data, name);
    std::fs::remove_file(&path).map_err(|error| Fault::io("cannot take a code back", &path, error))
}

fn path(data: &Path, name: &str) -> PathBuf {
    files::codes(data).join(format!("{name}.json"))
}

fn said(by: &str) -> Result<()> {
    if by.trim().is_empty() {
        return Err(
            Fault::new(Kind::Usage, "it is not said who lets the car in").remedy("Say it with --by: it goes on record")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimulatedClock;
    use crate::office::{enrolments, init};

    #[test]
    fn a_code_is_made_listed_withdrawn_and_runs_out_and_who_did_it_is_on_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = SimulatedClock::starting("2026-12-01T10:00:00Z".parse().expect("a time"));
        let data = folder.path().join("office");
        let quarter = TimeDelta::minutes(15);
        let kind = |result: Result<(Code, DateTime<Utc>)>| result.map(|_| ()).map_err(|fault| fault.kind());
        assert_eq!(kind(make_code(&data, "car-01", "Sgt Example", quarter, &*clock)), Err(Kind::Missing));
        init(&data, &[], &*clock).expect("made");
        assert_eq!(kind(make_code(&data, "car-01", " ", quarter, &*clock)), Err(Kind::Usage));
        assert_eq!(kind(make_code(&data, " x", "Sgt Example", quarter, &*clock)), Err(Kind::Usage));
        assert_eq!(kind(make_code(&data, "x", "Sgt Example", TimeDelta::days(8), &*clock)), Err(Kind::Usage));
        assert!(open_codes(&data, &*clock).expect("read").is_empty());

        let (code, until) = make_code(&data, "car-01", "Sgt Example", quarter, &*clock).expect("made");
        let (other, _) = make_code(&data, "car-02", "Insp Example", quarter * 4, &*clock).expect("made");
        assert_eq!(until, clock.utc() + quarter);
        let kept = load(&data, &code.name()).expect("read").expect("there");
        assert!(kept.fits(&code.secret()) && !kept.fits(&other.secret()) && !kept.fits(""));
        for file in std::fs::read_dir(files::codes(&data)).expect("read") {
            let text = std::fs::read_to_string(file.expect("a file").path()).expect("read");
            assert!(!text.contains(&code.secret()) && !text.contains(&other.secret()), "{text}");
        }
        let names = |clock: &SimulatedClock| -> Vec<String> {
            open_codes(&data, clock).expect("read").into_iter().map(|code| code.name).collect()
        };
        assert_eq!(names(&clock).len(), 2);
        clock.advance(std::time::Duration::from_secs(15 * 60));
        assert_eq!(names(&clock), [other.name()]);
        assert_eq!(
            withdraw_code(&data, &code.name(), "Sgt Example", &*clock).map_err(|f| f.kind()),
            Err(Kind::Missing)
        );
        assert_eq!(withdraw_code(&data, "../x", "Sgt Example", &*clock).map_err(|f| f.kind()), Err(Kind::Missing));
        withdraw_code(&data, &other.name().to_lowercase(), "Sgt Example", &*clock).expect("withdrawn");
        clear(&data, clock.utc()).expect("cleared");
        assert_eq!(std::fs::read_dir(files::codes(&data)).expect("read").count(), 0);
        let record = enrolments(&data).expect("read");
        assert_eq!(record.len(), 3);
        assert!(
            record[0].by == "Sgt Example" && record[0].what.contains("made for car-01, until 2026-12-01 10:15 UTC")
        );
        assert!(record[2].what.contains("for car-02 withdrawn") && !format!("{record:?}").contains(&code.secret()));
    }
}

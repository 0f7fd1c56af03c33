//! Identities: the office's own authority, the service's certificate, and one for each car.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Datelike, Days, Timelike, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, date_time_ymd,
};
use rustls::pki_types::ServerName;
use sha2::{Digest, Sha256};

use super::files;
use super::record::{BY_ITSELF, NOT_SAID, note};
use super::register::{Entry, Fingerprint, Register};
use crate::clock::Clock;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::SigningKey;
use crate::sync::identity::{AUTHORITY_FILE, CERTIFICATE_FILE, Identity, KEY_FILE, LISTS_FILE, life_of};
use crate::sync::wire::NAME_LIMIT;

/// Days for which the authority is valid: the life of an installation.
const AUTHORITY_DAYS: u64 = 20 * 365;
/// Days for which the service's certificate is valid.
const SERVICE_DAYS: u64 = 5 * 365;
/// What the service's certificate calls it.
const SERVICE: &str = "Outrider office";
/// Days for which a car's certificate is valid.
const CAR_DAYS: u64 = 2 * 365;

/// Makes a new office in `data`: its authority, and the identity of its service under the given host names and
/// addresses (the machine's own loopback names are always among them).
pub fn init(data: &Path, names: &[String], clock: &dyn Clock) -> Result<()> {
    let (authority, identity) = (files::authority(data), files::identity(data));
    if authority.join(KEY_FILE).exists() {
        return Err(Fault::new(Kind::Denied, "there is an office already")
            .at(data.display())
            .remedy("Name another folder; the cars of this one trust its authority"));
    }
    let utc = clock.utc();
    // No two authorities share a name: a certificate of another office is then known by its issuer.
    let name = format!("Outrider office authority {:016x}", fastrand::u64(..));
    let mut params = params(Vec::new(), &name, utc, AUTHORITY_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(unmade)?;
    let certificate = params.self_signed(&key).map_err(unmade)?;
    let issuer = Issuer::from_params(&params, &key);

    let mut service_names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    service_names
        .extend(names.iter().filter(|name| !["localhost", "127.0.0.1", "::1"].contains(&name.as_str())).cloned());
    let service = issue(&issuer, service_names, SERVICE, (utc, SERVICE_DAYS), ExtendedKeyUsagePurpose::ServerAuth)?;

    for folder in [data, &authority, &identity, &files::units(data), &files::inbox(data)] {
        files::make_folder(folder)?;
    }
    let authority_pem = certificate.pem();
    service.write(&identity, &authority_pem)?;
    files::write_new(&authority.join(AUTHORITY_FILE), authority_pem.as_bytes())?;
    // The authority's key is written last: an office is there when it is.
    files::write_new(&authority.join(KEY_FILE), key.serialize_pem().as_bytes())
}

/// Gives the service a new certificate if two thirds of the old one's life are over: same key, same names. Says whether it did.
///
/// # Errors
/// The authority or the identity cannot be read, or the new certificate cannot be written; the old one is there still.
pub(crate) fn renew_service(data: &Path, clock: &dyn Clock) -> Result<bool> {
    let (there, utc) = (Identity::load(&files::identity(data))?, clock.utc());
    if utc < there.life()?.renewal() {
        return Ok(false);
    }
    certify_service(data, there.names(), utc, BY_ITSELF, "the service's certificate renewed".into())?;
    Ok(true)
}

/// Gives the service a certificate with these names in place of the one it has, for the same key, and puts on record `what` this
/// is and that `by` wanted it.
///
/// # Errors
/// A name is none, the authority or the identity cannot be read, or the new certificate cannot be written; the old one is there
/// still.
pub(super) fn certify_service(
    data: &Path,
    names: Vec<String>,
    utc: DateTime<Utc>,
    by: &str,
    what: String,
) -> Result<()> {
    let folder = files::identity(data);
    let path = folder.join(KEY_FILE);
    let key = std::fs::read_to_string(&path).map_err(|error| Fault::io("cannot read the identity", &path, error))?;
    let key = KeyPair::from_pem(&key).map_err(unmade)?;
    let (life, usage) = ((utc, SERVICE_DAYS), ExtendedKeyUsagePurpose::ServerAuth);
    let certificate = certificate(&issuer_of(data)?, names, SERVICE, &key, life, usage)?;
    note(data, utc, by, what)?;
    files::replace(&folder.join(CERTIFICATE_FILE), certificate.pem().as_bytes())
}

/// Issues the identity of a car and writes it to the folder `out`, to be carried to the car: the way for a car that has no
/// network, since its key is made here. `unit` must be the name in the car's configuration. A running service knows it at
/// once.
pub fn enrol(data: &Path, unit: &str, out: &Path, clock: &dyn Clock) -> Result<()> {
    check_unit(unit)?;
    let authority_pem = authority_of(data)?;
    let utc = clock.utc();
    let key = KeyPair::generate().map_err(unmade)?;
    let car = certify(data, unit, &key, utc)?;
    files::make_folder(out)?;
    let issued = Issued { certificate_pem: car.pem(), key_pem: key.serialize_pem() };
    let _door = files::hold_the_door(data)?;
    note(data, utc, NOT_SAID, format!("{unit} enrolled by folder"))?;
    issued.write(out, &authority_pem)?;
    let lists = format!("{}\n", lists_key(data)?.verifying());
    files::write_new(&out.join(LISTS_FILE), lists.as_bytes())
        .map_err(|fault| fault.remedy("Name a folder that holds no identity yet"))?;
    let (certificate, entry) = entry_of(unit, &car, &key, utc, "folder".into())?;
    Register::of(data).add(&certificate, &entry)
}

/// Refuses what cannot be a unit's name.
pub(super) fn check_unit(unit: &str) -> Result<()> {
    if unit.trim() != unit || unit.is_empty() || unit.len() > NAME_LIMIT || unit.chars().any(char::is_control) {
        return Err(Fault::new(Kind::Usage, format!("{unit:?} cannot be a unit's name"))
            .remedy(format!("Use 1 to {NAME_LIMIT} characters without spaces at the ends")));
    }
    Ok(())
}

/// The authority's certificate, PEM.
pub(super) fn authority_of(data: &Path) -> Result<String> {
    read(data, AUTHORITY_FILE)
}

fn read(data: &Path, name: &str) -> Result<String> {
    let path = files::authority(data).join(name);
    std::fs::read_to_string(&path).map_err(|error| {
        Fault::io("cannot read the authority", &path, error).remedy("Make an office with outrider-office init first")
    })
}

/// A car's certificate for this key.
pub(super) fn certify(
    data: &Path,
    unit: &str,
    key: &impl PublicKeyData,
    utc: DateTime<Utc>,
) -> Result<rcgen::Certificate> {
    certificate(&issuer_of(data)?, Vec::new(), unit, key, (utc, CAR_DAYS), ExtendedKeyUsagePurpose::ClientAuth)
}

fn issuer_of(data: &Path) -> Result<Issuer<'static, KeyPair>> {
    let damaged = |error: rcgen::Error| {
        Fault::new(Kind::Damaged, "the authority cannot be used")
            .at(files::authority(data).display())
            .because(error)
            .remedy("Bring its files back from a backup")
    };
    let authority = KeyPair::from_pem(&read(data, KEY_FILE)?).map_err(damaged)?;
    Issuer::from_ca_cert_pem(&authority_of(data)?, authority).map_err(damaged)
}

/// What the register is to know of a car's certificate, and its name there.
pub(super) fn entry_of(
    unit: &str,
    certificate: &rcgen::Certificate,
    key: &impl PublicKeyData,
    issued: DateTime<Utc>,
    how: String,
) -> Result<(Fingerprint, Entry)> {
    let life = life_of(certificate.der())
        .ok_or_else(|| Fault::new(Kind::Internal, "a certificate was made that cannot be read"))?;
    let entry = Entry {
        unit: unit.to_owned(),
        issued,
        expires: life.until,
        how,
        renews: None,
        replaced: None,
        revoked: None,
        key: key_name(key),
        certificate: certificate.pem(),
    };
    Ok((Fingerprint::of(certificate.der()), entry))
}

/// What a key is called in codes and register.
pub(super) fn key_name(key: &impl PublicKeyData) -> String {
    hex::encode(Sha256::digest(key.subject_public_key_info()))
}

/// The key that signs lists; made when it is first asked for, since offices of earlier programs have none.
pub(crate) fn lists_key(data: &Path) -> Result<SigningKey> {
    let path = files::lists_key(data);
    if !path.exists() {
        files::write_new(&path, &SigningKey::generate()?)?;
    }
    let bytes =
        std::fs::read(&path).map_err(|error| Fault::io("cannot read the key that signs lists", &path, error))?;
    SigningKey::from_bytes(&bytes)
        .map_err(|fault| fault.at(path.display()).remedy("Bring the authority's files back from a backup"))
}

/// A certificate and its key.
struct Issued {
    certificate_pem: String,
    key_pem: String,
}

impl Issued {
    fn write(&self, folder: &Path, authority_pem: &str) -> Result<()> {
        let taken = |fault: Fault| fault.remedy("Name a folder that holds no identity yet");
        files::write_new(&folder.join(KEY_FILE), self.key_pem.as_bytes()).map_err(taken)?;
        files::write_new(&folder.join(CERTIFICATE_FILE), self.certificate_pem.as_bytes()).map_err(taken)?;
        files::write_new(&folder.join(AUTHORITY_FILE), authority_pem.as_bytes()).map_err(taken)
    }
}

fn issue<K: rcgen::SigningKey>(
    issuer: &Issuer<'_, K>,
    names: Vec<String>,
    name: &str,
    life: (DateTime<Utc>, u64),
    usage: ExtendedKeyUsagePurpose,
) -> Result<Issued> {
    let key = KeyPair::generate().map_err(unmade)?;
    let certificate = certificate(issuer, names, name, &key, life, usage)?;
    Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

fn certificate<K: rcgen::SigningKey>(
    issuer: &Issuer<'_, K>,
    names: Vec<String>,
    name: &str,
    key: &impl PublicKeyData,
    (utc, days): (DateTime<Utc>, u64),
    usage: ExtendedKeyUsagePurpose,
) -> Result<rcgen::Certificate> {
    let mut params = params(names, name, utc, days)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params.signed_by(key, issuer).map_err(unmade)
}

/// Valid from yesterday on, since no two clocks agree.
fn params(names: Vec<String>, name: &str, utc: DateTime<Utc>, days: u64) -> Result<CertificateParams> {
    let wrong = |said: &str, why: String| {
        Fault::new(Kind::Usage, format!("not host names or addresses: {said}"))
            .because(why)
            .remedy("Give the names and addresses under which cars reach the office, without a port")
    };
    // What a car could never ask for is a slip: a port, a space, nothing at all.
    if let Some(slip) = names.iter().find(|name| ServerName::try_from(name.as_str()).is_err()) {
        return Err(wrong(slip, "cars cannot ask for it".into()));
    }
    let said = names.join(", ");
    let mut params = CertificateParams::new(names).map_err(|error| wrong(&said, error.to_string()))?;
    let date = |at: DateTime<Utc>| {
        let seconds = at.num_seconds_from_midnight();
        date_time_ymd(at.year(), at.month() as u8, at.day() as u8) + Duration::from_secs(seconds.into())
    };
    params.not_before = date(utc - Days::new(1));
    params.not_after = date(utc + Days::new(days));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn unmade(error: rcgen::Error) -> Fault {
    Fault::new(Kind::Internal, "cannot make a certificate").because(error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::clock::RealClock;

    #[test]
    fn an_office_is_made_once_and_keeps_its_keys_to_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let (data, clock) = (folder.path().join("office"), RealClock::shared());
        init(&data, &["office.example.org".into()], &*clock).expect("made");
        assert_eq!(init(&data, &[], &*clock).map_err(|fault| fault.kind()), Err(Kind::Denied));
        enrol(&data, "EX-01", &folder.path().join("car"), &*clock).expect("enrolled");
        for key in ["office/authority/key.pem", "office/authority/lists.key", "office/identity/key.pem", "car/key.pem"]
        {
            let mode = std::fs::metadata(folder.path().join(key)).expect("written").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
        let again = enrol(&data, "EX-01", &folder.path().join("car"), &*clock).expect_err("taken");
        assert!(again.to_string().contains("holds no identity"), "{again}");
    }

    #[test]
    fn wrong_use_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let (data, clock) = (folder.path().join("office"), RealClock::shared());
        let kind = |result: Result<()>| result.map_err(|fault| fault.kind());
        assert_eq!(kind(enrol(&data, "EX-01", &folder.path().join("car"), &*clock)), Err(Kind::Missing));
        assert_eq!(kind(init(&data, &["not a host\u{e9}".into()], &*clock)), Err(Kind::Usage));
        for slip in ["office.example.org:4433", "an office", ""] {
            assert_eq!(kind(init(&data, &[slip.into()], &*clock)), Err(Kind::Usage), "{slip:?}");
        }
        assert!(!data.join("authority").exists(), "nothing is left of a refused init");
        init(&data, &[], &*clock).expect("made");
        assert_eq!(kind(enrol(&data, " x", &folder.path().join("car"), &*clock)), Err(Kind::Usage));
    }
}

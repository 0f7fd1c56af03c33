//! Changing the files of an identity, so that a power cut at any instant leaves the old one or the new one, whole.
//!
//! The new files are put together in the folder `.next`, whose renaming to `new` makes them count all at once: where there
//! is a `new`, it is the identity. Its files are then copied over those beside it, each whole, and it goes. Nothing but
//! the identity's own folder has to be writable for it, and what is left is four files, as after the first time.

use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PublicKeyData};

use super::{AUTHORITY_FILE, CERTIFICATE_FILE, Identity, KEY_FILE, LISTS_FILE, read};
use crate::fault::{Fault, Kind, Result};
use crate::files;
use crate::hotlist::VerifyingKey;
use crate::sync::enrol::proto::Issued;

/// What is being put together; its key is there before anybody is asked to certify it.
const NEXT: &str = ".next";
/// A whole identity, newer than the files beside it.
const NEW: &str = "new";
/// What is of no use any more.
const OLD: &str = ".old";
/// What a key that nobody has certified yet was made for.
const PURPOSE_FILE: &str = "purpose";

/// What a new key is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be enrolled with the code of this name.
    Code(String),
    /// To go on.
    Renewal,
}

impl Purpose {
    fn words(&self) -> String {
        match self {
            Self::Code(name) => format!("code {name}"),
            Self::Renewal => "renewal".into(),
        }
    }
}

/// Where the files of the identity in `folder` are now.
pub(crate) fn current(folder: &Path) -> PathBuf {
    let new = folder.join(NEW);
    if new.is_dir() { new } else { folder.to_owned() }
}

/// What `read` finds in the folder where the files are now: again, if they were changed meanwhile.
pub(crate) fn whole<T>(folder: &Path, read: impl Fn(&Path) -> Result<T>) -> Result<T> {
    loop {
        let before = current(folder);
        let found = read(&before);
        if current(folder) == before {
            return found;
        }
    }
}

/// Whether there is an identity in `folder`.
pub(crate) fn is_there(folder: &Path) -> bool {
    current(folder).join(CERTIFICATE_FILE).exists()
}

/// The key that is to be certified: the one of the last try, if that was for the same purpose and had no answer, so that
/// the office gives the same answer; else a new one, which is on the disk when this returns.
///
/// # Errors
/// The folder cannot be written to.
pub(crate) fn pending(folder: &Path, purpose: &Purpose) -> Result<KeyPair> {
    let next = folder.join(NEXT);
    let words = purpose.words();
    let kept = std::fs::read_to_string(next.join(PURPOSE_FILE)).is_ok_and(|kept| kept == words);
    let key = std::fs::read_to_string(next.join(KEY_FILE)).ok().and_then(|key| KeyPair::from_pem(&key).ok());
    if let Some(key) = key.filter(|_| kept) {
        return Ok(key);
    }
    remove(&next)?;
    let key = KeyPair::generate().map_err(|error| Fault::new(Kind::Internal, "cannot make a key").because(error))?;
    files::make_folder(&next)?;
    files::replace(&next.join(KEY_FILE), key.serialize_pem().as_bytes())?;
    files::replace(&next.join(PURPOSE_FILE), words.as_bytes())?;
    Ok(key)
}

/// Puts in place what the office issued for the key that is [`pending`].
///
/// # Errors
/// It does not belong to that key, or makes no sense; or the folder cannot be written to. The old identity, if there was
/// one, counts as before.
pub(crate) fn install(folder: &Path, issued: &Issued) -> Result<Identity> {
    let identity = judge(folder, issued)?;
    for step in steps(folder, issued) {
        take(folder, &step)?;
    }
    Ok(identity)
}

/// Puts a newer certificate for the key that is [`pending`] in place; authority and key for lists stay.
///
/// # Errors
/// As for [`install`].
pub(crate) fn renew(folder: &Path, certificate: &str) -> Result<Identity> {
    let text =
        |name| whole(folder, |folder| read(folder, name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let (authority, lists) = (text(AUTHORITY_FILE)?, text(LISTS_FILE)?);
    install(folder, &Issued { certificate: certificate.to_owned(), authority, lists })
}

/// The identity that it makes with the pending key.
fn judge(folder: &Path, issued: &Issued) -> Result<Identity> {
    let senseless =
        |why: &str| Fault::new(Kind::Damaged, "what the office issued cannot be used").because(why.to_owned());
    let key_pem = read(&folder.join(NEXT), KEY_FILE)?;
    let key = KeyPair::from_pem(&String::from_utf8_lossy(&key_pem)).map_err(|_| senseless("the key is gone"))?;
    let identity = Identity::of(folder, |name| {
        Ok(match name {
            AUTHORITY_FILE => issued.authority.as_bytes(),
            CERTIFICATE_FILE => issued.certificate.as_bytes(),
            _ => &key_pem,
        }
        .to_vec())
    })?;
    let holder = identity.certificates.first().and_then(|certificate| {
        use x509_parser::prelude::{FromDer, X509Certificate};
        X509Certificate::from_der(certificate).ok().map(|(_, certificate)| certificate.public_key().raw.to_vec())
    });
    if holder.as_deref() != Some(&key.subject_public_key_info()) {
        return Err(senseless("the certificate is of another key"));
    }
    identity.life()?;
    VerifyingKey::parse(&issued.lists)?;
    Ok(identity)
}

/// One step on the way, after each of which the power may fail.
#[derive(Debug)]
enum Step {
    /// A file of the new identity.
    Write(&'static str, Vec<u8>),
    /// From now on it counts.
    Count,
    /// A file of it is copied to where people look for it.
    Copy(&'static str),
    /// The copies count.
    Retire,
    /// What is left over goes.
    Clear,
}

/// The files of an identity.
const FILES: [&str; 4] = [KEY_FILE, CERTIFICATE_FILE, AUTHORITY_FILE, LISTS_FILE];

fn steps(folder: &Path, issued: &Issued) -> Vec<Step> {
    let settle = || FILES.map(Step::Copy).into_iter().chain([Step::Retire, Step::Clear]);
    // What the power cut short the last time comes first.
    let before = folder.join(NEW).is_dir().then(settle).into_iter().flatten();
    let write = [
        Step::Clear,
        Step::Write(CERTIFICATE_FILE, issued.certificate.clone().into_bytes()),
        Step::Write(AUTHORITY_FILE, issued.authority.clone().into_bytes()),
        Step::Write(LISTS_FILE, format!("{}\n", issued.lists.trim()).into_bytes()),
        Step::Count,
    ];
    before.chain(write).chain(settle()).collect()
}

fn take(folder: &Path, step: &Step) -> Result<()> {
    let (next, new, old) = (folder.join(NEXT), folder.join(NEW), folder.join(OLD));
    let cannot = |error| Fault::io("cannot change the identity", folder, error);
    match step {
        Step::Write(name, bytes) => files::replace(&next.join(name), bytes),
        Step::Count => files::rename(&next, &new).map_err(cannot),
        Step::Copy(name) => files::replace(&folder.join(name), &read(&new, name)?),
        Step::Retire => files::rename(&new, &old).map_err(cannot),
        Step::Clear => remove(&old),
    }
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Fault::io("cannot clear what is left of a new identity", folder, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::sync::enrol::request_for;

    /// What an office issues for the pending key.
    fn issued(folder: &Path, purpose: &Purpose) -> Issued {
        let key = pending(folder, purpose).expect("a key");
        assert!(request_for(&key).is_ok());
        let authority = rcgen::CertificateParams::default().self_signed(&key).expect("signed").pem();
        let lists = crate::hotlist::SigningKey::generate().expect("made");
        let lists = crate::hotlist::SigningKey::from_bytes(&lists).expect("a key").verifying().to_string();
        Issued { certificate: authority.clone(), authority, lists }
    }

    fn files_of(folder: &Path) -> Option<[Vec<u8>; 4]> {
        let folder = current(folder);
        let files = FILES.map(|name| std::fs::read(folder.join(name)).ok());
        files.iter().all(Option::is_some).then(|| files.map(Option::unwrap_or_default))
    }

    #[test]
    fn a_power_cut_at_any_step_leaves_the_old_identity_or_the_new_one_whole() {
        let first = Purpose::Code("ABCD".into());
        for there_before in [false, true] {
            let mut seen = [0, 0];
            for cut in 0..=20 {
                let temporary = tempfile::tempdir().expect("a folder");
                let folder = &temporary.path().join("identity");
                files::make_folder(folder).expect("made");
                if there_before {
                    install(folder, &issued(folder, &first)).expect("installed");
                }
                let old = files_of(folder);
                assert_eq!(old.is_some(), there_before);
                let next = issued(folder, &Purpose::Renewal);
                for step in steps(folder, &next).iter().take(cut) {
                    take(folder, step).expect("taken");
                }
                let now = files_of(folder);
                let is_new = now != old;
                assert_eq!(is_there(folder), now.is_some());
                if is_new {
                    assert_eq!(now.as_ref().expect("whole")[1], next.certificate.as_bytes());
                    assert!(
                        Identity::load(folder)
                            .and_then(|there| there.client(crate::clock::RealClock::shared()))
                            .is_ok()
                    );
                }
                seen[usize::from(is_new)] += 1;
                // Whatever was cut short, the next time all is well, and nothing is left over.
                let last = issued(folder, &Purpose::Renewal);
                install(folder, &last).expect("installed");
                assert_eq!(files_of(folder).expect("whole")[1], last.certificate.as_bytes());
                let mut names: Vec<_> = std::fs::read_dir(folder)
                    .expect("read")
                    .map(|file| file.expect("a file").file_name().into_string().expect("plain"))
                    .collect();
                names.sort();
                assert_eq!(names, [AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE, LISTS_FILE], "{cut}");
                let mode = std::fs::metadata(folder.join(KEY_FILE)).expect("there").permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
            }
            assert!(seen[0] >= 5 && seen[1] >= 5, "{seen:?}");
        }
    }

    #[test]
    fn a_key_is_kept_for_the_same_purpose_and_what_is_issued_must_be_for_it() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path();
        let code = |name: &str| pending(folder, &Purpose::Code(name.into())).expect("a key").serialize_pem();
        let first = code("ABCD");
        assert_eq!(first, code("ABCD"));
        assert_ne!(first, code("EFGH"));
        let other = issued(folder, &Purpose::Renewal);
        pending(folder, &Purpose::Code("ABCD".into())).expect("another key");
        let fault = install(folder, &other).err().expect("of another key");
        assert!(fault.to_string().contains("of another key") && !is_there(folder), "{fault}");
    }
}

//! Letting cars in: one short conversation, in which a car shows a code, or a certificate that is to be renewed.
//!
//! Whoever gets here may be anybody. A stranger costs one small message, one place among few, and, where the try counts,
//! one hash; what is wrong with a code is not told apart.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::Message;
use quinn::{Connection, VarInt};
use rcgen::{CertificateSigningRequestParams, PublicKeyData};
use tokio::sync::Semaphore;

use super::authority::{authority_of, certify, entry_of, key_name, lists_key};
use super::codes::{self, TRIES};
use super::files;
use super::patience::Patience;
use super::record::{BY_ITSELF, note};
use super::register::{Entry, Fingerprint, Standing};
use super::service::Office;
use crate::fault::Fault;
use crate::sync::enrol::LIMIT;
use crate::sync::enrol::proto::answer::Answer as Said;
use crate::sync::enrol::proto::{Answer, Issued, Reason, Refused, Request};
use crate::sync::wire::Code;

/// How long a car may take to ask, and to hear the answer.
const ASK: Duration = Duration::from_secs(10);
/// Requests that are judged at once; others wait their turn.
const JUDGED: usize = 2;
/// Renewals of one certificate that are issued: a car needs one, and another where it lost the key.
const RENEWALS: usize = 8;

/// What the service keeps for enrolments while it runs.
#[derive(Debug)]
pub(crate) struct Enrolments {
    patience: Mutex<Patience>,
    judged: Semaphore,
}

impl Default for Enrolments {
    fn default() -> Self {
        Self { patience: Mutex::default(), judged: Semaphore::new(JUDGED) }
    }
}

/// Serves one connection for enrolment, to its end. `certificate` is what it showed, if anything.
pub(crate) async fn serve(office: Arc<Office>, connection: Connection, certificate: Option<Fingerprint>) {
    connection.set_max_concurrent_uni_streams(0u8.into());
    connection.set_receive_window((LIMIT as u32).into());
    let code = match tokio::time::timeout(ASK, converse(&office, &connection, certificate)).await {
        Ok(Ok(())) => Code::Done,
        Ok(Err(why)) => {
            office.board.refused(why, office.clock.utc());
            Code::Breach
        }
        Err(_) => {
            office.board.refused("an enrolment that took too long", office.clock.utc());
            Code::Silent
        }
    };
    connection.close(VarInt::from_u32(code.number()), b"");
}

async fn converse(
    office: &Arc<Office>,
    connection: &Connection,
    certificate: Option<Fingerprint>,
) -> Result<(), &'static str> {
    let Ok((mut answers, mut questions)) = connection.accept_bi().await else { return Ok(()) };
    let request = match questions.read_to_end(LIMIT).await {
        Ok(bytes) => Request::decode(&bytes[..]).map_err(|_| "an enrolment that is none")?,
        Err(quinn::ReadToEndError::TooLong) => return Err("an enrolment of absurd length"),
        Err(quinn::ReadToEndError::Read(_)) => return Ok(()),
    };
    let address = connection.remote_address().ip();
    let Ok(_turn) = office.enrolments.judged.acquire().await else { return Ok(()) };
    let judge = Arc::clone(office);
    let said = tokio::task::spawn_blocking(move || judge.judge(address, certificate.as_ref(), &request)).await;
    let Ok(said) = said else { return Err("an enrolment ended by a panic") };
    let answer = Answer { answer: Some(said) }.encode_to_vec();
    // A car that has gone asks again, and gets the same.
    if answers.write_all(&answer).await.is_ok() && answers.finish().is_ok() {
        let _ = answers.stopped().await;
    }
    Ok(())
}

/// Why nothing is issued.
enum No {
    Because(Reason),
    Wait(Duration),
    Trouble(Fault),
}

impl From<Fault> for No {
    fn from(fault: Fault) -> Self {
        Self::Trouble(fault)
    }
}

impl Office {
    /// What a car gets that asks. Blocks on the disk.
    fn judge(&self, address: IpAddr, certificate: Option<&Fingerprint>, request: &Request) -> Said {
        let issued = match certificate {
            Some(certificate) if request.code.is_empty() => self.renew(certificate, request),
            _ => self.let_in(address, request),
        };
        let refused = |reason: Reason, wait_s| Said::Refused(Refused { reason: reason.into(), wait_s });
        match issued {
            Ok(issued) => Said::Issued(issued),
            Err(No::Because(reason)) => {
                self.board.refused(&format!("an enrolment: {}", words(reason)), self.clock.utc());
                refused(reason, 0)
            }
            Err(No::Wait(wait)) => {
                self.board.refused("an enrolment: too many tries", self.clock.utc());
                refused(Reason::Wait, u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1))
            }
            Err(No::Trouble(fault)) => {
                self.board.trouble(&fault, self.clock.utc());
                refused(Reason::Trouble, 0)
            }
        }
    }

    /// A car with a code.
    fn let_in(&self, address: IpAddr, request: &Request) -> Result<Issued, No> {
        let _door = files::hold_the_door(&self.data)?;
        let utc = self.clock.utc();
        self.patience(|patience| patience.try_now(address, self.clock.now())).map_err(No::Wait)?;
        let wrong = || {
            self.patience(|patience| patience.wrong(address, self.clock.now()));
            No::Because(Reason::Code)
        };
        let Some(mut kept) = codes::load(&self.data, &request.code)?.filter(|kept| kept.counts(utc)) else {
            codes::decoy(&request.secret);
            return Err(wrong());
        };
        // Counted on the disk before it is judged: whoever cuts the power gets no further try.
        kept.tries += 1;
        codes::save(&self.data, &request.code, &kept)?;
        if !kept.fits(&request.secret) {
            if kept.tries >= TRIES {
                note(
                    &self.data,
                    utc,
                    BY_ITSELF,
                    format!("code {} for {} dead after wrong tries", request.code, kept.unit),
                )?;
            }
            return Err(wrong());
        }
        kept.tries -= 1;
        codes::save(&self.data, &request.code, &kept)?;
        self.patience(|patience| patience.right(address));
        if request.unit != kept.unit {
            return Err(No::Because(Reason::Unit));
        }
        let key = asked(request)?;
        let name = key_name(&key);
        if kept.used.as_ref().is_some_and(|used| *used != name) {
            return Err(wrong());
        }
        if kept.used.is_none() {
            // Used first, then certified: whatever happens between the two, nobody else is let in with it.
            kept.used = Some(name.clone());
            codes::save(&self.data, &request.code, &kept)?;
        }
        let how = format!("code {} by {}", request.code, kept.by);
        self.issue(&kept.unit, &key, how, None, |entry| entry.key == name)
    }

    /// A car with a certificate, that asks for a newer one.
    fn renew(&self, certificate: &Fingerprint, request: &Request) -> Result<Issued, No> {
        let _door = files::hold_the_door(&self.data)?;
        let utc = self.clock.utc();
        let old = self.register.entry(certificate)?.filter(|old| old.standing(utc) == Standing::Good);
        let old = old.ok_or(No::Because(Reason::Unknown))?;
        if request.unit != old.unit {
            return Err(No::Because(Reason::Unit));
        }
        // Cars ask after two thirds; one that cannot keep to it must not fill the register.
        if utc < old.issued + (old.expires - old.issued) / 2 {
            return Err(No::Because(Reason::Early));
        }
        let key = asked(request)?;
        let name = key_name(&key);
        if name == old.key {
            return Err(No::Because(Reason::Request));
        }
        let renews = |entry: &Entry| entry.renews.as_ref() == Some(certificate);
        let again = |entry: &Entry| renews(entry) && entry.key == name;
        let before: Vec<Entry> = self.register.entries()?.into_iter().map(|(_, entry)| entry).filter(renews).collect();
        if before.len() >= RENEWALS && !before.iter().any(again) {
            return Err(No::Because(Reason::Unknown));
        }
        let issued = self.issue(&old.unit, &key, "renewal".into(), Some(certificate), again)?;
        // Of several that were asked for only the newest can be the one that the car keeps.
        self.register.replace(|_, entry| renews(entry) && !again(entry), utc)?;
        Ok(issued)
    }

    /// A certificate for this key, or the one that was issued for it before.
    fn issue(
        &self,
        unit: &str,
        key: &impl PublicKeyData,
        how: String,
        renews: Option<&Fingerprint>,
        same: impl Fn(&Entry) -> bool,
    ) -> Result<Issued, No> {
        let utc = self.clock.utc();
        let before = self.register.entries()?.into_iter().find(|(_, entry)| entry.unit == unit && same(entry));
        let certificate = match before {
            Some((_, entry)) if entry.standing(utc) == Standing::Good => entry.certificate,
            Some(_) => return Err(No::Because(Reason::Unknown)),
            None => {
                let certificate = certify(&self.data, unit, key, utc)?;
                let (name, entry) = entry_of(unit, &certificate, key, utc, how)?;
                note(&self.data, utc, BY_ITSELF, format!("{unit} enrolled by {}", entry.how))?;
                self.register.add(&name, &Entry { renews: renews.cloned(), ..entry })?;
                tracing::info!(
                    unit,
                    how = if renews.is_some() { "renewal" } else { "code" },
                    "a certificate is issued"
                );
                certificate.pem()
            }
        };
        let lists = lists_key(&self.data)?.verifying().to_string();
        Ok(Issued { certificate, authority: authority_of(&self.data)?, lists })
    }

    fn patience<T>(&self, with: impl FnOnce(&mut Patience) -> T) -> T {
        with(&mut self.enrolments.patience.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The key that is to be certified; that the car has it is proved.
fn asked(request: &Request) -> Result<rcgen::PublicKey, No> {
    let request = CertificateSigningRequestParams::from_der(&request.request.as_slice().into());
    let key = request.map_err(|_| No::Because(Reason::Request))?.public_key;
    if key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256 {
        return Err(No::Because(Reason::Request));
    }
    Ok(key)
}

fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::Code => "no such code is open",
        Reason::Unit => "the code or certificate is another unit's",
        Reason::Request => "the certificate request cannot be used",
        Reason::Unknown => "the certificate that is to be renewed does not count",
        Reason::Early => "it is too early to renew the certificate",
        Reason::Unspecified | Reason::Wait | Reason::Trouble => "not now",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_usual_key_is_certified() {
        let request = |key: &rcgen::KeyPair| Request {
            request: crate::sync::enrol::request_for(key).expect("signed"),
            ..Request::default()
        };
        let usual = rcgen::KeyPair::generate().expect("a key");
        assert!(asked(&request(&usual)).is_ok());
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        assert!(matches!(asked(&request(&other)), Err(No::Because(Reason::Request))));
        // Another key's signature: the car does not have the key that it names.
        let mut forged = request(&usual);
        let last = forged.request.len() - 1;
        forged.request[last] ^= 1;
        assert!(matches!(asked(&forged), Err(No::Because(Reason::Request))));
    }
}

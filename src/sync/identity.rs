//! Identities as files: whom this side trusts, who it is, and the TLS and transport settings made of them.

mod change;

#[cfg(feature = "office")]
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
#[cfg(feature = "office")]
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;

use crate::clock;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::VerifyingKey;
use crate::sync::enrol::{self, Code, FirstContact};
use crate::sync::wire::ALPN;
pub(crate) use change::{Purpose, install, is_there, pending, renew};

/// The authority that signs every identity.
pub const AUTHORITY_FILE: &str = "ca.pem";
/// This side's certificate.
pub const CERTIFICATE_FILE: &str = "cert.pem";
/// This side's private key.
pub const KEY_FILE: &str = "key.pem";
/// The key that checks the office's lists, as hexadecimal digits.
pub const LISTS_FILE: &str = "lists.pub";

/// What is to be done about an identity that is of no use.
pub(crate) const ENROL_AGAIN: &str =
    "Enrol the car again: outrider-office enrol makes a code, outrider enrol --replace takes it";

/// A keep-alive keeps the path open through the modem's and the network's address translation.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A link over which nothing comes for so long is dead. The time counts anew from the first unanswered packet, which may be a
/// keep-alive: so a link that goes dead at any instant is found within the sum of both, 15 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The round trip that is taken for likely before there is any answer: three of them pass before the first packet is sent again.
/// On a slower path that costs a packet or two; on a usual one a lost packet of a handshake costs no second.
const LIKELY_RTT: Duration = Duration::from_millis(100);
/// Sessions that the office remembers, so that a car which comes back needs no certificates on the wire: two for each of some
/// thousands of cars.
#[cfg(feature = "office")]
const SESSIONS: usize = 8192;

/// Bytes of datagrams that wait to be read or sent; what is beyond is dropped.
const DATAGRAMS: usize = 16 << 10;

/// Who this side is and whom it trusts.
#[derive(PartialEq, Eq)]
pub struct Identity {
    authority: CertificateDer<'static>,
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// How long a certificate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// From when.
    pub from: DateTime<Utc>,
    /// Until when.
    pub until: DateTime<Utc>,
}

impl Life {
    /// From when on the car asks for a new one: two thirds are over.
    pub fn renewal(&self) -> DateTime<Utc> {
        self.from + (self.until - self.from) * 2 / 3
    }

    /// What is left at `utc`; nothing where it is over.
    pub fn left(&self, utc: DateTime<Utc>) -> TimeDelta {
        (self.until - utc).max(TimeDelta::zero())
    }
}

impl Identity {
    /// Loads `ca.pem`, `cert.pem` and `key.pem` of a folder.
    pub fn load(folder: &Path) -> Result<Self> {
        change::whole(folder, |folder| Self::of(folder, |name| read(folder, name)))
    }

    /// The identity in these files, which belong to `folder`.
    fn of(folder: &Path, file: impl Fn(&str) -> Result<Vec<u8>>) -> Result<Self> {
        let authority = CertificateDer::from_pem_slice(&file(AUTHORITY_FILE)?)
            .map_err(|error| damaged(folder, AUTHORITY_FILE, "certificate", error))?;
        let certificates = CertificateDer::pem_slice_iter(&file(CERTIFICATE_FILE)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| damaged(folder, CERTIFICATE_FILE, "certificate", error))?;
        let key = PrivateKeyDer::from_pem_slice(&file(KEY_FILE)?)
            .map_err(|error| damaged(folder, KEY_FILE, "private key", error))?;
        if certificates.is_empty() {
            return Err(damaged(folder, CERTIFICATE_FILE, "certificate", rustls::pki_types::pem::Error::NoItemsFound));
        }
        Ok(Self { authority, certificates, key })
    }

    /// How long its certificate counts.
    ///
    /// # Errors
    /// The certificate cannot be read.
    pub fn life(&self) -> Result<Life> {
        self.certificates.first().and_then(|certificate| life_of(certificate)).ok_or_else(|| {
            Fault::new(Kind::Damaged, "it cannot be seen how long the certificate counts").remedy(ENROL_AGAIN)
        })
    }

    /// The names and addresses that its certificate is for.
    #[cfg(feature = "office")]
    pub(crate) fn names(&self) -> Vec<String> {
        use x509_parser::extensions::GeneralName;
        use x509_parser::prelude::{FromDer, X509Certificate};
        let Some((_, certificate)) = self.certificates.first().and_then(|shown| X509Certificate::from_der(shown).ok())
        else {
            return Vec::new();
        };
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
        let address = |bytes: &[u8]| -> Option<IpAddr> {
            let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
        };
        let name = |name: &GeneralName| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
            _ => None,
        };
        names.value.general_names.iter().filter_map(name).collect()
    }

    /// QUIC settings of a car. Certificates are judged by `clock`.
    pub(crate) fn client(&self, clock: clock::Shared) -> Result<quinn::ClientConfig> {
        // The office opens two streams to a car: for lists, and for what is urgent of them.
        self.known_client(ALPN, transport(0, 2, Some(KEEP_ALIVE)), clock)
    }

    /// QUIC settings of a car that asks for a new certificate.
    pub(crate) fn renewing_client(&self, clock: clock::Shared) -> Result<quinn::ClientConfig> {
        self.known_client(enrol::ALPN, transport(0, 0, Some(KEEP_ALIVE)), clock)
    }

    fn known_client(
        &self,
        alpn: &[u8],
        transport: quinn::TransportConfig,
        clock: clock::Shared,
    ) -> Result<quinn::ClientConfig> {
        client_config(self.tls_client(clock)?, alpn, transport)
    }

    /// TLS settings of a car. Certificates are judged by `clock`.
    pub(crate) fn tls_client(&self, clock: clock::Shared) -> Result<rustls::ClientConfig> {
        rustls::ClientConfig::builder_with_details(provider(), Arc::new(ClockTime(clock)))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(self.certificates.clone(), self.key.clone_key())
            .map_err(unusable)
    }

    /// TLS settings of the office. Whoever shows a certificate must have it from the authority; whoever shows none is let
    /// no further than to the enrolment, which asks for a code: that is for the service to see to, by the protocol of the
    /// connection.
    #[cfg(feature = "office")]
    pub(crate) fn tls_server(&self, clock: clock::Shared, shown: Arc<Shown>) -> Result<rustls::ServerConfig> {
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider())
            .allow_unauthenticated()
            .build()
            .map_err(unusable)?;
        let tls = rustls::ServerConfig::builder_with_details(provider(), Arc::new(ClockTime(clock)))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(shown);
        Ok(tls)
    }

    /// QUIC settings of the office, which shows what is `shown` at the time.
    #[cfg(feature = "office")]
    pub(crate) fn server(&self, clock: clock::Shared, shown: Arc<Shown>) -> Result<quinn::ServerConfig> {
        let mut tls = self.tls_server(clock, shown)?;
        tls.alpn_protocols = vec![ALPN.to_vec(), enrol::ALPN.to_vec()];
        // Who comes back is in the register or is not, whatever the handshake was. No early data (0-RTT): an onlooker could send
        // a car's Hello again and so end the connection that the car has.
        tls.session_storage = rustls::server::ServerSessionMemoryCache::new(SESSIONS);
        let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).map_err(unusable)?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
        // A car opens the control stream, and one each for hits, reads and pictures.
        // Cars keep the link alive: an answer does it for this side.
        config.transport_config(Arc::new(transport(1, 3, None)));
        Ok(config)
    }

    #[cfg(feature = "office")]
    fn chains(&self) -> Result<Chains> {
        let chain = |chain| {
            rustls::sign::CertifiedKey::from_der(chain, self.key.clone_key(), &provider())
                .map(Arc::new)
                .map_err(unusable)
        };
        let usual = self.certificates.clone();
        let whole = usual.iter().chain([&self.authority]).cloned().collect();
        Ok(Chains { usual: chain(usual)?, whole: chain(whole)? })
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).map_err(unusable)?;
        Ok(roots)
    }
}

/// QUIC settings of a car that is enrolled with this code: it shows no certificate, and trusts the authority that the code
/// names.
pub(crate) fn enrolling_client(code: &Code, clock: clock::Shared) -> Result<quinn::ClientConfig> {
    let tls = rustls::ClientConfig::builder_with_details(provider(), Arc::new(ClockTime(clock)))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        // Dangerous where a verifier verifies less than the usual one: this one hands on to it.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(FirstContact::new(code.clone(), provider())))
        .with_no_client_auth();
    client_config(tls, enrol::ALPN, transport(0, 0, Some(KEEP_ALIVE)))
}

fn client_config(
    mut tls: rustls::ClientConfig,
    alpn: &[u8],
    transport: quinn::TransportConfig,
) -> Result<quinn::ClientConfig> {
    tls.alpn_protocols = vec![alpn.to_vec()];
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).map_err(unusable)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// The office's certificate: cars know its authority, but for those that are being enrolled.
#[cfg(feature = "office")]
#[derive(Debug)]
struct Chains {
    usual: Arc<rustls::sign::CertifiedKey>,
    whole: Arc<rustls::sign::CertifiedKey>,
}

/// What the office shows in handshakes. Another certificate takes the place of one while the office serves; a connection that
/// is there already goes on as it is.
#[cfg(feature = "office")]
#[derive(Debug)]
pub(crate) struct Shown(RwLock<Chains>);

#[cfg(feature = "office")]
impl Shown {
    /// Shows the certificate of this identity.
    pub(crate) fn of(identity: &Identity) -> Result<Arc<Self>> {
        Ok(Arc::new(Self(RwLock::new(identity.chains()?))))
    }

    /// Shows that of this one from now on.
    pub(crate) fn change(&self, identity: &Identity) -> Result<()> {
        let chains = identity.chains()?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = chains;
        Ok(())
    }
}

#[cfg(feature = "office")]
impl rustls::server::ResolvesServerCert for Shown {
    fn resolve(&self, hello: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        let enrols = hello.alpn().is_some_and(|mut protocols| protocols.any(|protocol| protocol == enrol::ALPN));
        let chains = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(if enrols { &chains.whole } else { &chains.usual }))
    }
}

/// How long a certificate in DER counts; `None` where it is none.
pub(crate) fn life_of(certificate: &[u8]) -> Option<Life> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    let time = |time: x509_parser::time::ASN1Time| DateTime::from_timestamp(time.timestamp(), 0);
    Some(Life { from: time(validity.not_before)?, until: time(validity.not_after)? })
}

/// The key in the folder of an identity with which the office's lists are checked.
///
/// # Errors
/// There is none, as in identities of earlier programs; or the file is damaged.
pub fn lists_key(folder: &Path) -> Result<VerifyingKey> {
    let (path, text) = change::whole(folder, |folder| {
        let path = folder.join(LISTS_FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Fault::io("cannot read the key that checks the office's lists", &path, error).remedy(ENROL_AGAIN)
        })?;
        Ok((path, text))
    })?;
    VerifyingKey::parse(&text).map_err(|fault| fault.at(path.display()))
}

/// Transport settings of either side, for so many streams that the other side may open.
fn transport(bidirectional: u8, unidirectional: u8, keep_alive: Option<Duration>) -> quinn::TransportConfig {
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(bidirectional.into())
        .max_concurrent_uni_streams(unidirectional.into())
        .keep_alive_interval(keep_alive)
        .max_idle_timeout(Some(IDLE_TIMEOUT.try_into().expect("10 s fit")))
        .initial_rtt(LIKELY_RTT)
        // How the car is, now: only the newest is of use.
        .datagram_receive_buffer_size(Some(DATAGRAMS))
        .datagram_send_buffer_size(DATAGRAMS)
        // A peer that does not read costs this much memory and no more.
        .stream_receive_window((512u32 << 10).into())
        .receive_window((2u32 << 20).into())
        .send_window(4 << 20)
        // Modems and virtual network cards have been seen to refuse segmented packets for good; the volume is small.
        .enable_segmentation_offload(false);
    transport
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The program's clock as rustls asks for it.
pub(crate) struct ClockTime(pub(crate) clock::Shared);

impl std::fmt::Debug for ClockTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClockTime")
    }
}

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.utc().timestamp()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let path = folder.join(name);
    std::fs::read(&path).map_err(|error| {
        Fault::io("cannot read the identity", &path, error)
            .remedy("Enrol the car: outrider-office enrol makes a code, outrider enrol takes it")
    })
}

fn damaged(folder: &Path, name: &str, what: &str, error: rustls::pki_types::pem::Error) -> Fault {
    Fault::new(Kind::Damaged, format!("no {what} in this file"))
        .at(folder.join(name).display())
        .because(error.to_string())
        .remedy(ENROL_AGAIN)
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    Fault::new(Kind::Damaged, "the identity cannot be used").because(error).remedy(ENROL_AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_cut_identity_says_which_file_and_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let fault = Identity::load(folder.path()).err().expect("nothing there");
        assert_eq!(fault.kind(), Kind::Missing);
        assert!(fault.to_string().contains(AUTHORITY_FILE) && fault.to_string().contains("enrol"), "{fault}");
        std::fs::write(folder.path().join(AUTHORITY_FILE), "-----BEGIN CERTIFICATE-----\nMIIB").expect("written");
        let fault = Identity::load(folder.path()).err().expect("cut short");
        assert_eq!(fault.kind(), Kind::Damaged);
        assert!(fault.to_string().contains(AUTHORITY_FILE), "{fault}");
    }
}

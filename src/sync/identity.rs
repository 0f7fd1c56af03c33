//! Identities as files: whom this side trusts, who it is, and the TLS and transport settings made of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;

use crate::clock;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::VerifyingKey;
use crate::sync::wire::ALPN;

/// The authority that signs every identity.
pub const AUTHORITY_FILE: &str = "ca.pem";
/// This side's certificate.
pub const CERTIFICATE_FILE: &str = "cert.pem";
/// This side's private key.
pub const KEY_FILE: &str = "key.pem";
/// The key that checks the office's lists, as hexadecimal digits.
pub const LISTS_FILE: &str = "lists.pub";

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

/// Who this side is and whom it trusts.
#[derive(PartialEq, Eq)]
pub struct Identity {
    authority: CertificateDer<'static>,
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Loads `ca.pem`, `cert.pem` and `key.pem` of a folder.
    pub fn load(folder: &Path) -> Result<Self> {
        let authority = CertificateDer::from_pem_slice(&read(folder, AUTHORITY_FILE)?)
            .map_err(|error| damaged(folder, AUTHORITY_FILE, "certificate", error))?;
        let certificates = CertificateDer::pem_slice_iter(&read(folder, CERTIFICATE_FILE)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| damaged(folder, CERTIFICATE_FILE, "certificate", error))?;
        let key = PrivateKeyDer::from_pem_slice(&read(folder, KEY_FILE)?)
            .map_err(|error| damaged(folder, KEY_FILE, "private key", error))?;
        if certificates.is_empty() {
            return Err(damaged(folder, CERTIFICATE_FILE, "certificate", rustls::pki_types::pem::Error::NoItemsFound));
        }
        Ok(Self { authority, certificates, key })
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

    /// QUIC settings of a car.
    pub(crate) fn client(&self, clock: clock::Shared) -> Result<quinn::ClientConfig> {
        let mut tls = self.tls_client(clock)?;
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).map_err(unusable)?));
        // The office opens one stream to a car, for lists.
        config.transport_config(Arc::new(transport(0, 1, Some(KEEP_ALIVE))));
        Ok(config)
    }

    /// TLS settings of the office: whoever connects must show a certificate that the authority signed.
    #[cfg(feature = "office")]
    pub(crate) fn tls_server(&self, clock: clock::Shared) -> Result<rustls::ServerConfig> {
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider())
            .build()
            .map_err(unusable)?;
        rustls::ServerConfig::builder_with_details(provider(), Arc::new(ClockTime(clock)))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.certificates.clone(), self.key.clone_key())
            .map_err(unusable)
    }

    /// QUIC settings of the office.
    #[cfg(feature = "office")]
    pub(crate) fn server(&self, clock: clock::Shared) -> Result<quinn::ServerConfig> {
        let mut tls = self.tls_server(clock)?;
        tls.alpn_protocols = vec![ALPN.to_vec()];
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

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).map_err(unusable)?;
        Ok(roots)
    }
}

/// The key in the folder of an identity with which the office's lists are checked.
///
/// # Errors
/// There is none, as in identities of earlier programs; or the file is damaged.
pub fn lists_key(folder: &Path) -> Result<VerifyingKey> {
    let path = folder.join(LISTS_FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Fault::io("cannot read the key that checks the office's lists", &path, error)
            .remedy("Enrol the car again with outrider-office enrol, and copy the whole folder to it")
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
        .datagram_receive_buffer_size(None)
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
struct ClockTime(clock::Shared);

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
            .remedy("Have outrider-office enrol make one, and copy its folder to the car")
    })
}

fn damaged(folder: &Path, name: &str, what: &str, error: rustls::pki_types::pem::Error) -> Fault {
    Fault::new(Kind::Damaged, format!("no {what} in this file"))
        .at(folder.join(name).display())
        .because(error.to_string())
        .remedy("Enrol again, and copy the whole folder")
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    Fault::new(Kind::Damaged, "the identity cannot be used")
        .because(error)
        .remedy("Enrol again, and copy the whole folder")
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

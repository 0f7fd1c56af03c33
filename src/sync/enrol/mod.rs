//! How a car is let in: the code, and what car and office say to each other. The car's side is in [`super::car`].

mod code;
mod first;

#[cfg(any(test, feature = "fuzz"))]
use prost::Message;

pub use code::Code;
#[cfg(feature = "office")]
pub(crate) use code::is_name;
pub(crate) use code::stretched;
pub(crate) use first::FirstContact;

/// The messages as the schema has them.
#[allow(missing_docs, clippy::all)]
pub mod proto {
    use std::fmt;

    include!(concat!(env!("OUT_DIR"), "/outrider.enrol.v1.rs"));

    // It holds the secret of a code.
    impl fmt::Debug for Request {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "Request({:?}, {} bytes)", self.unit, self.request.len())
        }
    }
}

/// The application protocol of the TLS handshake.
pub const ALPN: &[u8] = b"outrider-enrol/1";
/// The longest message, bytes. It is all that is read.
pub const LIMIT: usize = 16 << 10;

/// A certificate request for this key.
///
/// # Errors
/// The key cannot sign.
pub(crate) fn request_for(key: &rcgen::KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = rcgen::CertificateParams::default();
    // Who it is for is the office's to say.
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}

/// What a stranger may send to the office, and a false office to a car.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn understood(bytes: &[u8]) -> bool {
    let Some((which, bytes)) = bytes.split_first() else { return false };
    match which % 3 {
        0 => std::str::from_utf8(bytes).is_ok_and(|text| Code::parse(text).is_ok()),
        1 => proto::Request::decode(bytes).is_ok_and(|request| {
            rcgen::CertificateSigningRequestParams::from_der(&request.request.as_slice().into()).is_ok()
        }),
        _ => proto::Answer::decode(bytes).is_ok_and(|answer| match answer.answer {
            Some(proto::answer::Answer::Issued(issued)) => {
                use rustls::pki_types::{CertificateDer, pem::PemObject};
                CertificateDer::from_pem_slice(issued.certificate.as_bytes())
                    .is_ok_and(|certificate| super::identity::life_of(&certificate).is_some())
            }
            Some(proto::answer::Answer::Refused(_)) => true,
            None => false,
        }),
    }
}

/// What is said today, for the corpus: a name, the decoder's name and the bytes.
#[cfg(test)]
pub(crate) fn samples() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    use proto::answer::Answer as Said;
    use proto::{Answer, Issued, Reason, Refused, Request};

    let sample = |which: u8, message: &[u8]| [&[which], message].concat();
    let key = rcgen::KeyPair::generate().expect("a key");
    let code = Code::new(b"an authority").expect("made");
    let request = Request {
        code: code.name(),
        secret: code.secret(),
        unit: "EX-01".into(),
        request: request_for(&key).expect("signed"),
    };
    let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("signed").pem();
    let issued = Issued { authority: certificate.clone(), certificate, lists: "ab".repeat(32) };
    let refused = Refused { reason: Reason::Wait.into(), wait_s: 30 };
    let answer = |answer| sample(2, &Answer { answer: Some(answer) }.encode_to_vec());
    vec![
        ("code", "enrol", sample(0, code.to_string().as_bytes())),
        ("request", "enrol", sample(1, &request.encode_to_vec())),
        ("issued", "enrol", answer(Said::Issued(issued))),
        ("refused", "enrol", answer(Said::Refused(refused))),
    ]
}

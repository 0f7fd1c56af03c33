//! The car asks to be let in, with a code, and later for a newer certificate. Its key is made here and stays here.

use std::path::Path;
use std::time::Duration;

use prost::Message;
use quinn::{ConnectionError, VarInt};

use super::connection;
use super::dial::{self, Line};
use crate::clock;
use crate::config;
use crate::fault::{Fault, Kind, Result};
use crate::sync::enrol::proto::answer::Answer as Said;
use crate::sync::enrol::proto::{Answer, Issued, Reason, Refused, Request};
use crate::sync::enrol::{Code, LIMIT, request_for};
use crate::sync::identity::{self, Identity, Life, Purpose};
use crate::sync::wire;

/// How long the office may take to answer: others may be before this car.
const ANSWER: Duration = Duration::from_secs(20);
/// How long a goodbye may take to leave.
const GOODBYE: Duration = Duration::from_millis(500);

/// Which car is to be enrolled where.
#[derive(Debug, Clone, Copy)]
pub struct Enrolment<'a> {
    /// Host name or address of the office, and its UDP port.
    pub address: &'a str,
    /// The folder that the identity goes to.
    pub identity: &'a Path,
    /// The unit's name.
    pub unit: &'a str,
    /// Whether an identity that is there already is replaced.
    pub replace: bool,
}

/// Enrols the car with a code, and says how long its certificate counts. Where the answer is lost on its way, the same again
/// gets the same, as long as the code is open.
///
/// # Errors
/// There is an identity; the office is not reached, is another one, or refuses the code; or the identity cannot be written.
/// Whatever was there before is there still.
pub fn enrol(order: &Enrolment<'_>, code: &Code, clock: clock::Shared) -> Result<Life> {
    let Enrolment { address, identity: folder, unit, replace } = *order;
    if identity::is_there(folder) && !replace {
        return Err(Fault::new(Kind::Denied, "this car has an identity already")
            .at(folder.display())
            .remedy("To put another in its place, say --replace; the old one counts until the new one is used"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::new(Kind::Internal, "cannot start to talk to the office").because(error))?;
    let utc = clock.utc();
    if !clock::plausible(utc) {
        return Err(connection::wrong_clock(utc));
    }
    crate::files::make_folder(folder)?;
    let key = identity::pending(folder, &Purpose::Code(code.name()))?;
    let request =
        Request { code: code.name(), secret: code.secret(), unit: unit.to_owned(), request: request_of(&key)? };
    let config = identity::enrolling_client(code, clock.clone())?;
    let issued = runtime.block_on(ask(address, config, &request, &clock)).map_err(|end| match end {
        // The handshake failed because the authority is not the one that the code names.
        End::Stranger => {
            Fault::new(Kind::Denied, "this is not the office that made the code, and the code was not sent")
                .at(address)
                .remedy("Check the address; if it is right, somebody else answers there")
        }
        End::Fault(fault) => fault,
        End::Refused(refused) => refusal(address, unit, &refused),
    })?;
    identity::install(folder, &issued).and_then(|identity| identity.life()).map_err(|fault| fault.at(folder.display()))
}

/// Asks for a newer certificate with the one that the car has, and puts it in place.
///
/// # Errors
/// As for [`enrol`]; the old certificate stays.
pub(super) async fn renew(unit: &str, settings: &config::Office, clock: &clock::Shared) -> Result<Life> {
    let folder = settings.identity.clone();
    let (old, key) =
        on_disk(move || Ok((Identity::load(&folder)?, identity::pending(&folder, &Purpose::Renewal)?))).await?;
    let request = Request { unit: unit.to_owned(), request: request_of(&key)?, ..Request::default() };
    let config = old.renewing_client(clock.clone())?;
    let issued = ask(&settings.address, config, &request, clock).await.map_err(|end| match end {
        End::Stranger => Fault::new(Kind::Denied, "another office answers than the one that enrolled this car")
            .at(&settings.address)
            .remedy("Check the address"),
        End::Fault(fault) => fault,
        End::Refused(refused) => refusal(&settings.address, unit, &refused),
    })?;
    // Only the certificate is taken: nobody gets the car to trust another authority, or another key for lists.
    let folder = settings.identity.clone();
    on_disk(move || identity::renew(&folder, &issued.certificate)?.life()).await
}

/// The link's own thread does not wait for the disk.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(connection::panicked()))
}

fn request_of(key: &rcgen::KeyPair) -> Result<Vec<u8>> {
    request_for(key).map_err(|error| Fault::new(Kind::Internal, "cannot ask for a certificate").because(error))
}

/// Why there is no certificate.
enum End {
    Stranger,
    Refused(Refused),
    Fault(Fault),
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// One question, one answer.
async fn ask(
    address: &str,
    config: quinn::ClientConfig,
    request: &Request,
    clock: &clock::Shared,
) -> Result<Issued, End> {
    let lost = |error: ConnectionError| match &error {
        error if connection::is_stranger(error) => End::Stranger,
        _ => End::Fault(connection::lost(address, error, clock)),
    };
    let Line { endpoint, connection } = dial::call(address, config, lost).await?;
    let answer = tokio::time::timeout(ANSWER, converse(&connection, request)).await;
    // An end that the office chose is the reason for whatever the stream says.
    let closed = connection.close_reason();
    connection.close(VarInt::from_u32(wire::Code::Done.number()), b"");
    let _ = tokio::time::timeout(GOODBYE, endpoint.wait_idle()).await;
    match answer {
        Ok(Some(answer)) => match Answer::decode(&answer[..]).ok().and_then(|answer| answer.answer) {
            Some(Said::Issued(issued)) => Ok(issued),
            Some(Said::Refused(refused)) => Err(End::Refused(refused)),
            None => Err(Fault::new(Kind::Damaged, "the office's answer makes no sense")
                .at(address)
                .remedy("Bring car and office to versions that fit together")
                .into()),
        },
        Ok(None) => Err(lost(closed.unwrap_or(ConnectionError::TimedOut))),
        Err(_) => Err(lost(ConnectionError::TimedOut)),
    }
}

/// The answer's bytes; `None` where the connection broke before they were all here.
async fn converse(connection: &quinn::Connection, request: &Request) -> Option<Vec<u8>> {
    let (mut questions, mut answers) = connection.open_bi().await.ok()?;
    questions.write_all(&request.encode_to_vec()).await.ok()?;
    questions.finish().ok()?;
    answers.read_to_end(LIMIT).await.ok()
}

/// What a refusal means for people.
fn refusal(address: &str, unit: &str, refused: &Refused) -> Fault {
    let (kind, what, remedy) = match refused.reason() {
        Reason::Code => (
            Kind::Denied,
            "the office knows no such open code: it is used, withdrawn, or its time is over".to_owned(),
            "Have another one made with outrider-office enrol".to_owned(),
        ),
        Reason::Wait => (
            Kind::Unavailable,
            "there were too many tries from here".to_owned(),
            format!("Try again in {} seconds", refused.wait_s),
        ),
        Reason::Unit => (
            Kind::Denied,
            format!("the office has another name for this unit than {unit:?}; the code can still be used"),
            "Use the name that it was made for, here and as unit in the configuration".to_owned(),
        ),
        Reason::Unknown => (
            Kind::Denied,
            "the office does not know this car's identity, or no longer".to_owned(),
            identity::ENROL_AGAIN.to_owned(),
        ),
        Reason::Request => (
            Kind::Denied,
            "the office cannot use this car's certificate request".to_owned(),
            "Bring car and office to versions that fit together".to_owned(),
        ),
        Reason::Early => (
            Kind::Denied,
            "the office finds it too early for a new certificate".to_owned(),
            "Compare the clocks of car and office".to_owned(),
        ),
        Reason::Trouble | Reason::Unspecified => {
            (Kind::Unavailable, "the office cannot do it now".to_owned(), "Look at the office's log".to_owned())
        }
    };
    Fault::new(kind, what).at(address).remedy(remedy)
}

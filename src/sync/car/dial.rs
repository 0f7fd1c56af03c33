//! Dialling: from the office's name to a connection, for as long as it takes, and by whichever network there is.
//!
//! While nothing answers there is no pause: the network may come back at any instant, and a hit that waits is to be stored
//! within a second of it. A refusal is another matter, and left to whoever called.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::{Connection, ConnectionError, Endpoint};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection::{lost, no_way, panicked, ran_out, wrong_clock};
use super::route::{self, Route};
use super::{Budget, Outbox, Waiting, knock};
use crate::clock::{self, Moment};
use crate::config;
use crate::fault::{Fault, Result};
use crate::sync::identity::Identity;
use crate::sync::wire::Lane;

/// How long looking up the office's name may take.
const LOOK_UP: Duration = Duration::from_secs(8);
/// How many of the office's addresses are tried.
const ADDRESSES: usize = 4;
/// Between the starts of attempts at the office's several addresses.
const STAGGER: Duration = Duration::from_millis(250);
/// How long attempts go on before they begin anew, with the identity read and the name looked up again.
const ATTEMPTS: Duration = Duration::from_secs(6);
/// How long a handshake may take all the same; and one that the office has answered, which may have a fleet to answer.
const HANDSHAKE: Duration = Duration::from_secs(4);
const ANSWERED_HANDSHAKE: Duration = Duration::from_secs(30);
/// An attempt that was begun so shortly before the office answered a knock is not made a second time.
const JUST_BEGUN: Duration = Duration::from_millis(300);
/// The pause after a knock that was answered; it doubles.
const AGAIN: Duration = Duration::from_secs(2);
/// Between two knocks. A hit that waits is stored within a second of the network coming back, which 400 ms missed now and then.
const PACE: Duration = Duration::from_millis(250);
/// The same when nothing has answered for [`LONG`] and nothing urgent waits: a packet has 1,200 bytes, and somebody may pay for
/// each.
const SLOW_PACE: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(600);
/// When nothing answers for so long, that is said.
const SAID_AFTER: Duration = Duration::from_secs(2);
/// Between two looks at the machine's networks.
const WATCH: Duration = Duration::from_millis(250);
/// The pause after attempts that could not even be made.
const REST: Duration = Duration::from_millis(500);

/// A connection and what carries it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) endpoint: Endpoint,
    pub(super) connection: Connection,
}

impl Line {
    /// Goes on from another socket if the machine reaches the office by another address now: the connection moves with it.
    pub(super) fn follow(&self, way: &mut Route, now: &std::io::Result<IpAddr>) {
        if !way.changes(now) {
            return;
        }
        let moved = UdpSocket::bind(route::anywhere(self.connection.remote_address()))
            .and_then(|socket| self.endpoint.rebind(socket));
        match moved {
            Ok(()) => tracing::info!("the way to the office is another one: the link goes on from there"),
            // The link is dialled anew once nothing comes any more.
            Err(error) => tracing::warn!("the link cannot move to another network: {error}"),
        }
    }
}

/// Makes connections; keeps the TLS settings, and with them the tickets for shorter handshakes, while the identity's files stay
/// the same.
pub(super) struct Dialler {
    office: config::Office,
    outbox: Arc<dyn Outbox>,
    clock: clock::Shared,
    settings: Mutex<Option<(Identity, quinn::ClientConfig)>>,
    /// The address that answered last, and since when none has.
    known: Mutex<(Option<SocketAddr>, Moment)>,
}

/// Why there is no connection, for whoever shows it.
pub(super) type Trouble<'a> = &'a (dyn Fn(Fault) + Send + Sync);

impl Dialler {
    pub(super) fn new(office: config::Office, outbox: Arc<dyn Outbox>, clock: clock::Shared) -> Self {
        let known = Mutex::new((None, clock.now()));
        Self { office, outbox, clock, settings: Mutex::default(), known }
    }

    /// Tries until the office answers. `trouble` is told what is in the way meanwhile.
    ///
    /// # Errors
    /// It has answered, and refuses; or this side has nothing to show or no right time, and it is better to wait.
    pub(super) async fn dial(&self, trouble: Trouble<'_>) -> Result<Line> {
        loop {
            let config = self.settings().await?;
            let began = self.clock.now();
            match self.attempt(&config, trouble).await {
                Attempted::Answered(line) => return Ok(line),
                Attempted::Refused(fault) => return Err(fault),
                Attempted::Silence(fault) => {
                    trouble(fault);
                    if self.clock.now().since(began) < REST {
                        tokio::time::sleep(REST).await;
                    }
                }
                Attempted::Moved => {}
            }
        }
    }

    /// The connection is good, or was until now.
    pub(super) fn answered(&self) {
        self.known().1 = self.clock.now();
    }

    fn known(&self) -> std::sync::MutexGuard<'_, (Option<SocketAddr>, Moment)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This car's TLS settings.
    async fn settings(&self) -> Result<quinn::ClientConfig> {
        let utc = self.clock.utc();
        if !clock::plausible(utc) {
            return Err(wrong_clock(utc));
        }
        let folder = self.office.identity.clone();
        let identity = tokio::task::spawn_blocking(move || Identity::load(&folder)).await.map_err(|_| panicked())??;
        let life = identity.life().map_err(|fault| fault.at(self.office.identity.display()))?;
        if life.left(utc).is_zero() {
            return Err(ran_out(&self.office.identity, life.until));
        }
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        match &*settings {
            Some((known, config)) if *known == identity => Ok(config.clone()),
            _ => {
                let config = identity
                    .client(Arc::clone(&self.clock))
                    .map_err(|fault| fault.at(self.office.identity.display()))?;
                *settings = Some((identity, config.clone()));
                Ok(config)
            }
        }
    }

    /// Attempts at every address, until one answers or they have had their time.
    async fn attempt(&self, config: &quinn::ClientConfig, trouble: Trouble<'_>) -> Attempted {
        let (known, since) = *self.known();
        let name = &self.office.address;
        let pace = self.pace(since).await;
        let (knocked, mut answers) = mpsc::unbounded_channel();
        let (mut knockers, mut attempts) = (JoinSet::new(), JoinSet::new());
        // Whether the attempt that was begun last has been answered.
        let mut heard = Arc::<AtomicBool>::default();
        let connect_to = |attempts: &mut JoinSet<_>, heard: &Arc<AtomicBool>, address, wait| {
            let (config, host, heard) = (config.clone(), host_of(name).to_owned(), Arc::clone(heard));
            attempts.spawn(async move {
                tokio::time::sleep(wait).await;
                connect(config, address, &host, &heard).await
            });
            Instant::now() + wait
        };
        let (mut found, mut addresses) = (Vec::from_iter(known), Vec::new());
        let looking = look_up(name);
        let said = tokio::time::sleep(SAID_AFTER);
        let over = tokio::time::sleep(ATTEMPTS);
        tokio::pin!(looking, said, over);
        let (mut looked_up, mut saying) = (false, true);
        let (mut watching, mut way) = (tokio::time::interval(WATCH), Route::default());
        let mut begun = Instant::now();
        // What counts of many failures: a refusal, else the last one.
        let mut missed: Option<Missed> = None;
        loop {
            for address in found.drain(..) {
                if addresses.contains(&address) {
                    continue;
                }
                let before = u32::try_from(addresses.len()).unwrap_or(0);
                begun = connect_to(&mut attempts, &heard, address, STAGGER * before);
                let (knocked, pace) = (knocked.clone(), pace * (before + 1));
                knockers.spawn(async move {
                    // Without a socket there is nothing to wait for.
                    let mut again = AGAIN;
                    while knock::answered(address, pace).await.is_ok() && knocked.send(address).is_ok() {
                        tokio::time::sleep(again).await;
                        again *= 2;
                    }
                });
                addresses.push(address);
            }
            if attempts.is_empty() && looked_up {
                match missed.take() {
                    Some(Missed::Refused(error)) => return Attempted::Refused(lost(name, error, &self.clock)),
                    Some(Missed::Unable(error)) => return Attempted::Silence(no_way(name, error.into())),
                    Some(Missed::Silence) => {}
                    None if addresses.is_empty() => {
                        return Attempted::Silence(no_way(name, "the name has no address".into()));
                    }
                    None => {}
                }
            }
            tokio::select! {
                Some(ended) = attempts.join_next() => match ended {
                    Ok(Ok(line)) => {
                        let line: Line = line;
                        *self.known() = (Some(line.connection.remote_address()), self.clock.now());
                        return Attempted::Answered(line);
                    }
                    Ok(Err(Missed::Refused(error))) => missed = Some(Missed::Refused(error)),
                    Ok(Err(error)) if !matches!(missed, Some(Missed::Refused(_))) => missed = Some(error),
                    Ok(Err(_)) | Err(_) => {}
                },
                Some(address) = answers.recv() => {
                    // The last attempt may be about to come to its end. One that was not answered was begun too early, and
                    // is no more use than the new one: an office to which a whole fleet comes back is not to do both.
                    if begun.elapsed() > JUST_BEGUN && !heard.load(Ordering::Relaxed) {
                        attempts.abort_all();
                        heard = Arc::default();
                        begun = connect_to(&mut attempts, &heard, address, Duration::ZERO);
                    }
                }
                addresses = &mut looking, if !looked_up => {
                    looked_up = true;
                    match addresses {
                        Ok(addresses) => found = addresses,
                        // The address that answered before may do so again.
                        Err(fault) if known.is_none() => return Attempted::Silence(fault),
                        Err(_) => {}
                    }
                }
                _ = watching.tick() => {
                    // In another network than the one in which they were begun, the attempts are begun again.
                    if addresses.first().is_some_and(|first| way.changes(&route::toward(*first))) {
                        return Attempted::Moved;
                    }
                }
                () = &mut said, if saying => {
                    saying = false;
                    trouble(no_way(name, "nothing answers".into()));
                }
                () = &mut over => {
                    let answered = heard.load(Ordering::Relaxed) && !attempts.is_empty();
                    let patience = if answered { ANSWERED_HANDSHAKE } else { HANDSHAKE };
                    if begun.elapsed() >= patience {
                        return Attempted::Silence(no_way(name, "nothing answers".into()));
                    }
                    // Looked at again soon: whether it is answered may change.
                    over.as_mut().reset((Instant::now() + WATCH).max(begun + HANDSHAKE));
                }
            }
        }
    }

    /// How often to knock, when nothing has answered since then.
    async fn pace(&self, since: Moment) -> Duration {
        if self.clock.now().since(since) < LONG {
            return PACE;
        }
        let outbox = Arc::clone(&self.outbox);
        let urgent = tokio::task::spawn_blocking(move || {
            let urgent = |waiting: &Waiting| waiting.item.kind.lane() == Lane::Hits;
            outbox.pending(Budget::of(1, 1)).is_ok_and(|items| items.iter().any(urgent))
        });
        if urgent.await.unwrap_or(false) { PACE } else { SLOW_PACE }
    }
}

/// What came of an attempt at all addresses.
enum Attempted {
    Answered(Line),
    Refused(Fault),
    Silence(Fault),
    /// This machine is in another network now.
    Moved,
}

/// Why an attempt at one address came to nothing.
enum Missed {
    /// It has answered, and ended it.
    Refused(ConnectionError),
    Silence,
    Unable(std::io::Error),
}

/// Calls the office once, at each of its addresses in turn: for who asks one thing, and is told when it cannot be asked.
///
/// # Errors
/// `lost` says what the end of a connection means; else why there is no way.
pub(super) async fn call<E: From<Fault>>(
    name: &str,
    config: quinn::ClientConfig,
    lost: impl Fn(ConnectionError) -> E,
) -> Result<Line, E> {
    let mut missed = E::from(no_way(name, "the name has no address".into()));
    for address in look_up(name).await? {
        missed = match connect(config.clone(), address, host_of(name), &AtomicBool::default()).await {
            Ok(line) => return Ok(line),
            Err(Missed::Refused(error)) => lost(error),
            Err(Missed::Silence) => no_way(name, "nothing answers".into()).into(),
            Err(Missed::Unable(error)) => no_way(name, error.into()).into(),
        };
    }
    Err(missed)
}

/// What the office's certificate has to name.
fn host_of(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(host, _)| host).trim_matches(['[', ']'])
}

async fn look_up(name: &str) -> Result<Vec<SocketAddr>> {
    match tokio::time::timeout(LOOK_UP, tokio::net::lookup_host(name)).await {
        Ok(Ok(found)) => Ok(found.take(ADDRESSES).collect()),
        Ok(Err(error)) => Err(no_way(name, error.into())),
        Err(_) => Err(no_way(name, "looking up the name takes too long".into())),
    }
}

/// A socket of its own each time: an address translation on the way that has lost its mind is not asked twice.
async fn connect(
    config: quinn::ClientConfig,
    address: SocketAddr,
    host: &str,
    heard: &AtomicBool,
) -> Result<Line, Missed> {
    let endpoint = Endpoint::client(route::anywhere(address)).map_err(Missed::Unable)?;
    let mut connecting = endpoint
        .connect_with(config, address, host)
        .map_err(|error| Missed::Unable(std::io::Error::new(ErrorKind::InvalidInput, error)))?;
    // Where none comes, the handshake's own end says why.
    if connecting.handshake_data().await.is_ok() {
        heard.store(true, Ordering::Relaxed);
    }
    match connecting.await {
        Ok(connection) => Ok(Line { endpoint, connection }),
        Err(ConnectionError::TimedOut) => Err(Missed::Silence),
        Err(error) => Err(Missed::Refused(error)),
    }
}

#[cfg(all(test, feature = "office"))]
mod tests {
    use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    use super::*;
    use crate::road::{Conditions, Relay};

    /// Somebody who takes connections, and the settings to reach him by.
    fn office() -> (Endpoint, quinn::ClientConfig) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("usable");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("added");
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server).expect("usable")));
        let client = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(client).expect("usable")));
        (Endpoint::server(server, ([127, 0, 0, 1], 0).into()).expect("bound"), client)
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let patience = Duration::from_secs(60);
        runtime.block_on(async { tokio::time::timeout(patience, work).await.expect("in time") })
    }

    #[test]
    fn a_car_that_gets_another_address_goes_on_with_its_connection() {
        block_on(async {
            let (office, config) = office();
            let target = office.local_addr().expect("bound");
            let taking = tokio::spawn(async move {
                let connection = office.accept().await.expect("somebody").await.expect("a handshake");
                let mut heard = Vec::new();
                for _ in 0..2 {
                    let mut stream = connection.accept_uni().await.expect("a stream");
                    heard.push((stream.read_to_end(9).await.expect("read"), connection.remote_address()));
                }
                heard
            });
            let line = connect(config, target, "localhost", &AtomicBool::new(false)).await.ok().expect("connected");
            let say = async |words: &[u8]| {
                let mut stream = line.connection.open_uni().await.expect("opened");
                stream.write_all(words).await.expect("written");
                stream.finish().expect("whole");
                stream.stopped().await.expect("taken");
                line.endpoint.local_addr().expect("bound").port()
            };
            let before = say(b"before").await;
            let mut way = Route::default();
            for address in [[10, 0, 0, 1], [10, 0, 0, 1], [10, 9, 9, 9]] {
                line.follow(&mut way, &Ok(address.into()));
            }
            let after = say(b"after").await;
            assert_ne!(before, after);
            let heard = taking.await.expect("no panic");
            let ports: Vec<_> = heard.iter().map(|(_, from)| from.port()).collect();
            assert_eq!((heard[0].0.as_slice(), heard[1].0.as_slice()), (&b"before"[..], &b"after"[..]));
            assert_eq!(ports, [before, after], "one connection, from two sockets");
        });
    }

    #[test]
    fn a_knock_is_answered_once_the_network_is_there_and_costs_the_office_no_handshake() {
        block_on(async {
            let (office, _) = office();
            let target = office.local_addr().expect("bound");
            let relay = Relay::start(target, Conditions { cut: true, ..Conditions::GOOD }, 1).expect("started");
            let knocking = tokio::spawn(knock::answered(relay.address(), Duration::from_millis(50)));
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(!knocking.is_finished());
            relay.mend();
            knocking.await.expect("no panic").expect("answered");
            let came = tokio::time::timeout(Duration::from_millis(50), office.accept()).await;
            assert!(came.is_err() && office.open_connections() == 0);
        });
    }
}

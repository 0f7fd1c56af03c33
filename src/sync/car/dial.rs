//! Dialling: from the office's name to a connection, for as long as it takes, and by whichever network there is.
//!
//! While nothing answers there is no pause: the network may come back at any instant, and a hit that waits is to be stored
//! within a second of it. A refusal is another matter, and left to whoever called.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::{Connection, ConnectionError, Endpoint, EndpointConfig, TokioRuntime};
use tokio::task::JoinSet;

use super::caller::Caller;
use super::connection::{lost, no_way, panicked, ran_out, wrong_clock};
use super::route::{self, Route};
use super::{Budget, Outbox};
use crate::clock::{self, Moment};
use crate::config;
use crate::fault::{Fault, Result};
use crate::sync::identity::Identity;
use crate::sync::wire::{Item, Lane};

/// How long looking up the office's name may take.
const LOOK_UP: Duration = Duration::from_secs(8);
/// How many of the office's addresses are tried.
const ADDRESSES: usize = 4;
/// Between the starts of attempts at the office's several addresses.
const STAGGER: Duration = Duration::from_millis(250);
/// How long an attempt waits for an answer before a new one takes its place, with another socket and the name looked up again.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long a handshake may take once the office has answered; and when it was not done in that time, the next one.
const HANDSHAKE: Duration = Duration::from_secs(3);
const LONG_HANDSHAKE: Duration = Duration::from_secs(10);
/// Between two knocks of an attempt.
const PACE: Duration = Duration::from_millis(400);
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
    /// Whether the last handshake was not done in time.
    slow: AtomicBool,
}

/// Why there is no connection, for whoever shows it.
pub(super) type Trouble<'a> = &'a (dyn Fn(Fault) + Send + Sync);

impl Dialler {
    pub(super) fn new(office: config::Office, outbox: Arc<dyn Outbox>, clock: clock::Shared) -> Self {
        let known = Mutex::new((None, clock.now()));
        Self { office, outbox, clock, settings: Mutex::default(), known, slow: AtomicBool::new(false) }
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

    /// One attempt at every address, until one answers or all have had their time.
    async fn attempt(&self, config: &quinn::ClientConfig, trouble: Trouble<'_>) -> Attempted {
        let (known, since) = *self.known();
        let name = &self.office.address;
        let host = host_of(name);
        let pace = self.pace(since).await;
        let handshake = if self.slow.load(Ordering::Relaxed) { LONG_HANDSHAKE } else { HANDSHAKE };
        let (mut found, mut tried) = (Vec::from_iter(known), Vec::new());
        let mut attempts: JoinSet<Result<Line, Missed>> = JoinSet::new();
        let looking = look_up(name);
        let said = tokio::time::sleep(SAID_AFTER);
        tokio::pin!(looking, said);
        let (mut looked_up, mut saying) = (false, true);
        let (mut watching, mut way) = (tokio::time::interval(WATCH), Route::default());
        // What counts of many failures: a refusal, else the last one.
        let mut missed: Option<Missed> = None;
        loop {
            for address in found.drain(..) {
                if tried.contains(&address) {
                    continue;
                }
                let before = u32::try_from(tried.len()).unwrap_or(0);
                let (config, host, pace) = (config.clone(), host.to_owned(), pace * (before + 1));
                attempts.spawn(async move {
                    tokio::time::sleep(STAGGER * before).await;
                    connect(config, address, &host, pace, handshake).await
                });
                tried.push(address);
            }
            if attempts.is_empty() && looked_up {
                return match missed {
                    Some(Missed::Refused(error)) => Attempted::Refused(lost(name, error, &self.clock)),
                    Some(Missed::Unfinished) => {
                        self.slow.store(true, Ordering::Relaxed);
                        Attempted::Silence(no_way(name, "it answers, and then no more".into()))
                    }
                    Some(Missed::Silence) => Attempted::Silence(no_way(name, "nothing answers".into())),
                    Some(Missed::Unable(error)) => Attempted::Silence(no_way(name, error.into())),
                    None => Attempted::Silence(no_way(name, "the name has no address".into())),
                };
            }
            tokio::select! {
                Some(ended) = attempts.join_next() => match ended {
                    Ok(Ok(line)) => {
                        self.slow.store(false, Ordering::Relaxed);
                        *self.known() = (Some(line.connection.remote_address()), self.clock.now());
                        return Attempted::Answered(line);
                    }
                    Ok(Err(Missed::Refused(error))) => missed = Some(Missed::Refused(error)),
                    Ok(Err(error)) if !matches!(missed, Some(Missed::Refused(_))) => missed = Some(error),
                    Ok(Err(_)) | Err(_) => {}
                },
                addresses = &mut looking, if !looked_up => {
                    looked_up = true;
                    match addresses {
                        Ok(addresses) => found = addresses,
                        // The address that answered before may do so again.
                        Err(fault) if tried.is_empty() => return Attempted::Silence(fault),
                        Err(_) => {}
                    }
                }
                _ = watching.tick() => {
                    // In another network than the one in which they were begun, the attempts are begun again.
                    if tried.first().is_some_and(|first| way.changes(&route::toward(*first))) {
                        return Attempted::Moved;
                    }
                }
                () = &mut said, if saying => {
                    saying = false;
                    trouble(no_way(name, "nothing answers".into()));
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
            let urgent = |item: &Item| item.kind.lane() == Lane::Hits;
            outbox.pending(Budget { items: 1, bytes: 1 }).is_ok_and(|items| items.iter().any(urgent))
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
    /// It has answered, and the handshake did not come to its end in time.
    Unfinished,
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
        missed = match connect(config.clone(), address, host_of(name), PACE, LONG_HANDSHAKE).await {
            Ok(line) => return Ok(line),
            Err(Missed::Refused(error)) => lost(error),
            Err(Missed::Silence) => no_way(name, "nothing answers".into()).into(),
            Err(Missed::Unfinished) => no_way(name, "it answers, and then no more".into()).into(),
            Err(Missed::Unable(error)) => no_way(name, error.into()).into(),
        };
    }
    Err(missed)
}

/// The host of HOST:PORT, without the brackets of an IPv6 address.
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

async fn connect(
    config: quinn::ClientConfig,
    address: SocketAddr,
    host: &str,
    pace: Duration,
    handshake: Duration,
) -> Result<Line, Missed> {
    let caller = Caller::new(address).map_err(Missed::Unable)?;
    let socket = Arc::clone(&caller) as Arc<dyn quinn::AsyncUdpSocket>;
    let endpoint = Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))
        .map_err(Missed::Unable)?;
    let connecting = endpoint
        .connect_with(config, address, host)
        .map_err(|error| Missed::Unable(std::io::Error::new(ErrorKind::InvalidInput, error)))?;
    let given_up = async {
        // Either somebody answers or the time is over.
        let _ = tokio::time::timeout(ATTEMPT, caller.knock(pace)).await;
        if caller.heard() {
            tokio::time::sleep(handshake).await;
        }
    };
    tokio::select! {
        connected = connecting => match connected {
            Ok(connection) => Ok(Line { endpoint, connection }),
            Err(ConnectionError::TimedOut) if caller.heard() => Err(Missed::Unfinished),
            Err(ConnectionError::TimedOut) => Err(Missed::Silence),
            Err(error) => Err(Missed::Refused(error)),
        },
        () = given_up => Err(if caller.heard() { Missed::Unfinished } else { Missed::Silence }),
    }
}

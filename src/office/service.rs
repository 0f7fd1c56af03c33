//! The service: takes connections, looks after inbox, register and status, and ends in good order.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use quinn::{Connection, Endpoint, Incoming, VarInt};
use tokio::sync::watch;

use super::begun::Pictures;
use super::enrolment::Enrolments;
use super::handshakes::{Handshakes, Room};
use super::register::{Entry, Fingerprint, Register, Standing};
use super::session::ListInfo;
use super::status::{Board, UnitStatus};
use super::store::{RedbStore, Store, UnitCounts};
use super::told::Told;
use super::watch::Watch;
use super::writer::{self, Jobs};
use super::{authority, codes, connection, files, inbox, people, retention, settings};
use crate::clock;
use crate::fault::{Fault, Kind, Result};
use crate::sync::identity::{Identity, Shown};
use crate::sync::wire::Code;

/// Between two looks at inbox and register, where nothing wakes the service before.
const ROUND: Duration = Duration::from_millis(500);
/// Handshakes in progress beyond which an address must prove itself first.
const UNPROVEN: usize = 64;
/// Connections beyond which further ones are refused.
const CONNECTIONS: usize = 5000;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the end of the service waits for goodbyes.
const GOODBYE: Duration = Duration::from_secs(1);

/// A running back office. Dropping it ends it in good order.
pub struct Service {
    address: SocketAddr,
    store: Arc<dyn Store>,
    board: Arc<Board>,
    stop: watch::Sender<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// How the service is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    Orderly,
    AtOnce,
}

/// What the service's parts share.
pub(crate) struct Office {
    pub(crate) data: PathBuf,
    pub(crate) clock: clock::Shared,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) register: Register,
    pub(crate) enrolments: Enrolments,
    pub(crate) board: Arc<Board>,
    pub(crate) jobs: Jobs,
    pub(crate) lists: watch::Sender<Arc<Vec<ListInfo>>>,
    online: Mutex<HashMap<String, (Fingerprint, Connection)>>,
    /// Its own identity, and what it shows of that.
    identity: Mutex<Identity>,
    shown: Arc<Shown>,
    /// What came of pictures whose connection was cut.
    pub(crate) pictures: Pictures,
    /// How far what crews made known and the heads of audit chains are told on.
    told: Told,
    /// The roll of people that was handed out last.
    roll: Mutex<Option<people::HandedOut>>,
    /// The revision of settings that was handed out last.
    settings: Mutex<Option<u64>>,
    /// When it was last seen to that nothing is kept for too long.
    kept_to: Mutex<retention::Looked>,
}

impl Service {
    /// Starts the office in `data`, as [`super::init`] made it, listening on `listen` (UDP; port 0 takes any).
    /// It listens when this returns.
    pub fn start(data: &Path, listen: SocketAddr, clock: clock::Shared) -> Result<Self> {
        Self::over(data, listen, clock, |path| Ok(Arc::new(RedbStore::open(path)?)))
    }

    /// Starts it over the store that `open` gives for a path.
    pub(super) fn over(
        data: &Path,
        listen: SocketAddr,
        clock: clock::Shared,
        open: impl FnOnce(&Path) -> Result<Arc<dyn Store>>,
    ) -> Result<Self> {
        match authority::renew_service(data, &*clock) {
            Ok(false) => {}
            Ok(true) => tracing::info!("the service's certificate is renewed"),
            // The old one counts for a while yet; what is wrong with the identity is said next.
            Err(fault) => tracing::warn!("the service's certificate cannot be renewed: {fault}"),
        }
        let identity = Identity::load(&files::identity(data))
            .map_err(|fault| fault.remedy("Make an office with outrider-office init first"))?;
        let shown = Shown::of(&identity)?;
        let config = identity.server(Arc::clone(&clock), Arc::clone(&shown))?;
        let store = open(&files::store(data))?;
        let board = Arc::new(Board::default());
        while inbox::take(data, &*store)?.more {}
        codes::clear(data, clock.utc())?;
        let lists = store.lists()?;
        let (jobs, writer) = writer::start(Arc::clone(&store), Arc::clone(&board), Arc::clone(&clock))?;
        let office = Arc::new(Office {
            data: data.to_owned(),
            clock,
            store: Arc::clone(&store),
            register: Register::of(data),
            enrolments: Enrolments::default(),
            board: Arc::clone(&board),
            jobs,
            lists: watch::Sender::new(Arc::new(lists)),
            online: Mutex::default(),
            identity: Mutex::new(identity),
            shown,
            pictures: Pictures::default(),
            told: Told::default(),
            roll: Mutex::default(),
            settings: Mutex::default(),
            kept_to: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Fault::new(Kind::Internal, "cannot start the service").because(error))?;
        let endpoint = {
            let _entered = runtime.enter();
            Endpoint::server(config, listen)
        }
        .map_err(|error| unbound(listen, error))?;
        let address = endpoint.local_addr().map_err(|error| unbound(listen, error))?;
        board.serving(Some(address));
        office.write_status()?;

        let (stop, mut stopping) = watch::channel(Stop::No);
        let thread = std::thread::Builder::new()
            .name("office".into())
            .spawn(move || {
                runtime.block_on(run(&office, &endpoint, &mut stopping));
                drop((endpoint, office));
                runtime.shutdown_timeout(GOODBYE);
                // What was received before the end is stored, though nobody is left to be told.
                if writer.join().is_err() {
                    tracing::error!("the store's thread ended by a panic");
                }
            })
            .map_err(|error| Fault::new(Kind::Internal, "cannot start the service").because(error))?;
        Ok(Self { address, store, board, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How much of each unit's is stored.
    pub fn counts(&self) -> Result<BTreeMap<String, UnitCounts>> {
        self.store.count_by_unit()
    }

    /// What it keeps.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// How many connections were refused.
    pub fn refused(&self) -> u64 {
        self.board.refusals()
    }

    /// Ends it: cars are told, what was received is stored.
    pub fn stop(self) {
        self.end(Stop::Orderly);
    }

    /// Ends it as a power cut would: nobody is told.
    pub fn kill(self) {
        self.end(Stop::AtOnce);
    }

    fn end(mut self, how: Stop) {
        self.finish(how);
    }

    fn finish(&mut self, how: Stop) {
        self.stop.send_replace(how);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the service ended by a panic");
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.finish(Stop::Orderly);
        }
    }
}

/// Runs the office in `data` until `shutdown` is over. `on_ready` is told where it listens.
pub fn serve(
    data: &Path,
    listen: SocketAddr,
    clock: clock::Shared,
    shutdown: impl Future<Output = ()>,
    on_ready: impl FnOnce(SocketAddr),
) -> Result<()> {
    let service = Service::start(data, listen, clock)?;
    on_ready(service.address());
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::new(Kind::Internal, "cannot wait for the end of the service").because(error))?
        .block_on(shutdown);
    service.stop();
    Ok(())
}

/// Is over when the process is asked to end: by Ctrl-C, or as a service manager does it.
pub async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

async fn run(office: &Arc<Office>, endpoint: &Endpoint, stopping: &mut watch::Receiver<Stop>) {
    let mut rounds = tokio::time::interval(ROUND);
    let mut watch = Watch::of(&office.data);
    // The register is looked at apart: a car that is revoked is not to wait for a large list to be taken in.
    let (mut housekeeping, mut looking) = (Chore::default(), Chore::default());
    let handshakes = Handshakes::default();
    let how = loop {
        tokio::select! {
            how = stopping.wait_for(|stop| *stop != Stop::No) => break how.map_or(Stop::Orderly, |how| *how),
            _ = rounds.tick() => (housekeeping.due, looking.due) = (true, true),
            () = watch.changed() => (housekeeping.due, looking.due) = (true, true),
            () = housekeeping.done() => {}
            () = looking.done() => {}
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => take(office, endpoint, incoming, &handshakes),
                None => break Stop::Orderly,
            },
        }
        housekeeping.start(office, Office::round);
        looking.start(office, Office::look_at_register);
    };
    if how == Stop::Orderly {
        office.board.serving(None);
        endpoint.close(VarInt::from_u32(Code::Stopping.number()), b"");
        let _ = tokio::time::timeout(GOODBYE, endpoint.wait_idle()).await;
        if let Err(fault) = office.write_status() {
            tracing::error!("{fault}");
        }
    }
}

/// Work on the disk that comes again and again, and never twice at once: what falls due meanwhile follows it.
#[derive(Default)]
struct Chore {
    due: bool,
    running: Option<tokio::task::JoinHandle<()>>,
}

impl Chore {
    fn start(&mut self, office: &Arc<Office>, work: fn(&Office)) {
        if self.running.is_none() && std::mem::take(&mut self.due) {
            let office = Arc::clone(office);
            self.running = Some(tokio::task::spawn_blocking(move || work(&office)));
        }
    }

    /// Is over when what runs has ended; never where nothing runs.
    async fn done(&mut self) {
        match &mut self.running {
            Some(running) => _ = running.await,
            None => std::future::pending().await,
        }
        self.running = None;
    }
}

/// Starts a connection's task, or turns the connection away.
fn take(office: &Arc<Office>, endpoint: &Endpoint, incoming: Incoming, handshakes: &Handshakes) {
    if endpoint.open_connections() >= CONNECTIONS {
        office.board.refused("too many connections", office.clock.utc());
        return incoming.refuse();
    }
    if handshakes.running() > UNPROVEN && incoming.may_retry() {
        // Made to come again from where it claims to be; costs a flood of made-up addresses more than the office.
        let _ = incoming.retry();
        return;
    }
    match handshakes.room() {
        Room::Free => {}
        Room::OfADawdler => office.board.refused("a handshake that newer ones pushed out", office.clock.utc()),
        // Whoever it is sends again, and finds room then.
        Room::None => return incoming.ignore(),
    }
    let office = Arc::clone(office);
    handshakes.start(|place| async move {
        let accepted = match incoming.accept() {
            Ok(connecting) => tokio::time::timeout(HANDSHAKE, connecting).await,
            Err(error) => Ok(Err(error)),
        };
        match accepted {
            Ok(Ok(connection)) => connection::serve(office, connection, place).await,
            Ok(Err(error)) => office.board.refused(&cause(&error), office.clock.utc()),
            Err(_) => office.board.refused("a handshake that took too long", office.clock.utc()),
        }
    });
}

/// Why a handshake failed, in this side's words: what a stranger wrote does not belong in the log.
fn cause(error: &quinn::ConnectionError) -> String {
    match error {
        quinn::ConnectionError::TransportError(error) => format!("no handshake: {error}"),
        quinn::ConnectionError::TimedOut => "a handshake that nobody went on with".into(),
        quinn::ConnectionError::VersionMismatch => "another version of QUIC".into(),
        _ => "the other side ended the handshake".into(),
    }
}

impl Office {
    /// A unit is connected; an older connection of the same unit ends.
    pub(crate) fn enter(&self, unit: &str, certificate: Fingerprint, connection: &Connection) {
        let before = self.online().insert(unit.to_owned(), (certificate, connection.clone()));
        if let Some((_, before)) = before {
            before.close(VarInt::from_u32(Code::Replaced.number()), b"");
        }
        let now = self.clock.utc();
        self.board.unit(unit, |status| *status = UnitStatus { connected: true, since: Some(now), ..status.clone() });
    }

    /// A connection has ended.
    pub(crate) fn leave(&self, unit: &str, connection: &Connection) {
        let mut online = self.online();
        // A newer connection of the same unit stays.
        if online.get(unit).is_some_and(|(_, current)| current.stable_id() == connection.stable_id()) {
            online.remove(unit);
            let now = self.clock.utc();
            self.board
                .unit(unit, |status| *status = UnitStatus { connected: false, since: Some(now), ..status.clone() });
        }
    }

    fn online(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Fingerprint, Connection)>> {
        self.online.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Inbox, certificates that run out, status. Blocks on the disk.
    fn round(&self) {
        self.cut_off();
        for result in [
            self.look_at_identity(),
            self.take_inbox(),
            self.hand_out_roll(),
            self.hand_out_settings(),
            self.write_status(),
            self.keep_to_retention(),
        ] {
            if let Err(fault) = result {
                self.board.trouble(&fault, self.clock.utc());
            }
        }
    }

    fn take_inbox(&self) -> Result<()> {
        loop {
            let taken = inbox::take(&self.data, &*self.store)?;
            if taken.changed {
                self.lists.send_replace(Arc::new(self.store.lists()?));
            }
            if !taken.more {
                return Ok(());
            }
        }
    }

    /// Hands the roll of people to the cars anew when it was changed, and each day, so that it does not run out.
    fn hand_out_roll(&self) -> Result<()> {
        let mut handed = self.roll.lock().unwrap_or_else(PoisonError::into_inner);
        if people::hand_out(&self.data, &*self.store, &mut handed, self.clock.utc())? {
            self.lists.send_replace(Arc::new(self.store.lists()?));
        }
        Ok(())
    }

    /// Hands settings to the cars that they are for, once they were set.
    fn hand_out_settings(&self) -> Result<()> {
        let mut handed = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        if settings::hand_out(&self.data, &*self.store, &mut handed)? {
            self.lists.send_replace(Arc::new(self.store.lists()?));
        }
        Ok(())
    }

    /// Shows another certificate from now on where a command has made one.
    fn look_at_identity(&self) -> Result<()> {
        let newest = Identity::load(&files::identity(&self.data))?;
        let mut identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        if *identity != newest {
            self.shown.change(&newest)?;
            *identity = newest;
            tracing::info!("the service shows a new certificate");
        }
        Ok(())
    }

    /// Deletes what is beyond its retention.
    fn keep_to_retention(&self) -> Result<()> {
        let mut looked = self.kept_to.lock().unwrap_or_else(PoisonError::into_inner);
        retention::keep_to(&self.data, &mut looked, self.clock.utc())
    }

    /// Cuts off whoever was revoked. Blocks on the disk.
    fn look_at_register(&self) {
        match self.register.look() {
            Ok(false) => {}
            Ok(true) => self.cut_off(),
            Err(fault) => self.board.trouble(&fault, self.clock.utc()),
        }
    }

    /// Ends the connections of certificates that do not count any more: revoked, run out, or gone from the register.
    fn cut_off(&self) {
        let online: Vec<_> = self.online().iter().map(|(unit, online)| (unit.clone(), online.clone())).collect();
        let utc = self.clock.utc();
        for (unit, (certificate, connection)) in online {
            let cause = match self.register.known_standing(&certificate, utc) {
                // One that was replaced ends by itself: the newer one's connection has taken over.
                Ok(Some(Standing::Good | Standing::Replaced)) => continue,
                Ok(Some(standing)) => standing.words(),
                Ok(None) => "not in the register",
                Err(fault) => {
                    self.board.trouble(&fault, utc);
                    continue;
                }
            };
            self.board.refused(&format!("unit {unit:?}: its certificate is {cause}"), utc);
            connection.close(VarInt::from_u32(Code::Unknown.number()), b"");
        }
    }

    /// The entry of a certificate that a connection shows. If it counts, it is used from now on: older ones of the same unit
    /// end. Blocks on the disk.
    ///
    /// # Errors
    /// The register cannot be read. That it cannot be written does not keep the car out.
    pub(crate) fn admit(&self, certificate: &Fingerprint) -> Result<Option<Entry>> {
        let (entry, utc) = (self.register.entry(certificate)?, self.clock.utc());
        if let Some(entry) = entry.as_ref().filter(|entry| entry.standing(utc) == Standing::Good)
            && self.register.has_older(entry)
        {
            let ended = files::hold_the_door(&self.data).and_then(|_door| self.register.end_older(entry, utc));
            if let Err(fault) = ended {
                self.board.trouble(&fault, utc);
            }
        }
        Ok(entry)
    }

    fn write_status(&self) -> Result<()> {
        self.board.forget_positions(self.clock.utc());
        let mut lists = BTreeMap::new();
        for info in self.lists.borrow().iter() {
            let newest = lists.entry(info.list.clone()).or_insert(info.revision);
            *newest = info.revision.max(*newest);
        }
        self.board.lists(lists);
        if self.board.take_stale() {
            let counts = self.store.count_by_unit()?;
            self.told.counted(&counts);
            self.board.counts(counts);
        }
        if self.told.look(&self.data, &*self.store, self.clock.utc())? {
            self.lists.send_replace(Arc::new(self.store.lists()?));
        }
        match self.board.take_changed(self.clock.utc()) {
            Some(fleet) => {
                let json = serde_json::to_vec_pretty(&fleet)
                    .map_err(|error| Fault::new(Kind::Internal, "cannot write the office's status").because(error))?;
                files::replace(&files::status(&self.data), &json)
            }
            None => Ok(()),
        }
    }
}

fn unbound(listen: SocketAddr, error: std::io::Error) -> Fault {
    let kind = match error.kind() {
        std::io::ErrorKind::PermissionDenied => Kind::Denied,
        _ => Kind::Unavailable,
    };
    Fault::new(kind, "cannot listen").at(listen).because(error).remedy("Choose another address or port with --listen")
}

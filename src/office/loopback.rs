//! Car and office over real QUIC on the loopback interface, with real files.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::DateTime;
use tempfile::TempDir;

use super::{Revocation, Service, enrol, fleet, init, offer_revision, revoke, set_settings};
use crate::clock::{RealClock, SimulatedClock};
use crate::config;
use crate::fault::{Fault, Kind as FaultKind, Result};
use crate::settings::{Handed, SETTINGS};
use crate::sync::car::{Budget, Ledger, Piece, Revision, Waiting};
use crate::sync::identity::{self, Identity};
use crate::sync::{Health, Item, Kind, Link, LinkState, Outbox, Pace, Position, Present, Status};

const PATIENCE: Duration = Duration::from_secs(60);

type Payloads = BTreeMap<(Kind, Vec<u8>), Vec<u8>>;

/// A journal and hotlist in memory.
#[derive(Default)]
pub(super) struct Memory {
    unsent: Mutex<Payloads>,
    pub(super) lists: Mutex<BTreeMap<String, (u64, Vec<u8>)>>,
    arriving: Mutex<BTreeMap<(String, u64), Vec<u8>>>,
    pub(super) ledger: Mutex<Option<Ledger>>,
}

impl Memory {
    pub(super) fn add(&self, kind: Kind, number: usize, size: usize) {
        let key = format!("{kind:?}-{number:05}").into_bytes();
        self.unsent.lock().expect("whole").insert((kind, key), vec![number as u8; size]);
    }
}

impl Outbox for Memory {
    fn pending(&self, budget: Budget) -> Result<Vec<Waiting>> {
        let mut bytes = 0;
        let mut items: Vec<Waiting> = Vec::new();
        let unsent = self.unsent.lock().expect("whole");
        for ((kind, key), payload) in unsent.iter().filter(|((kind, _), _)| *kind != Kind::Picture || budget.pictures) {
            if items.len() >= budget.items || bytes >= budget.bytes {
                break;
            }
            bytes += payload.len();
            items.push(Item { kind: *kind, key: key.clone(), payload: payload.clone() }.into());
        }
        Ok(items)
    }

    fn unsent(&self) -> u64 {
        self.unsent.lock().expect("whole").len() as u64
    }

    fn acknowledged(&self, keys: &[Vec<u8>]) -> Result<()> {
        self.unsent.lock().expect("whole").retain(|(_, key), _| !keys.contains(key));
        Ok(())
    }

    fn lists_held(&self) -> Vec<(String, u64)> {
        self.lists.lock().expect("whole").iter().map(|(list, (revision, _))| (list.clone(), *revision)).collect()
    }

    fn take_piece(&self, piece: &Piece) -> Result<()> {
        let mut arriving = self.arriving.lock().expect("whole");
        let kept = arriving.entry((piece.revision.list.clone(), piece.revision.revision)).or_default();
        kept.truncate(piece.offset as usize);
        assert_eq!(kept.len() as u64, piece.offset);
        kept.extend_from_slice(&piece.bytes);
        Ok(())
    }

    fn apply_list(&self, revision: &Revision) -> Result<()> {
        let key = (revision.list.clone(), revision.revision);
        let bytes = self.arriving.lock().expect("whole").remove(&key).unwrap_or_default();
        if bytes.starts_with(b"unusable") {
            return Err(Fault::new(FaultKind::Damaged, "not a list"));
        }
        self.lists.lock().expect("whole").insert(revision.list.clone(), (revision.revision, bytes));
        Ok(())
    }

    fn drop_list(&self, revision: &Revision) {
        self.arriving.lock().expect("whole").remove(&(revision.list.clone(), revision.revision));
    }

    fn pictures_unsent(&self) -> Result<[u64; 2]> {
        let unsent = self.unsent.lock().expect("whole");
        Ok([unsent.keys().filter(|(kind, _)| *kind == Kind::Picture).count() as u64, 0])
    }

    fn ledger(&self) -> Result<Option<Ledger>> {
        Ok(self.ledger.lock().expect("whole").clone())
    }

    fn keep_ledger(&self, ledger: &Ledger) -> Result<()> {
        *self.ledger.lock().expect("whole") = Some(ledger.clone());
        Ok(())
    }
}

/// An office with one enrolled car.
pub(super) struct Yard {
    pub(super) folder: TempDir,
    pub(super) clock: crate::clock::Shared,
}

impl Yard {
    pub(super) fn new() -> Self {
        Self::by(RealClock::shared())
    }

    /// One whose time is told by this clock.
    pub(super) fn by(clock: crate::clock::Shared) -> Self {
        let yard = Self { folder: tempfile::tempdir().expect("a folder"), clock };
        init(&yard.data(), &[], &*yard.clock).expect("made");
        enrol(&yard.data(), "EX-01", &yard.identity(), &*yard.clock).expect("enrolled");
        yard
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("office")
    }

    pub(super) fn identity(&self) -> PathBuf {
        self.folder.path().join("car")
    }

    pub(super) fn serve(&self, listen: SocketAddr) -> Service {
        Service::start(&self.data(), listen, Arc::clone(&self.clock)).expect("started")
    }

    pub(super) fn link(&self, office: SocketAddr, outbox: &Arc<Memory>) -> Link {
        link(&self.identity(), "EX-01", office, outbox, &self.clock)
    }
}

pub(super) fn link(
    identity: &Path,
    unit: &str,
    office: SocketAddr,
    outbox: &Arc<Memory>,
    clock: &crate::clock::Shared,
) -> Link {
    let settings = config::Office::at(office.to_string(), identity);
    let outbox: Arc<dyn Outbox> = Arc::clone(outbox) as Arc<dyn Outbox>;
    Link::start(unit, &settings, outbox, Arc::clone(clock)).expect("started")
}

/// A link of a car that may say where it is, or may not.
fn telling(yard: &Yard, office: SocketAddr, outbox: &Arc<Memory>, live_position: bool) -> Link {
    let settings = config::Office { live_position, ..config::Office::at(office.to_string(), yard.identity()) };
    let outbox: Arc<dyn Outbox> = Arc::clone(outbox) as Arc<dyn Outbox>;
    Link::start("EX-01", &settings, outbox, Arc::clone(&yard.clock)).expect("started")
}

pub(super) fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Waits until the link's status is as wanted.
pub(super) fn wait(link: &Link, what: &str, wanted: impl FnMut(&Status) -> bool) -> Status {
    let mut watch = link.watch();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let waited = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, watch.wait_for(wanted))
            .await
            .map(|status| status.expect("the link lives").clone())
    });
    waited.unwrap_or_else(|_| panic!("{what} did not happen; the link is {:?}", link.status()))
}

/// Waits until something outside the link is as wanted.
pub(super) fn wait_until(what: &str, mut wanted: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !wanted() {
        assert!(start.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::yield_now();
    }
}

pub(super) fn down(status: &Status, words: &str) -> bool {
    matches!(&status.state, LinkState::Down { reason, .. } if reason.to_string().contains(words))
}

pub(super) fn connected(status: &Status) -> bool {
    matches!(status.state, LinkState::Connected { .. })
}

#[test]
fn things_go_up_and_lists_come_down() {
    let yard = Yard::new();
    offer_revision(&yard.data(), "stolen", 3, &vec![3; 700_000][..]).expect("offered");
    let service = yard.serve(anywhere());
    let outbox = Arc::new(Memory::default());
    outbox.add(Kind::Hit, 0, 300);
    outbox.add(Kind::Statement, 0, 30);
    (0..1500).for_each(|number| outbox.add(Kind::Read, number, 400));
    (0..12).for_each(|number| outbox.add(Kind::Picture, number, 120_000));
    let link = yard.link(service.address(), &outbox);
    wait(&link, "the upload", |status| status.acknowledged == 1514 && status.unsent == 0);
    let counts = service.counts().expect("counted")["EX-01"];
    assert_eq!((counts.hits, counts.statements, counts.reads, counts.pictures), (1, 1, 1500, 12));
    assert_eq!((counts.duplicates, counts.conflicts), (0, 0));
    assert_eq!(
        service.store().get("EX-01", Kind::Read, b"Read-00700").expect("read"),
        Some(vec![700_usize as u8; 400])
    );
    let status = wait(&link, "the list", |status| status.lists == [("stolen".to_owned(), 3)]);
    assert!(connected(&status));
    assert_eq!(outbox.lists.lock().expect("whole")["stolen"].1, vec![3; 700_000]);

    // While connected: a new read goes up at a nudge, a new revision comes down by itself, a bad one is named.
    outbox.add(Kind::Read, 9000, 10);
    link.nudge();
    wait(&link, "the read", |status| status.acknowledged == 1515);
    offer_revision(&yard.data(), "stolen", 4, &b"four"[..]).expect("offered");
    wait(&link, "the new revision", |status| status.lists == [("stolen".to_owned(), 4)]);
    offer_revision(&yard.data(), "stolen", 5, &b"unusable"[..]).expect("offered");
    let status = wait(&link, "the fault", |status| status.list_fault.is_some());
    assert_eq!(status.lists, [("stolen".to_owned(), 4)]);

    // The office's status file says so too, while it serves and after.
    wait_until("the status file", || {
        fleet(&yard.data()).is_ok_and(|fleet| {
            fleet.serving
                && fleet
                    .units
                    .get("EX-01")
                    .is_some_and(|unit| unit.connected && unit.stored.reads == 1501 && unit.lists["stolen"] == 4)
        })
    });
    drop(link);
    service.stop();
    let fleet = fleet(&yard.data()).expect("readable");
    assert!(!fleet.serving && !fleet.units["EX-01"].connected);
}

#[test]
fn the_office_knows_how_a_car_is_and_where_only_where_the_car_may_say_it() {
    let yard = Yard::new();
    let service = yard.serve(anywhere());
    let outbox = Arc::new(Memory::default());
    let position = Position { lat: 51.5, lon: -0.125, speed_mps: Some(13.0), course: Some(90), age_s: 0.5 };
    let health = Health { cameras: 2, cameras_live: 1, unsent: 3, failed: vec!["sound".into()] };
    let present = Present { position: Some(position), health: Some(health.clone()) };
    let unit = || fleet(&yard.data()).ok().and_then(|fleet| fleet.units.get("EX-01").cloned()).unwrap_or_default();
    for live_position in [false, true] {
        let link = telling(&yard, service.address(), &outbox, live_position);
        // Told before there is a connection: the newest is told once there is one.
        link.report(Present::default(), Pace::default());
        link.report(present.clone(), Pace::default());
        wait_until("the datagram", || {
            unit().health.is_some_and(|live| live.said == health) && { live_position == unit().position.is_some() }
        });
        assert_eq!(unit().position.map(|live| live.said), live_position.then_some(position));
        drop(link);
    }
    // The end of the service leaves no position behind.
    service.stop();
    assert!(unit().position.is_none() && unit().health.is_some());
}

#[test]
fn settings_reach_each_car_they_are_for_and_the_office_knows_who_holds_which() {
    let yard = Yard::new();
    enrol(&yard.data(), "EX-02", &yard.folder.path().join("car2"), &*yard.clock).expect("enrolled");
    let set =
        |text: &str| set_settings(&yard.data(), text, "Insp Example", "a test", &*yard.clock).expect("set").revision;
    let first = set("[cars]\nlongest_shift_h = 10\n[units.EX-02]\ndrill_days = 7\n");
    let service = yard.serve(anywhere());
    let cars = [Arc::new(Memory::default()), Arc::new(Memory::default())];
    let identities = [yard.identity(), yard.folder.path().join("car2")];
    let links: Vec<Link> = ["EX-01", "EX-02"]
        .into_iter()
        .zip(identities.iter().zip(&cars))
        .map(|(unit, (identity, car))| link(identity, unit, service.address(), car, &yard.clock))
        .collect();
    let key = identity::lists_key(&yard.identity()).expect("a key");
    let has = |car: &Memory| {
        let lists = car.lists.lock().expect("whole");
        let handed = lists.get(SETTINGS).map(|(_, signed)| Handed::decode(key.open_settings(signed).expect("signed")));
        handed.map(|handed| handed.expect("settings"))
    };
    let known = |unit: &str| fleet(&yard.data()).ok()?.units.get(unit)?.lists.get(SETTINGS).copied();
    let holds = |revision| {
        [&links[0], &links[1]]
            .map(|link| wait(link, "the settings", |status| status.lists == [(SETTINGS.to_owned(), revision)]))
    };
    holds(first);
    let [one, two] = [0, 1].map(|car: usize| has(&cars[car]).expect("there"));
    assert_eq!((one.unit.as_str(), one.values.words().as_str()), ("", "longest_shift_h 10"));
    assert_eq!((two.unit.as_str(), two.values.words().as_str()), ("EX-02", "longest_shift_h 10, drill_days 7"));
    wait_until("what the cars say they hold", || known("EX-01") == Some(first) && known("EX-02") == Some(first));

    // Taken back while they are connected.
    let second = set("");
    holds(second);
    assert!(cars.iter().all(|car| has(car).is_some_and(|handed| handed.values.is_empty() && handed.unit.is_empty())));
}

#[test]
fn an_office_that_goes_and_comes_back_gets_everything_once() {
    let yard = Yard::new();
    let service = yard.serve(anywhere());
    let address = service.address();
    let outbox = Arc::new(Memory::default());
    (0..3000).for_each(|number| outbox.add(Kind::Read, number, 200));
    let link = yard.link(address, &outbox);
    wait(&link, "the first acknowledgements", |status| status.acknowledged > 0);
    service.stop();
    wait(&link, "the loss", |status| down(status, "closed the connection") || down(status, "cannot be reached"));
    (3000..3200).for_each(|number| outbox.add(Kind::Read, number, 200));
    outbox.add(Kind::Hit, 0, 200);
    let service = yard.serve(address);
    wait(&link, "the rest", |status| connected(status) && status.unsent == 0 && status.acknowledged == 3201);
    let counts = service.counts().expect("counted")["EX-01"];
    assert_eq!((counts.reads, counts.hits, counts.conflicts), (3200, 1, 0));
    assert_eq!(service.store().keys("EX-01", Kind::Read).expect("read").len(), 3200);
}

#[test]
fn an_office_that_dies_without_a_word_is_missed_and_nothing_is_lost() {
    let yard = Yard::new();
    let service = yard.serve(anywhere());
    let address = service.address();
    let outbox = Arc::new(Memory::default());
    (0..2000).for_each(|number| outbox.add(Kind::Read, number, 200));
    let link = yard.link(address, &outbox);
    wait(&link, "the first acknowledgements", |status| status.acknowledged > 0);
    service.kill();
    let service = yard.serve(address);
    // What went into the void is sent again: once the idle timeout has passed at the latest.
    let status = wait(&link, "the rest", |status| status.unsent == 0);
    assert_eq!(status.acknowledged, 2000);
    assert_eq!(service.store().keys("EX-01", Kind::Read).expect("read").len(), 2000);
}

#[test]
fn strangers_and_the_revoked_are_turned_away_and_others_go_on() {
    let (yard, other) = (Yard::new(), Yard::new());
    enrol(&yard.data(), "EX-02", &yard.folder.path().join("car2"), &*yard.clock).expect("enrolled");
    let service = yard.serve(anywhere());
    let (outbox, nothing) = (Arc::new(Memory::default()), Arc::new(Memory::default()));
    let good = yard.link(service.address(), &outbox);
    wait(&good, "the link", connected);

    // A car of another authority, even where it trusts this office: its certificate is refused.
    let foreign = yard.folder.path().join("foreign");
    std::fs::create_dir(&foreign).expect("made");
    for file in ["cert.pem", "key.pem"] {
        std::fs::copy(other.identity().join(file), foreign.join(file)).expect("copied");
    }
    std::fs::copy(yard.identity().join("ca.pem"), foreign.join("ca.pem")).expect("copied");
    let stranger = link(&foreign, "EX-01", service.address(), &nothing, &yard.clock);
    wait(&stranger, "the refusal", |status| down(status, "refuses this car's identity"));

    // A car that was enrolled elsewhere does not talk to this office.
    let astray = link(&other.identity(), "EX-01", service.address(), &nothing, &yard.clock);
    wait(&astray, "the refusal", |status| down(status, "another office"));

    // A folder that belongs to another unit.
    let swapped = link(&yard.folder.path().join("car2"), "EX-01", service.address(), &nothing, &yard.clock);
    wait(&swapped, "the refusal", |status| down(status, "unit of another name"));
    drop((stranger, astray, swapped));

    // Nobody without a certificate.
    assert!(handshake_without_certificate(&yard, service.address()).is_err());
    assert!(service.refused() >= 3);

    // The good car was not disturbed; then it is revoked, in mid-connection.
    assert!(connected(&good.status()));
    let cut_off = revoke(&yard.data(), Revocation::Unit("EX-01"), "Sgt Example", &*yard.clock);
    assert_eq!(cut_off.expect("revoked"), (1, 0));
    wait(&good, "the cut", |status| down(status, "does not know this car's identity"));
    outbox.add(Kind::Read, 1, 1);
    good.nudge();
    wait(&good, "the count", |status| status.unsent == 1);
    assert_eq!(service.counts().expect("counted").get("EX-01"), None);
}

/// Connects as nobody, and waits for what the office says to that.
fn handshake_without_certificate(yard: &Yard, office: SocketAddr) -> std::result::Result<(), quinn::ConnectionError> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    let authority = std::fs::read(yard.identity().join("ca.pem")).expect("read");
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&authority).expect("a certificate")).expect("added");
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![crate::sync::wire::ALPN.to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("TLS 1.3");
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let endpoint = quinn::Endpoint::client(anywhere()).expect("bound");
        let connection = endpoint.connect_with(config, office, "127.0.0.1").expect("begun").await?;
        Err(connection.closed().await)
    })
}

/// An enrolled car that does not keep to the conversation.
#[test]
fn garbage_and_absurd_lengths_end_one_connection_only() {
    let yard = Yard::new();
    enrol(&yard.data(), "EX-02", &yard.folder.path().join("car2"), &*yard.clock).expect("enrolled");
    let service = yard.serve(anywhere());
    let outbox = Arc::new(Memory::default());
    let good = link(&yard.folder.path().join("car2"), "EX-02", service.address(), &outbox, &yard.clock);
    wait(&good, "the link", connected);
    let config = Identity::load(&yard.identity()).expect("loaded").client(Arc::clone(&yard.clock)).expect("usable");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let endpoint = quinn::Endpoint::client(anywhere()).expect("bound");
        for (lane, bytes) in [
            (None, &b"\xff\xff\xff\xff\x0f"[..]),
            (None, b"\x03\xff\xff\xff"),
            // Another protocol: its first letter is taken for a length, of a message that is none.
            (None, b"GET / HTTP/1.1\r\nHost: office.example.org\r\nUser-Agent: someone who tries every door there is\r\n\r\n"),
            (Some(2), b"\x05hello"),
            (Some(77), b""),
            (Some(4), b"\x00"),
        ] {
            let connection = endpoint
                .connect_with(config.clone(), service.address(), "127.0.0.1")
                .expect("begun")
                .await
                .expect("let in");
            let mut stream = match lane {
                None => connection.open_bi().await.expect("opened").0,
                Some(number) => {
                    let mut stream = connection.open_uni().await.expect("opened");
                    stream.write_all(&[number]).await.expect("written");
                    stream
                }
            };
            stream.write_all(bytes).await.expect("written");
            let end = tokio::time::timeout(PATIENCE, connection.closed()).await.expect("cut off");
            let quinn::ConnectionError::ApplicationClosed(close) = end else { panic!("{end}") };
            assert_eq!(close.error_code.into_inner(), 2, "{lane:?} {bytes:?}");
        }
    });
    outbox.add(Kind::Hit, 1, 10);
    good.nudge();
    wait(&good, "the hit", |status| status.acknowledged == 1);
}

#[test]
fn a_second_connection_of_a_unit_takes_over() {
    let yard = Yard::new();
    let service = yard.serve(anywhere());
    let outbox = Arc::new(Memory::default());
    let first = yard.link(service.address(), &outbox);
    wait(&first, "the link", connected);
    let second = yard.link(service.address(), &outbox);
    wait(&first, "the end of the first", |status| down(status, "took over"));
    drop(first);
    outbox.add(Kind::Hit, 1, 10);
    second.nudge();
    wait(&second, "the hit", |status| status.unsent == 0 && status.acknowledged <= 1);
    wait_until("the count", || service.counts().expect("counted").get("EX-01").is_some_and(|counts| counts.hits == 1));
}

#[test]
fn a_wrong_clock_and_a_missing_identity_are_named_and_pass() {
    let yard = Yard::new();
    let service = yard.serve(anywhere());
    let outbox = Arc::new(Memory::default());
    let clock = SimulatedClock::starting(DateTime::UNIX_EPOCH);
    let shared: crate::clock::Shared = clock.clone();
    let late = link(&yard.identity(), "EX-01", service.address(), &outbox, &shared);
    wait(&late, "the fault", |status| down(status, "1970-01-01"));
    // Decades ahead: the certificates have run out, as far as this car knows.
    clock.jump_to(yard.clock.utc() + chrono::Days::new(20_000));
    wait(&late, "the fault", |status| down(status, "clock"));
    clock.jump_to(yard.clock.utc());
    wait(&late, "the link", connected);
    drop(late);

    let moved = yard.folder.path().join("moved");
    std::fs::rename(yard.identity(), &moved).expect("moved");
    let without = yard.link(service.address(), &outbox);
    wait(&without, "the fault", |status| down(status, "cannot read the identity"));
    std::fs::rename(&moved, yard.identity()).expect("moved back");
    wait(&without, "the link", connected);
}

#[test]
fn an_office_that_was_not_made_or_is_running_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let fault = Service::start(folder.path(), anywhere(), RealClock::shared()).err().expect("nothing there");
    assert!(fault.to_string().contains("init"), "{fault}");
    let yard = Yard::new();
    let service = yard.serve(anywhere());
    let second = Service::start(&yard.data(), anywhere(), Arc::clone(&yard.clock)).err().expect("in use");
    assert_eq!(second.kind(), FaultKind::Unavailable, "{second}");
    let taken = Yard::new();
    let fault = Service::start(&taken.data(), service.address(), Arc::clone(&taken.clock)).err().expect("taken");
    assert!(fault.to_string().contains("cannot listen"), "{fault}");
}

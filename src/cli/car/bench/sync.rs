//! `outrider bench sync`: what a car has collected goes to an office over the link, and beside it the same things over HTTPS,
//! on one and the same network that is far and loses packets.

mod backlog;
mod https;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use self::backlog::Backlog;
use super::{made_up, show};
use crate::clock::{RealClock, Shared};
use crate::config;
use crate::fault::{Fault, Kind, Result};
use crate::office::{self, Publication, Service, UnitCounts};
use crate::road::{Conditions, Relay, Tunnel};
use crate::sync::{Link, LinkState, Outbox};

const UNIT: &str = "bench";
/// The round trip of every network here.
const RTT: Duration = Duration::from_millis(100);
/// Packets of a hundred that are lost.
const LOSSES: [u32; 3] = [0, 2, 5];
/// How long the network is away before the last hit, and how far into that the hit comes.
const OUTAGE: Duration = Duration::from_secs(8);
/// The live hit comes so long after the first, while the rest goes up.
const LIVE: Duration = Duration::from_millis(700);
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(300);
const GLANCE: Duration = Duration::from_millis(2);
/// How often a list is cut on its way.
const CUTS: u64 = 20;
const LIST: &str = "national";

/// What to measure.
pub(super) struct Options {
    pub(super) reads: usize,
    pub(super) pictures: usize,
    pub(super) rate: u64,
    pub(super) rounds: usize,
    pub(super) congestion: String,
    pub(super) entries: u64,
    pub(super) folder: Option<PathBuf>,
    pub(super) json: bool,
}

/// What one protocol took for the work, once.
#[derive(Default)]
struct Took {
    /// From the start, with no connection, to the first of the hits that waited being stored.
    first_hit: Duration,
    /// From a hit that comes while the rest goes up to its being stored.
    live_hit: Duration,
    /// From the start to everything being stored and the car knowing it.
    drained: Duration,
    /// From the end of an outage to a hit that came in it being stored.
    after_outage: Duration,
    /// On the wire until everything was stored, both ways, with all headers and whatever was lost.
    bytes: u64,
    packets: u64,
}

/// Measures and prints.
pub(super) fn run(options: &Options) -> Result<()> {
    let clock = RealClock::shared();
    let scratch = match &options.folder {
        Some(folder) => tempfile::Builder::new().prefix("bench-").tempdir_in(folder),
        None => tempfile::Builder::new().prefix("outrider-bench-").tempdir(),
    }
    .map_err(|error| Fault::new(Kind::Unavailable, "cannot make a folder").because(error))?;
    let mut report = serde_json::Map::new();
    report.insert("round_trip_ms".into(), json!(RTT.as_millis()));
    report.insert("bytes_per_second".into(), json!(options.rate));
    report.insert("reads".into(), json!(options.reads));
    report.insert("pictures".into(), json!(options.pictures));
    let payload = Backlog::new(options.reads, options.pictures).bytes();
    report.insert("payload_bytes".into(), json!(payload));
    let mut networks = Vec::new();
    for loss in LOSSES {
        networks.push(network(options, loss, scratch.path(), payload, &clock, &mut report)?);
    }
    report.insert("networks".into(), networks.into());
    if options.entries > 0 {
        report.insert("list".into(), list(options.entries, scratch.path(), &clock)?);
    }
    show(options.json, &Value::Object(report))
}

/// One network: the link, and HTTPS where the machine allows a device that both can go through.
fn network(
    options: &Options,
    loss: u32,
    scratch: &Path,
    payload: u64,
    clock: &Shared,
    report: &mut serde_json::Map<String, Value>,
) -> Result<Value> {
    let conditions = Conditions { rate: Some(options.rate), ..Conditions::far(RTT, f64::from(loss) / 100.0) };
    let (mut quic, mut https) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let seed = u64::from(loss) << 8 | round as u64;
        let place = scratch.join(format!("{loss}-{round}"));
        match Tunnel::open(conditions, seed) {
            Ok(tunnel) => {
                let path = Way::Tunnel(tunnel);
                quic.push(by_link(options, &path, &place.join("quic"), clock)?);
                eprintln!("{loss} % lost, round {}: the link is measured", round + 1);
                path.set(conditions);
                let (took, congestion) = by_https(options, &path, &place.join("https"), clock)?;
                report.insert("tcp_congestion".into(), json!(congestion));
                https.push(took);
                eprintln!("{loss} % lost, round {}: HTTPS is measured", round + 1);
            }
            Err(fault) => {
                eprintln!("only the link is measured: {fault}");
                report.insert("https_missing".into(), json!(fault.to_string()));
                quic.push(by_link(options, &Way::Relay { conditions, seed, relay: OnceLock::new() }, &place, clock)?);
            }
        }
    }
    let (quic, https) = (middle(&quic, payload), middle(&https, payload));
    let ratio = |what: &str| match (quic[what].as_f64(), https[what].as_f64()) {
        (Some(quic), Some(https)) if quic > 0.0 => json!((https / quic * 100.0).round() / 100.0),
        _ => Value::Null,
    };
    let ratios: serde_json::Map<String, Value> =
        ["first_hit_ms", "live_hit_ms", "drained_ms", "after_outage_ms", "bytes"]
            .iter()
            .map(|what| ((*what).to_owned(), ratio(what)))
            .collect();
    Ok(json!({ "loss_percent": loss, "quic": quic, "https": https, "https_over_quic": ratios }))
}

/// The middle of the rounds, each figure by itself.
fn middle(rounds: &[Took], payload: u64) -> Value {
    if rounds.is_empty() {
        return Value::Null;
    }
    let median = |of: &dyn Fn(&Took) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let ms = |of: &dyn Fn(&Took) -> Duration| json!(median(&|took| (of(took).as_secs_f64() * 1e3).round()));
    let bytes = median(&|took| took.bytes as f64);
    json!({
        "first_hit_ms": ms(&|took| took.first_hit),
        "live_hit_ms": ms(&|took| took.live_hit),
        "drained_ms": ms(&|took| took.drained),
        "after_outage_ms": ms(&|took| took.after_outage),
        "bytes": bytes,
        "packets": median(&|took| took.packets as f64),
        "bytes_over_payload": (bytes / payload as f64 * 1000.0).round() / 1000.0,
    })
}

/// The network between car and office.
enum Way {
    Tunnel(Tunnel),
    /// For UDP alone; started once it is known where the office listens.
    Relay {
        conditions: Conditions,
        seed: u64,
        relay: OnceLock<Relay>,
    },
}

impl Way {
    /// Where the office listens.
    fn near(&self) -> IpAddr {
        match self {
            Self::Tunnel(tunnel) => tunnel.near().into(),
            Self::Relay { .. } => IpAddr::from([127, 0, 0, 1]),
        }
    }

    /// Where the car finds it.
    fn far(&self, office: SocketAddr) -> Result<SocketAddr> {
        match self {
            Self::Tunnel(tunnel) => Ok((tunnel.far(), office.port()).into()),
            Self::Relay { conditions, seed, relay } => {
                let started = Relay::start(office, *conditions, *seed)?;
                Ok(relay.get_or_init(|| started).address())
            }
        }
    }

    fn set(&self, conditions: Conditions) {
        match self {
            Self::Tunnel(tunnel) => tunnel.set(conditions),
            Self::Relay { relay, .. } => {
                if let Some(relay) = relay.get() {
                    relay.set(conditions);
                }
            }
        }
    }

    /// Bytes and packets; the relay counts no headers, and none that are lost.
    fn sent(&self) -> (u64, u64) {
        match self {
            Self::Tunnel(tunnel) => tunnel.sent(),
            Self::Relay { relay, .. } => {
                let carried = relay.get().map(Relay::carried).unwrap_or_default();
                (carried.up + carried.down, carried.packets)
            }
        }
    }
}

/// The work, whoever carries it: what waited goes up, a hit comes meanwhile, and one in an outage.
fn work(
    options: &Options,
    way: &Way,
    backlog: &Backlog,
    clock: &Shared,
    stored: &dyn Fn() -> Result<UnitCounts>,
    nudge: &dyn Fn(),
) -> Result<Took> {
    let start = clock.now();
    let before = way.sent();
    let until = |what: &str, since: crate::clock::Moment, wanted: &dyn Fn(&UnitCounts) -> bool| {
        while !wanted(&stored()?) {
            if clock.now().since(since) > PATIENCE {
                return Err(Fault::new(Kind::Unavailable, format!("{what} took too long")));
            }
            clock.sleep(GLANCE);
        }
        Ok(clock.now().since(since))
    };
    let first_hit = until("the first hit", start, &|counts| counts.hits > 0)?;
    clock.sleep(LIVE);
    let hits = backlog.add_hit();
    nudge();
    let live_hit = until("the live hit", clock.now(), &|counts| counts.hits == hits)?;
    let all = |counts: &UnitCounts| {
        counts.reads == options.reads as u64 && counts.pictures == options.pictures as u64 && backlog.unsent() == 0
    };
    let drained = until("everything", start, &all)?;
    let after = way.sent();
    let (bytes, packets) = (after.0 - before.0, after.1 - before.1);

    let cut = Conditions { cut: true, ..Conditions::GOOD };
    way.set(cut);
    clock.sleep(OUTAGE / 2);
    let hits = backlog.add_hit();
    nudge();
    clock.sleep(OUTAGE / 2);
    // Back with what it loses, so that what befalls the hit is not only luck.
    way.set(Conditions { rate: Some(options.rate), ..Conditions::far(RTT, 0.0) });
    let after_outage = until("the hit after the outage", clock.now(), &|counts| counts.hits == hits)?;
    Ok(Took { first_hit, live_hit, drained, after_outage, bytes, packets })
}

/// An office that cars reach by that address, and a car's identity.
fn made_office(place: &Path, far: IpAddr, clock: &Shared) -> Result<(PathBuf, PathBuf)> {
    let (data, identity) = (place.join("office"), place.join("identity"));
    office::init(&data, &[far.to_string()], &**clock)?;
    office::enrol(&data, UNIT, &identity, &**clock)?;
    Ok((data, identity))
}

fn by_link(options: &Options, way: &Way, place: &Path, clock: &Shared) -> Result<Took> {
    let far = match way {
        Way::Tunnel(tunnel) => tunnel.far().into(),
        Way::Relay { .. } => IpAddr::from([127, 0, 0, 1]),
    };
    let (data, identity) = made_office(place, far, clock)?;
    let service = Service::start(&data, (way.near(), 0).into(), Arc::clone(clock))?;
    let backlog = Arc::new(Backlog::new(options.reads, options.pictures));
    let settings = config::Office { address: way.far(service.address())?.to_string(), identity };
    let outbox: Arc<dyn Outbox> = Arc::clone(&backlog) as Arc<dyn Outbox>;
    let link = Link::start(UNIT, &settings, outbox, Arc::clone(clock))?;
    let stored = || Ok(service.counts()?.get(UNIT).copied().unwrap_or_default());
    work(options, way, &backlog, clock, &stored, &|| link.nudge())
}

fn by_https(options: &Options, way: &Way, place: &Path, clock: &Shared) -> Result<(Took, String)> {
    let far = match way {
        Way::Tunnel(tunnel) => IpAddr::from(tunnel.far()),
        Way::Relay { .. } => return Err(Fault::new(Kind::Internal, "there is no relay for TCP")),
    };
    let (data, identity) = made_office(place, far, clock)?;
    let server = https::Server::start(&data, (way.near(), 0).into(), &options.congestion, clock)?;
    let backlog = Arc::new(Backlog::new(options.reads, options.pictures));
    let office = SocketAddr::new(far, server.address().port());
    let client = https::Client::start(&identity, office, &backlog, &options.congestion, clock)?;
    let took = work(options, way, &backlog, clock, &|| server.counts(), &|| client.nudge())?;
    Ok((took, client.congestion()))
}

/// A list of so many entries goes to a car, and is cut on the way twenty times.
fn list(entries: u64, scratch: &Path, clock: &Shared) -> Result<Value> {
    let place = scratch.join("list");
    let (data, identity) = made_office(&place, IpAddr::from([127, 0, 0, 1]), clock)?;
    let csv = scratch.join("list.csv");
    let mut random = fastrand::Rng::with_seed(20_26);
    std::fs::File::create(&csv)
        .and_then(|file| made_up::list(file, entries, &mut random, entries))
        .map_err(|error| Fault::io("cannot write the made-up list", &csv, error))?;
    office::publish(&data, &Publication::of(LIST, &csv, "the benchmark"), Arc::clone(clock))?;
    eprintln!("the list is published");
    let service = Service::start(&data, ([127, 0, 0, 1], 0).into(), Arc::clone(clock))?;
    let infos = service.store().lists()?;
    let info = infos
        .iter()
        .find(|info| info.base == 0)
        .ok_or_else(|| Fault::new(Kind::Internal, "the office did not take the list"))?;
    let relay = Relay::start(service.address(), Conditions::far(Duration::from_millis(20), 0.0), 1)?;
    let backlog = Arc::new(Backlog::keeping(place.join("arrived")));
    let settings = config::Office { address: relay.address().to_string(), identity };
    let start = clock.now();
    let outbox: Arc<dyn Outbox> = Arc::clone(&backlog) as Arc<dyn Outbox>;
    let link = Link::start(UNIT, &settings, outbox, Arc::clone(clock))?;
    let mut cuts = 0;
    while !matches!(link.status().lists.as_slice(), [(_, revision)] if *revision == info.revision) {
        if clock.now().since(start) > PATIENCE * 2 {
            return Err(Fault::new(Kind::Unavailable, "the list took too long"));
        }
        if cuts < CUTS && backlog.arrived() >= (cuts + 1) * info.size / (CUTS + 1) {
            // Long enough that the link gives its line up, or the connection is lost.
            relay.cut();
            clock.sleep(Duration::from_millis(1500));
            relay.mend();
            cuts += 1;
        }
        clock.sleep(GLANCE);
    }
    let took = clock.now().since(start);
    let up = matches!(link.status().state, LinkState::Connected { .. });
    let carried = relay.carried();
    Ok(json!({
        "entries": entries,
        "size_bytes": info.size,
        "cuts": cuts,
        "seconds": (took.as_secs_f64() * 10.0).round() / 10.0,
        "carried_bytes": carried.down,
        "carried_over_size": (carried.down as f64 / info.size as f64 * 1000.0).round() / 1000.0,
        "identical": up && backlog.digest() == Some(info.sha256),
    }))
}

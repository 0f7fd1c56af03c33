//! The cars: each a real link over a connection of its own, with a journal in memory that fills by itself.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::{Moment, Shared};
use crate::config;
use crate::fault::{Fault, Kind, Result};
use crate::sync::car::{Budget, Piece, Revision, Waiting};
use crate::sync::{Item, Kind as Thing, Link, LinkState, Outbox};

/// Bytes of a read and of a hit, about as the journal makes them.
const READ: usize = 500;
const HIT: usize = 900;
/// One of so many reads is a hit too.
const HITS: u64 = 50;
/// A burst of so many reads comes every so many seconds instead of one.
const BURST: u64 = 10;
const BETWEEN_BURSTS: u64 = 20;
/// How often it is looked which car reads next.
const TICK: Duration = Duration::from_millis(10);

pub(super) struct Fleet {
    cars: Vec<(Arc<Car>, Link)>,
    shared: Arc<Common>,
    driver: Option<JoinHandle<()>>,
    // Dropped last: it carries the links.
    _runtime: tokio::runtime::Runtime,
}

struct Common {
    clock: Shared,
    /// Reads a car and a second.
    rate: Mutex<f64>,
    latencies: Mutex<Vec<Duration>>,
    made: AtomicU64,
    stop: AtomicBool,
}

/// A car's journal: what waits, oldest first, each with the instant it came.
struct Car {
    common: Arc<Common>,
    waiting: Mutex<VecDeque<(Item, Moment)>>,
    /// When the office last acknowledged something.
    heard: Mutex<Option<Moment>>,
    number: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fleet {
    pub(super) fn start(units: &[(String, PathBuf)], office: SocketAddr, clock: &Shared) -> Result<Self> {
        let failed = |error: std::io::Error| Fault::new(Kind::Internal, "cannot start the cars").because(error);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(failed)?;
        let shared = Arc::new(Common {
            clock: Arc::clone(clock),
            rate: Mutex::new(0.0),
            latencies: Mutex::default(),
            made: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let cars: Vec<_> = units
            .iter()
            .map(|(unit, identity)| {
                let car = Arc::new(Car {
                    common: Arc::clone(&shared),
                    waiting: Mutex::default(),
                    heard: Mutex::default(),
                    number: AtomicU64::new(0),
                });
                let settings = config::Office::at(office.to_string(), identity.clone());
                let outbox: Arc<dyn Outbox> = Arc::clone(&car) as Arc<dyn Outbox>;
                let link = Link::start_on(runtime.handle(), unit, &settings, outbox, Arc::clone(clock));
                (car, link)
            })
            .collect();
        let links: Vec<_> = cars.iter().map(|(car, link)| (Arc::clone(car), link.nudger())).collect();
        let common = Arc::clone(&shared);
        let driver = std::thread::Builder::new().name("drivers".into()).spawn(move || drive(&links, &common));
        Ok(Self { cars, shared, driver: Some(driver.map_err(failed)?), _runtime: runtime })
    }

    /// So many reads a car and a second from now on.
    pub(super) fn set_rate(&self, rate: f64) {
        *locked(&self.shared.rate) = rate;
    }

    pub(super) fn connected(&self) -> usize {
        self.cars.iter().filter(|(_, link)| matches!(link.status().state, LinkState::Connected { .. })).count()
    }

    /// How many cars the office has acknowledged something to since then.
    pub(super) fn heard_since(&self, since: Moment) -> usize {
        self.cars.iter().filter(|(car, _)| locked(&car.heard).is_some_and(|heard| heard > since)).count()
    }

    pub(super) fn unsent(&self) -> u64 {
        self.cars.iter().map(|(car, _)| car.unsent()).sum()
    }

    /// How many things there have been.
    pub(super) fn made(&self) -> u64 {
        self.shared.made.load(Ordering::Relaxed)
    }

    /// From each thing's coming up to its acknowledgement, since this was last asked.
    pub(super) fn take_latencies(&self) -> Vec<Duration> {
        std::mem::take(&mut locked(&self.shared.latencies))
    }

    /// How long what waits has waited.
    pub(super) fn waiting(&self) -> Vec<Duration> {
        let now = self.shared.clock.now();
        let of_car = |car: &Car| locked(&car.waiting).iter().map(|(_, since)| now.since(*since)).collect::<Vec<_>>();
        self.cars.iter().flat_map(|(car, _)| of_car(car)).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(driver) = self.driver.take() {
            let _ = driver.join();
        }
    }
}

/// Lets the cars read, each at its own instant of the second.
fn drive(cars: &[(Arc<Car>, crate::sync::car::Nudger)], common: &Common) {
    let mut due: Vec<f64> = (0..cars.len()).map(|number| number as f64 / cars.len() as f64).collect();
    let (mut at, mut last) = (0.0, common.clock.now());
    while !common.stop.load(Ordering::Relaxed) {
        common.clock.sleep(TICK);
        let now = common.clock.now();
        // How many reads each car should have had by now.
        at += now.since(last).as_secs_f64() * *locked(&common.rate);
        last = now;
        for ((car, nudger), due) in cars.iter().zip(&mut due) {
            let mut nudge = false;
            while *due <= at {
                *due += 1.0;
                let burst = if (*due as u64).is_multiple_of(BETWEEN_BURSTS) { BURST } else { 1 };
                (0..burst).for_each(|_| car.read(now));
                nudge = true;
            }
            if nudge {
                nudger.nudge();
            }
        }
    }
}

impl Car {
    fn read(&self, now: Moment) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let mut things = vec![(Thing::Read, READ)];
        if number.is_multiple_of(HITS) {
            things.insert(0, (Thing::Hit, HIT));
        }
        for (kind, size) in things {
            let key = [&[kind as u8][..], &number.to_be_bytes(), &[0; 8]].concat();
            let item = Item { kind, key, payload: vec![number as u8; size] };
            locked(&self.waiting).push_back((item, now));
            self.common.made.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Outbox for Car {
    fn pending(&self, budget: Budget) -> Result<Vec<Waiting>> {
        Ok(locked(&self.waiting).iter().take(budget.items).map(|(item, _)| item.clone().into()).collect())
    }

    fn unsent(&self) -> u64 {
        locked(&self.waiting).len() as u64
    }

    fn acknowledged(&self, keys: &[Vec<u8>]) -> Result<()> {
        let now = self.common.clock.now();
        let mut latencies = Vec::with_capacity(keys.len());
        locked(&self.waiting).retain(|(item, since)| {
            let stored = keys.contains(&item.key);
            if stored {
                latencies.push(now.since(*since));
            }
            !stored
        });
        locked(&self.common.latencies).append(&mut latencies);
        *locked(&self.heard) = Some(now);
        Ok(())
    }

    fn lists_held(&self) -> Vec<(String, u64)> {
        Vec::new()
    }

    fn take_piece(&self, _: &Piece) -> Result<()> {
        Ok(())
    }

    fn apply_list(&self, _: &Revision) -> Result<()> {
        Ok(())
    }

    fn drop_list(&self, _: &Revision) {}
}

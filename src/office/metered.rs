//! A car on a network that costs money by the byte: real QUIC through the relay, the interface `lo` being the one that costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::loopback::{Memory, Yard, anywhere, connected, wait, wait_until};
use super::{Service, offer_revision};
use crate::clock::{Clock, Moment, RealClock, Shared};
use crate::config::{self, Budgets, Metered};
use crate::road::{Conditions, Relay};
use crate::sync::car::Charge;
use crate::sync::{Kind, Link, LinkState, Outbox, Status};

const PICTURE: usize = 100_000;

/// Real time, on a day that only the test ends.
struct Noon {
    real: Shared,
    day: AtomicI64,
}

impl Noon {
    fn clock() -> Arc<Self> {
        Arc::new(Self { real: RealClock::shared(), day: AtomicI64::new(21_000) })
    }

    fn sleep_until_tomorrow(&self) {
        self.day.fetch_add(1, Ordering::Relaxed);
    }
}

impl Clock for Noon {
    fn now(&self) -> Moment {
        self.real.now()
    }

    fn utc(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(self.day.load(Ordering::Relaxed)) + TimeDelta::hours(12)
    }

    fn sleep(&self, time: Duration) {
        self.real.sleep(time);
    }
}

/// A car with its office, and the network between them.
struct Road {
    yard: Yard,
    clock: Arc<Noon>,
    service: Service,
    relay: Relay,
    outbox: Arc<Memory>,
}

impl Road {
    fn new(conditions: Conditions) -> Self {
        let clock = Noon::clock();
        let yard = Yard::by(clock.clone());
        let service = yard.serve(anywhere());
        let relay = Relay::start(service.address(), conditions, 7).expect("started");
        Self { yard, clock, service, relay, outbox: Arc::default() }
    }

    /// A link for which these interfaces cost.
    fn link(&self, interface: &str, budgets: Budgets) -> Link {
        let metered = Metered::new(vec![interface.to_owned()], budgets).expect("a name");
        let address = self.relay.address().to_string();
        let settings = config::Office { metered: Some(metered), ..config::Office::at(address, self.yard.identity()) };
        let outbox: Arc<dyn Outbox> = self.outbox.clone();
        Link::start("EX-01", &settings, outbox, self.yard.clock.clone()).expect("started")
    }

    fn pictures(&self, numbers: std::ops::Range<usize>) {
        numbers.for_each(|number| self.outbox.add(Kind::Picture, number, PICTURE));
    }

    fn stored(&self) -> [u64; 3] {
        let counts = self.service.counts().expect("counted").get("EX-01").copied().unwrap_or_default();
        assert_eq!((counts.duplicates, counts.conflicts), (0, 0));
        [counts.hits, counts.reads, counts.pictures]
    }
}

fn of(status: &Status, kind: Charge) -> Option<(u64, u64)> {
    status.costs.as_ref().map(|costs| (costs.kinds[kind as usize].spent, costs.kinds[kind as usize].waiting))
}

fn since(link: &Link) -> Moment {
    match link.status().state {
        LinkState::Connected { since } => since,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_day_s_pictures_go_by_a_network_that_costs_and_the_rest_by_another() {
    let road = Road::new(Conditions::far(Duration::from_millis(20), 0.0));
    let budgets = |pictures_mb| Budgets { pictures_mb, ..Budgets::default() };
    road.pictures(0..35);
    let link = road.link("lo", budgets(1));
    let status = wait(&link, "the end of the budget", |status| of(status, Charge::Pictures) == Some((1_000_000, 25)));
    let costs = status.costs.expect("they are shown").to_string();
    assert!(
        costs.starts_with("metered link (lo): 1 of 1 MB of pictures, ")
            && costs.ends_with("; 25 pictures wait for another network"),
        "{costs}"
    );
    let (first, carried) = (since(&link), road.relay.carried());
    assert_eq!(road.stored(), [0, 0, 10]);
    println!(
        "1,000,000 bytes of pictures: {} bytes up and {} down in {} packets, with the headers of UDP and IPv4 {} bytes",
        carried.up,
        carried.down,
        carried.packets,
        carried.up + carried.down + 28 * carried.packets
    );

    // What a crew waits for does not.
    road.outbox.add(Kind::Hit, 0, 500);
    (0..200).for_each(|number| road.outbox.add(Kind::Read, number, 400));
    link.nudge();
    wait_until("hit and reads", || road.stored() == [1, 200, 10]);

    // A larger budget, and another day, each in the middle of the connection.
    link.set_budgets(budgets(2));
    wait(&link, "the larger budget", |status| of(status, Charge::Pictures) == Some((2_000_000, 15)));
    road.clock.sleep_until_tomorrow();
    link.set_budgets(budgets(1));
    wait(&link, "the next day", |status| of(status, Charge::Pictures) == Some((1_000_000, 5)));
    assert_eq!((road.stored(), since(&link)), ([1, 200, 30], first));
    drop(link);

    // After a restart nothing of what was spent is forgotten.
    let ledger = road.outbox.ledger.lock().expect("whole").clone().expect("kept");
    assert_eq!((ledger.spent()[0], ledger.days.len()), (1_000_000, 2));
    let link = road.link("lo", budgets(1));
    wait(&link, "the link", |status| connected(status) && of(status, Charge::Pictures) == Some((1_000_000, 5)));
    road.outbox.add(Kind::Hit, 1, 500);
    link.nudge();
    wait(&link, "the hit", |status| status.acknowledged == 1);
    assert_eq!(road.stored(), [2, 200, 30]);
    drop(link);

    // By a network that costs nothing the rest goes.
    let link = road.link("wwan*", budgets(1));
    let status = wait(&link, "the rest", |status| connected(status) && status.unsent == 0);
    assert_eq!((road.stored(), status.costs), ([2, 200, 35], None));
}

#[test]
fn a_whole_list_is_stopped_in_the_middle_and_goes_on_from_there() {
    let narrow = Conditions { rate: Some(2_000_000), ..Conditions::far(Duration::from_millis(20), 0.0) };
    let road = Road::new(narrow);
    let mut random = fastrand::Rng::with_seed(3);
    // Nothing that packs.
    let mut publish = |revision, size| {
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(size).collect();
        offer_revision(&road.yard.data(), "stolen", revision, &bytes[..]).expect("offered");
        bytes
    };
    let budgets = |lists_mb| Budgets { lists_mb, ..Budgets::default() };
    let held = |revision: u64| move |status: &Status| status.lists == [("stolen".to_owned(), revision)];
    // A car without a list is of no use: the first comes, and costs more than there was.
    publish(1, 1_500_000);
    let link = road.link("lo", budgets(1));
    wait(&link, "the first list", held(1));
    let second = publish(2, 6_000_000);
    wait(&link, "the second, which waits", |status| of(status, Charge::Lists).is_some_and(|(_, waiting)| waiting == 1));

    road.clock.sleep_until_tomorrow();
    let spent = |status: &Status| of(status, Charge::Lists).map_or(0, |(spent, _)| spent);
    wait(&link, "the end of the budget", |status| (1_000_000..2_500_000).contains(&spent(status)));
    // What was on its way when the office heard of it still comes. A hit does not wait for that.
    road.outbox.add(Kind::Hit, 0, 500);
    link.nudge();
    wait_until("the hit", || road.stored() == [1, 0, 0]);
    std::thread::sleep(Duration::from_secs(2));
    let carried = road.relay.carried().down;
    let status =
        wait(&link, "the second, which waits", |status| of(status, Charge::Lists).is_some_and(|(_, n)| n == 1));
    println!(
        "a budget of 1,000,000 bytes for lists, 2 MB a second: {} came until the office had stopped",
        spent(&status)
    );
    assert!(spent(&status) < 2_500_000 && held(1)(&status), "{status:?}");
    std::thread::sleep(Duration::from_secs(1));
    let more = road.relay.carried().down - carried;
    assert!(more < 20_000, "{more} bytes came after that");

    link.set_budgets(budgets(100));
    wait(&link, "the second list", held(2));
    assert_eq!(road.outbox.lists.lock().expect("whole")["stolen"].1, second);
    // Nothing came twice.
    assert!(spent(&link.status()) < 6_000_000 + 20_000, "{:?}", link.status().costs);
}

//! A small change of a list overtakes a whole one that is half way down.

use super::*;

/// What the office has to offer, and what it is given to send.
struct Depot(BTreeMap<(String, u64, u64), Vec<u8>>);

impl Depot {
    fn infos(&self) -> Vec<ListInfo> {
        let info = |((list, revision, base), bytes): (&(String, u64, u64), &Vec<u8>)| ListInfo {
            list: list.clone(),
            revision: *revision,
            base: *base,
            size: bytes.len() as u64,
            sha256: Sha256::digest(bytes).into(),
        };
        self.0.iter().map(info).collect()
    }

    fn piece(&self, wanted: &office::Wanted) -> Option<StoredPiece> {
        let bytes = self.0.get(&(wanted.list.clone(), wanted.revision, wanted.base))?;
        let offset = wanted.offset as usize;
        Some(StoredPiece::of(&bytes[offset..(offset + PIECE).min(bytes.len())]))
    }
}

/// Car and office with a network of so many bytes a second between them, 100 ms there and back. Of a stream that is not read so
/// many bytes are on their way, as QUIC's windows have it.
struct Road {
    car: CarSession,
    office: office::Session,
    depot: Depot,
    held: BTreeMap<String, u64>,
    bytes_a_second: f64,
    now: Moment,
    /// What the office has handed to each stream.
    down: BTreeMap<Lane, VecDeque<u8>>,
    up: VecDeque<(Moment, Vec<u8>)>,
    arriving: VecDeque<(Moment, Lane, Vec<u8>)>,
    applied: Vec<(Moment, Revision)>,
    kept: BTreeMap<(String, u64), usize>,
}

const WAY: Duration = Duration::from_millis(50);
/// The step of time.
const STEP: Duration = Duration::from_millis(5);
/// What a stream takes before it has been sent.
const WINDOW: usize = 512 << 10;

impl Road {
    fn new(bytes_a_second: f64, held: &[(&str, u64)]) -> Self {
        let held: BTreeMap<String, u64> = held.iter().map(|(list, revision)| ((*list).to_owned(), *revision)).collect();
        Self {
            car: CarSession::open(UNIT, held.clone().into_iter().collect(), Downloads::default(), Moment::default()),
            office: office::Session::open(UNIT, None, Moment::default()),
            depot: Depot(BTreeMap::new()),
            held,
            bytes_a_second,
            now: Moment::default(),
            down: BTreeMap::new(),
            up: VecDeque::new(),
            arriving: VecDeque::new(),
            applied: Vec::new(),
            kept: BTreeMap::new(),
        }
    }

    fn publish(&mut self, list: &str, revision: u64, base: u64, size: usize) {
        // Nothing that packs well: the worst that a list can be.
        let mut random = fastrand::Rng::with_seed(revision);
        let bytes = (0..size).map(|_| random.u8(..)).collect();
        self.depot.0.insert((list.to_owned(), revision, base), bytes);
        self.office.lists(&self.depot.infos());
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now.plus(time);
        while self.now < end {
            self.turn();
            self.now = self.now.plus(STEP);
        }
    }

    fn turn(&mut self) {
        let now = self.now;
        while let Some((_, said)) = self.up.pop_front_if(|(at, _)| *at <= now) {
            self.office.receive(Lane::Control, &said).expect("in place");
        }
        while let Some((_, lane, bytes)) = self.arriving.pop_front_if(|(at, ..)| *at <= now) {
            self.car.receive(lane, &bytes, now).expect("in place");
        }
        while let Some(event) = self.car.event() {
            match event {
                CarEvent::List(revision) => {
                    self.applied.push((now, revision.clone()));
                    self.held.insert(revision.list.clone(), revision.revision);
                    self.car.list_done(&revision, true, self.held.clone().into_iter().collect());
                }
                CarEvent::Piece(piece) => {
                    *self.kept.entry((piece.revision.list, piece.revision.base)).or_default() += piece.bytes.len();
                }
                CarEvent::Welcome | CarEvent::Dropped(_) => {}
                other => panic!("{other:?}"),
            }
        }
        while let Some((lane, said)) = self.car.transmit() {
            assert_eq!(lane, Lane::Control);
            self.up.push_back((now.plus(WAY), said));
        }
        for lane in [Lane::Lists, Lane::Urgent] {
            if self.down.get(&lane).is_none_or(|waiting| waiting.len() < WINDOW) {
                self.office.list_lane_free(lane);
            }
        }
        while let Some(event) = self.office.event() {
            match event {
                office::Event::Holding(_) => self.office.lists(&self.depot.infos()),
                office::Event::Piece(wanted) => {
                    let piece = self.depot.piece(&wanted);
                    self.office.piece(wanted, piece);
                }
                office::Event::Greeted(_) | office::Event::Store(_) => {}
            }
        }
        while let Some((lane, bytes)) = self.office.transmit() {
            self.down.entry(lane).or_default().extend(bytes);
        }
        let mut left = (self.bytes_a_second * STEP.as_secs_f64()) as usize;
        while let Some((lane, waiting)) =
            self.down.iter_mut().filter(|(_, w)| !w.is_empty()).max_by_key(|(lane, _)| lane.priority())
            && left > 0
        {
            let bytes: Vec<u8> = waiting.drain(..left.min(waiting.len())).collect();
            left -= bytes.len();
            self.arriving.push_back((now.plus(WAY), *lane, bytes));
        }
    }

    fn when(&self, list: &str, revision: u64) -> Option<Moment> {
        self.applied.iter().find(|(_, r)| r.list == list && r.revision == revision).map(|(at, _)| *at)
    }
}

#[test]
fn a_small_change_overtakes_a_whole_list_that_is_half_way_down() {
    let mut road = Road::new(1e6 / 8.0, &[("pnc", 5)]);
    road.publish("insurance", 1, 0, 4_000_000);
    road.publish("pnc", 5, 0, 1000);
    road.pass(Duration::from_secs(16));
    let half = road.kept[&("insurance".to_owned(), 0)];
    assert!((1_000_000..3_000_000).contains(&half), "{half} bytes of the whole list have come");

    let published = road.now;
    road.publish("pnc", 6, 5, 900);
    road.pass(Duration::from_secs(2));
    let took = road.when("pnc", 6).expect("the change counts").since(published);
    println!("1 Mbit/s, 100 ms there and back, a whole list of 4 MB half way down: a change counts after {took:?}");
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert_eq!(road.when("insurance", 1), None, "the whole list is still on its way");

    // Of several changes the smallest comes first: a word about one vehicle does not wait for a change of thousands.
    road.publish("pnc", 7, 6, 400_000);
    road.pass(Duration::from_millis(300));
    road.publish("stolen", 1, 0, 1000);
    road.publish("+people", 9, 0, 2000);
    road.pass(Duration::from_secs(60));
    let order: Vec<&str> = road.applied.iter().map(|(_, revision)| revision.list.as_str()).collect();
    assert_eq!(order, ["pnc", "pnc", "+people", "insurance", "stolen"]);
    // Nothing of the whole list was sent twice for being overtaken.
    assert_eq!(road.kept[&("insurance".to_owned(), 0)], 4_000_000);
}

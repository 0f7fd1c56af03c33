//! A day offline: what waits drains over a network of a given width, and a hit that happens meanwhile does not wait for it.

use super::*;

/// Bytes of one packet, and what it carries of streams.
const PACKET: usize = 1200;
/// Packets that are on their way at once, as congestion control lets a path of this width and delay have.
const WAY: Duration = Duration::from_millis(50);
/// How long the office takes to commit.
const COMMIT: Duration = Duration::from_millis(10);

/// Both sessions at the ends of a network of so many bytes a second and 100 ms there and back.
struct Drain {
    world: World,
    /// Time that one packet takes.
    packet: Duration,
    /// What the most urgent stream hands to the network next is decided packet by packet; here those that are under way.
    under_way: VecDeque<(Moment, Lane, usize)>,
    /// When the office has committed what it has received.
    commit: Option<Moment>,
    /// When what the office says arrives at the car.
    answers: VecDeque<(Moment, Vec<Vec<u8>>)>,
    /// When each live hit happened, by its key, until the office has committed it.
    live: BTreeMap<Vec<u8>, Moment>,
    longest: Duration,
    next_free: Moment,
}

impl Drain {
    fn new(bytes_a_second: f64) -> Self {
        Self {
            world: greeted(),
            packet: Duration::from_secs_f64(PACKET as f64 / bytes_a_second),
            under_way: VecDeque::new(),
            commit: None,
            answers: VecDeque::new(),
            live: BTreeMap::new(),
            longest: Duration::ZERO,
            next_free: Moment::default(),
        }
    }

    fn hit(&mut self) {
        let before = self.world.journal.made.len();
        self.world.journal.add(Kind::Hit, 400);
        let key = format!("{:?}-{before:04}", Kind::Hit).into_bytes();
        self.live.insert(key, self.world.now);
        self.look();
    }

    /// As the journal is asked: the most urgent first, within the session's budget.
    fn look(&mut self) {
        let Some(link) = &mut self.world.link else { return };
        let budget = link.car.budget().expect("welcome");
        let (mut bytes, mut items) = (0, Vec::new());
        for (_, key) in &self.world.journal.unsent {
            if items.len() >= budget.items || bytes >= budget.bytes {
                break;
            }
            let item = self.world.journal.made[key].clone();
            bytes += item.payload.len();
            items.push(item);
        }
        link.car.offer(items, self.world.now);
        self.world.carry().expect("fine");
    }

    /// Hands packets to the network for as long as it is free at this time.
    fn send(&mut self) {
        let now = self.world.now;
        let Some(link) = &mut self.world.link else { return };
        while self.next_free <= now {
            let up = |lane: &&Lane| {
                link.pipes.get(&(UP, **lane)).is_some_and(|pipe| {
                    let under_way: usize = self.under_way.iter().filter(|(_, l, _)| l == *lane).map(|(.., n)| n).sum();
                    pipe.len() > under_way
                })
            };
            let Some(lane) = Lane::ALL.iter().filter(up).max_by_key(|lane| lane.priority()).copied() else { return };
            self.next_free = self.next_free.max(now).plus(self.packet);
            self.under_way.push_back((self.next_free.plus(WAY), lane, PACKET));
        }
    }

    /// Lets time pass to the next thing that happens.
    fn turn(&mut self) {
        self.send();
        let now = self.world.now;
        let idle = now.plus(Duration::from_millis(100));
        let due = [
            self.under_way.front().map(|(at, ..)| *at),
            self.commit,
            self.answers.front().map(|(at, _)| *at),
            Some(self.next_free).filter(|at| *at > now),
        ];
        self.world.now = due.into_iter().flatten().min().unwrap_or(idle).min(idle).max(now);
        let now = self.world.now;
        while let Some((_, lane, bytes)) = self.under_way.pop_front_if(|(at, ..)| *at <= now) {
            self.world.step(Step::Deliver { up: UP, lane, bytes }).expect("fine");
            if self.world.link.as_ref().is_some_and(|link| !link.uncommitted.is_empty()) {
                self.commit.get_or_insert(now.plus(COMMIT));
            }
        }
        if self.commit.take_if(|at| *at <= now).is_some() {
            let link = self.world.link.as_ref().expect("linked");
            let keys: Vec<_> = link.uncommitted.iter().map(|item| item.key.clone()).collect();
            for key in &keys {
                if let Some(happened) = self.live.remove(key) {
                    self.longest = self.longest.max(now.since(happened));
                }
            }
            self.world.step(Step::Commit).expect("fine");
            self.answers.push_back((now.plus(WAY), keys));
        }
        if self.answers.pop_front_if(|(at, _)| *at <= now).is_some() {
            self.world.step(Step::Deliver { up: DOWN, lane: Lane::Control, bytes: usize::MAX }).expect("fine");
            let link = self.world.link.as_mut().expect("linked");
            let keys = std::mem::take(&mut link.unsettled);
            for key in &keys {
                let kind = self.world.journal.made[key].kind;
                self.world.journal.unsent.remove(&(kind, key.clone()));
            }
            link.car.settled(&keys);
            self.look();
        }
    }
}

#[test]
fn a_day_offline_drains_and_no_live_hit_waits_for_it() {
    for (name, bits) in [("2 Mbit/s", 2e6), ("20 Mbit/s", 20e6)] {
        let mut drain = Drain::new(bits / 8.0);
        for _ in 0..100_000 {
            drain.world.journal.add(Kind::Read, 300);
        }
        for _ in 0..50 {
            drain.world.journal.add(Kind::Picture, 60_000);
        }
        let start = drain.world.now;
        drain.look();
        let mut next_hit = start.plus(Duration::from_secs(2));
        let mut hits = 0;
        let mut drained = None;
        while !drain.world.journal.unsent.is_empty() {
            if drain.world.now >= next_hit {
                drain.hit();
                hits += 1;
                next_hit = next_hit.plus(Duration::from_millis(2300));
            }
            drain.turn();
            if drained.is_none() && !drain.world.journal.unsent.iter().any(|(kind, _)| *kind == Kind::Read) {
                drained = Some(drain.world.now.since(start));
            }
            assert!(drain.world.now.since(start) < Duration::from_secs(3600), "it starves");
        }
        drain.world.check();
        let reads = drained.expect("drained");
        println!(
            "{name}, 100 ms there and back: 100,000 reads in {:.0} s, with 50 pictures in {:.0} s; {hits} live hits, the \
             longest from journal to store {} ms",
            reads.as_secs_f64(),
            drain.world.now.since(start).as_secs_f64(),
            drain.longest.as_millis()
        );
        assert!(drain.longest < Duration::from_millis(250), "a live hit took {:?}", drain.longest);
        // The network is the bound, not the window: what is sent is little more than what there is.
        let least = Duration::from_secs_f64(100_000.0 * 300.0 / (bits / 8.0));
        assert!(reads < least.mul_f64(1.6) + Duration::from_secs(10), "{reads:?} where the network needs {least:?}");
    }
}

//! The car's side of one connection, without input or output: bytes and the time go in, bytes, events and the next
//! deadline come out. Sockets, disks and threads live in the room's other files.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::downloads::{Downloads, Next, Offer, last_byte};
use super::meter::{Charge, Meter};
use crate::clock::Moment;
use crate::sync::packing;
use crate::sync::present::{Pace, Present, Teller};
use crate::sync::wire::proto::{
    Begun, FromCar, FromOffice, Held, Hello, Holding, ListOffer, ListPiece, ListWanted, Upload, from_car, from_office,
};
use crate::sync::wire::{
    Breach, Decoder, Item, KEY_LIMIT, Kind, LIST_LIMIT, Lane, NAME_LIMIT, NEWEST_VERSION, OLDEST_VERSION, PART,
    PARTS_SINCE, PIECE, PRESENT_SINCE, PROGRAM, encode,
};

/// How long the office may take to answer Hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the office may leave uploads unacknowledged while the network carries nothing either.
const ACK_TIMEOUT: Duration = Duration::from_secs(20);
/// What the network must have carried for a slow upload to count as moving, bytes. Keep-alives stay far below.
const MOVING: u64 = 4 << 10;
/// Most hits and reads on their way at once, each.
const WINDOW: usize = 512;
/// Most bytes of hits and reads on their way at once, each.
const WINDOW_BYTES: usize = 1 << 20;
/// Most bytes of pictures on their way at once; a single larger one is let through.
const PICTURE_BYTES: usize = 512 << 10;

/// What the session has for the parts around it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The office has answered: uploads may begin.
    Welcome,
    /// The office has stored these. Report back with [`Session::settled`] once the journal knows.
    Acknowledged(Vec<Vec<u8>>),
    /// An item that the wire cannot carry was left out; it stays in the journal.
    Unfit(Kind),
    /// A piece of a revision of a list. It is to be kept before the next event is looked at.
    Piece(Piece),
    /// A revision of a list has come, whole and with the right hash. Report back with [`Session::list_done`].
    List(Revision),
    /// The pieces of a revision that were kept are of no use.
    Dropped(Revision),
}

/// Which revision of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Revision {
    /// The list's id.
    pub list: String,
    /// Which revision.
    pub revision: u64,
    /// The revision that it changes; 0: it is a whole list.
    pub base: u64,
}

/// A piece of a revision. They come in order; one from the start begins anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Of which revision.
    pub revision: Revision,
    /// Where it begins.
    pub offset: u64,
    /// What the hotlist room signed.
    pub bytes: Vec<u8>,
}

/// How much the journal is asked for at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// At most so many items.
    pub items: usize,
    /// Stop after the item with which the payloads reach so many bytes.
    pub bytes: usize,
    /// Whether pictures of reads without a hit are wanted now.
    pub pictures: bool,
    /// Whether those of reads with a hit are.
    pub hit_pictures: bool,
}

impl Budget {
    /// So much of everything.
    pub fn of(items: usize, bytes: usize) -> Self {
        Self { items, bytes, pictures: true, hit_pictures: true }
    }
}

/// One thing that waits for the office.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What is to be stored there.
    pub item: Item,
    /// A picture of a read with a hit. Another budget counts for it where the network costs money.
    pub of_hit: bool,
}

impl From<Item> for Waiting {
    fn from(item: Item) -> Self {
        Self { item, of_hit: false }
    }
}

impl Waiting {
    /// What it is charged to; `None`: it goes over any network.
    fn charge(&self) -> Option<Charge> {
        match (self.item.kind, self.of_hit) {
            (Kind::Picture, true) => Some(Charge::HitPictures),
            (Kind::Picture, false) => Some(Charge::Pictures),
            (Kind::Hit | Kind::Read | Kind::Statement | Kind::Head, _) => None,
        }
    }
}

/// Something on its way up.
#[derive(Debug)]
struct OnWay {
    kind: Kind,
    size: usize,
    /// What it is charged to, and how many bytes of it were to be sent.
    charge: Option<(Charge, u64)>,
    /// What the connection had carried beyond what was charged, when it was begun.
    begun: u64,
}

/// One connection's conversation.
#[derive(Debug)]
pub(crate) struct Session {
    unit: String,
    welcome: bool,
    /// The version that both speak.
    version: u32,
    held: BTreeMap<String, u64>,
    control: Decoder,
    lists: [Decoder; 2],
    /// What the office has of a picture that an earlier connection was cut in.
    begun: Option<Begun>,
    in_flight: HashMap<Vec<u8>, OnWay>,
    /// Items and bytes on their way, by kind.
    load: [(usize, usize); Kind::ALL.len()],
    unfit: HashSet<Vec<u8>>,
    unfit_bytes: usize,
    downloads: Downloads,
    meter: Meter,
    /// What the connection has carried in all, as it was last told, and how much of that could be charged and has arrived.
    sent: u64,
    ended: u64,
    teller: Teller,
    out: VecDeque<(Lane, Vec<u8>)>,
    events: VecDeque<Event>,
    deadline: Option<Moment>,
    carried: u64,
}

impl Session {
    /// A session at the start of a connection, for a car of this name that holds these revisions of lists.
    pub(crate) fn open(unit: &str, held: Vec<(String, u64)>, mut downloads: Downloads, now: Moment) -> Self {
        downloads.cut(false);
        let mut session = Self {
            unit: unit.to_owned(),
            welcome: false,
            version: OLDEST_VERSION,
            held: held.into_iter().collect(),
            control: Decoder::new(Lane::Control),
            lists: [Lane::Lists, Lane::Urgent].map(Decoder::new),
            begun: None,
            in_flight: HashMap::new(),
            load: [(0, 0); Kind::ALL.len()],
            unfit: HashSet::new(),
            unfit_bytes: 0,
            downloads,
            meter: Meter::default(),
            sent: 0,
            ended: 0,
            teller: Teller::default(),
            out: VecDeque::new(),
            events: VecDeque::new(),
            deadline: Some(now.plus(WELCOME_TIMEOUT)),
            carried: 0,
        };
        session.say(from_car::Message::Hello(Hello {
            oldest: OLDEST_VERSION,
            newest: NEWEST_VERSION,
            unit: session.unit.clone(),
            program: PROGRAM.into(),
        }));
        session
    }

    /// The same, counting and deciding by this meter what a network that costs money carries.
    pub(crate) fn metering(self, meter: Meter) -> Self {
        Self { meter, ..self }
    }

    /// Which network is used now and when that is; the connection has carried so much in all. Whether more may go up than
    /// before: the journal is to be looked at. What may come down more, or may no longer, is seen to.
    pub(crate) fn network(&mut self, metered: bool, utc: DateTime<Utc>, carried: u64) -> bool {
        self.sent = carried;
        if self.meter.is_metered() && !metered {
            self.cut_charges();
        }
        let was = self.meter.is_metered();
        let more = self.meter.tell(metered, utc);
        if metered && !was {
            // What is on its way goes on by the network that costs.
            let begun = self.uncharged();
            for on_way in self.in_flight.values_mut() {
                on_way.begun = begun;
                if let Some((charge, bytes)) = on_way.charge {
                    self.meter.begin(charge, bytes);
                }
            }
        }
        self.fetch(Lane::Lists);
        more
    }

    /// What is counted and decided by.
    pub(crate) fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    /// The meter for the next connection; this one has carried so much in all.
    pub(crate) fn take_meter(&mut self, carried: u64) -> Meter {
        self.sent = carried;
        self.cut_charges();
        std::mem::take(&mut self.meter)
    }

    /// How many whole lists wait because their budget is spent.
    pub(crate) fn lists_waiting(&self) -> u64 {
        self.downloads.waiting(|offer| may_fetch(&self.meter, &self.held, offer))
    }

    /// What is known of how much was sent of pictures on their way: what the connection has carried since the oldest of them
    /// was begun, without those that have arrived since.
    fn cut_charges(&mut self) {
        let (now, charged) = (self.uncharged(), self.in_flight.values().filter(|on_way| on_way.charge.is_some()));
        let oldest = charged.map(|on_way| on_way.begun).min().unwrap_or(now);
        self.meter.cut(now.saturating_sub(oldest));
    }

    fn uncharged(&self) -> u64 {
        self.sent.saturating_sub(self.ended)
    }

    /// What of list transfers is kept for the next connection.
    pub(crate) fn into_downloads(mut self) -> Downloads {
        let lost = self.events.iter().any(|event| matches!(event, Event::Piece(_)));
        self.downloads.cut(lost);
        self.downloads
    }

    /// A piece could not be kept: the revision begins anew.
    pub(crate) fn piece_lost(&mut self) {
        self.downloads.piece_lost();
    }

    /// Takes bytes that arrived.
    pub(crate) fn receive(&mut self, lane: Lane, bytes: &[u8], now: Moment) -> Result<(), Breach> {
        match lane {
            Lane::Control => {
                self.control.push(bytes);
                while let Some(message) = self.control.message::<FromOffice>()? {
                    // A message that this version does not know is none of its business.
                    if let Some(message) = message.message {
                        self.hear(message, now)?;
                    }
                }
                Ok(())
            }
            Lane::Lists | Lane::Urgent => {
                let decoder = usize::from(lane == Lane::Urgent);
                self.lists[decoder].push(bytes);
                while let Some(piece) = self.lists[decoder].message::<ListPiece>()? {
                    self.piece(lane, piece)?;
                }
                Ok(())
            }
            _ => Err(Breach::OutOfPlace("the office sent on a lane of the car's")),
        }
    }

    /// How much to ask the journal for; `None` before Welcome.
    pub(crate) fn budget(&self) -> Option<Budget> {
        self.welcome.then(|| Budget {
            items: 2 * WINDOW + self.unfit.len(),
            bytes: 2 * WINDOW_BYTES + PICTURE_BYTES + self.unfit_bytes,
            pictures: !self.meter.holds(Charge::Pictures),
            hit_pictures: !self.meter.holds(Charge::HitPictures),
        })
    }

    /// What the journal holds for the office, most urgent first. Those on their way already are left alone; those
    /// for which there is no room now come with a later call, as do pictures whose budget is spent.
    pub(crate) fn offer<W: Into<Waiting>>(&mut self, items: Vec<W>, now: Moment) {
        if !self.welcome {
            return;
        }
        for waiting in items {
            let waiting = waiting.into();
            let charge = waiting.charge();
            let item = waiting.item;
            if self.in_flight.contains_key(&item.key) || self.unfit.contains(&item.key) {
                continue;
            }
            let (lane, size) = (item.kind.lane(), item.payload.len());
            if item.kind.since() > self.version {
                // It waits for an office that understands it, and takes nobody's place meanwhile.
                self.unfit_bytes += size;
                self.unfit.insert(item.key);
                continue;
            }
            if item.key.is_empty() || item.key.len() > KEY_LIMIT || size > lane.payload_limit() {
                self.unfit_bytes += size;
                self.unfit.insert(item.key);
                self.events.push_back(Event::Unfit(item.kind));
                continue;
            }
            let (items_now, bytes_now) = &mut self.load[item.kind as usize];
            let room = match item.kind {
                Kind::Hit | Kind::Read | Kind::Statement | Kind::Head => {
                    *items_now < WINDOW && *bytes_now + size <= WINDOW_BYTES.max(size)
                }
                Kind::Picture => *bytes_now == 0 || *bytes_now + size <= PICTURE_BYTES,
            };
            if !room {
                continue;
            }
            let offset = resumed(self.begun.as_ref(), &item, self.version);
            let charge = charge.map(|charge| (charge, size as u64 - offset));
            if let Some((charge, bytes)) = charge {
                if !self.meter.may_begin(charge, bytes) {
                    continue;
                }
                self.meter.begin(charge, bytes);
            }
            *items_now += 1;
            *bytes_now += size;
            if self.in_flight.is_empty() {
                self.deadline = Some(now.plus(ACK_TIMEOUT));
            }
            let on_way = OnWay { kind: item.kind, size, charge, begun: self.sent.saturating_sub(self.ended) };
            self.in_flight.insert(item.key.clone(), on_way);
            self.upload(item, offset);
        }
    }

    /// Whether something is on its way up.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Sends one thing: a picture in parts, where the office understands them, from `offset` on.
    fn upload(&mut self, item: Item, mut offset: u64) {
        let (kind, lane, key) = (number(item.kind), item.kind.lane(), item.key);
        if item.kind != Kind::Picture || self.version < PARTS_SINCE || item.payload.is_empty() {
            let mut bytes = Vec::with_capacity(item.payload.len() + key.len() + 16);
            encode(&Upload { kind, key, payload: item.payload, ..Upload::default() }, &mut bytes);
            return self.out.push_back((lane, bytes));
        }
        let (size, sha256) = (item.payload.len() as u64, Sha256::digest(&item.payload).to_vec());
        for part in item.payload[offset as usize..].chunks(PART) {
            let mut bytes = Vec::with_capacity(part.len() + key.len() + 64);
            let (key, payload, sha256) = (key.clone(), part.to_vec(), sha256.clone());
            encode(&Upload { kind, key, payload, offset, size, sha256 }, &mut bytes);
            self.out.push_back((lane, bytes));
            offset += part.len() as u64;
        }
    }

    /// A datagram that says how the car is, where it is time for one and the office understands it.
    pub(crate) fn report(&mut self, present: &Present, pace: Pace, now: Moment) -> Option<Vec<u8>> {
        (self.welcome && self.version >= PRESENT_SINCE).then(|| self.teller.tell(present, pace, now)).flatten()
    }

    /// The journal knows that these are stored: they are no longer on their way.
    pub(crate) fn settled(&mut self, keys: &[Vec<u8>]) {
        for key in keys {
            if let Some(OnWay { kind, size, charge, .. }) = self.in_flight.remove(key) {
                let (items, bytes) = &mut self.load[kind as usize];
                *items -= 1;
                *bytes -= size;
                if let Some((charge, bytes)) = charge {
                    self.ended += bytes;
                    self.meter.end(charge, bytes);
                }
            }
        }
        if self.welcome && self.in_flight.is_empty() {
            self.deadline = None;
        }
    }

    /// A revision was applied, or could not be; `held` is what the car holds now.
    pub(crate) fn list_done(&mut self, revision: &Revision, applied: bool, held: Vec<(String, u64)>) {
        self.downloads.applied(revision, applied);
        self.held = held.into_iter().collect();
        self.say_held();
        self.fetch(Lane::Urgent);
        self.fetch(Lane::Lists);
    }

    /// The next bytes to send, and where.
    pub(crate) fn transmit(&mut self) -> Option<(Lane, Vec<u8>)> {
        self.out.pop_front()
    }

    /// What happened.
    pub(crate) fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Self::tick`], if nothing else happens before.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.deadline
    }

    /// Lets a deadline pass. `carried` is how many bytes the connection has sent in all: an upload that moves,
    /// however slowly, is not silence.
    pub(crate) fn tick(&mut self, carried: u64, now: Moment) -> Result<(), Breach> {
        match self.deadline {
            Some(deadline) if now >= deadline => {
                if !self.welcome || carried < self.carried.saturating_add(MOVING) {
                    return Err(Breach::Silent);
                }
                self.carried = carried;
                self.deadline = Some(now.plus(ACK_TIMEOUT));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn hear(&mut self, message: from_office::Message, now: Moment) -> Result<(), Breach> {
        match message {
            from_office::Message::Welcome(welcome) => {
                if self.welcome {
                    return Err(Breach::OutOfPlace("a second Welcome"));
                }
                if !(OLDEST_VERSION..=NEWEST_VERSION).contains(&welcome.version) {
                    return Err(Breach::Version { oldest: welcome.version, newest: welcome.version });
                }
                self.welcome = true;
                self.version = welcome.version;
                self.begun = welcome.begun;
                self.deadline = None;
                self.say_held();
                self.events.push_back(Event::Welcome);
            }
            _ if !self.welcome => return Err(Breach::OutOfPlace("a message before Welcome")),
            from_office::Message::Ack(ack) => {
                // Keys that are not on their way were settled before, or are made up: nothing follows from them.
                let keys: Vec<_> = ack.keys.into_iter().filter(|key| self.in_flight.contains_key(key)).collect();
                if !keys.is_empty() {
                    self.deadline = Some(now.plus(ACK_TIMEOUT));
                    self.events.push_back(Event::Acknowledged(keys));
                }
            }
            from_office::Message::ListOffer(offer) => self.offered(offer)?,
        }
        Ok(())
    }

    fn offered(&mut self, offer: ListOffer) -> Result<(), Breach> {
        let Ok(sha256) = <[u8; 32]>::try_from(offer.sha256) else {
            return Err(Breach::OutOfPlace("an offer without a hash"));
        };
        if offer.list.is_empty() || offer.list.len() > NAME_LIMIT || offer.size > LIST_LIMIT {
            return Err(Breach::OutOfPlace("an offer of a list that cannot be carried"));
        }
        let offer = Offer { list: offer.list, revision: offer.revision, base: offer.base, size: offer.size, sha256 };
        // An older revision would take back what the crew was told to look for.
        if offer.revision <= self.held.get(&offer.list).copied().unwrap_or(0) {
            return Ok(());
        }
        let lane = Lane::of_list(&offer.list, offer.base, offer.size, self.version);
        if !self.downloads.offered(offer, lane) {
            return Err(Breach::OutOfPlace("more lists than a car takes"));
        }
        self.fetch(lane);
        Ok(())
    }

    /// Does what is to be done next about the lists of one lane.
    fn fetch(&mut self, lane: Lane) {
        while let Some(next) = self.downloads.next(lane, |offer| may_fetch(&self.meter, &self.held, offer)) {
            match next {
                Next::Stop(offer) => self.say(from_car::Message::ListWanted(ListWanted {
                    offset: last_byte(&offer),
                    list: offer.list,
                    revision: offer.revision,
                    base: offer.base,
                })),
                Next::Ask(offer, offset) => self.say(from_car::Message::ListWanted(ListWanted {
                    list: offer.list,
                    revision: offer.revision,
                    offset,
                    base: offer.base,
                })),
                Next::Drop(revision) => self.events.push_back(Event::Dropped(revision)),
                Next::Apply(revision) => self.events.push_back(Event::List(revision)),
            }
        }
    }

    fn piece(&mut self, lane: Lane, piece: ListPiece) -> Result<(), Breach> {
        if is_whole_list(&piece.list, piece.base) {
            self.meter.came(piece.bytes.len() as u64);
        }
        let bytes = match piece.unpacked {
            0 => piece.bytes,
            unpacked => packing::unpack(&piece.bytes, unpacked).ok_or(Breach::Garbled(lane))?,
        };
        let revision = Revision { list: piece.list, revision: piece.revision, base: piece.base };
        match self.downloads.piece(lane, &revision, piece.offset, &bytes) {
            // What is left on the lane of a revision that is no longer wanted, or not now, is let go.
            None => {
                self.fetch(lane);
                return Ok(());
            }
            Some(Err(())) => {
                return Err(Breach::OutOfPlace("a piece of a list that does not follow the one before"));
            }
            Some(Ok(())) => {}
        }
        self.events.push_back(Event::Piece(Piece { revision, offset: piece.offset, bytes }));
        self.fetch(lane);
        Ok(())
    }

    fn say_held(&mut self) {
        let held = |(list, revision): (&String, &u64)| Held {
            list: list.clone(),
            revision: *revision,
            whole: self.downloads.wants_whole(list),
        };
        let lists = self.held.iter().map(held).collect();
        self.say(from_car::Message::Holding(Holding { lists, changes: true }));
    }

    fn say(&mut self, message: from_car::Message) {
        let mut bytes = Vec::new();
        encode(&FromCar { message: Some(message) }, &mut bytes);
        self.out.push_back((Lane::Control, bytes));
    }
}

/// How much the office has of a picture, if it is the one that an earlier connection was cut in. Only the very same goes on: a
/// journal that began anew may give a key again.
fn resumed(begun: Option<&Begun>, item: &Item, version: u32) -> u64 {
    let size = item.payload.len() as u64;
    let same = |begun: &&Begun| {
        begun.key == item.key
            && begun.size == size
            && begun.offset < size
            && begun.sha256[..] == Sha256::digest(&item.payload)[..]
    };
    let in_parts = item.kind == Kind::Picture && version >= PARTS_SINCE;
    begun.filter(|_| in_parts).filter(same).map_or(0, |begun| begun.offset)
}

/// Whether it is a whole list: what else is handed down is the roll of people and the like.
fn is_whole_list(list: &str, base: u64) -> bool {
    base == 0 && !list.starts_with('+')
}

/// Whether an offer may come by the network that is used now. Small ones always may, and a list of which the car holds nothing:
/// without any it is of no use.
fn may_fetch(meter: &Meter, held: &BTreeMap<String, u64>, offer: &Offer) -> bool {
    !is_whole_list(&offer.list, offer.base)
        || offer.size <= PIECE as u64
        || held.get(&offer.list).is_none_or(|revision| *revision == 0)
        || meter.may_fetch()
}

fn number(kind: Kind) -> i32 {
    use crate::sync::wire::proto::Kind as Wire;
    match kind {
        Kind::Hit => Wire::Hit as i32,
        Kind::Read => Wire::Read as i32,
        Kind::Picture => Wire::Picture as i32,
        Kind::Statement => Wire::Statement as i32,
        Kind::Head => Wire::Head as i32,
    }
}

/// A conversation with an office that says anything: pieces of it as [`wire::said`](crate::sync::wire::said) cuts them. Whether
/// the rules were kept to the end.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn converse(bytes: &[u8]) -> bool {
    let mut session = Session::open("EX-01", vec![("pnc".into(), 6)], Downloads::default(), Moment::default());
    for (step, (lane, said)) in crate::sync::wire::said(bytes).enumerate() {
        let now = Moment::at(Duration::from_secs(step as u64));
        session.network(step % 4 == 3, DateTime::UNIX_EPOCH, step as u64);
        if session.receive(lane, said, now).is_err() {
            return false;
        }
        if session.budget().is_some() {
            session.offer(vec![Item { kind: Kind::Read, key: vec![1, step as u8], payload: vec![7; 9] }], now);
        }
        while session.transmit().is_some() {}
        while let Some(event) = session.event() {
            match event {
                Event::Acknowledged(keys) => session.settled(&keys),
                Event::List(revision) => {
                    session.list_done(&revision, step % 2 == 0, vec![(revision.list.clone(), revision.revision)]);
                }
                Event::Welcome | Event::Unfit(_) | Event::Piece(_) | Event::Dropped(_) => {}
            }
        }
    }
    let _ = session.tick(0, Moment::at(Duration::from_secs(1 << 20)));
    let _ = session.into_downloads();
    true
}

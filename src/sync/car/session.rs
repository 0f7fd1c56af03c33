//! The car's side of one connection, without input or output: bytes and the time go in, bytes, events and the next
//! deadline come out. Sockets, disks and threads live in the room's other files.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::clock::Moment;
use crate::sync::wire::proto::{
    FromCar, FromOffice, Held, Hello, Holding, ListOffer, ListPiece, ListWanted, Upload, from_car, from_office,
};
use crate::sync::wire::{
    Breach, Decoder, Item, KEY_LIMIT, Kind, LIST_LIMIT, LISTS_LIMIT, Lane, NAME_LIMIT, NEWEST_VERSION, OLDEST_VERSION,
    PROGRAM, encode,
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
}

/// List transfers, which outlive a connection: what has arrived is not fetched again.
#[derive(Debug, Default)]
pub(crate) struct Downloads {
    /// The revision that is being fetched.
    partial: Option<Partial>,
    /// One that an earlier connection began, while another list comes first.
    stale: Option<Partial>,
    /// Offers that turned out to be unusable; asking again would bring the same bytes.
    refused: HashSet<Offer>,
    /// Lists of which a change was unusable: they are wanted whole.
    whole: HashSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Offer {
    list: String,
    revision: u64,
    /// 0: a whole list.
    base: u64,
    size: u64,
    sha256: [u8; 32],
}

impl Offer {
    fn revision(&self) -> Revision {
        Revision { list: self.list.clone(), revision: self.revision, base: self.base }
    }
}

/// How much of an offer has come. Its bytes are kept by the parts around the session.
#[derive(Debug)]
struct Partial {
    offer: Offer,
    arrived: u64,
    hash: Sha256,
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
    lists: Decoder,
    in_flight: HashMap<Vec<u8>, (Kind, usize)>,
    /// Items and bytes on their way, by kind.
    load: [(usize, usize); Kind::ALL.len()],
    unfit: HashSet<Vec<u8>>,
    unfit_bytes: usize,
    downloads: Downloads,
    offers: BTreeMap<String, Offer>,
    fetching: bool,
    applying: Option<Offer>,
    out: VecDeque<(Lane, Vec<u8>)>,
    events: VecDeque<Event>,
    deadline: Option<Moment>,
    carried: u64,
}

impl Session {
    /// A session at the start of a connection, for a car of this name that holds these revisions of lists.
    pub(crate) fn open(unit: &str, held: Vec<(String, u64)>, downloads: Downloads, now: Moment) -> Self {
        let mut session = Self {
            unit: unit.to_owned(),
            welcome: false,
            version: OLDEST_VERSION,
            held: held.into_iter().collect(),
            control: Decoder::new(Lane::Control),
            lists: Decoder::new(Lane::Lists),
            in_flight: HashMap::new(),
            load: [(0, 0); Kind::ALL.len()],
            unfit: HashSet::new(),
            unfit_bytes: 0,
            downloads,
            offers: BTreeMap::new(),
            fetching: false,
            applying: None,
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

    /// What of list transfers is kept for the next connection.
    pub(crate) fn into_downloads(mut self) -> Downloads {
        if self.events.iter().any(|event| matches!(event, Event::Piece(_))) {
            self.piece_lost();
        }
        self.downloads
    }

    /// A piece could not be kept: the revision begins anew.
    pub(crate) fn piece_lost(&mut self) {
        self.downloads.partial = None;
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
            Lane::Lists => {
                self.lists.push(bytes);
                while let Some(piece) = self.lists.message::<ListPiece>()? {
                    self.piece(piece)?;
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
        })
    }

    /// What the journal holds for the office, most urgent first. Those on their way already are left alone; those
    /// for which there is no room now come with a later call.
    pub(crate) fn offer(&mut self, items: Vec<Item>, now: Moment) {
        if !self.welcome {
            return;
        }
        for item in items {
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
            *items_now += 1;
            *bytes_now += size;
            if self.in_flight.is_empty() {
                self.deadline = Some(now.plus(ACK_TIMEOUT));
            }
            self.in_flight.insert(item.key.clone(), (item.kind, size));
            let mut bytes = Vec::with_capacity(size + item.key.len() + 16);
            encode(&Upload { kind: number(item.kind), key: item.key, payload: item.payload }, &mut bytes);
            self.out.push_back((lane, bytes));
        }
    }

    /// The journal knows that these are stored: they are no longer on their way.
    pub(crate) fn settled(&mut self, keys: &[Vec<u8>]) {
        for key in keys {
            if let Some((kind, size)) = self.in_flight.remove(key) {
                let (items, bytes) = &mut self.load[kind as usize];
                *items -= 1;
                *bytes -= size;
            }
        }
        if self.welcome && self.in_flight.is_empty() {
            self.deadline = None;
        }
    }

    /// A revision was applied, or could not be; `held` is what the car holds now.
    pub(crate) fn list_done(&mut self, applied: bool, held: Vec<(String, u64)>) {
        if let Some(offer) = self.applying.take() {
            if applied {
                self.downloads.whole.remove(&offer.list);
            } else {
                if offer.base != 0 {
                    self.downloads.whole.insert(offer.list.clone());
                }
                self.downloads.refused.insert(offer);
            }
        }
        self.held = held.into_iter().collect();
        self.say_held();
        self.fetch();
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
        let held = self.held.get(&offer.list).copied().unwrap_or(0);
        if offer.revision <= held || self.downloads.refused.contains(&offer) || self.applying.as_ref() == Some(&offer) {
            return Ok(());
        }
        if self.offers.len() >= LISTS_LIMIT && !self.offers.contains_key(&offer.list) {
            return Err(Breach::OutOfPlace("more lists than a car takes"));
        }
        // A newer revision of the list that is being fetched makes the rest of the older one worthless.
        if self.fetching
            && self.downloads.partial.as_ref().is_some_and(|p| p.offer.list == offer.list && p.offer != offer)
        {
            self.fetching = false;
        }
        self.offers.insert(offer.list.clone(), offer);
        self.fetch();
        Ok(())
    }

    /// Asks for the next list that is offered, one at a time.
    fn fetch(&mut self) {
        if self.fetching || self.applying.is_some() {
            return;
        }
        let Some((_, offer)) = self.offers.pop_first() else { return };
        if self.downloads.stale.as_ref().is_some_and(|partial| partial.offer == offer) {
            std::mem::swap(&mut self.downloads.stale, &mut self.downloads.partial);
        } else if self.downloads.partial.as_ref().is_none_or(|partial| partial.offer != offer) {
            let before =
                self.downloads.partial.replace(Partial { offer: offer.clone(), arrived: 0, hash: Sha256::new() });
            if let Some(before) = before
                && let Some(older) = self.downloads.stale.replace(before)
            {
                self.events.push_back(Event::Dropped(older.offer.revision()));
            }
        }
        let offset = self.downloads.partial.as_ref().map_or(0, |partial| partial.arrived);
        self.fetching = true;
        self.say(from_car::Message::ListWanted(ListWanted {
            list: offer.list,
            revision: offer.revision,
            offset,
            base: offer.base,
        }));
        self.complete();
    }

    fn piece(&mut self, piece: ListPiece) -> Result<(), Breach> {
        let Some(partial) = self.downloads.partial.as_mut().filter(|_| self.fetching) else { return Ok(()) };
        // What is left on the lane of a revision that is no longer wanted is let go.
        if (&partial.offer.list, partial.offer.revision, partial.offer.base)
            != (&piece.list, piece.revision, piece.base)
        {
            return Ok(());
        }
        if piece.offset != partial.arrived || piece.offset + piece.bytes.len() as u64 > partial.offer.size {
            return Err(Breach::OutOfPlace("a piece of a list that does not follow the one before"));
        }
        partial.arrived += piece.bytes.len() as u64;
        partial.hash.update(&piece.bytes);
        let revision = partial.offer.revision();
        self.events.push_back(Event::Piece(Piece { revision, offset: piece.offset, bytes: piece.bytes }));
        self.complete();
        Ok(())
    }

    /// Hands over the revision being fetched if it is whole.
    fn complete(&mut self) {
        if self.downloads.partial.as_ref().is_none_or(|partial| partial.arrived != partial.offer.size) {
            return;
        }
        let Some(Partial { offer, hash, .. }) = self.downloads.partial.take() else { return };
        self.fetching = false;
        if <[u8; 32]>::from(hash.finalize()) == offer.sha256 {
            self.events.push_back(Event::List(offer.revision()));
            self.applying = Some(offer);
        } else {
            tracing::warn!(
                list = offer.list,
                revision = offer.revision,
                "a list does not have the hash it was offered with"
            );
            self.events.push_back(Event::Dropped(offer.revision()));
            self.downloads.refused.insert(offer);
            self.fetch();
        }
    }

    fn say_held(&mut self) {
        let held = |(list, revision): (&String, &u64)| Held {
            list: list.clone(),
            revision: *revision,
            whole: self.downloads.whole.contains(list),
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
                Event::List(revision) => session.list_done(step % 2 == 0, vec![(revision.list, revision.revision)]),
                Event::Welcome | Event::Unfit(_) | Event::Piece(_) | Event::Dropped(_) => {}
            }
        }
    }
    let _ = session.tick(0, Moment::at(Duration::from_secs(1 << 20)));
    let _ = session.into_downloads();
    true
}

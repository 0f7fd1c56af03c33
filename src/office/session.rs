//! The office's side of one connection, without input or output: bytes and the time go in, bytes, events and the
//! next deadline come out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::clock::Moment;
use crate::people::ROLL;
use crate::sync::wire::proto::{
    Ack, FromCar, FromOffice, Kind as WireKind, ListOffer, ListPiece, ListWanted, Upload, Welcome, from_car,
    from_office,
};
use crate::sync::wire::{
    Breach, Decoder, Item, KEY_LIMIT, Kind, LISTS_LIMIT, Lane, NAME_LIMIT, NEWEST_VERSION, OLDEST_VERSION, PROGRAM,
    ROLL_SINCE, encode,
};

/// How long a car may take to say Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Most keys in one acknowledgement, so that it stays within the control lane's limit.
const ACK_KEYS: usize = 1000;

/// What the session has for the parts around it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The car has said Hello, and runs this program.
    Greeted(String),
    /// Things to store. Report back with [`Session::stored`] after the commit.
    Store(Vec<Item>),
    /// The revisions that the car holds.
    Holding(Vec<(String, u64)>),
    /// A piece is to be sent: answer with [`Session::piece`].
    Piece(Wanted),
}

/// A revision of a list as the office has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListInfo {
    /// The list's id.
    pub list: String,
    /// Which revision.
    pub revision: u64,
    /// The revision that it changes; 0: it is the whole list.
    pub base: u64,
    /// Bytes of it.
    pub size: u64,
    /// Hash of them.
    pub sha256: [u8; 32],
}

/// The next piece that a car waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The list's id.
    pub list: String,
    /// Which revision.
    pub revision: u64,
    /// The revision that it changes; 0: it is the whole list.
    pub base: u64,
    /// From this byte on, one piece at most.
    pub offset: u64,
}

impl Wanted {
    fn is_of(&self, info: &ListInfo) -> bool {
        (&self.list, self.revision, self.base) == (&info.list, info.revision, info.base)
    }
}

/// One connection's conversation.
#[derive(Debug)]
pub(crate) struct Session {
    unit: String,
    greeted: bool,
    /// The version that both speak.
    version: u32,
    lanes: [Decoder; 4],
    held: Option<BTreeMap<String, u64>>,
    /// Whether the car can use changes, and the lists that it wants whole all the same.
    changes: bool,
    whole: BTreeSet<String>,
    offered: BTreeMap<String, ListInfo>,
    wanted: Option<Wanted>,
    list_lane_free: bool,
    out: VecDeque<(Lane, Vec<u8>)>,
    events: VecDeque<Event>,
    deadline: Option<Moment>,
}

impl Session {
    /// A session at the start of a connection; `unit` is whose certificate it is.
    pub(crate) fn open(unit: &str, now: Moment) -> Self {
        Self {
            unit: unit.to_owned(),
            greeted: false,
            version: OLDEST_VERSION,
            lanes: [Lane::Control, Lane::Hits, Lane::Reads, Lane::Pictures].map(Decoder::new),
            held: None,
            changes: false,
            whole: BTreeSet::new(),
            offered: BTreeMap::new(),
            wanted: None,
            list_lane_free: true,
            out: VecDeque::new(),
            events: VecDeque::new(),
            deadline: Some(now.plus(HELLO_TIMEOUT)),
        }
    }

    /// Takes bytes that arrived.
    pub(crate) fn receive(&mut self, lane: Lane, bytes: &[u8]) -> Result<(), Breach> {
        match lane {
            Lane::Control => {
                self.lanes[0].push(bytes);
                while let Some(message) = self.lanes[0].message::<FromCar>()? {
                    if let Some(message) = message.message {
                        self.hear(message)?;
                    }
                }
                return Ok(());
            }
            Lane::Hits | Lane::Reads | Lane::Pictures => {}
            Lane::Lists => return Err(Breach::OutOfPlace("the car sent on the office's lane")),
        }
        if !self.greeted {
            return Err(Breach::OutOfPlace("an upload before Hello"));
        }
        let decoder = &mut self.lanes[lane as usize];
        decoder.push(bytes);
        let mut items = Vec::new();
        while let Some(upload) = decoder.message::<Upload>()? {
            let Some(kind) = kind_of(upload.kind()).filter(|kind| kind.lane() == lane) else {
                return Err(Breach::OutOfPlace("an upload on another kind's lane"));
            };
            if upload.key.is_empty() || upload.key.len() > KEY_LIMIT {
                return Err(Breach::OutOfPlace("an upload without a usable key"));
            }
            items.push(Item { kind, key: upload.key, payload: upload.payload });
        }
        if !items.is_empty() {
            self.events.push_back(Event::Store(items));
        }
        Ok(())
    }

    /// These are committed: the car may be told.
    pub(crate) fn stored(&mut self, keys: Vec<Vec<u8>>) {
        for keys in keys.chunks(ACK_KEYS) {
            self.say(from_office::Message::Ack(Ack { keys: keys.to_vec() }));
        }
    }

    /// What lists the office has for this car: whole ones, and changes, which may lead on from them. Offers what brings the
    /// car further, each once: the change that goes on from what it holds, where there is one, else the whole list.
    pub(crate) fn lists(&mut self, lists: &[ListInfo]) {
        let Some(held) = &self.held else { return };
        let news: Vec<ListInfo> = lists
            .iter()
            .filter(|info| info.base == 0 && (info.list != ROLL || self.version >= ROLL_SINCE))
            .filter_map(|whole| {
                let held = held.get(&whole.list).copied().unwrap_or(0);
                let change = lists.iter().find(|info| info.list == whole.list && info.base == held && held != 0);
                let change = change.filter(|_| self.changes && !self.whole.contains(&whole.list));
                change.or_else(|| (held < whole.revision).then_some(whole))
            })
            .filter(|info| self.offered.get(&info.list) != Some(info))
            .take(LISTS_LIMIT)
            .cloned()
            .collect();
        for info in news {
            self.say(from_office::Message::ListOffer(ListOffer {
                list: info.list.clone(),
                revision: info.revision,
                size: info.size,
                sha256: info.sha256.to_vec(),
                base: info.base,
            }));
            self.offered.insert(info.list.clone(), info);
        }
    }

    /// The lists lane has taken everything: the next piece may follow.
    pub(crate) fn list_lane_free(&mut self) {
        self.list_lane_free = true;
        self.next_piece();
    }

    /// The bytes that [`Event::Piece`] asked for; `None` where the office no longer has them.
    pub(crate) fn piece(&mut self, wanted: Wanted, bytes: Option<Vec<u8>>) {
        // The car may want something else by now.
        if self.wanted.as_ref() != Some(&wanted) {
            self.list_lane_free = true;
            return self.next_piece();
        }
        self.wanted = None;
        let Some(bytes) = bytes else {
            self.list_lane_free = true;
            return;
        };
        let size = self.offered.get(&wanted.list).filter(|info| wanted.is_of(info)).map_or(0, |info| info.size);
        let end = wanted.offset + bytes.len() as u64;
        if end < size && !bytes.is_empty() {
            self.wanted = Some(Wanted { offset: end, ..wanted.clone() });
        }
        let mut frame = Vec::with_capacity(bytes.len() + 128);
        let Wanted { list, revision, base, offset } = wanted;
        encode(&ListPiece { list, revision, offset, bytes, base }, &mut frame);
        self.out.push_back((Lane::Lists, frame));
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

    /// Lets a deadline pass.
    pub(crate) fn tick(&mut self, now: Moment) -> Result<(), Breach> {
        match self.deadline {
            Some(deadline) if now >= deadline => Err(Breach::Silent),
            _ => Ok(()),
        }
    }

    fn hear(&mut self, message: from_car::Message) -> Result<(), Breach> {
        match message {
            from_car::Message::Hello(hello) => {
                if self.greeted {
                    return Err(Breach::OutOfPlace("a second Hello"));
                }
                if hello.oldest > NEWEST_VERSION || hello.newest < OLDEST_VERSION || hello.oldest > hello.newest {
                    return Err(Breach::Version { oldest: hello.oldest, newest: hello.newest });
                }
                if hello.unit != self.unit {
                    return Err(Breach::Name);
                }
                self.greeted = true;
                self.deadline = None;
                self.version = hello.newest.min(NEWEST_VERSION);
                self.say(from_office::Message::Welcome(Welcome { version: self.version, program: PROGRAM.into() }));
                let program = hello.program.chars().filter(|c| !c.is_control()).take(NAME_LIMIT).collect();
                self.events.push_back(Event::Greeted(program));
            }
            _ if !self.greeted => return Err(Breach::OutOfPlace("a message before Hello")),
            from_car::Message::Holding(holding) => {
                if holding.lists.len() > LISTS_LIMIT || holding.lists.iter().any(|held| held.list.len() > NAME_LIMIT) {
                    return Err(Breach::OutOfPlace("more lists than a car takes"));
                }
                self.changes = holding.changes;
                self.whole = holding.lists.iter().filter(|held| held.whole).map(|held| held.list.clone()).collect();
                let held: Vec<_> = holding.lists.into_iter().map(|held| (held.list, held.revision)).collect();
                self.held = Some(held.iter().cloned().collect());
                self.events.push_back(Event::Holding(held));
            }
            from_car::Message::ListWanted(wanted) => {
                // Only what was offered can be wanted; an older offer has been overtaken by a newer one.
                let ListWanted { list, revision, offset, base } = wanted;
                let wanted = Wanted { list, revision, base, offset };
                let known = self.offered.get(&wanted.list);
                if known.is_some_and(|info| wanted.is_of(info) && wanted.offset <= info.size) {
                    self.wanted = Some(wanted);
                    self.next_piece();
                }
            }
        }
        Ok(())
    }

    fn next_piece(&mut self) {
        if let Some(wanted) = &self.wanted
            && self.list_lane_free
        {
            self.list_lane_free = false;
            self.events.push_back(Event::Piece(wanted.clone()));
        }
    }

    fn say(&mut self, message: from_office::Message) {
        let mut bytes = Vec::new();
        encode(&FromOffice { message: Some(message) }, &mut bytes);
        self.out.push_back((Lane::Control, bytes));
    }
}

fn kind_of(kind: WireKind) -> Option<Kind> {
    match kind {
        WireKind::Hit => Some(Kind::Hit),
        WireKind::Read => Some(Kind::Read),
        WireKind::Picture => Some(Kind::Picture),
        WireKind::Statement => Some(Kind::Statement),
        WireKind::Head => Some(Kind::Head),
        WireKind::Unspecified => None,
    }
}

/// A conversation with a car that says anything: pieces of it as [`wire::said`](crate::sync::wire::said) cuts them. Whether the
/// rules were kept to the end.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn converse(bytes: &[u8]) -> bool {
    let info = |base| ListInfo { list: "pnc".into(), revision: 7, base, size: 64, sha256: [7; 32] };
    let mut session = Session::open("EX-01", Moment::default());
    for (lane, said) in crate::sync::wire::said(bytes) {
        if session.receive(lane, said).is_err() {
            return false;
        }
        session.lists(&[info(0), info(6)]);
        while let Some(event) = session.event() {
            match event {
                Event::Store(items) => session.stored(items.into_iter().map(|item| item.key).collect()),
                Event::Piece(wanted) => {
                    let bytes = (wanted.offset < 64).then(|| vec![9; (64 - wanted.offset).min(40) as usize]);
                    session.piece(wanted, bytes);
                }
                Event::Greeted(_) | Event::Holding(_) => {}
            }
        }
        while session.transmit().is_some() {
            session.list_lane_free();
        }
    }
    let _ = session.tick(Moment::at(Duration::from_secs(1 << 20)));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::wire::proto::{Held, Hello, Holding, ListWanted};

    fn info(revision: u64, base: u64) -> ListInfo {
        ListInfo { list: "pnc".into(), revision, base, size: 10, sha256: [revision as u8; 32] }
    }

    fn say(session: &mut Session, message: from_car::Message) {
        let mut bytes = Vec::new();
        encode(&FromCar { message: Some(message) }, &mut bytes);
        session.receive(Lane::Control, &bytes).expect("in place");
    }

    /// The revisions and bases that are offered to a car that holds this.
    fn offered(session: &mut Session, held: u64, whole: bool, changes: bool, lists: &[ListInfo]) -> Vec<(u64, u64)> {
        let lists_held = vec![Held { list: "pnc".into(), revision: held, whole }];
        say(session, from_car::Message::Holding(Holding { lists: lists_held, changes }));
        session.lists(lists);
        let mut decoder = Decoder::new(Lane::Control);
        while let Some((_, bytes)) = session.transmit() {
            decoder.push(&bytes);
        }
        let mut offers = Vec::new();
        while let Some(message) = decoder.message::<FromOffice>().expect("whole") {
            if let Some(from_office::Message::ListOffer(offer)) = message.message {
                offers.push((offer.revision, offer.base));
            }
        }
        offers
    }

    fn session() -> Session {
        session_of(NEWEST_VERSION)
    }

    fn session_of(newest: u32) -> Session {
        let mut session = Session::open("EX-01", Moment::default());
        let hello = Hello { oldest: OLDEST_VERSION, newest, unit: "EX-01".into(), program: String::new() };
        say(&mut session, from_car::Message::Hello(hello));
        session
    }

    #[test]
    fn the_roll_of_people_is_offered_to_cars_that_know_what_it_is() {
        let lists = [info(30, 0), ListInfo { list: ROLL.into(), ..info(7, 0) }];
        assert_eq!(offered(&mut session_of(2), 0, false, true, &lists), [(30, 0)]);
        assert_eq!(offered(&mut session_of(3), 0, false, true, &lists), [(30, 0), (7, 0)]);
    }

    #[test]
    fn a_change_is_offered_to_whom_it_serves_and_the_whole_list_to_the_others() {
        let lists = [info(30, 0), info(20, 10), info(30, 20)];
        assert_eq!(offered(&mut session(), 0, false, true, &lists), [(30, 0)]);
        assert_eq!(offered(&mut session(), 5, false, true, &lists), [(30, 0)]);
        assert_eq!(offered(&mut session(), 10, false, false, &lists), [(30, 0)], "a car that knows no changes");
        assert_eq!(offered(&mut session(), 30, false, true, &lists), []);
        // A small change came behind the whole list: who holds that takes it, who holds nothing the whole list first.
        let amended = [info(30, 0), info(31, 30)];
        assert_eq!(offered(&mut session(), 30, false, true, &amended), [(31, 30)]);
        assert_eq!(offered(&mut session(), 0, false, true, &amended), [(30, 0)]);
        assert_eq!(offered(&mut session(), 31, false, true, &amended), []);
        assert_eq!(offered(&mut session(), 30, true, true, &amended), [], "until the list is published whole again");
        // Link by link along the chain.
        let mut session = session();
        assert_eq!(offered(&mut session, 10, false, true, &lists), [(20, 10)]);
        assert_eq!(offered(&mut session, 10, false, true, &lists), [], "offered once");
        assert_eq!(offered(&mut session, 20, false, true, &lists), [(30, 20)]);
        let wanted = ListWanted { list: "pnc".into(), revision: 30, offset: 0, base: 20 };
        say(&mut session, from_car::Message::ListWanted(wanted));
        let pieces: Vec<u64> = std::iter::from_fn(|| session.event())
            .filter_map(|event| match event {
                Event::Piece(wanted) => Some(wanted.base),
                _ => None,
            })
            .collect();
        assert_eq!(pieces, [20]);
        // The change could not be used.
        assert_eq!(offered(&mut session, 20, true, true, &lists), [(30, 0)]);
    }
}

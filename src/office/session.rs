//! The office's side of one connection, without input or output: bytes and the time go in, bytes, events and the
//! next deadline come out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::begun::Begun;
use crate::clock::Moment;
use crate::hotlist::VERDICTS;
use crate::people::ROLL;
use crate::settings::SETTINGS;
use crate::sync::packing;
use crate::sync::present::{Present, heard};
use crate::sync::wire::proto::{
    Ack, FromCar, FromOffice, Kind as WireKind, ListOffer, ListPiece, ListWanted, Upload, Welcome, from_car,
    from_office,
};
use crate::sync::wire::{
    Breach, Decoder, Item, KEY_LIMIT, Kind, LISTS_LIMIT, Lane, NAME_LIMIT, NEWEST_VERSION, OLDEST_VERSION, PARTS_SINCE,
    PROGRAM, ROLL_SINCE, URGENT_SINCE, encode,
};
use crate::sync::wire::{PRESENT_SINCE, SETTINGS_SINCE, VERDICTS_SINCE};

/// How long a car may take to say Hello.
pub(super) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// A car that says more often than this how it is is not listened to.
const PRESENT_PAUSE: Duration = Duration::from_millis(400);
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
    /// The lane that it goes on.
    pub lane: Lane,
}

impl Wanted {
    fn is_of(&self, info: &ListInfo) -> bool {
        (&self.list, self.revision, self.base) == (&info.list, info.revision, info.base)
    }
}

/// What goes down on one lane, one piece at a time.
#[derive(Debug)]
struct Down {
    wanted: Option<Wanted>,
    /// Whether the lane has taken everything so far.
    free: bool,
}

/// A piece of a list as it is kept and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPiece {
    /// The bytes, packed or not.
    pub bytes: Vec<u8>,
    /// If packed, how many come of them; 0: they are not.
    pub unpacked: u32,
}

impl StoredPiece {
    /// A piece that is packed where that saves something.
    pub fn of(bytes: &[u8]) -> Self {
        match packing::pack(bytes) {
            Some(packed) => Self { bytes: packed, unpacked: u32::try_from(bytes.len()).unwrap_or(u32::MAX) },
            None => Self { bytes: bytes.to_vec(), unpacked: 0 },
        }
    }

    /// How many bytes of the revision it is.
    pub fn length(&self) -> usize {
        if self.unpacked == 0 { self.bytes.len() } else { self.unpacked as usize }
    }

    /// The bytes of the revision; `None`: they cannot be unpacked.
    pub fn plain(self) -> Option<Vec<u8>> {
        if self.unpacked == 0 { Some(self.bytes) } else { packing::unpack(&self.bytes, self.unpacked) }
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
    /// What is wanted on the lane of lists, and on that of what is urgent.
    downs: [Down; 2],
    /// What an earlier connection left of a picture, until the car goes on with it.
    begun: Option<Begun>,
    /// The picture that is coming in parts.
    arriving: Option<Begun>,
    /// The number of the newest datagram, and when it came.
    present: Option<(u64, Moment)>,
    out: VecDeque<(Lane, Vec<u8>)>,
    events: VecDeque<Event>,
    deadline: Option<Moment>,
}

impl Session {
    /// A session at the start of a connection; `unit` is whose certificate it is, `begun` what its last connection left of a
    /// picture.
    pub(crate) fn open(unit: &str, begun: Option<Begun>, now: Moment) -> Self {
        Self {
            unit: unit.to_owned(),
            greeted: false,
            version: OLDEST_VERSION,
            lanes: [Lane::Control, Lane::Hits, Lane::Reads, Lane::Pictures].map(Decoder::new),
            held: None,
            changes: false,
            whole: BTreeSet::new(),
            offered: BTreeMap::new(),
            downs: std::array::from_fn(|_| Down { wanted: None, free: true }),
            begun,
            arriving: None,
            present: None,
            out: VecDeque::new(),
            events: VecDeque::new(),
            deadline: Some(now.plus(HELLO_TIMEOUT)),
        }
    }

    /// Takes a datagram: how the car is now, if it is newer than what is known, and not more often than anybody needs.
    pub(crate) fn datagram(&mut self, datagram: &[u8], now: Moment) -> Result<Option<Present>, Breach> {
        if !self.greeted || self.version < PRESENT_SINCE {
            return Err(Breach::OutOfPlace("a datagram before Hello, or of a car that has none"));
        }
        if self.present.is_some_and(|(_, last)| now.since(last) < PRESENT_PAUSE) {
            return Ok(None);
        }
        let (number, present) = heard(datagram).ok_or(Breach::OutOfPlace("a datagram that makes no sense"))?;
        if self.present.is_some_and(|(newest, _)| number <= newest) {
            return Ok(None);
        }
        self.present = Some((number, now));
        Ok(Some(present))
    }

    /// What is left of a picture, for the next connection.
    pub(crate) fn into_begun(self) -> Option<Begun> {
        self.arriving.or(self.begun)
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
            Lane::Lists | Lane::Urgent => return Err(Breach::OutOfPlace("the car sent on the office's lane")),
        }
        if !self.greeted {
            return Err(Breach::OutOfPlace("an upload before Hello"));
        }
        self.lanes[lane as usize].push(bytes);
        let mut items = Vec::new();
        while let Some(upload) = self.lanes[lane as usize].message::<Upload>()? {
            let Some(kind) = kind_of(upload.kind()).filter(|kind| kind.lane() == lane) else {
                return Err(Breach::OutOfPlace("an upload on another kind's lane"));
            };
            if upload.key.is_empty() || upload.key.len() > KEY_LIMIT {
                return Err(Breach::OutOfPlace("an upload without a usable key"));
            }
            if upload.size == 0 {
                items.push(Item { kind, key: upload.key, payload: upload.payload });
            } else {
                items.extend(self.part(kind, upload)?);
            }
        }
        if !items.is_empty() {
            self.events.push_back(Event::Store(items));
        }
        Ok(())
    }

    /// Takes a part of a picture; gives the picture with its last part.
    fn part(&mut self, kind: Kind, part: Upload) -> Result<Option<Item>, Breach> {
        if kind != Kind::Picture || self.version < PARTS_SINCE || part.size > Lane::Pictures.payload_limit() as u64 {
            return Err(Breach::OutOfPlace("a part of what does not travel in parts"));
        }
        if part.offset == 0 {
            self.arriving = Some(Begun::of(&part)?);
        } else if self.begun.as_ref().is_some_and(|begun| begun.goes_on_with(&part)) {
            // A car that has begun another meanwhile does not come back to it.
            self.arriving = self.begun.take();
        }
        let Some(arriving) = self.arriving.as_mut().filter(|arriving| arriving.goes_on_with(&part)) else {
            return Err(Breach::OutOfPlace("a part of a picture that does not follow the one before"));
        };
        arriving.bytes.extend_from_slice(&part.payload);
        if (arriving.bytes.len() as u64) < part.size {
            return Ok(None);
        }
        let Some(whole) = self.arriving.take() else { return Ok(None) };
        if !whole.is_right() {
            return Err(Breach::OutOfPlace("a picture that does not have the hash it came with"));
        }
        Ok(Some(Item { kind, key: whole.key, payload: whole.bytes }))
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
            .filter(|info| info.base == 0 && self.knows(&info.list))
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

    /// The lane of lists or of what is urgent has taken everything: the next piece may follow.
    pub(crate) fn list_lane_free(&mut self, lane: Lane) {
        self.down(lane).free = true;
        self.next_piece(lane);
    }

    /// The bytes that [`Event::Piece`] asked for; `None` where the office no longer has them.
    pub(crate) fn piece(&mut self, wanted: Wanted, piece: Option<StoredPiece>) {
        let (version, lane) = (self.version, wanted.lane);
        let down = self.down(lane);
        // The car may want something else by now.
        if down.wanted.as_ref() != Some(&wanted) {
            return self.list_lane_free(lane);
        }
        down.wanted = None;
        let length = piece.as_ref().map_or(0, |piece| piece.length() as u64);
        let piece = match piece {
            Some(piece) if version < URGENT_SINCE && piece.unpacked != 0 => {
                piece.plain().map(|bytes| StoredPiece { bytes, unpacked: 0 })
            }
            other => other,
        };
        let Some(StoredPiece { bytes, unpacked }) = piece else {
            self.down(lane).free = true;
            return;
        };
        let size = self.offered.get(&wanted.list).filter(|info| wanted.is_of(info)).map_or(0, |info| info.size);
        let end = wanted.offset + length;
        if end < size && length > 0 {
            self.down(lane).wanted = Some(Wanted { offset: end, ..wanted.clone() });
        }
        let mut frame = Vec::with_capacity(bytes.len() + 128);
        let Wanted { list, revision, base, offset, .. } = wanted;
        encode(&ListPiece { list, revision, offset, bytes, base, unpacked }, &mut frame);
        self.out.push_back((lane, frame));
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
                let begun = self.begun.as_ref().filter(|_| self.version >= PARTS_SINCE).map(Begun::told);
                self.say(from_office::Message::Welcome(Welcome {
                    version: self.version,
                    program: PROGRAM.into(),
                    begun,
                }));
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
                let known = self
                    .offered
                    .get(&list)
                    .filter(|info| (info.revision, info.base) == (revision, base) && offset <= info.size);
                if let Some(info) = known {
                    let lane = Lane::of_list(&list, base, info.size, self.version);
                    self.down(lane).wanted = Some(Wanted { list, revision, base, offset, lane });
                    self.next_piece(lane);
                }
            }
        }
        Ok(())
    }

    /// Whether the car knows what this is: a list, or something else that is handed down like one.
    fn knows(&self, list: &str) -> bool {
        self.version
            >= match list {
                ROLL => ROLL_SINCE,
                VERDICTS => VERDICTS_SINCE,
                SETTINGS => SETTINGS_SINCE,
                _ => OLDEST_VERSION,
            }
    }

    fn down(&mut self, lane: Lane) -> &mut Down {
        &mut self.downs[usize::from(lane == Lane::Urgent)]
    }

    fn next_piece(&mut self, lane: Lane) {
        let down = self.down(lane);
        if let Some(wanted) = down.wanted.clone()
            && down.free
        {
            down.free = false;
            self.events.push_back(Event::Piece(wanted));
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
    let mut session = Session::open("EX-01", None, Moment::default());
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
                    session.piece(wanted, bytes.as_deref().map(StoredPiece::of));
                }
                Event::Greeted(_) | Event::Holding(_) => {}
            }
        }
        while session.transmit().is_some() {
            session.list_lane_free(Lane::Lists);
            session.list_lane_free(Lane::Urgent);
        }
    }
    let _ = session.tick(Moment::at(Duration::from_secs(1 << 20)));
    let _ = session.into_begun();
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
        let mut session = Session::open("EX-01", None, Moment::default());
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
    fn settings_are_offered_to_cars_that_know_what_they_are() {
        let lists = [info(30, 0), ListInfo { list: SETTINGS.into(), ..info(7, 0) }];
        assert_eq!(offered(&mut session_of(4), 0, false, true, &lists), [(30, 0)]);
        assert_eq!(offered(&mut session_of(5), 0, false, true, &lists), [(30, 0), (7, 0)]);
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

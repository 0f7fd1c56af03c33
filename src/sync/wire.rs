//! The wire format: messages of `wire.proto`, their framing, lanes, limits and close codes.
//!
//! A frame is a varint length and that many bytes of one message. The length is checked against the lane's limit
//! before anything is kept, and no more is buffered than has arrived: a peer that announces gigabytes costs nothing.

use std::fmt;

use prost::Message;
use prost::encoding::{decode_varint, encode_varint};

/// The messages as the schema has them.
#[allow(missing_docs, clippy::all)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/outrider.wire.v1.rs"));
}

/// The application protocol of the TLS handshake.
pub const ALPN: &[u8] = b"outrider/1";
/// The oldest version of the conversation that this program speaks.
pub const OLDEST_VERSION: u32 = 1;
/// The newest version of the conversation that this program speaks. Since 2 the car sends statements of its crew; since 3 it
/// sends heads of its audit chain, and takes the roll of people. Since 4 pictures travel in parts, pieces of lists may be
/// packed, what is urgent of them has a lane of its own, verdicts of other crews come down, and the car says how it is. Since 5
/// settings come down.
pub const NEWEST_VERSION: u32 = 5;
/// The version from which on the roll of people is understood.
#[cfg(feature = "office")]
pub(crate) const ROLL_SINCE: u32 = 3;
/// The version from which on pictures travel in parts.
pub(crate) const PARTS_SINCE: u32 = 4;
/// The version from which on there is a lane for what is urgent of lists, and pieces of them may be packed.
pub(crate) const URGENT_SINCE: u32 = 4;
/// The version from which on verdicts of other crews come down.
#[cfg(feature = "office")]
pub(crate) const VERDICTS_SINCE: u32 = 4;
/// The version from which on settings come down.
#[cfg(feature = "office")]
pub(crate) const SETTINGS_SINCE: u32 = 5;
/// The version from which on the car says how it is.
pub(crate) const PRESENT_SINCE: u32 = 4;
/// This program, as Hello and Welcome name it.
pub const PROGRAM: &str = concat!("outrider ", env!("CARGO_PKG_VERSION"));

/// The longest key of an upload, bytes.
pub const KEY_LIMIT: usize = 128;
/// The longest unit or list name, bytes.
pub const NAME_LIMIT: usize = 64;
/// The most lists that one car is told of.
pub const LISTS_LIMIT: usize = 256;
/// The largest revision of a list that is carried, bytes: some fifty million entries. Neither side holds one in memory.
pub const LIST_LIMIT: u64 = 4 << 30;
/// The size of the pieces in which a revision travels, bytes.
pub const PIECE: usize = 128 << 10;
/// The size of the parts in which a picture travels, bytes: what a cut costs at most.
pub const PART: usize = 32 << 10;
/// A change of no more bytes is urgent.
pub const URGENT: u64 = 512 << 10;
/// The longest datagram, bytes: fits into one packet of any network.
pub const DATAGRAM_LIMIT: usize = 1000;
/// What a message needs beside its payload, at most: keys, tags and lengths.
const ENVELOPE: usize = 512;

/// One stream of the conversation, with its own order, priority and limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Both ways: Hello, Welcome, acknowledgements, list offers.
    Control,
    /// From the car.
    Hits,
    /// From the car.
    Reads,
    /// From the car.
    Pictures,
    /// From the office.
    Lists,
    /// From the office: what of lists must not wait behind a whole one.
    Urgent,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Lane; 6] = [Lane::Control, Lane::Hits, Lane::Reads, Lane::Pictures, Lane::Lists, Lane::Urgent];

    /// The lane on which a revision travels in this version of the conversation: a small change may take entries away, so that
    /// it overtakes a whole list that is half way down, as does what is no list.
    pub(crate) fn of_list(list: &str, base: u64, size: u64, version: u32) -> Self {
        if version >= URGENT_SINCE && size <= URGENT && (base != 0 || list.starts_with('+')) {
            Lane::Urgent
        } else {
            Lane::Lists
        }
    }

    /// The first byte of a unidirectional stream; the control lane is the bidirectional one and has none.
    pub fn number(self) -> Option<u8> {
        match self {
            Lane::Control => None,
            Lane::Hits => Some(1),
            Lane::Reads => Some(2),
            Lane::Pictures => Some(3),
            Lane::Lists => Some(4),
            Lane::Urgent => Some(5),
        }
    }

    /// The lane that a unidirectional stream's first byte names.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.number() == Some(number))
    }

    /// Priority of the stream: a lower one sends only when the higher have nothing to send.
    pub fn priority(self) -> i32 {
        match self {
            Lane::Control => 5,
            Lane::Urgent => 4,
            Lane::Hits => 3,
            Lane::Reads => 2,
            Lane::Lists => 1,
            Lane::Pictures => 0,
        }
    }

    /// The longest message, bytes.
    pub fn limit(self) -> usize {
        match self {
            Lane::Control => 256 << 10,
            Lane::Hits | Lane::Reads => 1 << 20,
            Lane::Pictures => 4 << 20,
            Lane::Lists | Lane::Urgent => PIECE + ENVELOPE,
        }
    }

    /// The longest payload of an upload on this lane, bytes.
    pub fn payload_limit(self) -> usize {
        self.limit() - ENVELOPE
    }
}

/// What sort of thing is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A read that matches a hotlist entry.
    Hit,
    /// A read, as text.
    Read,
    /// A picture that belongs to a hit or a read.
    Picture,
    /// What the crew makes known of lists; as urgent as a hit.
    Statement,
    /// The head of the car's audit chain.
    Head,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 5] = [Kind::Hit, Kind::Read, Kind::Picture, Kind::Statement, Kind::Head];

    /// The version of the conversation from which on an office understands it.
    pub fn since(self) -> u32 {
        match self {
            Kind::Hit | Kind::Read | Kind::Picture => 1,
            Kind::Statement => 2,
            Kind::Head => 3,
        }
    }

    /// The lane it travels on.
    pub fn lane(self) -> Lane {
        match self {
            Kind::Hit | Kind::Statement | Kind::Head => Lane::Hits,
            Kind::Read => Lane::Reads,
            Kind::Picture => Lane::Pictures,
        }
    }
}

/// One thing to be stored in the office.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Names it for good within the unit, whatever its kind: at most [`KEY_LIMIT`] bytes, at least one. A correction
    /// of something that was uploaded is a new thing with a new key.
    pub key: Vec<u8>,
    /// The journal's encoding of it.
    pub payload: Vec<u8>,
}

// Keys and payloads hold what people drove where: they stay out of logs and panics.
impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Item({:?}, {} bytes)", self.kind, self.payload.len())
    }
}

/// How a peer broke the rules of the conversation. The connection ends with it; the others are not affected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// A length beyond the lane's limit.
    #[error("a message of {length} bytes on the {lane:?} lane, where {} are allowed", lane.limit())]
    TooLong {
        /// On which lane.
        lane: Lane,
        /// As announced.
        length: u64,
    },
    /// Bytes that are no message.
    #[error("bytes on the {0:?} lane that are no message")]
    Garbled(Lane),
    /// Something that must not come here or now.
    #[error("{0}")]
    OutOfPlace(&'static str),
    /// The versions do not overlap.
    #[error("the peer speaks versions {oldest} to {newest}, this program {OLDEST_VERSION} to {NEWEST_VERSION}")]
    Version {
        /// The peer's oldest.
        oldest: u32,
        /// The peer's newest.
        newest: u32,
    },
    /// The car's name and its certificate do not agree.
    #[error("the car calls itself by another name than its certificate")]
    Name,
    /// Nothing was acknowledged in time although the network carried everything.
    #[error("the peer has not answered in time")]
    Silent,
}

impl Breach {
    /// The code that the connection is closed with.
    pub fn code(&self) -> Code {
        match self {
            Breach::Version { .. } => Code::Version,
            Breach::Name => Code::Name,
            Breach::Silent => Code::Silent,
            _ => Code::Breach,
        }
    }
}

/// Why a connection was closed, as the closing side says it. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Done; nothing is wrong.
    Done,
    /// The office is going down, or the car is.
    Stopping,
    /// The other side broke the rules.
    Breach,
    /// The versions do not overlap.
    Version,
    /// Name and certificate do not agree.
    Name,
    /// The office does not know this certificate, or no longer.
    Unknown,
    /// The same unit has a newer connection.
    Replaced,
    /// The other side did not answer in time.
    Silent,
    /// The office cannot store now.
    Unstored,
}

impl Code {
    const ALL: [(Code, u32); 9] = [
        (Code::Done, 0),
        (Code::Stopping, 1),
        (Code::Breach, 2),
        (Code::Version, 3),
        (Code::Name, 4),
        (Code::Unknown, 5),
        (Code::Replaced, 6),
        (Code::Silent, 7),
        (Code::Unstored, 8),
    ];

    /// The number on the wire.
    pub fn number(self) -> u32 {
        Self::ALL.iter().find(|(code, _)| *code == self).map_or(0, |(_, number)| *number)
    }

    /// The code of a number; `None` for one that a later version may have.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| u64::from(*known) == number).map(|(code, _)| *code)
    }
}

/// Appends one message as a frame.
pub fn encode<M: Message>(message: &M, out: &mut Vec<u8>) {
    encode_varint(message.encoded_len() as u64, out);
    message.encode_raw(out);
}

/// Cuts one lane's bytes into messages.
#[derive(Debug)]
pub struct Decoder {
    lane: Lane,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that have been given out already.
    taken: usize,
}

impl Decoder {
    /// A decoder at the start of a lane.
    pub fn new(lane: Lane) -> Self {
        Self { lane, buffer: Vec::new(), taken: 0 }
    }

    /// Takes bytes as they arrive.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete message, if there is one.
    pub fn message<M: Message + Default>(&mut self) -> Result<Option<M>, Breach> {
        let waiting = &self.buffer[self.taken..];
        let Some((length, prefix)) = length(waiting).map_err(|()| Breach::Garbled(self.lane))? else { return Ok(None) };
        if length > self.lane.limit() as u64 {
            return Err(Breach::TooLong { lane: self.lane, length });
        }
        let end = prefix + length as usize;
        if waiting.len() < end {
            return Ok(None);
        }
        let message = M::decode(&waiting[prefix..end]).map_err(|_| Breach::Garbled(self.lane))?;
        self.taken += end;
        Ok(Some(message))
    }

    /// Bytes held, for tests of the bound.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.buffer.len()
    }
}

/// The length that `bytes` begin with and how many bytes it takes; `None` while it is incomplete.
fn length(bytes: &[u8]) -> Result<Option<(u64, usize)>, ()> {
    /// A length takes five bytes at most: every limit is far below 2^35.
    const LONGEST: usize = 5;
    let Some(last) = bytes.iter().take(LONGEST).position(|byte| byte & 0x80 == 0) else {
        return if bytes.len() < LONGEST { Ok(None) } else { Err(()) };
    };
    let length = decode_varint(&mut &bytes[..=last]).map_err(|_| ())?;
    Ok(Some((length, last + 1)))
}

/// Cuts bytes of a fuzzer into what arrives on lanes: a byte that names the lane, one that says how much comes, and that much.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn said(mut bytes: &[u8]) -> impl Iterator<Item = (Lane, &[u8])> {
    std::iter::from_fn(move || {
        let ([lane, length], rest) = bytes.split_first_chunk()?;
        let (said, after) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes = after;
        Some((Lane::ALL[usize::from(*lane) % Lane::ALL.len()], said))
    })
}

/// What two peers say to each other today, for the corpus: a name, the decoder's name and the bytes.
#[cfg(test)]
pub(crate) fn samples() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    use proto::{
        Ack, Begun, FromCar, FromOffice, Held, Hello, Holding, ListOffer, ListPiece, ListWanted, Upload, Welcome,
        from_car, from_office,
    };
    use sha2::{Digest, Sha256};

    fn on<M: Message>(lane: Lane, message: &M, out: &mut Vec<u8>) {
        let mut frame = Vec::new();
        encode(message, &mut frame);
        out.extend([Lane::ALL.iter().position(|known| *known == lane).unwrap_or(0) as u8, frame.len() as u8]);
        out.extend(frame);
    }
    let bytes = vec![9; 64];
    let mut office = Vec::new();
    for message in [
        from_office::Message::Welcome(Welcome {
            version: NEWEST_VERSION,
            program: PROGRAM.into(),
            begun: Some(Begun { key: vec![3; 9], size: 40, sha256: Sha256::digest([7; 40]).to_vec(), offset: 30 }),
        }),
        from_office::Message::ListOffer(ListOffer {
            list: "pnc".into(),
            revision: 7,
            size: bytes.len() as u64,
            sha256: Sha256::digest(&bytes).to_vec(),
            base: 6,
        }),
        from_office::Message::Ack(Ack { keys: vec![vec![1, 0], vec![1, 1]] }),
    ] {
        on(Lane::Control, &FromOffice { message: Some(message) }, &mut office);
    }
    for (offset, unpacked) in [(0, 0), (32, 32)] {
        // Thirty-two nines, packed.
        let bytes = if unpacked == 0 { bytes[..32].to_vec() } else { vec![0xe3, 0xe4, 0xc4, 0x0f, 0x00] };
        let piece = ListPiece { list: "pnc".into(), revision: 7, offset, bytes, base: 6, unpacked };
        on(Lane::Urgent, &piece, &mut office);
    }
    let mut car = Vec::new();
    for message in [
        from_car::Message::Hello(Hello {
            oldest: OLDEST_VERSION,
            newest: NEWEST_VERSION,
            unit: "EX-01".into(),
            program: PROGRAM.into(),
        }),
        from_car::Message::Holding(Holding {
            lists: vec![Held { list: "pnc".into(), revision: 6, whole: false }],
            changes: true,
        }),
        from_car::Message::ListWanted(ListWanted { list: "pnc".into(), revision: 7, offset: 0, base: 6 }),
    ] {
        on(Lane::Control, &FromCar { message: Some(message) }, &mut car);
    }
    let upload = |kind: i32| Upload { kind, key: vec![kind as u8; 9], payload: vec![7; 40], ..Upload::default() };
    for (kind, lane) in [(1, Lane::Hits), (4, Lane::Hits), (5, Lane::Hits), (2, Lane::Reads), (3, Lane::Pictures)] {
        on(lane, &upload(kind), &mut car);
    }
    let sha256 = Sha256::digest([7; 40]).to_vec();
    for (offset, length) in [(0, 30), (30, 10)] {
        let part = Upload { payload: vec![7; length], offset, size: 40, sha256: sha256.clone(), ..upload(3) };
        on(Lane::Pictures, &part, &mut car);
    }
    vec![("office", "office", office), ("car", "car", car), ("present", "present", crate::sync::present::sample())]
}

#[cfg(test)]
mod tests {
    use super::proto::{Ack, FromCar, FromOffice, ListPiece, Upload, from_car, from_office};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_absurd_length_is_refused_before_anything_is_kept() {
        for lane in Lane::ALL {
            let mut decoder = Decoder::new(lane);
            decoder.push(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
            assert_eq!(decoder.message::<Upload>(), Err(Breach::TooLong { lane, length: u64::from(u32::MAX) }));
            let mut decoder = Decoder::new(lane);
            decoder.push(&[0xff; 5]);
            assert_eq!(decoder.message::<Upload>(), Err(Breach::Garbled(lane)));
        }
    }

    #[test]
    fn the_largest_payload_fits_its_lane() {
        for kind in Kind::ALL {
            let lane = kind.lane();
            let payload = vec![9; lane.payload_limit()];
            let (offset, size, sha256) = (u64::MAX, u64::MAX, vec![5; 32]);
            let upload = Upload { kind: 4, key: vec![7; KEY_LIMIT], payload, offset, size, sha256 };
            assert!(upload.encoded_len() <= lane.limit());
        }
        let piece = ListPiece {
            list: "x".repeat(NAME_LIMIT),
            revision: u64::MAX,
            offset: LIST_LIMIT,
            bytes: vec![1; PIECE],
            base: u64::MAX,
            unpacked: u32::MAX,
        };
        assert!(piece.encoded_len() <= Lane::Lists.limit());
    }

    /// Version 1 as it was first spoken. An office of any later version must understand these bytes.
    #[test]
    fn the_first_version_is_still_understood() {
        let hello = b"\x13\x0a\x11\x08\x01\x10\x01\x1a\x05EX-01\x22\x04o/01";
        let mut decoder = Decoder::new(Lane::Control);
        decoder.push(hello);
        let message = decoder.message::<FromCar>().expect("valid").expect("whole");
        let Some(from_car::Message::Hello(hello)) = message.message else { panic!("a Hello") };
        assert_eq!((hello.oldest, hello.newest, hello.unit.as_str(), hello.program.as_str()), (1, 1, "EX-01", "o/01"));
    }

    #[test]
    fn what_a_newer_peer_adds_is_skipped() {
        // Field 99 of the envelope, which no version has yet, then an Ack with an unknown field 7.
        let frames = b"\x05\x9a\x06\x02hi\x07\x12\x05\x0a\x01k\x38\x05";
        let mut decoder = Decoder::new(Lane::Control);
        decoder.push(frames);
        assert_eq!(decoder.message::<FromOffice>(), Ok(Some(FromOffice { message: None })));
        let ack = from_office::Message::Ack(Ack { keys: vec![b"k".to_vec()] });
        assert_eq!(decoder.message::<FromOffice>(), Ok(Some(FromOffice { message: Some(ack) })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_bounded(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)) {
            for lane in Lane::ALL {
                let mut decoder = Decoder::new(lane);
                'lane: for chunk in &chunks {
                    decoder.push(chunk);
                    loop {
                        let next = match lane {
                            Lane::Control => decoder.message::<FromCar>().map(|m| m.is_some()),
                            Lane::Lists => decoder.message::<ListPiece>().map(|m| m.is_some()),
                            _ => decoder.message::<Upload>().map(|m| m.is_some()),
                        };
                        match next {
                            Ok(true) => {}
                            Ok(false) => break,
                            Err(_) => break 'lane,
                        }
                    }
                    prop_assert!(decoder.held() <= lane.limit() + 5 + chunk.len());
                }
            }
        }

        #[test]
        fn messages_survive_any_cutting(
            uploads in prop::collection::vec((1..4i32, prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..400)), 0..12),
            cuts in prop::collection::vec(1..60usize, 1..40),
        ) {
            let sent: Vec<Upload> =
                uploads.into_iter().map(|(kind, key, payload)| Upload { kind, key, payload, ..Upload::default() }).collect();
            let mut bytes = Vec::new();
            sent.iter().for_each(|upload| encode(upload, &mut bytes));
            let mut decoder = Decoder::new(Lane::Reads);
            let mut received = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                decoder.push(now);
                rest = later;
                while let Some(upload) = decoder.message::<Upload>().expect("valid bytes") {
                    received.push(upload);
                }
            }
            prop_assert_eq!(received, sent);
        }
    }
}

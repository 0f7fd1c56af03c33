//! Earlier versions of the conversation, byte by byte as their programs spoke them. What is here never changes.

use super::*;
use crate::sync::wire::proto::{FromOffice, Upload, from_office};
use crate::sync::wire::{Decoder, PIECE};

/// What a car of version 3 said, by lane: Hello; Holding of "pnc" at 6; ListWanted of the change to 7; then a hit, a
/// statement and a head on the lane of hits, a read, a picture.
const CAR_3: [(Lane, &str); 6] = [
    (
        Lane::Control,
        "1d0a1b080110031a0545582d3031220e6f7574726964657220302e312e300d120b0a070a03706e63100610010b1a\
         090a03706e6310072006",
    ),
    (Lane::Hits, "13080112090101010101010101011a0407070707"),
    (Lane::Hits, "13080412090404040404040404041a0407070707"),
    (Lane::Hits, "13080512090505050505050505051a0407070707"),
    (Lane::Reads, "13080212090202020202020202021a0407070707"),
    (Lane::Pictures, "13080312090303030303030303031a0407070707"),
];

/// What an office of version 3 said: Welcome; an offer of the change of "pnc" from 6 to 7, of 64 nines; an Ack of the hit; then
/// both halves of the change on the lane of lists.
const OFFICE_3: [(Lane, &str); 3] = [
    (
        Lane::Control,
        "140a120803120e6f7574726964657220302e312e302f1a2d0a03706e63100718402220aa725e51a9d8e9a8abe3ce\
         fa68561d19a4b06c6f1526e46e3a55a23aef753c7328060d120b0a09010101010101010101",
    ),
    (Lane::Lists, "2b0a03706e631007222009090909090909090909090909090909090909090909090909090909090909092806"),
    (Lane::Lists, "2d0a03706e6310071820222009090909090909090909090909090909090909090909090909090909090909092806"),
];

/// Frames one by one: each is shorter than 128 bytes, so that its length is its first byte.
pub(super) fn messages(text: &str) -> Vec<Vec<u8>> {
    let bytes = hex::decode(text).expect("hexadecimal digits");
    let mut messages = Vec::new();
    let mut rest = &bytes[..];
    while let [length, ..] = rest {
        let (message, after) = rest.split_at(1 + usize::from(*length));
        messages.push(message.to_vec());
        rest = after;
    }
    messages
}

#[test]
fn an_office_serves_a_car_of_version_3_as_its_own_version_did() {
    let mut office = office::Session::open(UNIT, None, Moment::default());
    let mut stored = Vec::new();
    for (lane, message) in CAR_3.iter().flat_map(|(lane, said)| messages(said).into_iter().map(|said| (*lane, said))) {
        office.receive(lane, &message).expect("understood");
        let info = |base| ListInfo { list: "pnc".into(), revision: 7, base, size: 64, sha256: [7; 32] };
        while let Some(event) = office.event() {
            match event {
                office::Event::Store(items) => {
                    stored.extend(items.iter().map(|item| (item.kind, item.payload.clone())));
                    office.stored(items.into_iter().map(|item| item.key).collect());
                }
                office::Event::Holding(held) => {
                    assert_eq!(held, [("pnc".to_owned(), 6)]);
                    office.lists(&[info(0), info(6)]);
                }
                office::Event::Piece(wanted) => {
                    assert_eq!((wanted.revision, wanted.base, wanted.offset, wanted.lane), (7, 6, 0, Lane::Lists));
                    office.piece(wanted, Some(StoredPiece::of(&[9; 64])));
                }
                office::Event::Greeted(program) => assert_eq!(program, "outrider 0.1.0"),
            }
        }
    }
    let kinds = [Kind::Hit, Kind::Statement, Kind::Head, Kind::Read, Kind::Picture];
    assert_eq!(stored, kinds.map(|kind| (kind, vec![7; 4])));

    // It is answered in its own version, and told nothing that came later.
    let mut lanes: BTreeMap<Lane, Decoder> = BTreeMap::new();
    let mut said = Vec::new();
    while let Some((lane, bytes)) = office.transmit() {
        let decoder = lanes.entry(lane).or_insert_with(|| Decoder::new(lane));
        decoder.push(&bytes);
        if lane == Lane::Lists {
            let piece = decoder.message::<crate::sync::wire::proto::ListPiece>().expect("valid").expect("whole");
            assert_eq!((piece.bytes, piece.unpacked), (vec![9; 64], 0), "as it was signed, not packed");
            said.push("piece".to_owned());
            continue;
        }
        let message = decoder.message::<FromOffice>().expect("valid").expect("whole").message.expect("known");
        said.push(match message {
            from_office::Message::Welcome(welcome) => format!("welcome {} {:?}", welcome.version, welcome.begun),
            from_office::Message::ListOffer(offer) => format!("offer {} of {}", offer.revision, offer.base),
            from_office::Message::Ack(ack) => format!("ack {}", ack.keys.len()),
        });
    }
    assert_eq!(said, ["welcome 3 None", "offer 7 of 6", "piece", "ack 1", "ack 1", "ack 1", "ack 1", "ack 1"]);
}

#[test]
fn a_car_speaks_to_an_office_of_version_3_as_its_own_version_did() {
    let mut car = CarSession::open(UNIT, vec![("pnc".into(), 6)], Downloads::default(), Moment::default());
    let (mut kept, mut acknowledged, mut come) = (Vec::new(), Vec::new(), None);
    let mut sent = Vec::new();
    for (lane, said) in OFFICE_3 {
        // One message after the other, so that the hit is on its way when it is acknowledged.
        for message in messages(said) {
            car.receive(lane, &message, Moment::default()).expect("understood");
            while let Some(event) = car.event() {
                match event {
                    CarEvent::Welcome => {
                        let item = |kind, key: u8, size| Item { kind, key: vec![key; 9], payload: vec![7; size] };
                        car.offer(vec![item(Kind::Hit, 1, 4), item(Kind::Picture, 3, PIECE)], Moment::default());
                    }
                    CarEvent::Acknowledged(mut keys) => acknowledged.append(&mut keys),
                    CarEvent::Piece(piece) => kept.extend(piece.bytes),
                    CarEvent::List(revision) => come = Some(revision),
                    other => panic!("{other:?}"),
                }
            }
            while let Some((lane, bytes)) = car.transmit() {
                if lane == Lane::Pictures {
                    let upload: Upload = prost::Message::decode_length_delimited(&bytes[..]).expect("an upload");
                    assert_eq!((upload.payload.len(), upload.size), (PIECE, 0), "whole, not in parts");
                }
                sent.push(lane);
            }
        }
    }
    assert_eq!(acknowledged, [vec![1; 9]]);
    assert_eq!(kept, vec![9; 64]);
    assert_eq!(come, Some(Revision { list: "pnc".into(), revision: 7, base: 6 }));
    assert_eq!(sent, [Lane::Control, Lane::Control, Lane::Hits, Lane::Pictures, Lane::Control]);
}

//! Version 4 of the conversation, byte by byte as its programs spoke it. What is here never changes.

use super::versions::messages;
use super::*;
use crate::hotlist::VERDICTS;
use crate::settings::SETTINGS;
use crate::sync::wire::Decoder;
use crate::sync::wire::proto::{FromOffice, ListPiece, Upload, from_office};

/// What a car of version 4 said, by lane: Hello; Holding of "pnc" at 6; ListWanted of the change to 7; then a hit, a
/// statement and a head on the lane of hits, a read, a whole picture, and the same in two parts.
const CAR_4: [(Lane, &str); 10] = [
    (Lane::Control, "1d0a1b080110041a0545582d3031220e6f7574726964657220302e312e30"),
    (Lane::Control, "0d120b0a070a03706e6310061001"),
    (Lane::Control, "0b1a090a03706e6310072006"),
    (
        Lane::Hits,
        "37080112090101010101010101011a280707070707070707070707070707070707070707070707070707070707070707\
         0707070707070707",
    ),
    (
        Lane::Hits,
        "37080412090404040404040404041a280707070707070707070707070707070707070707070707070707070707070707\
         0707070707070707",
    ),
    (
        Lane::Hits,
        "37080512090505050505050505051a280707070707070707070707070707070707070707070707070707070707070707\
         0707070707070707",
    ),
    (
        Lane::Reads,
        "37080212090202020202020202021a280707070707070707070707070707070707070707070707070707070707070707\
         0707070707070707",
    ),
    (
        Lane::Pictures,
        "37080312090303030303030303031a280707070707070707070707070707070707070707070707070707070707070707\
         0707070707070707",
    ),
    (
        Lane::Pictures,
        "51080312090303030303030303031a1e0707070707070707070707070707070707070707070707070707070707072828\
         322003691d150c12d51ad46e6372cfe65a531eafa8211bb7b3c54e21cd6df46e5599",
    ),
    (
        Lane::Pictures,
        "3f080312090303030303030303031a0a07070707070707070707201e2828322003691d150c12d51ad46e6372cfe65a53\
         1eafa8211bb7b3c54e21cd6df46e5599",
    ),
];

/// What an office of version 4 said: Welcome, with what it has of a picture; an offer of the change of "pnc" from 6 to 7, of 64
/// nines; an Ack; then both halves of the change on the urgent lane, the second one packed.
const OFFICE_4: [(Lane, &str); 5] = [
    (
        Lane::Control,
        "470a450804120e6f7574726964657220302e312e301a310a0903030303030303030310281a2003691d150c12d51ad46e\
         6372cfe65a531eafa8211bb7b3c54e21cd6df46e5599201e",
    ),
    (Lane::Control, "2f1a2d0a03706e63100718402220aa725e51a9d8e9a8abe3cefa68561d19a4b06c6f1526e46e3a55a23aef753c732806"),
    (Lane::Control, "0a12080a0201000a020101"),
    (Lane::Urgent, "2b0a03706e631007222009090909090909090909090909090909090909090909090909090909090909092806"),
    (Lane::Urgent, "140a03706e63100718202205e3e4c40f0028063020"),
];

#[test]
fn an_office_serves_a_car_of_version_4_as_its_own_version_did() {
    let mut office = office::Session::open(UNIT, None, Moment::default());
    let mut stored = Vec::new();
    for (lane, message) in CAR_4.iter().flat_map(|(lane, said)| messages(said).into_iter().map(|said| (*lane, said))) {
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
                    let other = |list: &str| ListInfo { list: list.into(), ..info(0) };
                    office.lists(&[info(0), info(6), other(VERDICTS), other(SETTINGS)]);
                }
                office::Event::Piece(wanted) => {
                    assert_eq!((wanted.revision, wanted.base, wanted.offset, wanted.lane), (7, 6, 0, Lane::Urgent));
                    office.piece(wanted, Some(StoredPiece::of(&[9; 64])));
                }
                office::Event::Greeted(program) => assert_eq!(program, "outrider 0.1.0"),
            }
        }
    }
    let kinds = [Kind::Hit, Kind::Statement, Kind::Head, Kind::Read, Kind::Picture, Kind::Picture];
    assert_eq!(stored, kinds.map(|kind| (kind, vec![7; 40])));

    // It is answered in its own version, and told nothing that came later.
    let mut lanes: BTreeMap<Lane, Decoder> = BTreeMap::new();
    let mut said = Vec::new();
    while let Some((lane, bytes)) = office.transmit() {
        let decoder = lanes.entry(lane).or_insert_with(|| Decoder::new(lane));
        decoder.push(&bytes);
        if lane == Lane::Urgent {
            let piece = decoder.message::<ListPiece>().expect("valid").expect("whole");
            assert_eq!(piece.unpacked, 64, "packed");
            said.push("piece".to_owned());
            continue;
        }
        let message = decoder.message::<FromOffice>().expect("valid").expect("whole").message.expect("known");
        said.push(match message {
            from_office::Message::Welcome(welcome) => format!("welcome {} {:?}", welcome.version, welcome.begun),
            from_office::Message::ListOffer(offer) => {
                format!("offer {} {} of {}", offer.list, offer.revision, offer.base)
            }
            from_office::Message::Ack(ack) => format!("ack {}", ack.keys.len()),
        });
    }
    let (start, acks) = said.split_at(4);
    assert_eq!(start, ["welcome 4 None", "offer pnc 7 of 6", "offer +verdicts 7 of 0", "piece"]);
    assert_eq!(acks, ["ack 1"; 6]);
}

#[test]
fn a_car_speaks_to_an_office_of_version_4_as_its_own_version_did() {
    let mut car = CarSession::open(UNIT, vec![("pnc".into(), 6)], Downloads::default(), Moment::default());
    let (mut kept, mut acknowledged, mut come) = (Vec::new(), Vec::new(), None);
    let mut parts = Vec::new();
    for (lane, said) in OFFICE_4 {
        for message in messages(said) {
            car.receive(lane, &message, Moment::default()).expect("understood");
            while let Some(event) = car.event() {
                match event {
                    CarEvent::Welcome => {
                        let item = |kind, key: Vec<u8>, size| Item { kind, key, payload: vec![7; size] };
                        let hits = [vec![1, 0], vec![1, 1]].map(|key| item(Kind::Hit, key, 4));
                        let picture = item(Kind::Picture, vec![3; 9], 40);
                        car.offer(hits.into_iter().chain([picture]).collect(), Moment::default());
                    }
                    CarEvent::Acknowledged(mut keys) => acknowledged.append(&mut keys),
                    CarEvent::Piece(piece) => kept.extend(piece.bytes),
                    CarEvent::List(revision) => come = Some(revision),
                    other => panic!("{other:?}"),
                }
            }
            while let Some((lane, bytes)) = car.transmit() {
                if lane == Lane::Pictures {
                    let part: Upload = prost::Message::decode_length_delimited(&bytes[..]).expect("an upload");
                    parts.push((part.offset, part.payload.len(), part.size));
                }
            }
        }
    }
    assert_eq!(parts, [(30, 10, 40)], "from where the office has it");
    assert_eq!(acknowledged, [vec![1, 0], vec![1, 1]]);
    assert_eq!(kept, vec![9; 64]);
    assert_eq!(come, Some(Revision { list: "pnc".into(), revision: 7, base: 6 }));
}

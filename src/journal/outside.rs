//! What this room decodes of bytes that somebody else may have written: whoever had the disk, or handed over a bundle. See
//! [`crate::outside`].

use super::queue::Waiting;
use super::record::{SentPicture, StoredDeed, StoredEvent, StoredHit, StoredRead, decode};
use super::{bundle, keyfile};

/// A stored value, whatever table it may be of; whether it is any.
pub(crate) fn record(bytes: &[u8]) -> bool {
    let outbox = Waiting::decode(bytes).is_some_and(|waiting| waiting.encode() == bytes);
    let known = [
        decode::<StoredRead>(bytes).is_ok_and(|read| {
            // What is made of the numbers in it.
            let _ = (read.id(), read.utc());
            true
        }),
        decode::<StoredHit>(bytes).is_ok(),
        decode::<StoredEvent>(bytes).is_ok(),
        decode::<SentPicture>(bytes).is_ok(),
        outbox,
    ];
    known.contains(&true)
}

/// A record of the audit chain behind its hash.
pub(crate) fn deed(bytes: &[u8]) -> bool {
    bytes.split_first_chunk::<32>().is_some_and(|(_, deed)| decode::<StoredDeed>(deed).is_ok())
}

/// The file of keys.
pub(crate) fn keys(bytes: &[u8]) -> bool {
    let mut bytes = bytes.to_vec();
    keyfile::with_right_sums(&mut bytes);
    keyfile::parse(&bytes).is_some()
}

/// The manifest of an evidence bundle.
pub(crate) fn manifest(bytes: &[u8]) -> bool {
    bundle::parsed(bytes).is_some()
}

/// What this room writes today, for the corpus: a name, the decoder's name and the bytes.
#[cfg(test)]
pub(crate) fn samples() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    use super::record::{Prepared, Record, encode};
    use super::tests::{hour, read};
    use super::{Act, Deed, Journal, Key, Passphrase, Sizes};
    use crate::recognise::ReadId;
    use zeroize::Zeroizing;

    let prepared = |record| Prepared::new(record, 7, 1);
    let Prepared::Read { read: stored, .. } = prepared(Record::Read(Box::new(read(1, 1, "AB12CDE", hour(0))))) else {
        unreachable!("a read is prepared as a read")
    };
    let event = |record| match prepared(record) {
        Prepared::Event(event) => encode(&event),
        _ => unreachable!("prepared as an event"),
    };
    let when = hour(0);
    let deed =
        Deed { plate: Some("AB12CDE".into()), ..Deed::of_the_unit(Act::Searched, "a test", "reads".into(), when) };
    let hit = StoredHit { read: Some(stored.clone()), list: "pnc".into(), ..StoredHit::default() };
    let picture = SentPicture { run: 1, pass: 1, jpeg: vec![0xff, 0xd8, 0xff], journal: 7, ..SentPicture::default() };

    let folder = tempfile::tempdir().expect("a folder");
    let phrase = Passphrase::new(Zeroizing::new("correct horse battery".into())).expect("long enough");
    let clock = crate::clock::SimulatedClock::starting(when.utc);
    let journal = Journal::open_with(folder.path(), &Key::Passphrase(phrase), clock).expect("opened");
    super::tests::record_read(&journal, read(1, 1, "AB12CDE", when));
    journal.flush().expect("on disk");
    let bundle = folder.path().join("bundle");
    journal.archive().export_bundle(&bundle, &deed, Sizes::Native).expect("exported");
    let file = |path: &std::path::Path| std::fs::read(path).expect("read");
    vec![
        ("read", "record", encode(&stored)),
        ("hit", "record", encode(&hit)),
        ("picture", "record", encode(&picture)),
        ("fault", "record", event(Record::Fault { part: "receiver".into(), text: "gone".into(), when })),
        (
            "verdict",
            "record",
            event(Record::Verdict {
                read: ReadId { run: 1, pass: 1 },
                list: "pnc".into(),
                verdict: "confirmed".into(),
                reason: "checked".into(),
                by: "4512".into(),
                when,
            }),
        ),
        (
            "clock",
            "record",
            event(Record::Clock { at: crate::clock::Moment::default(), system: when.utc, told: None, when }),
        ),
        ("outbox", "record", Waiting::Picture { run: 1, pass: 2, version: 3, which: 1 }.encode()),
        ("deed", "deed", [&[7; 32][..], &encode(&StoredDeed::of(deed, 1))].concat()),
        ("keys", "keys", file(&folder.path().join("journal.keys"))),
        ("manifest", "manifest", file(&bundle.join("manifest.json"))),
    ]
}

//! What this room decodes of bytes that somebody else has written. See [`crate::outside`].

use std::path::Path;

use super::entry::Entry;
use super::head::{ListHead, Settings};
use super::{Mark, Statement, revision};

/// A file of a list.
pub(crate) fn csv(bytes: &[u8]) -> bool {
    super::entries(bytes, Path::new("list.csv")).is_ok()
}

/// A signed revision, the signature apart.
pub(crate) fn revision(bytes: &[u8]) -> bool {
    revision::unsigned(bytes)
}

/// What a crew makes known.
pub(crate) fn statement(bytes: &[u8]) -> bool {
    Statement::decode(bytes).is_ok_and(|statement| Statement::decode(&statement.encode()).is_ok())
}

/// What is stored of a list: its head, an entry.
pub(crate) fn stored(bytes: &[u8]) -> bool {
    let entry = Entry::decode(bytes).is_ok_and(|entry| Entry::decode(&entry.encode()).is_ok());
    ListHead::decode("list", bytes).is_ok() || entry
}

/// How a list is to be used.
pub(crate) fn settings(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| Settings::parse(text).is_ok())
}

/// A VRM or a pattern as people type it.
pub(crate) fn mark(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| {
        Mark::parse(text).is_ok_and(|mark| {
            let fits = mark.fitting();
            let _ = (fits(text), fits("AB12CDE"));
            true
        })
    })
}

/// What other crews found, as the office hands it down, the signature apart.
pub(crate) fn verdicts(bytes: &[u8]) -> bool {
    super::Verdicts::decode(bytes).is_ok()
}

/// What this room writes today, for the corpus: a name, the decoder's name and the bytes.
#[cfg(test)]
pub(crate) fn samples() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    use super::revision::tests::{key, revision};
    use super::{Judgement, Said, Verdict, Verdicts};
    use chrono::DateTime;

    let utc = DateTime::from_timestamp(1_796_119_200, 0).expect("a time");
    let entry =
        Entry { reason: "stolen".into(), colour: "blue".into(), ..Entry::bare(Mark::parse("AB12CDE").expect("a VRM")) };
    let found =
        Said::Found { list: "pnc".into(), mark: "AB12CDE".into(), text: "AB12CDF".into(), judgement: Judgement::False };
    let verdict = Verdict {
        unit: "EX-02".into(),
        utc,
        list: "pnc".into(),
        mark: "AB12CDE".into(),
        text: "AB12CDF".into(),
        judgement: Judgement::False,
    };
    let says = |said| Statement { utc, said }.encode();
    vec![
        ("change", "revision", revision(&key())),
        ("entry", "statement", says(Said::Entry(Box::new(entry.clone())))),
        ("found", "statement", says(found)),
        ("removal", "statement", says(Said::Removal { mark: entry.vrm.clone(), why: "over".into() })),
        ("entry", "stored", entry.encode()),
        ("verdicts", "verdicts", Verdicts { revision: 7, verdicts: vec![verdict] }.encode()),
    ]
}

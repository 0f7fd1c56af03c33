//! Lists, reads and changes at random, against a plain slow matcher.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::super::patterns::tests::fits;
use super::super::revision::tests::{bytes, key};
use super::*;
use crate::plate;

/// Every entry of a list, as it is stored and found one by one.
pub(super) fn content(hotlist: &Hotlist, list: &str) -> Vec<(String, String)> {
    let snapshot = hotlist.snapshot();
    let Some(list) = snapshot.list(list) else { return Vec::new() };
    let mut content = Vec::new();
    for vrm in list.index.vrms() {
        for entry in list.entries(*vrm).expect("readable") {
            let entry = entry.expect("whole");
            content.push((entry.vrm.to_string(), entry.reason));
        }
    }
    content.extend(list.patterns.entries.iter().flatten().map(|entry| (entry.vrm.to_string(), entry.reason.clone())));
    content
}

/// A list by mark: its reasons.
type Model = BTreeMap<String, Vec<String>>;

/// What a read of `text` matches, by the definition.
fn slow(model: &Model, text: &str) -> Vec<(String, String)> {
    let text = plate::fold(text);
    let mut found: Vec<(String, String)> = model
        .iter()
        .filter(|(mark, _)| fits(plate::fold(mark).as_bytes(), text.as_bytes()))
        .flat_map(|(mark, reasons)| reasons.iter().map(|reason| (mark.clone(), reason.clone())))
        .collect();
    found.sort();
    found
}

fn csv(model: &Model) -> String {
    let lines = model.iter().flat_map(|(mark, reasons)| reasons.iter().map(move |reason| format!("{mark},{reason}\n")));
    std::iter::once("vrm,reason\nQ1,always here\n".to_owned()).chain(lines).collect()
}

fn models() -> impl Strategy<Value = Vec<Model>> {
    let mark = prop_oneof![4 => "[AB01O]{1,4}", 1 => "[AB01O?*]{0,3}[AB1][AB01O?*]{0,3}"];
    let mark = mark.prop_filter_map("a mark", |text| Mark::parse(&text).ok().map(|mark| mark.to_string()));
    let model = proptest::collection::btree_map(mark, proptest::collection::btree_set("[a-c]", 1..3), 0..40)
        .prop_map(|model| model.into_iter().map(|(mark, reasons)| (mark, reasons.into_iter().collect())).collect());
    proptest::collection::vec(model, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_revision_matches_as_a_plain_matcher_does(models in models(), texts in proptest::collection::vec("[AB01OI]{1,4}", 1..12),
                                                      by_change in proptest::collection::vec(any::<bool>(), 5)) {
        let folder = tempfile::tempdir().expect("a folder");
        let open = |name: &str| Hotlist::open(&folder.path().join(name), clock()).expect("opened");
        let (office, car, key) = (open("office.redb"), open("car.redb"), key());
        car.trust(vec![key.verifying()]);
        let mut held = 0;
        for (model, by_change) in models.iter().zip(by_change) {
            let published = office.publish("l", csv(model).as_bytes(), Path::new("x"), &ImportOptions::default(), &key);
            let published = published.expect("published").1.expect("not a trial");
            // Sometimes the car misses one, and then takes the whole list.
            match published.change.filter(|(base, _)| by_change && *base == held) {
                Some((_, change)) => car.apply(&bytes(change)[..], None),
                None => car.apply(&bytes(published.whole)[..], None),
            }
            .expect("applied");
            held = published.revision;
            prop_assert_eq!(content(&car, "l"), content(&office, "l"));
            let count = model.values().map(Vec::len).sum::<usize>() as u64 + 1;
            prop_assert_eq!(car.status()[0].count, count);
            for text in &texts {
                let hits = car.match_read(&read(text), utc("2026-12-01T10:00:00Z"));
                let mut found: Vec<_> = hits.iter().map(|hit| (hit.entry.vrm.to_string(), hit.entry.reason.clone())).collect();
                found.sort();
                prop_assert_eq!(&found, &slow(model, text), "{}", text);
            }
        }
        // And the same after a restart.
        drop(car);
        let car = open("car.redb");
        prop_assert_eq!(content(&car, "l"), content(&office, "l"));
    }

    #[test]
    fn the_texts_that_are_found_are_those_that_a_plain_search_finds(
        listed in proptest::collection::btree_set("[AB12]{3,5}", 1..60),
        rows in proptest::collection::vec(proptest::collection::vec(0.01f32..1.0, 4), 3..5),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let hotlist = Hotlist::open(&folder.path().join("hotlist.redb"), clock()).expect("opened");
        let lines: String = listed.iter().map(|vrm| format!("{vrm}\n")).collect();
        let thresholds = Thresholds { possible: 0.05, ..Thresholds::default() };
        let options = ImportOptions { settings: Some(Settings { thresholds, ..Settings::default() }), ..ImportOptions::default() };
        hotlist.import("l", format!("vrm\n{lines}").as_bytes(), Path::new("x"), &options).expect("imported");
        let places: Vec<Vec<(char, f32)>> = rows
            .iter()
            .map(|row| {
                let sum: f32 = row.iter().sum();
                "AB12".chars().zip(row).map(|(c, p)| (c, p / sum)).collect()
            })
            .collect();
        let characters = saying(&places.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let text: String = characters.iter().map(|character| character.best().0).collect();
        let confidence = characters.iter().map(|character| character.best().1).product();
        let read = Read { characters: characters.clone(), confidence, ..read(&text) };
        let hits = hotlist.match_read(&read, utc("2026-12-01T10:00:00Z"));
        // By the definition, without a search: of the listed texts of this length, weighed against each other.
        let worth = |vrm: &str| -> f32 {
            if vrm.len() != characters.len() { return 0.0 }
            vrm.chars().zip(&characters).map(|(c, character)| character.of_glyph(c)).product()
        };
        let best = listed.iter().map(|vrm| worth(vrm)).fold(0.0f32, f32::max);
        for hit in &hits {
            prop_assert!(hit.probability <= 1.0 && hit.probability >= 0.0);
        }
        let same: Vec<&Hit> = hits.iter().filter(|hit| hit.entry.vrm.as_str().len() == characters.len()).collect();
        for pair in same.windows(2) {
            let (a, b) = (worth(pair[0].entry.vrm.as_str()), worth(pair[1].entry.vrm.as_str()));
            if pair[0].how == How::Probable && pair[1].how == How::Probable && pair[0].grade == pair[1].grade {
                prop_assert!(a >= b * 0.999, "hits are in the order of what the looks say: {a} {b}");
            }
        }
        if let Some(first) = listed.iter().find(|vrm| worth(vrm) == best && best > 0.2) {
            prop_assert!(hits.iter().any(|hit| hit.entry.vrm.as_str() == first), "{first}, which is worth {best}, is not found");
        }
    }
}

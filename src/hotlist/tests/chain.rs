//! The chain of revisions, from an office to a car.

use std::path::Path;

use super::super::revision::tests::{bytes, key};
use super::*;

/// A revision as bytes, as they travel.
struct Sent {
    whole: Vec<u8>,
    change: Option<(u64, Vec<u8>)>,
}

impl From<Published> for Sent {
    fn from(published: Published) -> Self {
        Self { whole: bytes(published.whole), change: published.change.map(|(base, change)| (base, bytes(change))) }
    }
}

struct World {
    _folder: tempfile::TempDir,
    office: Hotlist,
    car: Hotlist,
    key: SigningKey,
    revision: u64,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let open = |name: &str| Hotlist::open(&folder.path().join(name), clock()).expect("opened");
        let (office, car, key) = (open("office.redb"), open("car.redb"), key());
        car.trust(vec![key.verifying()]);
        Self { _folder: folder, office, car, key, revision: 0 }
    }

    fn publish(&mut self, text: &str) -> Sent {
        self.revision += 10;
        let options = ImportOptions { revision: Some(self.revision), ..ImportOptions::default() };
        let published = self.office.publish("pnc", text.as_bytes(), Path::new("x"), &options, &self.key);
        published.expect("published").1.expect("not a trial").into()
    }

    fn listed(&self, vrm: &str) -> usize {
        self.car.lookup(&super::vrm(vrm)).expect("looked up").len()
    }
}

/// Twenty lines that stay, so that a change is smaller than the whole list.
fn sheet(lines: &str) -> String {
    let filler: String = (0..20).map(|n| format!("ZZ{n:02}AAA,filler\n")).collect();
    format!("vrm,reason\n{filler}{lines}")
}

#[test]
fn whole_lists_and_changes_lead_to_the_same() {
    let mut world = World::new();
    let first = world.publish(&sheet("AB12CDE,stolen\nAB12CDE,drugs\nCD34EFG,x\nEF*,y\nGH?,z\n"));
    assert_eq!(first.change, None);
    let second = world.publish(&sheet("AB12CDE,stolen\nEF56GHI,new\nEF*,other\nIJ?,w\n"));
    let (base, change) = second.change.clone().expect("a change");
    assert_eq!(base, 10);
    assert_eq!(
        world.car.apply(&first.whole[..], Some("pnc")).expect("applied"),
        Applied::Replaced { list: "pnc".into(), revision: 10, count: 25 }
    );
    assert_eq!(
        world.car.apply(&change[..], Some("pnc")).expect("applied"),
        Applied::Changed { list: "pnc".into(), revision: 20, count: 24, changed: 6 }
    );
    let after_change = super::model::content(&world.car, "pnc");
    assert_eq!(after_change, super::model::content(&world.office, "pnc"));
    assert_eq!((world.listed("AB12CDE"), world.listed("CD34EFG"), world.listed("EF56GHI")), (1, 0, 2));
    // The whole list of that revision is the same state: it need not be applied, and the chain goes on from either.
    assert!(matches!(world.car.apply(&second.whole[..], None), Ok(Applied::Held { .. })));
    let third = world.publish(&sheet("AB12CDE,stolen\n"));
    world.car.apply(&third.change.expect("a change").1[..], None).expect("applied");
    assert_eq!(super::model::content(&world.car, "pnc"), super::model::content(&world.office, "pnc"));
    assert_eq!(world.car.status()[0].patterns, 0);
}

#[test]
fn what_is_not_the_next_link_is_refused_and_the_old_revision_stays() {
    let mut world = World::new();
    let first = world.publish(&sheet("AB12CDE,stolen\n"));
    let second = world.publish(&sheet("CD34EFG,stolen\n"));
    let third = world.publish(&sheet("EF56GHI,stolen\n"));
    let change = |published: &Sent| published.change.clone().expect("a change").1;
    let refused = |car: &Hotlist, bytes: &[u8], list: Option<&str>, kind: Kind, why: &str| {
        let before = (car.status(), super::model::content(car, "pnc"));
        let fault = car.apply(bytes, list).expect_err(why);
        assert!(fault.kind() == kind && fault.to_string().contains(why), "{fault}");
        assert_eq!((car.status(), super::model::content(car, "pnc")), before);
    };
    refused(&world.car, &change(&second), None, Kind::Denied, "the list is not held");
    world.car.apply(&first.whole[..], None).expect("applied");
    refused(&world.car, &change(&third), None, Kind::Denied, "it changes revision 20 of the office, and 10 is held");
    refused(&world.car, &second.whole, Some("dvla"), Kind::Denied, "handed down as list dvla");
    let mut forged = second.whole.clone();
    forged[20] ^= 1;
    refused(&world.car, &forged, None, Kind::Denied, "signature");
    let mut damaged = second.whole.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    refused(&world.car, &damaged, None, Kind::Damaged, "its SHA-256 is another");
    refused(&world.car, &second.whole[..last], None, Kind::Damaged, "cut short");
    refused(&world.car, b"vrm\nA1\n", None, Kind::Damaged, "not the bytes of a list's revision");
    world.car.apply(&change(&second)[..], None).expect("the next link");
    assert!(
        matches!(world.car.apply(&change(&second)[..], None), Ok(Applied::Held { .. })),
        "a replay changes nothing"
    );
    refused(&world.car, &first.whole[..], None, Kind::Denied, "revision 10 is not newer than 20");
    // The same numbers from an office that began again are not the same chain.
    let mut other = World { key: key(), ..World::new() };
    other.publish(&sheet("AB12CDE,stolen\n"));
    other.publish(&sheet("XX12XXX,x\n"));
    let foreign = other.publish(&sheet("XX13XXX,x\n"));
    world.car.trust(vec![world.key.verifying(), other.key.verifying()]);
    refused(&world.car, &change(&foreign), None, Kind::Denied, "another one of that number is held");
    world.car.trust(Vec::new());
    refused(&world.car, &third.whole, None, Kind::Denied, "no key of an office");
}

#[test]
fn what_is_taken_off_stands_no_more_and_a_removal_outranks_an_addition() {
    let mut world = World::new();
    world.publish(&sheet("AB12CDE,stolen\nCD34EFG,x\n"));
    let whole = world.office.sign("pnc", None, &world.key).expect("signed");
    world.car.apply(&bytes(whole.whole)[..], None).expect("applied");
    let version = world.car.version();
    assert_eq!(world.car.standing("pnc", "AB12CDE"), Standing::Listed);

    let entry = |reason| super::super::entry::tests::entry("AB12CDE", reason);
    let amendments = [
        Amendment::Remove { mark: Mark::parse("AB12CDE").expect("a mark"), why: "recovered 14:02".into() },
        Amendment::Set(Box::new(entry("again"))),
    ];
    let (base, change) = world.office.amend("pnc", &amendments, Some(20), &world.key).expect("amended");
    assert_eq!(base, 10);
    world.car.apply(&bytes(change)[..], None).expect("applied");
    assert_eq!(super::model::content(&world.car, "pnc"), super::model::content(&world.office, "pnc"));
    assert_eq!(world.listed("AB12CDE"), 0);
    assert_eq!(world.car.standing("pnc", "AB12CDE"), Standing::Gone("recovered 14:02".into()));
    assert_eq!(world.car.standing("pnc", "CD34EFG"), Standing::Listed);
    assert!(world.car.version() > version);
    // A change that does not add up is not applied.
    let (_, change) =
        world.office.amend("pnc", &[Amendment::Set(Box::new(entry("once more")))], None, &world.key).expect("amended");
    world.car.apply(&bytes(change)[..], None).expect("applied");
    assert_eq!((world.listed("AB12CDE"), world.car.status()[0].revision), (1, 21));
    let head = ListHead { revision: 30, count: 99, ..world.office.status().remove(0) };
    let base = super::super::revision::Base { revision: 21, state: world.car.status()[0].state.expect("signed") };
    let chunks = super::super::revision::Chunks::in_folder(Path::new("."));
    let signed = chunks.sign(&head, Some(base), None, &world.key).expect("signed").0;
    let fault = world.car.apply(&bytes(signed)[..], None).expect_err("it does not add up");
    assert!(fault.to_string().contains("leads to 22 entries where its manifest says 99"), "{fault}");
    assert_eq!(world.car.status()[0].revision, 21);
    // A removal of what is not listed is a slip of whoever typed it.
    let absent = [Amendment::Remove { mark: Mark::parse("XX99XXX").expect("a mark"), why: "x".into() }];
    let fault = world.office.amend("pnc", &absent, None, &world.key).expect_err("it is not listed");
    assert!(fault.kind() == Kind::Missing && fault.to_string().contains("XX99XXX is not on it"), "{fault}");
    assert_eq!(world.office.status()[0].revision, 21);
}

//! Journal, link and office together: what is sent, in which order, and what comes of it in the car.

use super::*;

#[cfg(feature = "office")]
#[test]
fn a_journal_that_begins_anew_does_not_lose_its_reads_at_the_office() {
    use crate::office::{Received, RedbStore, Store as _};
    use crate::sync::car::Budget;
    use crate::sync::{Kind as Sent, Outbox as _};

    let folder = tempfile::tempdir().expect("a folder");
    let clock: Shared = SimulatedClock::starting(start());
    let hotlist = Arc::new(Hotlist::open(&folder.path().join("hotlist.redb"), clock.clone()).expect("opened"));
    let office = RedbStore::open(&folder.path().join("office.redb")).expect("opened");
    for text in ["AB12CDE", "CD34EFG"] {
        let journal = Arc::new(Journal::open(folder.path(), clock.clone()).expect("opened"));
        assert_eq!(journal.run(), 1, "a new file counts from the start");
        let when = crate::tag::When { utc: start() + TimeDelta::minutes(1), trusted: true };
        let tagged = TaggedRead { read: read(1, text), when, place: None, drill: false };
        journal.record(Record::Read(Box::new(tagged))).expect("taken");
        journal.flush().expect("on disk");
        let settings = config::Office::at("localhost:1", folder.path());
        let outbox = outbox::Store::new(&journal, &hotlist, &settings, folder.path(), clock.clone()).expect("made");
        let waiting = outbox.pending(Budget::of(100, 1 << 20)).expect("read");
        let items: Vec<_> = waiting.into_iter().map(|waiting| waiting.item).collect();
        let keys: Vec<_> = items.iter().map(|item| item.key.clone()).collect();
        let outcome = office.put(&[Received { unit: "EX-01".into(), items }], start()).expect("stored");
        assert_eq!((outcome[0].stored, outcome[0].conflicts), (4, 0), "read, pictures, head of the chain");
        outbox.acknowledged(&keys).expect("noted");
        assert_eq!((outbox.unsent(), journal.status().unsent), (0, 0));
        drop((outbox, journal));
        std::fs::remove_file(folder.path().join("journal.redb")).expect("the disk is swapped");
    }
    let keys = office.keys("EX-01", Sent::Read).expect("read");
    let payloads: Vec<_> =
        keys.iter().map(|key| office.get("EX-01", Sent::Read, key).expect("read").expect("there")).collect();
    for text in ["AB12CDE", "CD34EFG"] {
        assert!(payloads.iter().any(|payload| payload.windows(7).any(|bytes| bytes == text.as_bytes())), "{text}");
    }
}

#[test]
fn the_office_gets_hits_then_the_crew_s_words_then_the_chain_s_head_then_reads_then_pictures_of_hits() {
    use crate::sync::car::{Budget, Waiting};
    use crate::sync::{Kind as Sent, Outbox as _};

    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason\nCD34EFG,stolen\n", true, silent());
    worker.hear(put_out(read(1, "AB12CDE")));
    worker.hear(put_out(read(2, "CD34EFG")));
    let alert = worker.current().expect("an alert");
    let judged = worker.lists().judge("pnc", "CD34EFG", &alert.text, crate::hotlist::Judgement::True, start());
    judged.expect("kept");
    bench.journal.flush().expect("on disk");
    let settings = config::Office::at("localhost:1", bench.folder.path());
    let lists = worker.lists();
    let outbox = outbox::Store::new(&bench.journal, &lists, &settings, bench.folder.path(), bench.clock.clone());
    let outbox = outbox.expect("made");
    let budget = Budget::of(100, 1 << 20);
    let items = outbox.pending(budget).expect("read");
    let kinds: Vec<Sent> = items.iter().map(|waiting| waiting.item.kind).collect();
    use Sent::{Head, Hit, Picture, Read, Statement};
    assert_eq!(kinds, [Hit, Statement, Head, Read, Read, Picture, Picture, Picture, Picture]);
    // Of the pictures those of the second pass, which has the hit, go first: behind the version and the run comes the pass.
    let pictures = |items: &[Waiting]| -> Vec<(u8, bool)> {
        let pictures = items.iter().filter(|waiting| waiting.item.kind == Picture);
        pictures.map(|waiting| (waiting.item.payload[4], waiting.of_hit)).collect()
    };
    assert_eq!(pictures(&items), [(2, true), (2, true), (1, false), (1, false)]);
    assert_eq!(outbox.pictures_unsent().expect("counted"), [2, 2]);

    // Pictures that wait for a network which costs nothing take nobody's place, however few are asked for.
    let others = outbox.pending(Budget { items: 5, hit_pictures: false, ..budget }).expect("read");
    assert_eq!(pictures(&others), [(1, false), (1, false)]);
    let texts = outbox.pending(Budget { pictures: false, hit_pictures: false, ..budget }).expect("read");
    assert_eq!(texts, items[..5]);
    let of_hits = outbox.pending(Budget { pictures: false, ..budget }).expect("read");
    assert_eq!(of_hits, items[..7]);
}

#[cfg(feature = "office")]
#[test]
fn what_a_crew_makes_known_reaches_the_office_and_what_that_makes_of_it_the_car() {
    use crate::clock::RealClock;
    use crate::hotlist::{Entry, Judgement, Mark, Said, Standing};
    use crate::office::{self, Order, Service};

    let folder = tempfile::tempdir().expect("a folder");
    let (depot, car) = (folder.path().join("office"), folder.path().join("car"));
    let clock = RealClock::shared();
    office::init(&depot, &[], &*clock).expect("made");
    office::enrol(&depot, "EX-01", &car.join("identity"), &*clock).expect("enrolled");
    let sheet = folder.path().join("list.csv");
    std::fs::write(&sheet, "vrm,reason\nAB12CDE,stolen\nCD34EFG,x\n").expect("written");
    let wanted = office::Publication::of("pnc", &sheet, "Sgt Example");
    office::publish(&depot, &wanted, clock.clone()).expect("published");
    let service = Service::start(&depot, "127.0.0.1:0".parse().expect("an address"), clock.clone()).expect("started");

    let journal = Arc::new(Journal::open(&car, clock.clone()).expect("opened"));
    let seals = journal.archive().lists_seal().expect("made");
    let hotlist = Arc::new(Hotlist::open_sealed(&car.join("hotlist.redb"), &seals, clock.clone()).expect("opened"));
    // What an earlier program left of a list that it was fetching.
    std::fs::create_dir(car.join("arriving")).expect("made");
    std::fs::write(car.join("arriving/706e63-1-0"), "AB12CDE").expect("written");
    let settings = config::Office::at(service.address().to_string(), car.join("identity"));
    let outbox = Arc::new(outbox::Store::new(&journal, &hotlist, &settings, &car, clock.clone()).expect("made"));
    let link = Link::start("EX-01", &settings, outbox, clock.clone()).expect("started");
    let until = |what: &str, happened: &dyn Fn() -> bool| {
        let start = clock.now();
        while !happened() {
            assert!(clock.now().since(start) < Duration::from_secs(60), "{what} did not happen: {:?}", link.status());
            clock.sleep(Duration::from_millis(5));
        }
    };
    until("the list", &|| hotlist.status().iter().any(|list| list.id == "pnc" && list.count == 2));

    // The crew takes up an entry, and finds a hit wrong. Entries know whole seconds.
    let now = DateTime::from_timestamp(clock.utc().timestamp(), 0).expect("a time");
    let entry = Entry {
        reason: "made off".into(),
        expires: Some(now + chrono::Days::new(1)),
        ..Entry::bare(Mark::parse("XY1?ABC").expect("a mark"))
    };
    hotlist.add_own(entry.clone(), now).expect("taken up");
    hotlist.judge("pnc", "CD34EFG", "CD34EFG", Judgement::False, now).expect("kept");
    link.nudge();
    let said = || -> Vec<Said> {
        let known = office::crews(&depot).unwrap_or_default();
        known.iter().map(|stated| stated.statement.clone().expect("understood").said).collect()
    };
    until("what the crew said", &|| said().len() == 2 && link.status().unsent == 0);
    assert!(said().iter().any(|said| matches!(said, Said::Entry(known) if **known == entry)));
    assert!(said().iter().any(|said| matches!(said, Said::Found { judgement: Judgement::False, .. })));
    assert_eq!(hotlist.statements(9).expect("read"), [], "what the office has stored is not sent again");

    // The office adopts the entry and takes a recovered vehicle off.
    let known = office::crews(&depot).expect("read");
    let adopt = known.iter().filter(|stated| matches!(&stated.statement, Ok(s) if matches!(s.said, Said::Entry(_))));
    let order = Order {
        list: "pnc".into(),
        adopt: adopt.map(|stated| stated.id.clone()).collect(),
        remove: vec![Mark::parse("AB12CDE").expect("a mark")],
        by: "Sgt Example".into(),
        why: "recovered 14:02, stand down".into(),
        ..Order::default()
    };
    office::amend(&depot, &order, clock.clone()).expect("amended");
    let gone = Standing::Gone("recovered 14:02, stand down".into());
    until("the change", &|| hotlist.standing("pnc", "AB12CDE") == gone);
    assert_eq!(hotlist.standing("pnc", "XY1?ABC"), Standing::Listed);
    let named = |folder: &Path| {
        let mut named = Vec::new();
        for file in std::fs::read_dir(folder).expect("a folder") {
            let path = file.expect("a file").path();
            let bytes = if path.is_file() { std::fs::read(&path).expect("read") } else { Vec::new() };
            // Nothing so short that chance would write it.
            for text in ["AB12CDE", "CD34EFG", "XY1?ABC", "stolen", "made off", "stand down", "Sgt Example"] {
                if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                    named.push(format!("{text} in {}", path.display()));
                }
            }
        }
        named
    };
    assert_eq!(named(&car), Vec::<String>::new(), "while it runs");
    assert!(!named(&depot).is_empty(), "the search finds what is there");
    assert!(!car.join("arriving").exists(), "nothing is left behind");
    drop((link, hotlist, journal));
    assert_eq!(named(&car), Vec::<String>::new(), "once it has ended");
    service.stop();
}

//! What becomes of reads and hits at the desk: how sure they are, what speaks against them, and when an alert is withdrawn.

use super::*;
use crate::hotlist::{Thresholds, Tone};

#[test]
fn where_the_time_is_not_known_nothing_on_a_list_is_certain() {
    // By the satellites the entry has expired; the car's clock was never set, and would let it count.
    let list = "vrm,reason,expires,confirmed\nAB12CDE,stolen,2026-11-30,2026-11-29\nCD34EFG,stolen,,2026-11-29\n";
    let both = || vec![put_out(read(1, "AB12CDE")), put_out(read(2, "CD34EFG"))];
    let bench = Bench::new();
    hear(bench.worker(list, true, silent()), both());
    let grades: Vec<Grade> = bench.seen.lock().expect("whole").iter().map(|(grade, _)| *grade).collect();
    assert_eq!(grades, [Grade::Possible, Grade::Certain], "with satellites");

    let bench = Bench::new();
    bench.clock.jump_to(DateTime::UNIX_EPOCH);
    hear(bench.worker(list, false, silent()), both());
    for (grade, doubt) in bench.seen.lock().expect("whole").iter() {
        assert_eq!(*grade, Grade::Probable);
        assert!(doubt.contains("time unknown"), "{doubt}");
    }
    assert_eq!(bench.seen.lock().expect("whole").len(), 2);
}

#[test]
fn what_the_crew_finds_of_a_hit_reaches_the_lists_and_a_wrong_pair_is_silent() {
    let bench = Bench::new();
    let list = "vrm,reason\nAB12CDE,stolen\n";
    let answer = |verdict| News::Touch(Touch::Answered(crate::screen::Answer { alert: AlertId(1), verdict }));
    let seen = |text: &str| put_out(read(1, text));
    hear(bench.worker(list, true, silent()), vec![seen("AB12CDE"), answer(Verdict::WrongVehicle)]);
    assert_eq!(bench.seen.lock().expect("whole").len(), 1);
    let hotlist = Hotlist::open(&bench.folder.path().join("hotlist.redb"), bench.clock.clone()).expect("opened");
    let precision = hotlist.precision("pnc", start()).expect("read");
    assert_eq!((precision.true_hits, precision.false_hits, precision.silenced), (0, 1, 1));
    drop(hotlist);
    // The pair is silent from now on, but on record.
    hear(bench.worker(list, true, silent()), vec![put_out(read(2, "AB12CDE"))]);
    assert_eq!(bench.seen.lock().expect("whole").len(), 1, "the crew hears nothing of it");
    assert_eq!(bench.lines("read").iter().filter(|read| !read["hits"].as_array().expect("hits").is_empty()).count(), 2);
}

#[test]
fn a_hit_of_a_list_that_is_not_for_this_crew_is_on_record_and_nobody_is_told() {
    for (roles, told) in [(vec![], 0), (vec!["constable".to_owned()], 0), (vec!["Sergeant".to_owned()], 1)] {
        let settings = Settings { audience: vec!["sergeant".into()], ..Settings::default() };
        let bench = Bench { roles: roles.clone(), settings, ..Bench::new() };
        hear(bench.worker("vrm,reason\nAB12CDE,stolen\n", true, silent()), vec![put_out(read(1, "AB12CDE"))]);
        assert_eq!(bench.seen.lock().expect("whole").len(), told, "{roles:?}");
        assert_eq!(bench.lines("read")[0]["hits"].as_array().map(Vec::len), Some(1), "journal and office get it");
    }
}

#[test]
fn a_plate_laid_out_like_another_country_s_speaks_against_the_hit() {
    for (country, grade, against) in
        [("GB", Grade::Certain, ""), ("", Grade::Certain, ""), ("F", Grade::Possible, "contradicted")]
    {
        let bench = Bench::new();
        let list = format!("vrm,reason,country\nAB12CDE,stolen,{country}\n");
        hear(bench.worker(&list, true, silent()), vec![put_out(read(1, "AB12CDE"))]);
        assert_eq!(*bench.seen.lock().expect("whole"), [(grade, against.to_owned())], "{country:?}");
        let said = bench.lines("read")[0]["hits"][0]["against"].to_string();
        let expected = "the plate is laid out like one of GB, the entry is of F";
        assert_eq!(said.contains(expected), country == "F", "{said}");
    }
}

#[test]
fn a_doubtful_read_is_probable_where_the_list_says_so_and_sounds_like_it() {
    // Read as AB12CDF, but for a hair; the list takes what is more likely than not for probable.
    let mut doubtful = read(1, "AB12CDF");
    let last = doubtful.characters.last_mut().expect("a character");
    *last = Character { p: [0.0; plate::ALPHABET_SIZE] };
    last.p[plate::index_of('F').expect("F")] = 0.5;
    last.p[plate::index_of('E').expect("E")] = 0.499;
    doubtful.confidence = doubtful.characters.iter().map(|character| character.best().1).product();
    for (thresholds, expected) in [
        (Thresholds { certain: 0.9, probable: 0.5, possible: 0.3 }, Grade::Probable),
        (Thresholds { certain: 0.1, probable: 0.1, possible: 0.1 }, Grade::Probable),
        (Thresholds { certain: 0.99, probable: 0.98, possible: 0.3 }, Grade::Possible),
    ] {
        let settings = Settings { thresholds, tone: Tone::Bell, ..Settings::default() };
        let bench = Bench { settings, ..Bench::new() };
        let card = Recorder::default();
        let on = config::Sound { enabled: true, volume: 1.0, voice: None };
        let clock: Shared = bench.clock.clone();
        let speaker = Speaker::start(&on, clock, Box::new(card.clone()), |_, _| {}).expect("started");
        hear(bench.worker("vrm,reason\nAB12CDE,stolen\n", true, speaker), vec![put_out(doubtful.clone())]);
        let seen = bench.seen.lock().expect("whole").clone();
        assert_eq!(seen.iter().map(|(grade, _)| *grade).collect::<Vec<_>>(), [expected], "{thresholds:?}");
        assert!(seen[0].1.contains("not read as the listed plate: AB12CDE"), "{seen:?}");
        let played = card.0.lock().expect("whole").clone();
        // The words follow the tone.
        let tone = crate::alert::tone(Tone::Bell, expected);
        assert!(played.len() == 1 && played[0].starts_with(&tone) && played[0].len() > tone.len(), "{thresholds:?}");
    }
}

#[test]
fn the_driver_s_table_chooses_the_voice_of_the_tone_and_that_nobody_approved_it_is_on_record() {
    let table = include_str!("../../../vehicle-config/driver/symbols.toml");
    for (approval, said) in [("", "NOT APPROVED"), ("by a test", "approved: by a test")] {
        let table = table.replace("tone = \"list\"", "tone = \"reed\"");
        let table = table.replace("approval = \"\"", &format!("approval = {approval:?}"));
        let chart = Some(Arc::new(Chart::parse(&table).expect("valid")));
        let bench = Bench { chart, ..Bench::new() };
        let card = Recorder::default();
        let clock: Shared = bench.clock.clone();
        let on = config::Sound { enabled: true, volume: 1.0, voice: None };
        let speaker = Speaker::start(&on, clock, Box::new(card.clone()), |_, _| {}).expect("started");
        let fault = Fault::new(Kind::Unavailable, "cannot open the driver's window");
        let news = vec![put_out(read(1, "AB12CDE")), News::Driver(fault)];
        hear(bench.worker("vrm,reason\nAB12CDE,stolen\n", true, speaker), news);
        let played = card.0.lock().expect("whole").clone();
        assert!(played[0].starts_with(&crate::alert::tone(Tone::Reed, Grade::Certain)));
        let note = bench.lines("note").remove(0)["text"].to_string();
        assert!(note.contains(said), "{note}");
        assert_eq!(bench.lines("fault")[0]["part"], "driver", "the alert went its way all the same");
    }
}

#[test]
fn an_alert_whose_entry_is_taken_off_its_list_is_withdrawn() {
    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\nCD34EFG,x\n", true, silent());
    worker.hear(put_out(read(1, "AB12CDE")));
    let hotlist = worker.lists();
    assert_eq!(worker.standing(), [crate::alert::Standing::Open]);
    let options = ImportOptions { produced: Some(start()), ..ImportOptions::default() };
    hotlist.import("pnc", &b"vrm,reason\nCD34EFG,x\n"[..], Path::new("list.csv"), &options).expect("imported");
    worker.stand_down();
    let time = super::super::clerk::clock_time(start(), start());
    // Nobody has signed this list: it was imported at the car.
    let why = format!("taken off pnc at revision 2 at {time}");
    assert_eq!(worker.standing(), [crate::alert::Standing::Withdrawn(why)]);
}

#[test]
fn an_alert_whose_entry_comes_to_say_something_else_is_withdrawn_with_what_it_says() {
    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\nCD34EFG,x\n", true, silent());
    worker.hear(put_out(read(1, "AB12CDE")));
    worker.hear(put_out(read(2, "CD34EFG")));
    let hotlist = worker.lists();
    let options = ImportOptions { produced: Some(start()), ..ImportOptions::default() };
    let import = |list: &[u8]| hotlist.import("pnc", list, Path::new("list.csv"), &options).expect("imported");
    // Other words about the vehicle are no other reason.
    import(b"vrm,reason,colour\nAB12CDE,Stolen,RED\nCD34EFG,x,\n");
    worker.stand_down();
    assert_eq!(worker.standing(), [crate::alert::Standing::Open, crate::alert::Standing::Open]);
    import(b"vrm,reason\nAB12CDE,RECOVERED\nCD34EFG,x\n");
    worker.stand_down();
    let time = super::super::clerk::clock_time(start(), start());
    let why = format!("now listed as recovered at {time}");
    assert_eq!(worker.standing(), [crate::alert::Standing::Open, crate::alert::Standing::Withdrawn(why)]);
}

#[test]
fn what_another_crew_found_false_is_never_certain_and_is_said_beside_the_hit() {
    use crate::hotlist::{Judgement, Verdict as Found, Verdicts};
    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\nCD34EFG,stolen\nEF56GHJ,stolen\n", true, silent());
    worker.hear(put_out(read(1, "AB12CDE")));
    assert_eq!(worker.current().expect("an alert").grade, Grade::Certain);
    let found = |unit: &str, vrm: &str, judgement| Found {
        unit: unit.into(),
        utc: start(),
        list: "pnc".into(),
        mark: vrm.into(),
        text: vrm.into(),
        judgement,
    };
    let verdicts = vec![
        found("EX-02", "AB12CDE", Judgement::False),
        found("EX-02", "CD34EFG", Judgement::True),
        found("EX-01", "EF56GHJ", Judgement::False),
    ];
    worker.lists().hear("EX-01", Verdicts { revision: 1, verdicts });
    worker.hear(News::Lists);
    worker.stand_down();

    // The alert that stands is doubtful from now on, in words, on the screen and should it be said again.
    let time = start().with_timezone(&chrono::Local).format("%H:%M").to_string();
    let alert = worker.current().expect("an alert");
    assert_eq!(
        (alert.grade, alert.against.as_slice()),
        (Grade::Possible, &[format!("EX-02 found this false, {time}")][..])
    );
    assert!(alert.spoken.starts_with("Possible stolen. Contradicted. "), "{}", alert.spoken);
    // So is the same vehicle when it passes again, even when it is sure of everything else.
    worker.hear(put_out(read(2, "AB12CDE")));
    let alert = worker.current().expect("an alert");
    assert_eq!((alert.grade, alert.count, alert.against.len()), (Grade::Possible, 2, 1));
    assert!(alert.spoken.starts_with("Possible stolen. Contradicted. "), "{}", alert.spoken);

    // What another crew confirmed is said, and makes nothing surer; what this crew found is no news to it.
    worker.hear(put_out(read(3, "CD34EFG")));
    let alert = worker.current().expect("an alert");
    assert_eq!((alert.text.as_str(), alert.grade), ("CD34EFG", Grade::Certain));
    assert!(alert.entry_freshness.ends_with(&format!("; EX-02 confirmed this, {time}")), "{}", alert.entry_freshness);
    worker.hear(put_out(read(4, "EF56GHJ")));
    assert!(worker.standing().len() == 3 && worker.current().expect("an alert").grade == Grade::Certain);
}

#[test]
fn a_later_version_of_a_read_that_says_the_same_is_no_second_hit() {
    let bench = Bench::new();
    let list = "vrm,reason\nAB12CDE,stolen\n";
    let versions = ["AB12CDE", "AB12CDE", "AB12CDF", "AB12CDE"].map(|text| put_out(read(1, text)));
    hear(bench.worker(list, true, silent()), Vec::from(versions));
    let reads = bench.lines("read");
    assert_eq!(reads[0]["versions"].as_array().map(Vec::len), Some(3), "every version is kept");
    assert_eq!(reads[0]["hits"].as_array().map(Vec::len), Some(1));

    // Another vehicle of the same VRM is another hit.
    let bench = Bench::new();
    hear(bench.worker(list, true, silent()), vec![put_out(read(1, "AB12CDE")), put_out(read(2, "AB12CDE"))]);
    assert_eq!(bench.lines("read").iter().filter(|read| !read["hits"].as_array().expect("hits").is_empty()).count(), 2);
}

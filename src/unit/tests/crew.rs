//! What the crew does: answers, searches, drills; and how long it waited for each alert.

use super::*;

#[test]
fn an_answer_is_kept_with_who_gave_it_and_what_it_rests_on() {
    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\nCD34EFG,stolen\n", true, silent());
    let answer = |alert, verdict| crate::screen::Answer { alert: AlertId(alert), verdict };
    for news in [
        put_out(read(1, "AB12CDE")),
        touched(Touch::SignOn { number: "4512".into(), pin: None }),
        touched(Touch::Answered(answer(1, Verdict::Confirmed))),
        touched(Touch::Because(answer(1, Verdict::Confirmed), "checked: plate, country".into())),
        touched(Touch::Because(answer(9, Verdict::Confirmed), "of no alert".into())),
        touched(Touch::SignOff),
        put_out(read(2, "CD34EFG")),
        touched(Touch::Answered(answer(2, Verdict::Misread))),
    ] {
        worker.hear(news);
    }
    let verdicts = bench.lines("verdict");
    let kept: Vec<[&str; 4]> = verdicts
        .iter()
        .map(|line| ["id", "verdict", "reason", "by"].map(|field| line[field].as_str().expect("text")))
        .collect();
    assert_eq!(
        kept,
        [
            ["1-1", "Confirmed", "", "4512"],
            ["1-1", "Confirmed", "checked: plate, country", "4512"],
            ["1-2", "Misread", "", ""],
        ]
    );
    let deeds = bench.deeds();
    let said: Vec<[&str; 3]> = deeds.iter().map(|[act, who, reason, ..]| [act.as_str(), who, reason]).collect();
    assert_eq!(
        said[1..],
        [
            ["signed on", "4512", "a shift"],
            ["judged", "4512", "an alert"],
            ["judged", "4512", "checked: plate, country"],
            ["signed off", "4512", "the crew"],
            ["judged", "nobody signed on", "an alert"],
        ]
    );
}

#[test]
fn a_search_is_on_record_and_finds_what_lists_and_journal_have() {
    use super::super::clerk::Brought;
    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason,make,colour\nAB12CDE,stolen,FORD,SILVER\n", true, silent());
    worker.hear(put_out(read(1, "AB12CDE")));
    worker.hear(put_out(read(2, "CD34EFG")));
    let found = |worker: &mut Worker, touch: Touch| {
        worker.hear(touched(touch));
        bench.hear_clerk(worker, |brought| matches!(brought, Brought::Found(_)));
        worker.found()
    };
    let search =
        |text: &str| Touch::Search { text: text.into(), purpose: "Crime report".into(), case: None, read: None };
    let both = found(&mut worker, search("ab12 cde"));
    let heads: Vec<(&str, bool)> = both.rows.iter().map(|row| (row.head.as_str(), row.entry)).collect();
    assert_eq!(heads.len(), 2, "{both:?}");
    assert_eq!((heads[0], heads[1].1), (("STOLEN", true), false));
    assert!(both.rows[0].line == "Silver Ford" && both.rows[1].line.contains("AB12 CDE"), "{both:?}");
    let some = found(&mut worker, search("C*"));
    assert!(some.rows.len() == 1 && some.rows[0].line.contains("CD34 EFG"), "{some:?}");
    assert!(found(&mut worker, search("ZZ99ZZZ")).message.contains("On no list"));

    // The crew's own entry counts at once, and is found.
    let case = Some("77/26".to_owned());
    let add = Touch::Add { text: "CD34EFG".into(), reason: "Failed to stop".into(), case, hours: 4 };
    let added = found(&mut worker, add);
    assert!(
        added.rows[0].entry && added.rows[0].head == "FAILED TO STOP" && added.rows[0].detail.contains("until"),
        "{added:?}"
    );
    worker.hear(put_out(read(3, "CD34EFG")));
    assert!(bench.seen.lock().expect("whole").len() >= 2, "it is alerted");
    let deeds = bench.deeds();
    let nobody = "nobody signed on";
    assert_eq!(deeds[1][..3], ["searched", nobody, "Crime report"].map(str::to_owned), "{deeds:?}");
    assert_eq!(deeds[4][..4], ["entered", nobody, "Failed to stop", "77/26"].map(str::to_owned), "{deeds:?}");
    assert!(!format!("{deeds:?}{:?}", bench.lines("note")).contains("AB12CDE"), "only the plate's keyed hash is kept");
    // Something that is no VRM is told as such, not looked for.
    worker.hear(touched(search("?*")));
    assert!(worker.found().message.contains("cannot be looked up"));
}

#[test]
fn a_drill_goes_the_way_of_every_hit_and_is_marked_wherever_it_arrives() {
    use super::super::clerk::Brought;
    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\n", true, silent());
    let drill = |worker: &mut Worker| {
        worker.hear(touched(Touch::Drill));
        bench.hear_clerk(worker, |brought| matches!(brought, Brought::DrillListed(_)));
    };
    drill(&mut worker);
    assert_eq!(worker.standing(), [crate::alert::Standing::Open], "it is an alert");
    let alert = worker.current().expect("on the screen");
    assert!(alert.drill && alert.headline == "TEST" && alert.spoken.starts_with("Drill. "), "{}", alert.spoken);
    worker.hear(News::Heard(alert.id, Moment::at(Duration::from_millis(80))));
    worker.hear(touched(Touch::Shown(alert.id, Moment::at(Duration::from_millis(90)))));
    worker.hear(touched(Touch::Drill));
    assert_eq!(worker.standing().len(), 1, "one at a time");
    let read = bench.lines("read").pop().expect("a read");
    assert!(read["drill"] == true && read["text"] == "DR01LLL", "{read}");
    assert!(read["hits"][0]["list"] == "crew" && read["hits"][0]["reason"] == "TEST", "{read}");
    // This bench has no camera that delivers and no office: the drill says so instead of going on for ever.
    bench.clock.advance(Duration::from_secs(31));
    worker.look_round();
    let note = bench.lines("note").pop().expect("a note")["text"].as_str().expect("text").to_owned();
    assert!(note.starts_with("drill: camera FAILED (nothing within 30 s), matching proved"), "{note}");
    assert!(note.contains("speaker proved (80 ms), screen proved (90 ms), uplink FAILED (no back office"), "{note}");
    // Answering ends it: nothing of it stays on the lists, no list's precision changes, and the next one is heard again.
    let answer = crate::screen::Answer { alert: alert.id, verdict: Verdict::Misread };
    worker.hear(touched(Touch::Answered(answer)));
    drill(&mut worker);
    assert_ne!(worker.current().expect("again").id, alert.id);
    let precision = worker.lists().precision("crew", start()).expect("read");
    assert_eq!((precision.true_hits, precision.false_hits, precision.silenced), (0, 0, 0));
    assert!(bench.lines("read").iter().filter(|read| read["drill"] == true).count() == 2);
}

#[test]
fn how_long_the_crew_waited_is_on_record_for_every_alert_and_in_sum_at_the_end() {
    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\n", true, silent());
    bench.clock.advance(Duration::from_millis(70));
    worker.hear(put_out(read(1, "AB12CDE")));
    worker.hear(News::Heard(AlertId(1), Moment::at(Duration::from_millis(110))));
    worker.hear(touched(Touch::Shown(AlertId(1), Moment::at(Duration::from_millis(130)))));
    bench.clock.advance(Duration::from_secs(1));
    worker.look_round();
    let timings = bench.lines("timing");
    let told: Vec<[Option<f64>; 3]> = timings
        .iter()
        .map(|line| ["to_desk_ms", "to_sound_ms", "to_screen_ms"].map(|field| line[field].as_f64()))
        .collect();
    assert_eq!(told, [[Some(70.0), Some(110.0), Some(130.0)]]);
    let outcome = hear(worker, Vec::new());
    assert_eq!(outcome.latencies[0].to_screen, Some(Duration::from_millis(130)));
    let notes = bench.lines("note");
    let sum = notes.last().expect("a sum")["text"].as_str().expect("text").to_owned();
    assert_eq!(sum, "camera to alert: sound p50 110 p95 110 p99 110 ms of 1; screen p50 130 p95 130 p99 130 ms of 1");
    assert_eq!(bench.lines("timing").len(), 1, "once");
}

#[test]
fn two_hundred_alerts_in_a_minute_all_wait_for_the_crew_are_timed_and_are_on_record() {
    let bench = Bench::new();
    let texts: Vec<String> =
        (0..200).map(|n| format!("AB{:02}CD{}", n % 100, if n < 100 { 'E' } else { 'F' })).collect();
    let list: String = texts.iter().map(|text| format!("{text},stolen\n")).collect();
    let mut worker = bench.worker(&format!("vrm,reason\n{list}"), true, silent());
    for (text, pass) in texts.iter().zip(1..) {
        let at = bench.clock.now();
        worker.hear(put_out(Read { first_at: at, last_at: at, ..read(pass, text) }));
        worker.hear(News::Heard(AlertId(pass), at.plus(Duration::from_millis(20))));
        bench.clock.advance(Duration::from_millis(300));
        worker.look_round();
    }
    assert_eq!(worker.standing().len(), 200, "none is dropped, none is answered by the machine");
    let hits =
        bench.lines("read").iter().filter(|read| read["hits"].as_array().is_some_and(|hits| hits.len() == 1)).count();
    assert_eq!(hits, 200, "on record");
    let outcome = hear(worker, Vec::new());
    assert_eq!(
        outcome.latencies.iter().filter(|latency| latency.to_sound == Some(Duration::from_millis(20))).count(),
        200
    );
    assert_eq!(bench.lines("timing").len(), 200);
}

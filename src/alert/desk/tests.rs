use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn read(pass: u64) -> ReadId {
    ReadId { run: 1, pass }
}

fn at(seconds: u64) -> Moment {
    Moment::at(Duration::from_secs(seconds))
}

/// A sighting with nothing against it.
fn sure(entry: &str, seconds: u64) -> Sighting {
    Sighting { entry: entry.to_owned(), at: at(seconds), ..Sighting::made_up() }
}

fn desk() -> Desk {
    Desk::new(Policy::default())
}

#[test]
fn a_sure_sighting_is_certain_and_says_everything() {
    let mut desk = desk();
    let changes = desk.take(read(1), "AB12CDE", &[sure("e1", 10)], at(10));
    let [Change::Raised(alert)] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!((alert.grade, alert.doubt.as_str(), alert.headline.as_str()), (Grade::Certain, "", "STOLEN"));
    assert_eq!((alert.vehicle.as_str(), alert.action.as_str()), ("Silver Ford Focus", "Stop and detain"));
    assert_eq!(alert.sureness.weakest, Some((1, 'B', 0.91)));
    assert_eq!(
        (alert.entry_freshness.as_str(), alert.list_freshness.as_str()),
        ("entry confirmed 3 days ago", "list 2 h old")
    );
    assert!(changes[0].aloud());
    assert_eq!(desk.current().map(|a| a.id), Some(alert.id));
}

#[test]
fn repeats_fold_and_are_not_announced_within_a_minute() {
    let mut desk = desk();
    desk.take(read(1), "AB12CDE", &[sure("e1", 0)], at(0));
    let soon = desk.take(read(2), "AB12CDE", &[sure("e1", 59)], at(59));
    assert!(
        matches!(soon.as_slice(), [Change::Updated { alert, aloud: false }] if alert.count == 2 && alert.last_at == at(59))
    );
    let later = desk.take(read(3), "AB12CDE", &[sure("e1", 61)], at(61));
    assert!(
        matches!(later.as_slice(), [Change::Updated { alert, aloud: true }] if alert.count == 3 && alert.first_at == at(0))
    );
    assert_eq!(desk.waiting(), 1);
}

#[test]
fn versions_of_one_read_count_once() {
    let mut desk = desk();
    desk.take(read(1), "AB12CDE", &[sure("e1", 0)], at(0));
    let change = desk.take(read(1), "AB12CDE", &[sure("e1", 1)], at(1));
    assert!(matches!(change.as_slice(), [Change::Updated { alert, aloud: false }] if alert.count == 1));
}

#[test]
fn an_answered_alert_takes_in_repeats_for_five_minutes_only() {
    let mut desk = desk();
    let raised = desk.take(read(1), "AB12CDE", &[sure("e1", 0)], at(0));
    assert!(desk.answer(raised[0].alert().id, Verdict::Confirmed).is_some());
    assert!(desk.answer(raised[0].alert().id, Verdict::Misread).is_none(), "an answer is given once");
    let soon = desk.take(read(2), "AB12CDE", &[sure("e1", 200)], at(200));
    assert!(matches!(soon.as_slice(), [Change::Updated { aloud: false, .. }]));
    assert!(desk.current().is_none());
    let late = desk.take(read(3), "AB12CDE", &[sure("e1", 501)], at(501));
    assert!(matches!(late.as_slice(), [Change::Raised(_)]));
}

#[test]
fn a_vehicle_not_located_is_announced_when_seen_again() {
    let mut desk = desk();
    let raised = desk.take(read(1), "AB12CDE", &[sure("e1", 0)], at(0));
    desk.answer(raised[0].alert().id, Verdict::NotLocated);
    assert!(matches!(desk.take(read(2), "AB12CDE", &[sure("e1", 30)], at(30)).as_slice(), [Change::Raised(_)]));
}

#[test]
fn a_misread_is_not_repeated_but_a_better_read_is_announced() {
    let mut desk = desk();
    let weak = Sighting { how: How::Approximate, ..sure("e1", 0) };
    let raised = desk.take(read(1), "AB12CDF", std::slice::from_ref(&weak), at(0));
    desk.answer(raised[0].alert().id, Verdict::Misread);
    assert!(matches!(desk.take(read(2), "AB12CDF", &[weak], at(5)).as_slice(), [Change::Updated { aloud: false, .. }]));
    assert!(
        matches!(desk.take(read(3), "AB12CDE", &[sure("e1", 9)], at(9)).as_slice(), [Change::Raised(a)] if a.grade == Grade::Certain)
    );
}

#[test]
fn a_corrected_read_withdraws_its_alert() {
    let mut desk = desk();
    desk.take(read(1), "AB12CDE", &[sure("e1", 0)], at(0));
    let changes = desk.take(read(1), "AB12CDF", &[], at(1));
    let [Change::Withdrawn(alert)] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!(alert.standing, Standing::Withdrawn("plate now read as AB12CDF".to_owned()));
    assert_eq!(desk.waiting(), 1, "it stays, grey, until the crew has seen it");
    // The vehicle really comes: a withdrawn alert does not swallow it.
    assert!(matches!(desk.take(read(2), "AB12CDE", &[sure("e1", 3)], at(3)).as_slice(), [Change::Raised(_)]));
    assert_eq!(desk.current().map(|a| a.standing.clone()), Some(Standing::Open));
}

#[test]
fn a_corrected_read_of_another_entry_replaces_its_alert() {
    let mut desk = desk();
    let first = desk.take(read(1), "AB12CDE", &[sure("e1", 0)], at(0))[0].alert().id;
    let changes = desk.take(read(1), "AB12CDF", &[sure("e2", 0)], at(1));
    assert!(matches!(changes.as_slice(), [Change::Replaced { old, alert }] if *old == first && alert.entry == "e2"));
    assert_eq!(desk.waiting(), 1);
}

#[test]
fn a_correction_takes_back_one_pass_of_several_only() {
    let mut desk = desk();
    desk.take(read(1), "AB12CDE", &[sure("e1", 0)], at(0));
    desk.take(read(2), "AB12CDE", &[sure("e1", 2)], at(2));
    assert!(desk.take(read(2), "", &[], at(3)).is_empty());
    let current = desk.current().expect("still supported by the first pass");
    assert_eq!((current.count, &current.standing), (1, &Standing::Open));
}

#[test]
fn an_approximate_alert_becomes_certain_when_the_read_improves() {
    let mut desk = desk();
    let weak = Sighting { how: How::Approximate, probability: 0.7, grade: Grade::Possible, ..sure("e1", 0) };
    let raised = desk.take(read(1), "AB12CDF", &[weak], at(0));
    assert!(raised[0].alert().spoken.starts_with("Possible stolen."));
    let better = desk.take(read(1), "AB12CDE", &[sure("e1", 1)], at(1));
    assert!(matches!(better.as_slice(), [Change::Updated { alert, aloud: true }]
        if alert.grade == Grade::Certain && alert.text == "AB12CDE" && alert.spoken.starts_with("Stolen.")));
}

#[test]
fn an_approximate_hit_is_as_probable_as_its_list_says_and_never_certain() {
    for (of_hit, shown) in
        [(Grade::Certain, Grade::Probable), (Grade::Probable, Grade::Probable), (Grade::Possible, Grade::Possible)]
    {
        let sighting = Sighting { how: How::Approximate, grade: of_hit, ..sure("e1", 0) };
        let alert = Policy::default().alert(AlertId(1), read(1), "AB12CDF", &sighting);
        // Whatever its grade, what is said first is that it may be another vehicle.
        assert!(alert.grade == shown && alert.spoken.starts_with("Possible stolen."), "{of_hit:?}: {}", alert.spoken);
        assert!(alert.doubt.contains("not read as the listed plate: AB12CDE"), "{}", alert.doubt);
    }
    // What the list itself holds for doubtful is said so, however it matches.
    let doubtful = Sighting { grade: Grade::Possible, ..sure("e1", 0) };
    let alert = Policy::default().alert(AlertId(1), read(1), "AB12CDE", &doubtful);
    assert_eq!((alert.grade, alert.doubt.as_str()), (Grade::Possible, "plate badly read"));
    let absent = Sighting { how: How::Absent, ..sure("e1", 0) };
    let alert = Policy::default().alert(AlertId(1), read(1), "AB12CDE", &absent);
    assert_eq!((alert.grade, alert.doubt.as_str()), (Grade::Probable, "not listed where it should be"));
}

#[test]
fn a_weaker_repeat_does_not_hide_the_surer_sighting() {
    let mut desk = desk();
    desk.take(read(1), "AB12CDE", &[sure("e1", 0)], at(0));
    desk.take(read(2), "A812CDE", &[Sighting { how: How::Approximate, ..sure("e1", 4) }], at(4));
    let current = desk.current().expect("one alert");
    assert_eq!(
        (current.grade, current.text.as_str(), current.count, current.last_at),
        (Grade::Certain, "AB12CDE", 2, at(4))
    );
}

#[test]
fn vehicles_behind_one_pattern_are_told_apart() {
    let mut desk = desk();
    let pattern = |seconds| Sighting { how: How::Pattern, ..sure("e1", seconds) };
    desk.take(read(1), "AB12CDE", &[pattern(0)], at(0));
    desk.take(read(2), "AB12CDF", &[pattern(1)], at(1));
    assert_eq!(desk.waiting(), 2);
}

#[test]
fn the_queue_goes_by_grade_then_urgency_then_age_and_later_goes_last() {
    let mut desk = desk();
    let low = Sighting { priority: 3, ..sure("low", 0) };
    desk.take(read(1), "A1", &[low], at(0));
    let possible = Sighting { how: How::Approximate, grade: Grade::Possible, ..sure("possible", 1) };
    desk.take(read(2), "A2", &[possible], at(1));
    desk.take(read(3), "A3", &[sure("first", 2)], at(2));
    desk.take(read(4), "A4", &[sure("second", 3)], at(3));
    let order = |desk: &Desk| desk.queue().iter().map(|alert| alert.entry.clone()).collect::<Vec<_>>();
    assert_eq!(order(&desk), ["first", "second", "low", "possible"]);
    let first = desk.current().expect("one").id;
    desk.answer(first, Verdict::Later);
    assert_eq!(order(&desk), ["second", "low", "possible", "first"]);
    for alert in desk.queue() {
        desk.answer(alert.id, Verdict::Later);
    }
    assert!(desk.current().is_none() && desk.waiting() == 4);
    desk.recall();
    assert_eq!(desk.current().map(|alert| alert.entry.clone()), Some("first".to_owned()));
}

#[test]
fn an_entry_taken_off_turns_its_alert_grey() {
    let mut desk = desk();
    desk.take(read(1), "AB12CDE", &[sure("e1", 0)], at(0));
    let changes = desk.withdraw("e1", "by the office at 14:02: recovered", Some("the office"));
    assert!(matches!(changes.as_slice(), [Change::Withdrawn(alert)]
        if alert.standing == Standing::Withdrawn("by the office at 14:02: recovered".to_owned())
            && alert.spoken.starts_with("Stand down. Withdrawn by the office. ")));
    assert!(desk.withdraw("e1", "again", None).is_empty());
}

prop_compose! {
    fn any_sighting()(
        how in prop_oneof![Just(How::Exact), Just(How::Approximate), Just(How::Pattern), Just(How::Absent)],
        probability in prop_oneof![0.0f32..1.0, Just(f32::NAN)], grade in prop::sample::select(Grade::ALL.to_vec()),
        expired: bool, contradicted: bool, timed: bool, list_h in proptest::option::of(0u64..72), entry_d in proptest::option::of(0u64..200),
        entry in 0u8..6, seconds in 0u64..1_000,
    ) -> Sighting {
        Sighting {
            how, probability, grade, expired,
            utc: if timed { chrono::DateTime::from_timestamp(1_796_119_200, 0) } else { None },
            against: if contradicted { vec!["camera saw a white vehicle".to_owned()] } else { Vec::new() },
            list_age: list_h.map(|h| Duration::from_secs(h * 3_600)),
            entry_age: entry_d.map(|d| Duration::from_secs(d * 86_400)),
            ..sure(&format!("e{entry}"), seconds)
        }
    }
}

proptest! {
    #[test]
    fn doubt_never_looks_or_sounds_certain(sighting in any_sighting()) {
        let doubtful = sighting.how != How::Exact || sighting.expired || !sighting.against.is_empty() || sighting.utc.is_none()
            || sighting.probability.is_nan() || sighting.grade != Grade::Certain || sighting.list_age.is_none_or(|age| age > Duration::from_secs(86_400))
            || sighting.entry_age.is_some_and(|age| age > Duration::from_secs(90 * 86_400));
        let alert = Policy::default().alert(AlertId(1), read(1), "AB12CDE", &sighting);
        prop_assert_eq!(doubtful, alert.grade != Grade::Certain);
        prop_assert!(alert.grade <= sighting.grade);
        prop_assert_eq!(doubtful, alert.spoken.starts_with("Poss") || alert.spoken.starts_with("Prob"));
        prop_assert_eq!(doubtful, !alert.doubt.is_empty());
    }

    #[test]
    fn every_sighting_is_in_an_alert_and_none_vanishes_unanswered(sightings in proptest::collection::vec(any_sighting(), 1..60)) {
        let mut desk = desk();
        let mut raised = 0;
        let mut now = 0;
        for (pass, sighting) in sightings.iter().enumerate() {
            now += sighting.seconds_apart();
            let sighting = Sighting { at: at(now), ..sighting.clone() };
            let changes = desk.take(read(pass as u64), "AB12CDE", std::slice::from_ref(&sighting), at(now));
            prop_assert_eq!(changes.len(), 1);
            raised += usize::from(matches!(changes[0], Change::Raised(_)));
            prop_assert_eq!(desk.waiting(), raised, "nobody answered, so all still wait");
            prop_assert!(desk.queue().iter().any(|alert| alert.id == changes[0].alert().id));
        }
    }
}

impl Sighting {
    fn seconds_apart(&self) -> u64 {
        self.at.since_start().as_secs()
    }
}

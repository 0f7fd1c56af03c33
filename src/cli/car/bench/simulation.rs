//! How much weighing the looks finds that exact matching misses, and how often it is wrong: SIMULATED.

use chrono::Utc;
use fastrand::Rng;
use serde_json::{Value, json};

use super::made_up::{self, Confusions};
use crate::cli::car::read::round;
use crate::fault::Result;
use crate::hotlist::{Circumstances, Hit, Hotlist, How, Settings, Thresholds};
use crate::plate;

/// Reads.
const READS: usize = 100_000;
/// Vehicles on UK roads: of these a list of so many entries holds a share, and of the reads as many are listed.
const VEHICLES: f64 = 40e6;
/// Thresholds that the table has.
const TABLE: [f32; 9] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9];
/// Hits are asked for down to here, to see what could be found at all.
const FAINTEST: f32 = 0.001;
/// Reads among which one may be falsely a hit.
const ONE_FALSE_IN: usize = 10_000;

#[derive(Default, Clone, Copy)]
struct Row {
    found: u64,
    wrong: u64,
    /// Of those found: as many characters as the plate, fewer, more.
    by_length: [u64; 3],
}

/// What becomes of the vehicles that exact matching misses, whatever the threshold; each by length as above.
#[derive(Default)]
struct Ceiling {
    /// What is listed has hardly any share: the reader excludes it, or so much else is as likely.
    faint: [u64; 3],
    /// Another listed vehicle is at least as likely: whoever takes the likeliest takes the wrong one.
    rivalled: [u64; 3],
    /// It is the likeliest of the listed ones: found, if the threshold is low enough.
    foremost: [u64; 3],
}

/// Reads vehicles of which some are on `list`, with characters as the reader was measured to take them.
pub(super) fn run(hotlist: &Hotlist, list: &str, listed: &[String], entries: u64, random: &mut Rng) -> Result<Value> {
    let confusions = Confusions::measured()?;
    let thresholds = Thresholds { possible: FAINTEST, ..Thresholds::default() };
    hotlist.set(list, Settings { thresholds, ..Settings::default() })?;
    let at = Circumstances { utc: Utc::now(), timed: true, ..Circumstances::default() };
    let share = (entries as f64 / VEHICLES).min(0.5);
    let (mut of_listed, mut exact, mut exact_wrong, mut missed_by_length) = (0u64, 0u64, 0u64, [0u64; 3]);
    let mut rows = [Row::default(); TABLE.len()];
    let mut ceiling = Ceiling::default();
    // By read: how likely the wrong hit was that was likeliest, and the right one of a vehicle that exact matching misses.
    let (mut wrong_at, mut found_at): (Vec<f32>, Vec<f32>) = Default::default();
    for _ in 0..READS {
        let truth = if random.f64() < share {
            listed[random.usize(0..listed.len())].clone()
        } else {
            loop {
                let mark = made_up::mark(random);
                let known =
                    plate::Vrm::parse(&mark).is_ok_and(|vrm| hotlist.lookup(&vrm).is_ok_and(|l| holds(&l, list)));
                if !known {
                    break mark;
                }
            }
        };
        let is_listed = plate::Vrm::parse(&truth).is_ok_and(|vrm| hotlist.lookup(&vrm).is_ok_and(|l| holds(&l, list)));
        let truth = plate::fold(&truth);
        of_listed += u64::from(is_listed);
        let read = confusions.read(&truth, random);
        let hits = hotlist.match_at(&read, &at);
        let hits: Vec<_> = hits.iter().filter(|hit| hit.list.id == list).collect();
        let right = |mark: &str| plate::fold(mark) == truth;
        let found_exactly = hits.iter().any(|hit| hit.how == How::Exact && right(hit.entry.vrm.as_str()));
        exact += u64::from(found_exactly);
        let length = match read.text.len().cmp(&truth.len()) {
            std::cmp::Ordering::Equal => 0,
            std::cmp::Ordering::Less => 1,
            std::cmp::Ordering::Greater => 2,
        };
        missed_by_length[length] += u64::from(is_listed && !found_exactly);
        exact_wrong += u64::from(hits.iter().any(|hit| hit.how == How::Exact && !right(hit.entry.vrm.as_str())));
        let likeliest = |wanted: &dyn Fn(&Hit) -> bool| {
            hits.iter().copied().filter(|hit| wanted(hit)).map(|hit| hit.probability).fold(0.0, f32::max)
        };
        let of_right = likeliest(&|hit| hit.how == How::Probable && right(hit.entry.vrm.as_str()));
        wrong_at.push(likeliest(&|hit| hit.how == How::Probable && !right(hit.entry.vrm.as_str())));
        if is_listed && !found_exactly {
            found_at.push(of_right);
            let rival = likeliest(&|hit| !right(hit.entry.vrm.as_str()));
            let fate = match of_right {
                0.0 => &mut ceiling.faint,
                p if rival >= p => &mut ceiling.rivalled,
                _ => &mut ceiling.foremost,
            };
            fate[length] += 1;
        }
        for (row, threshold) in rows.iter_mut().zip(TABLE) {
            let mut probable = hits.iter().filter(|hit| hit.how == How::Probable && hit.probability >= threshold);
            let any_right = probable.clone().any(|hit| right(hit.entry.vrm.as_str()));
            row.found += u64::from(any_right && !found_exactly);
            row.by_length[length] += u64::from(any_right && !found_exactly);
            row.wrong += u64::from(probable.any(|hit| !right(hit.entry.vrm.as_str())));
        }
    }
    let missed = of_listed - exact;
    let percent = |count: u64| round(100.0 * count as f32 / missed.max(1) as f32, 1);
    // The lowest threshold that lets no more than one read in so many be falsely a hit.
    wrong_at.sort_unstable_by(|a, b| b.total_cmp(a));
    let threshold = wrong_at.get(READS / ONE_FALSE_IN).copied().unwrap_or(0.0);
    let found_there = found_at.iter().filter(|p| **p > threshold).count() as u64;
    let of = |fate: [u64; 3]| json!({"percent": percent(fate.iter().sum()), "same_length_shorter_longer": fate});
    let table: Vec<Value> = rows
        .iter()
        .zip(TABLE)
        .map(|(row, threshold)| {
            json!({
                "threshold": threshold,
                "recovered": row.found,
                "recovered_of_missed_percent": percent(row.found),
                "recovered_same_length_shorter_longer": row.by_length,
                "false_reads": row.wrong,
                "false_per_10000_reads": round(row.wrong as f32 * 1e4 / READS as f32, 2),
            })
        })
        .collect();
    Ok(json!({
        "note": "SIMULATED: made-up vehicles; characters as the reader took those of labelled photographs, one look each",
        "plates_measured": confusions.plates,
        "reads": READS,
        "listed_vehicles": of_listed,
        "found_exactly": exact,
        "missed_by_exact": missed,
        "missed_same_length_shorter_longer": missed_by_length,
        "exact_false_per_10000_reads": round(exact_wrong as f32 * 1e4 / READS as f32, 2),
        "ceiling_of_missed": {
            "faint": of(ceiling.faint),
            "another_listed_as_likely": of(ceiling.rivalled),
            "likeliest_of_the_listed": of(ceiling.foremost),
        },
        "at_one_false_in_10000_reads": {
            "threshold": round(threshold, 3),
            "recovered_of_missed_percent": percent(found_there),
        },
        "by_threshold": table,
    }))
}

fn holds(found: &[(crate::hotlist::ListHead, crate::hotlist::Entry)], list: &str) -> bool {
    found.iter().any(|(head, entry)| head.id == list && matches!(entry.vrm, crate::hotlist::Mark::Vrm(_)))
}

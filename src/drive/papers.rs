//! What goes with the film: the exact truth, the NMEA log and the hotlist.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::plan::{PAINTS, Pass, Plan, Track, stranger};
use super::scene::{PlateSeen, Scene};
use super::space::hull;
use crate::fault::{Fault, Kind, Result};

/// Narrowest plate in pixels that truth counts as seen.
const SMALL: f32 = 35.0;
/// Seconds of UTC since 1970 at second 0 of the film: 2026-11-23 15:20:00, an hour before dark.
const START: i64 = 1_795_447_200;

/// UTC at second 0 of the film.
pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(START, 0).unwrap_or(DateTime::UNIX_EPOCH)
}

/// Seconds of the film between which the receiver has no fix.
pub fn outage(plan: &Plan) -> [u32; 2] {
    let seconds = plan.seconds() as u32;
    let long = if seconds >= 30 { 9 } else { seconds / 3 };
    [(seconds - long) / 2, (seconds - long) / 2 + long]
}

/// The truth: a line for the drive, then one a pass, in the order in which the passes begin.
pub(crate) fn truth(plan: &Plan, scene: &Scene) -> String {
    let mut looks: Vec<Vec<(u64, [f32; 4])>> = vec![Vec::new(); plan.passes.len()];
    for frame in 0..plan.frames {
        for PlateSeen { pass, corners, clear } in scene.plates(frame) {
            let box_ = hull(&corners);
            if clear && box_[2] >= SMALL {
                looks[pass].push((frame, box_));
            }
        }
    }
    let at = |frame: u64| rounded(frame as f64 / f64::from(plan.fps), 3);
    let mut passes: Vec<(u64, Value)> = Vec::new();
    for (pass, looks) in plan.passes.iter().zip(&looks) {
        let (Some(first), Some(last)) = (looks.first(), looks.last()) else { continue };
        let largest = looks.iter().max_by(|a, b| a.1[2].total_cmp(&b.1[2])).unwrap_or(first);
        let boxes: Vec<Value> = looks
            .iter()
            .filter(|l| l.0 % 3 == 0)
            .map(|(frame, b)| {
                let b = b.map(|v| rounded(f64::from(v), 1));
                json!([frame, b[0], b[1], b[2], b[3]])
            })
            .collect();
        let middle = (first.0 + last.0) as f32 / 2.0 / plan.fps as f32;
        let line = json!({
            "pass": 0,
            "text": pass.plate.text(),
            "country": "GB",
            "file": pass.car.shape.name(),
            "t0": at(first.0),
            "t1": at(last.0),
            "max_plate_px": rounded(f64::from(largest.1[2]), 1),
            "native_plate_px": rounded(f64::from(largest.1[2]), 1),
            "night": plan.daylight(middle) < 0.35,
            "closing_s": rounded(largest.0.abs_diff(first.0).max(1) as f64 / f64::from(plan.fps), 3),
            "mode": mode(pass),
            "shutter_s": 0.0,
            "boxes": boxes,
        });
        passes.push((first.0, line));
    }
    passes.sort_by_key(|(frame, _)| *frame);
    let [o0, o1] = outage(plan);
    let utc = |t: u32| (start() + TimeDelta::seconds(i64::from(t))).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let nights = passes.iter().filter(|p| p.1["night"] == true).count() as f64 / passes.len().max(1) as f64;
    let mut text = json!({ "drive": {
        "video": "drive.mp4",
        "nmea": "drive.nmea",
        "size": [plan.width, plan.height],
        "fps": plan.fps,
        "frames": plan.frames,
        "duration_s": rounded(f64::from(plan.seconds()), 3),
        "passes": passes.len(),
        "country": "GB",
        "seed": plan.seed,
        "night": rounded(nights, 2),
        "start_utc": utc(0),
        "outage": { "t0": o0, "t1": o1, "utc0": utc(o0), "utc1": utc(o1) },
    }})
    .to_string();
    text.push('\n');
    for (number, (_, mut line)) in passes.into_iter().enumerate() {
        line["pass"] = number.into();
        text.push_str(&line.to_string());
        text.push('\n');
    }
    text
}

fn mode(pass: &Pass) -> &'static str {
    match pass.track {
        Track::Parked { .. } => "parked",
        Track::Oncoming { .. } => "oncoming",
        Track::Ahead(_) => "ahead",
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let k = 10_f64.powi(digits);
    (value * k).round() / k
}

/// One fix a second, RMC and GGA, along a made-up way at the speed of the film; void during the outage.
pub(crate) fn nmea(plan: &Plan) -> String {
    let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0x9b5);
    let (mut latitude, mut longitude) = (51.700_000_f64, 0.860_000_f64);
    let turn = rng.f64() * 6.0;
    let [dark, light] = outage(plan);
    let mut text = String::new();
    for t in 0..=plan.seconds() as u32 {
        let heading = 62.0 + 14.0 * (f64::from(t) / 23.0 + turn).sin();
        let speed = f64::from(plan.speed(t as f32));
        latitude += speed * heading.to_radians().cos() / 111_320.0;
        longitude += speed * heading.to_radians().sin() / (111_320.0 * latitude.to_radians().cos());
        let now = start() + TimeDelta::seconds(i64::from(t));
        let (hms, dmy) = (now.format("%H%M%S.00"), now.format("%d%m%y"));
        if (dark..light).contains(&t) {
            sentence(&mut text, &format!("GPRMC,{hms},V,,,,,,,{dmy},,,N"));
            sentence(&mut text, &format!("GPGGA,{hms},,,,,0,00,99.99,,,,,,"));
            continue;
        }
        // A fix wanders by a metre or so.
        let [up, right] = [rng.f64(), rng.f64()].map(|r| (r - 0.5) * 2.0 / 111_320.0);
        let place = format!("{},N,{},E", minutes(latitude + up, 2), minutes(longitude + right * 1.6, 3));
        let satellites = 8 + t % 3;
        sentence(&mut text, &format!("GPRMC,{hms},A,{place},{:.2},{heading:.2},{dmy},,,A", speed * 1.943_844));
        sentence(&mut text, &format!("GPGGA,{hms},{place},1,{satellites:02},0.9,12.4,M,45.8,M,,"));
    }
    text
}

/// Degrees and minutes as NMEA writes them, with `digits` digits of degrees.
fn minutes(degrees: f64, digits: usize) -> String {
    let units = (degrees.abs() * 6_000_000.0).round() as u64;
    format!("{:0digits$}{:08.5}", units / 6_000_000, (units % 6_000_000) as f64 / 100_000.0)
}

fn sentence(text: &mut String, body: &str) {
    let checksum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    // Writing to a String cannot fail.
    let _ = write!(text, "${body}*{checksum:02X}\r\n");
}

/// One line of the list.
struct Entry<'a> {
    vrm: String,
    reason: &'a str,
    priority: &'a str,
    action: &'a str,
    vehicle: [&'a str; 3],
    markers: &'a str,
    confirmed: &'a str,
    note: &'a str,
}

/// The hotlist: a handful that the drive meets among some hundred that it does not.
pub(crate) fn hotlist(plan: &Plan) -> Result<String> {
    let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0x407);
    let met = |shape: &str, paint: &str, which: usize| {
        plan.passes
            .iter()
            .filter(|p| p.car.shape.name() == shape && PAINTS[p.car.paint].0 == paint)
            .nth(which)
            .map(|p| p.plate.text())
            .ok_or_else(|| Fault::new(Kind::Internal, format!("the drive has no {paint} {shape} for its hotlist")))
    };
    let mut entries = vec![
        Entry {
            vrm: met("hatchback", "BLUE", 0)?,
            reason: "STOLEN",
            priority: "high",
            action: "STOP",
            vehicle: ["FORD", "FIESTA", "BLUE"],
            markers: "",
            confirmed: "2026-11-23",
            note: "Taken overnight, keys in the car",
        },
        Entry {
            vrm: met("saloon", "BLACK", 0)?,
            reason: "STOLEN",
            priority: "high",
            action: "STOP",
            vehicle: ["VOLKSWAGEN", "TRANSPORTER", "WHITE"],
            markers: "",
            confirmed: "2026-11-21",
            note: "A white van: a car with this mark wears a copy",
        },
        Entry {
            vrm: met("lorry", "BLUE", 0)?,
            reason: "STOLEN",
            priority: "medium",
            action: "STOP",
            vehicle: ["DAF", "LF", "BLUE"],
            markers: "",
            confirmed: "2021-03-02",
            note: "Not confirmed since it was added",
        },
        Entry {
            vrm: met("saloon", "SILVER", 1)?,
            reason: "INTELLIGENCE",
            priority: "medium",
            action: "SILENT",
            vehicle: ["VAUXHALL", "INSIGNIA", "SILVER"],
            markers: "DR",
            confirmed: "2026-11-18",
            note: "Observe and report, do not stop",
        },
        Entry {
            vrm: met("hatchback", "BLUE", 1)?,
            reason: "NO INSURANCE",
            priority: "low",
            action: "STOP",
            vehicle: ["PEUGEOT", "208", "BLUE"],
            markers: "",
            confirmed: "2026-11-22",
            note: "",
        },
    ];
    let worn: Vec<String> = plan.passes.iter().map(|p| p.plate.text()).collect();
    while entries.len() < 125 {
        let vrm = stranger(&mut rng);
        if worn.contains(&vrm) || entries.iter().any(|e| e.vrm == vrm) {
            continue;
        }
        let (reason, priority, action) = [
            ("STOLEN", "high", "STOP"),
            ("NO INSURANCE", "low", "STOP"),
            ("NO TAX", "low", "SILENT"),
            ("INTELLIGENCE", "medium", "SILENT"),
            ("FALSE PLATES", "medium", "STOP"),
        ][rng.usize(..5)];
        let [make, model] = [
            ["FORD", "FOCUS"],
            ["VAUXHALL", "CORSA"],
            ["TOYOTA", "YARIS"],
            ["BMW", "320"],
            ["NISSAN", "QASHQAI"],
            ["FORD", "TRANSIT"],
        ][rng.usize(..6)];
        let colour = PAINTS[rng.usize(..PAINTS.len())].0;
        let confirmed = ["2026-11-20", "2026-11-12", "2026-10-30", "2026-09-14"][rng.usize(..4)];
        let vehicle = [make, model, colour];
        entries.push(Entry { vrm, reason, priority, action, vehicle, markers: "", confirmed, note: "" });
    }
    rng.shuffle(&mut entries);

    let unwritten = |e: csv::Error| Fault::new(Kind::Internal, "the demo's hotlist cannot be written").because(e);
    let mut out = csv::Writer::from_writer(Vec::new());
    let header = [
        "vrm",
        "reason",
        "priority",
        "action",
        "make",
        "model",
        "colour",
        "markers",
        "source",
        "added",
        "confirmed",
        "expires",
        "note",
    ];
    out.write_record(header).map_err(unwritten)?;
    for e in &entries {
        let [make, model, colour] = e.vehicle;
        let added = if e.confirmed < "2026-01-01" { e.confirmed } else { "2026-09-01" };
        let row = [
            e.vrm.as_str(),
            e.reason,
            e.priority,
            e.action,
            make,
            model,
            colour,
            e.markers,
            "DEMO",
            added,
            e.confirmed,
            "2049-12-31",
            e.note,
        ];
        out.write_record(row).map_err(unwritten)?;
    }
    let bytes = out
        .into_inner()
        .map_err(|e| Fault::new(Kind::Internal, "the demo's hotlist cannot be written").because(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| Fault::new(Kind::Internal, "the demo's hotlist is not text").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_has_its_checksum_and_the_outage_is_void() {
        let plan = Plan::demo(1);
        let log = nmea(&plan);
        let mut seconds = 0;
        for line in log.split_terminator("\r\n") {
            let (body, sum) = line[1..].split_once('*').expect("a checksum follows");
            assert_eq!(format!("{:02X}", body.bytes().fold(0, |s, b| s ^ b)), sum);
            let fields: Vec<&str> = body.split(',').collect();
            if fields[0] == "GPRMC" {
                let [dark, light] = outage(&plan);
                assert_eq!(fields[2], if (dark..light).contains(&seconds) { "V" } else { "A" });
                seconds += 1;
            }
        }
        assert_eq!(seconds, 61);
        assert!(log.starts_with("$GPRMC,152000.00,A,51"), "{}", &log[..60]);
    }

    #[test]
    fn the_list_names_vehicles_of_the_drive_once_and_many_others() {
        let plan = Plan::demo(1);
        let list = hotlist(&plan).expect("it can be written");
        let mut reader = csv::Reader::from_reader(list.as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().map(|r| r.expect("a row")).collect();
        let met = |r: &&csv::StringRecord| plan.passes.iter().any(|p| p.plate.text() == r[0]);
        assert_eq!(rows.iter().filter(met).count(), 5);
        assert_eq!(rows.len(), 125);
        assert!(rows.iter().all(|r| crate::plate::Vrm::parse(&r[0]).is_ok()));
    }
}

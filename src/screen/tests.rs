//! The pages as pixels, against pictures that were looked at, and against rules. `OUTRIDER_NEW_SCREENS=1` draws the
//! references in `tests/screens` anew: look at them before they are committed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use image::{Rgb, RgbImage};

use super::*;
use crate::alert::{Alert, AlertId, Grade, Standing, Sureness};
use crate::clock::Moment;
use crate::recognise::{ReadId, Thumbnail};

/// A plate as a camera might see it: drawn, shrunk, greyed.
fn patch(text: &str) -> Arc<Thumbnail> {
    let plate = plate::draw(text, None, 40, true).expect("drawn");
    let rgb = plate.rgba.chunks_exact(4).flat_map(|p| [p[0] / 2 + 40, p[1] / 2 + 40, p[2] / 2 + 30]).collect();
    Arc::new(Thumbnail { width: plate.width as usize, height: plate.height as usize, rgb })
}

/// Sky, road and a box of a vehicle.
fn scene(width: usize, height: usize, night: bool) -> Arc<Thumbnail> {
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let (fx, fy) = (x as f32 / width as f32, y as f32 / height as f32);
            let body = (0.36..0.64).contains(&fx) && (0.45..0.8).contains(&fy);
            let plate = (0.45..0.55).contains(&fx) && (0.66..0.705).contains(&fy);
            let pixel: [u8; 3] = match (plate, body, fy < 0.5) {
                (true, ..) => [230, 200, 60],
                (_, true, _) => [120, 126, 134],
                (_, _, true) => [150, 180, 205],
                _ => [88, 90, 92],
            };
            rgb.extend(pixel.map(|c| if night { c / 3 } else { c }));
        }
    }
    Arc::new(Thumbnail { width, height, rgb })
}

fn line(text: &str, when: &str, confidence: f32) -> ReadLine {
    ReadLine {
        text: text.to_owned(),
        patch: patch(text),
        when: when.to_owned(),
        camera: "front".into(),
        confidence,
        weak: (confidence < 0.9).then_some(2),
        place: if confidence < 0.8 { "no position".to_owned() } else { String::new() },
        hit: text == "AB01CDE",
    }
}

/// VRMs with the year numbers 00, 01 and 50, which were never issued.
fn patrol(cameras: usize, night: bool) -> View {
    let names = ["front", "rear", "left", "right"];
    let tile = |name: &&str| CameraTile {
        name: (*name).to_owned(),
        state: State::Ok,
        detail: "25 frames/s, none dropped".to_owned(),
        picture: Some(scene(608, 342, night)),
        boxes: vec![[0.45, 0.66, 0.10, 0.045]],
    };
    let mut status: Vec<StatusItem> = names.iter().take(cameras).map(|n| StatusItem::ok(view::sentence(n), "25 /s", "")).collect();
    status.push(StatusItem::ok("Position", "fixed", "9 satellites, 0.9 s old"));
    status.push(StatusItem::ok("Sound", "ready", ""));
    status.push(StatusItem::ok("Network", "online", ""));
    status.push(StatusItem::warn("Lists", "31 h", "National list brought up to date 31 h ago; exact hits are no longer certain"));
    status.push(StatusItem::ok("Unsent", "0", ""));
    View {
        now: Moment::at(Duration::from_secs(100)),
        night,
        cameras: names.iter().take(cameras).map(tile).collect(),
        reads: vec![
            line("XY50ZZT", "14:02:11", 0.97),
            line("AB01CDE", "14:02:07", 0.98),
            line("A123BCD", "14:02:02", 0.74),
            line("WV00UTS", "14:01:58", 0.99),
            line("JIL1234", "14:01:41", 0.93),
            line("TOO01LNG", "14:01:30", 0.93),
        ],
        alert: None,
        waiting: 0,
        status,
        summary: "132 reads, 2 hits since 13:05".to_owned(),
    }
}

fn alert(grade: Grade, night: bool) -> Alert {
    let doubtful = grade == Grade::Possible;
    Alert {
        id: AlertId(7),
        grade,
        standing: Standing::Open,
        read: ReadId { run: 1, pass: 9 },
        entry: "national/17".to_owned(),
        priority: 1,
        text: "AB01CDE".to_owned(),
        listed: "AB01CDE".to_owned(),
        spoken: String::new(),
        headline: "STOLEN".to_owned(),
        doubt: match grade {
            Grade::Certain => String::new(),
            Grade::Probable => "list 31 h old".to_owned(),
            Grade::Possible => "not the listed plate: AB01COE; contradicted".to_owned(),
        },
        action: "Stop and detain".to_owned(),
        vehicle: "Silver Ford Focus".to_owned(),
        sureness: Sureness {
            probability: if doubtful { 0.58 } else { 0.983 },
            weakest: Some((5, 'D', if doubtful { 0.61 } else { 0.985 })),
        },
        against: if doubtful { vec!["camera saw a white vehicle".to_owned()] } else { Vec::new() },
        entry_freshness: "entry confirmed 3 days ago".to_owned(),
        list_freshness: if grade == Grade::Probable { "list 31 h old".to_owned() } else { "list 2 h old".to_owned() },
        camera: "front".into(),
        first_at: Moment::at(Duration::from_secs(80)),
        last_at: Moment::at(Duration::from_secs(96)),
        when: "14:02:07".to_owned(),
        count: if doubtful { 3 } else { 1 },
        patch: patch("AB01CDE"),
        overview: scene(320, 180, night),
        drill: false,
    }
}

fn alerted(alert: Alert, waiting: usize, night: bool) -> View {
    View { alert: Some(Arc::new(alert)), waiting, ..patrol(1, night) }
}

/// Every page in the states that matter.
fn pages() -> Vec<(&'static str, View)> {
    let lost = {
        let mut view = patrol(2, false);
        view.cameras[1].state = State::Fault;
        view.cameras[1].detail = "No picture for 12 s: the device is gone. Check its cable.".to_owned();
        view.status[1] = StatusItem::fault("Rear", "lost", "No picture for 12 s: the device is gone. Check its cable.");
        view.status[3] = StatusItem::fault("Sound", "none", "No sound device. Plug in a loudspeaker.");
        view.waiting = 2;
        view
    };
    let withdrawn = Alert { standing: Standing::Withdrawn("recovered 14:02, stand down".to_owned()), ..alert(Grade::Certain, false) };
    let mut faulty = alerted(Alert { drill: true, ..alert(Grade::Certain, true) }, 1, true);
    faulty.status[2] = StatusItem::fault("Sound", "none", "No sound device.");
    vec![
        ("patrol-day", patrol(1, false)),
        ("patrol-night", patrol(1, true)),
        ("patrol-two", patrol(2, true)),
        ("patrol-four", patrol(4, false)),
        ("patrol-faults", lost),
        ("patrol-empty", View::default()),
        ("alert-certain-day", alerted(alert(Grade::Certain, false), 3, false)),
        ("alert-certain-night", faulty),
        ("alert-probable-day", alerted(alert(Grade::Probable, false), 1, false)),
        ("alert-possible-day", alerted(alert(Grade::Possible, false), 1, false)),
        ("alert-possible-night", alerted(alert(Grade::Possible, true), 2, true)),
        ("alert-withdrawn", alerted(withdrawn, 1, false)),
    ]
}

/// The share of pixels that differ visibly.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    if a.dimensions() != b.dimensions() {
        return 1.0;
    }
    let differs = |(p, q): (&Rgb<u8>, &Rgb<u8>)| p.0.iter().zip(q.0).any(|(x, y)| x.abs_diff(y) > 24);
    a.pixels().zip(b.pixels()).filter(|pair| differs(*pair)).count() as f64 / f64::from(a.width() * a.height())
}

#[test]
fn every_page_looks_as_it_did_when_it_was_looked_at() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screens");
    let anew = std::env::var_os("OUTRIDER_NEW_SCREENS").is_some();
    let mut wrong = Vec::new();
    for (name, view) in pages() {
        for (width, height) in [(1024, 600), (1280, 800)] {
            let painted = paint(&view, width, height).expect("painted");
            let path = folder.join(format!("{name}-{width}.png"));
            if anew {
                painted.save(&path).expect("written");
                continue;
            }
            let seen = image::open(&path).map(|image| image.to_rgb8());
            let share = seen.map_or(1.0, |seen| difference(&painted, &seen));
            if share > 0.002 {
                let kept = std::env::temp_dir().join(format!("outrider-{name}-{width}.png"));
                painted.save(&kept).expect("written");
                wrong.push(format!("{name} {width}x{height}: {:.2} % differ, see {}", share * 100.0, kept.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

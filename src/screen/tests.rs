//! The pages as pixels, against pictures that were looked at, and against rules. `OUTRIDER_NEW_SCREENS=1` draws the
//! references in `tests/screens` anew: look at them before they are committed.

mod buttons;
mod driver;
mod touches;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use image::{Rgb, RgbImage};

use super::*;
use crate::alert::{Alert, AlertId, Grade, Standing, Sureness, Verdict};
use crate::clock::Moment;
use crate::hotlist::{Colour, Tone};
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
        id: ReadId { run: 1, pass: 1 },
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
    let mut status: Vec<StatusItem> =
        names.iter().take(cameras).map(|n| StatusItem::ok(view::sentence(n), "25 /s", "")).collect();
    status.push(StatusItem::ok("Position", "fixed", "9 satellites, 0.9 s old"));
    status.push(StatusItem::ok("Sound", "ready", ""));
    status.push(StatusItem::ok("Network", "online", ""));
    status.push(StatusItem::warn(
        "Lists",
        "31 h",
        "National list brought up to date 31 h ago; exact hits are no longer certain",
    ));
    status.push(StatusItem::ok("Unsent", "0", ""));
    status.push(StatusItem::ok("Crew", "4512", "signed on since 13:05"));
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
        notice: Notice::default(),
        no_reads: String::new(),
        lists: vec![
            list(
                "National list",
                "4812330 entries, revision 88",
                "31 h old",
                "its hits: 41 true, 6 false",
                State::Warn,
            ),
            list("Force list", "1204 entries, revision 1019", "12 min old", "its hits: 12 true, 0 false", State::Ok),
            list("The crew's own", "1 entry, revision 3", "2 h old", "", State::Ok),
        ],
        figures: vec![
            StatusItem::ok("Camera to sound", "p95 148 ms", "p50 96, p99 171, of 41"),
            StatusItem::ok("Camera to screen", "p95 163 ms", "p50 110, p99 188, of 41"),
            StatusItem::ok("Reads in the last minute", "38", ""),
            StatusItem::ok("Frames dropped", "12", "of 184220"),
            StatusItem::warn("Not yet at the office", "204", "the oldest 18 min old"),
            StatusItem::ok("Disk", "41 GB free", "64 % of it"),
            StatusItem::ok("Temperature", "61 °C", "the hottest part"),
            StatusItem::warn("People", "12 people", "until 3 December"),
            StatusItem::ok("Front camera: lens and aim", "good", ""),
            StatusItem::warn("Rear camera: lens and aim", "check", "no plate in 14 min of driving"),
        ],
        shift: Shift {
            who: "4512".to_owned(),
            since: "Since 13:05".to_owned(),
            role: "crew".to_owned(),
            asks_pin: false,
            holds_alerts: false,
            checking: false,
            refused: String::new(),
            wait_s: 0,
            drill: "The drill found a fault".to_owned(),
            checks: vec![
                StatusItem::ok("Camera", "proved", "2 of 2 live"),
                StatusItem::ok("Matching", "proved", "1 ms"),
                StatusItem::ok("Speaker", "proved", "31 ms"),
                StatusItem::ok("Screen", "proved", "44 ms"),
                StatusItem::fault("Uplink", "failed", "nothing within 30 s"),
            ],
        },
        sound: SoundSetting {
            level: 0.8,
            muted: Some(Grade::Possible),
            state: "Sound device: alerts are heard".to_owned(),
        },
        found: Some(Arc::new(found())),
        map: Arc::new(map()),
        locked: String::new(),
    }
}

fn list(name: &str, count: &str, age: &str, precision: &str, state: State) -> ListLine {
    let [name, count, age, precision] = [name, count, age, precision].map(str::to_owned);
    ListLine { name, count, age, precision, state }
}

fn found() -> Found {
    let row = |head: &str, line: &str, detail: &str, entry| {
        let [head, line, detail] = [head, line, detail].map(str::to_owned);
        FoundLine { head, line, detail, entry }
    };
    Found {
        text: "AB01CDE".to_owned(),
        message: String::new(),
        rows: vec![
            row("STOLEN", "Silver Ford Focus", "National list, confirmed 3 days ago, Stop and detain", true),
            row("14:02", "AB01 CDE, front camera", "51.50740, -0.12780", false),
            row("09:41", "AB01 CDE, rear camera", "51.49211, -0.11893", false),
            row("24 Nov 22:17", "AB01 CDE, front camera", "no position", false),
            row("24 Nov 21:55", "AB01 CDE, front camera", "51.50112, -0.14189", false),
        ],
    }
}

/// A drive around a few corners, with reads along it and two hits.
fn map() -> MapView {
    let at = |east: f64, north: f64| (51.5 + north / 111_195.0, -0.12 + east / 69_220.0);
    let way = [
        (-700.0, -420.0),
        (-300.0, -420.0),
        (-280.0, -60.0),
        (60.0, -60.0),
        (120.0, 260.0),
        (480.0, 280.0),
        (480.0, 0.0),
        (0.0, 0.0),
    ];
    let marks = [
        (-500.0, -410.0, None),
        (-290.0, -250.0, Some("WV00UTS")),
        (-100.0, -50.0, None),
        (90.0, 90.0, None),
        (300.0, 280.0, Some("AB01CDE")),
        (470.0, 120.0, None),
        (200.0, 10.0, None),
    ];
    let here = Here { at: at(0.0, 0.0), course: Some(270.0), word: "51.50000, -0.12000".to_owned(), old: false };
    MapView {
        track: way.iter().map(|(east, north)| Some(at(*east, *north))).collect(),
        marks: marks
            .iter()
            .map(|(east, north, hit)| MapMark { at: at(*east, *north), hit: hit.map(str::to_owned) })
            .collect(),
        here: Some(here),
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
        tone: Tone::Horn,
        colour: Colour::None,
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

/// As long as it gets.
const LOCKED: &str = "/var/lib/outrider/journal.keys: the key file does not unlock the journal: \
                      /media/outrider-token/outrider.key is another one. Put the token in that this journal was locked with.";

/// Alert and patrol in the states that matter.
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
    let nobody = {
        let mut view = patrol(2, false);
        view.reads.clear();
        view.no_reads = "Reads are for the crew: sign on".to_owned();
        let crew = view.status.last_mut().expect("a strip");
        *crew =
            StatusItem::warn("Crew", "nobody", "nobody is signed on: alerts go on, reads are not shown. Menu, Shift");
        view
    };
    let told = View {
        notice: Notice {
            head: "From the office, 26 Nov 05:12".to_owned(),
            text: "Bridge at Exampleford closed until Friday: go by the A38. Radio channel 7 is out of use on nights."
                .to_owned(),
        },
        ..patrol(2, false)
    };
    let withdrawn = Alert {
        standing: Standing::Withdrawn("recovered 14:02, stand down".to_owned()),
        ..alert(Grade::Certain, false)
    };
    let mut faulty = alerted(Alert { drill: true, ..alert(Grade::Certain, true) }, 1, true);
    faulty.status[2] = StatusItem::fault("Sound", "none", "No sound device.");
    vec![
        ("patrol-day", patrol(1, false)),
        ("patrol-night", patrol(1, true)),
        ("patrol-two", patrol(2, true)),
        ("patrol-four", patrol(4, false)),
        ("patrol-faults", lost),
        ("patrol-empty", View::default()),
        ("patrol-nobody", nobody),
        ("patrol-notice", told),
        ("locked", View { locked: LOCKED.to_owned(), ..View::default() }),
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

/// As small as PNG gets: these files are kept for good.
fn save(picture: &RgbImage, path: &Path) {
    use image::codecs::png::{CompressionType, FilterType, PngEncoder};
    let file = std::io::BufWriter::new(std::fs::File::create(path).expect("created"));
    let encoder = PngEncoder::new_with_quality(file, CompressionType::Best, FilterType::NoFilter);
    picture.write_with_encoder(encoder).expect("written");
}

/// A way to bring the pages to a state.
type Prepare = fn(&face::Face);

/// The other pages in the states that matter.
fn other_pages() -> Vec<(&'static str, View, Prepare)> {
    fn search(face: &face::Face, step: ui::Step) {
        use slint::Global;
        face.open(Page::Search);
        face.begin_search("AB01CDE");
        ui::SearchData::get(&face.app).set_step(step);
    }
    let nowhere = View { map: Arc::default(), ..patrol(1, false) };
    let nobody = View {
        shift: Shift {
            drill: "A drill proves camera, matching, speaker, screen and uplink".to_owned(),
            ..Shift::default()
        },
        ..patrol(1, false)
    };
    fn signing_on(face: &face::Face, step: ui::SignStep) {
        use slint::Global;
        face.open(Page::Shift);
        let shift = ui::ShiftData::get(&face.app);
        shift.set_typing(true);
        shift.set_step(step);
        shift.set_name("4512".into());
    }
    let off = |refused: &str, wait_s| View {
        shift: Shift { asks_pin: true, refused: refused.to_owned(), wait_s, ..nobody.shift.clone() },
        ..nobody.clone()
    };
    let run_out = "Cannot sign on: the roll of people ran out on 14 December 2026 at 10:00 UTC. Bring the car to where it \
                   reaches the office: a new roll is handed down. Alerts go on meanwhile.";
    let technician = View {
        shift: Shift {
            who: "T9".to_owned(),
            role: "technician".to_owned(),
            holds_alerts: true,
            asks_pin: true,
            ..patrol(1, false).shift
        },
        ..patrol(1, false)
    };
    vec![
        ("shift-number", off("", 0), |face| signing_on(face, ui::SignStep::Number)),
        ("shift-pin", off("", 0), |face| {
            signing_on(face, ui::SignStep::Pin);
            ["4", "8", "0", "6"].iter().for_each(|key| face.pin_key(Some(key)));
        }),
        ("shift-wait", off("Number or PIN was wrong too often", 28), |face| face.open(Page::Shift)),
        ("shift-run-out", off(run_out, 0), |face| face.open(Page::Shift)),
        ("shift-technician", technician, |face| face.open(Page::Shift)),
        ("search-case", patrol(1, false), |face| search(face, ui::Step::Case)),
        ("menu", patrol(1, false), |face| face.open(Page::Menu)),
        ("search-keys", patrol(1, false), |face| search(face, ui::Step::Keys)),
        ("search-why", patrol(1, false), |face| search(face, ui::Step::Why)),
        ("search-found", patrol(1, false), |face| search(face, ui::Step::Found)),
        ("search-wanted", patrol(1, false), |face| search(face, ui::Step::Wanted)),
        ("search-until", patrol(1, false), |face| search(face, ui::Step::Until)),
        ("map", patrol(1, false), |face| face.open(Page::Map)),
        ("map-nowhere", nowhere, |face| face.open(Page::Map)),
        ("lists", patrol(1, false), |face| face.open(Page::Lists)),
        ("health", patrol(2, false), |face| face.open(Page::Health)),
        ("shift", patrol(1, false), |face| face.open(Page::Shift)),
        ("shift-nobody", nobody, |face| face.open(Page::Shift)),
        ("shift-sign-on", patrol(1, false), |face| {
            use slint::Global;
            face.open(Page::Shift);
            ui::ShiftData::get(&face.app).set_typing(true);
        }),
        ("sound", patrol(1, false), |face| face.open(Page::Sound)),
    ]
}

/// Every picture there is a reference for: its name and what is on it.
fn pictures(width: u32, height: u32) -> Vec<(String, RgbImage)> {
    let mut pictures = Vec::new();
    for (name, view) in pages() {
        pictures.push((name.to_owned(), paint(&view, width, height).expect("painted")));
    }
    for (name, view, prepare) in other_pages() {
        for night in [false, true] {
            let view = View { night, ..view.clone() };
            let name = format!("{name}-{}", if night { "night" } else { "day" });
            pictures.push((name, paint::paint_face(&view, width, height, prepare).expect("painted")));
        }
    }
    let shown = Arc::new(alert(Grade::Certain, false));
    let asked = alerted(Alert::clone(&shown), 1, false);
    for (name, verdict) in [("asked-confirmed", Verdict::Confirmed), ("asked-wrong-vehicle", Verdict::WrongVehicle)] {
        let asked = paint::on_canvas(width, height, |window| {
            use slint::ComponentHandle;
            let mut face = face::Face::new()?;
            face.app.show()?;
            slint::platform::update_timers_and_animations();
            face.show(&asked);
            face.ask(&shown, verdict, asked.now);
            face.asking().expect("it is asked").touched(0, asked.now);
            face.show_question();
            face.show(&asked);
            paint::pixels(window)
        });
        pictures.push((name.to_owned(), asked.expect("painted")));
    }
    pictures
}

#[test]
fn every_page_looks_as_it_did_when_it_was_looked_at() {
    for (width, height) in [(1024, 600), (1280, 800)] {
        compare(pictures(width, height), (width, height));
    }
}

/// Holds `pictures` against their references, or draws those anew.
#[track_caller]
fn compare(pictures: Vec<(String, RgbImage)>, (width, height): (u32, u32)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screens");
    let anew = std::env::var_os("OUTRIDER_NEW_SCREENS").is_some();
    let mut wrong = Vec::new();
    for (name, painted) in pictures {
        let path = folder.join(format!("{name}-{width}.png"));
        if anew {
            save(&painted, &path);
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
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The contrast of two colours as WCAG 2 defines it, 1 to 21.
fn contrast(a: slint::Color, b: slint::Color) -> f64 {
    let luminance = |c: slint::Color| {
        let linear = |v: u8| match f64::from(v) / 255.0 {
            v if v <= 0.040_45 => v / 12.92,
            v => ((v + 0.055) / 1.055).powf(2.4),
        };
        0.2126 * linear(c.red()) + 0.7152 * linear(c.green()) + 0.0722 * linear(c.blue())
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn every_text_stands_out_at_seven_to_one_by_day_and_by_night() {
    use slint::Global;
    paint::on_canvas(1024, 600, |_| {
        let face = face::Face::new()?;
        let theme = ui::Theme::get(&face.app);
        for night in [false, true] {
            theme.set_night(night);
            let grounds = [("ground", theme.get_ground()), ("surface", theme.get_surface())];
            let texts = [
                ("text", theme.get_text()),
                ("quiet", theme.get_quiet()),
                ("warn", theme.get_warn()),
                ("ok", theme.get_ok()),
            ];
            for (ground, under) in grounds {
                for (text, ink) in texts {
                    assert!(
                        contrast(ink, under) >= 7.0,
                        "{text} on {ground}, night {night}: {:.2}",
                        contrast(ink, under)
                    );
                }
            }
            for (name, ink, under) in [
                ("fault", theme.get_on_fault(), theme.get_fault()),
                ("confirm", theme.get_on_confirm(), theme.get_confirm()),
                ("certain", theme.get_on_certain(), theme.get_certain()),
                ("probable", theme.get_on_probable(), theme.get_probable()),
                ("possible", theme.get_on_possible(), theme.get_possible()),
                ("withdrawn", theme.get_on_withdrawn(), theme.get_withdrawn()),
                ("pressed", theme.get_text(), theme.get_pressed()),
            ] {
                assert!(contrast(ink, under) >= 7.0, "{name}, night {night}: {:.2}", contrast(ink, under));
            }
            // Shapes rather than text: 3:1.
            for (name, shape, under) in [
                ("hit", theme.get_hit(), theme.get_surface()),
                ("blue", theme.get_list_blue(), theme.get_ground()),
                ("green", theme.get_list_green(), theme.get_ground()),
                ("violet", theme.get_list_violet(), theme.get_ground()),
                ("grey", theme.get_list_grey(), theme.get_ground()),
            ] {
                assert!(contrast(shape, under) >= 3.0, "{name}, night {night}: {:.2}", contrast(shape, under));
            }
        }
        Ok(())
    })
    .expect("colours");
}

#[test]
fn the_colour_of_a_list_lies_beside_that_of_the_grade_and_never_in_its_place() {
    for night in [false, true] {
        for grade in Grade::ALL {
            let page = |colour| {
                let alert = Alert { colour, ..alert(grade, night) };
                paint(&alerted(alert, 1, night), 1024, 600).expect("painted")
            };
            let plain = page(Colour::None);
            let mut stripes = vec![*plain.get_pixel(512, 97)];
            for colour in Colour::ALL.into_iter().filter(|colour| *colour != Colour::None) {
                let page = page(colour);
                let same = |y: u32| (0..1024).all(|x| page.get_pixel(x, y) == plain.get_pixel(x, y));
                assert!((0..92).chain(104..600).all(same), "{grade:?} {colour:?}: only the stripe differs");
                stripes.push(*page.get_pixel(512, 97));
            }
            stripes.sort_by_key(|pixel| pixel.0);
            stripes.dedup();
            assert_eq!(stripes.len(), Colour::ALL.len(), "{grade:?}, night {night}: the colours differ");
        }
    }
}

//! The pages as pixels, against pictures that were looked at, and against rules. `OUTRIDER_NEW_SCREENS=1` draws the
//! references in `tests/screens` anew: look at them before they are committed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use image::{Rgb, RgbImage};

use super::*;
use crate::alert::{Alert, AlertId, Grade, Standing, Sureness};
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

/// The pages wired as in the window, on a canvas, with a finger.
struct Bench<'a> {
    canvas: &'a slint::platform::software_renderer::MinimalSoftwareWindow,
    face: std::rc::Rc<std::cell::RefCell<face::Face>>,
    handle: Handle,
    clock: Arc<crate::clock::SimulatedClock>,
    touches: std::sync::mpsc::Receiver<Touch>,
}

impl<'a> Bench<'a> {
    fn new(canvas: &'a slint::platform::software_renderer::MinimalSoftwareWindow) -> paint::Outcome<Self> {
        use slint::ComponentHandle;
        let clock = crate::clock::SimulatedClock::starting(chrono::DateTime::UNIX_EPOCH);
        let face = std::rc::Rc::new(std::cell::RefCell::new(face::Face::new()?));
        let app = face.borrow().app.as_weak();
        let handle = Handle::to(Some(app), &crate::config::Screen::default(), clock.clone());
        let (out, touches) = std::sync::mpsc::channel();
        window::connect(&face, &handle, clock.clone(), out);
        face.borrow().app.show()?;
        Ok(Self { canvas, face, handle, clock, touches })
    }

    fn update(&self, view: View) {
        self.handle.update(view);
        self.wake();
    }

    /// What the event loop of a real window does.
    fn wake(&self) {
        use slint::ComponentHandle;
        let app = self.face.borrow().app.clone_strong();
        app.invoke_wake();
        slint::platform::update_timers_and_animations();
    }

    /// Touches the page and gives what came out.
    fn touch(&self, x: f32, y: f32) -> Vec<Touch> {
        use slint::platform::{PointerEventButton, WindowEvent};
        let position = slint::LogicalPosition::new(x, y);
        let button = PointerEventButton::Left;
        self.canvas.dispatch_event(WindowEvent::PointerPressed { position, button });
        self.canvas.dispatch_event(WindowEvent::PointerReleased { position, button });
        slint::platform::update_timers_and_animations();
        self.touches.try_iter().collect()
    }
}

#[test]
fn each_answer_has_a_button_for_a_gloved_finger_and_says_which_alert_it_means() {
    paint::on_canvas(1024, 600, |canvas| {
        let bench = Bench::new(canvas)?;
        bench.update(alerted(alert(Grade::Certain, false), 1, false));
        paint::pixels(canvas)?;
        assert!(matches!(bench.touches.try_iter().collect::<Vec<_>>()[..], [Touch::Shown(AlertId(7), _)]));
        assert_eq!(bench.touch(100.0, 540.0), [], "a touch at once was meant for what was there before");
        bench.clock.advance(Duration::from_millis(401));
        let mut across = std::collections::HashMap::new();
        let mut down = 0;
        for x in (0..1024).step_by(4) {
            for touch in bench.touch(x as f32, 540.0) {
                let Touch::Answered(Answer { alert: AlertId(7), verdict }) = touch else { panic!("{touch:?}") };
                *across.entry(verdict).or_insert(0) += 4;
            }
        }
        for y in (440..600).step_by(4) {
            down += 4 * bench.touch(100.0, y as f32).len();
        }
        assert_eq!(across.len(), 6, "{across:?}");
        // 15 mm of a 7 inch panel with 1024 pixels across are 100 pixels.
        assert!(across.values().all(|width| *width >= 100) && (98..=104).contains(&down), "{across:?} x {down}");
        Ok(())
    })
    .expect("painted");
}

#[test]
fn a_withdrawn_alert_offers_one_button_and_waiting_ones_can_be_recalled() {
    paint::on_canvas(1024, 600, |canvas| {
        let bench = Bench::new(canvas)?;
        let withdrawn = Alert { standing: Standing::Withdrawn("recovered".to_owned()), ..alert(Grade::Certain, false) };
        bench.update(alerted(withdrawn, 1, false));
        bench.clock.advance(Duration::from_secs(1));
        paint::pixels(canvas)?;
        bench.touches.try_iter().for_each(drop);
        let answer = Answer { alert: AlertId(7), verdict: crate::alert::Verdict::StoodDown };
        assert_eq!(bench.touch(800.0, 540.0), [Touch::Answered(answer)]);
        bench.update(View { waiting: 2, ..patrol(1, false) });
        paint::pixels(canvas)?;
        assert_eq!(bench.touch(830.0, 540.0), [Touch::Recall]);
        Ok(())
    })
    .expect("painted");
}

#[test]
fn the_strip_explains_itself_and_the_theme_is_switched_by_hand() {
    paint::on_canvas(1024, 600, |canvas| {
        let bench = Bench::new(canvas)?;
        bench.update(patrol(1, false));
        let plain = paint::pixels(canvas)?;
        bench.touch(300.0, 540.0);
        assert!(difference(&plain, &paint::pixels(canvas)?) > 0.3, "the reasons lie over the page");
        bench.touch(300.0, 300.0);
        assert!(difference(&plain, &paint::pixels(canvas)?) < 0.001, "and go away again");
        bench.touch(970.0, 540.0);
        let night = paint::pixels(canvas)?;
        assert!(night.get_pixel(1020, 300).0[0] < 20, "night");
        bench.update(patrol(1, false));
        assert!(paint::pixels(canvas)?.get_pixel(1020, 300).0[0] < 20, "what the crew chose stays");
        Ok(())
    })
    .expect("painted");
}

#[test]
fn the_newest_picture_wins_and_a_lost_camera_shows_none() {
    paint::on_canvas(1024, 600, |canvas| {
        let bench = Bench::new(canvas)?;
        let mut bare = patrol(1, false);
        bare.cameras[0].picture = None;
        bench.update(bare.clone());
        assert_eq!(paint::pixels(canvas)?.get_pixel(300, 40).0, [0, 0, 0], "no picture yet");
        let red = |shade: u8| Arc::new(Thumbnail { width: 2, height: 1, rgb: [shade, 0, 0].repeat(2) });
        bench.handle.preview("front", red(200), Vec::new());
        assert!(!bench.handle.wants_preview("front"), "at most 15 a second");
        bench.handle.preview("front", red(100), Vec::new());
        bench.clock.advance(Duration::from_millis(67));
        assert!(bench.handle.wants_preview("front"));
        bench.handle.preview("front", red(150), Vec::new());
        bench.wake();
        assert_eq!(paint::pixels(canvas)?.get_pixel(300, 180).0, [150, 0, 0]);
        assert_eq!(bench.handle.latest().cameras[0].picture.as_deref(), Some(&*red(150)));
        bare.cameras[0].state = State::Fault;
        bench.update(bare);
        assert_eq!(
            paint::pixels(canvas)?.get_pixel(300, 40).0,
            [0, 0, 0],
            "an old picture is not shown as if it were live"
        );
        Ok(())
    })
    .expect("painted");
}

//! The pages under a finger, drawn into memory.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::alert::{Alert, AlertId, Grade, Standing, Verdict};
use crate::clock::Clock;
use crate::recognise::{ReadId, Thumbnail};

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
        wiring::connect(&face, &handle, clock.clone(), out);
        face.borrow().app.show()?;
        Ok(Self { canvas, face, handle, clock, touches })
    }

    /// Shows `view` as it is now.
    fn update(&self, view: View) {
        self.handle.update(View { now: self.clock.now(), ..view });
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

/// The alert of the fixture under another number.
fn numbered(id: u64) -> Alert {
    Alert { id: AlertId(id), ..alert(Grade::Certain, false) }
}

#[test]
fn each_answer_has_a_button_for_a_gloved_finger_and_says_which_alert_it_means() {
    paint::on_canvas(1024, 600, |canvas| {
        let bench = Bench::new(canvas)?;
        bench.update(alerted(numbered(7), 1, false));
        assert_eq!(bench.touches.try_iter().count(), 0, "not drawn yet");
        paint::pixels(canvas)?;
        assert!(matches!(bench.touches.try_iter().collect::<Vec<_>>()[..], [Touch::Shown(AlertId(7), _)]));
        paint::pixels(canvas)?;
        assert_eq!(bench.touch(100.0, 540.0), [], "a touch at once was meant for what was there before");
        let mut across = std::collections::HashMap::new();
        let mut down = 0;
        // A new alert for each touch: an answer leads on to what it rests on.
        let spots = (0..1024).step_by(4).map(|x| (x, 540)).chain((440..600).step_by(4).map(|y| (100, y)));
        for (number, (x, y)) in (8..).zip(spots) {
            bench.update(alerted(numbered(number), 1, false));
            bench.clock.advance(Duration::from_millis(401));
            for touch in bench.touch(x as f32, y as f32) {
                let Touch::Answered(Answer { alert, verdict }) = touch else { panic!("{touch:?}") };
                assert_eq!(alert, AlertId(number));
                if y == 540 && x != 100 {
                    *across.entry(verdict).or_insert(0) += 4;
                }
                down += if x == 100 { 4 } else { 0 };
            }
        }
        assert_eq!(across.len(), 6, "{across:?}");
        // 15 mm of a 7 inch panel with 1024 pixels across are 100 pixels; the touch at x = 100 counts downwards.
        assert!(across.values().all(|width| *width >= 96) && (98..=108).contains(&down), "{across:?} x {down}");
        Ok(())
    })
    .expect("painted");
}

#[test]
fn after_an_answer_one_more_touch_says_what_it_rests_on_and_nothing_newer_waits_for_it() {
    use slint::Global;
    paint::on_canvas(1024, 600, |canvas| {
        let bench = Bench::new(canvas)?;
        let answered = |id, verdict| Answer { alert: AlertId(id), verdict };
        let shown = || ui::AlertData::get(&bench.face.borrow().app).get_shown();
        bench.update(alerted(numbered(7), 1, false));
        bench.clock.advance(Duration::from_secs(1));
        assert_eq!(bench.touch(100.0, 540.0), [Touch::Answered(answered(7, Verdict::Confirmed))]);
        // The desk has taken the answer; the page still asks, whatever else waits.
        bench.update(alerted(numbered(3), 1, false));
        assert_eq!(
            bench.touch(100.0, 540.0),
            [Touch::Because(answered(7, Verdict::Confirmed), "checked: plate".into())]
        );
        let both = "checked: plate, vehicle".to_owned();
        assert_eq!(bench.touch(500.0, 540.0), [Touch::Because(answered(7, Verdict::Confirmed), both)]);
        assert_eq!(bench.touch(950.0, 540.0), [], "done");
        bench.clock.advance(Duration::from_secs(1));
        assert_eq!(bench.touch(950.0, 540.0), [Touch::Answered(answered(3, Verdict::Later))], "what waited is there");
        // A reason ends the question; so does a newer alert, and so does time.
        bench.update(alerted(numbered(8), 1, false));
        bench.clock.advance(Duration::from_secs(1));
        assert_eq!(bench.touch(430.0, 540.0), [Touch::Answered(answered(8, Verdict::WrongVehicle))]);
        assert_eq!(bench.touch(500.0, 540.0), [Touch::Because(answered(8, Verdict::WrongVehicle), "colour".into())]);
        assert!(!shown(), "the alert that was answered does not come back");
        bench.update(View { alert: None, ..patrol(1, false) });
        for id in [9, 10] {
            bench.update(alerted(numbered(id), 1, false));
            bench.clock.advance(Duration::from_secs(1));
            assert_eq!(bench.touch(260.0, 540.0), [Touch::Answered(answered(id, Verdict::Misread))]);
        }
        assert!(shown());
        bench.clock.advance(Duration::from_secs(8));
        bench.update(patrol(1, false));
        assert!(!shown(), "nobody has to say why");
        Ok(())
    })
    .expect("painted");
}

#[test]
fn a_withdrawn_alert_offers_one_button_and_no_action_and_waiting_ones_can_be_recalled() {
    use slint::Global;
    paint::on_canvas(1024, 600, |canvas| {
        let bench = Bench::new(canvas)?;
        let withdrawn = Alert { standing: Standing::Withdrawn("recovered".to_owned()), ..alert(Grade::Certain, false) };
        bench.update(alerted(numbered(7), 1, false));
        let action = || ui::AlertData::get(&bench.face.borrow().app).get_card().action;
        assert_eq!(action(), "Stop and detain");
        bench.update(alerted(withdrawn, 1, false));
        assert_eq!(action(), "", "nobody is stopped on the word of an entry that is gone");
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
fn the_strip_explains_itself_and_a_read_of_the_reel_can_be_looked_up() {
    use slint::{ComponentHandle, Global};
    paint::on_canvas(1024, 600, |canvas| {
        let bench = Bench::new(canvas)?;
        bench.update(patrol(1, false));
        let plain = paint::pixels(canvas)?;
        bench.touch(300.0, 540.0);
        assert!(difference(&plain, &paint::pixels(canvas)?) > 0.3, "the reasons lie over the page");
        bench.touch(300.0, 300.0);
        assert!(difference(&plain, &paint::pixels(canvas)?) < 0.001, "and go away again");
        bench.touch(800.0, 170.0);
        let app = bench.face.borrow().app.clone_strong();
        assert!(ui::Nav::get(&app).get_page() == ui::Page::Search);
        assert_eq!(ui::SearchData::get(&app).get_text(), "AB01CDE");
        Ok(())
    })
    .expect("painted");
}

#[test]
fn colours_follow_the_sun_until_the_crew_chooses() {
    use slint::{ComponentHandle, Global};
    paint::on_canvas(1024, 600, |canvas| {
        let bench = Bench::new(canvas)?;
        let dark = || -> paint::Outcome<bool> { Ok(paint::pixels(canvas)?.get_pixel(1020, 300).0[0] < 20) };
        for night in [false, true, false] {
            bench.update(patrol(1, night));
            assert_eq!(dark()?, night);
        }
        let app = bench.face.borrow().app.clone_strong();
        ui::SoundData::get(&app).invoke_choose_light(2);
        assert!(dark()?, "at once");
        bench.update(patrol(1, false));
        assert!(dark()?, "what the crew chose stays");
        ui::SoundData::get(&app).invoke_choose_light(0);
        assert!(!dark()?);
        Ok(())
    })
    .expect("painted");
}

/// The text backend of the tests has no real letters, so this is done where pages are drawn.
#[test]
fn no_word_of_any_page_is_cut() {
    use i_slint_backend_testing::{AccessibleRole, ElementQuery};
    use slint::ComponentHandle;
    let stay: Prepare = |_| ();
    let mut all: Vec<(String, View, Prepare)> =
        pages().into_iter().map(|(name, view)| (name.to_owned(), view, stay)).collect();
    // As many figures as a car with four cameras has, on a network that costs money.
    let mut four = patrol(4, false);
    let long = StatusItem::ok("Camera to sound", "p95 1148 ms", "p50 1096, p99 1171, of 1000");
    let aim = StatusItem::warn("Right camera: lens and aim", "check", "no plate in 14 min of driving");
    let metered = StatusItem::ok("Metered: wwx0123456789ab", "1000 of 1000 MB", "12345 pictures of hits wait");
    four.figures.extend([aim, long, metered]);
    let health: Prepare = |face| face.open(Page::Health);
    all.push(("health of four".to_owned(), four, health));
    all.extend(other_pages().into_iter().map(|(name, view, prepare)| (name.to_owned(), view, prepare)));
    for size in [(1024, 600), (1280, 800)] {
        for (name, view, prepare) in &all {
            paint::on_canvas(size.0, size.1, |canvas| {
                let mut face = face::Face::new()?;
                prepare(&face);
                face.app.show()?;
                slint::platform::update_timers_and_animations();
                face.show(view);
                paint::pixels(canvas)?;
                let texts = ElementQuery::from_root(&face.app)
                    .match_descendants()
                    .match_accessible_role(AccessibleRole::Text)
                    .find_all();
                assert!(!texts.is_empty(), "{name} has no words");
                for text in texts {
                    let label = text.accessible_label().unwrap_or_default();
                    assert_ne!(text.accessible_value().as_deref(), Some("cut"), "{name} at {size:?}: {label:?}");
                }
                Ok(())
            })
            .expect("painted");
        }
    }
}

/// Time that this thread has spent on a processor: what a machine does beside it does not count.
fn on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    Duration::from_nanos(text.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("a number"))
}

/// Two hundred alerts in a minute, answered by nobody, through the desk to the pixels.
#[test]
fn a_flood_of_alerts_loses_none_and_each_is_drawn_in_time() {
    use crate::alert::{Desk, Policy, Sighting};
    paint::on_canvas(1024, 600, |canvas| {
        let bench = Bench::new(canvas)?;
        let mut desk = Desk::new(Policy::default());
        let mut took = Vec::new();
        let mut pixels = vec![slint::Rgb8Pixel::default(); 1024 * 600];
        for number in 0..200_u64 {
            let text = format!("AB{:02}CDE", number % 100) + if number < 100 { "" } else { "F" };
            let sighting = Sighting {
                entry: format!("list/{text}"),
                listed: text.clone(),
                characters: text.chars().map(|character| (character, 0.99)).collect(),
                at: bench.clock.now(),
                patch: patch(&text),
                overview: scene(320, 180, false),
                ..Sighting::made_up()
            };
            let changes = desk.take(ReadId { run: 1, pass: number + 1 }, &text, &[sighting], bench.clock.now());
            assert_eq!(changes.len(), 1);
            let view =
                View { now: bench.clock.now(), alert: desk.current(), waiting: desk.waiting(), ..patrol(2, false) };
            let start = on_processor();
            bench.update(view);
            canvas.draw_if_needed(|renderer| {
                renderer.render(&mut pixels, 1024);
            });
            took.push(on_processor() - start);
            bench.clock.advance(Duration::from_millis(300));
        }
        assert_eq!(desk.waiting(), 200, "none is dropped, none is answered by the machine");
        took.sort_unstable();
        // The first ones shape the letters.
        let most = took[took.len() * 98 / 100];
        assert!(most < Duration::from_millis(50), "98 of 100 frames took at most {most:?}");
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

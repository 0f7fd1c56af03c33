//! Every button by the name that a screen reader would say, through Slint's own testing backend, which draws nothing.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use i_slint_backend_testing::{AccessibleRole, ElementHandle, ElementQuery};
use slint::{ComponentHandle, Global, PhysicalSize};

use super::*;
use crate::alert::{AlertId, Grade, Verdict};
use crate::clock::SimulatedClock;

/// The pages wired as in the window, with hands that go by names.
struct Hands {
    face: Rc<RefCell<face::Face>>,
    handle: Handle,
    clock: Arc<SimulatedClock>,
    touches: Receiver<Touch>,
}

impl Hands {
    fn new() -> Self {
        i_slint_backend_testing::init_no_event_loop();
        let clock = SimulatedClock::starting(chrono::DateTime::UNIX_EPOCH);
        let face = Rc::new(RefCell::new(face::Face::new().expect("pages")));
        let app = face.borrow().app.as_weak();
        let handle = Handle::to(Some(app), &crate::config::Screen::default(), clock.clone());
        let (out, touches) = std::sync::mpsc::channel();
        wiring::connect(&face, &handle, clock.clone(), out);
        let hands = Self { face, handle, clock, touches };
        hands.app().window().set_size(PhysicalSize::new(1024, 600));
        hands.app().show().expect("shown");
        hands
    }

    fn app(&self) -> ui::App {
        self.face.borrow().app.clone_strong()
    }

    fn update(&self, view: View) {
        self.handle.update(view);
        self.app().invoke_wake();
        i_slint_backend_testing::mock_elapsed_time(Duration::from_millis(20));
    }

    /// Presses the button of that name; gives what came out.
    fn press(&self, name: &str) -> Vec<Touch> {
        let app = self.app();
        let found: Vec<ElementHandle> = ElementHandle::find_by_accessible_label(&app, name)
            .filter(|element| element.accessible_role() == Some(AccessibleRole::Button))
            .collect();
        let Some((button, same)) = found.split_first() else { panic!("no button is called {name:?}") };
        // A component and the place where it is used are two elements of one button.
        let place = |element: &ElementHandle| (element.absolute_position(), element.size());
        assert!(same.iter().all(|other| place(other) == place(button)), "several buttons are called {name:?}");
        button.invoke_accessible_default_action();
        i_slint_backend_testing::mock_elapsed_time(Duration::from_millis(20));
        self.touches.try_iter().collect()
    }

    fn page(&self) -> ui::Page {
        ui::Nav::get(&self.app()).get_page()
    }

    fn buttons(&self) -> Vec<ElementHandle> {
        ElementQuery::from_root(&self.app())
            .match_descendants()
            .match_accessible_role(AccessibleRole::Button)
            .find_all()
    }
}

/// Runs on a thread of its own: Slint has one platform a thread.
fn with_hands(work: impl FnOnce(Hands) + Send) {
    std::thread::scope(|scope| scope.spawn(|| work(Hands::new())).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn each_answer_is_one_touch_by_name() {
    with_hands(|hands| {
        for (number, verdict) in Verdict::ALL.into_iter().enumerate() {
            let id = AlertId(number as u64 + 1);
            hands.update(alerted(Alert { id, ..alert(Grade::Probable, false) }, 1, false));
            hands.clock.advance(Duration::from_secs(1));
            assert_eq!(hands.press(verdict.word()), [Touch::Answered(Answer { alert: id, verdict })]);
        }
        let withdrawn = Standing::Withdrawn("recovered 14:02, stand down".to_owned());
        hands.update(alerted(Alert { id: AlertId(20), standing: withdrawn, ..alert(Grade::Certain, false) }, 1, false));
        hands.clock.advance(Duration::from_secs(1));
        let answer = Answer { alert: AlertId(20), verdict: Verdict::StoodDown };
        assert_eq!(hands.press("Stand down"), [Touch::Answered(answer)]);
    });
}

#[test]
fn every_page_is_reached_from_the_menu_and_leads_back() {
    with_hands(|hands| {
        hands.update(patrol(2, false));
        for (name, page) in [
            ("Search and entry", ui::Page::Search),
            ("Map", ui::Page::Map),
            ("Lists", ui::Page::Lists),
            ("Health", ui::Page::Health),
            ("Shift and drill", ui::Page::Shift),
            ("Sound and light", ui::Page::Sound),
        ] {
            assert_eq!(hands.press("Menu"), []);
            assert_eq!(hands.press(name), []);
            assert!(hands.page() == page, "{name}");
            hands.press("Back");
            assert!(hands.page() == ui::Page::Patrol, "{name} leads back");
        }
        hands.press("Menu");
        hands.press("Patrol");
        assert!(hands.page() == ui::Page::Patrol);
        // An alert lies over whatever is shown, and what was shown is there again.
        hands.press("Menu");
        hands.press("Map");
        hands.update(alerted(alert(Grade::Certain, false), 1, false));
        assert_eq!(ElementHandle::find_by_accessible_label(&hands.app(), "Farther").count(), 0);
        hands.update(patrol(2, false));
        assert_eq!(hands.press("Farther"), []);
        assert_eq!(hands.press("Nearer"), []);
    });
}

#[test]
fn a_plate_is_typed_looked_up_with_a_reason_and_entered_with_an_end() {
    with_hands(|hands| {
        hands.update(patrol(1, false));
        hands.press("Menu");
        hands.press("Search and entry");
        assert_eq!(hands.press("Look up"), [], "there is nothing to look up yet");
        for key in ["A", "B", "0", "1", "X", "Delete", "Any one character", "Any characters"] {
            assert_eq!(hands.press(key), []);
        }
        hands.press("Look up");
        let text = "AB01?*".to_owned();
        // The number of the case is asked for beside the reason.
        hands.press("Case number");
        ["7", "7", "7", "Delete", "Slash", "2", "6", "Dash", "A"].iter().for_each(|key| _ = hands.press(key));
        hands.press("Done");
        let case = Some("77/26-A".to_owned());
        let purpose = "Crime report".to_owned();
        let search = Touch::Search { text: text.clone(), purpose, case: case.clone(), read: None };
        assert_eq!(hands.press("Crime report"), [search], "never without a reason");
        assert_eq!(hands.press("More"), [], "five rows on pages of four");
        hands.press("Add entry");
        hands.press("Case 77/26-A");
        hands.press("Back");
        hands.press("Failed to stop");
        let add = Touch::Add { text, reason: "Failed to stop".to_owned(), case, hours: 4 };
        assert_eq!(hands.press("4 hours"), [add]);
        hands.press("Back");
        hands.press("Back");
        // A read of the reel is looked up as that read.
        hands.press("Read XY50ZZT");
        hands.press("Look up");
        let [Touch::Search { read: Some(_), text, case: None, .. }] = &hands.press("Check of a read")[..] else {
            panic!("no search")
        };
        assert_eq!(text, "XY50ZZT");
    });
}

#[test]
fn shift_drill_volume_and_light_are_set_by_name() {
    with_hands(|hands| {
        hands.update(View { shift: Shift::default(), ..patrol(1, false) });
        hands.press("Menu");
        hands.press("Shift and drill");
        assert_eq!(hands.press("Start drill"), [Touch::Drill]);
        hands.press("Sign on");
        assert_eq!(hands.press("Sign on"), [], "nobody has no name");
        ["4", "5", "1", "3", "Delete", "2"].iter().for_each(|key| _ = hands.press(key));
        let name = Touch::SignOn { number: "4512".to_owned(), pin: None };
        assert_eq!(hands.press("Sign on"), [name]);
        hands.update(patrol(1, false));
        assert_eq!(hands.press("Sign off"), [Touch::SignOff]);
        hands.press("Back");
        hands.press("Menu");
        hands.press("Sound and light");
        let [Touch::Volume(louder)] = hands.press("Louder")[..] else { panic!("no volume") };
        let [Touch::Volume(softer)] = hands.press("Softer")[..] else { panic!("no volume") };
        assert!((louder - 0.9).abs() < 1e-6 && (softer - 0.7).abs() < 1e-6);
        assert_eq!(hands.press("Certain ones only"), [Touch::Mute(Some(Grade::Probable))]);
        assert_eq!(hands.press("No possible ones"), [Touch::Mute(Some(Grade::Possible))]);
        assert_eq!(hands.press("Every alert"), [Touch::Mute(None)]);
        hands.press("Night");
        assert!(ui::Theme::get(&hands.app()).get_night());
        hands.press("By the sun");
        assert!(!ui::Theme::get(&hands.app()).get_night());
        hands.update(View { waiting: 2, ..patrol(1, true) });
        hands.press("Day");
        assert!(!ui::Theme::get(&hands.app()).get_night());
        hands.press("Back");
        assert_eq!(hands.press("2 alerts waiting"), [Touch::Recall]);
        hands.press("Status");
        hands.press("Close");
    });
}

#[test]
fn where_people_are_set_up_a_number_and_a_pin_are_typed_and_no_page_has_the_pin() {
    with_hands(|hands| {
        let nobody = |shift: Shift| View { shift: Shift { asks_pin: true, ..shift }, ..patrol(1, false) };
        hands.update(nobody(Shift::default()));
        hands.press("Menu");
        hands.press("Shift and drill");
        hands.press("Sign on");
        assert_eq!(hands.press("Next"), [], "there is no number yet");
        hands.press("Letters");
        ["P", "S"].iter().for_each(|key| _ = hands.press(key));
        hands.press("Back");
        ["7", "7", "8", "Delete"].iter().for_each(|key| _ = hands.press(key));
        hands.press("Next");
        assert_eq!(hands.press("Sign on"), [], "there is no PIN yet");
        // What was typed before somebody went back is forgotten.
        ["1", "2"].iter().for_each(|key| _ = hands.press(key));
        hands.press("Back");
        hands.press("Next");
        ["7", "1", "9", "3", "0", "2", "2", "Delete"].iter().for_each(|key| _ = hands.press(key));
        assert_eq!(ui::ShiftData::get(&hands.app()).get_stars(), "******");
        assert_eq!(ElementHandle::find_by_accessible_label(&hands.app(), "719302").count(), 0);
        let pin = Some(crate::people::Pin::typed(zeroize::Zeroizing::new("719302".to_owned())));
        assert_eq!(hands.press("Sign on"), [Touch::SignOn { number: "PS77".to_owned(), pin }]);
        assert_eq!(ui::ShiftData::get(&hands.app()).get_stars(), "", "the page has forgotten it");
        // The wait is told, and somebody else may sign on meanwhile.
        let refused = "Number or PIN was wrong too often".to_owned();
        hands.update(nobody(Shift { refused, wait_s: 28, ..Shift::default() }));
        let app = hands.app();
        let told = ElementHandle::find_by_accessible_label(&app, "Number or PIN was wrong too often. Wait 28 s");
        assert_eq!(told.count(), 1);
        hands.press("Sign on");
        hands.press("Back");
        hands.update(nobody(Shift { who: "PS77".to_owned(), role: "supervisor".to_owned(), ..Shift::default() }));
        assert_eq!(hands.press("Sign off"), [Touch::SignOff]);
        // What was found goes with whoever it was found for.
        let rows = || slint::Model::row_count(&ui::SearchData::get(&hands.app()).get_rows());
        assert_eq!(rows(), 5);
        hands.update(View { found: None, ..nobody(Shift::default()) });
        assert_eq!(rows(), 0);
    });
}

/// 15 mm of a 7 inch panel that is 1024 pixels across; and nothing that is touched or read lies outside the window or over
/// another button.
#[test]
fn every_button_of_every_page_is_large_enough_and_in_the_window() {
    with_hands(|hands| {
        let mut pages: Vec<(String, View, Prepare)> =
            other_pages().into_iter().map(|(name, view, prepare)| (name.to_owned(), view, prepare)).collect();
        pages.extend(pages_of_alert_and_patrol());
        let mut names = BTreeSet::new();
        for (name, view, prepare) in pages {
            hands.face.borrow().open(Page::Patrol);
            ui::ShiftData::get(&hands.app()).set_typing(false);
            ui::ShiftData::get(&hands.app()).set_step(ui::SignStep::Number);
            prepare(&hands.face.borrow());
            hands.update(view);
            let buttons = hands.buttons();
            assert!(!buttons.is_empty(), "{name} has no button");
            let areas: Vec<_> = buttons
                .iter()
                .map(|b| (b.accessible_label().unwrap_or_default(), b.absolute_position(), b.size()))
                .collect();
            for (label, at, size) in &areas {
                names.insert(label.to_string());
                assert!(
                    size.width >= 99.9 && size.height >= 99.9,
                    "{name}: {label} is {} x {}",
                    size.width,
                    size.height
                );
                assert!(at.x >= -0.1 && at.y >= -0.1, "{name}: {label} lies at {} {}", at.x, at.y);
                assert!(
                    at.x + size.width <= 1024.1 && at.y + size.height <= 600.1,
                    "{name}: {label} leaves the window"
                );
            }
            for (index, (label, at, size)) in areas.iter().enumerate() {
                for (other, there, its) in areas[..index].iter().filter(|(other, ..)| other != label) {
                    let apart = at.x >= there.x + its.width - 0.1
                        || there.x >= at.x + size.width - 0.1
                        || at.y >= there.y + its.height - 0.1
                        || there.y >= at.y + size.height - 0.1;
                    assert!(apart, "{name}: {label} and {other} overlap");
                }
            }
        }
        assert!(names.len() > 60, "{names:?}");
    });
}

fn pages_of_alert_and_patrol() -> Vec<(String, View, Prepare)> {
    let stay: Prepare = |_| ();
    super::pages()
        .into_iter()
        .filter(|(name, _)| *name != "patrol-empty")
        .map(|(name, view)| (name.to_owned(), view, stay))
        .collect()
}

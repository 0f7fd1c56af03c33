//! Wires the pages' callbacks. They hold the face weakly: the app owns them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use slint::Global;

use super::face::{Face, HOURS, Light, PURPOSES, REASONS, card_id};
use super::pages::Page;
use super::touch::{Answer, Touch};
use super::ui;
use super::window::{Handle, Inbox};
use crate::alert::{AlertId, Grade, Verdict};
use crate::clock::{Moment, Shared as Clock};
use crate::people::Pin;
use crate::recognise::ReadId;

/// A touch this soon after the alert changed was meant for the one before.
const SETTLE: Duration = Duration::from_millis(400);
/// One step of the volume.
const STEP: f32 = 0.1;

/// What the callbacks share.
#[derive(Clone)]
struct Wires {
    face: std::rc::Weak<RefCell<Face>>,
    inbox: Arc<Inbox>,
    clock: Clock,
    touches: Sender<Touch>,
    standing: Rc<RefCell<Standing>>,
    /// The alert that was put on the page and not drawn yet.
    undrawn: Rc<Cell<Option<AlertId>>>,
    /// The read whose text is being looked up.
    picked: Rc<Cell<Option<ReadId>>>,
    /// Why an entry is being made.
    wanted: Rc<Cell<usize>>,
}

/// What is on the screen, and since when.
#[derive(Default)]
struct Standing {
    alert: Option<AlertId>,
    since: Moment,
}

pub(super) fn connect(face: &Rc<RefCell<Face>>, handle: &Handle, clock: Clock, touches: Sender<Touch>) {
    let wires = Wires {
        face: Rc::downgrade(face),
        inbox: Arc::clone(&handle.0),
        clock,
        touches,
        standing: Rc::default(),
        undrawn: Rc::default(),
        picked: Rc::default(),
        wanted: Rc::default(),
    };
    let face = face.borrow();
    let app = &face.app;
    let on = wires.clone();
    app.on_wake(move || on.wake());
    alert(app, &wires);
    patrol(app, &wires);
    search(app, &wires);
    shift(app, &wires);
}

fn alert(app: &ui::App, wires: &Wires) {
    let page = ui::AlertData::get(app);
    let on = wires.clone();
    page.on_answer(move |number| on.answer(number));
    let on = wires.clone();
    page.on_because(move |number| on.because(number));
    let on = wires.clone();
    page.on_drawn(move |id| {
        on.drawn(id);
        slint::Color::default()
    });
}

fn patrol(app: &ui::App, wires: &Wires) {
    let data = ui::PatrolData::get(app);
    let on = wires.clone();
    data.on_recall(move || on.send(Touch::Recall));
    let on = wires.clone();
    data.on_pick(move |place| {
        on.with_face(|face| {
            let picked = usize::try_from(place).ok().and_then(|place| face.on_reel(place).cloned());
            if let Some((read, text)) = picked {
                on.picked.set(Some(read));
                face.begin_search(&text);
                face.open(Page::Search);
            }
        });
    });
    let on = wires.clone();
    ui::MenuData::get(app).on_search(move || {
        on.picked.set(None);
        on.with_face(|face| face.begin_search(""));
    });
    let on = wires.clone();
    ui::MapData::get(app).on_zoom(move |by| {
        on.with_face(|face| face.zoom(by));
        on.show();
    });
}

fn search(app: &ui::App, wires: &Wires) {
    let data = ui::SearchData::get(app);
    let on = wires.clone();
    data.on_typed(move |key| on.with_face(|face| face.key(Some(&key))));
    let on = wires.clone();
    data.on_erased(move || on.with_face(|face| face.key(None)));
    let on = wires.clone();
    data.on_look_up(move |place| {
        let Some(purpose) = usize::try_from(place).ok().and_then(|place| PURPOSES.get(place)) else { return };
        let text = on.search_text();
        let (purpose, case) = ((*purpose).to_owned(), on.search_case());
        on.send(Touch::Search { text, purpose, case, read: on.picked.get() });
    });
    let on = wires.clone();
    data.on_wanted(move |place| on.wanted.set(usize::try_from(place).unwrap_or_default()));
    let on = wires.clone();
    data.on_add(move |place| {
        let hours = usize::try_from(place).ok().and_then(|place| HOURS.get(place));
        if let (Some(hours), Some(reason)) = (hours, REASONS.get(on.wanted.get())) {
            let (reason, case) = ((*reason).to_owned(), on.search_case());
            on.send(Touch::Add { text: on.search_text(), reason, case, hours: *hours });
        }
    });
    let on = wires.clone();
    data.on_case_typed(move |key| on.with_face(|face| face.case_key(Some(&key))));
    let on = wires.clone();
    data.on_case_erased(move || on.with_face(|face| face.case_key(None)));
}

fn shift(app: &ui::App, wires: &Wires) {
    let data = ui::ShiftData::get(app);
    let on = wires.clone();
    data.on_typed(move |key| on.with_face(|face| face.name_key(Some(&key))));
    let on = wires.clone();
    data.on_erased(move || on.with_face(|face| face.name_key(None)));
    let on = wires.clone();
    data.on_pin_typed(move |key| on.with_face(|face| face.pin_key(Some(&key))));
    let on = wires.clone();
    data.on_pin_erased(move || on.with_face(|face| face.pin_key(None)));
    let on = wires.clone();
    data.on_forget(move || on.with_face(|face| drop(face.take_pin())));
    let on = wires.clone();
    data.on_sign_on(move || {
        on.with_face(|face| {
            let data = ui::ShiftData::get(&face.app);
            let pin = face.take_pin();
            let pin = data.get_asks_pin().then(|| Pin::typed(pin));
            on.send(Touch::SignOn { number: data.get_name().into(), pin });
            data.set_name(slint::SharedString::default());
        });
    });
    let on = wires.clone();
    data.on_sign_off(move || on.send(Touch::SignOff));
    let on = wires.clone();
    data.on_drill(move || on.send(Touch::Drill));

    let sound = ui::SoundData::get(app);
    let on = wires.clone();
    sound.on_turn(move |by| {
        let level = on.inbox.view().map_or(1.0, |view| view.sound.level);
        on.send(Touch::Volume((level + by as f32 * STEP).clamp(0.0, 1.0)));
    });
    let on = wires.clone();
    sound.on_mute(move |up_to| {
        on.send(Touch::Mute(match up_to {
            1 => Some(Grade::Possible),
            2 => Some(Grade::Probable),
            _ => None,
        }));
    });
    let on = wires.clone();
    sound.on_choose_light(move |light| {
        on.with_face(|face| {
            face.choose(match light {
                1 => Light::Day,
                2 => Light::Night,
                _ => Light::Sun,
            });
        });
        on.show();
    });
}

impl Wires {
    fn send(&self, touch: Touch) {
        // The unit is gone only while it is being taken down.
        let _ = self.touches.send(touch);
    }

    fn with_face(&self, work: impl FnOnce(&mut Face)) {
        if let Some(face) = self.face.upgrade() {
            work(&mut face.borrow_mut());
        }
    }

    fn search_text(&self) -> String {
        let mut text = String::new();
        self.with_face(|face| text = ui::SearchData::get(&face.app).get_text().into());
        text
    }

    fn search_case(&self) -> Option<String> {
        let mut case = String::new();
        self.with_face(|face| case = ui::SearchData::get(&face.app).get_case().into());
        Some(case).filter(|case| !case.is_empty())
    }

    /// Something new lies ready.
    fn wake(&self) {
        let (view, pictures) = self.inbox.take();
        self.with_face(|face| {
            if let Some(view) = view {
                self.put(face, &view);
            }
            for (camera, picture, boxes) in pictures {
                face.preview(&camera, &picture, &boxes);
            }
        });
    }

    /// Shows the newest view again, after the crew has changed how.
    fn show(&self) {
        if let Some(view) = self.inbox.view() {
            self.with_face(|face| self.put(face, &view));
        }
    }

    fn put(&self, face: &mut Face, view: &super::View) {
        let alert = face.show(view);
        let mut standing = self.standing.borrow_mut();
        if standing.alert != alert {
            *standing = Standing { alert, since: self.clock.now() };
            self.undrawn.set(alert);
        }
    }

    /// Called while the alert's page is being drawn. What is posted here runs when the frame is done.
    fn drawn(&self, id: i32) {
        let Some(alert) = self.undrawn.get().filter(|alert| card_id(*alert) == id) else { return };
        self.undrawn.set(None);
        let (out, clock) = (self.touches.clone(), Arc::clone(&self.clock));
        let tell = move || _ = out.send(Touch::Shown(alert, clock.now()));
        // Without an event loop the page is drawn into memory, by whoever called.
        if slint::invoke_from_event_loop(tell.clone()).is_err() {
            tell();
        }
    }

    fn answer(&self, number: i32) {
        let now = self.clock.now();
        let alert = {
            let standing = self.standing.borrow();
            standing.alert.filter(|_| now.since(standing.since) >= SETTLE)
        };
        let Some(alert) = alert else { return };
        let verdict =
            usize::try_from(number).ok().and_then(|n| Verdict::ALL.get(n)).copied().unwrap_or(Verdict::StoodDown);
        self.send(Touch::Answered(Answer { alert, verdict }));
        if let Some(shown) = self.inbox.view().and_then(|view| view.alert.clone()).filter(|shown| shown.id == alert) {
            self.with_face(|face| face.ask(&shown, verdict, now));
        }
        self.show();
    }

    fn because(&self, number: i32) {
        let now = self.clock.now();
        self.with_face(|face| {
            let Some(asking) = face.asking() else { return };
            let told = asking.touched(usize::try_from(number).unwrap_or(usize::MAX), now);
            let answer = asking.answer();
            if let Some(because) = told.because {
                self.send(Touch::Because(answer, because));
            }
            if told.done { face.asked() } else { face.show_question() }
        });
        self.show();
    }
}

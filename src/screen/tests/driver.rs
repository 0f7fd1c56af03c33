//! The driver's window: what may be seen on it, and that it is all there is.

use std::sync::Arc;

use i_slint_backend_testing::{AccessibleRole, ElementQuery};
use image::RgbImage;
use slint::ComponentHandle;

use super::super::driver::Driver;
use super::*;
use crate::alert::{Alert, Chart, Grade, Standing};
use crate::config;

/// The window's sizes that there are references for.
const SIZES: [(u32, u32); 2] = [(480, 320), (800, 480)];

fn own() -> Arc<Chart> {
    Arc::new(Chart::load(&config::Driver::at(0, 0)).expect("the program's own"))
}

/// The program's own table with this much text, and approved.
fn approved(text_limit: usize) -> Arc<Chart> {
    let table = include_str!("../../../vehicle-config/driver/symbols.toml");
    let table = table
        .replace("text_limit = 0", &format!("text_limit = {text_limit}"))
        .replace("approval = \"\"", "approval = \"by a test\"");
    Arc::new(Chart::parse(&table).expect("valid"))
}

fn withdrawn() -> Alert {
    Alert { standing: Standing::Withdrawn("recovered 14:02, stand down".to_owned()), ..alert(Grade::Certain, false) }
}

fn drill() -> Alert {
    Alert { drill: true, ..alert(Grade::Certain, false) }
}

/// Every state of the window, as the crew's pages would have it at the same time.
fn states() -> Vec<(&'static str, View)> {
    let mut states = vec![("standby", patrol(2, false))];
    for grade in Grade::ALL {
        states.push((grade.word(), alerted(alert(grade, false), 3, false)));
    }
    states.push(("withdrawn", alerted(withdrawn(), 1, false)));
    states.push(("drill", alerted(drill(), 1, false)));
    states
}

/// Works with the window as `view` has it.
fn on_window<R: Send>(
    chart: Arc<Chart>,
    (width, height): (u32, u32),
    view: &View,
    night: bool,
    work: impl FnOnce(&Driver, RgbImage) -> R + Send,
) -> R {
    paint::on_canvas(width, height, |canvas| {
        let mut driver = Driver::new(chart)?;
        driver.window.show()?;
        slint::platform::update_timers_and_animations();
        driver.show(view, night);
        let picture = paint::pixels(canvas)?;
        Ok(work(&driver, picture))
    })
    .expect("painted")
}

fn painted(chart: Arc<Chart>, size: (u32, u32), view: &View, night: bool) -> RgbImage {
    on_window(chart, size, view, night, |_, picture| picture)
}

/// Every picture there is a reference for.
pub(super) fn pictures(size: (u32, u32)) -> Vec<(String, RgbImage)> {
    let hours = [(false, "day"), (true, "night")];
    let mut pictures: Vec<(String, RgbImage)> = states()
        .iter()
        .flat_map(|(name, view)| {
            hours.map(|(night, hour)| (format!("driver-{name}-{hour}"), painted(own(), size, view, night)))
        })
        .collect();
    let view = alerted(alert(Grade::Probable, false), 1, false);
    pictures.push(("driver-text-day".to_owned(), painted(approved(24), size, &view, false)));
    pictures
}

#[test]
fn the_driver_s_window_looks_as_it_did_when_it_was_looked_at() {
    for size in SIZES {
        compare(pictures(size), size);
    }
}

#[test]
fn each_state_of_the_driver_s_window_is_told_by_shape_and_not_by_colour_alone() {
    for night in [false, true] {
        let shapes: Vec<Vec<bool>> = states()
            .iter()
            .map(|(_, view)| {
                let picture = painted(own(), SIZES[0], view, night);
                // Above the mark at the foot.
                let ground = *picture.get_pixel(0, 0);
                picture.enumerate_pixels().filter(|(_, y, _)| *y < 288).map(|(.., pixel)| *pixel != ground).collect()
            })
            .collect();
        for (index, shape) in shapes.iter().enumerate() {
            assert!(shape.iter().any(|ink| *ink));
            for other in &shapes[..index] {
                let differ = shape.iter().zip(other).filter(|(a, b)| a != b).count();
                assert!(differ * 50 > shape.len(), "two symbols differ in {differ} pixels");
            }
        }
    }
}

#[test]
fn on_the_driver_s_window_there_is_nothing_to_touch_and_nothing_to_read_beyond_the_table() {
    let read = |chart: Arc<Chart>, view: &View| -> (Vec<String>, RgbImage) {
        on_window(chart, SIZES[0], view, false, |driver, picture| {
            for role in [AccessibleRole::Button, AccessibleRole::Checkbox, AccessibleRole::TextInput] {
                let found =
                    ElementQuery::from_root(&driver.window).match_descendants().match_accessible_role(role).find_all();
                assert_eq!(found.len(), 0);
            }
            let texts = [driver.window.get_text(), driver.window.get_mark()].map(String::from);
            (texts.into_iter().filter(|text| !text.is_empty()).collect(), picture)
        })
    };
    for (name, view) in states() {
        assert_eq!(read(own(), &view).0, ["NOT APPROVED"], "{name}");
        assert!(read(approved(0), &view).0.is_empty(), "{name}");
    }
    let car = alerted(alert(Grade::Certain, false), 1, false);
    assert_eq!(read(approved(6), &car).0, ["Silver"]);
    assert_eq!(read(approved(24), &car).0, ["Silver Ford Focus"]);
    let long = Alert { vehicle: "Yellow Mercedes-Benz Sprinter".to_owned(), ..alert(Grade::Certain, false) };
    assert_eq!(read(approved(24), &alerted(long, 1, false)).0, ["Yellow Mercedes-Benz Spr"]);
    // What is allowed is there to be seen, and of an alert that no longer stands there is nothing, not even its room.
    let [without, with] = [approved(0), approved(24)].map(|chart| read(chart, &car).1);
    assert!(difference(&without, &with) > 0.01);
    let over = alerted(withdrawn(), 1, false);
    assert!(read(approved(24), &over) == read(approved(0), &over), "nothing is looked for any more");
}

#[test]
fn the_driver_s_window_follows_the_crew_s_and_takes_their_light() {
    // Slint has one platform a thread.
    let followed = std::thread::spawn(|| {
        i_slint_backend_testing::init_no_event_loop();
        let mut face = face::Face::new().expect("pages");
        face.set_beside(Driver::new(own()).expect("a window"));
        let says = |face: &face::Face| face.beside().expect("a window").window.get_says().to_string();
        assert_eq!(says(&face), "standby");
        face.show(&alerted(alert(Grade::Certain, false), 1, false));
        assert_eq!(says(&face), "certain");
        face.show(&alerted(alert(Grade::Possible, false), 1, false));
        assert_eq!(says(&face), "possible");
        let ground = |face: &face::Face| face.beside().expect("a window").window.get_ground();
        let day = ground(&face);
        face.choose(face::Light::Night);
        face.show(&alerted(withdrawn(), 1, false));
        assert_eq!(says(&face), "withdrawn");
        assert_ne!(ground(&face), day, "chosen by hand, as on the crew's pages");
        face.show(&patrol(1, false));
        assert_eq!(says(&face), "standby", "answered");
    });
    followed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

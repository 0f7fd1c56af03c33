//! The pages beside patrol and alert: what is typed, found, drawn and listed on them.

use std::rc::Rc;
use std::sync::Arc;

use slint::{Global, Image, ModelRc, Rgba8Pixel, SharedPixelBuffer, SharedString, VecModel};
use zeroize::Zeroizing;

use super::{number, renew, status_row};
use crate::alert::Grade;
use crate::fault::Fault;
use crate::plate;
use crate::screen::pages::{Found, MapView, Page};
use crate::screen::tiles::{Tiles, Underlay};
use crate::screen::view::View;
use crate::screen::{map, ui};

/// Why a VRM may be looked up: the purpose goes on record.
pub(in crate::screen) const PURPOSES: [&str; 8] = [
    "Vehicle stopped",
    "Suspicious vehicle",
    "Crime report",
    "Collision",
    "Missing person",
    "Check of a read",
    "Found property",
    "Training",
];
/// Why the crew may want a vehicle; the voice has a clip of each.
pub(in crate::screen) const REASONS: [&str; 8] = [
    "Stolen",
    "Made off without payment",
    "Failed to stop",
    "Wanted person",
    "Missing person",
    "No insurance",
    "Drink driver",
    "Of interest",
];
/// For how long an entry of the crew's may count, hours: none is for ever.
pub(in crate::screen) const HOURS: [u32; 4] = [1, 4, 12, 24];

/// The longest name, PIN and number of a case that can be typed.
const LONGEST_NAME: usize = 16;
const LONGEST_PIN: usize = 12;
const LONGEST_CASE: usize = 16;

/// What the pages hold beyond the view.
pub(in crate::screen) struct Pages {
    lists: Rc<VecModel<ui::ListRow>>,
    figures: Rc<VecModel<ui::StatusRow>>,
    checks: Rc<VecModel<ui::StatusRow>>,
    rows: Rc<VecModel<ui::FoundRow>>,
    labels: Rc<VecModel<ui::MapLabel>>,
    drawn: Option<DrawnFor>,
    zoom: usize,
    tiles: Option<Tiles>,
}

/// What the map on the page was drawn for. Holding them keeps addresses their own.
struct DrawnFor {
    map: Arc<MapView>,
    under: Option<Arc<Underlay>>,
    zoom: usize,
    size: (u32, u32),
    night: bool,
}

impl DrawnFor {
    fn is_as(&self, other: &Self) -> bool {
        let under = |this: &Self| this.under.as_ref().map(Arc::as_ptr);
        Arc::ptr_eq(&self.map, &other.map)
            && under(self) == under(other)
            && (self.zoom, self.size, self.night) == (other.zoom, other.size, other.night)
    }
}

impl Pages {
    pub(super) fn new(app: &ui::App) -> Self {
        let pages = Self {
            lists: Rc::default(),
            figures: Rc::default(),
            checks: Rc::default(),
            rows: Rc::default(),
            labels: Rc::default(),
            drawn: None,
            zoom: map::USUAL,
            tiles: None,
        };
        let state = ui::StateData::get(app);
        state.set_lists(ModelRc::from(pages.lists.clone()));
        state.set_figures(ModelRc::from(pages.figures.clone()));
        ui::ShiftData::get(app).set_checks(ModelRc::from(pages.checks.clone()));
        ui::MapData::get(app).set_labels(ModelRc::from(pages.labels.clone()));
        let search = ui::SearchData::get(app);
        search.set_rows(ModelRc::from(pages.rows.clone()));
        search.set_purposes(words(PURPOSES.map(str::to_owned)));
        search.set_reasons(words(REASONS.map(str::to_owned)));
        search.set_spans(words(HOURS.map(|hours| match hours {
            1 => "1 hour".to_owned(),
            hours => format!("{hours} hours"),
        })));
        pages.typed(app);
        pages
    }

    pub(super) fn show(&mut self, app: &ui::App, view: &View, night: bool) {
        let lists = view.lists.iter().map(|list| ui::ListRow {
            name: list.name.as_str().into(),
            count: list.count.as_str().into(),
            age: list.age.as_str().into(),
            precision: list.precision.as_str().into(),
            state: number(list.state),
        });
        renew(&self.lists, lists.collect());
        renew(&self.figures, view.figures.iter().map(status_row).collect());

        let shift = ui::ShiftData::get(app);
        shift.set_who(view.shift.who.as_str().into());
        shift.set_since(view.shift.since.as_str().into());
        shift.set_role(view.shift.role.as_str().into());
        shift.set_holds_alerts(view.shift.holds_alerts);
        shift.set_asks_pin(view.shift.asks_pin);
        shift.set_checking(view.shift.checking);
        shift.set_refused(view.shift.refused.as_str().into());
        shift.set_wait(i32::try_from(view.shift.wait_s).unwrap_or(i32::MAX));
        shift.set_drill_word(view.shift.drill.as_str().into());
        renew(&self.checks, view.shift.checks.iter().map(status_row).collect());

        let sound = ui::SoundData::get(app);
        sound.set_level((view.sound.level * 10.0).round() as i32);
        sound.set_muted(match view.sound.muted {
            None => 0,
            Some(Grade::Possible) => 1,
            Some(_) => 2,
        });
        sound.set_state(view.sound.state.as_str().into());

        // What was found for somebody who has gone is taken off the page.
        let nothing = Found::default();
        let found = view.found.as_deref().unwrap_or(&nothing);
        let search = ui::SearchData::get(app);
        search.set_title(plate::spaced(&found.text).into());
        search.set_message(found.message.as_str().into());
        let rows = found.rows.iter().map(|row| ui::FoundRow {
            head: row.head.as_str().into(),
            line: row.line.as_str().into(),
            detail: row.detail.as_str().into(),
            entry: row.entry,
        });
        renew(&self.rows, rows.collect());
        self.map(app, &view.map, night);
    }

    /// Draws the map where it is looked at and differs from what is there.
    fn map(&mut self, app: &ui::App, map: &Arc<MapView>, night: bool) {
        if ui::Nav::get(app).get_page() != ui::Page::Map {
            return;
        }
        let data = ui::MapData::get(app);
        let unit = ui::Theme::get(app).get_u();
        let whole = |length: f32| length.round().clamp(1.0, 8192.0) as u32;
        let size = (whole(data.get_width()), whole(data.get_height()));
        let here = map.here.as_ref().map(|here| here.at);
        let under = here
            .zip(self.tiles.as_mut())
            .and_then(|(here, tiles)| tiles.around(here, map::metres(self.zoom, unit), size));
        let wanted = DrawnFor { map: Arc::clone(map), under: under.clone(), zoom: self.zoom, size, night };
        if self.drawn.as_ref().is_some_and(|drawn| drawn.is_as(&wanted)) {
            return;
        }
        match map::draw(map, under.as_deref(), map::Sheet { zoom: self.zoom, size, unit, night }) {
            Some(drawn) => {
                let pixels = SharedPixelBuffer::<Rgba8Pixel>::clone_from_slice(
                    drawn.pixmap.data(),
                    drawn.pixmap.width(),
                    drawn.pixmap.height(),
                );
                data.set_picture(Image::from_rgba8_premultiplied(pixels));
                let labels = drawn.labels.into_iter().map(|(x, y, text)| ui::MapLabel { x, y, text: text.into() });
                renew(&self.labels, labels.collect());
                data.set_scale(drawn.scale.0.into());
                data.set_scale_width(drawn.scale.1);
                data.set_empty(SharedString::default());
            }
            None => {
                data.set_picture(Image::default());
                renew(&self.labels, Vec::new());
                data.set_scale(SharedString::default());
                data.set_empty("No position yet: there is nothing to draw".into());
            }
        }
        data.set_place(map.here.as_ref().map_or_else(SharedString::default, |here| here.word.as_str().into()));
        self.drawn = Some(wanted);
    }

    fn typed(&self, app: &ui::App) {
        let search = ui::SearchData::get(app);
        let text = search.get_text();
        let mark = crate::hotlist::Mark::parse(&text);
        search.set_valid(mark.is_ok());
        search.set_hint(SharedString::from(match text.is_empty() {
            true => "Number plate",
            false => "",
        }));
    }
}

impl super::Face {
    /// Goes to `page`.
    pub(in crate::screen) fn open(&self, page: Page) {
        ui::Nav::get(&self.app).set_page(match page {
            Page::Patrol => ui::Page::Patrol,
            Page::Menu => ui::Page::Menu,
            Page::Search => ui::Page::Search,
            Page::Map => ui::Page::Map,
            Page::Lists => ui::Page::Lists,
            Page::Health => ui::Page::Health,
            Page::Shift => ui::Page::Shift,
            Page::Sound => ui::Page::Sound,
        });
    }

    /// Begins a search, with the text of a read or with nothing.
    pub(in crate::screen) fn begin_search(&self, text: &str) {
        let search = ui::SearchData::get(&self.app);
        search.set_step(ui::Step::Keys);
        search.set_text(text.into());
        search.set_case(SharedString::default());
        search.set_first(0);
        self.pages.typed(&self.app);
    }

    /// A key of the search's keyboard; none: the last character goes.
    pub(in crate::screen) fn key(&self, key: Option<&str>) {
        let search = ui::SearchData::get(&self.app);
        // A pattern may be longer than any plate, and not by much.
        search.set_text(after(&search.get_text(), key, plate::LONGEST).into());
        self.pages.typed(&self.app);
    }

    /// A key of the sign-on's keyboard.
    pub(in crate::screen) fn name_key(&self, key: Option<&str>) {
        let shift = ui::ShiftData::get(&self.app);
        shift.set_name(after(&shift.get_name(), key, LONGEST_NAME).into());
    }

    /// A key of the PIN's; none: the last digit goes.
    pub(in crate::screen) fn pin_key(&self, key: Option<&str>) {
        let mut pin = self.pin.borrow_mut();
        match key {
            Some(key) if pin.len() < LONGEST_PIN => pin.push_str(key),
            Some(_) => {}
            None => _ = pin.pop(),
        }
        ui::ShiftData::get(&self.app).set_stars("*".repeat(pin.len()).into());
    }

    /// The PIN that was typed; the page forgets it.
    pub(in crate::screen) fn take_pin(&self) -> Zeroizing<String> {
        ui::ShiftData::get(&self.app).set_stars(SharedString::default());
        self.pin.take()
    }

    /// A key of the case's keyboard.
    pub(in crate::screen) fn case_key(&self, key: Option<&str>) {
        let search = ui::SearchData::get(&self.app);
        search.set_case(after(&search.get_case(), key, LONGEST_CASE).into());
    }

    /// Lays map tiles under the map; of a file that cannot be used the page says why.
    pub(in crate::screen) fn lay(&mut self, tiles: Result<Tiles, Fault>) {
        let credit = match &tiles {
            Ok(tiles) => tiles.credit.clone(),
            Err(fault) => fault.to_string(),
        };
        ui::MapData::get(&self.app).set_credit(credit.into());
        self.pages.tiles = tiles.ok();
    }

    pub(in crate::screen) fn zoom(&mut self, by: i32) {
        self.pages.zoom = map::zoomed(self.pages.zoom, by);
    }
}

fn after(text: &str, key: Option<&str>, longest: usize) -> String {
    let mut text = text.to_owned();
    match key {
        Some(key) if text.chars().count() < longest => text.push_str(key),
        Some(_) => {}
        None => _ = text.pop(),
    }
    text
}

fn words<const N: usize>(words: [String; N]) -> ModelRc<SharedString> {
    ModelRc::new(VecModel::from(words.map(SharedString::from).to_vec()))
}

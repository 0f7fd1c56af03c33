//! Puts a [`View`] on the pages: the one place where our types become Slint's.

mod pages;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use slint::{Global, Image, Model, ModelRc, Rgb8Pixel, Rgba8Pixel, SharedPixelBuffer, SharedString, VecModel};
use zeroize::Zeroizing;

use super::ask::Asking;
use super::driver::Driver;
use super::view::{AlertWords, State, StatusItem, View, percent, sentence};
use super::{plate, ui};
use crate::alert::{Alert, AlertId, Grade, Standing, Verdict};
use crate::clock::Moment;
use crate::hotlist::Colour;
use crate::recognise::{ReadId, Thumbnail};
use pages::Pages;
pub(super) use pages::{HOURS, PURPOSES, REASONS};

/// As many reads as the reel has room for.
const REEL: usize = 4;

/// Which colours the crew wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Light {
    /// Those of the hour.
    #[default]
    Sun,
    Day,
    Night,
}

/// The pages and what they were last given.
pub(super) struct Face {
    pub(super) app: ui::App,
    cameras: Rc<VecModel<ui::Tile>>,
    reads: Rc<VecModel<ui::ReadRow>>,
    status: Rc<VecModel<ui::StatusRow>>,
    offers: Rc<VecModel<ui::Offer>>,
    pages: Pages,
    /// The driver's window, where there is one.
    beside: Option<Driver>,
    pictures: Pictures,
    light: Light,
    /// The reads of the reel, as they are shown.
    reel: Vec<(ReadId, String)>,
    asking: Option<Asking>,
    /// The alert answered last, for as long as the view still has it: it is not put on the page again.
    answered: Option<AlertId>,
    /// The newest alert that was ever in a view.
    newest: AlertId,
    /// What was typed of a PIN. No page has it.
    pin: RefCell<Zeroizing<String>>,
}

impl Face {
    pub(super) fn new() -> Result<Self, slint::PlatformError> {
        let app = ui::App::new()?;
        let face = Self {
            pages: Pages::new(&app),
            app,
            cameras: Rc::default(),
            reads: Rc::default(),
            status: Rc::default(),
            offers: Rc::default(),
            beside: None,
            pictures: Pictures::default(),
            light: Light::default(),
            reel: Vec::new(),
            asking: None,
            answered: None,
            newest: AlertId(0),
            pin: RefCell::default(),
        };
        let data = ui::PatrolData::get(&face.app);
        data.set_cameras(ModelRc::from(face.cameras.clone()));
        data.set_reads(ModelRc::from(face.reads.clone()));
        data.set_status(ModelRc::from(face.status.clone()));
        ui::AlertData::get(&face.app).set_offers(ModelRc::from(face.offers.clone()));
        Ok(face)
    }

    /// Shows what the driver may see in a window of its own from now on.
    pub(super) fn set_beside(&mut self, driver: Driver) {
        self.beside = Some(driver);
    }

    #[cfg(test)]
    pub(super) fn beside(&self) -> Option<&Driver> {
        self.beside.as_ref()
    }

    /// Chooses the colours by hand, or leaves them to the hour again.
    pub(super) fn choose(&mut self, light: Light) {
        self.light = light;
    }

    /// Which read of the reel stands at `place`.
    pub(super) fn on_reel(&self, place: usize) -> Option<&(ReadId, String)> {
        self.reel.get(place)
    }

    /// The crew has answered `alert`: asks what that rests on.
    pub(super) fn ask(&mut self, alert: &Arc<Alert>, verdict: Verdict, now: Moment) {
        self.answered = Some(alert.id);
        self.asking = Asking::of(Arc::clone(alert), verdict, now, self.newest);
        self.show_question();
    }

    pub(super) fn asking(&mut self) -> Option<&mut Asking> {
        self.asking.as_mut()
    }

    /// Nothing more is asked.
    pub(super) fn asked(&mut self) {
        self.asking = None;
        self.show_question();
    }

    pub(super) fn show_question(&self) {
        let offers = self.asking.iter().flat_map(Asking::offers);
        renew(&self.offers, offers.map(|(word, chosen)| ui::Offer { word: word.into(), chosen }).collect());
        let question = self.asking.as_ref().map_or_else(String::new, Asking::question);
        ui::AlertData::get(&self.app).set_question(question.into());
    }

    /// Shows `view`. Gives the alert that is on the page and waits for an answer.
    pub(super) fn show(&mut self, view: &View) -> Option<AlertId> {
        let night = match self.light {
            Light::Sun => view.night,
            Light::Day => false,
            Light::Night => true,
        };
        ui::Theme::get(&self.app).set_night(night);
        ui::SoundData::get(&self.app).set_light(self.light as i32);
        self.pictures.begin();

        let data = ui::PatrolData::get(&self.app);
        let tiles = view.cameras.iter().enumerate().map(|(index, camera)| {
            let before = self.cameras.row_data(index).filter(|tile| tile.name == sentence(&camera.name));
            let mut tile = before.unwrap_or_default();
            tile.name = sentence(&camera.name).into();
            tile.detail = camera.detail.as_str().into();
            tile.state = number(camera.state);
            if let Some(picture) = &camera.picture {
                set_picture(&mut tile, picture, &camera.boxes);
            }
            // A camera that is lost must not show an old picture as if it were live.
            tile.live = camera.state != State::Fault && tile.picture.size().width > 0;
            tile
        });
        renew(&self.cameras, tiles.collect());

        let reads = view.reads.iter().take(REEL).map(|read| ui::ReadRow {
            text: read.text.as_str().into(),
            plate: self.pictures.plate(&read.text, read.weak, 62, night),
            patch: self.pictures.picture(&read.patch),
            line: words(&[&read.when, &read.camera, &percent(read.confidence)]),
            place: read.place.as_str().into(),
            hit: read.hit,
        });
        renew(&self.reads, reads.collect());
        self.reel = view.reads.iter().take(REEL).map(|read| (read.id, read.text.clone())).collect();
        renew(&self.status, view.status.iter().map(status_row).collect());

        if !view.no_reads.is_empty() {
            data.set_no_reads(view.no_reads.as_str().into());
        }
        data.set_summary(view.summary.as_str().into());
        data.set_notice(view.notice.text.as_str().into());
        data.set_notice_head(view.notice.head.as_str().into());
        data.set_waiting(match view.waiting {
            0 => SharedString::default(),
            1 => "1 alert waiting".into(),
            n => format!("{n} alerts waiting").into(),
        });

        ui::LockedData::get(&self.app).set_why(view.locked.as_str().into());
        let live = self.alert(view, night);
        self.pages.show(&self.app, view, night);
        if let Some(driver) = &mut self.beside {
            driver.show(view, night);
        }
        self.pictures.end();
        live
    }

    /// The alert's page: what was answered while it is still asked about, else what waits.
    fn alert(&mut self, view: &View, night: bool) -> Option<AlertId> {
        if self.asking.as_ref().is_some_and(|asking| asking.is_over(view)) {
            self.asked();
        }
        if self.answered != view.alert.as_ref().map(|alert| alert.id) {
            self.answered = None;
        }
        self.newest = self.newest.max(view.alert.as_ref().map_or(AlertId(0), |alert| alert.id));
        let asked = self.asking.as_ref().map(|asking| Arc::clone(&asking.alert));
        let waiting = view.alert.as_ref().filter(|alert| self.answered != Some(alert.id));
        let live = if asked.is_some() { None } else { waiting.map(|alert| alert.id) };
        let card = asked.as_ref().or(waiting).map(|alert| self.card(view, alert, night));
        let page = ui::AlertData::get(&self.app);
        page.set_shown(card.is_some());
        if let Some(card) = card {
            page.set_card(card);
        }
        live
    }

    /// Shows the newest picture of one camera.
    pub(super) fn preview(&mut self, camera: &str, picture: &Thumbnail, boxes: &[[f32; 4]]) {
        let name = sentence(camera);
        let found = self.cameras.iter().enumerate().find(|(_, tile)| tile.name == name);
        if let Some((index, mut tile)) = found {
            set_picture(&mut tile, picture, boxes);
            tile.live = tile.state != number(State::Fault);
            self.cameras.set_row_data(index, tile);
        }
    }

    fn card(&mut self, view: &View, alert: &Alert, night: bool) -> ui::AlertCard {
        let words = AlertWords::of(view, alert);
        let against: Vec<SharedString> = alert.against.iter().map(|clause| clause.as_str().into()).collect();
        ui::AlertCard {
            id: card_id(alert.id),
            grade: match (&alert.standing, alert.grade) {
                (Standing::Withdrawn(_), _) => 3,
                (Standing::Open, Grade::Certain) => 2,
                (Standing::Open, Grade::Probable) => 1,
                (Standing::Open, Grade::Possible) => 0,
            },
            list: match alert.colour {
                Colour::None => 0,
                Colour::Blue => 1,
                Colour::Green => 2,
                Colour::Violet => 3,
                Colour::Grey => 4,
            },
            headline: words.headline.into(),
            sure: words.sure.into(),
            queue: words.queue.into(),
            drill: alert.drill,
            text: alert.text.as_str().into(),
            plate: self.pictures.plate(&alert.text, words.mark, 105, night),
            patch: self.pictures.picture(&alert.patch),
            overview: self.pictures.picture(&alert.overview),
            camera: words.camera.into(),
            when: alert.when.as_str().into(),
            behind: words.behind.into(),
            count: words.count.into(),
            vehicle: alert.vehicle.as_str().into(),
            // What was to be done is not to be done any more.
            action: match alert.standing {
                Standing::Open => alert.action.as_str().into(),
                Standing::Withdrawn(_) => SharedString::default(),
            },
            weakest: words.weakest.into(),
            doubt: sentence(&alert.doubt).into(),
            against: ModelRc::new(VecModel::from(against)),
            freshness: words.freshness.into(),
            faults: words.faults.into(),
        }
    }
}

/// Changes only the rows that differ, so that only those are drawn again.
fn renew<T: Clone + PartialEq + 'static>(model: &VecModel<T>, rows: Vec<T>) {
    if model.row_count() != rows.len() {
        model.set_vec(rows);
        return;
    }
    for (index, row) in rows.into_iter().enumerate() {
        if model.row_data(index).as_ref() != Some(&row) {
            model.set_row_data(index, row);
        }
    }
}

fn set_picture(tile: &mut ui::Tile, picture: &Thumbnail, boxes: &[[f32; 4]]) {
    tile.picture = image(picture);
    tile.aspect = picture.width as f32 / picture.height.max(1) as f32;
    let boxes: Vec<ui::PlateBox> = boxes.iter().map(|&[x, y, w, h]| ui::PlateBox { x, y, w, h }).collect();
    tile.boxes = ModelRc::new(VecModel::from(boxes));
}

fn status_row(item: &StatusItem) -> ui::StatusRow {
    ui::StatusRow {
        name: sentence(&item.name).into(),
        word: item.word.as_str().into(),
        detail: item.detail.as_str().into(),
        state: number(item.state),
    }
}

/// An alert's id as Slint has numbers; it tells neighbours apart, which is all that is asked of it.
pub(super) fn card_id(alert: AlertId) -> i32 {
    (alert.0 & 0x7fff_ffff) as i32
}

fn number(state: State) -> i32 {
    match state {
        State::Ok => 0,
        State::Warn => 1,
        State::Fault => 2,
    }
}

/// What there is, with wide spaces between.
fn words(parts: &[&str]) -> SharedString {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join("  ").into()
}

fn image(picture: &Thumbnail) -> Image {
    if picture.rgb.is_empty() || picture.rgb.len() != picture.width * picture.height * 3 {
        return Image::default();
    }
    match (u32::try_from(picture.width), u32::try_from(picture.height)) {
        (Ok(width), Ok(height)) => {
            Image::from_rgb8(SharedPixelBuffer::<Rgb8Pixel>::clone_from_slice(&picture.rgb, width, height))
        }
        _ => Image::default(),
    }
}

/// What a drawn plate follows from.
type PlateKey = (String, Option<usize>, u32, bool);

/// Slint pictures of what is on the pages, kept as long as it is there.
#[derive(Default)]
struct Pictures {
    /// By address; holding the picture keeps the address its own.
    shown: HashMap<*const Thumbnail, (Arc<Thumbnail>, Image, bool)>,
    plates: HashMap<PlateKey, (Image, bool)>,
}

impl Pictures {
    fn begin(&mut self) {
        self.shown.values_mut().for_each(|entry| entry.2 = false);
        self.plates.values_mut().for_each(|entry| entry.1 = false);
    }

    fn end(&mut self) {
        self.shown.retain(|_, entry| entry.2);
        self.plates.retain(|_, entry| entry.1);
    }

    fn picture(&mut self, picture: &Arc<Thumbnail>) -> Image {
        let entry =
            self.shown.entry(Arc::as_ptr(picture)).or_insert_with(|| (Arc::clone(picture), image(picture), true));
        entry.2 = true;
        entry.1.clone()
    }

    /// A plate of `height` pixels of the 1024x600 screen; drawn twice as large, for larger screens.
    fn plate(&mut self, text: &str, mark: Option<usize>, height: u32, night: bool) -> Image {
        let entry = self.plates.entry((text.to_owned(), mark, height, night)).or_insert_with(|| {
            let image = plate::draw(text, mark, 2 * height, night).map_or_else(Image::default, |plate| {
                let pixels = SharedPixelBuffer::<Rgba8Pixel>::clone_from_slice(&plate.rgba, plate.width, plate.height);
                Image::from_rgba8_premultiplied(pixels)
            });
            (image, true)
        });
        entry.1 = true;
        entry.0.clone()
    }
}

//! The window on a display, and the handle through which the unit feeds it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use slint::{BackendSelector, CloseRequestResponse, ComponentHandle, PhysicalPosition, PhysicalSize};

use super::display;
use super::driver::Driver;
use super::face::Face;
use super::tiles::Tiles;
use super::touch::Touch;
use super::ui;
use super::view::View;
use super::wiring::connect;
use crate::alert::Chart;
use crate::clock::{Moment, Shared as Clock};
use crate::config;
use crate::fault::{Fault, Kind, Result};
use crate::recognise::Thumbnail;

/// The shortest time between two pictures of one camera: 15 a second.
const PREVIEW_PAUSE: Duration = Duration::from_micros(66_600);

/// Feeds the screen; cheap to clone, never waits. What is newer replaces what was not yet shown.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Inbox>);

pub(super) struct Inbox {
    clock: Clock,
    width: u32,
    news: Mutex<News>,
    /// Whether the window was already told that something lies here.
    pending: AtomicBool,
    /// Whether there is nothing to show anything on any more.
    gone: AtomicBool,
    window: Option<slint::Weak<ui::App>>,
}

#[derive(Default)]
struct News {
    view: Option<Arc<View>>,
    view_is_new: bool,
    previews: BTreeMap<String, Preview>,
}

struct Preview {
    picture: Arc<Thumbnail>,
    boxes: Vec<[f32; 4]>,
    at: Moment,
    is_new: bool,
}

/// A camera's name, its picture, and the plates in it.
pub(super) type NewPicture = (String, Arc<Thumbnail>, Vec<[f32; 4]>);

impl Handle {
    /// A handle without a window: it keeps the newest of everything for [`Handle::latest`].
    pub fn headless(settings: &config::Screen, clock: Clock) -> Self {
        Self::to(None, settings, clock)
    }

    pub(super) fn to(window: Option<slint::Weak<ui::App>>, settings: &config::Screen, clock: Clock) -> Self {
        let (news, pending, gone) = (Mutex::default(), AtomicBool::new(false), AtomicBool::new(false));
        Self(Arc::new(Inbox { clock, width: settings.width, news, pending, gone, window }))
    }

    /// Shows `view`, soon. Ages are counted from `view.now`, so send one every second even if nothing happened.
    pub fn update(&self, view: View) {
        let mut news = self.0.news();
        news.view = Some(Arc::new(view));
        news.view_is_new = true;
        drop(news);
        self.0.wake();
    }

    /// Whether a picture of `camera` would be shown now. Ask before scaling one down.
    pub fn wants_preview(&self, camera: &str) -> bool {
        if self.0.gone.load(Ordering::Relaxed) {
            return false;
        }
        let now = self.0.clock.now();
        self.0.news().previews.get(camera).is_none_or(|last| now.since(last.at) >= PREVIEW_PAUSE)
    }

    /// The width in pixels that pictures of cameras should have; more is wasted, less is blurred.
    pub fn preview_width(&self) -> usize {
        // The tile's share of the 1024 pixels that the page is drawn for.
        (self.0.width as usize * 608 / 1024).max(64)
    }

    /// Shows a picture of `camera` with its plates (left, top, width, height in fractions), soon. Pictures that come faster
    /// than [`Handle::wants_preview`] allows are left out.
    pub fn preview(&self, camera: &str, picture: Arc<Thumbnail>, boxes: Vec<[f32; 4]>) {
        if !self.wants_preview(camera) {
            return;
        }
        let at = self.0.clock.now();
        self.0.news().previews.insert(camera.to_owned(), Preview { picture, boxes, at, is_new: true });
        self.0.wake();
    }

    /// The newest view, with the newest picture of each camera in it: what [`paint`](super::paint()) needs.
    pub fn latest(&self) -> View {
        let news = self.0.news();
        let mut view = news.view.as_deref().cloned().unwrap_or_default();
        for camera in &mut view.cameras {
            if let Some(preview) = news.previews.get(&camera.name) {
                camera.picture = Some(Arc::clone(&preview.picture));
                camera.boxes.clone_from(&preview.boxes);
            }
        }
        view
    }

    /// The display has gone: no picture is wanted any more.
    pub fn forget(&self) {
        self.0.gone.store(true, Ordering::Relaxed);
    }

    /// Closes the window, so that [`Screen::run`] returns.
    pub fn close(&self) {
        if let Some(window) = &self.0.window {
            // Fails only when the loop has ended by itself.
            let _ = window.upgrade_in_event_loop(|app| {
                let _ = app.hide();
                let _ = slint::quit_event_loop();
            });
        }
    }
}

impl Inbox {
    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The newest view.
    pub(super) fn view(&self) -> Option<Arc<View>> {
        self.news().view.clone()
    }

    /// What came since this was last asked.
    pub(super) fn take(&self) -> (Option<Arc<View>>, Vec<NewPicture>) {
        self.pending.store(false, Ordering::Release);
        let mut news = self.news();
        let view = std::mem::take(&mut news.view_is_new).then(|| news.view.clone()).flatten();
        let pictures = news.previews.iter_mut().filter_map(|(camera, preview)| {
            std::mem::take(&mut preview.is_new)
                .then(|| (camera.clone(), Arc::clone(&preview.picture), preview.boxes.clone()))
        });
        let pictures = pictures.collect();
        (view, pictures)
    }

    /// Tells the window once, however much lies ready by the time it looks.
    fn wake(&self) {
        let Some(window) = &self.window else { return };
        if !self.pending.swap(true, Ordering::AcqRel) && window.upgrade_in_event_loop(|app| app.invoke_wake()).is_err()
        {
            self.pending.store(false, Ordering::Release);
        }
    }
}

/// The crew's window. Lives on the main thread.
pub struct Screen {
    face: Rc<RefCell<Face>>,
}

impl Screen {
    /// Opens the window; `touches` receives what the crew does. Must be called on the main thread, once.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] where there is no display: go on with [`Handle::headless`].
    pub fn open(settings: &config::Screen, clock: Clock, touches: Sender<Touch>) -> Result<(Self, Handle)> {
        if ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"]
            .iter()
            .all(|name| std::env::var_os(name).is_none_or(|v| v.is_empty()))
        {
            return Err(unavailable("neither DISPLAY nor WAYLAND_DISPLAY is set"));
        }
        BackendSelector::new()
            .backend_name("winit".to_owned())
            .renderer_name("software".to_owned())
            .select()
            .map_err(|error| unavailable(error.to_string()))?;
        let mut face = Face::new().map_err(|error| unavailable(error.to_string()))?;
        if let Some(map) = &settings.map {
            let tiles = Tiles::open(map);
            if let Err(fault) = &tiles {
                tracing::warn!("{fault}");
            }
            face.lay(tiles);
        }
        let window = face.app.window();
        window.set_size(PhysicalSize::new(settings.width, settings.height));
        window.set_fullscreen(settings.fullscreen);
        let handle = Handle::to(Some(face.app.as_weak()), settings, Arc::clone(&clock));
        let face = Rc::new(RefCell::new(face));
        connect(&face, &handle, clock, touches);
        face.borrow().app.show().map_err(|error| unavailable(error.to_string()))?;
        Ok((Self { face }, handle))
    }

    /// Opens a second window, for the driver's side, with the symbols of `chart`.
    ///
    /// # Errors
    /// If it cannot be opened; the crew's goes on.
    pub fn beside(&self, settings: &config::Driver, chart: Arc<Chart>) -> Result<()> {
        let refused = |error: slint::PlatformError| {
            Fault::new(Kind::Unavailable, "cannot open the driver's window")
                .because(error)
                .remedy("Check the place and the size under [driver], then start the unit again")
        };
        let driver = Driver::new(chart).map_err(refused)?;
        let window = driver.window.window();
        window.set_size(PhysicalSize::new(settings.width, settings.height));
        window.set_position(PhysicalPosition::new(settings.left, settings.top));
        // It lives as long as the crew's, whose end is the end of both.
        window.on_close_requested(|| CloseRequestResponse::KeepWindowShown);
        driver.window.show().map_err(refused)?;
        let mut face = self.face.borrow_mut();
        face.app.window().on_close_requested(|| {
            // Fails only when the loop has ended by itself.
            let _ = slint::quit_event_loop();
            CloseRequestResponse::HideWindow
        });
        face.set_beside(driver);
        Ok(())
    }

    /// Lets the program outlive its display: `lost` hears that the X server has gone, and [`Screen::run`] never returns
    /// then, since the library below it cannot go on. Without this the process ends.
    pub fn outlive(&self, lost: impl Fn(Fault) + Send + Sync + 'static) {
        display::outlive(Box::new(move || lost(lost_display("the X server has gone"))));
    }

    /// Runs the window until it is closed, by the crew or by [`Handle::close`].
    ///
    /// # Errors
    /// If the display goes away; with X11 see [`Screen::outlive`].
    pub fn run(self) -> Result<()> {
        // Libraries below panic where they find the display gone in the middle of a call.
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(slint::run_event_loop));
        ran.map_err(|_| lost_display("the window's loop ended by a panic"))?
            .map_err(|error| lost_display(error.to_string()))?;
        drop(self.face);
        Ok(())
    }
}

fn lost_display(why: impl Into<String>) -> Fault {
    Fault::new(Kind::Unavailable, "the display has gone")
        .because(why.into())
        .remedy("Alerts are still heard. Check the display, then start the unit again")
}

fn unavailable(why: impl Into<String>) -> Fault {
    Fault::new(Kind::Unavailable, "cannot open a window")
        .because(why.into())
        .remedy("Start from a graphical session, or set enabled = false under [screen]")
}

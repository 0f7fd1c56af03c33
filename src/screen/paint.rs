//! The pages as pictures, without a display: Slint's software renderer on a window that is only memory.

use std::rc::Rc;

use slint::platform::software_renderer::{MinimalSoftwareWindow, RepaintBufferType};
use slint::platform::{Platform, WindowAdapter};
use slint::{ComponentHandle, PhysicalSize, PlatformError, Rgb8Pixel};

use super::face::Face;
use super::pages::Page;
use super::view::View;
use crate::fault::{Fault, Kind, Result};

/// Draws the page that `view` calls for, `width` x `height` pixels.
///
/// Slint allows one platform a thread, so each picture is drawn on a thread of its own; that takes some tens of
/// milliseconds and works beside an open window.
///
/// # Errors
/// If Slint cannot draw, which is a fault of Outrider itself.
pub fn paint(view: &View, width: u32, height: u32) -> Result<image::RgbImage> {
    paint_page(view, Page::Patrol, width, height)
}

/// As [`paint`], on another page than the patrol's. An alert lies over that one, too.
///
/// # Errors
/// As there.
pub fn paint_page(view: &View, page: Page, width: u32, height: u32) -> Result<image::RgbImage> {
    paint_face(view, width, height, |face| face.open(page))
}

/// As [`paint`], with pages that have been brought to a state first.
pub(super) fn paint_face(
    view: &View,
    width: u32,
    height: u32,
    prepare: impl FnOnce(&Face) + Send,
) -> Result<image::RgbImage> {
    on_canvas(width, height, |window| {
        let mut face = Face::new()?;
        prepare(&face);
        face.app.show()?;
        // The page says how large it is before it can be drawn for.
        slint::platform::update_timers_and_animations();
        face.show(view);
        pixels(window)
    })
}

/// Runs `work` on a thread that has a window of memory, `width` x `height` pixels, for its platform.
pub(super) fn on_canvas<R: Send>(
    width: u32,
    height: u32,
    work: impl FnOnce(&MinimalSoftwareWindow) -> Outcome<R> + Send,
) -> Result<R> {
    std::thread::scope(|scope| {
        let painter = std::thread::Builder::new().name("painter".to_owned()).spawn_scoped(scope, || {
            let window = MinimalSoftwareWindow::new(RepaintBufferType::NewBuffer);
            slint::platform::set_platform(Box::new(Canvas(window.clone())))
                .map_err(|error| PlatformError::from(error.to_string()))?;
            window.set_size(PhysicalSize::new(width, height));
            work(&window)
        });
        match painter.map(|thread| thread.join()) {
            Ok(Ok(result)) => result.map_err(|error: PlatformError| broken(error.to_string())),
            Ok(Err(_)) => Err(broken("the painter panicked".to_owned())),
            Err(error) => Err(broken(error.to_string())),
        }
    })
}

/// What `window` shows now.
pub(super) fn pixels(window: &MinimalSoftwareWindow) -> Outcome<image::RgbImage> {
    slint::platform::update_timers_and_animations();
    let size = window.size();
    let mut pixels = vec![Rgb8Pixel::default(); (size.width * size.height) as usize];
    window.request_redraw();
    window.draw_if_needed(|renderer| {
        renderer.render(&mut pixels, size.width as usize);
    });
    let bytes = pixels.into_iter().flat_map(|pixel| [pixel.r, pixel.g, pixel.b]).collect();
    image::RgbImage::from_raw(size.width, size.height, bytes)
        .ok_or_else(|| PlatformError::from("the picture has another size"))
}

/// What Slint can do, or why not.
pub(super) type Outcome<R> = std::result::Result<R, PlatformError>;

fn broken(why: String) -> Fault {
    Fault::new(Kind::Internal, "cannot paint the screen").because(why)
}

struct Canvas(Rc<MinimalSoftwareWindow>);

impl Platform for Canvas {
    fn create_window_adapter(&self) -> Outcome<Rc<dyn WindowAdapter>> {
        Ok(self.0.clone())
    }
}

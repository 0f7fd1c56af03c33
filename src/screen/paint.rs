//! The pages as pictures, without a display: Slint's software renderer on a window that is only memory.

use std::cell::RefCell;
use std::rc::Rc;

use slint::platform::software_renderer::{MinimalSoftwareWindow, RepaintBufferType};
use slint::platform::{Platform, WindowAdapter};
use slint::{ComponentHandle, Global, PhysicalSize, PlatformError, Rgb8Pixel};

use super::face::Face;
use super::ui;
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
    std::thread::scope(|scope| {
        let painter =
            std::thread::Builder::new().name("painter".to_owned()).spawn_scoped(scope, || drawn(view, width, height));
        match painter.map(|thread| thread.join()) {
            Ok(Ok(pixels)) => pixels.map_err(|error| broken(error.to_string())),
            Ok(Err(_)) => Err(broken("the painter panicked".to_owned())),
            Err(error) => Err(broken(error.to_string())),
        }
    })
}

fn broken(why: String) -> Fault {
    Fault::new(Kind::Internal, "cannot paint the screen").because(why)
}

fn drawn(view: &View, width: u32, height: u32) -> std::result::Result<image::RgbImage, PlatformError> {
    let window = MinimalSoftwareWindow::new(RepaintBufferType::NewBuffer);
    let canvas = Canvas(window.clone());
    slint::platform::set_platform(Box::new(canvas)).map_err(|error| PlatformError::from(error.to_string()))?;
    let mut face = Face::new()?;
    window.set_size(PhysicalSize::new(width, height));
    face.app.show()?;
    ui::Theme::get(&face.app).set_u((width as f32 / 1024.0).min(height as f32 / 600.0));
    face.show(view);
    slint::platform::update_timers_and_animations();
    let pixels = RefCell::new(vec![Rgb8Pixel::default(); (width * height) as usize]);
    window.request_redraw();
    window.draw_if_needed(|renderer| {
        renderer.render(&mut pixels.borrow_mut(), width as usize);
    });
    let bytes = pixels.into_inner().into_iter().flat_map(|pixel| [pixel.r, pixel.g, pixel.b]).collect();
    image::RgbImage::from_raw(width, height, bytes).ok_or_else(|| PlatformError::from("the picture has another size"))
}

struct Canvas(Rc<MinimalSoftwareWindow>);

impl Platform for Canvas {
    fn create_window_adapter(&self) -> std::result::Result<Rc<dyn WindowAdapter>, PlatformError> {
        Ok(self.0.clone())
    }
}

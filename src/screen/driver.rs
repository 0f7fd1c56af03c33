//! The driver's window: the symbol of the alert that waits, and nothing to touch.

use std::sync::Arc;

use slint::{ComponentHandle, Image, Rgba8Pixel, SharedPixelBuffer};
use tiny_skia::{Color, FillRule, Paint, Path, PathBuilder, Pixmap, Transform};

use super::ui;
use super::view::View;
use crate::alert::{Chart, OUTLINE_SIDE, Outline, Rgb, Step, Symbol};

/// Says at the foot of the window that the table is nobody's but this project's.
const MARK: &str = "NOT APPROVED";
const BLACK: Rgb = Rgb([0; 3]);
const WHITE: Rgb = Rgb([255; 3]);

/// The driver's window and what is on it.
pub(super) struct Driver {
    pub(super) window: ui::Driver,
    chart: Arc<Chart>,
    /// What the symbol on the window was drawn from.
    drawn: Option<(Option<Symbol>, bool, u32)>,
}

impl Driver {
    pub(super) fn new(chart: Arc<Chart>) -> Result<Self, slint::PlatformError> {
        let window = ui::Driver::new()?;
        window.set_mark(if chart.approval().is_empty() { MARK } else { "" }.into());
        let mut driver = Self { window, chart, drawn: None };
        driver.show(&View::default(), false);
        Ok(driver)
    }

    /// Shows what `view` calls for: by night in the colours for it.
    pub(super) fn show(&mut self, view: &View, night: bool) {
        let window = &self.window;
        let (alert, ground) = (view.alert.as_deref(), self.chart.ground().at(night));
        // A unit that is locked is not ready, and must not look it.
        let symbol = if view.locked.is_empty() { self.chart.symbol(alert) } else { None };
        let ink = symbol.map_or(ground, |symbol| symbol.colour().at(night));
        window.set_ground(colour(ground));
        window.set_ink(colour(ink));
        let [dark, bright] = [BLACK, WHITE].map(|ink| ink.contrast(ground));
        window.set_quiet(colour(if dark > bright { BLACK } else { WHITE }));
        window.set_says(symbol.map_or("", |symbol| symbol.case().word()).into());
        window.set_text(symbol.zip(alert).map_or_else(String::new, |(symbol, alert)| symbol.text(alert)).into());
        // The text takes its share of the window first.
        let side = (window.get_side() * window.window().scale_factor()).round().clamp(1.0, 4096.0) as u32;
        let wanted = Some((symbol.cloned(), night, side));
        if self.drawn != wanted {
            window.set_symbol(symbol.map_or_else(Image::default, |symbol| picture(symbol.outline(), ink, side)));
            self.drawn = wanted;
        }
    }
}

fn colour(Rgb([red, green, blue]): Rgb) -> slint::Color {
    slint::Color::from_rgb_u8(red, green, blue)
}

/// `outline` filled with `ink`, `side` pixels wide and high.
fn picture(outline: &Outline, Rgb([red, green, blue]): Rgb, side: u32) -> Image {
    let (Some(mut pixmap), Some(shape)) = (Pixmap::new(side, side), path(outline)) else { return Image::default() };
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(Color::from_rgba8(red, green, blue, 255));
    let scale = side as f32 / OUTLINE_SIDE;
    pixmap.fill_path(&shape, &paint, FillRule::EvenOdd, Transform::from_scale(scale, scale), None);
    let pixels = SharedPixelBuffer::<Rgba8Pixel>::clone_from_slice(pixmap.data(), side, side);
    Image::from_rgba8_premultiplied(pixels)
}

/// `None` where there is nothing to fill: a point.
fn path(outline: &Outline) -> Option<Path> {
    let mut path = PathBuilder::new();
    for step in outline.steps() {
        match *step {
            Step::Move([x, y]) => path.move_to(x, y),
            Step::Line([x, y]) => path.line_to(x, y),
            Step::Quadratic([ax, ay], [x, y]) => path.quad_to(ax, ay, x, y),
            Step::Cubic([ax, ay], [bx, by], [x, y]) => path.cubic_to(ax, ay, bx, by, x, y),
            Step::Close => path.close(),
        }
    }
    path.finish()
}

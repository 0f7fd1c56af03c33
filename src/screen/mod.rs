//! The only room that knows Slint.
//!
//! The unit builds a [`View`] and hands it over through a [`Handle`]; the newest one wins and nobody waits. Where there is a
//! display a [`Screen`] shows it and sends what is touched; where there is none, [`paint()`] draws the same pages as pictures.

mod ask;
mod display;
mod driver;
mod face;
mod map;
mod pages;
mod paint;
mod plate;
mod tiles;
mod touch;
mod view;
mod window;
mod wiring;

/// What `ui/app.slint` compiles to.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used, clippy::todo)]
mod ui {
    slint::include_modules!();
}

#[cfg(test)]
mod tests;

pub use pages::{Found, FoundLine, Here, ListLine, MapMark, MapView, Page, Shift, SoundSetting};
pub use paint::{paint, paint_page};
pub use plate::as_seen as drawn_plate;
pub use tiles::check as check_map;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use tiles::outside as tiles_outside;
#[cfg(test)]
pub(crate) use tiles::samples as tile_samples;
pub use touch::{Answer, Touch};
pub use view::{CameraTile, Notice, ReadLine, State, StatusItem, View};
pub use window::{Handle, Screen};

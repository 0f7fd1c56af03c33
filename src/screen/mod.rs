//! The only room that knows Slint.
//!
//! The unit builds a [`View`] and hands it over through a [`Handle`]; the newest one wins and nobody waits. Where there is a
//! display a [`Screen`] shows it and sends what is touched; where there is none, [`paint()`] draws the same pages as pictures.

mod display;
mod face;
mod paint;
mod plate;
mod view;
mod window;

/// What `ui/app.slint` compiles to.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used, clippy::todo)]
mod ui {
    slint::include_modules!();
}

#[cfg(test)]
mod tests;

pub use paint::paint;
pub use view::{Answer, CameraTile, ReadLine, State, StatusItem, Touch, View};
pub use window::{Handle, Screen};

//! The made-up drive: a road, vehicles and plates that nobody owns, with exact truth.
//!
//! [`Plan`] is the script; [`render()`] paints it, encodes it once into a cache and writes what goes with it: the
//! receiver's log, a hotlist and the truth. [`report()`] compares what a unit read with that truth. Everything is placed in
//! metres and seen through a pinhole, so that the truth is geometry, and every VRM is from a range that was
//! never issued.

mod artwork;
mod bodies;
mod canvas;
mod details;
mod film;
mod glyphs;
mod papers;
mod plan;
mod raster;
mod report;
mod scene;
mod scenery;
mod space;
mod strokes;
#[cfg(test)]
mod tests;
mod vehicle;

pub use artwork::{Badge, Form, Material, Plate};
pub use film::{DriveFiles, render};
pub(crate) use glyphs::{HEIGHT, glyphs};
pub use papers::{outage, start};
pub use plan::Plan;
pub use report::{PassResult, Report, Row, TruePass, Truth, report};
pub use vehicle::Shape;

//! The lists of wanted vehicles that the car carries with it, and what a read means against them.
//!
//! A list comes as CSV or as a revision that the back office hands down; either replaces the list whole, in one
//! transaction, or not at all. Matching holds every listed VRM in memory as a number and asks the disk only for
//! the entry of a hit.

mod entry;
mod index;
mod matching;
mod revision;
mod sheet;
mod store;
#[cfg(test)]
mod tests;

pub use entry::{Entry, Priority};
pub use matching::{Contradiction, Hit, How};
pub use sheet::{Remark, Sheet};
pub use store::{Applied, Hotlist, ImportOptions, ListHead, Report};

//! People: who may sign on, with which PIN, and what each role may do.
//!
//! The back office keeps a [`Roll`] and hands it down; a car keeps it sealed in its journal, so that signing on needs no
//! network. [`may`] is the one place that says who may do what.

mod pin;
mod rights;
mod roll;
mod secret;

pub use pin::{Pin, PinHash};
pub use rights::{Right, Role, may};
pub use roll::{Change, MOST_BYTES, Person, ROLL, Roll, number};
pub(crate) use secret::Cost;
#[cfg(feature = "vehicle")]
pub(crate) use secret::first_line;

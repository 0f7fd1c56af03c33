//! The conversation between car and back office: wire format and the car's side.
//!
//! [`wire`] has the messages, their framing and their limits; [`car`] keeps the link to the office up, uploads what
//! the journal holds, and fetches the car's lists; [`present`] is how the car is now. Who speaks is decided by certificates
//! ([`identity`]); [`enrol`] is how a car comes by one. The office's side is in the office room.

pub mod car;
pub mod enrol;
pub mod identity;
pub(crate) mod packing;
pub(crate) mod pipes;
pub mod present;
pub mod wire;

pub use car::{Link, LinkState, Outbox, Status};
pub use present::{Health, Pace, Position, Present};
pub use wire::{Item, Kind};

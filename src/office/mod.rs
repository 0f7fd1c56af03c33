//! The back office: service, store and identities.
//!
//! One folder holds an office: its authority and identity, the register of enrolled units, the store, and an inbox
//! through which other commands hand lists to the running service. [`init`] makes it, [`enrol`] and [`revoke`] decide
//! which cars may speak to it, [`Service`] is it, [`fleet`] says what it last knew.

mod authority;
mod connection;
mod files;
mod inbox;
#[cfg(test)]
mod loopback;
#[cfg(test)]
mod pair;
mod publish;
mod register;
mod service;
mod session;
mod status;
mod store;
mod writer;

pub use authority::{enrol, init, revoke};
pub use inbox::offer_revision;
pub use publish::publish;
pub use service::{Service, serve, signalled};
pub use session::ListInfo;
pub use status::{Fleet, UnitStatus, fleet};
pub use store::{Outcome, Received, RedbStore, Store, UnitCounts};

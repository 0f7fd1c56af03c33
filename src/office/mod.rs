//! The back office: service, store and identities.
//!
//! One folder holds an office: its authority and identity, the register of enrolled units, the store, and an inbox
//! through which other commands hand lists to the running service. [`init`] makes it, [`enrol`] and [`revoke`] decide
//! which cars may speak to it, [`Service`] is it, [`fleet`] says what it last knew.

mod amend;
mod authority;
mod changes;
mod connection;
mod crews;
mod files;
#[cfg(test)]
mod floods;
mod heads;
mod inbox;
#[cfg(test)]
mod loopback;
#[cfg(test)]
mod networks;
#[cfg(test)]
mod pair;
mod people;
mod publish;
mod register;
mod service;
mod session;
mod status;
mod store;
mod writer;

pub use amend::{Amended, Order, amend};
pub use authority::{enrol, init, revoke};
pub use changes::{ListChange, changes};
pub use crews::{Stated, crews};
pub use heads::{Anchored, check_chain, findings, heads};
pub use inbox::offer_revision;
pub use people::{PeopleChange, change_people, people, people_changes};
pub use publish::{Publication, publish};
pub use service::{Service, serve, signalled};
pub use session::ListInfo;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use session::converse;
pub use status::{Fleet, UnitStatus, fleet};
pub use store::{Outcome, Received, RedbStore, Store, Stored, UnitCounts};

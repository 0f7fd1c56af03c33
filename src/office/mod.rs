//! The back office: service, store and identities.
//!
//! One folder holds an office: its authority and identity, the register of enrolled units, the store, and an inbox
//! through which other commands hand lists to the running service. [`init`] makes it, [`make_code`] and [`revoke`] decide
//! which cars may speak to it, [`Service`] is it, [`fleet`] says what it last knew.

mod amend;
mod authority;
mod begun;
mod changes;
mod codes;
mod connection;
mod crews;
mod door;
mod enrolment;
mod files;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod gate;
mod handshakes;
mod heads;
mod inbox;
#[cfg(test)]
mod loopback;
#[cfg(test)]
mod metered;
mod names;
#[cfg(test)]
mod networks;
#[cfg(test)]
mod overtaking;
#[cfg(test)]
mod pair;
mod patience;
mod people;
#[cfg(test)]
mod prompt;
mod publish;
mod record;
mod register;
mod retention;
mod service;
mod session;
mod settings;
mod status;
mod store;
#[cfg(test)]
mod stuck;
mod told;
mod verdicts;
mod watch;
mod writer;
#[cfg(test)]
mod years;

pub use amend::{Amended, Order, amend};
pub use authority::{enrol, init};
pub use changes::{ListChange, changes};
pub use codes::{OpenCode, make_code, open_codes, withdraw_code};
pub use crews::{Stated, crews};
pub use door::{Enrolled, Revocation, revoke, units};
pub use heads::{Anchored, check_chain, findings, heads};
pub use inbox::offer_revision;
pub use names::{add_names, names};
pub use people::{PeopleChange, change_people, people, people_changes};
pub use publish::{Publication, publish};
pub use record::{Enrolment, enrolments};
pub use retention::{Retention, RetentionChange, purge, retention, retention_changes, set_retention};
pub use service::{Service, serve, signalled};
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use session::converse;
pub use session::{ListInfo, StoredPiece};
pub use settings::{SettingsChange, set_settings, settings, settings_changes};
pub use status::{Fleet, Live, POSITIONS_KEPT, UnitStatus, fleet};
pub use store::{Outcome, Received, RedbStore, Store, Stored, UnitCounts};

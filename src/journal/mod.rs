//! The car's own record: reads, hits, verdicts, faults and notes, on disk before anything is said of them.
//!
//! [`Journal::record`] hands a record to one writer thread and returns at once; whatever has queued up while a commit was
//! on its way to the disk goes into the next one, so there is one fsync for a batch however fast reads come.
//! [`Archive`] is what lies on disk: the upload queue, retention, export and verification. What names a plate, a place or a
//! person is sealed there, under keys that [`Key`] unlocks; see docs/design/journal.md.

mod archive;
mod bundle;
mod chain;
mod export;
mod keyfile;
mod lock;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod outside;
mod people;
mod purge;
mod queue;
mod reckon;
mod record;
mod room;
mod search;
mod settings;
mod sizes;
mod takeover;
mod tpm;
mod vault;
mod verify;
mod writer;

#[cfg(test)]
mod at_rest;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod fills;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;

pub use archive::{Archive, lists_seal, wanting};
pub use bundle::verify_bundle;
pub use chain::{Act, Chain, Deed, Noted};
pub use lock::{Key, Passphrase, Protection, make_token};
pub use people::{KeptRoll, Refusal, SetUp, SignedOn};
pub use purge::{Keep, Purged, Report};
pub use queue::{Item, ItemKind, Wanted};
pub use record::Record;
pub use room::{Gone, Room, Space};
pub use search::Passed;
pub use sizes::Sizes;
pub use tpm::Tpm;
pub use verify::Verified;
pub use writer::{Journal, Status};

//! The car's own record: reads, hits, verdicts, faults and notes, on disk before anything is said of them.
//!
//! [`Journal::record`] hands a record to one writer thread and returns at once; whatever has queued up while a commit was
//! on its way to the disk goes into the next one, so there is one fsync for a batch however fast reads come.
//! [`Archive`] is what lies on disk: the upload queue, retention, export and verification.

mod archive;
mod export;
mod purge;
mod queue;
mod record;
mod search;
mod verify;
mod writer;

#[cfg(test)]
mod kill;
#[cfg(test)]
mod tests;

pub use archive::Archive;
pub use purge::{Keep, Purged};
pub use queue::{Item, ItemKind};
pub use record::Record;
pub use search::Passed;
pub use verify::Verified;
pub use writer::{Journal, Status};

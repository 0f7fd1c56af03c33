//! The lists of wanted vehicles that the car carries with it, and what a read means against them.
//!
//! A list comes as CSV, or as a signed revision that the back office hands down: whole, or as a change of the one before.
//! Either is applied in one transaction, or not at all, while matching goes on against what was there.
//!
//! Matching holds every listed VRM in memory as a number and asks the disk only for the entry of a hit. It weighs every
//! text that the read's characters allow against all other vehicles (`likely`, `traffic`), and follows all patterns of a
//! list at once (`patterns`).

mod block;
mod chain;
mod entry;
mod head;
mod import;
mod index;
mod judge;
mod likely;
mod mark;
mod matching;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod outside;
mod own;
mod patterns;
mod revision;
mod sheet;
mod signing;
mod snapshot;
mod sort;
mod statement;
mod store;
mod takeover;
#[cfg(test)]
mod tests;
mod traffic;
mod typed;
mod verdicts;
mod writer;

pub use chain::{Amendment, Applied, Published};
pub use entry::{Entry, Priority};
pub use head::{Colour, Hours, ListHead, Settings, Thresholds, Tone};
pub use import::{ImportOptions, Progress, Report, Watch, entries};
pub use judge::{Judgement, Precision, SilentPair};
pub use mark::{Mark, NotAMark, Pattern};
pub use matching::{Circumstances, Contradiction, Grade, Hit, How, Weakest};
pub use own::OWN;
pub use revision::Signed;
pub use sheet::Remark;
pub use signing::{SigningKey, VerifyingKey};
pub use statement::{Said, Statement};
pub use store::{FILE, Hotlist, Standing};
pub use typed::typed;
pub use verdicts::{KEPT as VERDICTS_KEPT, MOST_BYTES as VERDICTS_BYTES, VERDICTS, Verdict, Verdicts};

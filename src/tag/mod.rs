//! Puts reads on the map and on the world's clock.
//!
//! NMEA comes from a serial port, or from a log that is paced by the video's own time. Only fixes whose
//! sentences belong to one epoch count, and they age by the unit's clock: a receiver that has gone quiet
//! makes positions stale and then absent, never wrong. UTC is the satellites' where they have told it;
//! where they have not it is the system's, and says so. What is known of both clocks is told, so that times can be
//! corrected later; see docs/design/time.md.

mod fixes;
mod lines;
mod log;
mod serial;
mod sun;
mod tagger;
mod time;

#[cfg(test)]
pub(crate) use fixes::tests::epoch as sample;
pub use fixes::{Counts, Fixes, Limits, Place};
pub use log::NmeaLog;
pub use serial::{Event, Opener, SerialReceiver};
pub use sun::sun_altitude;
pub use tagger::{TaggedRead, Tagger};
pub use time::{Told, TrustedTime, When, drift};

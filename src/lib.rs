//! Outrider: the number plate reader that rides in a patrol car.
//!
//! Data flows one way through the rooms below; a room imports the ground floor and the types of
//! rooms upstream of it, never downstream.
//!
//! ```text
//! camera ─► capture ─► recognise ─► tag ─► hotlist ─► alert ─► screen, speaker
//!           Frame      Look→Read    Read    Hit        Alert
//!                                    │        │          │
//!                                    └────────┴──────────┴──► journal ─► sync ═QUIC═► office
//! ```

// The ground floor: any room may use these.
pub mod anchor;
pub mod clock;
pub mod config;
pub mod fault;
mod files;
pub mod people;
pub mod plate;
pub mod seal;
pub mod settings;

// The rooms, in the order in which data passes through them.
#[cfg(feature = "vehicle")]
pub mod alert;
#[cfg(feature = "vehicle")]
pub mod capture;
pub mod hotlist;
#[cfg(feature = "vehicle")]
pub mod journal;
#[cfg(feature = "office")]
pub mod office;
pub mod recognise;
#[cfg(feature = "vehicle")]
pub mod screen;
pub mod sync;
#[cfg(feature = "vehicle")]
pub mod tag;

// Everything joined, and the commands.
pub mod cli;
#[cfg(feature = "vehicle")]
pub mod unit;

// Every decoder of bytes from outside, for the fuzzers and the test of their seeds.
#[cfg(any(test, feature = "fuzz"))]
pub mod outside;

// Bad networks, made on purpose for tests and measurements.
#[cfg(any(test, feature = "vehicle"))]
pub mod road;

// The made-up drive that the demo and the tests play.
#[cfg(feature = "vehicle")]
pub mod drive;

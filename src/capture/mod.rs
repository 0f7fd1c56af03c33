//! Pictures in: cameras, files and network streams through GStreamer.

mod frame;

pub use frame::{Frame, Picture, Plane};

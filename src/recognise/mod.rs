//! Finds plates, reads them, follows them and fuses their looks into reads. Candle's types stay in here.

mod read;

pub use read::{Character, Corners, Read, ReadId, Thumbnail};

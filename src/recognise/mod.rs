//! Finds plates, reads them, follows them and fuses their looks into reads. Candle's types stay in here.
//!
//! A frame passes three networks (`docs/design/models.md`): the *finder* gives boxes, the *aligner* the four corners
//! of one plate, the *reader* probabilities along its text. `follow` keeps vehicles apart from frame to frame, a
//! `track` is one of them, and `fuse` makes one text of all its looks.

mod read;

#[cfg(feature = "vehicle")]
mod align;
#[cfg(feature = "vehicle")]
mod ctc;
#[cfg(feature = "vehicle")]
mod direct;
#[cfg(feature = "vehicle")]
mod find;
#[cfg(feature = "vehicle")]
mod follow;
#[cfg(feature = "vehicle")]
mod fuse;
#[cfg(feature = "vehicle")]
mod glyphs;
#[cfg(feature = "vehicle")]
mod kernels;
#[cfg(feature = "vehicle")]
mod model;
#[cfg(feature = "vehicle")]
mod network;
#[cfg(feature = "vehicle")]
mod plan;
#[cfg(feature = "vehicle")]
mod sample;
#[cfg(feature = "vehicle")]
mod still;
#[cfg(feature = "vehicle")]
mod straighten;
#[cfg(feature = "vehicle")]
mod track;
#[cfg(feature = "vehicle")]
mod vectors;
#[cfg(feature = "vehicle")]
mod winograd;

pub use read::{Character, Corners, Read, ReadId, Thumbnail};

#[cfg(feature = "vehicle")]
pub use self::{
    follow::{InView, Passes, Recogniser, Timings},
    kernels::matrix_product,
    model::{Model, Role},
    network::{LayerCost, Network},
    still::{StillPlate, Stills},
};

/// The three networks that recognition runs.
#[cfg(feature = "vehicle")]
#[derive(Debug)]
pub struct Models {
    /// Boxes in a whole picture.
    pub finder: Model,
    /// Corners of one plate.
    pub aligner: Model,
    /// Text of one plate.
    pub reader: Model,
}

#[cfg(feature = "vehicle")]
impl Models {
    /// The networks that are part of this program, or those in `folder`.
    pub fn load(folder: Option<&std::path::Path>) -> crate::fault::Result<std::sync::Arc<Self>> {
        Ok(std::sync::Arc::new(Self {
            finder: Model::load(Role::Finder, folder)?,
            aligner: Model::load(Role::Aligner, folder)?,
            reader: Model::load(Role::Reader, folder)?,
        }))
    }
}

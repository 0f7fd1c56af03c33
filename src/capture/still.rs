//! One picture file, decoded.

use std::path::Path;

use super::feed::Pace;
use super::{Picture, pipeline, reason, whole};
use crate::fault::{Fault, Kind, Result};

/// What to do about a damaged picture.
const AGAIN: &str = "Copy or export it again";

/// Decodes the picture file at `path`: JPEG, PNG and whatever else GStreamer's decoders know, into the decoder's
/// own I420, NV12 or GRAY8 planes, or I420 where it gives something else. An EXIF rotation is not applied: pixels
/// are those of the file.
///
/// # Errors
/// A file that is missing, empty, cut short or no picture.
pub fn still(path: &Path) -> Result<Picture> {
    reason::check_file(path, "picture")?;
    let fault = |kind, why: String| Fault::new(kind, "cannot decode the picture").at(path.display()).because(why);
    if let Some(cut) = whole::cut_short(path) {
        return Err(fault(Kind::Damaged, cut).remedy(AGAIN));
    }
    let mut file = pipeline::file(path, Pace::AsFast)?;
    let (picture, media) = file.first_picture()?;
    if !media.starts_with("image/") {
        return Err(fault(Kind::Damaged, format!("it holds {media}, not a picture"))
            .remedy("Play videos with `outrider replay`"));
    }
    picture.ok_or_else(|| fault(Kind::Damaged, "no picture comes out of it".to_owned()).remedy(AGAIN))
}

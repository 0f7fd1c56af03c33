//! Pictures as they are kept, and as the national ANPR service takes them: a plate of 120 x 60 pixels and 3 KB, an overview of
//! 25 KB. These figures stand in the Metropolitan Police's data protection impact assessment of January 2025 (page 11), which
//! names the technical specifications of NASPLE as their source; the specifications themselves are not public.

use image::imageops::FilterType;
use image::{ImageFormat, RgbImage};
use jpeg_encoder::SamplingFactor;

use super::record::{Which, jpeg};
use crate::fault::{Fault, Kind, Result};
use crate::recognise::Thumbnail;

/// How large pictures are handed out. They are kept as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sizes {
    /// As they were cut from the frame.
    #[default]
    Native,
    /// As the national service takes them.
    National,
}

/// Kilobytes here are thousands of bytes: what fits these fits the others too.
const PATCH: Most = Most { width: 120, height: 60, bytes: 3_000 };
/// Nothing is said of an overview's pixels.
const OVERVIEW: Most = Most { width: u32::MAX, height: u32::MAX, bytes: 25_000 };
/// Qualities that are tried, the best first; below the last the picture itself gets smaller.
const QUALITIES: [u8; 6] = [90, 80, 70, 60, 50, 40];

struct Most {
    width: u32,
    height: u32,
    bytes: usize,
}

impl Sizes {
    /// `kept` as it is handed out.
    ///
    /// # Errors
    /// It is no picture.
    pub(super) fn of(self, which: Which, kept: &[u8]) -> Result<Vec<u8>> {
        let most = match (self, which) {
            (Self::Native, _) => return Ok(kept.to_vec()),
            (Self::National, Which::Patch) => PATCH,
            (Self::National, Which::Overview) => OVERVIEW,
        };
        let wrong = |why: String| Fault::new(Kind::Damaged, "a picture of the journal is none").because(why);
        let picture =
            image::load_from_memory_with_format(kept, ImageFormat::Jpeg).map_err(|why| wrong(why.to_string()))?;
        let (width, height) = (picture.width(), picture.height());
        if width <= most.width && height <= most.height && kept.len() <= most.bytes {
            return Ok(kept.to_vec());
        }
        let picture = picture.to_rgb8();
        let mut scale =
            (f64::from(most.width) / f64::from(width)).min(f64::from(most.height) / f64::from(height)).min(1.0);
        loop {
            let side = |side: u32| ((f64::from(side) * scale).floor() as u32).max(1);
            let smaller = scaled(&picture, side(width), side(height));
            for quality in QUALITIES {
                let bytes = jpeg(&smaller, quality, SamplingFactor::F_2_2);
                let bytes = bytes.ok_or_else(|| wrong(format!("it has {width} x {height} pixels")))?;
                // One pixel is as small as a picture gets.
                if bytes.len() <= most.bytes || (smaller.width, smaller.height) == (1, 1) {
                    return Ok(bytes);
                }
            }
            scale *= 0.8;
        }
    }
}

fn scaled(picture: &RgbImage, width: u32, height: u32) -> Thumbnail {
    let rgb = if picture.dimensions() == (width, height) {
        picture.as_raw().clone()
    } else {
        image::imageops::resize(picture, width, height, FilterType::CatmullRom).into_raw()
    };
    Thumbnail { width: width as usize, height: height as usize, rgb }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grain, which compresses worst.
    fn grain(width: usize, height: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        let rgb = (0..width * height * 3).map(|_| random.u8(..)).collect();
        jpeg(&Thumbnail { width, height, rgb }, 95, SamplingFactor::F_1_1).expect("a picture")
    }

    fn sized(which: Which, kept: &[u8]) -> (u32, u32, usize) {
        let bytes = Sizes::National.of(which, kept).expect("a picture");
        let picture = image::load_from_memory(&bytes).expect("a picture");
        (picture.width(), picture.height(), bytes.len())
    }

    #[test]
    fn the_largest_pictures_fit_what_the_national_service_takes_and_keep_their_shape() {
        let (width, height, bytes) = sized(Which::Patch, &grain(320, 80));
        assert!(width <= 120 && bytes <= 3_000, "{width} x {height}, {bytes} bytes");
        assert!((3.6..4.4).contains(&(f64::from(width) / f64::from(height))), "{width} x {height}");
        let (width, height, bytes) = sized(Which::Patch, &grain(160, 160));
        assert!(height <= 60 && width == height && bytes <= 3_000, "{width} x {height}, {bytes} bytes");
        let (width, height, bytes) = sized(Which::Overview, &grain(640, 480));
        let shape = f64::from(width) / f64::from(height);
        assert!(bytes <= 25_000 && (1.32..1.35).contains(&shape), "{width} x {height}, {bytes} bytes");
        // Characters are as legible as they can be: no smaller than the bytes demand.
        let (width, _, _) = sized(Which::Patch, &plain(320, 80));
        assert_eq!(width, 120);
    }

    fn plain(width: usize, height: usize) -> Vec<u8> {
        let rgb = vec![200; width * height * 3];
        jpeg(&Thumbnail { width, height, rgb }, 85, SamplingFactor::F_1_1).expect("a picture")
    }

    #[test]
    fn what_fits_already_and_what_is_handed_out_as_it_was_is_not_touched() {
        let small = plain(100, 24);
        assert_eq!(Sizes::National.of(Which::Patch, &small).expect("a picture"), small);
        let large = grain(320, 160);
        assert_eq!(Sizes::Native.of(Which::Patch, &large).expect("a picture"), large);
        assert!(Sizes::National.of(Which::Patch, b"none").is_err());
    }
}

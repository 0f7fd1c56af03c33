//! One picture from one camera, held by reference in the decoder's own planes.

use std::sync::Arc;
use std::time::Duration;

use gstreamer_video::prelude::*;
use gstreamer_video::{VideoColorMatrix, VideoColorRange, VideoFormat, VideoFrame, video_frame::Readable};

use crate::clock::Moment;

/// One picture from one camera, with the instant it was captured.
pub struct Frame {
    /// The camera's name from the configuration, or the file's.
    pub camera: Arc<str>,
    /// Counts the frames that the source delivered, from 0; a gap is a dropped frame.
    pub number: u64,
    /// The instant of capture on the unit's clock (of a file: when it was handed out).
    pub at: Moment,
    /// The source's own time: position in a file, running time of a live source.
    pub time: Duration,
    /// The picture.
    pub picture: Picture,
}

/// A picture as planes of 8-bit samples: luma at full size, chroma at half size in both directions.
pub struct Picture {
    width: usize,
    height: usize,
    store: Store,
}

/// How luma and colour difference become red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colours {
    /// The standard that the weights come from.
    pub matrix: Matrix,
    /// Whether samples use all of 0 to 255 (JPEG) or 16 to 235 and 16 to 240 (video).
    pub full_range: bool,
}

/// The standard that the weights of red, green and blue in luma come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matrix {
    /// ITU-R BT.601: standard definition video, and JPEG.
    Bt601,
    /// ITU-R BT.709: high definition video.
    Bt709,
}

enum Store {
    /// A decoder's buffer, mapped: no byte is copied.
    Mapped(Box<VideoFrame<Readable>>),
    /// I420 with tight rows, for pictures that were made in memory.
    Owned(Vec<u8>),
}

/// A rectangular array of 8-bit samples whose rows may be padded.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    /// The samples, row after row, each row `stride` bytes from the one before.
    pub data: &'a [u8],
    /// Bytes from one row to the next; at least `width * step`.
    pub stride: usize,
    /// Bytes from one sample to the next: 1, or 2 where two chroma planes are interleaved.
    pub step: usize,
    /// Samples a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl<'a> Plane<'a> {
    /// The bytes of row `y`, from its first sample.
    ///
    /// # Panics
    /// If `y` is not below `height`.
    pub fn row(&self, y: usize) -> &'a [u8] {
        assert!(y < self.height);
        let start = y * self.stride;
        let end = (start + self.width * self.step).min(self.data.len());
        &self.data[start..end]
    }
}

impl Picture {
    /// A picture over a mapped decoder buffer; `None` if its format is not I420, NV12 or GRAY8.
    pub fn mapped(frame: VideoFrame<Readable>) -> Option<Self> {
        match frame.format() {
            VideoFormat::I420 | VideoFormat::Nv12 | VideoFormat::Gray8 => Some(Self {
                width: frame.width() as usize,
                height: frame.height() as usize,
                store: Store::Mapped(Box::new(frame)),
            }),
            _ => None,
        }
    }

    /// A picture of `width` x `height` pixels from I420 bytes with tight rows: luma, then the two chroma
    /// planes of `ceil(width/2) x ceil(height/2)`. Without chroma bytes it is grey. `None` if `bytes` has
    /// neither length.
    pub fn owned(width: usize, height: usize, bytes: Vec<u8>) -> Option<Self> {
        let luma = width * height;
        let chroma = width.div_ceil(2) * height.div_ceil(2);
        (bytes.len() == luma || bytes.len() == luma + 2 * chroma).then_some(Self {
            width,
            height,
            store: Store::Owned(bytes),
        })
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// How the samples become colours: as the decoder says, else video of the usual standard for the height.
    pub fn colours(&self) -> Colours {
        let by_height = if self.height >= 720 { Matrix::Bt709 } else { Matrix::Bt601 };
        let Store::Mapped(frame) = &self.store else { return Colours { matrix: by_height, full_range: false } };
        let said = frame.info().colorimetry();
        Colours {
            matrix: match said.matrix() {
                VideoColorMatrix::Bt601 | VideoColorMatrix::Fcc | VideoColorMatrix::Smpte240m => Matrix::Bt601,
                VideoColorMatrix::Bt709 | VideoColorMatrix::Bt2020 => Matrix::Bt709,
                _ => by_height,
            },
            full_range: said.range() == VideoColorRange::Range0_255,
        }
    }

    /// The luma plane.
    pub fn luma(&self) -> Plane<'_> {
        match &self.store {
            Store::Mapped(frame) => Plane {
                // A mapped frame of an accepted format has a plane 0.
                data: frame.plane_data(0).unwrap_or(&[]),
                stride: frame.plane_stride()[0] as usize,
                step: 1,
                width: self.width,
                height: self.height,
            },
            Store::Owned(bytes) => Plane {
                data: &bytes[..self.width * self.height],
                stride: self.width,
                step: 1,
                width: self.width,
                height: self.height,
            },
        }
    }

    /// The two chroma planes (blue difference, red difference); `None` for a grey picture.
    pub fn chroma(&self) -> Option<(Plane<'_>, Plane<'_>)> {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        match &self.store {
            Store::Mapped(frame) => {
                let plane = |index: usize, offset: usize, step: usize| {
                    Some(Plane {
                        data: frame.plane_data(index as u32).ok()?.get(offset..)?,
                        stride: *frame.plane_stride().get(index)? as usize,
                        step,
                        width,
                        height,
                    })
                };
                match frame.format() {
                    VideoFormat::I420 => Some((plane(1, 0, 1)?, plane(2, 0, 1)?)),
                    VideoFormat::Nv12 => Some((plane(1, 0, 2)?, plane(1, 1, 2)?)),
                    _ => None,
                }
            }
            Store::Owned(bytes) => {
                let (start, size) = (self.width * self.height, width * height);
                let plane = |at: usize| {
                    bytes.get(at..at + size).map(|data| Plane { data, stride: width, step: 1, width, height })
                };
                Some((plane(start)?, plane(start + size)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_pictures_have_the_planes_their_length_says() {
        assert!(Picture::owned(5, 3, vec![0; 15 + 12]).is_some_and(|p| p.chroma().is_some()));
        assert!(Picture::owned(5, 3, vec![0; 15]).is_some_and(|p| p.chroma().is_none()));
        assert!(Picture::owned(5, 3, vec![0; 16]).is_none());
    }

    #[test]
    fn a_row_has_its_own_samples_whatever_the_padding() {
        let data = [1, 2, 3, 9, 4, 5, 6];
        let plane = Plane { data: &data, stride: 4, step: 1, width: 3, height: 2 };
        assert_eq!(plane.row(0), &[1, 2, 3]);
        assert_eq!(plane.row(1), &[4, 5, 6]);
    }
}

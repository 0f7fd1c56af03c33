//! Colour for the few places that need it: plate patches and thumbnails.
//!
//! Only the region asked for is converted, after it has been scaled down; converting whole frames would cost more
//! than decoding them.

use super::frame::{Colours, Matrix, Picture, Plane};

/// The region of `picture` with its top-left corner at (`x`, `y`) and `w` x `h` pixels, as `out_w` x `out_h` pixels
/// of 8-bit red, green, blue with tight rows. What lies outside the picture is clipped off first. Each output pixel
/// is the mean of the pixels that it covers; scaling up repeats pixels. A region wholly outside is black.
pub fn region_rgb(picture: &Picture, x: i32, y: i32, w: usize, h: usize, out_w: usize, out_h: usize) -> Vec<u8> {
    let mut out = vec![0; out_w * out_h * 3];
    let (x0, x1) = clip(x, w, picture.width());
    let (y0, y1) = clip(y, h, picture.height());
    if x0 == x1 || y0 == y1 || out.is_empty() {
        return out;
    }
    let weights = Weights::new(picture.colours());
    let luma = picture.luma();
    let chroma = picture.chroma();
    let (mut light, mut blueness, mut redness) = (Columns::default(), Columns::default(), Columns::default());
    for (row, line) in out.chunks_exact_mut(out_w * 3).enumerate() {
        let ys = span(row, out_h, y0, y1);
        light.sum(&luma, (x0, x1), ys);
        if let Some((blue, red)) = &chroma {
            blueness.sum(blue, halved((x0, x1)), halved(ys));
            redness.sum(red, halved((x0, x1)), halved(ys));
        }
        for (column, pixel) in line.chunks_exact_mut(3).enumerate() {
            let xs = span(column, out_w, x0, x1);
            let (u, v) = match chroma {
                Some(_) => (blueness.mean(halved(xs)), redness.mean(halved(xs))),
                None => (128, 128),
            };
            pixel.copy_from_slice(&weights.rgb(light.mean(xs), u, v));
        }
    }
    out
}

/// The part of `start..start + length` that lies in `0..limit`.
fn clip(start: i32, length: usize, limit: usize) -> (usize, usize) {
    let (start, limit) = (i64::from(start), limit as i64);
    let end = start.saturating_add(i64::try_from(length).unwrap_or(i64::MAX)).clamp(0, limit);
    (start.clamp(0, end) as usize, end as usize)
}

/// What output sample `index` of `count` covers of `from..to`: at least one sample.
fn span(index: usize, count: usize, from: usize, to: usize) -> (usize, usize) {
    let length = to - from;
    let start = from + index * length / count;
    (start, (from + (index + 1) * length / count).max(start + 1))
}

/// The chroma samples that belong to a span of luma samples.
fn halved((start, end): (usize, usize)) -> (usize, usize) {
    (start / 2, end.div_ceil(2))
}

/// Sums of the samples of each column over some rows, of which all pixels of a row are made: whole rows are summed several
/// samples at once, single pixels would not be.
#[derive(Default)]
struct Columns {
    sums: Vec<u32>,
    from: usize,
    rows: usize,
}

impl Columns {
    fn sum(&mut self, plane: &Plane<'_>, (x0, x1): (usize, usize), (y0, y1): (usize, usize)) {
        (self.from, self.rows) = (x0, y1 - y0);
        self.sums.clear();
        self.sums.resize(x1 - x0, 0);
        for y in y0..y1 {
            let row = &plane.row(y)[x0 * plane.step..];
            match plane.step {
                1 => self.sums.iter_mut().zip(row).for_each(|(sum, sample)| *sum += u32::from(*sample)),
                step => {
                    let samples = row.iter().step_by(step);
                    self.sums.iter_mut().zip(samples).for_each(|(sum, sample)| *sum += u32::from(*sample));
                }
            }
        }
    }

    /// The mean of columns `x0..x1`.
    fn mean(&self, (x0, x1): (usize, usize)) -> i32 {
        let sum: u64 = self.sums[x0 - self.from..x1 - self.from].iter().map(|sum| u64::from(*sum)).sum();
        let count = ((x1 - x0) * self.rows) as u64;
        ((sum + count / 2) / count) as i32
    }
}

/// Weights in 65536ths.
struct Weights {
    black: i32,
    luma: i32,
    red: i32,
    green: (i32, i32),
    blue: i32,
}

impl Weights {
    fn new(colours: Colours) -> Self {
        let (kr, kb) = match colours.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
        };
        let kg = 1.0 - kr - kb;
        let (black, luma, chroma) = if colours.full_range { (0, 1.0, 1.0) } else { (16, 255.0 / 219.0, 255.0 / 224.0) };
        let fixed = |weight: f64| (weight * 65536.0).round() as i32;
        Self {
            black,
            luma: fixed(luma),
            red: fixed(2.0 * (1.0 - kr) * chroma),
            green: (fixed(-2.0 * kb * (1.0 - kb) / kg * chroma), fixed(-2.0 * kr * (1.0 - kr) / kg * chroma)),
            blue: fixed(2.0 * (1.0 - kb) * chroma),
        }
    }

    fn rgb(&self, y: i32, u: i32, v: i32) -> [u8; 3] {
        let y = (y - self.black) * self.luma + 32768;
        let (u, v) = (u - 128, v - 128);
        let byte = |value: i32| (value >> 16).clamp(0, 255) as u8;
        [byte(y + self.red * v), byte(y + self.green.0 * u + self.green.1 * v), byte(y + self.blue * u)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of one colour, as video of standard definition.
    fn plain(width: usize, height: usize, y: u8, u: u8, v: u8) -> Vec<u8> {
        let chroma = width.div_ceil(2) * height.div_ceil(2);
        [vec![y; width * height], vec![u; chroma], vec![v; chroma]].concat()
    }

    #[test]
    fn the_primary_colours_of_bt601_come_out_right() {
        for ((y, u, v), rgb) in [
            ((16, 128, 128), [0, 0, 0]),
            ((235, 128, 128), [255, 255, 255]),
            ((81, 90, 240), [255, 0, 0]),
            ((145, 54, 34), [0, 255, 0]),
            ((41, 240, 110), [0, 0, 255]),
        ] {
            let picture = Picture::owned(5, 3, plain(5, 3, y, u, v)).expect("the right length");
            for pixel in region_rgb(&picture, 0, 0, 5, 3, 4, 2).chunks(3) {
                for (got, wanted) in pixel.iter().zip(rgb) {
                    assert!(i32::from(*got).abs_diff(wanted) <= 1, "{pixel:?} for {rgb:?}");
                }
            }
        }
    }

    #[test]
    fn high_definition_uses_bt709() {
        let picture = Picture::owned(2, 720, plain(2, 720, 63, 102, 240)).expect("the right length");
        let rgb = region_rgb(&picture, 0, 0, 2, 2, 1, 1);
        assert!(rgb[0] >= 254 && rgb[1] <= 1 && rgb[2] <= 1, "{rgb:?}");
    }

    #[test]
    fn each_pixel_is_the_mean_of_what_it_covers() {
        // Columns of 16, 235, 16, 235: halved in width, every pixel is mid grey.
        let bytes: Vec<u8> = (0..4 * 4).map(|n| if n % 2 == 0 { 16 } else { 235 }).collect();
        let picture = Picture::owned(4, 4, bytes).expect("grey");
        assert!(region_rgb(&picture, 0, 0, 4, 4, 2, 2).iter().all(|v| (127..=129).contains(v)));
        // Not scaled: the columns themselves.
        assert_eq!(region_rgb(&picture, 1, 0, 2, 1, 2, 1), [255, 255, 255, 0, 0, 0]);
    }

    #[test]
    fn regions_are_clipped_to_the_picture() {
        let bytes: Vec<u8> = (0..16).map(|n| if n < 8 { 16 } else { 235 }).collect();
        let picture = Picture::owned(4, 4, bytes).expect("grey");
        assert_eq!(region_rgb(&picture, -3, -3, 5, 5, 1, 1), [0, 0, 0]);
        assert_eq!(region_rgb(&picture, 2, 2, 900, 900, 1, 1), [255, 255, 255]);
        assert_eq!(region_rgb(&picture, 40, 0, 3, 3, 1, 1), [0, 0, 0]);
        assert_eq!(region_rgb(&picture, i32::MIN, i32::MAX, usize::MAX, 3, 1, 1), [0, 0, 0]);
        assert!(region_rgb(&picture, 0, 0, 4, 4, 0, 5).is_empty());
    }
}

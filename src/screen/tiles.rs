//! Map tiles that the technician supplied, as an MBTiles or PMTiles file of PNG or JPEG pictures: what lies under the drawn
//! map. A thread reads and decodes them, so that the window waits for no disk.

mod mbtiles;
mod pmtiles;

use std::collections::HashMap;
use std::f64::consts::PI;
use std::io::{Cursor, Read};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use image::{ImageReader, Limits};
#[cfg(test)]
use rusqlite::Connection;
use tiny_skia::{FilterQuality, Pixmap, PixmapPaint, PremultipliedColorU8, Transform};

use self::mbtiles::MbTiles;
use self::pmtiles::{MAGIC, PmTiles};
use crate::fault::{Fault, Kind, Result};

/// Pixels of a tile's side.
const SIDE: f64 = 256.0;
/// Metres a pixel of the only tile of zoom 0, at the equator.
const WHOLE_EARTH: f64 = 156_543.033_928;
/// An underlay is this much larger than the page, so that the car can move on it.
const MARGIN: f64 = 1.5;
/// The deepest zoom of any map: a tile of it is as wide as a hand.
const DEEPEST: u32 = 30;
/// Tiles side by side of one picture: of the zoom that fits there are some eight. A file that only has far finer ones shows bare
/// ground, since they would be drawn for minutes.
const ABREAST: u32 = 64;
/// The largest side of a tile, pixels.
const LARGEST: u32 = 2048;
/// The most memory that decoding one takes, bytes.
const MOST_BYTES: u64 = 64 << 20;
/// Decoded tiles that are kept.
const KEPT: usize = 128;

/// A picture of the ground.
pub(super) struct Underlay {
    pub(super) pixmap: Pixmap,
    /// Latitude and longitude of its middle.
    pub(super) middle: (f64, f64),
    /// Metres a pixel.
    pub(super) metres: f64,
}

/// The file, and the thread that reads it. Dropping it ends the thread.
pub(super) struct Tiles {
    requests: Sender<Request>,
    ready: Arc<Mutex<Option<Arc<Underlay>>>>,
    asked: Option<Request>,
    /// Who made the map, as the file says; has to be shown.
    pub(super) credit: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Request {
    middle: (f64, f64),
    metres: f64,
    size: (u32, u32),
}

impl Tiles {
    /// Opens an MBTiles or PMTiles file.
    ///
    /// # Errors
    /// The file is missing, is no such file, or has other pictures than PNG and JPEG.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path)?;
        let credit = file.0.credit();
        let (requests, inbox) = channel();
        let ready = Arc::new(Mutex::new(None));
        let shown = Arc::clone(&ready);
        std::thread::Builder::new()
            .name("tiles".to_owned())
            .spawn(move || file.serve(&inbox, &shown))
            .map_err(|error| Fault::new(Kind::Internal, "cannot start the thread for map tiles").because(error))?;
        Ok(Self { requests, ready, asked: None, credit: plain(&credit) })
    }

    /// The ground around `here`, if it is ready; asks for it where it is not, or is about to be left.
    pub(super) fn around(&mut self, here: (f64, f64), metres: f64, size: (u32, u32)) -> Option<Arc<Underlay>> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ready = ready.filter(|under| under.metres == metres);
        let reach = |middle: (f64, f64)| {
            let (north, east) = apart(middle, here);
            let room = |side: u32| (MARGIN - 1.0) / 2.0 * f64::from(side) * metres;
            (north.abs() / room(size.1)).max(east.abs() / room(size.0))
        };
        let served = |middle| reach(middle) < 0.5;
        let asked =
            self.asked.is_some_and(|asked| asked.metres == metres && asked.size == size && served(asked.middle));
        if !asked {
            let request = Request { middle: here, metres, size };
            self.asked = Some(request);
            // The thread ends only with this sender, or by a panic that was reported.
            let _ = self.requests.send(request);
        }
        ready.filter(|under| reach(under.middle) <= 1.0)
    }
}

/// Whether a file can lie under the map.
///
/// # Errors
/// The file is missing, is no such file, or has other pictures than PNG and JPEG.
pub fn check(path: &Path) -> Result<()> {
    File::open(path).map(|_| ())
}

/// Metres to the north and to the east from `a` to `b`, which are near each other.
fn apart(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let degree = WHOLE_EARTH * SIDE / 360.0;
    ((b.0 - a.0) * degree, (b.1 - a.1) * degree * a.0.to_radians().cos())
}

/// Without the markup that attributions come with.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for character in text.replace("&copy;", "©").chars() {
        match character {
            '<' => inside = true,
            '>' => inside = false,
            character if !inside => out.push(character),
            _ => {}
        }
    }
    out
}

/// A file of tiles.
trait Archive: Send {
    /// The least and the greatest zoom.
    fn zooms(&self) -> (u32, u32);
    /// Who made the map; may hold markup.
    fn credit(&self) -> String;
    /// The picture of a tile, counted from the north-west; `None` where the file has none.
    fn tile(&mut self, zoom: u32, column: u32, row: u32) -> Option<Vec<u8>>;
}

struct File(Box<dyn Archive>);

impl File {
    fn open(path: &Path) -> Result<Self> {
        let bad = |why: String| {
            Fault::new(Kind::Config, "not a file of map tiles").at(path.display()).because(why).remedy(
                "Name an MBTiles or PMTiles file with PNG or JPEG tiles as `map` under [screen], or leave it out",
            )
        };
        let mut start = [0; MAGIC.len()];
        let is_pmtiles =
            std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *MAGIC;
        let archive: Box<dyn Archive> = match is_pmtiles {
            true => Box::new(PmTiles::open(path).map_err(bad)?),
            false => Box::new(MbTiles::open(path).map_err(bad)?),
        };
        let (_, most) = archive.zooms();
        if most > DEEPEST {
            return Err(bad(format!("it has tiles of zoom {most}, and none is deeper than {DEEPEST}")));
        }
        Ok(Self(archive))
    }

    fn serve(&mut self, inbox: &Receiver<Request>, ready: &Mutex<Option<Arc<Underlay>>>) {
        let mut tiles = HashMap::new();
        while let Ok(mut request) = inbox.recv() {
            // The newest counts.
            while let Ok(newer) = inbox.try_recv() {
                request = newer;
            }
            let underlay = self.compose(request, &mut tiles).map(Arc::new);
            *ready.lock().unwrap_or_else(PoisonError::into_inner) = underlay;
        }
    }

    fn compose(&mut self, request: Request, tiles: &mut HashMap<(u32, u32, u32), Option<Pixmap>>) -> Option<Underlay> {
        let Request { middle, metres, size } = request;
        let larger = |side: u32| (f64::from(side) * MARGIN) as u32;
        let (width, height) = (larger(size.0), larger(size.1));
        let mut pixmap = Pixmap::new(width, height)?;
        // The zoom whose pixels are the next smaller than those of the page.
        let finest = (WHOLE_EARTH * middle.0.to_radians().cos() / metres).log2().ceil();
        let (least, most) = self.0.zooms();
        let zoom = (finest.max(0.0) as u32).clamp(least, most);
        let count = 2f64.powi(zoom as i32);
        let scale = WHOLE_EARTH * middle.0.to_radians().cos() / count / metres;
        let (x, y) = mercator(middle, count);
        let span = |at: f64, side: u32| {
            let half = f64::from(side) / 2.0 / scale;
            let first = ((at - half) / SIDE).floor().max(0.0) as u32;
            let last = ((at + half) / SIDE).floor().clamp(0.0, count - 1.0) as u32;
            first..=last
        };
        let (rows, columns) = (span(y, height), span(x, width));
        let many = |span: &RangeInclusive<u32>| span.end().saturating_sub(*span.start()) >= ABREAST;
        if many(&rows) || many(&columns) {
            return Some(Underlay { pixmap, middle, metres });
        }
        if tiles.len() > KEPT {
            tiles.clear();
        }
        let paint = PixmapPaint { quality: FilterQuality::Bilinear, ..PixmapPaint::default() };
        for row in rows {
            for column in columns.clone() {
                let tile = tiles.entry((zoom, column, row)).or_insert_with(|| self.tile(zoom, column, row));
                if let Some(tile) = tile {
                    let left = (f64::from(column) * SIDE - x) * scale + f64::from(width) / 2.0;
                    let top = (f64::from(row) * SIDE - y) * scale + f64::from(height) / 2.0;
                    let there =
                        Transform::from_scale(scale as f32, scale as f32).post_translate(left as f32, top as f32);
                    pixmap.draw_pixmap(0, 0, tile.as_ref(), &paint, there, None);
                }
            }
        }
        Some(Underlay { pixmap, middle, metres })
    }

    /// `None` where the file has no tile, or one that cannot be decoded: the ground stays bare there.
    fn tile(&mut self, zoom: u32, column: u32, row: u32) -> Option<Pixmap> {
        picture(&self.0.tile(zoom, column, row)?)
    }
}

/// The picture of a tile, if it is one.
fn picture(bytes: &[u8]) -> Option<Pixmap> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(LARGEST), Some(LARGEST));
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let picture = reader.decode().ok()?.to_rgba8();
    let mut pixmap = Pixmap::new(picture.width(), picture.height())?;
    for (pixel, from) in pixmap.pixels_mut().iter_mut().zip(picture.pixels()) {
        let [red, green, blue, alpha] = from.0;
        let through = |c: u8| (u16::from(c) * u16::from(alpha) / 255) as u8;
        *pixel = PremultipliedColorU8::from_rgba(through(red), through(green), through(blue), alpha)?;
    }
    Some(pixmap)
}

/// A file of tiles, or the picture of one; whether anything can be drawn with it.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn outside(bytes: &[u8]) -> bool {
    if !bytes.starts_with(b"SQLite format 3") && !bytes.starts_with(MAGIC) {
        return picture(bytes).is_some();
    }
    let Ok(file) = tempfile::NamedTempFile::new() else { return false };
    if std::fs::write(file.path(), bytes).is_err() {
        return false;
    }
    let request = Request { middle: (51.5073, -0.1276), metres: 2.0, size: (64, 64) };
    File::open(file.path()).is_ok_and(|mut file| file.compose(request, &mut HashMap::new()).is_some())
}

/// Files as technicians supply them, for the corpus: a name, the decoder's name and the bytes.
#[cfg(test)]
pub(crate) fn samples() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let picture = |format| {
        let mut bytes = Cursor::new(Vec::new());
        image::RgbImage::from_pixel(16, 16, image::Rgb([9, 99, 199])).write_to(&mut bytes, format).expect("encoded");
        bytes.into_inner()
    };
    let (png, jpeg) = (picture(image::ImageFormat::Png), picture(image::ImageFormat::Jpeg));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("small.mbtiles");
    let database = Connection::open(&path).expect("made");
    database
        .execute_batch(
            "PRAGMA page_size = 512;
             CREATE TABLE metadata (name TEXT, value TEXT);
             CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB);",
        )
        .expect("made");
    let south = (1 << 14) - 1 - 5448;
    database.execute("INSERT INTO tiles VALUES (14, 8186, ?1, ?2)", (south, &png)).expect("written");
    drop(database);
    vec![("png", "tiles", png), ("jpeg", "tiles", jpeg), ("file", "tiles", std::fs::read(&path).expect("read"))]
}

/// Where a place is on the square map of the earth, in pixels of a zoom with so many tiles a side.
fn mercator((lat, lon): (f64, f64), count: f64) -> (f64, f64) {
    let lat = lat.to_radians();
    let y = (1.0 - (lat.tan() + 1.0 / lat.cos()).ln() / PI) / 2.0;
    ((lon + 180.0) / 360.0 * SIDE * count, y * SIDE * count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every tile of zoom 14 around London, each in a colour of its own: columns in red, rows in green.
    fn town() -> impl Iterator<Item = ((u32, u32, u32), Vec<u8>)> {
        (8180..8200_u32).flat_map(|column| {
            (5440..5456_u32).map(move |row| {
                let colour = image::Rgb([(column % 250) as u8, (row % 250) as u8, 7]);
                let mut png = Cursor::new(Vec::new());
                image::RgbImage::from_pixel(256, 256, colour)
                    .write_to(&mut png, image::ImageFormat::Png)
                    .expect("encoded");
                ((14, column, row), png.into_inner())
            })
        })
    }

    fn file(folder: &Path, format: &str) -> std::path::PathBuf {
        let path = folder.join("town.mbtiles");
        let database = Connection::open(&path).expect("made");
        database
            .execute_batch(
                "CREATE TABLE metadata (name TEXT, value TEXT);
                 CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB);
                 INSERT INTO metadata VALUES ('attribution', '&copy; <a href=\"x\">the people of the town</a>');",
            )
            .expect("made");
        database.execute("INSERT INTO metadata VALUES ('format', ?1)", [format]).expect("written");
        for ((zoom, column, row), png) in town() {
            let south = (1 << zoom) - 1 - row;
            database.execute("INSERT INTO tiles VALUES (?1, ?2, ?3, ?4)", (zoom, column, south, png)).expect("written");
        }
        path
    }

    #[test]
    fn the_tile_under_the_car_is_drawn_under_the_car_whatever_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        under_the_car(&file(folder.path(), "png"));
        let path = folder.path().join("town.pmtiles");
        pmtiles::tests::file(&path, &town().collect::<Vec<_>>(), 64, (14, 14));
        under_the_car(&path);
    }

    fn under_the_car(path: &Path) {
        let mut tiles = Tiles::open(path).expect("opened");
        assert!(check(path).is_ok());
        assert_eq!(tiles.credit, "© the people of the town");
        // Tile 14/8186/5448 holds Charing Cross (51.5073, -0.1276).
        let here = (51.5073, -0.1276);
        let under = loop {
            match tiles.around(here, 2.0, (1024, 600)) {
                Some(under) => break under,
                None => std::thread::yield_now(),
            }
        };
        let (width, height) = (under.pixmap.width(), under.pixmap.height());
        let pixel = |x, y| under.pixmap.pixel(x, y).map(|p| (u32::from(p.red()), u32::from(p.green())));
        assert_eq!(pixel(width / 2, height / 2), Some((8186 % 250, 5448 % 250)));
        // The corner is two metres a pixel away: a tile of zoom 14 is some 1520 m wide here.
        assert_eq!(pixel(0, height / 2), Some((8185 % 250, 5448 % 250)));
        // A few steps on the same picture serves; far away it does not.
        assert!(tiles.around((51.5074, -0.1277), 2.0, (1024, 600)).is_some());
        assert!(tiles.around((51.6, -0.1277), 2.0, (1024, 600)).is_none());
        assert!(tiles.around(here, 5.0, (1024, 600)).is_none(), "of another scale");
    }

    #[test]
    fn what_is_no_file_of_pictures_is_refused_with_a_sentence() {
        let folder = tempfile::tempdir().expect("a folder");
        let vector = Tiles::open(&file(folder.path(), "pbf")).err().expect("refused").to_string();
        assert!(vector.contains("pbf") && vector.contains("PNG or JPEG"), "{vector}");
        let path = folder.path().join("vectors.pmtiles");
        pmtiles::tests::file(&path, &[((1, 0, 0), Vec::new())], 1, (1, 1));
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[99] = 1;
        std::fs::write(&path, bytes).expect("written");
        let vectors = check(&path).expect_err("refused").to_string();
        assert!(vectors.contains("vectors.pmtiles") && vectors.contains("its tiles are vectors"), "{vectors}");
        let path = folder.path().join("other");
        std::fs::write(&path, "nothing of the kind, whatever it may be called").expect("written");
        assert!(Tiles::open(&path).is_err() && Tiles::open(&folder.path().join("nowhere")).is_err());
    }
}

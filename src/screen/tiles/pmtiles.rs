//! Map tiles in one file with directories of its own, as version 3 of the PMTiles specification has it
//! (<https://github.com/protomaps/PMTiles/blob/main/spec/v3/spec.md>). Read from a disk only, a piece at a time. What the file
//! says of lengths is believed only up to bounds.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::Archive;

/// What such a file begins with.
pub(super) const MAGIC: &[u8] = b"PMTiles";
const VERSION: u8 = 3;
const HEADER: usize = 127;
/// The most bytes of a directory or of the metadata, packed and unpacked, and of a tile.
const PACKED: u64 = 4 << 20;
const UNPACKED: u64 = 16 << 20;
const TILE: u64 = 4 << 20;
/// Beyond this zoom places do not fit their numbers.
const DEEPEST: u32 = 26;
/// Directories on the way from the root to a tile: the specification asks readers for so many.
const DEPTH: u32 = 4;

pub(super) struct PmTiles {
    file: File,
    header: Header,
    root: Vec<Entry>,
    credit: String,
    /// The leaf looked into last, by its place: neighbours lie in one.
    leaf: Option<(u64, Vec<Entry>)>,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    root: Span,
    metadata: Span,
    leaves: Span,
    data: Span,
    gzip: bool,
    zooms: (u32, u32),
}

/// Where something is in the file.
#[derive(Debug, Clone, Copy)]
struct Span {
    offset: u64,
    length: u64,
}

/// A run of tiles that are one picture, or, where the run is empty, a leaf that begins with this tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    tile: u64,
    run: u64,
    length: u64,
    offset: u64,
}

impl PmTiles {
    /// Opens a file; the error says why it cannot be used.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let mut bytes = [0; HEADER];
        file.read_exact_at(&mut bytes, 0).map_err(|_| "it ends within its header".to_owned())?;
        let header = Header::parse(&bytes)?;
        let root = entries(&unpacked(&file, header.root, header.gzip)?)?;
        if root.is_empty() {
            return Err("it has no tiles".to_owned());
        }
        let credit = unpacked(&file, header.metadata, header.gzip)
            .ok()
            .and_then(|metadata| serde_json::from_slice::<Value>(&metadata).ok())
            .and_then(|metadata| Some(metadata.get("attribution")?.as_str()?.to_owned()))
            .unwrap_or_default();
        Ok(Self { file, header, root, credit, leaf: None })
    }

    /// Where the data of a tile is.
    fn find(&mut self, tile: u64) -> Option<Span> {
        let mut found = nearest(&self.root, tile)?;
        for _ in 1..DEPTH {
            if found.run > 0 {
                let inside = tile - found.tile < found.run;
                return inside.then_some(Span { offset: found.offset, length: found.length });
            }
            if self.leaf.as_ref().is_none_or(|(offset, _)| *offset != found.offset) {
                let span = Span { offset: found.offset, length: found.length }.within(self.header.leaves)?;
                let leaf = unpacked(&self.file, span, self.header.gzip).and_then(|bytes| entries(&bytes)).ok()?;
                self.leaf = Some((found.offset, leaf));
            }
            found = nearest(&self.leaf.as_ref()?.1, tile)?;
        }
        None
    }
}

impl Archive for PmTiles {
    fn zooms(&self) -> (u32, u32) {
        self.header.zooms
    }

    fn credit(&self) -> String {
        self.credit.clone()
    }

    fn tile(&mut self, zoom: u32, column: u32, row: u32) -> Option<Vec<u8>> {
        let span = self.find(number(zoom, column, row)?)?.within(self.header.data)?;
        read(&self.file, span, TILE).ok()
    }
}

impl Header {
    fn parse(bytes: &[u8; HEADER]) -> Result<Self, String> {
        let u64_at = |at: usize| {
            let mut value = [0; 8];
            value.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(value)
        };
        let span = |at: usize| Span { offset: u64_at(at), length: u64_at(at + 8) };
        if bytes[7] != VERSION {
            return Err(format!("it is of version {}, and only {VERSION} can be read", bytes[7]));
        }
        let gzip = match bytes[97] {
            1 => false,
            2 => true,
            _ => return Err("its directories are packed with something else than gzip".to_owned()),
        };
        match bytes[99] {
            2 | 3 => {}
            1 => return Err("its tiles are vectors".to_owned()),
            4 => return Err("its tiles are webp".to_owned()),
            5 => return Err("its tiles are avif".to_owned()),
            other => return Err(format!("it does not say what its tiles are ({other})")),
        }
        if bytes[98] > 1 {
            return Err("its pictures are packed once more".to_owned());
        }
        let zooms = (u32::from(bytes[100]), u32::from(bytes[101]));
        if zooms.0 > zooms.1 || zooms.1 > DEEPEST {
            return Err(format!("its zooms, {} to {}, make no sense", zooms.0, zooms.1));
        }
        let [root, metadata, leaves, data] = [8, 24, 40, 56].map(span);
        Ok(Self { root, metadata, leaves, data, gzip, zooms })
    }
}

impl Span {
    /// This part of `section`; none if it is not all in there.
    fn within(self, section: Span) -> Option<Span> {
        let end = self.offset.checked_add(self.length)?;
        let offset = section.offset.checked_add(self.offset)?;
        (end <= section.length).then_some(Span { offset, length: self.length })
    }
}

fn read(file: &File, span: Span, most: u64) -> Result<Vec<u8>, String> {
    if span.length > most {
        return Err(format!("a part of it claims {} bytes, which is more than {most}", span.length));
    }
    let mut bytes = vec![0; span.length as usize];
    file.read_exact_at(&mut bytes, span.offset).map_err(|_| "it ends within one of its parts".to_owned())?;
    Ok(bytes)
}

fn unpacked(file: &File, span: Span, gzip: bool) -> Result<Vec<u8>, String> {
    let packed = read(file, span, PACKED)?;
    if !gzip {
        return Ok(packed);
    }
    let mut bytes = Vec::new();
    GzDecoder::new(&packed[..])
        .take(UNPACKED + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("a directory of it cannot be unpacked: {error}"))?;
    if bytes.len() as u64 > UNPACKED {
        return Err(format!("a directory of it is larger than {UNPACKED} bytes"));
    }
    Ok(bytes)
}

/// The entries of a directory: their number, then all tiles, runs, lengths and places, each as a varint.
fn entries(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let damaged = || "a directory of it is damaged".to_owned();
    let mut rest = bytes;
    let mut next = || varint(&mut rest).ok_or_else(damaged);
    let count = next()?;
    // Each has four numbers of a byte at least.
    if count > bytes.len() as u64 / 4 {
        return Err(damaged());
    }
    let mut entries = vec![Entry { tile: 0, run: 0, length: 0, offset: 0 }; count as usize];
    let mut tile = 0u64;
    for entry in &mut entries {
        tile = tile.checked_add(next()?).ok_or_else(damaged)?;
        entry.tile = tile;
    }
    for entry in &mut entries {
        entry.run = next()?;
    }
    for entry in &mut entries {
        entry.length = next()?;
    }
    let mut behind = None;
    for entry in &mut entries {
        entry.offset = match (next()?, behind) {
            // Right behind the one before.
            (0, Some(behind)) => behind,
            (0, None) => return Err(damaged()),
            (place, _) => place - 1,
        };
        behind = Some(entry.offset.checked_add(entry.length).ok_or_else(damaged)?);
    }
    Ok(entries)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for place in 0..10 {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(first & 0x7f);
        // The tenth byte has room for one bit.
        if place == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * place);
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The last entry that does not begin behind `tile`.
fn nearest(entries: &[Entry], tile: u64) -> Option<Entry> {
    let behind = entries.partition_point(|entry| entry.tile <= tile);
    entries.get(behind.checked_sub(1)?).copied()
}

/// The number of a tile: all of the zooms before it, then its place on a Hilbert curve.
fn number(zoom: u32, column: u32, row: u32) -> Option<u64> {
    if zoom > DEEPEST || column >> zoom != 0 || row >> zoom != 0 {
        return None;
    }
    let (mut x, mut y) = (column, row);
    let mut place = 0u64;
    for level in (0..zoom).rev() {
        let side = 1u32 << level;
        let (right, below) = (x & side != 0, y & side != 0);
        let quarter = match (right, below) {
            (false, false) => 0,
            (false, true) => 1,
            (true, true) => 2,
            (true, false) => 3,
        };
        place += quarter << (2 * level);
        // What is left of both is within the quarter, turned so that the curve goes on.
        (x, y) = (x & (side - 1), y & (side - 1));
        if !below {
            if right {
                (x, y) = (side - 1 - x, side - 1 - y);
            }
            (x, y) = (y, x);
        }
    }
    let before = ((1u64 << (2 * zoom)) - 1) / 3;
    Some(before + place)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn put(mut value: u64, out: &mut Vec<u8>) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn directory(entries: &[Entry]) -> Vec<u8> {
        let mut out = Vec::new();
        put(entries.len() as u64, &mut out);
        let mut before = 0;
        for entry in entries {
            put(entry.tile - before, &mut out);
            before = entry.tile;
        }
        entries.iter().for_each(|entry| put(entry.run, &mut out));
        entries.iter().for_each(|entry| put(entry.length, &mut out));
        let mut behind = None;
        for entry in entries {
            put(if behind == Some(entry.offset) { 0 } else { entry.offset + 1 }, &mut out);
            behind = Some(entry.offset + entry.length);
        }
        out
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::default());
        out.write_all(bytes).expect("packed");
        out.finish().expect("packed")
    }

    /// Zoom, column and row of a tile, and its picture.
    type Tile = ((u32, u32, u32), Vec<u8>);

    /// A file of these tiles, as the specification wants it: a root of leaves with so many entries each, packed.
    pub(in crate::screen::tiles) fn file(path: &Path, tiles: &[Tile], in_leaf: usize, zooms: (u8, u8)) {
        let mut numbered: Vec<(u64, &Vec<u8>)> = tiles
            .iter()
            .map(|((zoom, column, row), data)| (number(*zoom, *column, *row).expect("a tile"), data))
            .collect();
        numbered.sort_unstable();
        let (mut data, mut entries) = (Vec::new(), Vec::<Entry>::new());
        for (tile, picture) in numbered {
            entries.push(Entry { tile, run: 1, length: picture.len() as u64, offset: data.len() as u64 });
            data.extend(picture);
        }
        let (mut leaves, mut root) = (Vec::new(), Vec::new());
        for chunk in entries.chunks(in_leaf) {
            let leaf = gzip(&directory(chunk));
            root.push(Entry { tile: chunk[0].tile, run: 0, length: leaf.len() as u64, offset: leaves.len() as u64 });
            leaves.extend(leaf);
        }
        let root = gzip(&directory(&root));
        let metadata = gzip(br#"{"attribution": "&copy; <a href='x'>the people of the town</a>"}"#);
        let mut header = vec![0; HEADER];
        header[..7].copy_from_slice(MAGIC);
        header[7] = VERSION;
        let mut offset = HEADER as u64;
        for (at, part) in [(8, &root), (24, &metadata), (40, &leaves), (56, &data)] {
            header[at..at + 8].copy_from_slice(&offset.to_le_bytes());
            header[at + 8..at + 16].copy_from_slice(&(part.len() as u64).to_le_bytes());
            offset += part.len() as u64;
        }
        (header[97], header[98], header[99]) = (2, 1, 2);
        (header[100], header[101]) = zooms;
        std::fs::write(path, [header, root, metadata, leaves, data].concat()).expect("written");
    }

    #[test]
    fn tiles_are_numbered_as_the_specification_s_own_examples_are() {
        for ((zoom, column, row), expected) in
            [((0, 0, 0), 0), ((1, 0, 0), 1), ((1, 0, 1), 2), ((1, 1, 1), 3), ((1, 1, 0), 4), ((2, 0, 0), 5)]
        {
            assert_eq!(number(zoom, column, row), Some(expected), "{zoom} {column} {row}");
        }
        assert_eq!(number(12, 3423, 1763), Some(19_078_479));
        assert_eq!((number(3, 8, 0), number(27, 0, 0)), (None, None), "there is no such tile");
        // A curve goes through each tile of a zoom once, to a neighbour each time.
        let mut places: Vec<(u64, i64, i64)> = (0..16)
            .flat_map(|x| (0..16).map(move |y| (number(4, x, y).expect("a tile"), i64::from(x), i64::from(y))))
            .collect();
        places.sort_unstable();
        assert!(
            places
                .windows(2)
                .all(|two| two[1].0 == two[0].0 + 1 && (two[1].1 - two[0].1).abs() + (two[1].2 - two[0].2).abs() == 1)
        );
    }

    #[test]
    fn every_tile_is_found_in_its_leaf_and_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("town.pmtiles");
        let tiles: Vec<_> =
            (0..40).flat_map(|x| (0..40).map(move |y| ((6, x, y), format!("{x} {y}").into_bytes()))).collect();
        file(&path, &tiles, 100, (6, 6));
        let mut archive = PmTiles::open(&path).expect("opened");
        for ((zoom, x, y), data) in &tiles {
            assert_eq!(archive.tile(*zoom, *x, *y).as_ref(), Some(data));
        }
        assert_eq!((archive.tile(6, 50, 50), archive.tile(5, 1, 1), archive.zooms()), (None, None, (6, 6)));
        assert!(archive.credit().contains("the people of the town"));
    }

    #[test]
    fn a_run_of_equal_tiles_is_one_picture() {
        let run = [Entry { tile: 5, run: 3, length: 4, offset: 0 }];
        let bytes = directory(&run);
        assert_eq!(entries(&bytes).expect("a directory"), run);
        assert_eq!(nearest(&run, 4), None);
        assert_eq!(nearest(&run, 9), Some(run[0]), "whether the run goes as far is for the caller to see");
    }

    /// Opens a good file with one byte changed.
    fn with(at: usize, byte: u8) -> Result<PmTiles, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("town.pmtiles");
        file(&path, &[((1, 0, 0), b"picture".to_vec())], 1, (1, 1));
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[at] = byte;
        std::fs::write(&path, bytes).expect("written");
        PmTiles::open(&path)
    }

    #[test]
    fn what_cannot_be_drawn_is_refused_with_the_reason() {
        for (at, byte, words) in [
            (7, 2, "version 2"),
            (97, 3, "gzip"),
            (98, 2, "packed once more"),
            (99, 1, "vectors"),
            (99, 4, "webp"),
            (99, 9, "does not say"),
            (101, 0, "make no sense"),
            (101, 40, "make no sense"),
            // The root's length: the first is 64 GiB and more, the second leaves nothing of it.
            (20, 16, "claims"),
            (16, 0, "unpacked"),
            // The root itself.
            (HEADER + 1, 0, "unpacked"),
        ] {
            let why = with(at, byte).err().unwrap_or_else(|| panic!("byte {at} = {byte} is accepted"));
            assert!(why.contains(words), "byte {at} = {byte}: {why}");
        }
    }

    #[test]
    fn lengths_that_lie_take_no_memory_and_end_in_a_sentence() {
        // A directory that claims more entries than it has bytes.
        let mut many = Vec::new();
        put(1 << 40, &mut many);
        assert!(entries(&many).is_err());
        assert!(entries(&[1, 1, 1, 1, 0]).is_err(), "the first place is relative to nothing");
        assert!(entries(&[2, 1, 1]).is_err(), "cut short");
        assert_eq!(varint(&mut &[0xff; 11][..]), None);
        // A bomb.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bomb");
        let bomb = gzip(&vec![0; UNPACKED as usize + 1]);
        std::fs::write(&path, &bomb).expect("written");
        let span = Span { offset: 0, length: bomb.len() as u64 };
        let why = unpacked(&File::open(&path).expect("there"), span, true).expect_err("too large");
        assert!(why.contains("larger"), "{why}");
        // A tile that lies outside its section, also where the sum would wrap.
        let section = Span { offset: 100, length: 50 };
        assert!(Span { offset: 40, length: 10 }.within(section).is_some());
        assert!(Span { offset: 41, length: 10 }.within(section).is_none());
        assert!(Span { offset: u64::MAX, length: 10 }.within(section).is_none());
    }
}

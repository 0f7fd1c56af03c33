//! Whether a file is as long as its own headers say.
//!
//! Demuxers and picture decoders end quietly where the bytes end, so a recording that was cut by a pulled
//! plug would look like a short but sound one. Containers say how long they are; this compares.

use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};
use std::path::Path;

/// A clause that says what is missing at the end of `path`; `None` where nothing is, or where the format
/// does not say.
pub(super) fn cut_short(path: &Path) -> Option<String> {
    examine(&mut File::open(path).ok()?).ok()?
}

fn examine(file: &mut File) -> Result<Option<String>> {
    let length = file.metadata()?.len();
    let mut start = [0; 12];
    let got = read_up_to(file, &mut start)?;
    let end = match &start[..got] {
        [0x1a, 0x45, 0xdf, 0xa3, ..] => matroska_end(file)?,
        [b'R', b'I', b'F', b'F', a, b, c, d, ..] => Some(8 + u64::from(u32::from_le_bytes([*a, *b, *c, *d]))),
        [0xff, 0xd8, 0xff, ..] => return jpeg(file),
        [0x89, b'P', b'N', b'G', ..] => return png(file, length),
        [_, _, _, _, kind @ ..] if kind.len() >= 4 && is_first_box(&kind[..4]) => return mp4(file, length),
        _ => None,
    };
    Ok(end.filter(|end| *end > length).map(|end| short(length, end)))
}

fn short(length: u64, end: u64) -> String {
    format!("it is cut short: {length} of {end} bytes are there")
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read(&mut buffer[got..])? {
            0 => break,
            more => got += more,
        }
    }
    Ok(got)
}

fn is_first_box(kind: &[u8]) -> bool {
    [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot"].iter().any(|known| kind == *known)
}

/// ISO base media (MP4, MOV): boxes one after another, each with its length; the index is the box `moov`.
fn mp4(file: &mut File, length: u64) -> Result<Option<String>> {
    let (mut at, mut index) = (0, false);
    while at < length {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 16];
        let got = read_up_to(file, &mut head)?;
        if got < 8 || !head[4..8].iter().all(u8::is_ascii_graphic) {
            // Padding behind the last box.
            break;
        }
        index |= &head[4..8] == b"moov";
        let size = match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            0 => length - at,
            1 if got == 16 => {
                u64::from_be_bytes([head[8], head[9], head[10], head[11], head[12], head[13], head[14], head[15]])
            }
            size => u64::from(size),
        };
        if size < 8 {
            break;
        }
        let Some(end) = at.checked_add(size) else { break };
        if end > length {
            return Ok(Some(if index {
                short(length, end)
            } else {
                format!("{}, and its index, which comes last, is missing", short(length, end))
            }));
        }
        at = end;
    }
    Ok((!index).then(|| "its index (the moov box) is missing: the recording was not finished".to_owned()))
}

/// Matroska and WebM: an EBML header, then one segment, each with its length. `None`: the length is left open,
/// as live recordings do.
fn matroska_end(file: &mut File) -> Result<Option<u64>> {
    let mut head = [0; 64];
    file.seek(SeekFrom::Start(0))?;
    read_up_to(file, &mut head)?;
    let Some((header, used)) = ebml_size(&head[4..]) else { return Ok(None) };
    let segment = 4 + used as u64 + header;
    file.seek(SeekFrom::Start(segment))?;
    let got = read_up_to(file, &mut head[..12])?;
    if got < 12 || head[..4] != [0x18, 0x53, 0x80, 0x67] {
        return Ok(None);
    }
    Ok(ebml_size(&head[4..12]).and_then(|(size, used)| segment.checked_add(4 + used as u64 + size)))
}

/// A variable-length EBML size and how many bytes it takes; `None` if it says "unknown".
fn ebml_size(bytes: &[u8]) -> Option<(u64, usize)> {
    let used = bytes.first()?.leading_zeros() as usize + 1;
    if used > 8 || bytes.len() < used {
        return None;
    }
    let mask = (1u64 << (7 * used)) - 1;
    let value = bytes[..used].iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte)) & mask;
    (value != mask).then_some((value, used))
}

/// JPEG: segments, then compressed data, until the end-of-image marker. A thumbnail inside a segment has such a
/// marker too, so segments are stepped over.
fn jpeg(file: &mut File) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let missing = Some("it is cut short: the end of the picture is missing".to_owned());
    let mut at = 2;
    loop {
        let Some(&[mark, kind]) = bytes.get(at..at + 2) else { return Ok(missing) };
        match (mark, kind) {
            (0xff, 0xff) => at += 1,
            (0xff, 0xd9) => return Ok(None),
            (0xff, 0x01 | 0xd0..=0xd8) => at += 2,
            (0xff, _) => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { return Ok(missing) };
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
                if kind == 0xda {
                    let rest = bytes.get(at..).unwrap_or(&[]);
                    let entropy = |pair: &[u8]| pair[0] != 0xff || matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff);
                    match rest.windows(2).position(|pair| !entropy(pair)) {
                        Some(next) => at += next,
                        None => return Ok(missing),
                    }
                }
            }
            // Not a marker: the decoder judges.
            _ => return Ok(None),
        }
    }
}

/// PNG: chunks with their length, the last one `IEND`.
fn png(file: &mut File, length: u64) -> Result<Option<String>> {
    let mut at = 8;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        let whole = read_up_to(file, &mut head)? == 8;
        let end = at + 12 + u64::from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        if !whole || end > length {
            return Ok(Some("it is cut short: the end of the picture is missing".to_owned()));
        }
        if &head[4..] == b"IEND" {
            return Ok(None);
        }
        at = end;
    }
}

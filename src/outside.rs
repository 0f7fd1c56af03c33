//! Every decoder of bytes that somebody else has written, each as a function of bytes: what the fuzz targets and the test of
//! the seed corpus call. See docs/design/fuzzing.md.
//!
//! A decoder never panics, whatever it is given, and says whether it was of use: the seeds in `fuzz/seeds` are.

/// A decoder by its name, which is that of its fuzz target and of its folder of seeds.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    /// The name.
    pub name: &'static str,
    /// Decodes; whether it was understood.
    pub decode: fn(&[u8]) -> bool,
}

/// All of them.
pub const DECODERS: &[Decoder] = &[
    Decoder { name: "config", decode: config },
    Decoder { name: "csv", decode: crate::hotlist::outside::csv },
    Decoder { name: "enrol", decode: crate::sync::enrol::understood },
    Decoder { name: "handed", decode: crate::settings::decodes },
    Decoder { name: "mark", decode: crate::hotlist::outside::mark },
    Decoder { name: "revision", decode: crate::hotlist::outside::revision },
    Decoder { name: "settings", decode: crate::hotlist::outside::settings },
    Decoder { name: "statement", decode: crate::hotlist::outside::statement },
    Decoder { name: "stored", decode: crate::hotlist::outside::stored },
    Decoder { name: "verdicts", decode: crate::hotlist::outside::verdicts },
    Decoder { name: "office", decode: crate::sync::car::converse },
    Decoder { name: "present", decode: crate::sync::present::decodes },
    #[cfg(feature = "office")]
    Decoder { name: "car", decode: crate::office::converse },
    #[cfg(feature = "office")]
    Decoder { name: "sheet", decode: crate::settings::is_sheet },
    #[cfg(feature = "vehicle")]
    Decoder { name: "nmea", decode: nmea },
    #[cfg(feature = "vehicle")]
    Decoder { name: "record", decode: crate::journal::outside::record },
    #[cfg(feature = "vehicle")]
    Decoder { name: "deed", decode: crate::journal::outside::deed },
    #[cfg(feature = "vehicle")]
    Decoder { name: "keys", decode: crate::journal::outside::keys },
    #[cfg(feature = "vehicle")]
    Decoder { name: "manifest", decode: crate::journal::outside::manifest },
    #[cfg(feature = "vehicle")]
    Decoder { name: "tiles", decode: crate::screen::tiles_outside },
];

/// Feeds `bytes` to the decoder of that name.
///
/// # Panics
/// There is none of that name, or the decoder panics, which is what is looked for.
pub fn feed(name: &str, bytes: &[u8]) {
    let decoder = DECODERS.iter().find(|decoder| decoder.name == name);
    let Decoder { decode, .. } = decoder.unwrap_or_else(|| panic!("no decoder is called {name}"));
    let _ = decode(bytes);
}

/// A unit's configuration.
fn config(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| crate::config::Config::parse(text).is_ok())
}

/// What a satellite receiver sends, live and as a log.
#[cfg(feature = "vehicle")]
fn nmea(bytes: &[u8]) -> bool {
    use std::time::Duration;

    use crate::clock::Moment;
    use crate::tag::{Fixes, Limits, NmeaLog};

    let limits = Limits { stale: Duration::from_secs(2), absent: Duration::from_secs(30) };
    let mut fixes = Fixes::new(limits);
    for (second, piece) in bytes.chunks(64).enumerate() {
        let now = Moment::at(Duration::from_secs(second as u64));
        fixes.feed(piece, now);
        if let Some(place) = fixes.at(now) {
            assert!(place.lat.abs() <= 90.0 && place.lon.abs() <= 180.0, "{place:?}");
        }
        let _ = fixes.time().told(now);
    }
    let log = NmeaLog::parse(bytes, limits);
    log.is_ok_and(|log| {
        let _ = (log.place_at(Duration::from_secs(1)), log.utc_at(Duration::from_secs(1)));
        true
    })
}

#[cfg(all(test, feature = "vehicle", feature = "office"))]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// Mutations of each seed: some seconds in all. The fuzzers do the rest.
    const MUTATIONS: usize = 400;
    const LONGEST: usize = 64 << 10;

    fn corpus(decoder: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(decoder)
    }

    fn seeds(decoder: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(corpus(decoder))
            .unwrap_or_else(|error| panic!("the seeds of {decoder}: {error}"))
            .map(|file| file.expect("a file").path())
            .collect();
        files.sort();
        files.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("read"))).collect()
    }

    /// One step away from `bytes`, as fuzzers go: bits, bytes, numbers at their edges, pieces taken out, doubled, or from another
    /// seed.
    fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut fastrand::Rng) {
        let at = random.usize(0..=bytes.len());
        let length = random.usize(0..=16).min(bytes.len() - at);
        match random.u8(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(0..8),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 => bytes[at..at + length].fill(*random.choice([0, 0x7f, 0x80, 0xff]).as_ref().expect("one of four")),
            3 => _ = bytes.drain(at..at + length),
            4 => {
                let piece = bytes[at..at + length].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => {
                let from = random.usize(0..=other.len());
                let to = (from + random.usize(0..=64)).min(other.len());
                bytes.splice(at..at + length, other[from..to].iter().copied());
            }
            _ => bytes.truncate(at),
        }
        bytes.truncate(LONGEST);
    }

    #[test]
    fn no_bytes_from_outside_break_a_decoder_and_its_seeds_are_understood() {
        let mut fed = 0;
        for Decoder { name, decode } in DECODERS {
            let seeds = seeds(name);
            assert!(!seeds.is_empty(), "{name} has no seed");
            let mut random = fastrand::Rng::with_seed(7);
            for (path, seed) in &seeds {
                // What once broke a decoder is kept as a seed, too.
                let found = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("found"));
                assert!(decode(seed) || found, "{} is not understood", path.display());
                for _ in 0..MUTATIONS {
                    let mut bytes = seed.clone();
                    let other = &seeds[random.usize(0..seeds.len())].1;
                    for _ in 0..random.usize(1..=6) {
                        mutate(&mut bytes, other, &mut random);
                    }
                    if std::panic::catch_unwind(|| decode(&bytes)).is_err() {
                        panic!("{name} breaks on {}", hex::encode(&bytes));
                    }
                    fed += 1;
                }
            }
        }
        println!("{fed} mutations of the seeds of {} decoders", DECODERS.len());
    }

    #[test]
    fn what_is_written_today_is_understood_and_can_be_made_a_seed() {
        let samples = [
            crate::hotlist::outside::samples(),
            crate::settings::samples(),
            crate::journal::outside::samples(),
            crate::screen::tile_samples(),
            crate::sync::wire::samples(),
            crate::sync::enrol::samples(),
        ]
        .concat();
        // Set to write the corpus anew, after a format has changed.
        let write = std::env::var_os("OUTRIDER_WRITE_SEEDS").is_some();
        for (name, decoder, bytes) in samples {
            let Decoder { decode, .. } =
                DECODERS.iter().find(|known| known.name == decoder).unwrap_or_else(|| panic!("no {decoder}"));
            assert!(decode(&bytes), "{decoder} does not understand its own {name}");
            if write {
                std::fs::create_dir_all(corpus(decoder)).expect("made");
                std::fs::write(corpus(decoder).join(name), bytes).expect("written");
            }
        }
    }
}

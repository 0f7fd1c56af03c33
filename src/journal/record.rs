//! What is recorded, and the bytes it is kept as. The office gets the same bytes.
//!
//! Every stored value is a version byte and a protobuf message. A field number is never used again for something else;
//! what is unknown is skipped.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use prost::Message;

use super::chain::{Act, Deed};
use crate::clock::Moment;
use crate::hotlist::Hit;
use crate::plate::ALPHABET;
use crate::recognise::{Character, ReadId, Thumbnail};
use crate::tag::{TaggedRead, Told, When};

/// One thing to be kept.
#[derive(Debug, Clone)]
pub enum Record {
    /// A read, or a correction of one of the same id: the earlier text is kept as an earlier version.
    Read(Box<TaggedRead>),
    /// A read that matched an entry.
    Hit {
        /// The read as it was then.
        read: Box<TaggedRead>,
        /// What it matched.
        hit: Box<Hit>,
    },
    /// What the crew said of an alert.
    Verdict {
        /// The read that the alert was for.
        read: ReadId,
        /// The list that has the entry.
        list: String,
        /// What they said: "confirmed", "misread".
        verdict: String,
        /// What it rests on: "colour", "checked: plate, country"; may be empty, and come later in a record of its own.
        reason: Box<str>,
        /// Who was on duty; empty: nobody had signed on.
        by: Box<str>,
        /// When.
        when: When,
    },
    /// How long the crew waited for an alert, from the capture of the frame that made the read.
    Timing {
        /// The read that the alert is of.
        read: ReadId,
        /// Until it left the desk.
        to_desk: Duration,
        /// Until the first sample was handed to the sound device; `None` without sound.
        to_sound: Option<Duration>,
        /// Until the first frame with it was drawn; `None` without a screen.
        to_screen: Option<Duration>,
        /// When.
        when: When,
    },
    /// A part of the unit failed, or came back.
    Fault {
        /// Which: "camera front", "receiver".
        part: String,
        /// The fault's sentence; empty: the part is back.
        text: String,
        /// When.
        when: When,
    },
    /// How the clocks stood to each other at one moment: by these marks the times of reads are corrected later.
    Clock {
        /// The moment, on the clock that never jumps.
        at: Moment,
        /// What the system took for UTC.
        system: DateTime<Utc>,
        /// What satellites told.
        told: Option<Told>,
        /// When.
        when: When,
    },
    /// Something that goes into the audit chain.
    Deed(Box<Deed>),
    /// Anything else worth knowing: "started", "list pnc is at revision 7".
    Note {
        /// In words.
        text: String,
        /// When.
        when: When,
    },
}

pub(super) const VERSION: u8 = 1;
/// JPEG quality: characters stay legible, a patch takes some 2 KB.
const QUALITY: u8 = 85;
/// Alternatives of a character that are less probable are not kept.
const LEAST_P: f32 = 0.01;

/// A message behind its version byte.
pub(super) fn encode(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + message.encoded_len());
    bytes.push(VERSION);
    message.encode_raw(&mut bytes);
    bytes
}

/// The message in stored bytes, or why there is none.
pub(super) fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, String> {
    match bytes {
        [VERSION, rest @ ..] => M::decode(rest).map_err(|error| error.to_string()),
        [version, ..] => Err(format!("it has version {version}, this program knows {VERSION}")),
        [] => Err("it is empty".into()),
    }
}

/// One version of a read.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredRead {
    #[prost(uint64, tag = "1")]
    pub(super) run: u64,
    #[prost(uint64, tag = "2")]
    pub(super) pass: u64,
    /// Counts corrections, from 0.
    #[prost(uint32, tag = "3")]
    pub(super) version: u32,
    #[prost(string, tag = "4")]
    pub(super) camera: String,
    /// Empty: withdrawn.
    #[prost(string, tag = "5")]
    pub(super) text: String,
    #[prost(string, tag = "6")]
    pub(super) raw: String,
    #[prost(float, tag = "7")]
    pub(super) confidence: f32,
    #[prost(message, repeated, tag = "8")]
    pub(super) characters: Vec<StoredCharacter>,
    #[prost(uint32, tag = "9")]
    pub(super) looks: u32,
    #[prost(uint32, tag = "10")]
    pub(super) agreeing: u32,
    /// The source's own time, microseconds.
    #[prost(uint64, tag = "11")]
    pub(super) first_seen_us: u64,
    #[prost(uint64, tag = "12")]
    pub(super) last_seen_us: u64,
    /// Capture of the last look, UTC, microseconds since 1970.
    #[prost(sint64, tag = "13")]
    pub(super) utc_us: i64,
    /// Whether satellites told that time.
    #[prost(bool, tag = "14")]
    pub(super) utc_trusted: bool,
    #[prost(message, optional, tag = "15")]
    pub(super) place: Option<StoredPlace>,
    /// Corners of the plate in the best look, x and y in turn, pixels.
    #[prost(float, repeated, tag = "16")]
    pub(super) corners: Vec<f32>,
    /// Which journal counted run and pass: a new file begins again at 1.
    #[prost(fixed64, tag = "17")]
    pub(super) journal: u64,
    /// No camera saw it: it is part of a drill.
    #[prost(bool, tag = "18")]
    pub(super) drill: bool,
    /// Capture of the last look on the clock that never jumps, microseconds since the run's start.
    #[prost(uint64, optional, tag = "19")]
    pub(super) captured_us: Option<u64>,
}

/// The alternatives of one character, likeliest first.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredCharacter {
    #[prost(string, tag = "1")]
    pub(super) characters: String,
    /// Their probabilities, 65535 is 1.
    #[prost(uint32, repeated, tag = "2")]
    pub(super) p: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredPlace {
    #[prost(double, tag = "1")]
    pub(super) lat: f64,
    #[prost(double, tag = "2")]
    pub(super) lon: f64,
    #[prost(float, optional, tag = "3")]
    pub(super) speed_mps: Option<f32>,
    #[prost(float, optional, tag = "4")]
    pub(super) course: Option<f32>,
    #[prost(uint32, tag = "5")]
    pub(super) age_ms: u32,
    #[prost(bool, tag = "6")]
    pub(super) stale: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredHit {
    /// The read as it was then; its version is not known here.
    #[prost(message, optional, tag = "1")]
    pub(super) read: Option<StoredRead>,
    #[prost(string, tag = "2")]
    pub(super) list: String,
    #[prost(uint64, tag = "3")]
    pub(super) revision: u64,
    #[prost(uint64, tag = "4")]
    pub(super) list_age_s: u64,
    #[prost(string, tag = "5")]
    pub(super) vrm: String,
    #[prost(string, tag = "6")]
    pub(super) reason: String,
    /// high, medium, low.
    #[prost(string, tag = "7")]
    pub(super) priority: String,
    #[prost(string, tag = "8")]
    pub(super) action: String,
    #[prost(string, tag = "9")]
    pub(super) make: String,
    #[prost(string, tag = "10")]
    pub(super) model: String,
    #[prost(string, tag = "11")]
    pub(super) colour: String,
    #[prost(string, tag = "12")]
    pub(super) markers: String,
    #[prost(string, tag = "13")]
    pub(super) source: String,
    #[prost(string, tag = "14")]
    pub(super) note: String,
    #[prost(int64, optional, tag = "15")]
    pub(super) expires: Option<i64>,
    /// exact, probable, pattern.
    #[prost(string, tag = "16")]
    pub(super) how: String,
    #[prost(float, tag = "17")]
    pub(super) probability: f32,
    /// What speaks against it, a clause each.
    #[prost(string, repeated, tag = "18")]
    pub(super) against: Vec<String>,
    /// How long its list asks for it to be kept, hours; none: as the car is configured.
    #[prost(uint32, optional, tag = "19")]
    pub(super) keep_h: Option<u32>,
    /// How far it may be trusted: certain, probable, possible.
    #[prost(string, tag = "20")]
    pub(super) grade: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredEvent {
    #[prost(sint64, tag = "1")]
    pub(super) utc_us: i64,
    #[prost(bool, tag = "2")]
    pub(super) utc_trusted: bool,
    #[prost(oneof = "What", tags = "3, 4, 5, 7, 8")]
    pub(super) what: Option<What>,
    #[prost(uint64, tag = "6")]
    pub(super) run: u64,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum What {
    #[prost(message, tag = "3")]
    Verdict(StoredVerdict),
    #[prost(message, tag = "4")]
    Fault(StoredFault),
    #[prost(string, tag = "5")]
    Note(String),
    #[prost(message, tag = "7")]
    Timing(StoredTiming),
    #[prost(message, tag = "8")]
    Clock(StoredClock),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredVerdict {
    #[prost(uint64, tag = "1")]
    pub(super) run: u64,
    #[prost(uint64, tag = "2")]
    pub(super) pass: u64,
    #[prost(string, tag = "3")]
    pub(super) list: String,
    #[prost(string, tag = "4")]
    pub(super) verdict: String,
    #[prost(string, tag = "5")]
    pub(super) reason: String,
    #[prost(string, tag = "6")]
    pub(super) by: String,
}

/// Microseconds from the capture of a frame.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredTiming {
    #[prost(uint64, tag = "1")]
    pub(super) run: u64,
    #[prost(uint64, tag = "2")]
    pub(super) pass: u64,
    #[prost(uint64, tag = "3")]
    pub(super) to_desk_us: u64,
    #[prost(uint64, optional, tag = "4")]
    pub(super) to_sound_us: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub(super) to_screen_us: Option<u64>,
}

/// How the clocks stood to each other at one moment.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredClock {
    /// The clock that never jumps, microseconds since the run's start.
    #[prost(uint64, tag = "1")]
    pub(super) at_us: u64,
    /// What the system took for UTC, microseconds since 1970.
    #[prost(sint64, tag = "2")]
    pub(super) system_us: i64,
    /// What satellites told.
    #[prost(message, optional, tag = "3")]
    pub(super) told: Option<StoredTold>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredTold {
    /// UTC, microseconds since 1970.
    #[prost(sint64, tag = "1")]
    pub(super) utc_us: i64,
    /// By how much it may be off.
    #[prost(uint64, tag = "2")]
    pub(super) uncertainty_us: u64,
    /// Weeks that were added to what the receiver said.
    #[prost(sint64, tag = "3")]
    pub(super) weeks_added: i64,
    /// How often the receiver had changed its mind.
    #[prost(uint32, tag = "4")]
    pub(super) jumps: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredFault {
    #[prost(string, tag = "1")]
    pub(super) part: String,
    #[prost(string, tag = "2")]
    pub(super) text: String,
}

/// A record of the audit chain.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredDeed {
    #[prost(sint64, tag = "1")]
    pub(super) utc_us: i64,
    #[prost(bool, tag = "2")]
    pub(super) utc_trusted: bool,
    #[prost(uint64, tag = "3")]
    pub(super) run: u64,
    #[prost(string, tag = "4")]
    pub(super) act: String,
    #[prost(string, tag = "5")]
    pub(super) who: String,
    #[prost(string, tag = "6")]
    pub(super) reason: String,
    #[prost(string, tag = "7")]
    pub(super) case: String,
    #[prost(string, tag = "8")]
    pub(super) detail: String,
    /// The keyed hash of the plate that it was about.
    #[prost(bytes = "vec", tag = "9")]
    pub(super) subject: Vec<u8>,
    /// The same person has looked up the same plate again and again without a case number.
    #[prost(bool, tag = "10")]
    pub(super) flagged: bool,
}

impl StoredDeed {
    /// Not yet what is stored: the plate is hashed within the transaction, where the key is.
    pub(super) fn of(deed: Deed, run: u64) -> Self {
        Self {
            utc_us: deed.when.utc.timestamp_micros(),
            utc_trusted: deed.when.trusted,
            run,
            act: deed.act.word().into(),
            who: deed.who,
            reason: deed.reason,
            case: deed.case.unwrap_or_default(),
            detail: deed.detail,
            subject: deed.plate.unwrap_or_default().into_bytes(),
            flagged: false,
        }
    }
}

/// A picture as it is uploaded: it says whose it is.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SentPicture {
    #[prost(uint64, tag = "1")]
    pub(super) run: u64,
    #[prost(uint64, tag = "2")]
    pub(super) pass: u64,
    #[prost(uint32, tag = "3")]
    pub(super) version: u32,
    /// 0: the plate; 1: the vehicle around it.
    #[prost(uint32, tag = "4")]
    pub(super) which: u32,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) jpeg: Vec<u8>,
    /// As in the read.
    #[prost(fixed64, tag = "6")]
    pub(super) journal: u64,
}

/// Which picture of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Patch = 0,
    Overview = 1,
}

impl Which {
    pub(super) const ALL: [Which; 2] = [Which::Patch, Which::Overview];

    /// How finely its colours are kept: all of a plate's, whose text may stand against a coloured ground; half of a vehicle's,
    /// which the eye does not miss, for two thirds of the time and the bytes.
    fn sampling(self) -> SamplingFactor {
        match self {
            Which::Patch => SamplingFactor::F_1_1,
            Which::Overview => SamplingFactor::F_2_2,
        }
    }

    /// The word in file names.
    pub(super) fn word(self) -> &'static str {
        match self {
            Which::Patch => "patch",
            Which::Overview => "overview",
        }
    }
}

/// A record with its pictures compressed: what goes into a transaction. Made outside of it, since it takes time.
pub(super) enum Prepared {
    Read { read: StoredRead, pictures: Vec<(Which, Vec<u8>)> },
    Hit(Box<StoredHit>),
    Event(StoredEvent),
    Deed(StoredDeed),
}

/// What stands in the audit chain where nobody had signed on.
const NOBODY: &str = "nobody signed on";

impl Prepared {
    /// What its pictures take.
    pub(super) fn picture_bytes(&self) -> usize {
        match self {
            Self::Read { pictures, .. } => pictures.iter().map(|(_, jpeg)| jpeg.len()).sum(),
            _ => 0,
        }
    }

    /// What of this goes into the audit chain.
    pub(super) fn deed(&self) -> Option<StoredDeed> {
        let or = |said: &str, else_say: &str| if said.is_empty() { else_say.to_owned() } else { said.to_owned() };
        match self {
            Self::Deed(deed) => Some(deed.clone()),
            Self::Event(StoredEvent { what: Some(What::Verdict(verdict)), utc_us, utc_trusted, run }) => {
                Some(StoredDeed {
                    utc_us: *utc_us,
                    utc_trusted: *utc_trusted,
                    run: *run,
                    act: Act::Judged.word().into(),
                    who: or(&verdict.by, NOBODY),
                    reason: or(&verdict.reason, "an alert"),
                    detail: format!("read {}-{}, {}: {}", verdict.run, verdict.pass, verdict.list, verdict.verdict),
                    ..StoredDeed::default()
                })
            }
            _ => None,
        }
    }

    /// Compresses and encodes `record`, which run `run` of the journal `journal` made.
    pub(super) fn new(record: Record, journal: u64, run: u64) -> Self {
        let event = |when: When, what| {
            Self::Event(StoredEvent {
                utc_us: when.utc.timestamp_micros(),
                utc_trusted: when.trusted,
                what: Some(what),
                run,
            })
        };
        match record {
            Record::Read(tagged) => {
                let pictures = if tagged.read.text.is_empty() {
                    Vec::new()
                } else {
                    [(Which::Patch, &tagged.read.patch), (Which::Overview, &tagged.read.overview)]
                        .into_iter()
                        .filter_map(|(which, picture)| Some((which, jpeg(picture, QUALITY, which.sampling())?)))
                        .collect()
                };
                Self::Read { read: stored_read(&tagged, journal), pictures }
            }
            Record::Hit { read, hit } => Self::Hit(Box::new(stored_hit(&read, &hit, journal))),
            Record::Verdict { read: ReadId { run, pass }, list, verdict, reason, by, when } => {
                let (reason, by) = (reason.into(), by.into());
                event(when, What::Verdict(StoredVerdict { run, pass, list, verdict, reason, by }))
            }
            Record::Timing { read: ReadId { run, pass }, to_desk, to_sound, to_screen, when } => {
                let us = |time: Duration| time.as_micros() as u64;
                let (to_sound_us, to_screen_us) = (to_sound.map(us), to_screen.map(us));
                event(
                    when,
                    What::Timing(StoredTiming { run, pass, to_desk_us: us(to_desk), to_sound_us, to_screen_us }),
                )
            }
            Record::Clock { at, system, told, when } => {
                let told = told.map(|told| StoredTold {
                    utc_us: told.utc.timestamp_micros(),
                    uncertainty_us: told.uncertainty.as_micros() as u64,
                    weeks_added: told.weeks_added,
                    jumps: told.jumps,
                });
                let at_us = at.since_start().as_micros() as u64;
                event(when, What::Clock(StoredClock { at_us, system_us: system.timestamp_micros(), told }))
            }
            Record::Fault { part, text, when } => event(when, What::Fault(StoredFault { part, text })),
            Record::Deed(deed) => Self::Deed(StoredDeed::of(*deed, run)),
            Record::Note { text, when } => event(when, What::Note(text)),
        }
    }
}

fn stored_read(tagged: &TaggedRead, journal: u64) -> StoredRead {
    let read = &tagged.read;
    StoredRead {
        run: read.id.run,
        pass: read.id.pass,
        version: 0,
        camera: read.camera.to_string(),
        text: read.text.clone(),
        raw: read.raw.clone(),
        confidence: read.confidence,
        characters: read.characters.iter().map(alternatives).collect(),
        looks: read.looks,
        agreeing: read.agreeing,
        first_seen_us: read.first_seen.as_micros() as u64,
        last_seen_us: read.last_seen.as_micros() as u64,
        utc_us: tagged.when.utc.timestamp_micros(),
        utc_trusted: tagged.when.trusted,
        place: tagged.place.map(|place| StoredPlace {
            lat: place.lat,
            lon: place.lon,
            speed_mps: place.speed_mps,
            course: place.course,
            age_ms: u32::try_from(place.age.as_millis()).unwrap_or(u32::MAX),
            stale: place.stale,
        }),
        corners: read.corners.iter().flatten().copied().collect(),
        journal,
        drill: tagged.drill,
        captured_us: Some(read.last_at.since_start().as_micros() as u64),
    }
}

impl StoredRead {
    pub(super) fn id(&self) -> ReadId {
        ReadId { run: self.run, pass: self.pass }
    }

    pub(super) fn utc(&self) -> DateTime<Utc> {
        utc(self.utc_us)
    }
}

/// UTC from stored microseconds; the epoch for numbers that are no time.
pub(super) fn utc(us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(us).unwrap_or_default()
}

fn stored_hit(tagged: &TaggedRead, hit: &Hit, journal: u64) -> StoredHit {
    let entry = &hit.entry;
    StoredHit {
        read: Some(stored_read(tagged, journal)),
        list: hit.list.id.clone(),
        revision: hit.list.revision,
        list_age_s: hit.list_age.as_secs(),
        vrm: entry.vrm.to_string(),
        reason: entry.reason.clone(),
        priority: entry.priority.to_string(),
        action: entry.action.clone(),
        make: entry.make.clone(),
        model: entry.model.clone(),
        colour: entry.colour.clone(),
        markers: entry.markers.clone(),
        source: entry.source.clone(),
        note: entry.note.clone(),
        expires: entry.expires.map(|expires| expires.timestamp()),
        how: hit.how.to_string(),
        probability: hit.probability,
        against: hit.against.iter().map(ToString::to_string).collect(),
        keep_h: hit.list.settings.keep_hits_h,
        grade: hit.grade.to_string(),
    }
}

fn alternatives(character: &Character) -> StoredCharacter {
    let mut likely: Vec<(f32, char)> = character
        .p
        .iter()
        .zip(ALPHABET)
        .filter(|(p, _)| **p >= LEAST_P)
        .map(|(p, character)| (*p, char::from(character)))
        .collect();
    likely.sort_by(|a, b| b.0.total_cmp(&a.0));
    StoredCharacter {
        characters: likely.iter().map(|(_, character)| character).collect(),
        p: likely.iter().map(|(p, _)| (p.clamp(0.0, 1.0) * 65535.0).round() as u32).collect(),
    }
}

/// `picture` as JPEG; `None` for one without pixels or of a shape that it has not.
pub(super) fn jpeg(picture: &Thumbnail, quality: u8, sampling: SamplingFactor) -> Option<Vec<u8>> {
    let (width, height) = (u16::try_from(picture.width).ok()?, u16::try_from(picture.height).ok()?);
    if picture.rgb.is_empty() || picture.rgb.len() != picture.width * picture.height * 3 {
        return None;
    }
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(sampling);
    encoder.encode(&picture.rgb, width, height, ColorType::Rgb).ok()?;
    Some(bytes)
}

//! What other crews found hits to be. The office gathers it from what crews make known, signs it, and hands it to every car like
//! a list, as "+verdicts". A car holds it in memory only, and each verdict for [`KEPT`]: it says what was so this shift.

use std::sync::PoisonError;

use chrono::{DateTime, Local, TimeDelta, Utc};
use prost::Message;

use super::judge::Judgement;
use super::matching::{self, Contradiction, Hit};
use super::store::Hotlist;
use crate::plate;

/// What the verdicts are called among the things that the office hands down. No list can have this name.
pub const VERDICTS: &str = "+verdicts";
/// How long a verdict counts.
pub const KEPT: TimeDelta = TimeDelta::hours(12);
/// A car takes no more than so many.
const MOST: usize = 2000;
/// The most bytes of them.
pub const MOST_BYTES: usize = 500 << 10;
/// The longest name, VRM or text of one, bytes.
const LONGEST: usize = 64;
const VERSION: u8 = 1;

/// What a crew found a hit to be.
#[derive(Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whose crew.
    pub unit: String,
    /// When.
    pub utc: DateTime<Utc>,
    /// The list that has the entry.
    pub list: String,
    /// The VRM or pattern as it is listed.
    pub mark: String,
    /// What the camera read.
    pub text: String,
    /// What they found.
    pub judgement: Judgement,
}

// It names a plate: that stays out of logs and panics.
impl std::fmt::Debug for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verdict({}, {:?})", self.unit, self.judgement)
    }
}

impl Verdict {
    /// In words, with the local time: "EX-02 found this false, 14:02".
    pub fn words(&self) -> String {
        let what = match self.judgement {
            Judgement::True => "confirmed this",
            Judgement::False => "found this false",
            Judgement::Outdated => "found this out of date",
            Judgement::NotFound => "could not find this",
        };
        format!("{} {what}, {}", self.unit, self.utc.with_timezone(&Local).format("%H:%M"))
    }

    /// Whether it speaks against the hit.
    pub fn is_against(&self) -> bool {
        matches!(self.judgement, Judgement::False | Judgement::Outdated)
    }
}

/// The verdicts of one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Grows with every change.
    pub revision: u64,
    /// The newest first.
    pub verdicts: Vec<Verdict>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredVerdicts {
    #[prost(uint64, tag = "1")]
    revision: u64,
    #[prost(message, repeated, tag = "2")]
    verdicts: Vec<StoredVerdict>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredVerdict {
    #[prost(string, tag = "1")]
    unit: String,
    /// Seconds since 1970.
    #[prost(int64, tag = "2")]
    utc: i64,
    #[prost(string, tag = "3")]
    list: String,
    #[prost(string, tag = "4")]
    mark: String,
    #[prost(string, tag = "5")]
    text: String,
    /// As in a statement: 1 true, 2 false, 4 outdated.
    #[prost(uint32, tag = "6")]
    judgement: u32,
}

impl Verdicts {
    /// The bytes that are signed and handed down.
    pub fn encode(&self) -> Vec<u8> {
        let stored = |verdict: &Verdict| StoredVerdict {
            unit: verdict.unit.clone(),
            utc: verdict.utc.timestamp(),
            list: verdict.list.clone(),
            mark: verdict.mark.clone(),
            text: verdict.text.clone(),
            judgement: verdict.judgement.number(),
        };
        let mut bytes = vec![VERSION];
        let verdicts = self.verdicts.iter().map(stored).collect();
        StoredVerdicts { revision: self.revision, verdicts }.encode_raw(&mut bytes);
        bytes
    }

    /// The verdicts in bytes that [`Self::encode`] gave. One that a later program judges otherwise is passed over.
    ///
    /// # Errors
    /// A clause saying why there are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let stored = match bytes {
            _ if bytes.len() > MOST_BYTES => return Err("there are more verdicts than a car takes".into()),
            [VERSION, rest @ ..] => StoredVerdicts::decode(rest).map_err(|error| error.to_string())?,
            _ => return Err("the verdicts are of another version".into()),
        };
        let mut verdicts = Vec::new();
        for StoredVerdict { unit, utc, list, mark, text, judgement } in stored.verdicts.into_iter().take(MOST) {
            let odd = |part: &String| part.is_empty() || part.len() > LONGEST || part.chars().any(char::is_control);
            if [&unit, &list, &mark, &text].into_iter().any(odd) {
                return Err("one of the verdicts makes no sense".into());
            }
            let utc = DateTime::from_timestamp(utc, 0).ok_or("the time of a verdict is none")?;
            if let Some(judgement) = Judgement::of_number(judgement) {
                verdicts.push(Verdict { unit, utc, list, mark, text, judgement });
            }
        }
        Ok(Self { revision: stored.revision, verdicts })
    }

    /// The newest verdict of another crew than `own` on this pair of entry and read, if it still counts at `utc`.
    fn on(&self, own: &str, list: &str, mark: &str, text: &str, utc: DateTime<Utc>) -> Option<&Verdict> {
        let (mark, text) = (plate::fold(mark), plate::fold(text));
        self.verdicts
            .iter()
            .filter(|verdict| verdict.unit != own && verdict.list == list && utc - verdict.utc < KEPT)
            .filter(|verdict| plate::fold(&verdict.mark) == mark && plate::fold(&verdict.text) == text)
            .max_by_key(|verdict| verdict.utc)
    }
}

/// What a car has heard, and its own name.
#[derive(Debug, Default)]
pub(super) struct Heard {
    own: String,
    verdicts: Verdicts,
}

impl Hotlist {
    /// Takes what other crews found, for a car of this name; what was heard before is forgotten.
    pub fn hear(&self, own: &str, verdicts: Verdicts) {
        *self.heard.write().unwrap_or_else(PoisonError::into_inner) = Heard { own: own.to_owned(), verdicts };
    }

    /// The revision of what was heard; `None`: nothing was since the program started.
    pub fn heard(&self) -> Option<u64> {
        let heard = self.heard.read().unwrap_or_else(PoisonError::into_inner);
        (heard.verdicts.revision > 0).then_some(heard.verdicts.revision)
    }

    /// The newest verdict of another crew on the hit of `list`'s entry `mark` on a read of `text`, if it still counts at `utc`.
    pub fn verdict(&self, list: &str, mark: &str, text: &str, utc: DateTime<Utc>) -> Option<Verdict> {
        let heard = self.heard.read().unwrap_or_else(PoisonError::into_inner);
        heard.verdicts.on(&heard.own, list, mark, text, utc).cloned()
    }

    /// Puts what other crews found beside the hits on a read of `text`: one that was found false is doubtful from then on.
    pub(super) fn weigh(&self, hits: &mut [Hit], text: &str, utc: DateTime<Utc>) {
        for hit in hits.iter_mut() {
            let Some(verdict) = self.verdict(&hit.list.id, hit.entry.vrm.as_str(), text, utc) else { continue };
            if verdict.is_against() {
                hit.against.push(Contradiction::FoundFalse { verdict: verdict.clone() });
                hit.grade = hit.grade_if(|_| true);
            }
            hit.other_crew = Some(verdict);
        }
        matching::sort(hits);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn verdict(unit: &str, minute: i64, judgement: Judgement) -> Verdict {
        Verdict {
            unit: unit.into(),
            utc: DateTime::UNIX_EPOCH + TimeDelta::minutes(minute),
            list: "pnc".into(),
            mark: "AB12CDE".into(),
            text: "AB12CDE".into(),
            judgement,
        }
    }

    #[test]
    fn the_newest_verdict_of_another_crew_counts_for_its_time() {
        let verdicts = Verdicts {
            revision: 7,
            verdicts: vec![
                verdict("EX-02", 10, Judgement::True),
                verdict("EX-03", 20, Judgement::False),
                verdict("EX-01", 30, Judgement::True),
                Verdict { text: "AB12CDF".into(), ..verdict("EX-04", 40, Judgement::True) },
            ],
        };
        assert_eq!(Verdicts::decode(&verdicts.encode()), Ok(verdicts.clone()));
        let at = |minute| DateTime::UNIX_EPOCH + TimeDelta::minutes(minute);
        let said = |own: &str, minute| {
            verdicts.on(own, "pnc", "AB12CDE", "AB12CDE", at(minute)).map(|verdict| verdict.unit.clone())
        };
        assert_eq!(said("EX-01", 60).as_deref(), Some("EX-03"), "its own is none of another crew");
        assert_eq!(said("EX-09", 60).as_deref(), Some("EX-01"));
        assert_eq!(said("EX-01", 20 + 12 * 60), None, "they have aged");
        assert_eq!(verdicts.on("EX-01", "other", "AB12CDE", "AB12CDE", at(60)), None);
        // A shared glyph is one, whatever was chosen for it.
        assert!(verdicts.on("EX-01", "pnc", "ABI2CDE", "AB12CDE", at(60)).is_some());
        assert!(verdicts.verdicts[1].words().starts_with("EX-03 found this false, "));
    }

    proptest! {
        #[test]
        fn any_bytes_are_verdicts_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Verdicts::decode(&bytes);
            let _ = Verdicts::decode(&[&[VERSION], &bytes[..]].concat());
        }
    }
}

//! What crews made known of lists: entries of their own, and what they found of hits. The service writes it to a file of its
//! own, a line each, since it alone has the store open; an administrator looks at it, and may adopt an entry.

use std::path::Path;

use chrono::{DateTime, Days, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files;
use super::store::{Store, Stored, number_before};
use crate::fault::{Fault, Result};
use crate::hotlist::Statement;
use crate::sync::Kind as Sent;

/// Days for which they are shown: an entry of a crew's is of hours or days, and what was found of a hit is to be acted on.
const SHOWN: u64 = 30;
/// The newest so many are shown.
const MOST: usize = 10_000;
/// After so long the file is written anew, without those whose days are over.
const ANEW: TimeDelta = TimeDelta::days(1);

/// Something that a crew made known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// Names it for good, for people to type.
    pub id: String,
    /// Whose crew.
    pub unit: String,
    /// When it arrived here.
    pub received: DateTime<Utc>,
    /// What they said; why it cannot be understood, if so.
    pub statement: std::result::Result<Statement, String>,
}

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    unit: String,
    received: DateTime<Utc>,
    /// The statement's bytes as hexadecimal digits.
    statement: String,
}

/// What crews made known, the newest first; works while the office in `data` is serving, and after.
///
/// # Errors
/// The service has never run, or its file is damaged.
pub fn crews(data: &Path) -> Result<Vec<Stated>> {
    let path = files::statements(data);
    // That there is none is no empty file: nobody has looked yet.
    std::fs::metadata(&path).map_err(|error| {
        Fault::io("cannot read what crews made known", &path, error)
            .remedy("Start the service once with outrider-office serve")
    })?;
    let mut lines: Vec<Line> = files::lines(&path, "what crews made known")
        .map_err(|fault| fault.remedy("Start the service again: it writes the file anew"))?;
    // As they came; a clock that was set back must not put the newest behind.
    lines.reverse();
    lines.sort_by_key(|line| std::cmp::Reverse(line.received));
    lines.truncate(MOST);
    Ok(lines
        .into_iter()
        .map(|line| Stated {
            statement: hex::decode(&line.statement)
                .map_err(|_| "it is no hexadecimal number".to_owned())
                .and_then(|bytes| Statement::decode(&bytes)),
            id: line.id,
            unit: line.unit,
            received: line.received,
        })
        .collect())
}

/// How far the file is.
pub(crate) struct Written {
    /// The number of the newest statement in it.
    number: u64,
    /// When it was last written anew.
    anew: DateTime<Utc>,
    /// Its lines.
    lines: usize,
}

impl Written {
    /// Whether it is to be written anew.
    pub(crate) fn is_old(&self, now: DateTime<Utc>) -> bool {
        (now - self.anew).abs() >= ANEW || self.lines >= 2 * MOST
    }
}

/// Writes what has come since behind what is in the file, or, once a day and after a start, the file anew.
pub(crate) fn write(data: &Path, store: &dyn Store, written: Option<Written>, now: DateTime<Utc>) -> Result<Written> {
    let path = files::statements(data);
    match written.filter(|written| !written.is_old(now)) {
        Some(written) => {
            let new = store.arrived(Sent::Statement, written.number)?;
            if !new.is_empty() {
                files::append(&path, lines(&new).trim_end())?;
            }
            let number = new.last().map_or(written.number, |newest| newest.number);
            Ok(Written { number, lines: written.lines + new.len(), ..written })
        }
        None => {
            let since = now - Days::new(SHOWN);
            let mut shown = store.arrived(Sent::Statement, number_before(since))?;
            let number = shown.last().map_or(number_before(since), |newest| newest.number);
            shown.retain(|stored| stored.received >= since);
            shown.drain(..shown.len().saturating_sub(MOST));
            files::replace(&path, lines(&shown).as_bytes())?;
            // It names vehicles, and nobody brings it up to date any more.
            let _ = std::fs::remove_file(files::earlier_statements(data));
            Ok(Written { number, anew: now, lines: shown.len() })
        }
    }
}

/// These as they are in the file.
fn lines(statements: &[Stored]) -> String {
    let line = |stored: &Stored| {
        let line = Line {
            id: id(stored),
            unit: stored.unit.clone(),
            received: stored.received,
            statement: hex::encode(&stored.payload),
        };
        // Strings and a time can always be written.
        serde_json::to_string(&line).unwrap_or_default() + "\n"
    };
    statements.iter().map(line).collect()
}

/// Twelve digits that follow from whose it is and its key.
fn id(stored: &Stored) -> String {
    let digest = Sha256::new().chain_update(&stored.unit).chain_update([0]).chain_update(&stored.key).finalize();
    hex::encode(&digest[..6])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Kind;
    use crate::hotlist::{Judgement, Said};
    use crate::office::{Received, RedbStore};
    use crate::sync::Item;

    #[test]
    fn what_crews_made_known_is_shown_newest_first_each_once() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(crews(folder.path()).is_err_and(|fault| fault.kind() == Kind::Missing));
        let store = RedbStore::open(&files::store(folder.path())).expect("opened");
        let now: DateTime<Utc> = "2026-12-01T10:00:00Z".parse().expect("a time");
        let statement = |list: &str| Statement {
            utc: now,
            said: Said::Found {
                list: list.into(),
                mark: "AB12CDE".into(),
                text: "AB12CDE".into(),
                judgement: Judgement::False,
            },
        };
        let put = |unit: &str, key: &[u8], payload: Vec<u8>, at| {
            let items = vec![Item { kind: Sent::Statement, key: key.to_vec(), payload }];
            store.put(&[Received { unit: unit.into(), items }], at).expect("stored");
        };
        put("EX-01", b"1", statement("old").encode(), now - Days::new(31));
        put("EX-01", b"2", statement("one").encode(), now - Days::new(1));
        put("EX-02", b"2", statement("two").encode(), now);
        put("EX-02", b"2", statement("two").encode(), now);
        put("EX-03", b"3", b"of a later program".to_vec(), now - Days::new(2));
        std::fs::write(files::earlier_statements(folder.path()), "[]").expect("written");
        let mut written = write(folder.path(), &store, None, now).expect("written");
        assert!(!files::earlier_statements(folder.path()).exists(), "an earlier program's file goes");
        let shown = crews(folder.path()).expect("read");
        let units: Vec<&str> = shown.iter().map(|stated| stated.unit.as_str()).collect();
        assert_eq!(units, ["EX-02", "EX-01", "EX-03"]);
        assert_eq!(shown[0].statement, Ok(statement("two")));
        assert!(shown[2].statement.as_ref().is_err_and(|why| why.contains("another version")));
        assert!(shown[0].id.len() == 12 && shown[0].id != shown[1].id, "one key of two units is two things");

        // What comes next goes behind them, although the clock was set back; a day later those of a month ago go.
        let units =
            || -> Vec<String> { crews(folder.path()).expect("read").into_iter().map(|stated| stated.unit).collect() };
        let back = now - TimeDelta::hours(2);
        put("EX-04", b"1", statement("three").encode(), back);
        written = write(folder.path(), &store, Some(written), back).expect("written");
        written = write(folder.path(), &store, Some(written), back).expect("written");
        assert_eq!(units(), ["EX-02", "EX-04", "EX-01", "EX-03"]);
        assert!(!written.is_old(now) && written.is_old(now + Days::new(1)));
        let later = now + Days::new(28) + TimeDelta::hours(1);
        put("EX-05", b"1", statement("four").encode(), later);
        write(folder.path(), &store, Some(written), later).expect("written");
        assert_eq!(units(), ["EX-05", "EX-02", "EX-04", "EX-01"]);
    }
}

//! What crews made known of lists: entries of their own, and what they found of hits. The service writes it to a file of its
//! own, as it does its status, since it alone has the store open; an administrator looks at it, and may adopt an entry.

use std::path::Path;

use chrono::{DateTime, Days, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files;
use super::store::{Store, Stored};
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::Statement;
use crate::sync::Kind as Sent;

/// Days for which they are shown: an entry of a crew's is of hours or days, and what was found of a hit is to be acted on.
const SHOWN: u64 = 30;
/// The newest so many are shown.
const MOST: usize = 10_000;

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
    let bytes = std::fs::read(&path).map_err(|error| {
        Fault::io("cannot read what crews made known", &path, error)
            .remedy("Start the service once with outrider-office serve")
    })?;
    let lines: Vec<Line> = serde_json::from_slice(&bytes).map_err(|error| {
        Fault::new(Kind::Damaged, "what crews made known cannot be read")
            .at(path.display())
            .because(error)
            .remedy("Start the service again: it writes the file anew")
    })?;
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

/// Writes the file anew from the store.
pub(crate) fn write(data: &Path, store: &dyn Store, now: DateTime<Utc>) -> Result<()> {
    let mut statements = store.arrived(Sent::Statement, now - Days::new(SHOWN))?;
    statements.sort_by_key(|stored| std::cmp::Reverse(stored.received));
    statements.truncate(MOST);
    let lines: Vec<Line> = statements
        .into_iter()
        .map(|stored| Line {
            id: id(&stored),
            unit: stored.unit,
            received: stored.received,
            statement: hex::encode(&stored.payload),
        })
        .collect();
    let json = serde_json::to_vec(&lines)
        .map_err(|error| Fault::new(Kind::Internal, "cannot write what crews made known").because(error))?;
    files::replace(&files::statements(data), &json)
}

/// Twelve digits that follow from whose it is and its key.
fn id(stored: &Stored) -> String {
    let digest = Sha256::new().chain_update(&stored.unit).chain_update([0]).chain_update(&stored.key).finalize();
    hex::encode(&digest[..6])
}

#[cfg(test)]
mod tests {
    use super::*;
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
        write(folder.path(), &store, now).expect("written");
        let shown = crews(folder.path()).expect("read");
        let units: Vec<&str> = shown.iter().map(|stated| stated.unit.as_str()).collect();
        assert_eq!(units, ["EX-02", "EX-01", "EX-03"]);
        assert_eq!(shown[0].statement, Ok(statement("two")));
        assert!(shown[2].statement.as_ref().is_err_and(|why| why.contains("another version")));
        assert!(shown[0].id.len() == 12 && shown[0].id != shown[1].id, "one key of two units is two things");
    }
}

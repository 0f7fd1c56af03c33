//! The heads of the cars' audit chains, as they came: what was sent once cannot be taken back by whoever has the car.
//!
//! The service alone has the store open, so it writes them to a file as well, a line each.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::files;
use super::store::Store;
use crate::anchor::Head;
use crate::fault::{Fault, Kind, Result};
use crate::sync::Kind as Sent;

/// A head that a car sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchored {
    /// Whose.
    pub unit: String,
    /// When it arrived.
    pub received: DateTime<Utc>,
    /// Tells the keys of one journal from those of every other, hexadecimal.
    pub vault: String,
    /// The record's number.
    pub number: u64,
    /// Its hash, hexadecimal.
    pub hash: String,
    /// The key that the unit signs with, hexadecimal.
    pub signer: String,
    /// Whether the signature is by that key.
    pub signed: bool,
}

/// Every head that came to the office in `data`, in the order in which they came; works while it is serving, and after.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn heads(data: &Path) -> Result<Vec<Anchored>> {
    let mut heads: Vec<Anchored> = files::lines(&files::heads(data), "the heads of the cars' audit chains")?;
    heads.sort_by(|a, b| (a.received, &a.unit, a.number).cmp(&(b.received, &b.unit, b.number)));
    // An earlier program wrote what came within one millisecond twice.
    heads.dedup();
    Ok(heads)
}

/// Writes what has come after the head of number `after` behind what is in the file, or, without it, the file anew. Gives the
/// number of the newest.
pub(crate) fn write(data: &Path, store: &dyn Store, after: Option<u64>) -> Result<u64> {
    let stored = store.arrived(Sent::Head, after.unwrap_or(0))?;
    let newest = stored.last().map(|stored| stored.number).or(after).unwrap_or(0);
    let mut lines = Vec::new();
    for stored in stored {
        let Ok(head) = Head::decode(&stored.payload) else {
            tracing::warn!(unit = stored.unit, "a head of an audit chain cannot be understood");
            continue;
        };
        let anchored = Anchored {
            unit: stored.unit,
            received: stored.received,
            vault: format!("{:016x}", head.vault),
            number: head.number,
            hash: hex::encode(head.hash),
            signer: hex::encode(head.signer),
            signed: head.is_signed(),
        };
        lines.push(serde_json::to_string(&anchored).unwrap_or_default());
    }
    let path = files::heads(data);
    match after {
        None => files::replace(&path, lines.iter().flat_map(|line| [line, "\n"]).collect::<String>().as_bytes())?,
        Some(_) if lines.is_empty() => {}
        Some(_) => files::append(&path, &lines.join("\n"))?,
    }
    Ok(newest)
}

/// What is wrong with the heads themselves, in words: a chain only grows.
pub fn findings(heads: &[Anchored]) -> Vec<String> {
    let mut found = Vec::new();
    let mut last: HashMap<&str, &Anchored> = HashMap::new();
    let mut hashes: HashMap<(&str, &str, u64), &str> = HashMap::new();
    for head in heads {
        let Anchored { unit, vault, number, .. } = head;
        let at = head.received.format("%Y-%m-%d %H:%M UTC");
        if !head.signed {
            found.push(format!(
                "{unit}: the head of record {number}, which came {at}, is not signed by the key it names"
            ));
        }
        if let Some(before) = last.get(unit.as_str()) {
            if before.vault != *vault {
                found.push(format!(
                    "{unit}: since {at} it sends another chain, the one before ended with record {}: its journal was made anew, or another's was put in its place",
                    before.number
                ));
            } else if before.signer != head.signer {
                found.push(format!("{unit}: since {at} its chain is signed by another key: it was made anew"));
            } else if before.number > *number {
                found.push(format!(
                    "{unit}: {at} its chain went back from record {} to {number}: an earlier copy was put back, or its end was cut off",
                    before.number
                ));
            }
        }
        if hashes.insert((unit.as_str(), vault.as_str(), *number), &head.hash).is_some_and(|known| known != head.hash) {
            found.push(format!(
                "{unit}: {at} it sent a second record {number} that is not the first: the chain was made anew"
            ));
        }
        last.insert(unit.as_str(), head);
    }
    found
}

/// What `outrider journal heads` prints, one line each.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Of { vault: String, signer: String },
    Record { number: u64, hash: String },
}

/// Holds the chain of a car, as `outrider journal heads` printed it into `file`, against the heads that the car sent. Gives how
/// many of them are in the chain, and what is wrong, in words.
///
/// # Errors
/// The file cannot be read, or is something else.
pub fn check_chain(unit: &str, heads: &[Anchored], file: &Path) -> Result<(usize, Vec<String>)> {
    let what = "not the chain of a car";
    let text = std::fs::read_to_string(file).map_err(|error| Fault::io("cannot read the chain", file, error))?;
    let (mut of, mut hashes) = (None, BTreeMap::new());
    for (place, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(Line::Of { vault, signer }) => of = Some((vault, signer)),
            Ok(Line::Record { number, hash }) => _ = hashes.insert(number, hash),
            Err(error) => {
                return Err(Fault::new(Kind::Damaged, what)
                    .at(format!("{}:{}", file.display(), place + 1))
                    .because(error)
                    .remedy("Give what outrider journal heads printed in the car"));
            }
        }
    }
    let (vault, signer) = of.ok_or_else(|| {
        Fault::new(Kind::Damaged, what)
            .at(file.display())
            .because("it does not say whose it is")
            .remedy("Give what outrider journal heads printed in the car")
    })?;
    let sent: Vec<&Anchored> = heads.iter().filter(|head| head.unit == unit).collect();
    let last = hashes.keys().next_back().copied().unwrap_or(0);
    let (mut there, mut wrong) = (0, Vec::new());
    for head in sent.iter().filter(|head| head.vault == vault) {
        let at = head.received.format("%Y-%m-%d %H:%M UTC");
        match hashes.get(&head.number) {
            _ if head.signer != signer => wrong.push(format!("record {}, sent {at}, was signed by another key", head.number)),
            Some(hash) if *hash == head.hash => there += 1,
            Some(_) => wrong.push(format!("record {} is not the one that was sent {at}: the chain was made anew", head.number)),
            None => wrong.push(format!(
                "record {}, sent {at}, is missing, the chain ends with {last}: an earlier copy was put back, or its end was cut off",
                head.number
            )),
        }
    }
    match sent.last() {
        None => wrong.push("no head of this car's chain has come to the office".to_owned()),
        Some(newest) if newest.vault != vault => wrong.push(format!(
            "the car's newest head, record {}, sent {}, is of another chain: this one was made anew, or put back",
            newest.number,
            newest.received.format("%Y-%m-%d %H:%M UTC")
        )),
        Some(_) => {}
    }
    Ok((there, wrong))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::office::{Received, RedbStore};
    use crate::sync::Item;

    fn anchored(minute: i64, vault: &str, number: u64, hash: &str) -> Anchored {
        Anchored {
            unit: "EX-01".into(),
            received: DateTime::from_timestamp(60 * minute, 0).expect("a time"),
            vault: vault.into(),
            number,
            hash: hash.into(),
            signer: "k".into(),
            signed: true,
        }
    }

    #[test]
    fn a_chain_that_only_grows_is_well_and_any_other_is_told() {
        let well = vec![anchored(1, "a", 3, "x"), anchored(2, "a", 7, "y"), anchored(3, "a", 8, "z")];
        assert_eq!(findings(&well), [""; 0]);
        let with = |more: Anchored| findings(&[&well[..], &[more]].concat());
        for (more, said) in [
            (anchored(4, "a", 5, "q"), "went back from record 8 to 5"),
            (anchored(4, "a", 8, "q"), "a second record 8"),
            (anchored(4, "b", 9, "q"), "another chain, the one before ended with record 8"),
            (Anchored { signer: "m".into(), ..anchored(4, "a", 9, "q") }, "signed by another key"),
            (Anchored { signed: false, ..anchored(4, "a", 9, "q") }, "is not signed"),
        ] {
            let found = with(more);
            assert!(found.len() == 1 && found[0].contains(said), "{found:?}");
        }
        let other = Anchored { unit: "EX-02".into(), ..anchored(4, "c", 1, "q") };
        assert_eq!(with(other), [""; 0], "another car");
    }

    #[test]
    fn a_chain_that_was_made_anew_or_put_back_is_found_by_what_was_sent_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("heads.jsonl");
        let chain = |vault: &str, hashes: &[&str]| {
            let mut text = format!("{{\"vault\":\"{vault}\",\"signer\":\"k\"}}\n");
            for (number, hash) in (1..).zip(hashes) {
                text += &format!("{{\"number\":{number},\"hash\":\"{hash}\"}}\n");
            }
            std::fs::write(&path, text).expect("written");
        };
        let sent = vec![anchored(1, "a", 2, "2"), anchored(2, "a", 4, "4")];
        let check = || check_chain("EX-01", &sent, &path).expect("read");
        chain("a", &["1", "2", "3", "4", "5"]);
        assert_eq!(check(), (2, Vec::new()));
        for (vault, hashes, said) in [
            ("a", vec!["1", "2", "3"], "record 4, sent 1970-01-01 00:02 UTC, is missing, the chain ends with 3"),
            ("a", vec!["1", "2", "3", "q", "r"], "record 4 is not the one"),
            ("b", vec!["1", "2", "3", "4"], "is of another chain"),
        ] {
            chain(vault, &hashes);
            let (_, wrong) = check();
            assert!(wrong.len() == 1 && wrong[0].contains(said), "{wrong:?}");
        }
        assert!(check_chain("EX-02", &sent, &path).expect("read").1[0].contains("no head of this car's"));
        std::fs::write(&path, "{\"number\":1,\"hash\":\"1\"}\n").expect("written");
        assert!(check_chain("EX-01", &sent, &path).is_err_and(|fault| fault.to_string().contains("whose it is")));
        std::fs::write(&path, "hello\n").expect("written");
        assert!(check_chain("EX-01", &sent, &path).is_err_and(|fault| fault.to_string().contains("heads.jsonl:1")));
    }

    #[test]
    fn heads_are_written_as_they_come_each_once() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(heads(folder.path()).expect("none yet"), []);
        let store = RedbStore::open(&files::store(folder.path())).expect("opened");
        let at = |minute: i64| DateTime::from_timestamp(60 * minute, 0).expect("a time");
        let put = |number: u64, minute| {
            let head = Head { vault: 5, number, hash: [number as u8; 32], signer: [2; 32], signature: [3; 64] };
            let items = vec![Item { kind: Sent::Head, key: number.to_be_bytes().to_vec(), payload: head.encode() }];
            store.put(&[Received { unit: "EX-01".into(), items }], at(minute)).expect("stored");
        };
        put(1, 1);
        let mut after = write(folder.path(), &store, None).expect("written");
        put(2, 1);
        put(3, 2);
        after = write(folder.path(), &store, Some(after)).expect("written");
        assert_eq!(write(folder.path(), &store, Some(after)).expect("written"), after);
        let lines = std::fs::read_to_string(files::heads(folder.path())).expect("read").lines().count();
        assert_eq!(lines, 3, "each once");
        let numbers = || -> Vec<u64> { heads(folder.path()).expect("read").iter().map(|head| head.number).collect() };
        assert_eq!(numbers(), [1, 2, 3]);
        assert!(!heads(folder.path()).expect("read")[0].signed, "a made-up signature");
        // A service that starts again writes the same.
        write(folder.path(), &store, None).expect("written");
        assert_eq!(numbers(), [1, 2, 3]);
        assert_eq!(store.count_by_unit().expect("read")["EX-01"].heads, 3);
    }
}

//! Verdicts of crews for all other crews: gathered from what they make known, signed, and handed down like a list.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::store::Store;
use crate::fault::Result;
use crate::hotlist::{Judgement, OWN, Said, SigningKey, Statement, VERDICTS, VERDICTS_KEPT, Verdict, Verdicts};
use crate::sync::Kind as Sent;

/// The newest so many are handed down.
const MOST: usize = 2000;

/// Gathers the verdicts that count at `utc`: of each crew the newest on each pair of entry and read.
fn gather(store: &dyn Store, utc: DateTime<Utc>) -> Result<Vec<Verdict>> {
    let mut newest: BTreeMap<(String, String, String, String), Verdict> = BTreeMap::new();
    for stored in store.arrived(Sent::Statement, utc - VERDICTS_KEPT)? {
        let Ok(Statement { utc: said_at, said: Said::Found { list, mark, text, judgement } }) =
            Statement::decode(&stored.payload)
        else {
            continue;
        };
        // A car whose clock runs ahead cannot make its word count for longer.
        let at = said_at.min(stored.received);
        // What could not be found says nothing of the entry, and a crew's own entries are on no list of the others.
        if judgement == Judgement::NotFound || list == OWN || utc - at >= VERDICTS_KEPT {
            continue;
        }
        let verdict = Verdict { unit: stored.unit, utc: at, list, mark, text, judgement };
        let pair = (verdict.unit.clone(), verdict.list.clone(), verdict.mark.clone(), verdict.text.clone());
        match newest.get(&pair) {
            Some(known) if known.utc > verdict.utc => {}
            _ => _ = newest.insert(pair, verdict),
        }
    }
    let mut verdicts: Vec<Verdict> = newest.into_values().collect();
    verdicts.sort_by_key(|verdict| std::cmp::Reverse(verdict.utc));
    verdicts.truncate(MOST);
    Ok(verdicts)
}

/// Signs the verdicts that count now and puts them where cars are offered them, if they are others than those `handed` out last.
/// Says whether it did.
pub(crate) fn hand_out(
    key: impl FnOnce() -> Result<SigningKey>,
    store: &dyn Store,
    handed: &mut Option<Vec<Verdict>>,
    utc: DateTime<Utc>,
) -> Result<bool> {
    let verdicts = gather(store, utc)?;
    let held = store.lists()?.into_iter().find(|info| info.list == VERDICTS).map_or(0, |info| info.revision);
    let same = match handed {
        Some(before) => *before == verdicts,
        // After a start nobody remembers: where there were none and are none, there is nothing to hand out.
        None => held == 0 && verdicts.is_empty(),
    };
    if same {
        return Ok(false);
    }
    // Revisions only have to grow; the time in milliseconds does.
    let revision = u64::try_from(utc.timestamp_millis()).unwrap_or(1).max(held + 1);
    let signed = key()?.sign_verdicts(&Verdicts { revision, verdicts: verdicts.clone() }.encode());
    store.put_list(VERDICTS, revision, &mut &signed[..])?;
    *handed = Some(verdicts);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::office::{Received, RedbStore};
    use crate::sync::Item;

    #[test]
    fn verdicts_are_signed_when_there_are_others_and_dropped_with_their_age() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = RedbStore::open(&folder.path().join("office.redb")).expect("opened");
        let bytes = SigningKey::generate().expect("made");
        let key = || SigningKey::from_bytes(&bytes);
        let start: DateTime<Utc> = "2026-12-01T10:00:00Z".parse().expect("a time");
        let mut number = 0;
        let mut say = |unit: &str, list: &str, judgement, said_at, at| {
            number += 1;
            let (mark, text) = ("AB12CDE".into(), "AB12CDE".into());
            let statement = Statement { utc: said_at, said: Said::Found { list: list.into(), mark, text, judgement } };
            let items = vec![Item { kind: Sent::Statement, key: vec![number], payload: statement.encode() }];
            store.put(&[Received { unit: unit.into(), items }], at).expect("stored");
        };
        let mut handed = None;
        assert!(!hand_out(key, &store, &mut handed, start).expect("looked"), "nobody has said anything");
        say("EX-02", "pnc", Judgement::True, start, start);
        say("EX-02", "pnc", Judgement::False, start + TimeDelta::minutes(2), start + TimeDelta::minutes(2));
        say("EX-03", "pnc", Judgement::NotFound, start, start);
        say("EX-03", OWN, Judgement::False, start, start);
        // Its clock is a year ahead.
        say("EX-04", "pnc", Judgement::True, start + TimeDelta::days(365), start);
        let now = start + TimeDelta::minutes(3);
        let verifying = key().expect("a key").verifying();
        let newest = || {
            let info = store.lists().expect("read").into_iter().find(|info| info.list == VERDICTS).expect("there");
            let signed = store.list_piece(VERDICTS, info.revision, 0, 0).expect("read").expect("there").plain();
            let signed = signed.expect("unpacks");
            let verdicts = Verdicts::decode(verifying.open_verdicts(&signed).expect("signed")).expect("verdicts");
            assert_eq!(verdicts.revision, info.revision);
            assert_eq!(verifying.open_roll(&signed), None, "a signature of verdicts is none of a roll");
            verdicts.verdicts
        };
        assert!(hand_out(key, &store, &mut handed, now).expect("signed"));
        let units: Vec<_> = newest().iter().map(|verdict| (verdict.unit.clone(), verdict.judgement)).collect();
        assert_eq!(units, [("EX-02".to_owned(), Judgement::False), ("EX-04".to_owned(), Judgement::True)]);
        assert!(newest().iter().all(|verdict| verdict.utc <= now));
        assert!(!hand_out(key, &store, &mut handed, now).expect("looked"), "nothing has changed");
        // A service that starts again does not know what it handed out.
        assert!(hand_out(key, &store, &mut None, now).expect("signed"));
        let later = start + VERDICTS_KEPT + TimeDelta::minutes(1);
        assert!(hand_out(key, &store, &mut handed, later).expect("signed"));
        assert_eq!(newest().len(), 1, "the older has aged");
        assert!(hand_out(key, &store, &mut handed, later + TimeDelta::minutes(2)).expect("signed"));
        assert!(newest().is_empty());
    }
}

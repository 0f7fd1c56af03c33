//! Verdicts of crews for all other crews: gathered from what they make known, signed, and handed down like a list.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::store::{Store, number_before};
use crate::fault::Result;
use crate::hotlist::{self, Judgement, OWN, Said, SigningKey, Statement, VERDICTS, VERDICTS_KEPT, Verdict};
use crate::sync::Kind as Sent;

/// The newest so many are handed down.
const MOST: usize = 2000;

/// Unit, list, mark and text: of each the newest verdict counts.
type Pair = (String, String, String, String);

/// What is known of the verdicts of crews.
#[derive(Default)]
pub(crate) struct Verdicts {
    /// The number of the newest statement that was looked at, and when that was.
    seen: Option<(u64, DateTime<Utc>)>,
    newest: BTreeMap<Pair, Verdict>,
    /// Those that were handed out last.
    handed: Option<Vec<Verdict>>,
}

impl Verdicts {
    /// The verdicts that count at `utc`, the newest first: of each crew the newest on each pair of entry and read. Looks at
    /// what has come since the last time; at the first time, and when the clock was set back, at all that can count.
    fn gather(&mut self, store: &dyn Store, utc: DateTime<Utc>) -> Result<Vec<Verdict>> {
        let mut number = match self.seen.take() {
            Some((number, at)) if at <= utc => number,
            _ => {
                self.newest.clear();
                number_before(utc - VERDICTS_KEPT)
            }
        };
        for stored in store.arrived(Sent::Statement, number)? {
            number = stored.number;
            let Ok(Statement { utc: said_at, said: Said::Found { list, mark, text, judgement } }) =
                Statement::decode(&stored.payload)
            else {
                continue;
            };
            // What could not be found says nothing of the entry, and a crew's own entries are on no list of the others.
            if judgement == Judgement::NotFound || list == OWN {
                continue;
            }
            // A car whose clock runs ahead cannot make its word count for longer.
            let at = said_at.min(stored.received);
            let verdict = Verdict { unit: stored.unit, utc: at, list, mark, text, judgement };
            let pair = (verdict.unit.clone(), verdict.list.clone(), verdict.mark.clone(), verdict.text.clone());
            match self.newest.get(&pair) {
                Some(known) if known.utc > verdict.utc => {}
                _ => _ = self.newest.insert(pair, verdict),
            }
        }
        self.newest.retain(|_, verdict| utc - verdict.utc < VERDICTS_KEPT);
        self.seen = Some((number, utc));
        let mut verdicts: Vec<Verdict> = self.newest.values().cloned().collect();
        verdicts.sort_by_key(|verdict| std::cmp::Reverse(verdict.utc));
        verdicts.truncate(MOST);
        Ok(verdicts)
    }

    /// Signs the verdicts that count now and puts them where cars are offered them, if they are others than those that were
    /// handed out last. Says whether it did.
    pub(crate) fn hand_out(
        &mut self,
        key: impl FnOnce() -> Result<SigningKey>,
        store: &dyn Store,
        utc: DateTime<Utc>,
    ) -> Result<bool> {
        let verdicts = self.gather(store, utc)?;
        let held = store.lists()?.into_iter().find(|info| info.list == VERDICTS).map_or(0, |info| info.revision);
        let same = match &self.handed {
            Some(before) => *before == verdicts,
            // After a start nobody remembers: where there were none and are none, there is nothing to hand out.
            None => held == 0 && verdicts.is_empty(),
        };
        if same {
            return Ok(false);
        }
        // Revisions only have to grow; the time in milliseconds does.
        let revision = u64::try_from(utc.timestamp_millis()).unwrap_or(1).max(held + 1);
        let signed = key()?.sign_verdicts(&hotlist::Verdicts { revision, verdicts: verdicts.clone() }.encode());
        store.put_list(VERDICTS, revision, &mut &signed[..])?;
        self.handed = Some(verdicts);
        Ok(true)
    }
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
        let mut verdicts = Verdicts::default();
        assert!(!verdicts.hand_out(key, &store, start).expect("looked"), "nobody has said anything");
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
            let verdicts =
                hotlist::Verdicts::decode(verifying.open_verdicts(&signed).expect("signed")).expect("verdicts");
            assert_eq!(verdicts.revision, info.revision);
            assert_eq!(verifying.open_roll(&signed), None, "a signature of verdicts is none of a roll");
            verdicts.verdicts
        };
        assert!(verdicts.hand_out(key, &store, now).expect("signed"));
        let units: Vec<_> = newest().iter().map(|verdict| (verdict.unit.clone(), verdict.judgement)).collect();
        assert_eq!(units, [("EX-02".to_owned(), Judgement::False), ("EX-04".to_owned(), Judgement::True)]);
        assert!(newest().iter().all(|verdict| verdict.utc <= now));
        assert!(!verdicts.hand_out(key, &store, now).expect("looked"), "nothing has changed");
        // A service that starts again does not know what it handed out.
        assert!(Verdicts::default().hand_out(key, &store, now).expect("signed"));
        // A clock that is set ahead and back again costs no verdict; neither does a new one that comes meanwhile.
        let ahead = start + TimeDelta::days(2);
        assert!(verdicts.hand_out(key, &store, ahead).expect("signed"));
        assert!(newest().is_empty());
        assert!(verdicts.hand_out(key, &store, now).expect("signed"));
        assert_eq!(newest().len(), 2);
        say("EX-05", "pnc", Judgement::Outdated, now, now);
        assert!(verdicts.hand_out(key, &store, now).expect("signed"));
        assert_eq!(newest().len(), 3);
        let later = start + VERDICTS_KEPT + TimeDelta::minutes(1);
        assert!(verdicts.hand_out(key, &store, later).expect("signed"));
        assert_eq!(newest().len(), 2, "the oldest has aged");
        assert!(verdicts.hand_out(key, &store, later + TimeDelta::minutes(2)).expect("signed"));
        assert!(newest().is_empty());
    }
}

//! Retention: what is personal goes when its time is over.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use redb::ReadableTable;
use serde::Serialize;

use super::archive::{Archive, HITS, META, OUTBOX, PICTURES, READS, RUNS, Trouble, decoded, get};
use super::queue::Waiting;
use super::record::{StoredHit, StoredRead};
use crate::config;
use crate::fault::Result;
use crate::tag::When;

/// What a retention pass took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Vehicle passes, with all their versions and pictures.
    pub reads: u64,
    /// Of these: passes that the office has not had in full.
    pub unsent: u64,
    /// Hits.
    pub hits: u64,
}

/// Passes that one transaction takes away: the writer waits no longer than for a commit.
const AT_ONCE: usize = 500;

impl Archive {
    /// Takes away reads without a hit beyond their keep time, whether or not the office has them, and hits beyond theirs
    /// once the office has them and all that belongs to them; a read goes no earlier than the last hit on it. Does
    /// nothing while `now` is not trusted: a wrong clock must not empty the journal.
    ///
    /// A record whose own time was not trusted is as old as the first trusted pass that saw its run.
    ///
    /// # Errors
    /// The disk fails, or the journal is damaged. What was taken away until then stays away.
    pub fn purge(&self, now: When, keep: &config::Journal) -> Result<Purged> {
        let mut purged = Purged::default();
        if !now.trusted {
            return Ok(purged);
        }
        let runs = self.see_runs(now.utc)?;
        loop {
            let due = self.due(now.utc, keep, &runs)?;
            if due.hits.is_empty() && due.reads.is_empty() {
                return Ok(purged);
            }
            self.take_away(&due)?;
            purged.hits += due.hits.len() as u64;
            purged.reads += due.reads.len() as u64;
            purged.unsent += due.reads.iter().filter(|pass| due.waiting.contains(pass)).count() as u64;
        }
    }

    /// Notes runs that no pass has seen; gives when each was seen first.
    fn see_runs(&self, now: DateTime<Utc>) -> Result<HashMap<u64, DateTime<Utc>>> {
        let what = "cannot note the time";
        let missing = self.read(what, |transaction| {
            let last = get(&transaction.open_table(META)?, "run")?;
            Ok(transaction.open_table(RUNS)?.get(last)?.is_none())
        })?;
        if missing {
            self.write(what, |transaction| {
                let last = get(&transaction.open_table(META)?, "run")?;
                let mut runs = transaction.open_table(RUNS)?;
                let from = runs.last()?.map_or(0, |(run, _)| run.value() + 1);
                for run in from..=last {
                    runs.insert(run, now.timestamp())?;
                }
                Ok(())
            })?;
        }
        self.read(what, |transaction| {
            let mut seen = HashMap::new();
            for row in transaction.open_table(RUNS)?.iter()? {
                let (run, at) = row?;
                seen.insert(run.value(), DateTime::from_timestamp(at.value(), 0).unwrap_or(now));
            }
            Ok(seen)
        })
    }

    /// What is to go now, at most [`AT_ONCE`] of each kind.
    fn due(&self, now: DateTime<Utc>, keep: &config::Journal, runs: &HashMap<u64, DateTime<Utc>>) -> Result<Due> {
        let before = |hours: u32| now - TimeDelta::hours(hours.into());
        let (reads_before, hits_before) = (before(keep.keep_reads_h), before(keep.keep_hits_h));
        let time = |read: &StoredRead| {
            if read.utc_trusted { read.utc() } else { runs.get(&read.run).map_or(now, |seen| read.utc().max(*seen)) }
        };
        self.read("cannot look through the journal", |transaction| {
            let mut due = Due::default();
            let mut unsent_hits = HashSet::new();
            for row in transaction.open_table(OUTBOX)?.iter()? {
                match Waiting::decode(row?.1.value()) {
                    Some(Waiting::Hit { sequence }) => _ = unsent_hits.insert(sequence),
                    Some(Waiting::Read { run, pass, .. } | Waiting::Picture { run, pass, .. }) => {
                        due.waiting.insert((run, pass));
                    }
                    None => return Err(Trouble::Damaged("a row of the outbox makes no sense".into())),
                }
            }
            let mut wanted = HashSet::new();
            for row in transaction.open_table(HITS)?.iter()? {
                let (sequence, hit) = row?;
                let sequence = sequence.value();
                let hit: StoredHit = decoded(hit.value(), format_args!("hit {sequence}"))?;
                let Some(read) = &hit.read else { continue };
                let pass = (read.run, read.pass);
                let over = time(read) < hits_before && !unsent_hits.contains(&sequence) && !due.waiting.contains(&pass);
                if over && due.hits.len() < AT_ONCE {
                    due.hits.push(sequence);
                } else {
                    wanted.insert(pass);
                }
            }
            let reads = transaction.open_table(READS)?;
            for row in reads.iter()? {
                if due.reads.len() >= AT_ONCE {
                    break;
                }
                let (key, value) = row?;
                let (run, pass, version) = key.value();
                if version > 0 || wanted.contains(&(run, pass)) {
                    continue;
                }
                let read: StoredRead = decoded(value.value(), format_args!("read {run}-{pass}"))?;
                if time(&read) < reads_before {
                    due.reads.push((run, pass));
                }
            }
            Ok(due)
        })
    }

    fn take_away(&self, due: &Due) -> Result<()> {
        self.write("cannot take old records away", |transaction| {
            let mut reads = transaction.open_table(READS)?;
            let mut pictures = transaction.open_table(PICTURES)?;
            let mut hits = transaction.open_table(HITS)?;
            let mut outbox = transaction.open_table(OUTBOX)?;
            let [mut reads_out, mut pictures_out, mut outbox_out] = [0; 3];
            for sequence in &due.hits {
                hits.remove(sequence)?;
            }
            for (run, pass) in &due.reads {
                let first = (*run, *pass, 0);
                reads.retain_in(first..=(*run, *pass, u32::MAX), |_, _| {
                    reads_out += 1;
                    false
                })?;
                pictures.retain_in((*run, *pass, 0, 0)..=(*run, *pass, u32::MAX, u8::MAX), |_, _| {
                    pictures_out += 1;
                    false
                })?;
            }
            let gone: HashSet<_> = due.reads.iter().filter(|pass| due.waiting.contains(pass)).copied().collect();
            if !gone.is_empty() {
                outbox.retain(|_, value| {
                    let goes = matches!(Waiting::decode(value),
                        Some(Waiting::Read { run, pass, .. } | Waiting::Picture { run, pass, .. }) if gone.contains(&(run, pass)));
                    outbox_out += u64::from(goes);
                    !goes
                })?;
            }
            let mut meta = transaction.open_table(META)?;
            for (name, out) in [
                ("reads.out", reads_out),
                ("pictures.out", pictures_out),
                ("hits.out", due.hits.len() as u64),
                ("outbox.out", outbox_out),
            ] {
                let before = get(&meta, name)?;
                meta.insert(name, before + out)?;
            }
            Ok(())
        })
    }
}

#[derive(Default)]
struct Due {
    hits: Vec<u64>,
    reads: Vec<(u64, u64)>,
    /// Passes of which something waits for the office.
    waiting: HashSet<(u64, u64)>,
}

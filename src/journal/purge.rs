//! Retention: what is personal goes when its time is over.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use redb::ReadableTable;
use serde::Serialize;

use super::archive::{Archive, EVENTS, HITS, META, OUTBOX, PICTURES, READS, RUNS, Trouble, get};
use super::chain::{Act, Deed};
use super::keyfile::Use;
use super::queue::Waiting;
use super::record::{StoredEvent, StoredHit, StoredRead, utc};
use super::room::WITHIN;
use super::vault::{Row, Used, day_of, key_of};
use crate::clock;
use crate::config;
use crate::fault::Result;
use crate::tag::When;

/// What a retention pass took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Vehicle passes, with all their versions and pictures.
    pub reads: u64,
    /// Hits.
    pub hits: u64,
    /// Of both: those that the office has not had in full.
    pub unsent: u64,
    /// Verdicts, faults and notes.
    pub events: u64,
}

/// What a retention pass took away and destroyed, and what it left though its time is over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The counts.
    pub purged: Purged,
    /// Pictures of the passes that went.
    pub pictures: u64,
    /// The day keys that were destroyed before their data: what for, and of which day.
    pub keys: Vec<(&'static str, NaiveDate)>,
    /// Passes that stay since a hit is on them.
    pub pinned: u64,
    /// Passes that stay since the office does not have them in full.
    pub waiting: u64,
    /// Whether the time was believed; if not, nothing was done.
    pub believed: bool,
}

/// How long things are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Keep {
    hours: config::Journal,
    office: bool,
}

impl Keep {
    /// As configured. With an office, what it has not acknowledged is kept on, up to `keep_unsent_h`; without one there is
    /// nobody to wait for, and age alone decides.
    pub fn new(hours: config::Journal, office: bool) -> Self {
        Self { hours, office }
    }
}

/// Rows of one kind that one transaction takes away: the writer waits no longer than for a commit.
const AT_ONCE: usize = 500;

impl Archive {
    /// Takes away reads without a hit, hits, and events beyond their keep times; a read goes no earlier than the last hit
    /// on it. A hit is kept as long as its list asks, within what the car's configuration allows. What the office is still to get stays until it has it, or until [`config::Journal::keep_unsent_h`] is over.
    /// Does nothing where `now` is neither trusted nor [believable](Self::believes): a wrong clock must not empty the
    /// journal.
    ///
    /// A record whose own time was not trusted is as old as the first pass of this kind that saw its run.
    ///
    /// # Errors
    /// The disk fails, or the journal is damaged. What was taken away until then stays away.
    pub fn purge(&self, now: When, keep: &Keep) -> Result<Purged> {
        self.purge_and_tell(now, keep).map(|report| report.purged)
    }

    /// The same, and tells what went and why.
    ///
    /// # Errors
    /// As there.
    pub fn purge_and_tell(&self, now: When, keep: &Keep) -> Result<Report> {
        let mut report = Report::default();
        if !now.trusted && !self.believes(now.utc)? {
            return Ok(report);
        }
        report.believed = true;
        let runs = self.see_runs(now.utc)?;
        // Within a transaction: whatever was sealed by then is committed, so that the look below sees it.
        let uses = self.write("cannot look through the journal", |_| Ok(self.vault.uses()))?;
        let due = self.due(now.utc, keep, &runs)?;
        (report.pinned, report.waiting) = (due.pinned, due.kept_waiting);
        let destroyed = self.destroy_keys(&due, &uses, now.utc, keep)?;
        report.keys = destroyed.into_iter().map(|(purpose, day)| (purpose.words(), date(day))).collect();
        for few in due.in_pieces() {
            let gone = self.take_away(&few)?;
            report.pictures += gone.pictures;
            let purged = &mut report.purged;
            purged.hits += few.hits.len() as u64;
            purged.reads += gone.passes;
            purged.events += few.events.len() as u64;
            purged.unsent += gone.unsent;
        }
        if report.purged != Purged::default() {
            let Purged { reads, hits, events, unsent } = report.purged;
            let detail = format!("{reads} passes, {hits} hits and {events} events; {unsent} were never sent");
            self.note(Deed::of_the_unit(Act::Purged, "their time was over", detail, now))?;
        }
        self.vault.swept();
        Ok(report)
    }

    /// Destroys the day keys of which everything is to go now: first the key, then the data. Should the unit die in between,
    /// the rows cannot be read any more, and the next pass takes them away.
    fn destroy_keys(
        &self,
        due: &Due,
        uses: &HashMap<u32, Used>,
        now: DateTime<Utc>,
        keep: &Keep,
    ) -> Result<Vec<(Use, i32)>> {
        // Records of the audit chain stay, as hashes that nobody can read any more.
        let deeds_before = now.checked_sub_signed(TimeDelta::hours(keep.hours.keep_audit_h.into()));
        let deeds_before = deeds_before.map_or(i32::MIN, |before| day_of(before.timestamp_micros()));
        let over = |id: &u32, used: &Used| match used.purpose {
            Use::Reads | Use::Hits | Use::Events => !due.wanted.contains(id),
            // One that was written by a clock that had not been set stays.
            Use::Deeds => used.day < deeds_before && clock::plausible_day(used.day),
            Use::Chain | Use::Lists => false,
        };
        let dead: Vec<u32> = uses.iter().filter(|(id, used)| over(id, used)).map(|(id, _)| *id).collect();
        if dead.is_empty() {
            return Ok(Vec::new());
        }
        // Within a transaction, so that nobody is sealing with one of them meanwhile.
        self.write("cannot destroy the keys of what is to go", |_| {
            self.vault.destroy(&dead, uses).map_err(Trouble::Other)
        })
    }

    /// Whether a clock that no satellite has set may be right: it says a time at which units existed, and nothing that was
    /// stored by trusted time, and no earlier pass of the purge, is later.
    ///
    /// # Errors
    /// The disk fails, or the journal is damaged.
    pub fn believes(&self, now: DateTime<Utc>) -> Result<bool> {
        if !clock::plausible(now) {
            return Ok(false);
        }
        self.read("cannot look through the journal", |transaction| {
            for row in transaction.open_table(RUNS)?.iter()? {
                if row?.1.value() > now.timestamp() {
                    return Ok(false);
                }
            }
            // Runs and passes are in order of time: the last one of trusted time is, but for seconds, the newest.
            for row in transaction.open_table(READS)?.iter()?.rev() {
                let (key, value) = row?;
                let (run, pass, version) = key.value();
                let Some(read) = self.decoded::<StoredRead>(Row::Read(run, pass, version), value.value())? else {
                    continue;
                };
                if read.utc_trusted {
                    return Ok(read.utc() <= now);
                }
            }
            Ok(true)
        })
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

    /// What is to go now, with what no key opens any more, and the keys of what stays.
    fn due(&self, now: DateTime<Utc>, keep: &Keep, runs: &HashMap<u64, DateTime<Utc>>) -> Result<Due> {
        // Longer than time itself: nothing is that old.
        let before =
            |hours: u32| now.checked_sub_signed(TimeDelta::hours(hours.into())).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let hours = &keep.hours;
        let reads_before = before(hours.keep_reads_h);
        let (unsent_before, events_before) = (before(hours.keep_unsent_h), before(hours.keep_events_h));
        let of_run = |trusted: bool, utc: DateTime<Utc>, run: u64| {
            if trusted { utc } else { runs.get(&run).map_or(now, |seen| utc.max(*seen)) }
        };
        let time = |read: &StoredRead| of_run(read.utc_trusted, read.utc(), read.run);
        // Whether something of that time may go though the office does not have it.
        let given_up = |time: DateTime<Utc>| !keep.office || time < unsent_before;
        self.read("cannot look through the journal", |transaction| {
            let mut due = Due { looked: get(&transaction.open_table(META)?, "sequence")?, ..Due::default() };
            for row in transaction.open_table(OUTBOX)?.iter()? {
                match Waiting::decode(row?.1.value()) {
                    Some(Waiting::Hit { sequence }) => _ = due.waiting_hits.insert(sequence),
                    Some(Waiting::Read { run, pass, .. } | Waiting::Picture { run, pass, .. }) => {
                        due.waiting.insert((run, pass));
                    }
                    None => return Err(Trouble::Damaged("a row of the outbox makes no sense".into())),
                }
            }
            let mut pinned = HashSet::new();
            for row in transaction.open_table(HITS)?.iter()? {
                let (sequence, sealed) = row?;
                let sequence = sequence.value();
                let Some(hit) = self.decoded::<StoredHit>(Row::Hit(sequence), sealed.value())? else {
                    due.hits.push(sequence);
                    continue;
                };
                let Some(read) = &hit.read else {
                    due.wanted.extend(key_of(sealed.value()));
                    continue;
                };
                let pass = (read.run, read.pass);
                let at = time(read);
                let sent = !due.waiting_hits.contains(&sequence) && !due.waiting.contains(&pass);
                if at < before(hours.hits_h(hit.keep_h)) && (sent || given_up(at)) {
                    due.hits.push(sequence);
                } else {
                    due.wanted.extend(key_of(sealed.value()));
                    pinned.insert(pass);
                }
            }
            // Whether the pass goes of which the versions come now, by its first one; all of them go or stay together, and a
            // picture has the key of the version that it came with.
            let (mut pass, mut goes) = (None, false);
            for row in transaction.open_table(READS)?.iter()? {
                let (key, sealed) = row?;
                let (run, number, version) = key.value();
                if pass.replace((run, number)) != Some((run, number)) {
                    let read = self.decoded::<StoredRead>(Row::Read(run, number, version), sealed.value())?;
                    goes = match read.map(|read| time(&read)) {
                        None => true,
                        Some(at) if at >= reads_before => false,
                        Some(_) if pinned.contains(&(run, number)) => {
                            due.pinned += 1;
                            false
                        }
                        Some(at) if due.waiting.contains(&(run, number)) && !given_up(at) => {
                            due.kept_waiting += 1;
                            false
                        }
                        Some(_) => true,
                    };
                    if goes {
                        due.reads.push((run, number));
                    }
                }
                if !goes {
                    due.wanted.extend(key_of(sealed.value()));
                }
            }
            for row in transaction.open_table(EVENTS)?.iter()? {
                let (sequence, sealed) = row?;
                let row = Row::Event(sequence.value());
                let event = self.decoded::<StoredEvent>(row, sealed.value())?;
                let stays =
                    event.is_some_and(|event| of_run(event.utc_trusted, utc(event.utc_us), event.run) >= events_before);
                if stays {
                    due.wanted.extend(key_of(sealed.value()));
                } else {
                    due.events.push(sequence.value());
                }
            }
            Ok(due)
        })
    }

    /// Takes `due` away, but for passes that a hit has come on since it was looked for.
    fn take_away(&self, due: &Due) -> Result<Taken> {
        self.write("cannot take old records away", |transaction| {
            let mut hits = transaction.open_table(HITS)?;
            let mut hit_since = HashSet::new();
            for row in hits.range(due.looked + 1..)? {
                let (sequence, sealed) = row?;
                let hit = self.decoded::<StoredHit>(Row::Hit(sequence.value()), sealed.value())?;
                hit_since.extend(hit.and_then(|hit| hit.read).map(|read| (read.run, read.pass)));
            }
            let mut reads = transaction.open_table(READS)?;
            let mut pictures = transaction.open_table(PICTURES)?;
            let mut outbox = transaction.open_table(OUTBOX)?;
            let [mut reads_out, mut outbox_out, mut bytes] = [0; 3];
            let mut taken = Taken::default();
            for sequence in &due.hits {
                hits.remove(sequence)?;
            }
            let mut events = transaction.open_table(EVENTS)?;
            for sequence in &due.events {
                events.remove(sequence)?;
            }
            let passes: HashSet<_> = due.reads.iter().filter(|pass| !hit_since.contains(*pass)).copied().collect();
            taken.passes = passes.len() as u64;
            for (run, pass) in &passes {
                let first = (*run, *pass, 0);
                reads.retain_in(first..=(*run, *pass, u32::MAX), |_, sealed| {
                    (reads_out, bytes) = (reads_out + 1, bytes + sealed.len() as u64);
                    false
                })?;
                pictures.retain_in((*run, *pass, 0, 0)..=(*run, *pass, u32::MAX, u8::MAX), |_, sealed| {
                    (taken.pictures, bytes) = (taken.pictures + 1, bytes + sealed.len() as u64);
                    false
                })?;
            }
            let unsent_passes = passes.iter().filter(|pass| due.waiting.contains(pass)).count();
            let unsent_hits = due.hits.iter().filter(|sequence| due.waiting_hits.contains(sequence)).count();
            taken.unsent = (unsent_passes + unsent_hits) as u64;
            if taken.unsent > 0 {
                let hits: HashSet<_> = due.hits.iter().copied().collect();
                outbox.retain(|_, value| {
                    let goes = match Waiting::decode(value) {
                        Some(Waiting::Hit { sequence }) => hits.contains(&sequence),
                        Some(Waiting::Read { run, pass, .. } | Waiting::Picture { run, pass, .. }) => {
                            passes.contains(&(run, pass))
                        }
                        None => false,
                    };
                    outbox_out += u64::from(goes);
                    !goes
                })?;
            }
            let mut meta = transaction.open_table(META)?;
            for (name, out) in [
                ("reads.out", reads_out),
                ("pictures.out", taken.pictures),
                ("hits.out", due.hits.len() as u64),
                ("events.out", due.events.len() as u64),
                ("outbox.out", outbox_out),
                (WITHIN, bytes),
            ] {
                let before = get(&meta, name)?;
                meta.insert(name, before + out)?;
            }
            Ok(taken)
        })
    }
}

/// What one transaction took away.
#[derive(Default)]
struct Taken {
    passes: u64,
    pictures: u64,
    unsent: u64,
}

#[derive(Default)]
struct Due {
    /// The last sequence that was given when this was looked for.
    looked: u64,
    hits: Vec<u64>,
    reads: Vec<(u64, u64)>,
    events: Vec<u64>,
    /// Passes of which something waits for the office.
    waiting: HashSet<(u64, u64)>,
    /// Hits that wait for it.
    waiting_hits: HashSet<u64>,
    /// Passes beyond the time of reads that a hit keeps, and that the office is still to get.
    pinned: u64,
    kept_waiting: u64,
    /// The keys of what stays.
    wanted: HashSet<u32>,
}

/// A day as people write it.
fn date(day: i32) -> NaiveDate {
    NaiveDate::default() + TimeDelta::days(day.into())
}

impl Due {
    /// The same, [`AT_ONCE`] of each kind at a time.
    fn in_pieces(&self) -> impl Iterator<Item = Due> {
        let most = self.hits.len().max(self.reads.len()).max(self.events.len());
        (0..most).step_by(AT_ONCE).map(|from| {
            let (hits, reads, events) = (piece(&self.hits, from), piece(&self.reads, from), piece(&self.events, from));
            let waiting = reads.iter().filter(|pass| self.waiting.contains(pass)).copied().collect();
            let waiting_hits = hits.iter().filter(|hit| self.waiting_hits.contains(hit)).copied().collect();
            Due { looked: self.looked, hits, reads, events, waiting, waiting_hits, ..Due::default() }
        })
    }
}

fn piece<T: Copy>(all: &[T], from: usize) -> Vec<T> {
    all.iter().skip(from).take(AT_ONCE).copied().collect()
}

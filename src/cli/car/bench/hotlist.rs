//! `outrider bench hotlist`: a made-up national list, imported, opened, matched and changed, beside SQLite.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::made_up::{self, Confusions};
use super::{peak_memory, show, simulation};
use crate::cli::car::read::round;
use crate::clock::{RealClock, Shared};
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{self, Amendment, Circumstances, Entry, Hotlist, ImportOptions, Mark, SigningKey, typed};
use crate::plate;
use crate::recognise::Read;
use crate::seal::SealKey;

/// Patterns that are loaded while reads are matched.
const PATTERNS: usize = 10_000;
/// Reads that are matched, each kind.
const READS: usize = 100_000;
/// The share of reads that are listed where rates are compared, in percent.
const LISTED: usize = 5;
/// Changes that are applied while reads are matched.
const CHANGES: usize = 50_000;

const LIST: &str = "national";

/// What to measure.
pub(super) struct Options {
    pub(super) entries: u64,
    pub(super) simulate: bool,
    pub(super) in_the_clear: bool,
    pub(super) folder: Option<PathBuf>,
    pub(super) json: bool,
}

/// Measures and prints.
pub(super) fn run(options: &Options) -> Result<()> {
    let clock = RealClock::shared();
    let scratch = match &options.folder {
        Some(folder) => tempfile::Builder::new().prefix("bench-").tempdir_in(folder),
        None => tempfile::Builder::new().prefix("outrider-bench-").tempdir(),
    }
    .map_err(|error| Fault::new(Kind::Unavailable, "cannot make a folder for the lists").because(error))?;
    let mut random = Rng::with_seed(20_26);
    let csv = scratch.path().join("list.csv");
    let made = File::create(&csv)
        .and_then(|file| made_up::list(file, options.entries, &mut random, (options.entries / READS as u64).max(1)));
    let listed = made.map_err(|error| Fault::io("cannot write the made-up list", &csv, error))?;
    say("made the list");

    let store = scratch.path().join(hotlist::FILE);
    let key = SealKey::passing()?;
    let seals = (!options.in_the_clear).then_some(&key);
    let mut report = serde_json::Map::new();
    report.insert("entries".into(), json!(options.entries));
    report.insert("sealed".into(), json!(seals.is_some()));
    report.insert("import".into(), import(&store, seals, &csv, options.entries, &clock)?);
    say("imported");
    report.insert("open".into(), open(&store, seals, scratch.path(), &listed, &clock)?);
    say("opened");
    let hotlist = open_store(&store, seals, &clock)?;
    let patterns: String = (0..PATTERNS).map(|_| made_up::pattern(&mut random) + "\n").collect();
    let pattern_file = Path::new("made-up patterns");
    hotlist.import("patterns", format!("vrm\n{patterns}").as_bytes(), pattern_file, &ImportOptions::default())?;
    let probes = Probes::new(&listed, &mut random);
    let (ours, matching) = matching(&hotlist, &probes, &mut random, &clock)?;
    report.insert("match".into(), matching);
    say("matched");
    report.insert("sqlite".into(), sqlite(scratch.path(), &csv, &probes, ours, &clock)?);
    say("measured SQLite");
    report.insert("change".into(), change(hotlist, (&store, seals), scratch.path(), &listed, &probes, &clock)?);
    report.insert("peak_memory_after_change_mib".into(), json!(peak_memory().map(|bytes| bytes >> 20)));
    say("changed");
    if options.simulate {
        let hotlist = open_store(&store, seals, &clock)?;
        report.insert("simulation".into(), simulation::run(&hotlist, LIST, &listed, options.entries, &mut random)?);
    }
    report.insert("peak_memory_of_everything_mib".into(), json!(peak_memory().map(|bytes| bytes >> 20)));
    show(options.json, &Value::Object(report))
}

/// The store at `path`, sealed as in a car, or in the clear.
fn open_store(path: &Path, seals: Option<&SealKey>, clock: &Shared) -> Result<Hotlist> {
    match seals {
        Some(key) => Hotlist::open_sealed(path, key, clock.clone()),
        None => Hotlist::open(path, clock.clone()),
    }
}

fn say(what: &str) {
    eprintln!("outrider bench: {what}");
}

fn import(store: &Path, seals: Option<&SealKey>, csv: &Path, entries: u64, clock: &Shared) -> Result<Value> {
    let before = peak_memory().unwrap_or_default();
    let start = clock.now();
    let hotlist = open_store(store, seals, clock)?;
    let file = File::open(csv).map_err(|error| Fault::io("cannot read the made-up list", csv, error))?;
    let report = hotlist.import(LIST, file, csv, &ImportOptions::default())?;
    let took = clock.now().since(start);
    drop(hotlist);
    let size = std::fs::metadata(store).map_or(0, |data| data.len());
    Ok(json!({
        "seconds": seconds(took),
        "entries": report.accepted,
        "peak_memory_mib": peak_memory().map(|bytes| bytes >> 20),
        "memory_before_mib": before >> 20,
        "bytes_on_disk": size,
        "bytes_an_entry": size / entries.max(1),
    }))
}

/// Start-up to the first match, after a clean stop and after a kill.
fn open(store: &Path, seals: Option<&SealKey>, scratch: &Path, listed: &[String], clock: &Shared) -> Result<Value> {
    let first = |path: &Path| -> Result<(Duration, Hotlist)> {
        let start = clock.now();
        let hotlist = open_store(path, seals, clock)?;
        let read = typed(&listed[0], Vec::new(), 0.99);
        if hotlist.match_read(&read, clock.utc()).is_empty() {
            return Err(Fault::new(Kind::Internal, "a listed vehicle is no hit"));
        }
        Ok((clock.now().since(start), hotlist))
    };
    let (clean, hotlist) = first(store)?;
    // What a killed process leaves: the file as it is while it is open.
    let killed = scratch.join("killed.redb");
    std::fs::copy(store, &killed).map_err(|error| Fault::io("cannot copy the store", &killed, error))?;
    drop(hotlist);
    let (dirty, hotlist) = first(&killed)?;
    drop(hotlist);
    // The next measurements want the room.
    let _ = std::fs::remove_file(&killed);
    Ok(json!({"seconds_after_clean_stop": seconds(clean), "seconds_after_kill": seconds(dirty)}))
}

/// Reads to match.
struct Probes {
    listed: Vec<Read>,
    strangers: Vec<Read>,
    /// As they come: some of them listed.
    mixed: Vec<Read>,
}

impl Probes {
    fn new(listed: &[String], random: &mut Rng) -> Self {
        let exact = |text: &str| typed(text, Vec::new(), 0.99);
        let mixed = (0..READS).map(|_| match random.usize(0..100) {
            0..LISTED => listed[random.usize(0..listed.len())].clone(),
            _ => made_up::mark(random),
        });
        let mixed = mixed.map(|text| exact(&text)).collect();
        Self {
            listed: (0..READS).map(|n| exact(&listed[n % listed.len()])).collect(),
            strangers: (0..READS).map(|_| exact(&made_up::mark(random))).collect(),
            mixed,
        }
    }
}

/// Gives the rate of exact matches a second, and everything.
fn matching(hotlist: &Hotlist, probes: &Probes, random: &mut Rng, clock: &Shared) -> Result<(f64, Value)> {
    let at = Circumstances { utc: clock.utc(), timed: true, ..Circumstances::default() };
    let exact = |reads: &[Read]| timed(reads, clock, |read| hotlist.match_exact(read, &at).len());
    let all = |reads: &[Read]| timed(reads, clock, |read| hotlist.match_at(read, &at).len());
    let confusions = Confusions::measured()?;
    let as_read = |probes: &[Read], random: &mut Rng| -> Vec<Read> {
        probes.iter().map(|probe| confusions.read(&probe.raw, random)).collect()
    };
    let (listed, strangers) = (as_read(&probes.listed, random), as_read(&probes.strangers, random));
    let mixed = exact(&probes.mixed);
    let rate = mixed.rate();
    let value = json!({
        "patterns": PATTERNS,
        "exact": {
            "listed": exact(&probes.listed).json(),
            "not_listed": exact(&probes.strangers).json(),
            "mixed": mixed.json(),
            "listed_of_mixed_percent": LISTED,
        },
        "probable_and_patterns": {
            "listed": all(&listed).json(),
            "not_listed": all(&strangers).json(),
        },
        "patterns_alone": {
            "note": "reads without probabilities: exact and patterns only",
            "not_listed": all(&probes.strangers).json(),
        },
    });
    Ok((rate, value))
}

/// The same list in SQLite with an index over the folded VRM, asked the same.
fn sqlite(scratch: &Path, csv: &Path, probes: &Probes, ours: f64, clock: &Shared) -> Result<Value> {
    let failed = |error: rusqlite::Error| Fault::new(Kind::Unavailable, "SQLite failed").because(error);
    let path = scratch.join("hotlist.sqlite");
    let start = clock.now();
    let mut database = Connection::open(&path).map_err(failed)?;
    database
        .execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -32768;
             CREATE TABLE entries (folded TEXT NOT NULL, vrm, reason, priority, action, make, model, colour, markers, source,
                                   added, confirmed, expires);",
        )
        .map_err(failed)?;
    let transaction = database.transaction().map_err(failed)?;
    {
        let mut insert = transaction
            .prepare("INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")
            .map_err(failed)?;
        let unreadable = |error: csv::Error| Fault::new(Kind::Damaged, "cannot read the made-up list").because(error);
        let mut reader = csv::Reader::from_path(csv).map_err(unreadable)?;
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(unreadable)? {
            let folded = plate::fold(&record[0]);
            let fields = std::iter::once(folded.as_str()).chain(record.iter());
            insert.execute(rusqlite::params_from_iter(fields)).map_err(failed)?;
        }
    }
    transaction.execute_batch("CREATE INDEX by_vrm ON entries (folded)").map_err(failed)?;
    transaction.commit().map_err(failed)?;
    let import = clock.now().since(start);
    let size = std::fs::metadata(&path).map_or(0, |data| data.len());
    let mut select = database.prepare("SELECT * FROM entries WHERE folded = ?1").map_err(failed)?;
    let mut trouble = None;
    let mut ask = |read: &Read| {
        let rows = select
            .query_map([plate::fold(&read.text)], |row| {
                (1..13).map(|column| row.get::<_, String>(column)).collect::<std::result::Result<Vec<_>, _>>()
            })
            .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
        rows.map_or_else(
            |error| {
                trouble = Some(error);
                0
            },
            |rows| rows.len(),
        )
    };
    let (listed, strangers) = (timed(&probes.listed, clock, &mut ask), timed(&probes.strangers, clock, &mut ask));
    let mixed = timed(&probes.mixed, clock, &mut ask);
    if let Some(error) = trouble {
        return Err(failed(error));
    }
    let rate = mixed.rate();
    Ok(json!({
        "version": rusqlite::version(),
        "import_seconds": seconds(import),
        "bytes_on_disk": size,
        "listed": listed.json(),
        "not_listed": strangers.json(),
        "mixed": mixed.json(),
        "our_rate_over_its": round((ours / rate) as f32, 1),
    }))
}

/// Changes applied in one revision while reads are matched.
fn change(
    car: Hotlist,
    (store, seals): (&Path, Option<&SealKey>),
    scratch: &Path,
    listed: &[String],
    probes: &Probes,
    clock: &Shared,
) -> Result<Value> {
    let key = SigningKey::from_bytes(&SigningKey::generate()?)?;
    let start = clock.now();
    let signed = car.sign_whole(LIST, &key)?;
    let signing = clock.now().since(start);
    let mut whole = signed.whole;
    let unreadable = |error| Fault::io("cannot read the signed list", scratch, error);
    // A car that has none of it takes it whole.
    let fresh_path = scratch.join("fresh.redb");
    let fresh = open_store(&fresh_path, seals, clock)?;
    fresh.trust(vec![key.verifying()]);
    let start = clock.now();
    fresh.apply(whole.reader().map_err(unreadable)?, Some(LIST))?;
    let taking = clock.now().since(start);
    drop(fresh);
    let _ = std::fs::remove_file(&fresh_path);
    let whole_bytes = whole.size();
    drop(whole);
    drop(car);
    // The office holds the same and makes the change.
    let office_path = scratch.join("office.redb");
    std::fs::copy(store, &office_path).map_err(|error| Fault::io("cannot copy the store", &office_path, error))?;
    let mut random = Rng::with_seed(7);
    let mut amendments = Vec::new();
    for number in 0..CHANGES {
        let bad = |error| Fault::new(Kind::Internal, "a made-up mark is none").because(error);
        amendments.push(match number % 2 {
            0 => {
                let mark = Mark::parse(&listed[(number / 2) % listed.len()]).map_err(bad)?;
                Amendment::Remove { mark, why: "recovered".into() }
            }
            _ => {
                let mark = Mark::parse(&made_up::mark(&mut random)).map_err(bad)?;
                Amendment::Set(Box::new(Entry { reason: "stolen".into(), ..Entry::bare(mark) }))
            }
        });
    }
    let start = clock.now();
    let (_, mut signed) = open_store(&office_path, seals, clock)?.amend(LIST, &amendments, None, &key)?;
    let making = clock.now().since(start);
    let _ = std::fs::remove_file(&office_path);

    let car = open_store(store, seals, clock)?;
    car.trust(vec![key.verifying()]);
    let done = AtomicBool::new(false);
    let at = Circumstances { utc: clock.utc(), timed: true, ..Circumstances::default() };
    let (applied, meanwhile) = std::thread::scope(|scope| {
        let matcher = scope.spawn(|| {
            let mut times = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let read = &probes.mixed[times.len() % probes.mixed.len()];
                let start = clock.now();
                std::hint::black_box(car.match_at(read, &at));
                times.push(clock.now().since(start));
                // Some five hundred reads a second: the rest of the machine is the change's.
                clock.sleep(Duration::from_millis(2));
            }
            times
        });
        let start = clock.now();
        let applied = signed.reader().map_err(unreadable).and_then(|bytes| car.apply(bytes, Some(LIST)));
        let took = clock.now().since(start);
        done.store(true, Ordering::Relaxed);
        (applied.map(|_| took), matcher.join())
    });
    let meanwhile = meanwhile.map_err(|_| Fault::new(Kind::Internal, "matching ended by a panic"))?;
    Ok(json!({
        "changes": CHANGES,
        "apply_seconds": seconds(applied?),
        "match_meanwhile": Times::of(meanwhile).json(),
        "bytes": signed.size(),
        "make_and_sign_seconds": seconds(making),
        "sign_whole_seconds": seconds(signing),
        "whole_bytes": whole_bytes,
        "apply_whole_seconds": seconds(taking),
        "bytes_on_disk_afterwards": std::fs::metadata(store).map_or(0, |data| data.len()),
    }))
}

fn timed(reads: &[Read], clock: &Shared, mut each: impl FnMut(&Read) -> usize) -> Times {
    let mut times = Vec::with_capacity(reads.len());
    for read in reads {
        let start = clock.now();
        std::hint::black_box(each(read));
        times.push(clock.now().since(start));
    }
    Times::of(times)
}

struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    fn at(&self, share: f64) -> f64 {
        let index = ((self.0.len() as f64 * share) as usize).min(self.0.len().saturating_sub(1));
        self.0.get(index).map_or(0.0, |time| round(time.as_secs_f32() * 1e6, 2))
    }

    /// Matches a second.
    fn rate(&self) -> f64 {
        self.0.len() as f64 / self.0.iter().sum::<Duration>().as_secs_f64().max(1e-9)
    }

    fn json(&self) -> Value {
        json!({
            "matches": self.0.len(),
            "p50_us": self.at(0.5),
            "p99_us": self.at(0.99),
            "max_us": self.at(1.0),
            "a_second": self.rate().round(),
        })
    }
}

fn seconds(time: Duration) -> f64 {
    round(time.as_secs_f32(), 2)
}

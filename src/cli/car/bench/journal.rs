//! `outrider bench journal`: reads with pictures at a steady rate, as long as one likes: how soon each is on the disk, what it
//! takes there, and whether memory grows.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::{memory, peak_memory, show};
use crate::clock::{Clock, Moment, RealClock};
use crate::fault::{Fault, Kind, Result};
use crate::journal::{Archive, ItemKind, Journal, Key, Record, make_token};
use crate::plate;
use crate::recognise::{Character, Read, ReadId, Thumbnail};
use crate::tag::{Place, TaggedRead, When};

pub(super) struct Options {
    pub(super) seconds: u64,
    pub(super) rate: u64,
    pub(super) folder: Option<PathBuf>,
    pub(super) json: bool,
}

const GLANCE: Duration = Duration::from_millis(1);
/// How often the office would acknowledge.
const OFFICE: Duration = Duration::from_millis(250);
const PLATE: &str = "AB12CDE";

pub(super) fn run(options: &Options) -> Result<()> {
    let Options { seconds, rate, folder, json } = options;
    let clock = RealClock::shared();
    let made = match folder {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let scratch = made.map_err(|error| Fault::new(Kind::Unavailable, "cannot make a folder").because(error))?;
    let (token, data) = (scratch.path().join("token"), scratch.path().join("data"));
    make_token(&token)?;
    let key = Key::Token(token);
    let journal = Journal::open_with(&data, &key, clock.clone())?;
    let (patch, overview) = (texture(120, 28), texture(320, 180));

    let (wanted, every) = (seconds * rate, Duration::from_secs(1) / u32::try_from(*rate).unwrap_or(u32::MAX).max(1));
    let mut waiting: VecDeque<Moment> = VecDeque::new();
    let mut latencies: Vec<Duration> = Vec::new();
    let mut sent = 0;
    let mut early_memory = None;
    let start = clock.now();
    let over = AtomicBool::new(false);
    // The office has a thread of its own, as it has in the unit: what it waits for, no read waits for.
    let uploaded = std::thread::scope(|scope| {
        let office = scope.spawn(|| upload(&journal, &*clock, &over));
        let driven = (|| {
            while (latencies.len() as u64) < wanted {
                let now = clock.now();
                while sent < wanted && start.plus(every * u32::try_from(sent).unwrap_or(u32::MAX)) <= now {
                    sent += 1;
                    let read = made_up(journal.run(), sent, &patch, &overview, &*clock);
                    waiting.push_back(clock.now());
                    journal.record(Record::Read(Box::new(read)))?;
                }
                let status = journal.status();
                if let Some(fault) = status.fault {
                    return Err(Fault::new(fault.kind(), fault.to_string()));
                }
                while (latencies.len() as u64) < status.committed {
                    let Some(from) = waiting.pop_front() else { break };
                    latencies.push(clock.now().since(from));
                }
                // Pools and caches are filled by then.
                if early_memory.is_none() && sent >= wanted / 4 {
                    early_memory = memory();
                }
                clock.sleep(GLANCE);
            }
            Ok(())
        })();
        over.store(true, Ordering::Relaxed);
        let uploaded = office.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        driven.and(uploaded)
    })?;
    let took = clock.now().since(start);
    let (late_memory, commits) = (memory(), journal.status().commits);
    drop(journal);
    let bytes = std::fs::metadata(data.join("journal.redb")).map_or(0, |file| file.len());
    let verified = Archive::open_existing(&data, &key)?.verify()?;
    if verified.reads != wanted {
        return Err(Fault::new(Kind::Internal, format!("{wanted} reads were committed, {} are there", verified.reads)));
    }
    latencies.sort();
    let ms = |part: f64| {
        let index = ((latencies.len() as f64 * part) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(index).map(|latency| latency.as_secs_f64() * 1e3)
    };
    let mib = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / f64::from(1 << 20));
    show(
        *json,
        &json!({
            "reads": wanted,
            "seconds": took.as_secs_f64(),
            "reads_per_second": wanted as f64 / took.as_secs_f64(),
            "commits": commits,
            "commit_ms": { "p50": ms(0.5), "p99": ms(0.99), "max": ms(1.0) },
            "uploaded": uploaded.items,
            "payload_bytes_per_read": uploaded.bytes / uploaded.reads.max(1),
            "file_bytes": bytes,
            "bytes_per_read": bytes / wanted.max(1),
            "memory_mib_after_a_quarter": mib(early_memory),
            "memory_mib_at_the_end": mib(late_memory),
            "peak_memory_mib": mib(peak_memory()),
        }),
    )
}

/// What the office got.
#[derive(Default)]
struct Uploaded {
    items: usize,
    reads: u64,
    bytes: u64,
}

/// Takes what waits for the office, and acknowledges it, until `over`.
fn upload(journal: &Journal, clock: &dyn Clock, over: &AtomicBool) -> Result<Uploaded> {
    let mut uploaded = Uploaded::default();
    while !over.load(Ordering::Relaxed) {
        let items = journal.pending(512, 8 << 20)?;
        uploaded.items += items.len();
        uploaded.reads += items.iter().filter(|item| item.kind == ItemKind::Read).count() as u64;
        uploaded.bytes += items.iter().map(|item| item.payload.len() as u64).sum::<u64>();
        journal.acknowledge(&items.into_iter().map(|item| item.key).collect::<Vec<_>>())?;
        clock.sleep(OFFICE);
    }
    Ok(uploaded)
}

/// A picture that JPEG has work with: fine grain on a slope.
fn texture(width: usize, height: usize) -> Arc<Thumbnail> {
    let mut random = fastrand::Rng::with_seed(7);
    let rgb = (0..width * height).flat_map(|at| [(at / width + random.usize(0..40)) as u8; 3]).collect();
    Arc::new(Thumbnail { width, height, rgb })
}

fn made_up(run: u64, pass: u64, patch: &Arc<Thumbnail>, overview: &Arc<Thumbnail>, clock: &dyn Clock) -> TaggedRead {
    let characters = PLATE
        .chars()
        .map(|character| {
            let mut p = [0.01; plate::ALPHABET_SIZE];
            if let Some(index) = plate::index_of(character) {
                p[index] = 0.65;
            }
            Character { p }
        })
        .collect();
    let now = clock.now();
    TaggedRead {
        drill: false,
        read: Read {
            id: ReadId { run, pass },
            camera: "front".into(),
            text: PLATE.into(),
            raw: PLATE.into(),
            confidence: 0.97,
            characters,
            first_at: now,
            last_at: now,
            first_seen: now.since_start(),
            last_seen: now.since_start(),
            looks: 9,
            agreeing: 8,
            corners: [[10.0, 20.0], [110.0, 20.0], [110.0, 42.5], [10.0, 42.5]],
            patch: patch.clone(),
            overview: overview.clone(),
        },
        when: When { utc: clock.utc(), trusted: false },
        place: Some(Place {
            lat: 51.5,
            lon: -0.1,
            speed_mps: Some(13.0),
            course: None,
            age: Duration::ZERO,
            stale: false,
        }),
    }
}

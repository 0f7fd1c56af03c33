//! The one thread that writes, the one that compresses pictures for it, and the handle that feeds both.
//!
//! ```text
//! record ─► queue ─► press: compresses ─► a few that are ready ─► writer: one commit of what is ready
//! ```
//! Compressing takes a hundred times the time of everything else that is done to a read, and needs no disk; so it goes on
//! while the commit before is on its way, and no commit waits for hundreds of pictures to be made.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::archive::Archive;
use super::lock::{Key, Protection};
use super::purge::{Keep, Purged, Report};
use super::queue::{Item, Wanted};
use super::record::{Prepared, Record};
use super::room::{Gone, Room, Space};
use crate::clock;
use crate::config;
use crate::fault::{Fault, Kind, Result};
use crate::recognise::Thumbnail;
use crate::tag::When;

/// Records that may wait for the disk: minutes of dense traffic.
const QUEUE: usize = 4096;
/// Bytes of pictures that may wait for the disk. Beyond it reads are kept without theirs: text is never lost for a picture.
const PICTURES: usize = 128 << 20;
/// Records that are compressed and may wait for the commit before.
const READY: usize = 64;
/// A commit takes no more than this: records, and bytes of their pictures. Both are far beyond what comes in the time of one.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
/// How long a commit waits for more to go with it. A commit costs as much for one read as for ten, and flash wears with each;
/// whoever flushes waits for nothing.
const GATHER: Duration = Duration::from_millis(20);
/// The wait before a failed commit is tried again; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often whoever waits looks at what has become of the disk or of the unit.
const LOOK_UP: Duration = Duration::from_millis(50);
/// How long the end of the unit waits for a disk that says neither yes nor no.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the journal is.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Records handed in since the start.
    pub seen: u64,
    /// Of these: on disk.
    pub committed: u64,
    /// Commits that took; `committed / commits` is the size of a batch.
    pub commits: u64,
    /// Records that were refused because the queue was full.
    pub refused: u64,
    /// Reads that went in without pictures because too many were waiting.
    pub without_pictures: u64,
    /// Things that wait for the office.
    pub unsent: u64,
    /// Nothing protects the journal's key: whoever has the disk can read it.
    pub unprotected: bool,
    /// Whether there is room on the disk.
    pub room: Room,
    /// Pictures of reads without a hit that were taken away since the start, for want of room.
    pub given_up: u64,
    /// Why nothing can be written now. Records are held in memory meanwhile, and written once it is over.
    pub fault: Option<Arc<Fault>>,
}

/// The journal of a running unit. Dropping it writes what has been handed in.
#[derive(Debug)]
pub struct Journal {
    archive: Arc<Archive>,
    run: u64,
    // Dropped before the threads are joined: that is how they learn of the end.
    queue: Option<SyncSender<Command>>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Hears of the threads' end, by their senders being gone.
    ended: Mutex<Receiver<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: AtomicU64,
    committed: AtomicU64,
    commits: AtomicU64,
    refused: AtomicU64,
    without_pictures: AtomicU64,
    unsent: AtomicU64,
    picture_bytes: AtomicUsize,
    closing: AtomicBool,
    given_up: AtomicU64,
    room: Mutex<Room>,
    fault: Mutex<Option<Arc<Fault>>>,
}

enum Command {
    Record(Record),
    Flush(SyncSender<Result<()>>),
}

/// What the writer gets: in the order of the commands.
enum Ready {
    Record(Box<Prepared>),
    Flush(SyncSender<Result<()>>),
}

impl Journal {
    /// Opens the journal in `folder` with its key beside it: for a demonstration, a replay or a test.
    ///
    /// # Errors
    /// As [`Self::open_with`].
    pub fn open(folder: &Path, clock: clock::Shared) -> Result<Self> {
        Self::open_with(folder, &Key::Beside, clock)
    }

    /// Opens the journal in `folder` (made if it is not there), counts a run, and starts to write.
    ///
    /// # Errors
    /// The folder cannot be made or written to; the file is damaged or no journal; another program has it open; the key does
    /// not unlock it.
    pub fn open_with(folder: &Path, key: &Key, clock: clock::Shared) -> Result<Self> {
        let archive = Arc::new(Archive::open(folder, key)?);
        let run = archive.count_run(When { utc: clock.utc(), trusted: false })?;
        let shared = Arc::new(Shared::default());
        shared.unsent.store(archive.unsent()?, Ordering::Relaxed);
        let (queue, commands) = mpsc::sync_channel(QUEUE);
        let (give, ready) = mpsc::sync_channel(READY);
        let (alive, ended) = mpsc::sync_channel(0);
        let press = Press { journal: archive.id(), run, commands, ready: give, shared: shared.clone() };
        let writer = Writer { archive: archive.clone(), ready, shared: shared.clone(), clock };
        let threads = vec![
            thread("journal-press", alive.clone(), move || press.run())?,
            thread("journal", alive, move || writer.run())?,
        ];
        Ok(Self { archive, run, queue: Some(queue), shared, threads, ended: Mutex::new(ended) })
    }

    /// The number of this run: the first part of a [`crate::recognise::ReadId`].
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Takes a record to be written. Never waits for the disk.
    ///
    /// # Errors
    /// The queue is full since nothing can be written for long; the record is lost, and counted.
    pub fn record(&self, mut record: Record) -> Result<()> {
        let mut bytes = picture_bytes(&record);
        if let Record::Read(tagged) = &mut record
            && self.shared.picture_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > PICTURES
        {
            self.shared.picture_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.without_pictures.fetch_add(1, Ordering::Relaxed);
            let nothing = Arc::new(Thumbnail { width: 0, height: 0, rgb: Vec::new() });
            (tagged.read.patch, tagged.read.overview, bytes) = (nothing.clone(), nothing, 0);
        }
        let why = match self.queue.as_ref().map(|queue| queue.try_send(Command::Record(record))) {
            Some(Ok(())) => {
                self.shared.seen.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Some(Err(TrySendError::Full(_))) => "its queue is full since nothing can be written",
            Some(Err(TrySendError::Disconnected(_))) | None => "its threads have ended",
        };
        self.shared.picture_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
        Err(Fault::new(Kind::Full, "the journal cannot take a record")
            .because(why)
            .remedy("Check the disk; see the journal's fault"))
    }

    /// Waits until everything handed in before is on disk.
    ///
    /// # Errors
    /// It cannot be written now, or the disk does not answer in time; it is tried again nevertheless.
    pub fn flush(&self) -> Result<()> {
        let ended = || Fault::new(Kind::Internal, "the journal's threads have ended");
        let mut waited = Duration::ZERO;
        let (done, answer) = mpsc::sync_channel(1);
        let queue = self.queue.as_ref().ok_or_else(ended)?;
        let mut command = Some(Command::Flush(done));
        loop {
            command = match command.take().map(|command| queue.try_send(command)) {
                None | Some(Ok(())) => None,
                Some(Err(TrySendError::Full(command))) => Some(command),
                Some(Err(TrySendError::Disconnected(_))) => return Err(ended()),
            };
            match answer.recv_timeout(LOOK_UP) {
                Ok(written) => return written,
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
                Err(RecvTimeoutError::Timeout) => {
                    waited += LOOK_UP;
                    self.give_up(waited)?;
                }
            }
        }
    }

    /// An error if there is no use in waiting on for the disk.
    fn give_up(&self, waited: Duration) -> Result<()> {
        if let Some(fault) = self.status().fault {
            return Err(Fault::new(fault.kind(), fault.to_string()));
        }
        if waited >= PATIENCE {
            return Err(silent_disk());
        }
        Ok(())
    }

    /// How the journal is.
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        Status {
            seen: shared.seen.load(Ordering::Relaxed),
            committed: shared.committed.load(Ordering::Relaxed),
            commits: shared.commits.load(Ordering::Relaxed),
            refused: shared.refused.load(Ordering::Relaxed),
            without_pictures: shared.without_pictures.load(Ordering::Relaxed),
            unsent: shared.unsent.load(Ordering::Relaxed),
            unprotected: self.archive.protection() == Protection::None,
            room: *shared.room.lock().unwrap_or_else(PoisonError::into_inner),
            given_up: shared.given_up.load(Ordering::Relaxed),
            fault: shared.fault.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// What lies on disk: for export and verification.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// See [`Archive::pending`].
    ///
    /// # Errors
    /// As there.
    pub fn pending(&self, items: usize, bytes: usize) -> Result<Vec<Item>> {
        self.archive.pending(items, bytes)
    }

    /// See [`Archive::pending_of`].
    ///
    /// # Errors
    /// As there.
    pub fn pending_of(&self, wanted: Wanted, items: usize, bytes: usize) -> Result<Vec<Item>> {
        self.archive.pending_of(wanted, items, bytes)
    }

    /// See [`Archive::acknowledge`].
    ///
    /// # Errors
    /// As there.
    pub fn acknowledge(&self, keys: &[Vec<u8>]) -> Result<()> {
        self.shared.unsent.store(self.archive.acknowledge(keys)?, Ordering::Relaxed);
        Ok(())
    }

    /// See [`Archive::purge`].
    ///
    /// # Errors
    /// As there.
    pub fn purge(&self, now: When, keep: &Keep) -> Result<Purged> {
        self.purge_and_tell(now, keep).map(|report| report.purged)
    }

    /// See [`Archive::purge_and_tell`].
    ///
    /// # Errors
    /// As there.
    pub fn purge_and_tell(&self, now: When, keep: &Keep) -> Result<Report> {
        let report = self.archive.purge_and_tell(now, keep)?;
        self.shared.unsent.store(self.archive.unsent()?, Ordering::Relaxed);
        Ok(report)
    }

    /// See [`Archive::mind_room`]; what comes of it is part of [`Self::status`].
    ///
    /// # Errors
    /// As there.
    pub fn mind_room(&self, space: Space, limits: &config::Journal, office: bool, now: When) -> Result<Gone> {
        let refused = self.status().fault.is_some_and(|fault| fault.kind() == Kind::Full);
        let (room, gone) = self.archive.mind_room(space, limits, office, refused, now)?;
        *self.shared.room.lock().unwrap_or_else(PoisonError::into_inner) = room;
        if gone.pictures > 0 {
            self.shared.given_up.fetch_add(gone.pictures, Ordering::Relaxed);
            self.shared.unsent.store(self.archive.unsent()?, Ordering::Relaxed);
        }
        Ok(gone)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.queue = None;
        let mut waited = Duration::ZERO;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        while ended.recv_timeout(LOOK_UP) == Err(RecvTimeoutError::Timeout) {
            // A call into a disk that hangs cannot be ended; the process can.
            waited += LOOK_UP;
            if waited >= PATIENCE {
                tracing::error!("{}", silent_disk());
                return;
            }
        }
        for thread in self.threads.drain(..) {
            // A panic of that thread has been reported where it happened.
            let _ = thread.join();
        }
        let status = self.status();
        if let Some(lost) = status.seen.checked_sub(status.committed).filter(|lost| *lost > 0) {
            tracing::error!("{lost} records could not be written to the journal before the end, and are lost");
        }
    }
}

fn silent_disk() -> Fault {
    Fault::new(Kind::Unavailable, "the journal's disk does not answer").remedy("Check the disk and its cable")
}

/// A thread that holds on to `alive` until its end.
fn thread(name: &str, alive: SyncSender<()>, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            let _alive = alive;
            work();
        })
        .map_err(|error| Fault::new(Kind::Internal, "cannot start the journal's threads").because(error))
}

/// What the pictures of a record take in memory until they are compressed.
fn picture_bytes(record: &Record) -> usize {
    match record {
        Record::Read(tagged) => tagged.read.patch.rgb.len() + tagged.read.overview.rgb.len(),
        _ => 0,
    }
}

/// Compresses the pictures of records, one after the other. While nothing can be written it holds no more than is ready; what
/// comes meanwhile stays in the queue.
struct Press {
    journal: u64,
    run: u64,
    commands: Receiver<Command>,
    ready: SyncSender<Ready>,
    shared: Arc<Shared>,
}

impl Press {
    fn run(self) {
        while let Ok(command) = self.commands.recv() {
            let ready = match command {
                Command::Record(record) => {
                    let bytes = picture_bytes(&record);
                    let prepared = Prepared::new(record, self.journal, self.run);
                    self.shared.picture_bytes.fetch_sub(bytes, Ordering::Relaxed);
                    Ready::Record(Box::new(prepared))
                }
                Command::Flush(done) => Ready::Flush(done),
            };
            // The writer gives up only at the end of the unit, with a disk that takes nothing; what is lost then is counted.
            if self.ready.send(ready).is_err() {
                return;
            }
        }
    }
}

struct Writer {
    archive: Arc<Archive>,
    ready: Receiver<Ready>,
    shared: Arc<Shared>,
    clock: clock::Shared,
}

impl Writer {
    fn run(self) {
        // Blocks until something is there; what gets ready soon after goes into the same commit.
        while let Ok(first) = self.ready.recv() {
            let (mut batch, mut bytes, mut waiting) = (Vec::new(), 0, Vec::new());
            let until = self.clock.now().plus(GATHER);
            let mut next = Some(first);
            while let Some(ready) = next.take() {
                match ready {
                    Ready::Record(record) => {
                        bytes += record.picture_bytes();
                        batch.push(*record);
                    }
                    Ready::Flush(done) => waiting.push(done),
                }
                if batch.len() < BATCH && bytes < BATCH_BYTES && waiting.is_empty() {
                    next = self.ready.recv_timeout(until.since(self.clock.now())).ok();
                }
            }
            if !self.write(&batch, &mut waiting) {
                return;
            }
            for done in waiting {
                // Whoever asked may have gone.
                let _ = done.try_send(Ok(()));
            }
        }
    }

    /// Writes until it is written; false if the unit ends before. Those who wait hear of the first failure.
    fn write(&self, batch: &[Prepared], waiting: &mut Vec<SyncSender<Result<()>>>) -> bool {
        let (mut wait, mut last) = (FIRST_WAIT, false);
        if batch.is_empty() {
            return true;
        }
        loop {
            match self.archive.commit(batch) {
                Ok(unsent) => {
                    self.shared.unsent.store(unsent, Ordering::Relaxed);
                    self.shared.committed.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    self.shared.commits.fetch_add(1, Ordering::Relaxed);
                    self.set_fault(None);
                    return true;
                }
                Err(fault) => {
                    for done in waiting.drain(..) {
                        let _ = done.try_send(Err(Fault::new(fault.kind(), fault.to_string())));
                    }
                    self.set_fault(Some(fault));
                }
            }
            if last {
                return false;
            }
            // The end of the unit cuts the wait short: once more, and no longer.
            let until = self.clock.now().plus(wait);
            while !last && self.clock.now() < until {
                self.clock.sleep(LOOK_UP);
                last = self.shared.closing.load(Ordering::Relaxed);
            }
            wait = (wait * 2).min(LONGEST_WAIT);
            if let Err(fault) = self.archive.reopen() {
                self.set_fault(Some(fault));
            }
        }
    }

    fn set_fault(&self, fault: Option<Fault>) {
        *self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault.map(Arc::new);
    }
}

//! The one writer of the store: what has come from any number of cars meanwhile goes into one commit, and each car is
//! told when its part is durable.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::status::Board;
use super::store::{Received, Store};
use crate::clock;
use crate::fault::{Fault, Kind, Result};
use crate::sync::wire::Lane;

/// Jobs waiting for the writer, and KiB of what is in them; connections wait when there are more. There is room for a job of
/// every car of a fleet, so that one commit takes them all, and never for a picture of each.
const QUEUE: usize = 4096;
const ROOM: u32 = 32 << 10;
/// KiB of these that one connection may take: the largest thing there is. A car that floods fills its own share.
const SHARE: u32 = 4 << 10;
/// Most items in one commit.
const COMMIT_ITEMS: usize = 4000;
/// Most bytes of payload in one commit.
const COMMIT_BYTES: usize = 8 << 20;

/// What one connection has received.
pub(crate) struct Job {
    received: Received,
    reply: mpsc::UnboundedSender<Reply>,
    /// What it takes of the connection's share and of the room, until it is committed.
    room: [OwnedSemaphorePermit; 2],
}

/// The way to the writer.
pub(crate) struct Jobs {
    /// For hits and what else is urgent, which wait behind no picture of another car; and for the rest.
    urgent: mpsc::Sender<Job>,
    usual: mpsc::Sender<Job>,
    share: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

impl Jobs {
    /// The way for one connection, with a share of its own.
    pub(crate) fn of_connection(&self) -> Self {
        let (urgent, usual, room) = (self.urgent.clone(), self.usual.clone(), Arc::clone(&self.room));
        Self { urgent, usual, share: Arc::new(Semaphore::new(SHARE as usize)), room }
    }

    /// Hands over what has been received, once there is room for it. The answer comes by `reply`.
    pub(crate) async fn send(&self, received: Received, reply: mpsc::UnboundedSender<Reply>) {
        let bytes: usize = received.items.iter().map(|item| item.key.len() + item.payload.len()).sum();
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(SHARE).min(SHARE);
        // Room and writer are there for as long as the office is; a connection without them has nothing to wait for.
        let Ok(of_share) = Arc::clone(&self.share).acquire_many_owned(kib).await else { return };
        let Ok(of_room) = Arc::clone(&self.room).acquire_many_owned(kib).await else { return };
        let urgent = received.items.iter().any(|item| item.kind.lane() == Lane::Hits);
        let queue = if urgent { &self.urgent } else { &self.usual };
        let _ = queue.send(Job { received, reply, room: [of_share, of_room] }).await;
    }
}

/// What the writer answers.
pub(crate) enum Reply {
    /// These keys are durable.
    Stored(Vec<Vec<u8>>),
    /// The store failed; nothing of the job is certain to be there.
    Unstored,
}

/// Starts the writer. It ends when all senders are gone and what they sent is stored.
pub(crate) fn start(store: Arc<dyn Store>, board: Arc<Board>, clock: clock::Shared) -> Result<(Jobs, JoinHandle<()>)> {
    let (urgent, mut urgent_jobs) = mpsc::channel::<Job>(QUEUE);
    let (usual, mut usual_jobs) = mpsc::channel::<Job>(QUEUE);
    let unstarted = |error| Fault::new(Kind::Internal, "cannot start the store's thread").because(error);
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(unstarted)?;
    let thread = std::thread::Builder::new()
        .name("office-store".into())
        .spawn(move || {
            // Both ways end together, when the last connection has gone.
            while let Some(first) = runtime.block_on(async {
                tokio::select! {
                    biased;
                    Some(job) = urgent_jobs.recv() => Some(job),
                    Some(job) = usual_jobs.recv() => Some(job),
                    else => None,
                }
            }) {
                let mut batch = Vec::new();
                let (mut items, mut bytes) = (0, 0);
                let mut next = Some(first);
                while let Some(job) = next {
                    items += job.received.items.len();
                    bytes += job.received.items.iter().map(|item| item.payload.len()).sum::<usize>();
                    batch.push(job);
                    let room = items < COMMIT_ITEMS && bytes < COMMIT_BYTES;
                    next = room.then(|| urgent_jobs.try_recv().or_else(|_| usual_jobs.try_recv()).ok()).flatten();
                }
                commit(&*store, &board, &clock, batch);
            }
        })
        .map_err(unstarted)?;
    let (share, room) = (Arc::new(Semaphore::new(SHARE as usize)), Arc::new(Semaphore::new(ROOM as usize)));
    Ok((Jobs { urgent, usual, share, room }, thread))
}

fn commit(store: &dyn Store, board: &Board, clock: &clock::Shared, batch: Vec<Job>) {
    // The room is given back at the end, when nothing of the batch is held any more.
    let (mut received, mut replies, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
    for job in batch {
        received.push(job.received);
        replies.push(job.reply);
        rooms.push(job.room);
    }
    match store.put(&received, clock.utc()) {
        Ok(outcomes) => {
            for ((received, outcome), reply) in received.into_iter().zip(outcomes).zip(replies) {
                if outcome.conflicts > 0 {
                    tracing::warn!(
                        unit = received.unit,
                        count = outcome.conflicts,
                        "a unit sent other contents under keys it had used: they are stored beside the first"
                    );
                }
                // A connection that is gone by now asks again on its next one.
                let _ = reply.send(Reply::Stored(received.items.into_iter().map(|item| item.key).collect()));
            }
            board.store_changed(None);
        }
        Err(fault) => {
            tracing::error!("{fault}");
            board.store_changed(Some(&fault));
            for reply in replies {
                let _ = reply.send(Reply::Unstored);
            }
        }
    }
    drop(rooms);
}

//! Streams as tasks, for either side: a session's loop must never wait for one stream while another has something.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::mpsc;

use crate::sync::wire::{Breach, Lane};

/// Bytes read at once.
const CHUNK: usize = 32 << 10;
/// Chunks waiting between the streams and the session; beyond that, the sender is slowed down by flow control.
const CHUNKS: usize = 8;

/// What the streams report to the session's loop.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// Bytes, in the order of their lane.
    Bytes(Lane, Vec<u8>),
    /// The peer broke a rule of the streams themselves.
    Breach(Breach),
}

/// A channel for what comes in.
pub(crate) fn inbound() -> (mpsc::Sender<Inbound>, mpsc::Receiver<Inbound>) {
    mpsc::channel(CHUNKS)
}

/// Reads one lane to its end.
pub(crate) fn read(lane: Lane, mut stream: RecvStream, to: mpsc::Sender<Inbound>) {
    tokio::spawn(async move { read_lane(lane, &mut stream, &to).await });
}

async fn read_lane(lane: Lane, stream: &mut RecvStream, to: &mpsc::Sender<Inbound>) {
    let mut buffer = vec![0; CHUNK];
    // An end or an error of the stream is an end of the connection, which the session's loop sees by itself.
    while let Ok(Some(length)) = stream.read(&mut buffer).await {
        if to.send(Inbound::Bytes(lane, buffer[..length].to_vec())).await.is_err() {
            return;
        }
    }
}

/// Takes the unidirectional streams that the peer opens: each lane of `allowed` once.
pub(crate) fn accept(connection: Connection, allowed: &'static [Lane], to: mpsc::Sender<Inbound>) {
    tokio::spawn(async move {
        let seen: Arc<[AtomicBool; Lane::ALL.len()]> = Arc::default();
        while let Ok(mut stream) = connection.accept_uni().await {
            let (to, seen) = (to.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let mut number = [0];
                if stream.read_exact(&mut number).await.is_err() {
                    return;
                }
                let lane = Lane::from_number(number[0]).filter(|lane| allowed.contains(lane));
                match lane {
                    Some(lane) if !seen[lane as usize].swap(true, Ordering::Relaxed) => {
                        read_lane(lane, &mut stream, &to).await;
                    }
                    _ => {
                        let breach = Breach::OutOfPlace("a stream for a lane that is not the peer's, or open already");
                        let _ = to.send(Inbound::Breach(breach)).await;
                    }
                }
            });
        }
    });
}

/// Writes what is handed over to a stream that is open, and tells `written` whenever it has run dry.
pub(crate) fn write(lane: Lane, stream: SendStream, written: Option<mpsc::UnboundedSender<Lane>>) -> Writer {
    let (writer, queue) = Writer::new();
    tokio::spawn(write_lane(lane, stream, queue, written));
    writer
}

/// Opens a unidirectional stream for `lane` and writes what is handed over.
pub(crate) fn open(lane: Lane, connection: Connection, written: Option<mpsc::UnboundedSender<Lane>>) -> Writer {
    let (writer, queue) = Writer::new();
    tokio::spawn(async move {
        if let Ok(stream) = connection.open_uni().await {
            write_lane(lane, stream, queue, written).await;
        }
    });
    writer
}

/// An error here is the end of the connection, which the session's loop sees by itself.
async fn write_lane(
    lane: Lane,
    mut stream: SendStream,
    mut queue: Queue,
    written: Option<mpsc::UnboundedSender<Lane>>,
) {
    let _ = stream.set_priority(lane.priority());
    if let Some(number) = lane.number()
        && stream.write_all(&[number]).await.is_err()
    {
        return;
    }
    while let Some(bytes) = queue.receiver.recv().await {
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
        queue.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        if queue.receiver.is_empty()
            && let Some(written) = &written
        {
            let _ = written.send(lane);
        }
    }
    let _ = stream.finish();
}

/// The near end of a lane that is written to.
pub(crate) struct Writer {
    sender: mpsc::UnboundedSender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

struct Queue {
    receiver: mpsc::UnboundedReceiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    fn new() -> (Self, Queue) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        (Self { sender, waiting: Arc::clone(&waiting) }, Queue { receiver, waiting })
    }

    /// Hands over bytes; they are lost if the connection is.
    pub(crate) fn send(&self, bytes: Vec<u8>) {
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        let _ = self.sender.send(bytes);
    }

    /// Bytes that the stream has not taken yet.
    #[cfg(feature = "office")]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

//! What others do: batches by POST over HTTP/1.1, TLS 1.3 and TCP, on one connection that is kept. Identities, store and what
//! is sent are those of the link, so that only the way differs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use super::UNIT;
use super::backlog::Backlog;
use crate::clock::Shared;
use crate::fault::{Fault, Kind, Result};
use crate::office::{Received, RedbStore, Store, UnitCounts};
use crate::sync::car::Budget;
use crate::sync::identity::{Identity, Shown};
use crate::sync::{Item, Kind as Thing, Outbox};

/// A batch is at most so large.
const BATCH: Budget = Budget { items: 500, bytes: 256 << 10, pictures: true, hit_pictures: true };
/// How long a client waits for an answer, or for a connection, and then before it tries again.
const TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn failed(what: &str, why: impl Into<Failure>) -> Fault {
    Fault::new(Kind::Unavailable, what).because(why)
}

/// The office of this protocol.
pub(super) struct Server {
    address: SocketAddr,
    store: Arc<RedbStore>,
}

impl Server {
    /// Listens, with the identity of the office in `data` and a store of its own there.
    pub(super) fn start(data: &Path, listen: SocketAddr, congestion: &str, clock: &Shared) -> Result<Self> {
        let identity = Identity::load(&data.join("identity"))?;
        let mut config = identity.tls_server(Arc::clone(clock), Shown::of(&identity)?)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (config, store) = (Arc::new(config), Arc::new(RedbStore::open(&data.join("https.redb"))?));
        let listener = TcpListener::bind(listen).map_err(|error| failed("cannot listen", error))?;
        let address = listener.local_addr().map_err(|error| failed("cannot listen", error))?;
        let (theirs, congestion, clock) = (Arc::clone(&store), congestion.to_owned(), Arc::clone(clock));
        // The threads of servers end with the benchmark.
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                settle(&socket, &congestion);
                let (config, store, clock) = (Arc::clone(&config), Arc::clone(&theirs), Arc::clone(&clock));
                std::thread::spawn(move || {
                    if let Err(error) = serve(socket, config, &store, &clock) {
                        tracing::debug!("a connection has ended: {error}");
                    }
                });
            }
        });
        Ok(Self { address, store })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn counts(&self) -> Result<UnitCounts> {
        Ok(self.store.count_by_unit()?.get(UNIT).copied().unwrap_or_default())
    }
}

/// No waiting for more to send, and the way of sharing a network that was asked for; gives the one that is used.
fn settle(socket: &TcpStream, congestion: &str) -> String {
    let _ = socket.set_nodelay(true);
    // A system that does not have it keeps its own.
    let _ = rustix::net::sockopt::set_tcp_congestion(socket, congestion);
    rustix::net::sockopt::tcp_congestion(socket).unwrap_or_else(|_| "unknown".into())
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>, store: &RedbStore, clock: &Shared) -> Result<(), Failure> {
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config)?, socket));
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some(("content-length", value)) = line.to_ascii_lowercase().split_once(": ") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let items = unpack(&body).ok_or("a body that makes no sense")?;
        store.put(&[Received { unit: UNIT.into(), items }], clock.utc())?;
        stream.get_mut().write_all(ANSWER)?;
        stream.get_mut().flush()?;
    }
}

/// The car of this protocol. Dropping it ends it.
pub(super) struct Client {
    wake: Option<SyncSender<()>>,
    stop: Arc<AtomicBool>,
    congestion: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Sends what `backlog` has to `office`, most urgent first, batch after batch.
    pub(super) fn start(
        identity: &Path,
        office: SocketAddr,
        backlog: &Arc<Backlog>,
        congestion: &str,
        clock: &Shared,
    ) -> Result<Self> {
        let mut config = Identity::load(identity)?.tls_client(Arc::clone(clock))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let (wake, woken) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let used = Arc::new(Mutex::new(String::new()));
        let (backlog, ended, asked, tell, clock) =
            (Arc::clone(backlog), Arc::clone(&stop), congestion.to_owned(), Arc::clone(&used), Arc::clone(clock));
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let sent = TcpStream::connect_timeout(&office, TIMEOUT).map_err(Failure::from).and_then(|socket| {
                    *tell.lock().unwrap_or_else(PoisonError::into_inner) = settle(&socket, &asked);
                    socket.set_read_timeout(Some(TIMEOUT))?;
                    socket.set_write_timeout(Some(TIMEOUT))?;
                    let name = ServerName::IpAddress(office.ip().into());
                    let tls = ClientConnection::new(Arc::clone(&config), name)?;
                    send(BufReader::new(StreamOwned::new(tls, socket)), &backlog, &woken, &ended)
                });
                if let Err(error) = sent {
                    tracing::debug!("a connection has ended: {error}");
                    clock.sleep(PAUSE);
                }
            }
        });
        Ok(Self { wake: Some(wake), stop, congestion: used, thread: Some(thread) })
    }

    /// Something new waits.
    pub(super) fn nudge(&self) {
        if let Some(wake) = &self.wake {
            // One call to look is enough.
            let _ = wake.try_send(());
        }
    }

    /// How TCP shares the network.
    pub(super) fn congestion(&self) -> String {
        self.congestion.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Stream = BufReader<StreamOwned<ClientConnection, TcpStream>>;

fn send(mut stream: Stream, backlog: &Backlog, woken: &Receiver<()>, ended: &AtomicBool) -> Result<(), Failure> {
    while !ended.load(Ordering::Relaxed) {
        let mut items: Vec<Item> = backlog.pending(BATCH)?.into_iter().map(|waiting| waiting.item).collect();
        let Some(first) = items.first().map(|item| item.kind) else {
            // Or the benchmark is over.
            let _ = woken.recv();
            continue;
        };
        // Hits go by themselves, as soon as the one connection is free.
        items.retain(|item| item.kind == first);
        let body = pack(&items);
        let head = format!(
            "POST /items HTTP/1.1\r\nHost: office\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.get_mut().write_all(&[head.as_bytes(), &body].concat())?;
        stream.get_mut().flush()?;
        let mut status = String::new();
        stream.read_line(&mut status)?;
        if !status.starts_with("HTTP/1.1 204") {
            return Err(format!("the office answers {status:?}").into());
        }
        let mut line = status;
        while !line.trim().is_empty() {
            line.clear();
            stream.read_line(&mut line)?;
        }
        backlog.acknowledged(&items.into_iter().map(|item| item.key).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Items one after the other: kind, length of the key, key, length of the payload, payload.
fn pack(items: &[Item]) -> Vec<u8> {
    let mut body = Vec::new();
    for item in items {
        body.push(item.kind as u8);
        for part in [&item.key, &item.payload] {
            body.extend((part.len() as u32).to_be_bytes());
            body.extend(part);
        }
    }
    body
}

fn unpack(mut body: &[u8]) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    while let Some((kind, rest)) = body.split_first() {
        body = rest;
        let kind = Thing::ALL.into_iter().find(|known| *known as u8 == *kind)?;
        let mut part = || {
            let (length, rest) = body.split_first_chunk()?;
            let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            body = rest;
            Some(part.to_vec())
        };
        items.push(Item { kind, key: part()?, payload: part()? });
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_comes_out_as_it_went_in() {
        let backlog = Backlog::new(3, 2);
        let waiting = backlog.pending(BATCH).expect("there");
        let items: Vec<Item> = waiting.into_iter().map(|waiting| waiting.item).collect();
        assert_eq!(items.len(), 10);
        let body = pack(&items);
        assert_eq!(unpack(&body), Some(items));
        assert_eq!(unpack(&body[..body.len() - 1]), None);
    }
}

//! A relay for UDP between any number of programs and one other, on the loopback interface.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::{Conditions, Fate};
use crate::fault::{Fault, Kind, Result};

/// The largest packet.
const PACKET: usize = 2048;

/// What the relay has let pass since it was started, without headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Bytes to the target.
    pub up: u64,
    /// Bytes from the target.
    pub down: u64,
    /// Packets both ways.
    pub packets: u64,
}

/// A running relay. Dropping it ends it.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    conditions: Mutex<Conditions>,
    /// The host number of the address from which the target is spoken to.
    host: AtomicU8,
    up: AtomicU64,
    down: AtomicU64,
    packets: AtomicU64,
    stop: AtomicBool,
    wake: Notify,
}

impl Relay {
    /// Starts a relay to `target`, which must be on the loopback interface. What befalls packets is drawn from `seed`.
    ///
    /// # Errors
    /// There is no socket to be had.
    pub fn start(target: SocketAddr, conditions: Conditions, seed: u64) -> Result<Self> {
        let failed = |error: std::io::Error| Fault::new(Kind::Unavailable, "cannot start a relay").because(error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let near = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        near.set_nonblocking(true).map_err(failed)?;
        let address = near.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            conditions: Mutex::new(conditions),
            host: AtomicU8::new(1),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            packets: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            wake: Notify::new(),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("relay".into())
            .spawn(move || {
                if let Err(error) = runtime.block_on(carry(near, target, &theirs, seed)) {
                    tracing::error!("the relay has ended: {error}");
                }
            })
            .map_err(failed)?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Where to send what is for the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the network from now on.
    pub fn set(&self, conditions: Conditions) {
        *self.shared.conditions() = conditions;
    }

    /// Lets nothing pass any more, not even what is on its way.
    pub fn cut(&self) {
        self.shared.conditions().cut = true;
    }

    /// Ends a cut.
    pub fn mend(&self) {
        self.shared.conditions().cut = false;
    }

    /// Speaks to the target from another address and port from now on, as an address translation does that has forgotten its
    /// old one, or a modem in another network. What comes back to the old ones is lost.
    pub fn move_away(&self) {
        let next = |host: u8| Some(host % 200 + 1);
        // The function never declines.
        let _ = self.shared.host.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        self.shared.wake.notify_one();
    }

    /// What has passed.
    pub fn carried(&self) -> Carried {
        let read = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Carried { up: read(&self.shared.up), down: read(&self.shared.down), packets: read(&self.shared.packets) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the relay ended by a panic");
        }
    }
}

impl Shared {
    fn conditions(&self) -> std::sync::MutexGuard<'_, Conditions> {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A packet on its way; the earliest is the greatest, and of one instant the one that was sent first.
struct Packet {
    due: Reverse<(Duration, u64)>,
    /// The near end: whose it is or whose it will be.
    near: SocketAddr,
    up: bool,
    bytes: Vec<u8>,
}

impl PartialEq for Packet {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}
impl Eq for Packet {}
impl PartialOrd for Packet {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Packet {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

/// The socket by which the target knows one near end, and what reads from it.
struct Far {
    socket: Arc<UdpSocket>,
    reader: tokio::task::JoinHandle<()>,
}

impl Drop for Far {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn carry(near: std::net::UdpSocket, target: SocketAddr, shared: &Arc<Shared>, seed: u64) -> std::io::Result<()> {
    let near = UdpSocket::from_std(near)?;
    let (back, mut coming_back) = mpsc::unbounded_channel::<(SocketAddr, Vec<u8>)>();
    let mut fates = [Fate::new(seed), Fate::new(seed ^ u64::MAX)];
    let mut far: HashMap<SocketAddr, Far> = HashMap::new();
    let mut on_the_way: BinaryHeap<Packet> = BinaryHeap::new();
    let (start, mut number, mut host) = (Instant::now(), 0, 1);
    let mut buffer = vec![0; PACKET];
    loop {
        if shared.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let at = shared.host.load(Ordering::Relaxed);
        if at != host {
            host = at;
            far.clear();
        }
        let due = on_the_way.peek().map_or(start + Duration::from_secs(3600), |packet| start + packet.due.0.0);
        let (up, from, bytes) = tokio::select! {
            biased;
            () = tokio::time::sleep_until(due) => {
                while on_the_way.peek().is_some_and(|packet| packet.due.0.0 <= start.elapsed()) {
                    let Some(packet) = on_the_way.pop() else { break };
                    if !shared.conditions().cut {
                        deliver(packet, &near, target, host, &mut far, &back, shared).await;
                    }
                }
                continue;
            }
            () = shared.wake.notified() => continue,
            Some((from, bytes)) = coming_back.recv() => (false, from, bytes),
            received = near.recv_from(&mut buffer) => match received {
                Ok((length, from)) => (true, from, buffer[..length].to_vec()),
                // A near end that has gone is told of by an error here, and no more.
                Err(_) => continue,
            },
        };
        let conditions = *shared.conditions();
        for due in fates[usize::from(up)].of(bytes.len(), &conditions, start.elapsed()).into_iter().flatten() {
            number += 1;
            on_the_way.push(Packet { due: Reverse((due, number)), near: from, up, bytes: bytes.clone() });
        }
    }
}

async fn deliver(
    packet: Packet,
    near: &UdpSocket,
    target: SocketAddr,
    host: u8,
    far: &mut HashMap<SocketAddr, Far>,
    back: &mpsc::UnboundedSender<(SocketAddr, Vec<u8>)>,
    shared: &Shared,
) {
    // Counted first: whoever has what was sent finds it counted.
    let count = |of: &AtomicU64| {
        of.fetch_add(packet.bytes.len() as u64, Ordering::Relaxed);
        shared.packets.fetch_add(1, Ordering::Relaxed);
    };
    // That an end has gone is the ends' own business: packets to it are lost, as everywhere.
    if packet.up {
        if let std::collections::hash_map::Entry::Vacant(vacant) = far.entry(packet.near)
            && let Ok(socket) = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), 0)).await
        {
            vacant.insert(reading(Arc::new(socket), packet.near, back.clone()));
        }
        let Some(far) = far.get(&packet.near) else { return };
        count(&shared.up);
        let _ = far.socket.send_to(&packet.bytes, target).await;
    } else {
        count(&shared.down);
        let _ = near.send_to(&packet.bytes, packet.near).await;
    }
}

fn reading(socket: Arc<UdpSocket>, near: SocketAddr, back: mpsc::UnboundedSender<(SocketAddr, Vec<u8>)>) -> Far {
    let from = Arc::clone(&socket);
    let reader = tokio::spawn(async move {
        let mut buffer = vec![0; PACKET];
        loop {
            // An error tells of a target that is not there: it may come back.
            let Ok(length) = from.recv(&mut buffer).await else { continue };
            if back.send((near, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    });
    Far { socket, reader }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> std::net::UdpSocket {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        socket
    }

    #[test]
    fn packets_pass_both_ways_from_an_address_that_can_change() {
        let (office, car) = (socket(), socket());
        let relay = Relay::start(office.local_addr().expect("bound"), Conditions::GOOD, 1).expect("started");
        let mut buffer = [0; 10];
        let mut meet = |words: &[u8; 4]| {
            car.send_to(words, relay.address()).expect("sent");
            let (length, from) = office.recv_from(&mut buffer).expect("comes");
            assert_eq!(&buffer[..length], words);
            office.send_to(b"back", from).expect("sent");
            assert_eq!(car.recv_from(&mut buffer).expect("comes"), (4, relay.address()));
            from
        };
        let first = meet(b"one ");
        assert_eq!(meet(b"two "), first);
        relay.move_away();
        let moved = meet(b"then");
        assert_ne!(moved.ip(), first.ip());
        assert_eq!(relay.carried(), Carried { up: 12, down: 12, packets: 6 });
    }

    #[test]
    fn nothing_passes_a_cut_and_a_far_target_answers_later() {
        let (office, car) = (socket(), socket());
        let target = office.local_addr().expect("bound");
        let far = Conditions::far(Duration::from_millis(60), 0.0);
        let relay = Relay::start(target, far, 1).expect("started");
        let mut buffer = [0; 10];
        relay.cut();
        car.send_to(b"lost", relay.address()).expect("sent");
        // Whatever is read after the end of the cut was sent after it: the relay takes packets in order.
        while relay.shared.conditions().cut && relay.carried().packets == 0 {
            std::thread::sleep(Duration::from_millis(50));
            relay.mend();
        }
        let start = std::time::Instant::now();
        car.send_to(b"kept", relay.address()).expect("sent");
        let (length, from) = office.recv_from(&mut buffer).expect("comes");
        assert_eq!(&buffer[..length], b"kept");
        office.send_to(b"back", from).expect("sent");
        car.recv_from(&mut buffer).expect("comes");
        assert!(start.elapsed() >= Duration::from_millis(60));
    }
}

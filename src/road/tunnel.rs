//! A network device whose other end is this program: packets to its far address come back to its near one as if they came from
//! there. So a client that connects to the far address reaches a server of this machine that listens on the near one, over
//! whatever the conditions do to the packets, be it TCP or UDP. Linux, and the right to make devices, are needed.

use std::collections::BinaryHeap;
use std::ffi::{c_char, c_int, c_short};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::ioctl::{Setter, ioctl, opcode};

use super::{Conditions, Fate};
use crate::fault::{Fault, Kind, Result};

/// What a mobile network lets pass in one packet, about.
const MTU: usize = 1400;
/// An IPv4 packet without options: where its addresses are.
const HEADER: usize = 20;
const SOURCE: usize = 12;
const TARGET: usize = 16;

/// A running tunnel. Dropping it takes the device away.
pub struct Tunnel {
    near: Ipv4Addr,
    far: Ipv4Addr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    device: File,
    state: Mutex<State>,
    news: Condvar,
    stop: AtomicBool,
    bytes: AtomicU64,
    packets: AtomicU64,
}

struct State {
    conditions: Conditions,
    on_the_way: BinaryHeap<Packet>,
}

/// A packet on its way; the earliest is the greatest, and of one instant the one that was sent first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    due: std::cmp::Reverse<(Duration, u64)>,
    bytes: Vec<u8>,
}

/// The kernel's request for a device of a name (`struct ifreq`).
#[repr(C)]
struct Wanted {
    name: [c_char; 16],
    flags: c_short,
    rest: [u8; 22],
}

/// A device of IP packets without the kernel's own header before each (`IFF_TUN`, `IFF_NO_PI`), and the request for one
/// (`TUNSETIFF`).
const PACKETS_ONLY: c_short = 0x1001;
const ATTACH: rustix::ioctl::Opcode = opcode::write::<c_int>(b'T', 202);

impl Tunnel {
    /// Makes the device. What befalls packets is drawn from `seed`.
    ///
    /// # Errors
    /// The system has no such devices, or this user may not make one.
    pub fn open(conditions: Conditions, seed: u64) -> Result<Self> {
        let path = "/dev/net/tun";
        let failed = |why: Box<dyn std::error::Error + Send + Sync>| {
            Fault::new(Kind::Unavailable, "cannot make a network device").at(path).because(why).remedy(
                "Run as root on Linux, with the package iproute2; without a device only the part over UDP is measured",
            )
        };
        let device = OpenOptions::new().read(true).write(true).open(path).map_err(|error| failed(error.into()))?;
        // One of several at once has a network of its own, of those that are kept for measurements (RFC 2544).
        let number = std::process::id() % 50_000;
        let name = format!("outrider{number}");
        let mut wanted = Wanted { name: [0; 16], flags: PACKETS_ONLY, rest: [0; 22] };
        for (to, from) in wanted.name.iter_mut().zip(name.bytes()) {
            *to = from as c_char;
        }
        // SAFETY: the request takes a pointer to a `struct ifreq`, which `Wanted` is laid out as, and keeps nothing of it.
        unsafe { ioctl(&device, Setter::<ATTACH, Wanted>::new(wanted)) }.map_err(|error| failed(error.into()))?;
        let [third, fourth] = [(number / 64) as u8, (number % 64 * 4) as u8];
        let [near, far] = [1, 2].map(|host| Ipv4Addr::new(198, 18 + third / 128, third, fourth + host));
        let address = format!("{near}/30");
        let mtu = MTU.to_string();
        for arguments in
            [vec!["addr", "add", &address, "dev", &name], vec!["link", "set", "dev", &name, "mtu", &mtu, "up"]]
        {
            let done = Command::new("ip").args(arguments).output().map_err(|error| failed(error.into()))?;
            if !done.status.success() {
                return Err(failed(String::from_utf8_lossy(&done.stderr).trim().to_owned().into()));
            }
        }
        let shared = Arc::new(Shared {
            device,
            state: Mutex::new(State { conditions, on_the_way: BinaryHeap::new() }),
            news: Condvar::new(),
            stop: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            packets: AtomicU64::new(0),
        });
        let start = Instant::now();
        let (reads, writes) = (Arc::clone(&shared), Arc::clone(&shared));
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(work).map_err(|error| failed(error.into()))
        };
        let threads = vec![
            spawn("tunnel-in", Box::new(move || reads.read(near, far, seed, start)))?,
            spawn("tunnel-out", Box::new(move || writes.write(start)))?,
        ];
        Ok(Self { near, far, shared, threads })
    }

    /// Where servers listen.
    pub fn near(&self) -> Ipv4Addr {
        self.near
    }

    /// Where clients connect to.
    pub fn far(&self) -> Ipv4Addr {
        self.far
    }

    /// Changes the network from now on.
    pub fn set(&self, conditions: Conditions) {
        self.shared.state().conditions = conditions;
    }

    /// Bytes and packets that were sent on it so far, both ways, lost ones too: what a meter at the modem would show.
    pub fn sent(&self) -> (u64, u64) {
        (self.shared.bytes.load(Ordering::Relaxed), self.shared.packets.load(Ordering::Relaxed))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.news.notify_all();
        // The thread that reads waits for a packet: here it is.
        let _ = std::net::UdpSocket::bind((self.near, 0)).and_then(|socket| socket.send_to(b"end", (self.far, 9)));
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("the tunnel ended by a panic");
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, near: Ipv4Addr, far: Ipv4Addr, seed: u64, start: Instant) {
        let mut fate = Fate::new(seed);
        let mut buffer = [0; 2 * MTU];
        for number in 0.. {
            let length = match (&self.device).read(&mut buffer) {
                Ok(length) if !self.stop.load(Ordering::Relaxed) => length,
                _ => return,
            };
            let packet = &mut buffer[..length];
            if length < HEADER
                || packet[0] >> 4 != 4
                || packet[SOURCE..TARGET] != near.octets()
                || packet[TARGET..HEADER] != far.octets()
            {
                continue;
            }
            self.bytes.fetch_add(length as u64, Ordering::Relaxed);
            self.packets.fetch_add(1, Ordering::Relaxed);
            // Addresses that change places leave every checksum as it is.
            let (source, target) = packet[SOURCE..HEADER].split_at_mut(TARGET - SOURCE);
            source.swap_with_slice(target);
            let mut state = self.state();
            let conditions = state.conditions;
            for due in fate.of(length, &conditions, start.elapsed()).into_iter().flatten() {
                state.on_the_way.push(Packet { due: std::cmp::Reverse((due, number)), bytes: packet.to_vec() });
            }
            drop(state);
            self.news.notify_one();
        }
    }

    fn write(&self, start: Instant) {
        let mut state = self.state();
        while !self.stop.load(Ordering::Relaxed) {
            let wait = state.on_the_way.peek().map(|packet| packet.due.0.0.saturating_sub(start.elapsed()));
            if wait == Some(Duration::ZERO)
                && let Some(packet) = state.on_the_way.pop()
            {
                drop(state);
                // A device that takes nothing has lost it.
                let _ = (&self.device).write_all(&packet.bytes);
                state = self.state();
                continue;
            }
            let wait = wait.unwrap_or(Duration::from_secs(1));
            (state, _) = self.news.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

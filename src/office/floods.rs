//! Enrolled cars that send as much as they can, or do not read what they are told, at an office in a process of its own: it
//! keeps within its memory, cuts off who has to be cut off, and the others do not notice.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prost::Message;

use super::loopback::{Memory, Yard, anywhere, connected, link, wait};
use super::{enrol, fleet, serve};
use crate::clock::RealClock;
use crate::sync::Kind;
use crate::sync::identity::Identity;
use crate::sync::wire::proto::{FromCar, Hello, from_car};
use crate::sync::wire::{NEWEST_VERSION, OLDEST_VERSION, encode};

const FOLDER: &str = "OUTRIDER_FLOODED_OFFICE";
/// For how long they flood.
const FLOOD: Duration = Duration::from_secs(8);
/// What the office may take beside what it took before: 64 MiB of the store's own cache, 32 of what waits for a commit and as much
/// of what is being committed, 3 for each connection; and a third more, since the allocator keeps much of what was let go. On an
/// idle machine the floods are of half a gigabyte.
const MOST_MIB: u64 = 200;

/// Run by the test below in a process of its own.
#[test]
#[ignore = "is killed"]
fn child_that_is_flooded() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let for_ever = std::future::pending();
    let ready = |at| println!("said {at}");
    serve(Path::new(&folder), anywhere(), RealClock::shared(), for_ever, ready).expect("served");
}

struct Flooded(Child);

impl Drop for Flooded {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

impl Flooded {
    fn memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("alive");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("told");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
    }
}

/// An upload, as every version of the wire has it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Upload {
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) payload: Vec<u8>,
}

/// A car of the test's own, which has said Hello.
pub(super) struct Rough {
    pub(super) connection: quinn::Connection,
    _endpoint: quinn::Endpoint,
    _control: (quinn::SendStream, quinn::RecvStream),
}

impl Rough {
    /// Connects, and says Hello as `unit`.
    pub(super) async fn greeting(identity: &Path, unit: &str, office: SocketAddr) -> Self {
        let config = Identity::load(identity).expect("loaded").client(RealClock::shared()).expect("usable");
        let endpoint = quinn::Endpoint::client(anywhere()).expect("bound");
        let connection = endpoint.connect_with(config, office, "127.0.0.1").expect("begun").await.expect("let in");
        let mut control = connection.open_bi().await.expect("opened");
        let mut bytes = Vec::new();
        let hello = Hello { oldest: OLDEST_VERSION, newest: NEWEST_VERSION, unit: unit.into(), program: String::new() };
        encode(&FromCar { message: Some(from_car::Message::Hello(hello)) }, &mut bytes);
        control.0.write_all(&bytes).await.expect("written");
        // Hello comes first, as the conversation wants it.
        control.0.stopped_or(Duration::from_millis(300)).await;
        Self { connection, _endpoint: endpoint, _control: control }
    }
}

/// Says Hello as `unit`, and sends things of so many bytes on the lane of reads until it is cut off or the time is over. Never
/// reads. Gives the code that it was cut off with.
async fn flood(identity: &Path, unit: &str, office: SocketAddr, size: usize, sent: &AtomicU64) -> Option<u64> {
    let rough = Rough::greeting(identity, unit, office).await;
    let connection = &rough.connection;
    let mut reads = connection.open_uni().await.expect("opened");
    let flooding = async {
        reads.write_all(&[2]).await?;
        for number in 0u64.. {
            let key = [&number.to_be_bytes()[..], &[7; 92]].concat();
            let mut bytes = Vec::new();
            encode(&Upload { kind: 2, key, payload: vec![number as u8; size] }, &mut bytes);
            reads.write_all(&bytes).await?;
            sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok::<(), quinn::WriteError>(())
    };
    let _ = tokio::time::timeout(FLOOD, flooding).await;
    match connection.close_reason() {
        Some(quinn::ConnectionError::ApplicationClosed(close)) => Some(close.error_code.into_inner()),
        _ => None,
    }
}

/// A pause in which nothing is expected of a stream.
trait StoppedOr {
    async fn stopped_or(&mut self, time: Duration);
}

impl StoppedOr for quinn::SendStream {
    async fn stopped_or(&mut self, time: Duration) {
        let _ = tokio::time::timeout(time, self.stopped()).await;
    }
}

#[test]
fn floods_and_who_does_not_read_cost_a_bounded_memory_and_nobody_else_anything() {
    let yard = Yard::new();
    let cars: Vec<_> =
        (0..6).map(|number| (format!("BAD-{number}"), yard.folder.path().join(format!("bad{number}")))).collect();
    for (unit, identity) in &cars {
        enrol(&yard.data(), unit, identity, &*yard.clock).expect("enrolled");
    }
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["office::floods::child_that_is_flooded", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, yard.data())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let log = BufReader::new(child.stderr.take().expect("its log"));
    let log = std::thread::spawn(move || log.lines().map_while(Result::ok).collect::<Vec<_>>());
    let office = lines.find_map(|line| line.split_once("said ")?.1.parse().ok()).expect("it serves");
    let child = Flooded(child);

    let outbox = Arc::new(Memory::default());
    let good = link(&yard.identity(), "EX-01", office, &outbox, &yard.clock);
    wait(&good, "the link", connected);
    let before = child.memory_mib();
    let (sent, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (most, longest, codes) = std::thread::scope(|scope| {
        let memory = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(child.memory_mib());
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let bad = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                // Large things, so that the store is behind; and small ones, whose acknowledgements pile up.
                let floods = cars.iter().enumerate().map(|(number, (unit, identity))| {
                    let size = if number % 2 == 0 { 900_000 } else { 1 };
                    flood(identity, unit, office, size, &sent)
                });
                let mut codes = Vec::new();
                let mut all: Vec<_> = floods.map(Box::pin).collect();
                std::future::poll_fn(|context| {
                    all.retain_mut(|flood| match flood.as_mut().poll(context) {
                        std::task::Poll::Ready(code) => {
                            codes.push(code);
                            false
                        }
                        std::task::Poll::Pending => true,
                    });
                    if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                })
                .await;
                codes
            })
        });
        // Meanwhile, somebody behaves.
        let mut longest = Duration::ZERO;
        for number in 0.. {
            if bad.is_finished() {
                break;
            }
            outbox.add(Kind::Hit, number, 600);
            let start = Instant::now();
            good.nudge();
            wait(&good, "the hit", |status| status.unsent == 0 && status.acknowledged == number as u64 + 1);
            longest = longest.max(start.elapsed());
            std::thread::sleep(Duration::from_millis(100));
        }
        let codes = bad.join().expect("no panic");
        over.store(true, Ordering::Relaxed);
        (memory.join().expect("no panic"), longest, codes)
    });
    let sent_mib = sent.load(Ordering::Relaxed) >> 20;
    println!(
        "six cars sent {sent_mib} MiB in {FLOOD:?}: the office grew from {before} to {most} MiB; a hit of another car was acknowledged within {longest:?}; cut off with {codes:?}"
    );
    assert!(most < before + MOST_MIB, "{before} to {most} MiB");
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    assert!(codes.iter().flatten().any(|code| *code == 2), "who does not read was cut off: {codes:?}");
    assert!(connected(&good.status()) && fleet(&yard.data()).is_ok());
    drop(child);
    let log = log.join().expect("no panic");
    let told = log.iter().filter(|line| line.contains("does not read")).count();
    assert!(told <= cars.len(), "it is logged once a car: {log:#?}");
}

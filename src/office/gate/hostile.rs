//! Strangers, liars and floods at the gate: refused or bounded, said once, and nobody else is disturbed.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message;
use quinn::{Connection, ConnectionError, Endpoint};

use super::super::loopback::{Memory, Yard, anywhere, connected, down, link, wait, wait_until};
use super::super::status::Board;
use super::super::{Revocation, revoke};
use super::{BY, life, refused, winter};
use crate::clock::{self, Clock};
use crate::config;
use crate::sync::enrol::proto::answer::Answer as Said;
use crate::sync::enrol::proto::{Answer, Reason, Request};
use crate::sync::enrol::{self, Code, request_for};
use crate::sync::identity::{self, ClockTime, Identity, Purpose};
use crate::sync::{Kind, wire};

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(60);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn dial(config: quinn::ClientConfig, office: SocketAddr) -> Result<(Endpoint, Connection), ConnectionError> {
    let endpoint = Endpoint::client(anywhere()).expect("bound");
    let connection = endpoint.connect_with(config, office, "127.0.0.1").expect("begun").await?;
    Ok((endpoint, connection))
}

/// One question with these settings; the answer, or how the connection ended.
fn ask(config: quinn::ClientConfig, office: SocketAddr, question: &[u8]) -> Result<Answer, ConnectionError> {
    runtime().block_on(async {
        let (_endpoint, connection) = dial(config, office).await?;
        let (mut send, mut receive) = connection.open_bi().await?;
        let _ = send.write_all(question).await;
        let _ = send.finish();
        match tokio::time::timeout(PATIENCE, receive.read_to_end(enrol::LIMIT)).await.expect("an answer or an end") {
            Ok(bytes) => Ok(Answer::decode(&bytes[..]).expect("an answer")),
            Err(_) => Err(connection.closed().await),
        }
    })
}

pub(super) fn reason(answer: &Answer) -> Option<Reason> {
    match &answer.answer {
        Some(Said::Refused(refused)) => Some(refused.reason()),
        _ => None,
    }
}

pub(super) fn is_issued(answer: &Answer) -> bool {
    matches!(answer.answer, Some(Said::Issued(_)))
}

pub(super) fn issued(answer: Answer) -> String {
    match answer.answer {
        Some(Said::Issued(issued)) => issued.certificate,
        other => panic!("{other:?}"),
    }
}

/// Asks for a newer certificate as the car does, and keeps the answer from it.
pub(super) fn renew(settings: &config::Office, unit: &str, clock: &clock::Shared) -> Answer {
    let key = identity::pending(&settings.identity, &Purpose::Renewal).expect("a key");
    let request = Request { unit: unit.into(), request: request_for(&key).expect("signed"), ..Request::default() };
    let config = Identity::load(&settings.identity).and_then(|own| own.renewing_client(clock.clone())).expect("usable");
    ask(config, settings.address.parse().expect("an address"), &request.encode_to_vec()).expect("an answer")
}

/// Tries a secret for the code of that name, as somebody who knows the office.
fn guess(yard: &Yard, office: SocketAddr, code: &Code, name: &str, secret: &str) -> Answer {
    let key = rcgen::KeyPair::generate().expect("a key");
    let request = Request {
        code: name.into(),
        secret: secret.into(),
        unit: "EX-07".into(),
        request: request_for(&key).expect("signed"),
    };
    let config = identity::enrolling_client(code, yard.clock.clone()).expect("usable");
    ask(config, office, &request.encode_to_vec()).expect("an answer")
}

fn code_of(end: &ConnectionError) -> Option<wire::Code> {
    match end {
        ConnectionError::ApplicationClosed(close) => wire::Code::from_number(close.error_code.into_inner()),
        _ => None,
    }
}

/// The settings of somebody who shows no certificate, for this protocol.
fn nobody(yard: &Yard, alpn: &[u8]) -> quinn::ClientConfig {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    let authority = std::fs::read(yard.identity().join("ca.pem")).expect("read");
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&authority).expect("a certificate")).expect("added");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_details(provider, Arc::new(ClockTime(yard.clock.clone())))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.to_vec()];
    quinn::ClientConfig::new(Arc::new(quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("TLS 1.3")))
}

#[test]
fn the_conversation_is_closed_to_whoever_shows_no_certificate() {
    let yard = Yard::new();
    let service = yard.serve(anywhere());
    let config = nobody(&yard, wire::ALPN);
    // Twice with the same settings: the second handshake resumes the first.
    for _ in 0..2 {
        runtime().block_on(async {
            let (_endpoint, connection) = dial(config.clone(), service.address()).await.expect("a handshake");
            let mut hello = Vec::new();
            let said = wire::proto::Hello { oldest: 1, newest: 1, unit: "EX-01".into(), program: String::new() };
            let said = wire::proto::FromCar { message: Some(wire::proto::from_car::Message::Hello(said)) };
            wire::encode(&said, &mut hello);
            if let Ok((mut send, mut receive)) = connection.open_bi().await {
                let _ = send.write_all(&hello).await;
                let heard = tokio::time::timeout(PATIENCE, receive.read_to_end(9)).await.expect("an end");
                assert!(heard.is_err(), "the office says nothing: {heard:?}");
            }
            let end = tokio::time::timeout(PATIENCE, connection.closed()).await.expect("closed");
            assert_eq!(code_of(&end), Some(wire::Code::Unknown), "{end}");
        });
    }
    // A protocol that the office does not have.
    assert!(runtime().block_on(dial(nobody(&yard, b"h3"), service.address())).is_err());
    // This side may hear of it before the office has counted it.
    wait_until("the third refusal", || service.refused() == 3);
    assert_eq!(service.counts().expect("counted").len(), 0);
}

#[test]
fn an_expired_certificate_is_refused_also_by_a_resumed_handshake_and_in_mid_connection() {
    let clock = winter();
    let yard = Yard::by(clock.clone());
    let service = yard.serve(anywhere());
    let until = life(&yard.identity()).until;
    let own = Identity::load(&yard.identity()).expect("loaded");
    // This car's own clock stands still: it finds nothing wrong with its certificate.
    let then: clock::Shared = winter();
    let config = own.client(then).expect("usable");
    runtime().block_on(async {
        let (_endpoint, connection) = dial(config.clone(), service.address()).await.expect("let in");
        let (mut send, _receive) = connection.open_bi().await.expect("opened");
        let mut hello = Vec::new();
        let said = wire::proto::Hello { oldest: 1, newest: 3, unit: "EX-01".into(), program: String::new() };
        wire::encode(&wire::proto::FromCar { message: Some(wire::proto::from_car::Message::Hello(said)) }, &mut hello);
        send.write_all(&hello).await.expect("written");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(connection.close_reason().is_none());
        clock.jump_to(until);
        let end = tokio::time::timeout(PATIENCE, connection.closed()).await.expect("cut off");
        assert_eq!(code_of(&end), Some(wire::Code::Unknown), "{end}");
        // With the ticket of the first handshake, in which the certificate was good.
        let end = match dial(config, service.address()).await {
            Ok((_endpoint, connection)) => {
                tokio::time::timeout(PATIENCE, connection.closed()).await.expect("turned away")
            }
            Err(end) => end,
        };
        assert!(matches!(end, ConnectionError::ApplicationClosed(_) | ConnectionError::ConnectionClosed(_)), "{end}");
    });
}

#[test]
fn another_cars_certificate_does_not_renew_this_cars_name_nor_does_another_authoritys() {
    let clock = winter();
    let (yard, other) = (Yard::by(clock.clone()), Yard::by(clock.clone()));
    let service = yard.serve(anywhere());
    clock.advance(Duration::from_secs(490 * 86_400));
    let settings = config::Office::at(service.address().to_string(), yard.identity());
    assert_eq!(reason(&renew(&settings, "EX-02", &yard.clock)), Some(Reason::Unit));
    // A certificate of another authority that knows this office.
    let foreign = yard.path("foreign");
    std::fs::create_dir(&foreign).expect("made");
    for file in ["cert.pem", "key.pem"] {
        std::fs::copy(other.identity().join(file), foreign.join(file)).expect("copied");
    }
    std::fs::copy(yard.identity().join("ca.pem"), foreign.join("ca.pem")).expect("copied");
    let config = Identity::load(&foreign).and_then(|own| own.renewing_client(yard.clock.clone())).expect("usable");
    let end = ask(config, service.address(), &Request::default().encode_to_vec()).expect_err("refused");
    assert!(matches!(end, ConnectionError::ConnectionClosed(_)), "{end}");
    // Nobody renews nothing.
    let config = nobody(&yard, enrol::ALPN);
    let request = Request { unit: "EX-01".into(), ..Request::default() };
    let answer = ask(config, service.address(), &request.encode_to_vec()).expect("an answer");
    assert_eq!(reason(&answer), Some(Reason::Code));
    // The key that is certified already is no new key.
    let key = std::fs::read_to_string(yard.identity().join("key.pem")).expect("read");
    let key = rcgen::KeyPair::from_pem(&key).expect("a key");
    let request = Request { unit: "EX-01".into(), request: request_for(&key).expect("signed"), ..Request::default() };
    let config = Identity::load(&yard.identity()).and_then(|own| own.renewing_client(yard.clock.clone()));
    let answer = ask(config.expect("usable"), service.address(), &request.encode_to_vec()).expect("an answer");
    assert_eq!(reason(&answer), Some(Reason::Request));
}

#[test]
fn guesses_wait_longer_and_longer_and_kill_the_code_they_are_made_at() {
    let clock = winter();
    let yard = Yard::by(clock.clone());
    let service = yard.serve(anywhere());
    let code = yard.code("EX-07");
    let mut tries = 0;
    let mut waits = Vec::new();
    while tries < 5 {
        let answer = guess(&yard, service.address(), &code, &code.name(), "AAAAAAAA");
        match answer.answer {
            Some(Said::Refused(refused)) if refused.reason() == Reason::Code => tries += 1,
            Some(Said::Refused(refused)) if refused.reason() == Reason::Wait => {
                waits.push(refused.wait_s);
                clock.advance(Duration::from_secs(refused.wait_s.into()));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waits, [2, 3, 5, 9], "each wait with the second that it is rounded up by");
    clock.advance(Duration::from_secs(60));
    refused(yard.admit(service.address(), "EX-07", "new", &code), "no such open code");
    let record = super::enrolments(&yard.data()).expect("read");
    assert!(record.iter().any(|line| line.what == format!("code {} for EX-07 dead after wrong tries", code.name())));
    // A name that is none, or leads out of the folder, is a wrong try like any other.
    for name in ["../x", "ABCD", "", "\u{e9}\u{e9}"] {
        clock.advance(Duration::from_secs(400));
        let answer = guess(&yard, service.address(), &code, name, &code.secret());
        assert_eq!(reason(&answer), Some(Reason::Code), "{name:?}");
    }
    clock.advance(Duration::from_secs(301));
    let fresh = yard.code("EX-08");
    yard.admit(service.address(), "EX-08", "good", &fresh).expect("who has the code comes in");
}

#[test]
fn absurd_questions_end_one_connection_only() {
    let yard = Yard::new();
    let service = yard.serve(anywhere());
    let outbox = Arc::new(Memory::default());
    let car = yard.link(service.address(), &outbox);
    wait(&car, "the link", connected);
    let end =
        |question: &[u8]| code_of(&ask(nobody(&yard, enrol::ALPN), service.address(), question).expect_err("ended"));
    assert_eq!(end(&vec![7; enrol::LIMIT + 1]), Some(wire::Code::Breach));
    assert_eq!(end(&vec![7; 4 << 20]), Some(wire::Code::Breach));
    assert_eq!(end(b"GET / HTTP/1.1\r\n\r\n"), Some(wire::Code::Breach));
    // A certificate request that is none, with a good code, does not use the code up.
    let code = yard.code("EX-07");
    let request = Request { code: code.name(), secret: code.secret(), unit: "EX-07".into(), request: vec![0x30; 900] };
    let answer = ask(nobody(&yard, enrol::ALPN), service.address(), &request.encode_to_vec()).expect("an answer");
    assert_eq!(reason(&answer), Some(Reason::Request));
    yard.admit(service.address(), "EX-07", "new", &code).expect("let in");
    // Somebody who asks nothing is not waited for: others get their answers meanwhile.
    runtime().block_on(async {
        let mut idle = Vec::new();
        for _ in 0..50 {
            idle.push(dial(nobody(&yard, enrol::ALPN), service.address()).await.expect("a handshake"));
        }
        let code = yard.code("EX-08");
        let (address, folder) = (service.address(), yard.folder.path().to_owned());
        let clock = yard.clock.clone();
        let admitted = tokio::task::spawn_blocking(move || {
            let (address, identity) = (address.to_string(), folder.join("late"));
            let order = super::Enrolment { address: &address, identity: &identity, unit: "EX-08", replace: false };
            super::car::enrol(&order, &code, clock)
        });
        assert!(admitted.await.expect("no panic").is_ok());
    });
    outbox.add(Kind::Hit, 1, 10);
    car.nudge();
    wait(&car, "the hit", |status| status.acknowledged == 1);
}

/// A way to the office on which answers are lost, but for those that ask a stranger to prove its address. Keeps what went
/// towards the office.
struct OneWay {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl OneWay {
    fn to(office: SocketAddr, retries_pass: bool) -> Self {
        let near = Arc::new(UdpSocket::bind(anywhere()).expect("bound"));
        let far = Arc::new(UdpSocket::bind(anywhere()).expect("bound"));
        let address = near.local_addr().expect("bound");
        let (sent, stop) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::<AtomicBool>::default());
        let client = Arc::new(Mutex::new(None));
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(Duration::from_millis(100))).expect("set");
        }
        let out = {
            let (near, far, sent, stop, client) =
                (near.clone(), far.clone(), sent.clone(), stop.clone(), client.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((length, from)) = near.recv_from(&mut buffer) {
                        *client.lock().expect("whole") = Some(from);
                        sent.lock().expect("whole").push(buffer[..length].to_vec());
                        let _ = far.send_to(&buffer[..length], office);
                    }
                }
            })
        };
        let back = {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    let Ok((length, _)) = far.recv_from(&mut buffer) else { continue };
                    // A Retry packet of QUIC version 1 (RFC 9000, 17.2.5).
                    let retry = buffer[0] & 0xf0 == 0xf0;
                    if let Some(client) = client.lock().expect("whole").filter(|_| retry && retries_pass) {
                        let _ = near.send_to(&buffer[..length], client);
                    }
                }
            })
        };
        Self { address, sent, stop, threads: vec![out, back] }
    }
}

impl Drop for OneWay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().expect("no panic"));
    }
}

#[test]
fn a_thousand_handshakes_that_nobody_goes_on_with_and_a_flood_of_first_packets_disturb_no_car() {
    let yard = Yard::new();
    let service = yard.serve(anywhere());
    super::super::enrol(&yard.data(), "EX-02", &yard.path("car2"), &*yard.clock).expect("enrolled");
    let outbox = Arc::new(Memory::default());
    let car = yard.link(service.address(), &outbox);
    wait(&car, "the link", connected);
    let acknowledged = || car.status().acknowledged;

    // Proven addresses that dawdle: more than there is room for.
    let way = OneWay::to(service.address(), true);
    let config = nobody(&yard, wire::ALPN);
    let stop = Arc::new(AtomicBool::new(false));
    let dawdlers = {
        let (config, office, stop) = (config.clone(), way.address, stop.clone());
        std::thread::spawn(move || {
            runtime().block_on(async {
                let endpoint = Endpoint::client(anywhere()).expect("bound");
                let connecting: Vec<_> =
                    (0..1000).filter_map(|_| endpoint.connect_with(config.clone(), office, "127.0.0.1").ok()).collect();
                while !stop.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                drop(connecting);
            });
        })
    };
    wait_until("more handshakes than there is room for", || service.refused() > 100);
    let outbox2 = Arc::new(Memory::default());
    outbox2.add(Kind::Hit, 1, 10);
    let start = std::time::Instant::now();
    let late = link(&yard.path("car2"), "EX-02", service.address(), &outbox2, &yard.clock);
    wait(&late, "the hit of a car that comes now", |status| status.acknowledged == 1);
    println!("among a thousand handshakes in progress a car's hit is stored after {:?}", start.elapsed());
    outbox.add(Kind::Hit, 1, 10);
    car.nudge();
    wait(&car, "the hit of a car that was there", |status| status.acknowledged == 1);
    stop.store(true, Ordering::Relaxed);
    dawdlers.join().expect("no panic");

    // First packets, as fast as they can be sent, while a car uploads.
    let first: Vec<Vec<u8>> = {
        let sent = way.sent.lock().expect("whole");
        let mut seen = HashSet::new();
        // Initial packets by their destination: one of each connection.
        sent.iter().filter(|packet| packet[0] & 0xf0 == 0xc0 && seen.insert(packet[6..14].to_vec())).cloned().collect()
    };
    assert!(first.len() >= 1000, "{}", first.len());
    let stop = Arc::new(AtomicBool::new(false));
    let flooded = Arc::new(AtomicU64::new(0));
    let flood = {
        let (stop, flooded, office) = (stop.clone(), flooded.clone(), service.address());
        std::thread::spawn(move || {
            let socket = UdpSocket::bind(anywhere()).expect("bound");
            for packet in first.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                if socket.send_to(packet, office).is_ok() {
                    flooded.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_micros(100));
            }
        })
    };
    wait_until("the flood", || flooded.load(Ordering::Relaxed) > 2000);
    let before = acknowledged();
    let start = std::time::Instant::now();
    (0..500).for_each(|number| outbox.add(Kind::Read, number, 400));
    car.nudge();
    wait(&car, "the upload in the flood", |status| status.acknowledged >= before + 500);
    println!(
        "500 reads are stored after {:?} while {} first packets of strangers come",
        start.elapsed(),
        flooded.load(Ordering::Relaxed)
    );
    stop.store(true, Ordering::Relaxed);
    flood.join().expect("no panic");
    assert!(connected(&car.status()));
}

#[test]
fn what_is_refused_a_thousand_times_is_one_line_of_the_log() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("whole").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        let (board, clock) = (Board::default(), winter());
        for n in 0..3000 {
            board.refused("an enrolment: no such open code", clock.utc());
            board.refused(&format!("unit \"EX-{n:04}\": its certificate is revoked"), clock.utc());
            clock.advance(Duration::from_millis(10));
        }
        assert_eq!(board.refusals(), 6000);
    });
    let text = String::from_utf8(lines.0.lock().expect("whole").clone()).expect("text");
    let of = |words: &str| text.lines().filter(|line| line.contains(words)).count();
    assert_eq!(of("no such open code"), 1, "{text}");
    assert!(text.lines().count() <= 80, "{}", text.lines().count());
}

#[test]
fn a_revoked_car_is_gone_for_a_resumed_handshake_too() {
    let yard = Yard::new();
    let service = yard.serve(anywhere());
    let outbox = Arc::new(Memory::default());
    let car = yard.link(service.address(), &outbox);
    wait(&car, "the link", connected);
    revoke(&yard.data(), Revocation::Unit("EX-01"), BY, &*yard.clock).expect("revoked");
    // The link dials again with the tickets that it has, more than once.
    wait(&car, "the cut", |status| down(status, "does not know this car's identity"));
    let refusals = service.refused();
    wait_until("another try", || service.refused() > refusals);
    assert!(down(&car.status(), "does not know this car's identity"));
}

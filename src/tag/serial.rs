//! A receiver on a serial port: one thread that opens, reads, and comes back by itself.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::fixes::{Counts, Fixes, Limits, Place};
use super::time::{Told, When};
use crate::clock::{Moment, Shared};
use crate::fault::{Fault, Kind, Result};

/// What happened to the receiver.
#[derive(Debug)]
pub enum Event {
    /// It went away, is not there, or says nothing that can be understood.
    Lost(Fault),
    /// Sentences come again.
    Back,
}

/// Opens the receiver's stream. Its reads return within a second, with [`ErrorKind::TimedOut`] if nothing came.
pub type Opener = Box<dyn FnMut() -> Result<Box<dyn Read + Send>> + Send>;

/// How long without one valid sentence before the receiver counts as lost. Receivers send every second.
const SILENCE: Duration = Duration::from_secs(5);
/// The wait before the second attempt; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_millis(200);

/// A receiver that is read by its own thread until it is dropped.
#[derive(Debug)]
pub struct SerialReceiver {
    clock: Hidden,
    fixes: Arc<Mutex<Fixes>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A [`Shared`] clock that `Debug` can skip.
struct Hidden(Shared);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("clock")
    }
}

impl SerialReceiver {
    /// Reads the serial port at `path`, `baud` bits a second. A port that is not there is an event, not an error.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        path: &Path,
        baud: u32,
        limits: Limits,
        clock: Shared,
        events: impl FnMut(Event) + Send + 'static,
    ) -> Result<Self> {
        let owned: PathBuf = path.to_owned();
        let opener: Opener = Box::new(move || {
            serialport::new(owned.to_string_lossy(), baud)
                .timeout(READ_TIMEOUT)
                .open_native()
                .map(|port| Box::new(port) as Box<dyn Read + Send>)
                .map_err(|error| {
                    Fault::new(kind_of(&error), "cannot open the receiver's serial port")
                        .because(error)
                        .remedy("Plug the receiver in; the user must be allowed to use the port (group dialout)")
                })
        });
        Self::start_on(opener, path.display().to_string(), limits, clock, events)
    }

    /// Reads whatever `opener` opens; `name` says where it is.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start_on(
        mut opener: Opener,
        name: String,
        limits: Limits,
        clock: Shared,
        events: impl FnMut(Event) + Send + 'static,
    ) -> Result<Self> {
        let fixes = Arc::new(Mutex::new(Fixes::new(limits)));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name("receiver".into())
            .spawn({
                let (fixes, stop, clock) = (fixes.clone(), stop.clone(), clock.clone());
                let mut session = Supervisor { name, clock, fixes, stop, lost: false, events: Box::new(events) };
                move || session.run(&mut opener)
            })
            .map_err(|error| Fault::new(Kind::Internal, "cannot start the receiver's thread").because(error))?;
        Ok(Self { clock: Hidden(clock), fixes, stop, thread: Some(thread) })
    }

    /// Where the unit was at `moment`.
    pub fn place_at(&self, moment: Moment) -> Option<Place> {
        lock(&self.fixes).at(moment)
    }

    /// UTC at `moment`.
    pub fn when(&self, moment: Moment) -> When {
        lock(&self.fixes).time().when(moment, &*self.clock.0)
    }

    /// What the satellites tell of `moment`, and how well.
    pub fn told(&self, moment: Moment) -> Option<Told> {
        lock(&self.fixes).time().told(moment)
    }

    /// What has come in so far.
    pub fn counts(&self) -> Counts {
        lock(&self.fixes).counts()
    }
}

impl Drop for SerialReceiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been reported where it happened.
            let _ = thread.join();
        }
    }
}

struct Supervisor {
    name: String,
    clock: Shared,
    fixes: Arc<Mutex<Fixes>>,
    stop: Arc<AtomicBool>,
    lost: bool,
    events: Box<dyn FnMut(Event) + Send>,
}

impl Supervisor {
    fn run(&mut self, opener: &mut Opener) {
        let mut wait = FIRST_WAIT;
        while !self.stopped() {
            let mut understood = false;
            if let Err(fault) = opener().and_then(|port| self.session(port, &mut understood)) {
                self.lose(fault);
                if understood {
                    wait = FIRST_WAIT;
                }
                let until = self.clock.now().plus(wait);
                while !self.stopped() && self.clock.now() < until {
                    self.clock.sleep(until.since(self.clock.now()).min(READ_TIMEOUT));
                }
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }

    /// One opening of the port, until it fails or the receiver is stopped. `understood` tells whether any sentence came.
    fn session(&mut self, mut port: Box<dyn Read + Send>, understood: &mut bool) -> Result<()> {
        let mut heard = self.clock.now();
        let mut buffer = [0; 512];
        while !self.stopped() {
            let bytes = match port.read(&mut buffer) {
                Ok(0) => return Err(self.gone("the port has come to its end".into())),
                Ok(length) => &buffer[..length],
                Err(error)
                    if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted | ErrorKind::WouldBlock) =>
                {
                    &[]
                }
                Err(error) => return Err(self.gone(error.into())),
            };
            let now = self.clock.now();
            if !bytes.is_empty() && lock(&self.fixes).feed(bytes, now) {
                heard = now;
                *understood = true;
                if std::mem::take(&mut self.lost) {
                    (self.events)(Event::Back);
                }
            } else if now.since(heard) > SILENCE {
                // The port stays open: a wrong cable gets right without a word from us.
                heard = now;
                self.lose(
                    Fault::new(Kind::Unavailable, "the receiver sends nothing that can be understood")
                        .remedy("Check its power, its cable and the speed (baud) in the configuration"),
                );
            }
        }
        Ok(())
    }

    fn gone(&self, why: Box<dyn std::error::Error + Send + Sync>) -> Fault {
        Fault::new(Kind::Unavailable, "the receiver has gone")
            .because(why)
            .remedy("Plug it in again; it is found by itself")
    }

    /// Says so once, not at every attempt.
    fn lose(&mut self, fault: Fault) {
        if !std::mem::replace(&mut self.lost, true) {
            (self.events)(Event::Lost(fault.at(&self.name)));
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn kind_of(error: &serialport::Error) -> Kind {
    match error.kind() {
        serialport::ErrorKind::Io(ErrorKind::PermissionDenied) => Kind::Denied,
        serialport::ErrorKind::Io(ErrorKind::NotFound) | serialport::ErrorKind::NoDevice => Kind::Missing,
        serialport::ErrorKind::InvalidInput => Kind::Config,
        _ => Kind::Unavailable,
    }
}

fn lock(fixes: &Mutex<Fixes>) -> MutexGuard<'_, Fixes> {
    fixes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc;

    use chrono::DateTime;
    use serialport::SerialPort;

    use super::super::fixes::tests::{LIMITS, epoch};
    use super::*;
    use crate::clock::{Clock, RealClock, SimulatedClock};

    /// Waits for the next event; the limit only ends a test that has failed.
    fn next(events: &mpsc::Receiver<Event>) -> Event {
        events.recv_timeout(Duration::from_secs(20)).expect("an event in time")
    }

    #[test]
    fn a_port_that_is_not_there_is_a_named_fault_once() {
        let clock = SimulatedClock::starting(DateTime::UNIX_EPOCH);
        let (sender, events) = mpsc::channel();
        let receiver =
            SerialReceiver::start(Path::new("/dev/no-such-port"), 9600, LIMITS, clock.clone(), move |event| {
                sender.send(event).expect("the test listens");
            })
            .expect("started");
        let Event::Lost(fault) = next(&events) else { panic!("not lost") };
        assert_eq!(fault.kind(), Kind::Missing);
        assert!(fault.to_string().starts_with("/dev/no-such-port: cannot open the receiver's serial port"), "{fault}");
        while clock.now() < Moment::at(Duration::from_secs(60)) {
            std::thread::yield_now();
        }
        assert!(events.try_recv().is_err(), "said once in a minute of attempts");
        assert_eq!(receiver.place_at(clock.now()), None);
        assert!(!receiver.when(clock.now()).trusted);
    }

    #[test]
    fn a_real_terminal_gives_places_is_lost_and_comes_back() {
        let clock = RealClock::shared();
        let (sender, events) = mpsc::channel();
        let (ports, waiting) = mpsc::channel::<serialport::TTYPort>();
        let opener: Opener = Box::new(move || match waiting.try_recv() {
            Ok(mut port) => {
                port.set_timeout(Duration::from_millis(20)).expect("a timeout");
                Ok(Box::new(port))
            }
            Err(_) => Err(Fault::new(Kind::Missing, "no port")),
        });
        let (mut satellite, port) = serialport::TTYPort::pair().expect("a pair");
        ports.send(port).expect("opened");
        let receiver =
            SerialReceiver::start_on(opener, "the test's port".into(), LIMITS, clock.clone(), move |event| {
                sender.send(event).expect("the test listens");
            })
            .expect("started");
        let until_placed = |lat: f64| {
            while receiver.place_at(clock.now()).is_none_or(|place| (place.lat - lat).abs() > 1e-9) {
                std::thread::yield_now();
            }
        };
        satellite.write_all(b"\x00garbage\xff$GPRM").expect("written");
        satellite.write_all(epoch("100000", 30.0, 6.0).as_bytes()).expect("written");
        until_placed(51.5);
        assert!(receiver.when(clock.now()).trusted);

        drop(satellite);
        assert!(
            matches!(next(&events), Event::Lost(fault) if fault.to_string().contains("the test's port: the receiver has gone"))
        );
        let (mut satellite, port) = serialport::TTYPort::pair().expect("a pair");
        ports.send(port).expect("opened");
        satellite.write_all(epoch("100010", 36.0, 6.0).as_bytes()).expect("written");
        assert!(matches!(next(&events), Event::Back));
        until_placed(51.6);
    }

    #[test]
    fn a_port_that_only_sends_noise_is_lost_until_it_makes_sense() {
        struct Noise(Shared, mpsc::Receiver<Vec<u8>>);
        impl Read for Noise {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.0.sleep(Duration::from_millis(100));
                let bytes = self.1.try_recv().unwrap_or(b"\xe0\x06\xe0\n".to_vec());
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
        }
        let clock = SimulatedClock::starting(DateTime::UNIX_EPOCH);
        let (sense, said) = mpsc::channel();
        let mut port = Some(Noise(clock.clone(), said));
        let (sender, events) = mpsc::channel();
        let opener: Opener =
            Box::new(move || port.take().map_or(Err(Fault::new(Kind::Missing, "gone")), |p| Ok(Box::new(p))));
        let receiver = SerialReceiver::start_on(opener, "port".into(), LIMITS, clock, move |event| {
            sender.send(event).expect("the test listens");
        })
        .expect("started");
        assert!(matches!(next(&events), Event::Lost(fault) if fault.to_string().contains("baud")));
        sense.send(epoch("100000", 30.0, 6.0).into_bytes()).expect("read");
        assert!(matches!(next(&events), Event::Back));
        assert!(receiver.counts().skipped_bytes > 0);
    }
}

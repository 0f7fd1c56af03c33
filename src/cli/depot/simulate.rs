//! `outrider-office simulate`: a fleet in one process against an office in another, to see what a machine carries.

mod fleet;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use self::fleet::Fleet;
use crate::clock::{Moment, Shared};
use crate::fault::{Fault, Kind, Result};
use crate::office::{self, RedbStore, Store};

/// Simulate a fleet against an office of its own, and say what that took
///
/// Example: OUTRIDER_LOG=error outrider-office simulate --cars 2000 --seconds 60 --json
///
/// Makes an office in a folder of its own, serves it in a process that has two cores of the machine, and lets that many cars
/// connect over the loopback interface, each with its own identity and connection. Each has a read a second, every twentieth
/// second a burst of ten, and a hit in fifty reads. Then the office is killed and started again; last, all cars read faster and
/// faster until the office no longer keeps up. The cars run on the same machine, and take their share of it.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Simulate {
    /// How many cars
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=5000))]
    cars: u32,
    /// For how long at the usual rate
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(5..))]
    seconds: u32,
    /// Leave out the search for the rate that is too much
    #[arg(long)]
    no_ramp: bool,
    /// Where the office is made; default: the system's folder for such files
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Print one JSON object on standard output and nothing else
    #[arg(long)]
    json: bool,
}

/// How long all cars may take to connect, or to get rid of what they have.
const PATIENCE: Duration = Duration::from_secs(180);
const GLANCE: Duration = Duration::from_millis(20);
/// How long each rate is tried, and by how much the next one is higher.
const STEP: Duration = Duration::from_secs(10);
const FASTER: f64 = 1.5;
/// An office keeps up while 99 of 100 things are acknowledged within this time.
const KEEPS_UP: Duration = Duration::from_secs(1);
/// Processor time is counted in so many ticks a second, on every Linux.
const TICKS: f64 = 100.0;

impl Simulate {
    pub(super) fn run(self, clock: &Shared) -> Result<()> {
        let scratch = match &self.folder {
            Some(folder) => tempfile::Builder::new().prefix("simulate-").tempdir_in(folder),
            None => tempfile::Builder::new().prefix("outrider-simulate-").tempdir(),
        }
        .map_err(|error| Fault::new(Kind::Unavailable, "cannot make a folder").because(error))?;
        let data = scratch.path().join("office");
        office::init(&data, &[], &**clock)?;
        let cars: Vec<(String, PathBuf)> = (0..self.cars)
            .map(|number| (format!("car-{number:04}"), scratch.path().join(format!("car-{number:04}"))))
            .collect();
        for (unit, identity) in &cars {
            office::enrol(&data, unit, identity, &**clock)?;
        }
        eprintln!("{} cars are enrolled", self.cars);

        let mut service = Process::start(&data, SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let (empty, address) = (service.memory(), service.address);
        let (start, cpu) = (clock.now(), service.processor());
        let fleet = Fleet::start(&cars, address, clock)?;
        let connect = until(clock, start, "connecting", || fleet.connected() == cars.len())?;
        eprintln!("all are connected after {:.1} s", connect.as_secs_f64());
        let (connected, handshakes) = (service.memory(), service.processor() - cpu);

        let cpu = service.processor();
        let usual = drive(&fleet, &service, clock, 1.0, Duration::from_secs(self.seconds.into()));
        let spent = service.processor() - cpu;
        eprintln!("{} a second, acknowledged in {:.0} ms (p99)", usual.rate.round(), usual.p99.as_secs_f64() * 1e3);
        let working = service.memory();

        // The office dies, and all cars come back to the next one in the same instant.
        fleet.set_rate(1.0);
        service.kill()?;
        let dead = clock.now();
        clock.sleep(Duration::from_secs(5));
        service = Process::start(&data, address)?;
        let again = clock.now();
        let back = until(clock, again, "coming back", || fleet.heard_since(again) == cars.len())?;
        let (lag, coming_back) = (clock.now().since(dead), service.processor());
        eprintln!("after the office was killed, all were back {:.1} s after its start", back.as_secs_f64());

        let mut steps = Vec::new();
        let (mut rate, mut best) = (FASTER, usual.rate);
        if !self.no_ramp {
            loop {
                let step = drive(&fleet, &service, clock, rate, STEP);
                eprintln!("{} a second: p99 {:.0} ms", step.rate.round(), step.p99.as_secs_f64() * 1e3);
                steps.push(step.report());
                if step.p99 > KEEPS_UP {
                    break;
                }
                best = best.max(step.rate);
                rate *= FASTER;
            }
        }
        fleet.set_rate(0.0);
        until(clock, clock.now(), "draining", || fleet.unsent() == 0)?;
        let sent = fleet.made();
        drop(fleet);
        service.kill()?;
        let counts = RedbStore::open(&data.join("office.redb"))?.count_by_unit()?;
        let (mut stored, mut conflicts, mut twice) = (0, 0, 0);
        for unit in counts.values() {
            stored += unit.reads + unit.hits;
            conflicts += unit.conflicts;
            twice += unit.duplicates;
        }
        if (stored, conflicts) != (sent, 0) {
            return Err(Fault::new(Kind::Internal, format!("{sent} things were sent, {stored} are stored")));
        }
        let mib = |bytes: u64| (bytes as f64 / f64::from(1 << 20) * 10.0).round() / 10.0;
        let report = json!({
            "cars": cars.len(),
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "connect": { "seconds": connect.as_secs_f64(), "processor_ms_a_car": handshakes * 1e3 / cars.len() as f64 },
            "memory_mib": { "empty": mib(empty), "connected": mib(connected), "working": mib(working) },
            "memory_kib_a_car": (connected.saturating_sub(empty) / 1024) as f64 / cars.len() as f64,
            "usual": usual.report(),
            "processor_us_a_read": (spent / usual.count.max(1) as f64 * 1e6).round(),
            "processor_cores": spent / usual.time.as_secs_f64(),
            "restart": {
                "all_back_s": back.as_secs_f64(),
                "since_it_died_s": lag.as_secs_f64(),
                "processor_ms_a_car": coming_back * 1e3 / cars.len() as f64,
            },
            "ramp": steps,
            "keeps_up_with_a_second": best.round(),
            "sent": sent,
            "stored": stored,
            "came_twice": twice,
        });
        let text =
            if self.json { report.to_string() } else { serde_json::to_string_pretty(&report).unwrap_or_default() };
        println!("{text}");
        Ok(())
    }
}

/// What the office did at one rate.
struct Step {
    rate: f64,
    count: u64,
    time: Duration,
    p50: Duration,
    p99: Duration,
    /// Cores' worth of processor time that the office took.
    cores: f64,
}

impl Step {
    fn report(&self) -> Value {
        let ms = |time: Duration| (time.as_secs_f64() * 1e4).round() / 10.0;
        json!({
            "a_second": self.rate.round(),
            "acknowledged_ms": { "p50": ms(self.p50), "p99": ms(self.p99) },
            "cores": (self.cores * 100.0).round() / 100.0,
        })
    }
}

/// Lets every car read `rate` times as much as usual, for so long.
fn drive(fleet: &Fleet, service: &Process, clock: &Shared, rate: f64, time: Duration) -> Step {
    fleet.set_rate(rate);
    let (start, cpu) = (clock.now(), service.processor());
    fleet.take_latencies();
    clock.sleep(time);
    let time = clock.now().since(start);
    // What waits counts with the time that it has waited so far, so that an office which stops is not one without delay.
    let mut latencies = fleet.take_latencies();
    let count = latencies.len() as u64;
    latencies.extend(fleet.waiting());
    latencies.sort_unstable();
    let at = |part: usize| latencies.get((latencies.len() * part / 100).min(latencies.len().saturating_sub(1)));
    Step {
        rate: count as f64 / time.as_secs_f64(),
        count,
        time,
        p50: at(50).copied().unwrap_or_default(),
        p99: at(99).copied().unwrap_or_default(),
        cores: (service.processor() - cpu) / time.as_secs_f64(),
    }
}

fn until(clock: &Shared, since: Moment, what: &str, done: impl Fn() -> bool) -> Result<Duration> {
    while !done() {
        if clock.now().since(since) > PATIENCE {
            return Err(Fault::new(Kind::Unavailable, format!("{what} took too long"))
                .remedy("Allow more open files (ulimit -n), or simulate fewer cars"));
        }
        clock.sleep(GLANCE);
    }
    Ok(clock.now().since(since))
}

/// The office's process.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(data: &Path, listen: SocketAddr) -> Result<Self> {
        let failed = |why: String| Fault::new(Kind::Unavailable, "cannot start an office").because(why);
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let arguments = ["serve".into(), "--data".into(), data.as_os_str().to_owned(), "--listen".into()];
        let several = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 2);
        let mut command = if several {
            let mut command = Command::new("taskset");
            command.args(["-c", "0,1"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let mut child = command
            .args(arguments)
            .arg(listen.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            // An end of the output is a line without an address.
            let _ = BufReader::new(output).read_line(&mut line);
        }
        let address = line.split_whitespace().find_map(|word| word.parse().ok());
        let address = address.ok_or_else(|| failed(format!("it says {line:?}")))?;
        Ok(Self { child, address })
    }

    /// Kills it where it stands.
    fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .map(|_| ())
            .map_err(|error| Fault::new(Kind::Internal, "cannot end the office").because(error))
    }

    /// What it has resident, bytes.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// The processor time that it has taken, seconds.
    fn processor(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // The program's name stands in brackets and may hold anything; user and system time are the 12th and 13th behind it.
        let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
        let ticks: f64 = behind.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        ticks / TICKS
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or ends now.
        let _ = self.kill();
    }
}

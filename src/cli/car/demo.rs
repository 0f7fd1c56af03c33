//! `outrider demo`: the unit on a made-up drive, with a back office of its own.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::alert::{AlertId, Change, Standing, Verdict};
use crate::capture::Pace;
use crate::clock::{RealClock, Shared};
use crate::config::{self, Camera, Config, Receiver, ReceiverSource, Sound, Source};
use crate::drive::{DriveFiles, Report, Row, Truth, report};
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{self, Hotlist};
use crate::journal::{Journal, Key, make_token};
use crate::office;
use crate::recognise::Models;
use crate::screen::{Answer, Handle, Screen, Touch, View, paint};
use crate::unit::{Outcome, Parts, Told, Unit, fetch_lists};

use super::film::drive;
use super::replay::{tempfolder, words};

/// Play a made-up drive through the whole unit: cameras, plates, position, hits, alerts, screen and back office.
///
/// Example: outrider demo --headless --out pictures
///
/// The drive is painted once (a minute or two) and kept in the cache. With a display a window opens; without one the
/// screens are saved as PNG files and the alerts printed. A back office runs on this machine; its network is cut in the
/// middle of the drive and comes back. At the end: what was read against the truth, how fast alerts were, and what
/// arrived at the office. Ends with 1 if a part failed, if most plates were missed, or if something did not arrive.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Demo {
    /// No window, even where there is a display
    #[arg(long)]
    headless: bool,
    /// As fast as it goes instead of real time
    #[arg(long)]
    fast: bool,
    /// Where the screens are saved when there is no window
    #[arg(long, value_name = "FOLDER", default_value = "outrider-demo")]
    out: PathBuf,
    /// A smaller drive for machines that are short of time: 960x540 instead of 1920x1080
    #[arg(long)]
    small: bool,
}

/// The parts of the drive at which the network is cut and comes back.
const CUT: (f64, f64) = (0.40, 0.65);
/// How long the end of the demo waits for the office.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often things are looked at.
const LOOK_UP: Duration = Duration::from_millis(100);
/// The part of the drive after which the patrol screen is saved, once no alert covers it.
const PATROL: f64 = 0.3;

/// What the demo notes while the unit runs.
#[derive(Default)]
struct Notes {
    rows: Vec<Row>,
    raised: Vec<String>,
    /// How far the film is, seconds.
    position: f64,
}

impl Demo {
    pub(super) fn run(self) -> Result<()> {
        let clock = RealClock::shared();
        if self.headless {
            self.make_folder()?;
        }
        let files = drive(self.small)?;
        let truth = std::fs::read_to_string(&files.truth)
            .map_err(|error| Fault::io("cannot read the drive's truth", &files.truth, error))?;
        let truth = Truth::parse(&truth)?;
        let scratch = tempfolder()?;
        let mut depot = Depot::open(scratch.path(), &files.hotlist, clock.clone())?;
        let config = config(scratch.path(), &files, depot.address);
        // Locked as in a car, with a token that is not where the journal is.
        let pocket = tempfolder()?;
        let token = pocket.path().join("token");
        make_token(&token)?;
        let journal = Arc::new(Journal::open_with(scratch.path(), &Key::Token(token), clock.clone())?);
        let seals = journal.archive().lists_seal()?;
        let hotlist = Arc::new(Hotlist::open_sealed(&scratch.path().join(hotlist::FILE), &seals, clock.clone())?);

        let (touch, touches) = channel();
        let window = if self.headless {
            None
        } else {
            match Screen::open(&config.screen, clock.clone(), touch.clone()) {
                Ok(window) => Some(window),
                Err(fault) => {
                    eprintln!("No window: {fault}");
                    None
                }
            }
        };
        let (screen, shown) = window.unzip();
        let handle = shown.clone().unwrap_or_else(|| Handle::headless(&config.screen, clock.clone()));
        if screen.is_none() {
            self.make_folder()?;
        }
        if fetch_lists(&config, &journal, &hotlist, &clock, PATIENCE)? {
            for list in hotlist.status() {
                println!("The office has handed the car its list {:?}: {} entries.", list.id, list.count);
            }
        } else {
            println!("The office has not handed the car its list; the drive begins without one.");
        }
        let notes = Arc::new(Mutex::new(Notes::default()));
        let noted = notes.clone();
        // The desk waits for nothing, so neither for a terminal.
        let (lines, to_print) = channel::<String>();
        let printer = std::thread::spawn(move || to_print.iter().for_each(|line| println!("{line}")));
        let unit = Unit::start(Parts {
            models: Models::load(None)?,
            config: config.clone(),
            pace: if self.fast { Pace::AsFast } else { Pace::Realtime },
            clock: clock.clone(),
            hotlist: Some(hotlist.clone()),
            journal: Some(journal.clone()),
            screen: Some(handle.clone()),
            chart: None,
            touches: Some(touches),
            sounder: None,
            observer: Box::new(move |told| note(&noted, &lines, told)),
        })?;

        let conductor = Conductor {
            clock: clock.clone(),
            seconds: truth.seconds,
            notes: notes.clone(),
            touch,
            out: self.out.clone(),
            size: (config.screen.width, config.screen.height),
        };
        let (closed, finished) = (AtomicBool::new(false), AtomicBool::new(false));
        let outcome = match screen {
            None => conductor.conduct(unit, &mut depot, &handle, true, &closed),
            Some(screen) => std::thread::scope(|scope| {
                let conducting = scope.spawn(|| {
                    let outcome = conductor.conduct(unit, &mut depot, &handle, false, &closed);
                    finished.store(!closed.load(Ordering::Relaxed), Ordering::Relaxed);
                    handle.close();
                    outcome
                });
                let ran = screen.run();
                closed.store(true, Ordering::Relaxed);
                ran?;
                conducting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }),
        }?;
        // The unit is gone, and with it the sender: what is left is printed.
        let _ = printer.join();
        let notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        let report = report(&truth, &notes.rows);
        print_reads(&report);
        print_alerts(&notes.raised, &outcome);
        let unsent = depot.print(&journal)?;
        outcome.sound()?;
        // Whoever closes the window in the middle wants to see no more.
        if closed.load(Ordering::Relaxed) && !finished.load(Ordering::Relaxed) {
            Ok(())
        } else {
            verdict(&outcome, &report, unsent)
        }
    }
}

impl Demo {
    fn make_folder(&self) -> Result<()> {
        std::fs::create_dir_all(&self.out)
            .map_err(|error| Fault::io("cannot make the folder for the screens", &self.out, error))
    }
}

/// Whether the demo showed what it is to show.
fn verdict(outcome: &Outcome, report: &Report, unsent: u64) -> Result<()> {
    let failed = |what: String| Err(Fault::new(Kind::Unavailable, "the demo failed").because(what));
    if let Some(fault) = outcome.faults.first() {
        return failed(fault.clone());
    }
    if report.captured * 2 < report.passes.len() {
        return failed(format!("only {} of {} vehicles were captured", report.captured, report.passes.len()));
    }
    if unsent > 0 {
        return failed(format!("{unsent} things did not arrive at the office"));
    }
    Ok(())
}

/// The unit's configuration for the demo.
fn config(data: &Path, files: &DriveFiles, office: SocketAddr) -> Config {
    Config {
        unit: UNIT.into(),
        data: data.to_owned(),
        cameras: vec![Camera {
            name: "front".into(),
            source: Source::File(files.video.clone()),
            silence_s: 10.0,
            repeat: false,
        }],
        receiver: Some(Receiver {
            source: ReceiverSource::File(files.nmea.clone()),
            baud: 9600,
            stale_s: 2.0,
            absent_s: 5.0,
        }),
        sound: Sound::default(),
        screen: config::Screen::default(),
        driver: None,
        journal: config::Journal::default(),
        crew: config::Crew::default(),
        office: Some(config::Office::at(office.to_string(), data.join("identity"))),
        models: None,
    }
}

/// The demo's car.
const UNIT: &str = "demo-car";
/// Its list.
const LIST: &str = "demo";

fn note(notes: &Mutex<Notes>, lines: &Sender<String>, told: &Told) {
    let read = &told.read.read;
    // The printer is there until the unit has gone.
    let say = |line: String| _ = lines.send(line);
    say(words(told));
    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    notes.position = told.t.as_secs_f64();
    notes.rows.push(Row {
        id: Some(read.id.to_string()),
        t: told.t.as_secs_f64(),
        text: read.text.clone(),
        first_seen: Some(read.first_seen.as_secs_f64()),
        last_seen: Some(read.last_seen.as_secs_f64()),
    });
    for change in told.changes {
        let alert = change.alert();
        match change {
            Change::Raised(_) | Change::Replaced { .. } => {
                say(format!("          ALERT ({}): {}", alert.grade.word(), alert.spoken));
                for doubt in &alert.against {
                    say(format!("                 against it: {doubt}"));
                }
                notes.raised.push(format!("{} {}", alert.grade.word(), alert.headline));
            }
            Change::Withdrawn(_) => say(format!("          withdrawn: the alert for {} stands no more", alert.text)),
            Change::Updated { .. } => {}
        }
    }
}

/// Runs the drive: cuts the network and brings it back, saves screens, waits for the end.
struct Conductor {
    clock: Shared,
    seconds: f64,
    notes: Arc<Mutex<Notes>>,
    /// Where the demo's own crew answers, if there is no other.
    touch: Sender<Touch>,
    out: PathBuf,
    size: (u32, u32),
}

impl Conductor {
    fn conduct(
        &self,
        unit: Unit,
        depot: &mut Depot,
        handle: &Handle,
        save: bool,
        closed: &AtomicBool,
    ) -> Result<Outcome> {
        let mut answered = HashSet::new();
        let mut patrol = false;
        while !unit.is_over() && !unit.is_broken() && !closed.load(Ordering::Relaxed) {
            let position = self.notes.lock().unwrap_or_else(PoisonError::into_inner).position / self.seconds;
            if position > CUT.0 && !depot.was_cut {
                depot.cut();
                println!("          -- the network is cut --");
            }
            if position > CUT.1 && depot.is_cut() {
                depot.restore()?;
                println!("          -- the network is back --");
            }
            if save && !patrol && position > PATROL && handle.latest().alert.is_none() {
                self.save(handle, "patrol")?;
                patrol = true;
            }
            if save {
                self.answer(handle, &mut answered)?;
            }
            self.clock.sleep(LOOK_UP);
        }
        if save {
            // Alerts that came last, or stood behind others.
            let start = self.clock.now();
            while handle.latest().waiting > 0 && !unit.is_broken() && self.clock.now().since(start) < PATIENCE {
                self.answer(handle, &mut answered)?;
                self.clock.sleep(LOOK_UP);
            }
        }
        if depot.is_cut() {
            depot.restore()?;
            println!("          -- the network is back --");
        }
        // What is still on its way is given time to arrive, as it would have in the car.
        let start = self.clock.now();
        loop {
            unit.nudge();
            let unsent = unit.unsent();
            if (unsent == 0 && unit.is_over())
                || closed.load(Ordering::Relaxed)
                || self.clock.now().since(start) > PATIENCE
            {
                break;
            }
            self.clock.sleep(LOOK_UP);
        }
        if save {
            self.save(handle, "end")?;
            println!("The screens are in {}.", self.out.display());
        }
        Ok(unit.stop())
    }

    /// Saves and answers the alert on the screen, if there is one that was not answered yet: there is nobody to do it, so the
    /// demo's own crew does, and its verdict goes into the journal.
    fn answer(&self, handle: &Handle, answered: &mut HashSet<AlertId>) -> Result<()> {
        let view = handle.latest();
        let Some(shown) = view.alert.as_ref().filter(|shown| !answered.contains(&shown.id)) else { return Ok(()) };
        let alert = shown.id;
        self.save_view(&view, &format!("alert-{alert}"))?;
        let verdict = match shown.standing {
            Standing::Open => Verdict::Confirmed,
            Standing::Withdrawn(_) => Verdict::StoodDown,
        };
        println!("          the demo's crew answers alert {alert}: {}", verdict.word().to_lowercase());
        // The unit takes it, or is gone.
        let _ = self.touch.send(Touch::Answered(Answer { alert, verdict }));
        answered.insert(alert);
        Ok(())
    }

    fn save(&self, handle: &Handle, name: &str) -> Result<()> {
        self.save_view(&handle.latest(), name)
    }

    fn save_view(&self, view: &View, name: &str) -> Result<()> {
        let picture = paint(view, self.size.0, self.size.1)?;
        let path = self.out.join(format!("{name}.png"));
        picture
            .save(&path)
            .map_err(|error| Fault::new(Kind::Unavailable, "cannot save a screen").at(path.display()).because(error))
    }
}

/// The demo's back office.
struct Depot {
    folder: PathBuf,
    service: Option<office::Service>,
    address: SocketAddr,
    was_cut: bool,
    clock: Shared,
}

impl Depot {
    fn open(scratch: &Path, list: &Path, clock: Shared) -> Result<Self> {
        let folder = scratch.join("office");
        office::init(&folder, &["127.0.0.1".to_owned(), "localhost".to_owned()], &*clock)?;
        office::enrol(&folder, UNIT, &scratch.join("identity"), &*clock)?;
        office::publish(&folder, &office::Publication::of(LIST, list, "the demo"), clock.clone())?;
        let service = office::Service::start(&folder, SocketAddr::from(([127, 0, 0, 1], 0)), clock.clone())?;
        let address = service.address();
        Ok(Self { folder, service: Some(service), address, was_cut: false, clock })
    }

    fn is_cut(&self) -> bool {
        self.service.is_none()
    }

    fn cut(&mut self) {
        self.was_cut = true;
        if let Some(service) = self.service.take() {
            service.kill();
        }
    }

    fn restore(&mut self) -> Result<()> {
        self.service = Some(office::Service::start(&self.folder, self.address, self.clock.clone())?);
        Ok(())
    }

    /// Prints what arrived; gives how much did not.
    fn print(&self, journal: &Journal) -> Result<u64> {
        let kept = journal.archive().verify()?;
        let Some(service) = &self.service else { return Ok(kept.unsent) };
        let counts = service.counts()?;
        let car = journal.status();
        println!("\nBack office");
        match counts.get(UNIT) {
            None => println!("  nothing arrived from {UNIT}"),
            Some(counts) => println!(
                "  arrived and stored, each once: {} hits, {} reads, {} pictures ({} came twice and were stored once, {} conflicts)",
                counts.hits, counts.reads, counts.pictures, counts.duplicates, counts.conflicts
            ),
        }
        println!(
            "  the car's journal: {} records seen, {} committed in {} commits; it holds {} hits, {} versions of reads, {} pictures; {} unsent",
            car.seen, car.committed, car.commits, kept.hits, kept.reads, kept.pictures, kept.unsent
        );
        Ok(kept.unsent)
    }
}

fn print_reads(report: &Report) {
    println!("\nReads against the truth");
    for pass in &report.passes {
        let verdict = if pass.exact {
            "read"
        } else if pass.captured {
            "misread"
        } else {
            "missed"
        };
        let others: Vec<&str> = pass.texts.iter().map(String::as_str).filter(|text| *text != pass.pass.text).collect();
        println!(
            "  {:>5.1} s  {:<10} {:<5} {verdict}{}{}",
            pass.pass.t0,
            crate::plate::spaced(&pass.pass.text),
            if pass.pass.night { "night" } else { "day" },
            if others.is_empty() { "" } else { " as " },
            others.join(", ")
        );
    }
    println!(
        "  {} of {} vehicles captured, {} read exactly; {} extra reads, {} wrong, {} of no vehicle",
        report.captured,
        report.passes.len(),
        report.exact,
        report.extra,
        report.wrong,
        report.false_reads()
    );
}

fn print_alerts(raised: &[String], outcome: &Outcome) {
    println!("\nAlerts");
    for alert in raised {
        println!("  {alert}");
    }
    let times = |pick: fn(&crate::unit::Latency) -> Option<Duration>| {
        let mut times: Vec<Duration> = outcome.latencies.iter().filter_map(pick).collect();
        times.sort_unstable();
        times
    };
    for (name, times) in [
        ("left the desk", times(|l| Some(l.to_desk))),
        ("reached the sound device", times(|l| l.to_sound)),
        ("was drawn", times(|l| l.to_screen)),
    ] {
        match times.last() {
            None => println!("  {name}: never (there is none)"),
            Some(worst) => println!(
                "  {name} {} ms (median) and {} ms (worst) after the camera saw the frame that decided",
                times[times.len() / 2].as_millis(),
                worst.as_millis()
            ),
        }
    }
    for (delivered, dropped) in &outcome.frames {
        println!("  {delivered} frames, {dropped} dropped");
    }
}

//! `outrider doctor`: tries every part that a configuration names.

use std::path::PathBuf;
use std::sync::mpsc::{self, channel};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::unlock::key_of_unit;
use crate::alert::{Chart, DeviceSounder, Sounder, check_voice};
use crate::capture;
use crate::clock::{Clock, RealClock, Shared};
use crate::config::{self, Config, ReceiverSource};
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{self, Hotlist};
use crate::journal::{Archive, Protection, Tpm, lists_seal};
use crate::recognise::{Models, Stills};
use crate::screen::check_map;
use crate::sync::car::{self, Costs, Ledger};
use crate::sync::identity::{self, Identity};
use crate::tag::{Counts, Event, Limits, SerialReceiver};

/// Try every part of the unit once: networks, data folder, journal and its key, people, hotlist,
/// what the office set, cameras, receiver, sound, display, identity, office.
///
/// Example: outrider doctor --config /etc/outrider/car.toml
///
/// Run it while the unit is stopped. Ends with 1 if something does not work.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Doctor {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// How long a receiver may take to say something: it does so every second.
const LISTEN: Duration = Duration::from_secs(3);
const LOOK_UP: Duration = Duration::from_millis(50);

/// Waits for one valid sentence.
fn listen(receiver: &SerialReceiver, lost: &mpsc::Receiver<Event>, clock: &dyn Clock) -> Result<String> {
    let start = clock.now();
    while clock.now().since(start) < LISTEN {
        if receiver.counts().sentences > 0 {
            return Ok("it sends sentences".to_owned());
        }
        if let Ok(Event::Lost(fault)) = lost.try_recv() {
            return Err(fault);
        }
        clock.sleep(LOOK_UP);
    }
    let heard = match receiver.counts() {
        Counts { refused: 0, skipped_bytes: 0, .. } => "it sends nothing",
        _ => "what it sends makes no sense",
    };
    Err(Fault::new(Kind::Unavailable, "the receiver gives no valid sentence")
        .because(format!("{heard} within {} s", LISTEN.as_secs()))
        .remedy("Check its power, its cable and the speed (baud) in the configuration"))
}

/// Whether the journal's key is as configured, and protected. Nothing is asked for and nothing unlocked.
fn protection(config: &Config) -> Result<String> {
    let there = Archive::protection_of(&config.data)?;
    let (wanted, words) = match &config.journal.key {
        config::Key::Unprotected => (Protection::None, String::new()),
        config::Key::Passphrase => (Protection::Passphrase, "a passphrase, asked for at the start".to_owned()),
        config::Key::File(path) => {
            std::fs::metadata(path)
                .map_err(|error| Fault::io("cannot read the key file", path, error).remedy("Put the token in"))?;
            (Protection::Token, format!("the key file {}", path.display()))
        }
        config::Key::Tpm => (Protection::Tpm, Tpm::default().found()?),
    };
    if there.is_some_and(|there| there != wanted) {
        return Err(Fault::new(Kind::Config, "the journal is not locked as the configuration says")
            .at(config.data.display())
            .remedy("Change `key` under [journal], or see outrider journal lock --help"));
    }
    if wanted == Protection::None {
        return Err(Fault::new(Kind::Config, "the journal is unprotected")
            .because("its key lies beside it: whoever has the disk can read it")
            .remedy(
                "Set `key` under [journal] to \"passphrase\", \"tpm\" or a key file, and see outrider journal lock --help",
            ));
    }
    Ok(words)
}

/// Whether the certificate counts, and for how long. One that should have been renewed long ago is a fault.
fn certificate(office: &config::Office, utc: DateTime<Utc>) -> Result<String> {
    let life = Identity::load(&office.identity)?.life()?;
    let (day, left) = (life.until.format("%Y-%m-%d"), life.left(utc).num_days());
    let told = |what: String| Fault::new(Kind::Unavailable, what).at(office.identity.display());
    if life.left(utc).is_zero() {
        return Err(
            told(format!("the certificate ran out on {day}, by this car's clock")).remedy(identity::ENROL_AGAIN)
        );
    }
    // As long before the end as the renewal is before that.
    if utc >= life.renewal() + (life.until - life.renewal()) / 2 {
        return Err(told(format!("the certificate runs out on {day}, in {left} days, and was not renewed"))
            .remedy("Let the unit run with a network; if it stays so, look at the office's log"));
    }
    // Written to where the unit will write the next one.
    tempfile::tempfile_in(&office.identity)
        .map_err(|error| Fault::io("the unit could not renew its certificate here", &office.identity, error))?;
    let renewal = life.renewal().format("%Y-%m-%d");
    Ok(format!("the certificate counts until {day}, and is renewed from {renewal} on"))
}

/// What the lists hold, where nobody has to type for it.
fn lists(config: &Config, clock: &Shared) -> Result<String> {
    let path = config.data.join(hotlist::FILE);
    if !path.exists() {
        return Ok("there are none yet; the first start makes their file".to_owned());
    }
    if config.journal.key == config::Key::Passphrase {
        return Ok("they are sealed with the passphrase, which is not asked for here".to_owned());
    }
    let key = lists_seal(&config.data, &key_of_unit(config, None)?)?;
    let status = Hotlist::open_sealed(&path, &key, clock.clone())?.status();
    Ok(format!("{} lists, {} entries", status.len(), status.iter().map(|list| list.count).sum::<u64>()))
}

/// What the office set in the car, where nobody has to type for it.
fn settings(config: &Config, office: &config::Office) -> Result<String> {
    if !office.settings {
        return Ok("this car takes none from the office".to_owned());
    }
    if Archive::peek(&config.data)?.is_none() {
        return Ok("the office has set nothing: there is no journal yet".to_owned());
    }
    if config.journal.key == config::Key::Passphrase {
        return Ok("they are sealed with the passphrase, which is not asked for here".to_owned());
    }
    let archive = Archive::open_existing(&config.data, &key_of_unit(config, None)?)?;
    if let Some(why) = archive.settings_refused() {
        return Err(Fault::new(why.kind(), why.to_string()));
    }
    Ok(archive
        .settings()
        .map_or_else(|| "the office has set nothing".to_owned(), |set| format!("set by the office, {}", set.words())))
}

/// Whether people are set up in the car. Nothing is asked for and nothing unlocked.
pub(super) fn set_up(config: &Config) -> &'static str {
    match Archive::has_people(&config.data) {
        Some(true) => "people are set up: collar number and PIN are asked for",
        Some(false) if config.office.is_some() => {
            "nobody is set up: names are what people say; see outrider-office people --help"
        }
        Some(false) => "nobody is set up: names are what people say; see outrider people --help",
        None => "whether people are set up cannot be looked at now",
    }
}

impl Doctor {
    pub(super) fn run(self) -> Result<()> {
        let config = Config::load(&self.config)?;
        let clock = RealClock::shared();
        let mut ill = 0;
        let mut tell = |part: &str, found: Result<String>| match found {
            Ok(detail) => println!("ok     {part}: {detail}"),
            Err(fault) => {
                ill += 1;
                println!("FAULT  {part}: {fault}");
            }
        };
        tell(
            "networks",
            Models::load(config.models.as_deref()).and_then(|models| {
                Stills::new(models.clone())?;
                let short = |digest: &str| digest.chars().take(12).collect::<String>();
                Ok(format!(
                    "finder {}, aligner {}, reader {}",
                    short(models.finder.digest()),
                    short(models.aligner.digest()),
                    short(models.reader.digest())
                ))
            }),
        );
        let data = &config.data;
        tell(
            "data folder",
            std::fs::create_dir_all(data)
                .and_then(|()| tempfile::tempfile_in(data))
                .map(|_| format!("{} can be written", data.display()))
                .map_err(|error| Fault::io("cannot write the data folder", data, error)),
        );
        tell(
            "journal",
            Archive::peek(data).map(|unsent| match unsent {
                None => "there is none yet; the first start makes it".to_owned(),
                Some(unsent) => format!("it opens; {unsent} things wait for the office"),
            }),
        );
        tell("journal key", protection(&config));
        tell("people", Ok(set_up(&config).to_owned()));
        tell("hotlist", lists(&config, &clock));
        if let Some(office) = &config.office {
            tell("settings", settings(&config, office));
        }
        for camera in &config.cameras {
            tell(
                &format!("camera {:?}", camera.name),
                capture::probe(camera, clock.clone())
                    .map(|frame| format!("{} x {} pixels", frame.picture.width(), frame.picture.height())),
            );
        }
        if let Some(receiver) = &config.receiver {
            let found = match &receiver.source {
                ReceiverSource::File(path) => std::fs::metadata(path)
                    .map(|_| "the log is there".to_owned())
                    .map_err(|error| Fault::io("cannot read the log", path, error)),
                ReceiverSource::Serial(path) => {
                    let (events, lost) = channel();
                    let limits = Limits::from(receiver);
                    SerialReceiver::start(path, receiver.baud, limits, clock.clone(), move |event| {
                        // Nobody listens any more once the part is judged.
                        let _ = events.send(event);
                    })
                    .and_then(|serial| listen(&serial, &lost, &*clock))
                    .map_err(|fault| fault.at(path.display()))
                }
            };
            tell("receiver", found);
        }
        if config.sound.enabled {
            tell(
                "sound",
                DeviceSounder
                    .open(Box::new(|_| {}))
                    .map(|_| "the device opens".to_owned())
                    .map_err(|why| Fault::new(Kind::Unavailable, "no sound device").because(why)),
            );
        }
        if let Some(voice) = &config.sound.voice {
            tell("voice", check_voice(voice).map(|clips| format!("{clips} clips of its own")));
        }
        if let Some(map) = &config.screen.map {
            tell("map", check_map(map).map(|()| "its tiles can be read".to_owned()));
        }
        if let Some(driver) = &config.driver {
            tell(
                "driver's symbols",
                Chart::load(driver).map(|chart| match chart.approval() {
                    "" => "the table is valid; NOT APPROVED by anybody".to_owned(),
                    approval => format!("approved: {approval}"),
                }),
            );
        }
        if config.screen.enabled {
            let display = ["WAYLAND_DISPLAY", "DISPLAY"].into_iter().find_map(|name| std::env::var(name).ok());
            tell(
                "display",
                display.map(|name| format!("display {name}")).ok_or_else(|| {
                    Fault::new(Kind::Unavailable, "no display: neither DISPLAY nor WAYLAND_DISPLAY is set")
                }),
            );
        }
        if let Some(metered) = config.office.as_ref().and_then(|office| office.metered.as_ref()) {
            let spent = |ledger: Option<Ledger>| ledger.map_or([0; 3], |ledger| ledger.spent());
            let words = |ledger| Costs::spent_of(metered.budgets(), spent(ledger)).used();
            let found = Ledger::load(data)
                .map(|ledger| format!("{}: {} used on the last day", metered.interfaces().join(", "), words(ledger)));
            tell("metered networks", found);
        }
        if let Some(office) = &config.office {
            let identity = certificate(office, clock.utc());
            // Without one there is nothing to show to the office.
            let reached = identity.is_ok().then(|| car::probe(&config.unit, office, clock.clone()));
            tell("identity", identity);
            if let Some(reached) = reached {
                tell("office", reached.map(|took| format!("it welcomes this car, after {} ms", took.as_millis())));
            }
        }
        match ill {
            0 => Ok(()),
            n => Err(Fault::new(Kind::Unavailable, format!("{n} parts do not work"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::clock::SimulatedClock;
    use crate::tag::Opener;

    /// What the doctor finds on a port that sends `bytes` and then nothing.
    fn found(bytes: &[u8]) -> Result<String> {
        struct Port(Cursor<Vec<u8>>);
        impl std::io::Read for Port {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                match self.0.read(buffer)? {
                    // Time is the doctor's to spend.
                    0 => Err(std::io::ErrorKind::TimedOut.into()),
                    read => Ok(read),
                }
            }
        }
        let clock = SimulatedClock::starting(chrono::DateTime::UNIX_EPOCH);
        let mut port = Some(Port(Cursor::new(bytes.to_vec())));
        let opener: Opener = Box::new(move || match port.take() {
            Some(port) => Ok(Box::new(port)),
            None => Err(Fault::new(Kind::Missing, "there is no port")),
        });
        let (events, lost) = channel();
        let limits = Limits { stale: Duration::from_secs(2), absent: Duration::from_secs(30) };
        let receiver = SerialReceiver::start_on(opener, "port".into(), limits, clock.clone(), move |event| {
            let _ = events.send(event);
        })?;
        // The port is read by a thread of its own: what was sent is to be heard before time runs.
        while !bytes.is_empty() && receiver.counts().sentences == 0 && receiver.counts().skipped_bytes == 0 {
            std::thread::yield_now();
        }
        listen(&receiver, &lost, &*clock)
    }

    #[test]
    fn a_receiver_is_well_once_it_says_something_that_makes_sense() {
        assert!(
            found(crate::tag::sample("100000", 0.0, 6.0).as_bytes()).is_ok_and(|words| words.contains("sentences"))
        );
        let silent = found(b"").expect_err("it says nothing").to_string();
        assert!(silent.contains("sends nothing"), "{silent}");
        let noise = found(b"\xe0\x06\xe0\n\xe0\x06\xe0\n").expect_err("noise").to_string();
        assert!(noise.contains("makes no sense"), "{noise}");
    }
}

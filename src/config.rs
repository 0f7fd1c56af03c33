//! The unit's configuration: one strict TOML file, parsed into types that cannot hold nonsense.
//!
//! Every field is documented where technicians read it, in `vehicle-config/*.toml`; a test loads each of
//! those files. Unknown keys are refused. Paths are relative to the file's own folder.

mod metered;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::fault::{Fault, Kind, Result};

pub use metered::{Budgets, Metered};

/// The whole unit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The unit's name as the back office and the journal know it.
    pub unit: String,
    /// The folder that holds journal, hotlist and identity.
    pub data: PathBuf,
    /// One for each camera, at least one.
    #[serde(rename = "camera")]
    pub cameras: Vec<Camera>,
    /// The satellite receiver; without one, reads carry no position.
    pub receiver: Option<Receiver>,
    /// The speaker.
    #[serde(default)]
    pub sound: Sound,
    /// The crew's screen.
    #[serde(default)]
    pub screen: Screen,
    /// The driver's window; without the section there is none.
    pub driver: Option<Driver>,
    /// What the journal keeps, and how long.
    #[serde(default)]
    pub journal: Journal,
    /// Who is on board, as far as lists ask.
    #[serde(default)]
    pub crew: Crew,
    /// The back office; without one the unit works alone.
    pub office: Option<Office>,
    /// Where the networks are; default: the ones that are part of the program.
    pub models: Option<PathBuf>,
}

/// One camera.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Short name, shown with each alert and stored with each read: "front", "rear left".
    pub name: String,
    /// Where its pictures come from.
    pub source: Source,
    /// How long without a picture before the camera counts as lost, seconds.
    #[serde(default = "five")]
    pub silence_s: f64,
    /// For files: play again from the start when the end is reached.
    #[serde(default)]
    pub repeat: bool,
}

/// Where pictures come from: `{ file = "drive.mp4" }`, `{ device = "/dev/video0" }`, `{ rtsp = "rtsp://..." }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Source {
    /// A video or picture file, played by its own clock.
    File(PathBuf),
    /// A V4L2 device.
    Device(PathBuf),
    /// A network camera.
    Rtsp(String),
}

/// The satellite receiver.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// Where its sentences come from.
    pub source: ReceiverSource,
    /// Serial speed, bits a second.
    #[serde(default = "baud")]
    pub baud: u32,
    /// A position older than this is marked stale, seconds.
    #[serde(default = "two")]
    pub stale_s: f64,
    /// A position older than this is not used at all, seconds.
    #[serde(default = "thirty")]
    pub absent_s: f64,
}

/// Where NMEA comes from: `{ file = "drive.nmea" }`, paced by the first camera's clock, or `{ serial = "/dev/ttyUSB0" }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum ReceiverSource {
    /// A log of NMEA sentences.
    File(PathBuf),
    /// A serial port.
    Serial(PathBuf),
}

/// The speaker.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sound {
    /// Whether alerts are heard at all.
    pub enabled: bool,
    /// Loudness, 0 to 1. The crew can change it; a certain alert is never quieter than a third.
    pub volume: f32,
    /// A folder with clips of words that replace or add to the program's own.
    pub voice: Option<PathBuf>,
}

impl Default for Sound {
    fn default() -> Self {
        Self { enabled: true, volume: 0.8, voice: None }
    }
}

/// The crew's screen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Screen {
    /// Whether there is one.
    pub enabled: bool,
    /// Fill the display.
    pub fullscreen: bool,
    /// Width of the window, pixels.
    pub width: u32,
    /// Height of the window, pixels.
    pub height: u32,
    /// An MBTiles or PMTiles file that lies under the map; without one the map is drawn on bare ground.
    pub map: Option<PathBuf>,
}

impl Default for Screen {
    fn default() -> Self {
        Self { enabled: true, fullscreen: false, width: 1024, height: 600, map: None }
    }
}

/// A window for the driver's side, which shows symbols only.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Driver {
    /// Where its left edge is on the desktop, pixels: displays lie side by side on it.
    pub left: i32,
    /// Where its upper edge is.
    pub top: i32,
    /// Width, pixels.
    #[serde(default = "driver_width")]
    pub width: u32,
    /// Height, pixels.
    #[serde(default = "driver_height")]
    pub height: u32,
    /// The table of its symbols; without one the program's own, which nobody has approved.
    pub symbols: Option<PathBuf>,
}

impl Driver {
    /// One of the usual size, with the program's own symbols.
    pub fn at(left: i32, top: i32) -> Self {
        Self { left, top, width: driver_width(), height: driver_height(), symbols: None }
    }
}

/// What the journal keeps, and how long.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// Reads without a hit and their pictures, hours; longer while the back office does not have them.
    pub keep_reads_h: u32,
    /// Hits and their pictures, hours; longer while the back office does not have them. A list may ask for less.
    pub keep_hits_h: u32,
    /// What a list may ask for at the most, hours; default: no more than `keep_hits_h`.
    pub longest_hits_h: Option<u32>,
    /// The longest that anything waits for the back office, hours. Beyond it, it is taken away unsent, and that is a fault.
    pub keep_unsent_h: u32,
    /// Verdicts, faults and notes, hours.
    pub keep_events_h: u32,
    /// Who did what with the journal, hours; then only the hashes of the audit chain are left.
    pub keep_audit_h: u32,
    /// Less than this free on the disk is said, megabytes.
    pub announce_free_mb: u32,
    /// With less than this pictures of reads without a hit go, the oldest first, megabytes.
    pub keep_free_mb: u32,
    /// What unlocks it.
    pub key: Key,
}

/// What unlocks the journal: `"passphrase"`, `{ file = "/media/token/outrider.key" }`, `"tpm"`, or `"unprotected"`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Key {
    /// Nothing: its key lies beside it. The unit says so on the status strip for as long as it runs.
    #[default]
    Unprotected,
    /// What is typed when the unit starts.
    Passphrase,
    /// A key file on a token that is taken out of the car.
    File(PathBuf),
    /// The computer's own security chip.
    Tpm,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            keep_reads_h: 24,
            keep_hits_h: 168,
            longest_hits_h: None,
            keep_unsent_h: 720,
            keep_events_h: 2160,
            keep_audit_h: 17_520,
            announce_free_mb: 2048,
            keep_free_mb: 1024,
            key: Key::Unprotected,
        }
    }
}

impl Journal {
    /// How long a hit is kept whose list asks for `asked` hours.
    pub fn hits_h(&self, asked: Option<u32>) -> u32 {
        asked.map_or(self.keep_hits_h, |asked| asked.min(self.longest_hits_h.unwrap_or(self.keep_hits_h)))
    }
}

/// Who is on board.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Crew {
    /// Their roles: a list that names an audience is covert where none of it is on board.
    pub roles: Vec<String>,
    /// After so many hours whoever has signed on is signed off.
    pub longest_shift_h: u32,
}

impl Default for Crew {
    fn default() -> Self {
        Self { roles: Vec::new(), longest_shift_h: 12 }
    }
}

impl Crew {
    /// [`Self::longest_shift_h`] as a duration.
    pub fn longest_shift(&self) -> Duration {
        Duration::from_secs(u64::from(self.longest_shift_h) * 3600)
    }
}

/// The back office.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Office {
    /// Host name or address and UDP port: "office.example.org:4433".
    pub address: String,
    /// The folder with this car's identity, which `outrider enrol` fills.
    pub identity: PathBuf,
    /// Whether the office is told where the car is while it drives. That says where its crew is: off unless it is wanted.
    #[serde(default)]
    pub live_position: bool,
    /// Whether the office may set what does no harm, such as when the crew is reminded of a drill.
    #[serde(default = "yes")]
    pub settings: bool,
    /// Networks that cost money by the byte; without the section none does.
    pub metered: Option<Metered>,
}

impl Office {
    /// An office at this address, with everything else as it is by default.
    pub fn at(address: impl Into<String>, identity: impl Into<PathBuf>) -> Self {
        Self { address: address.into(), identity: identity.into(), live_position: false, settings: true, metered: None }
    }
}

fn yes() -> bool {
    true
}
fn five() -> f64 {
    5.0
}
fn two() -> f64 {
    2.0
}
fn thirty() -> f64 {
    30.0
}
fn driver_width() -> u32 {
    480
}
fn driver_height() -> u32 {
    320
}
fn baud() -> u32 {
    9600
}

impl Config {
    /// Loads and checks a configuration file.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let fault = match error.kind() {
                std::io::ErrorKind::InvalidData => Fault::new(Kind::Config, "the file is not text").at(path.display()),
                _ => Fault::new(Kind::Config, "cannot read the configuration").at(path.display()).because(error),
            };
            fault.remedy("Name a TOML file like those in vehicle-config/")
        })?;
        let mut config = Self::parse(&text).map_err(|why| {
            Fault::new(Kind::Config, "not a valid configuration")
                .at(path.display())
                .because(why)
                .remedy("Compare it with the examples in vehicle-config/, where every field is explained")
        })?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Parses and checks the text of a configuration file.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The error quotes the line that it is about, and with it whatever password is there.
        let config: Self =
            toml::from_str(text).map_err(|error| without_secrets(&error.to_string()).trim_end().to_owned())?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.unit.trim().is_empty() {
            return Err("unit must be a name, not empty".into());
        }
        if self.cameras.is_empty() {
            return Err("there is no [[camera]]: a unit needs at least one".into());
        }
        let mut names = HashSet::new();
        for camera in &self.cameras {
            if camera.name.trim().is_empty() {
                return Err("a camera has an empty name".into());
            }
            if !names.insert(&camera.name) {
                return Err(format!("two cameras are named {:?}: names tell them apart", camera.name));
            }
            seconds("silence_s", camera.silence_s)?;
            if let Source::Rtsp(url) = &camera.source
                && !url.starts_with("rtsp://")
                && !url.starts_with("rtsps://")
            {
                return Err(format!("camera {:?}: {} is not an rtsp:// address", camera.name, quoted(url)));
            }
            if camera.repeat && !matches!(camera.source, Source::File(_)) {
                return Err(format!("camera {:?}: repeat is for files; a live camera has no end", camera.name));
            }
        }
        if let Some(receiver) = &self.receiver {
            seconds("stale_s", receiver.stale_s)?;
            seconds("absent_s", receiver.absent_s)?;
            if receiver.absent_s < receiver.stale_s {
                return Err("absent_s must not be less than stale_s".into());
            }
            if !BAUD.contains(&receiver.baud) {
                return Err(format!("baud is {}, must be {} to {}", receiver.baud, BAUD.start(), BAUD.end()));
            }
        }
        let keep = &self.journal;
        for (name, hours) in [
            ("keep_reads_h", keep.keep_reads_h),
            ("keep_hits_h", keep.keep_hits_h),
            ("keep_unsent_h", keep.keep_unsent_h),
            ("keep_events_h", keep.keep_events_h),
            ("keep_audit_h", keep.keep_audit_h),
        ] {
            if !(1..=LONGEST_H).contains(&hours) {
                return Err(format!("{name} is {hours}, must be 1 to {LONGEST_H} hours (ten years)"));
            }
        }
        if let Some(longest) = keep.longest_hits_h
            && !(keep.keep_hits_h..=LONGEST_H).contains(&longest)
        {
            return Err(format!(
                "longest_hits_h is {longest}, must be keep_hits_h ({}) to {LONGEST_H} hours",
                keep.keep_hits_h
            ));
        }
        if keep.keep_unsent_h < keep.keep_reads_h.max(keep.longest_hits_h.unwrap_or(keep.keep_hits_h)) {
            return Err("keep_unsent_h must not be less than keep_reads_h, keep_hits_h and longest_hits_h".into());
        }
        if !(LEAST_FREE_MB..=keep.announce_free_mb).contains(&keep.keep_free_mb) {
            return Err(format!(
                "keep_free_mb is {}, must be {LEAST_FREE_MB} to announce_free_mb ({})",
                keep.keep_free_mb, keep.announce_free_mb
            ));
        }
        if self.crew.roles.iter().any(|role| role.trim().is_empty() || role.len() > LONGEST_ROLE) {
            return Err(format!("a role of the crew must have 1 to {LONGEST_ROLE} characters"));
        }
        if !(1..=LONGEST_SHIFT_H).contains(&self.crew.longest_shift_h) {
            let hours = self.crew.longest_shift_h;
            return Err(format!("longest_shift_h is {hours}, must be 1 to {LONGEST_SHIFT_H} hours"));
        }
        if !(0.0..=1.0).contains(&self.sound.volume) {
            return Err(format!("volume is {}, must be 0 to 1", self.sound.volume));
        }
        if !(320..=7680).contains(&self.screen.width) || !(240..=4320).contains(&self.screen.height) {
            return Err(format!("a screen of {} x {} pixels makes no sense", self.screen.width, self.screen.height));
        }
        if let Some(driver) = &self.driver {
            if !self.screen.enabled {
                return Err("a [driver] window needs the crew's: set enabled = true under [screen]".into());
            }
            if !(160..=7680).contains(&driver.width) || !(120..=4320).contains(&driver.height) {
                return Err(format!(
                    "a driver's window of {} x {} pixels makes no sense: 160 x 120 to 7680 x 4320",
                    driver.width, driver.height
                ));
            }
        }
        if let Some(office) = &self.office
            && !office
                .address
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        {
            return Err(format!("office address {} is not HOST:PORT", quoted(&office.address)));
        }
        Ok(())
    }

    fn resolve(&mut self, folder: &Path) {
        self.data = folder.join(&self.data);
        for camera in &mut self.cameras {
            if let Source::File(path) = &mut camera.source {
                *path = folder.join(&*path);
            }
        }
        if let Some(Receiver { source: ReceiverSource::File(path), .. }) = &mut self.receiver {
            *path = folder.join(&*path);
        }
        if let Some(voice) = &mut self.sound.voice {
            *voice = folder.join(&*voice);
        }
        if let Some(map) = &mut self.screen.map {
            *map = folder.join(&*map);
        }
        if let Some(Driver { symbols: Some(symbols), .. }) = &mut self.driver {
            *symbols = folder.join(&*symbols);
        }
        if let Key::File(path) = &mut self.journal.key {
            *path = folder.join(&*path);
        }
        if let Some(office) = &mut self.office {
            office.identity = folder.join(&office.identity);
        }
        if let Some(models) = &mut self.models {
            *models = folder.join(&*models);
        }
    }
}

impl Camera {
    /// [`Self::silence_s`] as a duration.
    pub fn silence(&self) -> Duration {
        Duration::from_secs_f64(self.silence_s)
    }
}

/// Serial speeds that exist.
const BAUD: std::ops::RangeInclusive<u32> = 300..=4_000_000;
/// The longest name of a role, bytes.
const LONGEST_ROLE: usize = 64;
/// The longest shift, hours.
const LONGEST_SHIFT_H: u32 = 24;
/// The least that is to stay free on the disk, megabytes: what the journal needs to take anything away.
const LEAST_FREE_MB: u32 = 16;
/// The longest that anything is kept, hours.
pub(crate) const LONGEST_H: u32 = 87_600;

/// An address in an error: one that may hold a password is left out.
fn quoted(address: &str) -> String {
    if address.contains('@') {
        "what is given (not shown: it may hold a password)".to_owned()
    } else {
        format!("{address:?}")
    }
}

/// `text` without what is secret in the addresses in it: user, password and query. For whatever is shown or logged.
pub fn without_secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        out.push_str(before);
        let word = after.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(after.len());
        let (address, behind) = after.split_at(word);
        let authority = address.find(['/', '?']).unwrap_or(word);
        // A password may hold a stray '/': the first '@' behind it ends it.
        let keep_from = match address[..authority].rfind('@') {
            Some(at) => at + 1,
            None => address.find('@').map_or(0, |at| at + 1),
        };
        let shown = &address[keep_from..];
        match shown.split_once('?') {
            Some((path, _)) => out.extend([path, "?..."]),
            None => out.push_str(shown),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn seconds(name: &str, value: f64) -> Result<(), String> {
    if value.is_finite() && value > 0.0 && value <= 86_400.0 {
        Ok(())
    } else {
        Err(format!("{name} is {value}, must be more than 0 and at most 86400 seconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str =
        "unit = \"EX-01\"\ndata = \"data\"\n[[camera]]\nname = \"front\"\nsource = { device = \"/dev/video0\" }\n";

    #[test]
    fn the_smallest_file_has_sensible_defaults() {
        let config = Config::parse(SMALLEST).expect("valid");
        assert_eq!(config.cameras[0].silence(), Duration::from_secs(5));
        assert!(config.sound.enabled && config.office.is_none());
    }

    #[test]
    fn a_list_asks_for_less_or_for_as_much_as_is_allowed() {
        let mut keep = Journal::default();
        let asked = |keep: &Journal| [None, Some(12), Some(500)].map(|asked| keep.hits_h(asked));
        assert_eq!(asked(&keep), [168, 12, 168]);
        keep.longest_hits_h = Some(336);
        assert_eq!(asked(&keep), [168, 12, 336]);
    }

    #[test]
    fn nonsense_is_refused_with_its_name() {
        for (extra, named) in [
            ("[sound]\nvolumme = 1.0\n", "volumme"),
            ("[sound]\nvolume = 7.0\n", "volume is 7"),
            ("[driver]\nleft = 0\ntop = 0\nwidth = 100\n", "driver's window of 100 x 320"),
            ("[driver]\nleft = 0\n", "top"),
            ("[screen]\nenabled = false\n[driver]\nleft = 0\ntop = 0\n", "[driver] window needs"),
            ("[office]\naddress = \"office\"\nidentity = \"id\"\n", "HOST:PORT"),
            ("[[camera]]\nname = \"front\"\nsource = { device = \"/dev/video1\" }\n", "two cameras"),
            ("[[camera]]\nname = \"rear\"\nsource = { rtsp = \"http://x\" }\n", "rtsp://"),
            ("[[camera]]\nname = \"rear\"\nsource = { usb = \"x\" }\n", "usb"),
            ("[[camera]]\nname = \"rear\"\nsource = { rtsp = \"rtsp://x\" }\nrepeat = true\n", "repeat"),
            ("[receiver]\nsource = { serial = \"/dev/ttyUSB0\" }\nbaud = 0\n", "baud is 0"),
            ("[journal]\nkeep_reads_h = 0\n", "keep_reads_h is 0"),
            ("[journal]\nkeep_hits_h = 4294967295\n", "keep_hits_h is 4294967295"),
            ("[journal]\nkeep_reads_h = 721\n", "keep_unsent_h"),
            ("[journal]\nlongest_hits_h = 100\n", "longest_hits_h is 100, must be keep_hits_h (168)"),
            ("[journal]\nlongest_hits_h = 721\n", "keep_unsent_h"),
            ("[journal]\nkeep_free_mb = 8\n", "keep_free_mb is 8"),
            ("[journal]\nkeep_free_mb = 4096\n", "must be 16 to announce_free_mb (2048)"),
            ("[crew]\nroles = [\" \"]\n", "a role of the crew"),
            ("[journal]\nkey = \"hunter2 hunter2\"\n", "unknown variant"),
            ("[receiver]\nsource = { serial = \"/dev/ttyUSB0\" }\nstale_s = 9.0\nabsent_s = 1.0\n", "absent_s"),
        ] {
            let why = Config::parse(&format!("{SMALLEST}{extra}")).expect_err(extra);
            assert!(why.contains(named), "{why}");
        }
    }

    #[test]
    fn the_journals_key_is_one_of_four() {
        for (line, key) in [
            ("", Key::Unprotected),
            ("key = \"unprotected\"", Key::Unprotected),
            ("key = \"passphrase\"", Key::Passphrase),
            ("key = \"tpm\"", Key::Tpm),
            ("key = { file = \"/media/token/key\" }", Key::File("/media/token/key".into())),
        ] {
            let config = Config::parse(&format!("{SMALLEST}[journal]\n{line}\n")).expect(line);
            assert_eq!(config.journal.key, key);
        }
    }

    #[test]
    fn no_password_is_in_an_error() {
        for extra in [
            "[[camera]]\nname = \"rear\"\nsource = { rtsp = \"rtsp://admin:hunter2@10.0.0.7/x?pw=hunter2\", usb = 1 }\n",
            "[[camera]]\nname = \"rear\"\nsource = { rtsp = \"rtsp://admin:hunter2@10.0.0.7/x }\n",
            "[[camera]]\nname = \"rear\"\nsource = { rtsp = \"admin:hunter2@10.0.0.7/x\" }\n",
            "[[camera]]\nname = \"rear\"\nsource = { rtsp = \"http://admin:hunter2@10.0.0.7/x\" }\n",
            "[office]\naddress = \"quic://admin:hunter2@office\"\nidentity = \"id\"\n",
        ] {
            let why = Config::parse(&format!("{SMALLEST}{extra}")).expect_err(extra);
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn addresses_are_shown_without_their_secrets() {
        for (address, shown) in [
            ("rtsp://u:p@ss@host/x", "rtsp://host/x"),
            ("rtsp://u:p/ss@host/x", "rtsp://host/x"),
            ("rtsp://host:554/x", "rtsp://host:554/x"),
            ("rtsp://u:p@s@cam/live and rtsp://a:b@c", "rtsp://cam/live and rtsp://c"),
            ("no address here", "no address here"),
            ("rtsp://host/x?user=u&password=p", "rtsp://host/x?..."),
            ("a \"rtsp://u:p@host\" and rtsps://v:q@other/y.", "a \"rtsp://host\" and rtsps://other/y."),
        ] {
            assert_eq!(without_secrets(address), shown);
        }
    }
}

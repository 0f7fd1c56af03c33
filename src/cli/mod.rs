//! The commands. One file a subcommand; each returns a [`Result`], and here it becomes an exit code.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use indicatif::{ProgressBar, ProgressStyle};

use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{Progress, Remark, Report, Settings, Watch};

/// Prints a line on standard output. In this room it stands for the standard library's macro of the same name, which
/// panics when whoever reads has gone: `outrider ... | head` is no fault, and the car's work goes on without its listener.
macro_rules! println {
    ($($words:tt)*) => {
        $crate::cli::print_line(format_args!($($words)*))
    };
}

#[cfg(feature = "vehicle")]
mod car;
#[cfg(feature = "office")]
mod depot;
mod people;

#[cfg(feature = "vehicle")]
pub use car::main as car;
#[cfg(feature = "office")]
pub use depot::main as office;

/// Why standard output could not be written to, other than by its reader having gone.
static UNPRINTED: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// See the macro `println`.
fn print_line(words: Arguments) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_fmt(words).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        UNPRINTED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// What came of writing to standard output by other means than `println`: that nobody reads any more is no fault.
#[cfg(feature = "vehicle")]
fn printed(result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(unprinted(error)),
        _ => Ok(()),
    }
}

fn unprinted(error: std::io::Error) -> Fault {
    Fault::new(Kind::Unavailable, "cannot write to standard output").because(error)
}

/// Ends a program: 0 done, 1 failed, 2 wrong usage or configuration; the reason goes to standard error.
fn finish(program: &str, result: Result<()>) -> ExitCode {
    ExitCode::from(report(program, result))
}

/// Says what came of a program, and gives its exit code.
fn report(program: &str, result: Result<()>) -> u8 {
    let lost = UNPRINTED.lock().unwrap_or_else(PoisonError::into_inner).take();
    match result.and_then(|()| lost.map_or(Ok(()), |error| Err(unprinted(error)))) {
        Ok(()) => 0,
        Err(fault) => {
            eprintln!("{program}: {fault}");
            if fault.kind() == Kind::Usage {
                eprintln!("See '{program} --help'.");
            }
            fault.kind().exit_code()
        }
    }
}

/// Sends what rooms log to standard error; `OUTRIDER_LOG` sets the level (default: warnings).
fn log_to_standard_error() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("OUTRIDER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A second call, as tests make, leaves the first in place.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// The time that `text` names: hours from `now`, or the end of a day.
fn until(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if let Some(hours) = text.strip_suffix('h') {
        return now.checked_add_signed(TimeDelta::try_hours(hours.parse().ok()?)?);
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.succ_opt()?;
    Some(day.and_time(NaiveTime::MIN).and_utc())
}

/// How a list is to be used, from a TOML file.
fn list_settings(path: &Path) -> Result<Settings> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Fault::io("cannot read the list's settings", path, error))?;
    Settings::parse(&text).map_err(|why| {
        Fault::new(Kind::Config, "not the settings of a list")
            .at(path.display())
            .because(why)
            .remedy("See docs/design/hotlist.md for what can be set")
    })
}

/// Lines of an import that people are shown; the rest is counted.
const REMARKS: usize = 20;

/// A bar on standard error, where that is a terminal: how much of a file of so many bytes was read, then stored.
fn bar(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:<24} {wide_bar} {bytes}/{total_bytes} {eta}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message("reading")
}

/// Shows on `bar` how far an import is.
fn watch(bar: ProgressBar) -> Watch {
    Watch(Arc::new(move |progress| match progress {
        Progress::Read(_, bytes) => bar.set_position(bytes),
        Progress::Stored(stored, of) => bar.set_message(format!("storing, {} %", stored * 100 / of.max(1))),
    }))
}

/// Tells what came of an import: as JSON, or to people.
fn print_report(file: &Path, report: &Report, json: bool) {
    if json {
        println!("{}", serde_json::to_string(report).unwrap_or_default());
    } else {
        print_import(file, report);
    }
}

/// Tells people what came of an import: the sum on standard output, bad lines on standard error.
fn print_import(file: &Path, report: &Report) {
    let tell = |what: &str, remarks: &[Remark], lines: u64| {
        for remark in remarks.iter().take(REMARKS) {
            eprintln!("{}: line {} {what}: {}", file.display(), remark.line, remark.reason);
        }
        if lines > REMARKS as u64 {
            eprintln!("{}: {} more lines {what}", file.display(), lines - REMARKS as u64);
        }
    };
    tell("refused", &report.refused, report.refused_lines);
    tell("corrected", &report.corrected, report.corrected_lines);
    println!(
        "{} entries{}, {} lines corrected, {} refused, {} repeated; revision {}",
        report.accepted,
        if report.dry_run { " (nothing was changed)" } else { "" },
        report.corrected_lines,
        report.refused_lines,
        report.repeated,
        report.revision
    );
}

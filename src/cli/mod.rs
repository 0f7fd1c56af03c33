//! The commands. One file a subcommand; each returns a [`Result`], and here it becomes an exit code.

use std::path::Path;
use std::process::ExitCode;

use crate::fault::{Kind, Result};
use crate::hotlist::Report;

#[cfg(feature = "vehicle")]
mod car;
#[cfg(feature = "office")]
mod depot;

#[cfg(feature = "vehicle")]
pub use car::main as car;
#[cfg(feature = "office")]
pub use depot::main as office;

/// Ends a program: 0 done, 1 failed, 2 wrong usage or configuration; the reason goes to standard error.
fn finish(program: &str, result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{program}: {fault}");
            if fault.kind() == Kind::Usage {
                eprintln!("See '{program} --help'.");
            }
            ExitCode::from(fault.kind().exit_code())
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

/// Lines of an import that people are shown; the rest is counted.
const REMARKS: usize = 20;

/// Tells people what came of an import: the sum on standard output, bad lines on standard error.
fn print_import(file: &Path, report: &Report) {
    for (what, remarks) in [("refused", &report.refused), ("corrected", &report.corrected)] {
        for remark in remarks.iter().take(REMARKS) {
            eprintln!("{}: line {} {what}: {}", file.display(), remark.line, remark.reason);
        }
        if remarks.len() > REMARKS {
            eprintln!("{}: {} more lines {what}", file.display(), remarks.len() - REMARKS);
        }
    }
    println!(
        "{} entries{}, {} lines corrected, {} refused, {} repeated; revision {}",
        report.accepted,
        if report.dry_run { " (nothing was changed)" } else { "" },
        report.corrected.len(),
        report.refused.len(),
        report.repeated,
        report.revision
    );
}

//! `outrider journal`: the car's own record.

use std::path::PathBuf;

use crate::clock::RealClock;
use crate::config;
use crate::fault::{Fault, Kind, Result};
use crate::journal::Archive;
use crate::tag::When;

/// Verify, export and purge the journal.
///
/// Example: outrider journal export --data /var/lib/outrider --out export
///
/// The unit must not be running on the same data folder.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Journal {
    /// The unit's data folder
    #[arg(long, global = true, value_name = "FOLDER", default_value = ".")]
    data: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Decode every record, follow every reference and compare the counters
    Verify {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write reads, hits, verdicts and faults as JSON lines, or with --out as a folder with pictures
    Export {
        /// The folder, made; it must not hold an export yet. Left out: JSON lines on standard output
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
    /// Delete what is beyond its retention; never a hit that the office does not have
    Purge {
        /// Hours that reads without a hit are kept
        #[arg(long, default_value_t = config::Journal::default().keep_reads_h)]
        keep_reads_h: u32,
        /// Hours that hits are kept once the office has them
        #[arg(long, default_value_t = config::Journal::default().keep_hits_h)]
        keep_hits_h: u32,
    },
}

impl Journal {
    pub(super) fn run(self) -> Result<()> {
        let archive = Archive::open_existing(&self.data)?;
        match self.command {
            Command::Verify { json } => {
                let verified = archive.verify()?;
                if json {
                    println!("{}", serde_json::to_string(&verified).unwrap_or_default());
                } else {
                    println!(
                        "sound: {} runs, {} versions of reads, {} pictures, {} hits, {} events; {} unsent, {} uploaded",
                        verified.runs,
                        verified.reads,
                        verified.pictures,
                        verified.hits,
                        verified.events,
                        verified.unsent,
                        verified.uploaded
                    );
                }
            }
            Command::Export { out: Some(folder) } => {
                let lines = archive.export_folder(&folder)?;
                eprintln!("{lines} lines and their pictures are in {}", folder.display());
            }
            Command::Export { out: None } => {
                archive.export_jsonl(std::io::stdout().lock())?;
            }
            Command::Purge { keep_reads_h, keep_hits_h } => {
                let utc = RealClock::shared().utc();
                if utc.timestamp() < EARLIEST {
                    return Err(Fault::new(Kind::Unavailable, "this machine's clock is wrong, nothing was purged")
                        .because(format!("it says {}", utc.format("%Y-%m-%d")))
                        .remedy("Set the clock, then try again"));
                }
                let purged =
                    archive.purge(When { utc, trusted: true }, &config::Journal { keep_reads_h, keep_hits_h })?;
                println!(
                    "purged {} passes ({} of them never sent) and {} hits",
                    purged.reads, purged.unsent, purged.hits
                );
            }
        }
        Ok(())
    }
}

/// No unit was built before: 2026-01-01, seconds of UTC.
const EARLIEST: i64 = 1_767_225_600;

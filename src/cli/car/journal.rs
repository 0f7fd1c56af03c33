//! `outrider journal`: the car's own record.

use std::io::Write;
use std::path::PathBuf;

use crate::clock::RealClock;
use crate::config;
use crate::fault::{Fault, Kind, Result};
use crate::journal::{Archive, Keep};
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
    ///
    /// Example: outrider journal verify --data /var/lib/outrider
    #[command(verbatim_doc_comment)]
    Verify {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write reads, hits, verdicts and faults as JSON lines, or with --out as a folder with pictures
    ///
    /// Example: outrider journal export --data /var/lib/outrider --out export
    #[command(verbatim_doc_comment)]
    Export {
        /// The folder, made; it must not hold an export yet. Left out: JSON lines on standard output
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
    /// Delete what is beyond its retention; what the office is still to get is kept on
    ///
    /// Example: outrider journal purge --data /var/lib/outrider --keep-reads-h 24
    #[command(verbatim_doc_comment)]
    Purge {
        /// Hours that reads without a hit are kept
        #[arg(long, value_name = "HOURS", default_value_t = config::Journal::default().keep_reads_h)]
        keep_reads_h: u32,
        /// Hours that hits are kept
        #[arg(long, value_name = "HOURS", default_value_t = config::Journal::default().keep_hits_h)]
        keep_hits_h: u32,
        /// Hours that a list may ask for its hits to be kept, at the most; default: --keep-hits-h
        #[arg(long, value_name = "HOURS")]
        longest_hits_h: Option<u32>,
        /// Hours that anything waits for the office at the longest
        #[arg(long, value_name = "HOURS", default_value_t = config::Journal::default().keep_unsent_h)]
        keep_unsent_h: u32,
        /// Hours that verdicts, faults and notes are kept
        #[arg(long, value_name = "HOURS", default_value_t = config::Journal::default().keep_events_h)]
        keep_events_h: u32,
        /// The car has no office: what was never sent goes by its age too
        #[arg(long)]
        no_office: bool,
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
                let mut out = std::io::BufWriter::new(std::io::stdout().lock());
                match archive.export_jsonl(&mut out) {
                    // Nobody listens any more.
                    Err(fault) if fault.is_broken_pipe() => return Ok(()),
                    exported => exported?,
                };
                crate::cli::printed(out.flush())?;
            }
            Command::Purge { keep_reads_h, keep_hits_h, longest_hits_h, keep_unsent_h, keep_events_h, no_office } => {
                let utc = RealClock::shared().utc();
                if !archive.believes(utc)? {
                    return Err(Fault::new(Kind::Unavailable, "this machine's clock is wrong, nothing was purged")
                        .because(format!(
                            "it says {}, which is before units existed or before what the journal holds",
                            utc.format("%Y-%m-%d")
                        ))
                        .remedy("Set the clock, then try again"));
                }
                let hours = config::Journal { keep_reads_h, keep_hits_h, longest_hits_h, keep_unsent_h, keep_events_h };
                let purged = archive.purge(When { utc, trusted: false }, &Keep::new(hours, !no_office))?;
                println!(
                    "purged {} passes and {} hits ({} of them never sent), and {} events",
                    purged.reads, purged.hits, purged.unsent, purged.events
                );
            }
        }
        Ok(())
    }
}

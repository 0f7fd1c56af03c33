//! `outrider journal`: the car's own record.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::unlock::{self, Unlock};
use crate::clock::RealClock;
use crate::config;
use crate::fault::{Fault, Kind, Result};
use crate::journal::{Archive, Keep, Key, Passphrase, Protection, make_token};
use crate::tag::When;

/// Verify, export, purge, lock and erase the journal.
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
    #[command(flatten)]
    unlock: Unlock,
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
    /// Make a key file: random bytes, to be kept on a token that is taken out of the car
    ///
    /// Example: outrider journal token /media/token/outrider.key
    ///
    /// Keep a copy where the car is not: a journal that is locked with it cannot be read without.
    #[command(verbatim_doc_comment)]
    Token {
        /// The file, made; it must not be there yet
        file: PathBuf,
    },
    /// Lock the journal otherwise: with a passphrase, with a key file, or not at all
    ///
    /// Example: outrider journal lock --data /var/lib/outrider --with-key-file /media/token/outrider.key
    ///
    /// The master key is made anew. What was stored while the journal was unprotected was as open as the disk; where that
    /// matters, erase the journal instead, once the office has everything. Then set `key` under [journal] in the
    /// configuration.
    #[command(verbatim_doc_comment)]
    Lock {
        #[command(flatten)]
        with: With,
    },
    /// Destroy the keys of the journal, then the journal: nobody can read it any more
    ///
    /// Example: outrider journal erase --data /var/lib/outrider
    ///
    /// Needs no passphrase and no key file. What the office does not have yet is lost.
    #[command(verbatim_doc_comment)]
    Erase {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct With {
    /// Ask for a new passphrase, twice
    #[arg(long)]
    with_passphrase: bool,
    /// The new passphrase: the first line of a file or of a descriptor such as /dev/fd/4
    #[arg(long, value_name = "FILE")]
    with_passphrase_file: Option<PathBuf>,
    /// A key file that outrider journal token made
    #[arg(long, value_name = "FILE")]
    with_key_file: Option<PathBuf>,
    /// Leave the key beside the journal: whoever has the disk can read it
    #[arg(long)]
    unprotected: bool,
}

impl With {
    fn key(self) -> Result<Key> {
        match self {
            Self { with_passphrase_file: Some(file), .. } => Passphrase::from_file(&file).map(Key::Passphrase),
            Self { with_key_file: Some(file), .. } => Ok(Key::Token(file)),
            Self { with_passphrase: true, .. } => unlock::ask_twice().map(Key::Passphrase),
            Self { .. } => Ok(Key::Beside),
        }
    }
}

/// Erases, once whoever asks for it has said yes to what is lost.
fn erase(data: &Path, yes: bool) -> Result<()> {
    if !yes {
        let unsent = match Archive::peek(data) {
            Ok(Some(0)) => "The office has everything that is in it.".to_owned(),
            Ok(Some(unsent)) => format!("{unsent} things in it were never sent to the office."),
            Ok(None) => "There is no journal, but there may be keys of one.".to_owned(),
            Err(fault) if fault.kind() == Kind::Unavailable => "What is in it was not looked at.".to_owned(),
            Err(fault) => format!("What is in it cannot be told: {fault}"),
        };
        eprintln!("The journal in {} will be erased for good. {unsent}", data.display());
        eprint!("Type yes to erase it: ");
        let mut answer = String::new();
        // An answer that cannot be read is none.
        let _ = std::io::stdin().read_line(&mut answer);
        if answer.trim() != "yes" {
            return Err(Fault::new(Kind::Usage, "nothing was erased").remedy("Type yes, or give --yes"));
        }
    }
    Archive::erase(data)?;
    println!("erased: the keys are overwritten, and the journal is gone");
    Ok(())
}

impl Journal {
    pub(super) fn run(self) -> Result<()> {
        match &self.command {
            Command::Token { file } => {
                make_token(file)?;
                println!("made {}; keep a copy of it where the car is not", file.display());
                return Ok(());
            }
            Command::Erase { yes } => return erase(&self.data, *yes),
            _ => {}
        }
        let archive = Archive::open_existing(&self.data, &self.unlock.key(&self.data)?)?;
        match self.command {
            Command::Token { .. } | Command::Erase { .. } => {}
            Command::Lock { with } => {
                archive.lock_with(&with.key()?)?;
                println!(
                    "locked {}; set `key` under [journal] in the configuration to match",
                    match archive.protection() {
                        Protection::None => "with nothing: the key lies beside the journal",
                        Protection::Passphrase => "with the passphrase",
                        Protection::Token => "with the key file",
                    }
                );
            }
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
                let hours = config::Journal {
                    keep_reads_h,
                    keep_hits_h,
                    longest_hits_h,
                    keep_unsent_h,
                    keep_events_h,
                    ..config::Journal::default()
                };
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

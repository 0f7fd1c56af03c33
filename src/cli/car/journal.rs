//! `outrider journal`: the car's own record.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::person::PinFile;
use super::unlock::{self, Unlock};
use crate::clock::RealClock;
use crate::config;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::Mark;
use crate::journal::{Act, Archive, Deed, Keep, Key, Passphrase, Protection, Sizes, Tpm, make_token, verify_bundle};
use crate::people::Right;
use crate::tag::When;

/// Verify, search, export, purge, lock and erase the journal.
///
/// Example: outrider journal verify --data /var/lib/outrider
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
    /// Decode every record, follow every reference and the audit chain, and compare the counters; or check a bundle
    ///
    /// Example: outrider journal verify --data /var/lib/outrider
    ///
    /// With --bundle an evidence bundle is checked, without the unit: outrider journal verify --bundle DIR. Give the
    /// unit's key with --signer, as this command prints it at the unit; without, the bundle only vouches for itself.
    #[command(verbatim_doc_comment)]
    Verify {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Check this evidence bundle
        #[arg(long, value_name = "FOLDER")]
        bundle: Option<PathBuf>,
        /// The key that must have signed the bundle, hexadecimal
        #[arg(long, value_name = "KEY", requires = "bundle")]
        signer: Option<String>,
    },
    /// Write reads, hits, verdicts and faults; who did so, and why, goes into the audit chain first
    ///
    /// Example: outrider journal export --data /var/lib/outrider --who 1234 --reason "case review" --bundle evidence
    ///
    /// Where people are set up it needs a crew member's or a supervisor's PIN. JSON lines on standard output; with --csv the reads as CSV; with --out a folder with pictures; with --bundle a folder
    /// with pictures, CSV, a report and a signed list of its files, which outrider journal verify --bundle checks.
    #[command(verbatim_doc_comment)]
    Export {
        #[command(flatten)]
        why: Taken,
        /// The folder, made; it must not hold an export yet
        #[arg(long, value_name = "FOLDER", conflicts_with_all = ["csv", "bundle"])]
        out: Option<PathBuf>,
        /// A row a read, on standard output
        #[arg(long, conflicts_with = "bundle")]
        csv: bool,
        /// The folder of an evidence bundle, made; it must not be there yet
        #[arg(long, value_name = "FOLDER")]
        bundle: Option<PathBuf>,
        /// Pictures no larger than the national ANPR service takes them: plates 120 x 60 pixels and 3 KB, overviews 25 KB.
        /// Left out: as they were cut from the frame
        #[arg(long)]
        national: bool,
    },
    /// Look the reads through for a VRM or a pattern; who did so, and why, goes into the audit chain first
    ///
    /// Example: outrider journal search --data /var/lib/outrider --who 1234 --reason "seen near the scene" "AB1? CDE"
    #[command(verbatim_doc_comment)]
    Search {
        #[command(flatten)]
        why: Why,
        /// The VRM, or a pattern: ? for one character, * for any number
        mark: String,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Print the audit chain: who did what, when and why; where people are set up, for supervisors
    ///
    /// Example: outrider journal audit --data /var/lib/outrider --who 77
    #[command(verbatim_doc_comment)]
    Audit {
        #[command(flatten)]
        by: By,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
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
        /// Hours that the audit chain can be read
        #[arg(long, value_name = "HOURS", default_value_t = config::Journal::default().keep_audit_h)]
        keep_audit_h: u32,
        #[command(flatten)]
        by: By,
        /// Print what went and why, by rule, and which keys were destroyed
        #[arg(long)]
        report: bool,
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
    /// Lock the journal otherwise: with a passphrase, a key file, the computer's TPM, or not at all
    ///
    /// Example: outrider journal lock --data /var/lib/outrider --with-key-file /media/token/outrider.key
    ///
    /// The master key is made anew. What was stored while the journal was unprotected was as open as the disk; where that
    /// matters, erase the journal instead, once the office has everything. Then set `key` under `[journal]` in the
    /// configuration.
    #[command(verbatim_doc_comment)]
    Lock {
        #[command(flatten)]
        with: With,
        /// Bind the TPM's lock to how the computer starts, as PCRs of the TPM: sha256:7 is its secure boot. Where that changes,
        /// nobody can read the journal any more: lock it otherwise before firmware is updated
        #[arg(long, value_name = "PCRS", requires = "with_tpm")]
        pcrs: Option<String>,
        #[command(flatten)]
        by: By,
    },
    /// Print number and hash of each record of the audit chain, which says nothing of anybody: the office compares it
    ///
    /// Example: outrider journal heads --data /var/lib/outrider > heads.jsonl
    ///
    /// Then, at the office: outrider-office heads --data office --unit car-01 --check heads.jsonl
    #[command(verbatim_doc_comment)]
    Heads,
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

/// What stands in the audit chain where nobody was named.
pub(super) const NOBODY: &str = "nobody that was named";

/// What is said to whoever looks one vehicle up so often that it is flagged.
pub(super) const AGAIN: &str = "You have looked this up again and again without a case number; that is on record.";

/// Who looks at data, and why.
#[derive(clap::Args)]
struct Why {
    /// Collar number of whoever does it
    #[arg(long, value_name = "NUMBER", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    who: String,
    /// Why, in a few words
    #[arg(long, value_name = "WORDS", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// The number of the case that it is for
    #[arg(long, value_name = "NUMBER")]
    case: Option<String>,
    #[command(flatten)]
    pin: PinFile,
}

/// Who takes data out, and why. Scripts that were written before there was a chain name nobody, which is on record as that.
#[derive(clap::Args)]
struct Taken {
    /// Collar number of whoever does it
    #[arg(long, value_name = "NUMBER", default_value = NOBODY)]
    who: String,
    /// Why, in a few words
    #[arg(long, value_name = "WORDS", default_value = "no reason given")]
    reason: String,
    /// The number of the case that it is for
    #[arg(long, value_name = "NUMBER")]
    case: Option<String>,
    #[command(flatten)]
    pin: PinFile,
}

/// Who does something that is no look at data.
#[derive(clap::Args)]
struct By {
    /// Collar number of whoever does it, for the audit chain
    #[arg(long, value_name = "NUMBER", default_value = NOBODY)]
    who: String,
    #[command(flatten)]
    pin: PinFile,
}

impl Why {
    /// What goes on record, once whoever it is was let in.
    fn deed(self, archive: &Archive, right: Right, act: Act, detail: &str) -> Result<Deed> {
        let Self { who, reason, case, pin } = self;
        let who = pin.admit(archive, Some(&who), right, command_of(act))?;
        Ok(Deed { act, who, reason, case, plate: None, detail: detail.into(), when: now() })
    }
}

impl Taken {
    fn deed(self, archive: &Archive, detail: &str) -> Result<Deed> {
        let Self { who, reason, case, pin } = self;
        let deed = Why { who, reason, case, pin }.deed(archive, Right::Export, Act::Exported, detail)?;
        if deed.who == NOBODY {
            eprintln!("Nobody is named with --who: that is on record.");
        }
        Ok(deed)
    }
}

impl By {
    fn admitted(&self, archive: &Archive, right: Right, command: &str) -> Result<String> {
        self.pin.admit(archive, Some(&self.who), right, command)
    }
}

/// What a sign-on is for, on record.
fn command_of(act: Act) -> &'static str {
    match act {
        Act::Searched => "outrider journal search",
        _ => "outrider journal export",
    }
}

/// How large pictures are handed out, and what the audit chain is told of it.
fn sizes(national: bool) -> Sizes {
    if national { Sizes::National } else { Sizes::Native }
}

fn told(national: bool) -> &'static str {
    if national { ", as small as the national service takes them" } else { "" }
}

/// This machine's time, which no satellite has told.
fn now() -> When {
    When { utc: RealClock::shared().utc(), trusted: false }
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
    /// The computer's security chip, a TPM 2.0: the disk alone is of no use. Needs the Debian package tpm2-tools
    #[arg(long)]
    with_tpm: bool,
    /// Leave the key beside the journal: whoever has the disk can read it
    #[arg(long)]
    unprotected: bool,
}

impl With {
    fn key(self, pcrs: Option<String>) -> Result<Key> {
        match self {
            Self { with_tpm: true, .. } => Ok(Key::Tpm(Tpm { pcrs, ..Tpm::default() })),
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
            Command::Verify { bundle: Some(folder), signer, json } => {
                let checked = verify_bundle(folder, signer.as_deref())?;
                if *json {
                    println!("{}", serde_json::to_string(&checked).unwrap_or_default());
                } else {
                    println!(
                        "as it was made: {} files, by {} on {}: {}; signed by {}",
                        checked.files, checked.who, checked.made, checked.reason, checked.signer
                    );
                    if signer.is_none() {
                        println!("whose key that is was not checked: compare it with the unit's, or give --signer");
                    }
                }
                return Ok(());
            }
            _ => {}
        }
        let archive = Archive::open_existing(&self.data, &self.unlock.key(&self.data)?)?;
        match self.command {
            Command::Token { .. } | Command::Erase { .. } => {}
            Command::Lock { with, pcrs, by } => {
                let who = by.admitted(&archive, Right::Upkeep, "outrider journal lock")?;
                archive.lock_with(&with.key(pcrs)?)?;
                let with = format!("with: {:?}", archive.protection()).to_lowercase();
                let deed = Deed::of_the_unit(Act::Locked, "outrider journal lock", with, now());
                archive.note(Deed { who, ..deed })?;
                println!(
                    "locked {}; set `key` under [journal] in the configuration to match",
                    match archive.protection() {
                        Protection::None => "with nothing: the key lies beside the journal",
                        Protection::Passphrase => "with the passphrase",
                        Protection::Token => "with the key file",
                        Protection::Tpm => "with this computer's TPM: on no other one can it be read",
                    }
                );
            }
            Command::Verify { json, .. } => {
                let verified = archive.verify()?;
                if json {
                    println!("{}", serde_json::to_string(&verified).unwrap_or_default());
                } else {
                    println!(
                        "sound: {} runs, {} versions of reads, {} pictures, {} hits, {} events; {} unsent, {} uploaded; \
                         {} records in the audit chain, {} of them flagged",
                        verified.runs,
                        verified.reads,
                        verified.pictures,
                        verified.hits,
                        verified.events,
                        verified.unsent,
                        verified.uploaded,
                        verified.deeds,
                        verified.flagged
                    );
                    println!("this unit signs with {}", archive.signer()?);
                }
            }
            Command::Export { why, bundle: Some(folder), national, .. } => {
                let deed = why.deed(&archive, &format!("an evidence bundle{}", told(national)))?;
                let lines = archive.export_bundle(&folder, &deed, sizes(national))?;
                eprintln!("{lines} records and their pictures are in {}", folder.display());
                eprintln!("signed by {}", archive.signer()?);
            }
            Command::Export { why, out: Some(folder), national, .. } => {
                archive.note(why.deed(&archive, &format!("a folder with pictures{}", told(national)))?)?;
                let lines = archive.export_folder(&folder, sizes(national))?;
                eprintln!("{lines} lines and their pictures are in {}", folder.display());
            }
            Command::Export { why, csv, .. } => {
                archive.note(why.deed(&archive, if csv { "CSV" } else { "JSON lines" })?)?;
                let mut out = std::io::BufWriter::new(std::io::stdout().lock());
                let exported = if csv { archive.export_csv(&mut out) } else { archive.export_jsonl(&mut out) };
                match exported {
                    // Nobody listens any more.
                    Err(fault) if fault.is_broken_pipe() => return Ok(()),
                    exported => exported?,
                };
                crate::cli::printed(out.flush())?;
            }
            Command::Search { why, mark, json } => {
                let parsed = Mark::parse(&mark).map_err(|why| {
                    Fault::new(Kind::Usage, format!("{mark:?} is neither a VRM nor a pattern")).because(why)
                })?;
                let deed = why.deed(&archive, Right::Reads, Act::Searched, "the reads")?;
                let deed = Deed { plate: Some(parsed.to_string()), ..deed };
                if archive.note(deed)? {
                    eprintln!("{AGAIN}");
                }
                for passed in archive.passed(parsed.fitting())? {
                    super::hotlist::print_passed(&passed, json);
                }
            }
            Command::Heads => {
                let chain = archive.chain()?;
                let (vault, signer) = (format!("{:016x}", chain.vault), hex::encode(&chain.signer));
                println!("{}", serde_json::json!({"vault": vault, "signer": signer}));
                for (number, hash) in (1_u64..).zip(&chain.hashes) {
                    println!("{}", serde_json::json!({"number": number, "hash": hex::encode(hash)}));
                }
            }
            Command::Audit { json, by } => {
                by.admitted(&archive, Right::Audit, "outrider journal audit")?;
                for deed in archive.deeds()? {
                    if json {
                        println!("{}", serde_json::to_string(&deed).unwrap_or_default());
                    } else if deed.utc.is_empty() {
                        println!("{:>6}  its time is over: only its hash is left", deed.number);
                    } else {
                        let case = if deed.case.is_empty() { String::new() } else { format!(", case {}", deed.case) };
                        let flag = if deed.flagged { "  FLAG: again and again without a case" } else { "" };
                        println!(
                            "{:>6}  {}  {:<9} {}: {}{case}  {}{flag}",
                            deed.number, deed.utc, deed.act, deed.who, deed.reason, deed.detail
                        );
                    }
                }
            }
            Command::Purge {
                keep_reads_h,
                keep_hits_h,
                longest_hits_h,
                keep_unsent_h,
                keep_events_h,
                no_office,
                keep_audit_h,
                by,
                report,
            } => {
                let who = by.admitted(&archive, Right::Upkeep, "outrider journal purge")?;
                let utc = RealClock::shared().utc();
                if !archive.believes(utc)? {
                    return Err(Fault::new(Kind::Unavailable, "this machine's clock is wrong, nothing was purged")
                        .because(format!(
                            "it says {}, which is before units existed or before what the journal holds",
                            utc.format("%Y-%m-%d")
                        ))
                        .remedy("Set the clock, then try again"));
                }
                let deed = Deed::of_the_unit(Act::Purged, "outrider journal purge", String::new(), now());
                archive.note(Deed { who, ..deed })?;
                let hours = config::Journal {
                    keep_reads_h,
                    keep_hits_h,
                    longest_hits_h,
                    keep_unsent_h,
                    keep_events_h,
                    keep_audit_h,
                    ..config::Journal::default()
                };
                let told = archive.purge_and_tell(When { utc, trusted: false }, &Keep::new(hours, !no_office))?;
                let purged = told.purged;
                println!(
                    "purged {} passes and {} hits ({} of them never sent), and {} events",
                    purged.reads, purged.hits, purged.unsent, purged.events
                );
                if report {
                    println!(
                        "  reads without a hit, after {keep_reads_h} h: {} passes, {} pictures",
                        purged.reads, told.pictures
                    );
                    println!("  hits, after {keep_hits_h} h: {}", purged.hits);
                    println!("  verdicts, faults and notes, after {keep_events_h} h: {}", purged.events);
                    println!("  never sent, given up after {keep_unsent_h} h: {}", purged.unsent);
                    println!(
                        "  kept beyond {keep_reads_h} h: {} passes for a hit, {} for the office",
                        told.pinned, told.waiting
                    );
                    let (pictures, unsent) = archive.given_up_for_room()?;
                    println!(
                        "  for want of room, since the journal began: {pictures} pictures of reads without a hit, {unsent} of \
                         them never sent; see outrider journal audit"
                    );
                    for (what, day) in &told.keys {
                        println!("  destroyed the key of the {what} of {day}");
                    }
                }
            }
        }
        Ok(())
    }
}

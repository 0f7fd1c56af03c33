//! `outrider hotlist`: the lists that the car carries.

use std::path::PathBuf;

use super::journal::AGAIN;
use super::person::PinFile;
use super::unlock::Unlock;
use crate::clock::RealClock;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{Applied, Entry, FILE, Hotlist as Store, ImportOptions, Mark, Precision, Priority};
use crate::journal::{Act, Archive, Deed, Passed, lists_seal};
use crate::people::Right;
use crate::plate::Vrm;
use crate::sync::identity::lists_key;
use crate::tag::When;

/// Import, apply, list and look up hotlists.
///
/// Example: outrider hotlist import --data /var/lib/outrider --list stolen stolen.csv
///
/// The unit must not be running on the same data folder. The lists are sealed with the journal's key, which unlocks them here
/// as it does for outrider journal. Where people are set up in the car, import, add, remove and lookup need --who and a PIN.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Hotlist {
    /// The unit's data folder
    #[arg(long, global = true, value_name = "FOLDER", default_value = ".")]
    data: PathBuf,
    /// Collar number of whoever does it, for the audit chain
    #[arg(long, global = true, value_name = "NUMBER")]
    who: Option<String>,
    #[command(flatten)]
    pin: PinFile,
    #[command(flatten)]
    unlock: Unlock,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Replace a list by a CSV file: headered columns in any order, or the 16 columns without header
    ///
    /// Example: outrider hotlist import --data /var/lib/outrider --list stolen stolen.csv
    #[command(verbatim_doc_comment)]
    Import {
        /// The list's id
        #[arg(long, value_name = "ID")]
        list: String,
        /// Its name for people; default: as before
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// How it is to be used, TOML: owner, priority, thresholds, covert, hours, area ...; default: as before
        #[arg(long, value_name = "FILE")]
        settings: Option<PathBuf>,
        /// Only report what the file holds
        #[arg(long)]
        dry_run: bool,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
        /// The file
        file: PathBuf,
    },
    /// Take up an entry of the crew's own, and say where the vehicle was seen already
    ///
    /// Example: outrider hotlist add --data /var/lib/outrider --reason "made off without paying" --expires 12h AB12CDE
    #[command(verbatim_doc_comment)]
    Add {
        /// Why the vehicle is wanted
        #[arg(long)]
        reason: String,
        /// Until when it counts: hours from now ("8h"), or a day ("2026-12-24", its end)
        #[arg(long, value_name = "WHEN")]
        expires: String,
        /// What the crew should do
        #[arg(long, default_value = "")]
        action: String,
        /// How urgent: high, medium or low
        #[arg(long, default_value = "medium")]
        priority: String,
        /// Print JSON: the list, and a line for each vehicle that passed
        #[arg(long)]
        json: bool,
        /// The VRM, or a pattern: ? for one character, * for any number
        mark: String,
        /// The number of the case that it is for
        #[arg(long, value_name = "NUMBER")]
        case: Option<String>,
    },
    /// Take an entry of the crew's own off again
    ///
    /// Example: outrider hotlist remove --data /var/lib/outrider --reason "paid after all" AB12CDE
    #[command(verbatim_doc_comment)]
    Remove {
        /// Why it is taken off
        #[arg(long)]
        reason: String,
        /// The VRM or pattern, as it was taken up
        mark: String,
    },
    /// Apply a revision that an office has signed
    ///
    /// Example: outrider hotlist apply --data /var/lib/outrider --identity identity-car-01 stolen.list
    #[command(verbatim_doc_comment)]
    Apply {
        /// The folder with this car's identity, which has the office's key
        #[arg(long, value_name = "FOLDER")]
        identity: PathBuf,
        /// The revision's file
        file: PathBuf,
    },
    /// The lists, their revisions, entries and age
    ///
    /// Example: outrider hotlist status --data /var/lib/outrider
    #[command(verbatim_doc_comment)]
    Status {
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// The pairs of read and entry that were judged wrong and are silent, and until when
    ///
    /// Example: outrider hotlist silenced --data /var/lib/outrider
    #[command(verbatim_doc_comment)]
    Silenced {
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// What the lists say of a VRM
    ///
    /// Example: outrider hotlist lookup --data /var/lib/outrider "AB12 CDE"
    #[command(verbatim_doc_comment)]
    Lookup {
        /// The VRM, spaces or not
        vrm: String,
        /// Why, in a few words: needed where people are set up
        #[arg(long, value_name = "WORDS")]
        reason: Option<String>,
        /// The number of the case that it is for
        #[arg(long, value_name = "NUMBER")]
        case: Option<String>,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    /// Whether it may be the first that is heard of lists in a folder. An empty store made in a wrong folder would say of every
    /// vehicle that nobody looks for it.
    fn begins(&self) -> bool {
        matches!(self, Self::Import { .. } | Self::Add { .. } | Self::Apply { .. })
    }

    /// What somebody must be allowed to do for it, and what it is called on record. Lists that an office signed and what is
    /// said of lists as a whole need nobody.
    fn asks(&self) -> Option<(Right, &'static str)> {
        Some(match self {
            Self::Import { dry_run: false, .. } => (Right::Entries, "outrider hotlist import"),
            Self::Add { .. } => (Right::Entries, "outrider hotlist add"),
            Self::Remove { .. } => (Right::Entries, "outrider hotlist remove"),
            Self::Lookup { .. } | Self::Silenced { .. } => (Right::Reads, "outrider hotlist lookup"),
            Self::Import { .. } | Self::Apply { .. } | Self::Status { .. } => return None,
        })
    }
}

/// Prints a vehicle that passed.
pub(super) fn print_passed(passed: &Passed, json: bool) {
    let time = passed.utc.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    if json {
        let (lat, lon) = passed.place.unzip();
        println!(
            "{}",
            serde_json::json!({"passed": passed.id.to_string(), "text": passed.text, "utc": time, "camera": passed.camera, "lat": lat, "lon": lon})
        );
    } else {
        let place = passed.place.map_or_else(|| "no position".to_owned(), |(lat, lon)| format!("{lat:.5} {lon:.5}"));
        println!("passed {time}  {:<10} camera {}  {place}", passed.text, passed.camera);
    }
}

impl Hotlist {
    pub(super) fn run(self) -> Result<()> {
        let clock = RealClock::shared();
        let adds = matches!(self.command, Command::Add { .. });
        if !self.command.begins() && !self.data.join(FILE).exists() {
            return Err(Fault::new(Kind::Missing, "there are no lists here")
                .at(self.data.display())
                .remedy("Name the unit's data folder with --data, or import a list first"));
        }
        let key = self.unlock.key(&self.data)?;
        // Whoever may not, or cannot open the journal, learns it before anything is looked at or changed.
        let (who, journal) = match self.command.asks() {
            // An entry of the crew's is held against the reads of the journal, whoever takes it up.
            Some((right, command)) if adds || Archive::has_people(&self.data) != Some(false) => {
                self.pin.admit_to_lists(&self.data, &key, self.who.as_deref(), right, command)?
            }
            _ => (String::new(), None),
        };
        let seals = match &journal {
            Some(journal) => journal.lists_seal()?,
            None => lists_seal(&self.data, &key)?,
        };
        let open = |clock| Store::open_sealed(&self.data.join(FILE), &seals, clock);
        let when = When { utc: clock.utc(), trusted: false };
        let note = |act, reason: &str, case: Option<String>, mark: Option<String>, detail: &str| match &journal {
            Some(journal) => journal.note(Deed {
                act,
                who: who.clone(),
                reason: reason.into(),
                case,
                plate: mark,
                detail: detail.into(),
                when,
            }),
            None => Ok(false),
        };
        match self.command {
            Command::Import { list, name, settings, dry_run, json, file } => {
                let source = std::fs::File::open(&file)
                    .map_err(|error| Fault::io("cannot read the list", &file, error).remedy("Name a CSV file"))?;
                let size = source.metadata().map_or(0, |data| data.len());
                let settings = settings.as_deref().map(crate::cli::list_settings).transpose()?;
                let bar = crate::cli::bar(size);
                let watch = Some(crate::cli::watch(bar.clone()));
                let options = ImportOptions { name, settings, dry_run, watch, ..ImportOptions::default() };
                let report = open(clock)?.import(&list, source, &file, &options);
                bar.finish_and_clear();
                let report = report?;
                if !dry_run {
                    note(Act::Entered, "outrider hotlist import", None, None, &format!("the list {list}"))?;
                }
                crate::cli::print_report(&file, &report, json);
            }
            Command::Remove { reason, mark } => {
                let parsed = parse(&mark)?;
                if !open(clock.clone())?.remove_own(&parsed, &reason, clock.utc())? {
                    return Err(Fault::new(Kind::Missing, format!("the crew has no entry {parsed}"))
                        .remedy("Name it as it was taken up; outrider hotlist lookup shows what is listed"));
                }
                note(Act::Entered, &reason, None, Some(parsed.to_string()), "an entry taken off the crew's list")?;
                println!("{parsed} is taken off the crew's list");
            }
            Command::Silenced { json } => {
                let now = clock.utc();
                for pair in open(clock)?.silent_pairs(now) {
                    if json {
                        println!("{}", serde_json::to_string(&pair).unwrap_or_default());
                    } else {
                        let until = pair.until.format("%Y-%m-%d %H:%M UTC");
                        println!("{} of {}, read as {}: silent until {until}", pair.mark, pair.list, pair.text);
                    }
                }
            }
            Command::Add { reason, expires, action, priority, json, mark, case } => {
                let wrong = |what: String, remedy: &str| Fault::new(Kind::Usage, what).remedy(remedy);
                let parsed = parse(&mark)?;
                let now = when.utc;
                let expires = crate::cli::until(&expires, now).ok_or_else(|| {
                    wrong(format!("{expires:?} is not a time"), "Say hours, such as 8h, or a day, such as 2026-12-24")
                })?;
                let priority = Priority::parse(&priority)
                    .ok_or_else(|| wrong(format!("{priority:?} is no priority"), "Use high, medium or low"))?;
                let detail = "an entry on the crew's list; the reads were looked through for it";
                note(Act::Entered, &reason, case, Some(parsed.to_string()), detail)?;
                let fits = parsed.fitting();
                let entry = Entry {
                    reason,
                    action,
                    priority,
                    added: Some(now),
                    confirmed: Some(now),
                    expires: Some(expires),
                    ..Entry::bare(parsed)
                };
                let list = open(clock)?.add_own(entry, now)?;
                let passed = journal.as_ref().map_or(Ok(Vec::new()), |journal| journal.passed(fits))?;
                if json {
                    println!("{}", serde_json::to_string(&list).unwrap_or_default());
                } else {
                    println!(
                        "taken up until {}; the crew's list has {} entries",
                        expires.format("%Y-%m-%d %H:%M UTC"),
                        list.count
                    );
                }
                for passed in passed {
                    print_passed(&passed, json);
                }
            }
            Command::Apply { identity, file } => {
                let bytes =
                    std::fs::File::open(&file).map_err(|error| Fault::io("cannot read the revision", &file, error))?;
                let bytes = std::io::BufReader::with_capacity(1 << 20, bytes);
                let store = open(clock)?;
                store.trust(vec![lists_key(&identity)?]);
                match store.apply(bytes, None).map_err(|fault| fault.at(file.display()))? {
                    Applied::Replaced { list, revision, count } => {
                        println!("{list} is replaced: revision {revision}, {count} entries");
                    }
                    Applied::Changed { list, revision, count, changed } => {
                        println!("{list} is changed in {changed} places: revision {revision}, {count} entries");
                    }
                    Applied::Held { list, revision } => println!("{list} is at revision {revision} already"),
                }
            }
            Command::Status { json } => {
                let now = clock.utc();
                let store = open(clock)?;
                for list in store.status() {
                    let precision = store.precision(&list.id, now)?;
                    if json {
                        let mut line = serde_json::to_value(&list).unwrap_or_default();
                        line["precision"] = serde_json::to_value(precision).unwrap_or_default();
                        println!("{line}");
                        continue;
                    }
                    println!(
                        "{:<20} revision {:<14} {:>9} entries  produced {}  {} old  {}{}",
                        list.id,
                        list.revision,
                        list.count,
                        list.produced.format("%Y-%m-%d %H:%M"),
                        crate::alert::ago(list.age(now)),
                        judged(&precision),
                        if list.settings.covert { "  covert" } else { "" },
                    );
                }
            }
            Command::Lookup { vrm, reason, case, json } => {
                let parsed = Vrm::parse(&vrm)
                    .map_err(|why| Fault::new(Kind::Usage, format!("{vrm:?} is not a VRM")).because(why))?;
                let asked = journal.as_ref().is_some_and(|journal| journal.set_up().is_set_up());
                if asked && reason.as_ref().is_none_or(|reason| reason.trim().is_empty()) {
                    return Err(Fault::new(Kind::Usage, "it is not said why the vehicle is looked up")
                        .remedy("Say it with --reason: it goes on record"));
                }
                let reason = reason.unwrap_or_default();
                if note(Act::Searched, &reason, case, Some(parsed.to_string()), "the lists")? {
                    eprintln!("{AGAIN}");
                }
                let found = open(clock)?.lookup(&parsed)?;
                for (list, entry) in &found {
                    if json {
                        println!("{}", serde_json::json!({"list": list.id, "revision": list.revision, "entry": entry}));
                    } else {
                        println!(
                            "{} in {} (revision {}): {}, priority {}, {} {} {}{}",
                            entry.vrm,
                            list.id,
                            list.revision,
                            entry.reason,
                            entry.priority,
                            entry.colour,
                            entry.make,
                            entry.model,
                            if entry.action.is_empty() { String::new() } else { format!(", {}", entry.action) }
                        );
                    }
                }
                if found.is_empty() && !json {
                    println!("{parsed} is on no list");
                }
            }
        }
        Ok(())
    }
}

fn parse(mark: &str) -> Result<Mark> {
    Mark::parse(mark)
        .map_err(|why| Fault::new(Kind::Usage, format!("{mark:?} is neither a VRM nor a pattern")).because(why))
}

/// What the crew found of a list's hits.
fn judged(precision: &Precision) -> String {
    let Precision { true_hits, false_hits, not_found, silenced } = *precision;
    match precision.share() {
        None if not_found == 0 => "no hit judged".to_owned(),
        None => format!("{not_found} hits not found"),
        Some(share) => format!(
            "{:.0} % of hits true ({true_hits} true, {false_hits} false, {not_found} not found; {silenced} pairs silent)",
            share * 100.0
        ),
    }
}

//! `outrider-office amend|changes|crews`: small changes of lists, who made them, and what crews made known of lists.

use std::path::PathBuf;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use crate::cli::until;
use crate::clock::Shared;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{self, Entry, Judgement, Mark, Priority, Said};
use crate::office::{self, Order};

/// Set or take off some entries of a published list: connected cars get the change at once
///
/// Examples:
///   outrider-office amend --data office --list stolen --by "Sgt Example" --why "recovered 14:02, stand down" --remove AB12CDE
///   outrider-office amend --data office --list stolen --by "Sgt Example" --why "reported 13:50" --set CD34EFG --reason stolen
///
/// A VRM or pattern that is set has this entry from then on, and no others. An alert that a car shows of an entry that is
/// taken off turns grey and says why.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Amend {
    /// The office's folder
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// The list's id
    #[arg(long, value_name = "ID")]
    list: String,
    /// Who wants it; goes on record
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Why; goes on record, and crews are told it of what is taken off
    #[arg(long, value_name = "WORDS")]
    why: String,
    /// A VRM or pattern to take off; may be repeated
    #[arg(long = "remove", value_name = "VRM")]
    remove: Vec<String>,
    /// A VRM or pattern to set, of which the options below say more
    #[arg(long, value_name = "VRM")]
    set: Option<String>,
    /// Entries to set, CSV with a header as for publish
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// An entry of a crew's to adopt, by its id as outrider-office crews shows it; may be repeated
    #[arg(long = "adopt", value_name = "ID")]
    adopt: Vec<String>,
    /// Why the vehicle is wanted
    #[arg(long, requires = "set")]
    reason: Option<String>,
    /// What the crew should do
    #[arg(long, requires = "set")]
    action: Option<String>,
    /// How urgent: high, medium or low
    #[arg(long, requires = "set")]
    priority: Option<String>,
    /// Make of the vehicle
    #[arg(long, requires = "set")]
    make: Option<String>,
    /// Its model
    #[arg(long, requires = "set")]
    model: Option<String>,
    /// Its colour
    #[arg(long, requires = "set")]
    colour: Option<String>,
    /// Warning markers
    #[arg(long, requires = "set")]
    markers: Option<String>,
    /// Anything for the crew to read
    #[arg(long, requires = "set")]
    note: Option<String>,
    /// Until when it counts: hours from now ("8h"), or a day ("2026-12-24", its end)
    #[arg(long, value_name = "WHEN", requires = "set")]
    expires: Option<String>,
    /// Print one JSON object on standard output and nothing else
    #[arg(long)]
    json: bool,
}

/// Who changed which list, when and why
///
/// Example: outrider-office changes --data office --list stolen
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Changes {
    /// The office's folder
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Only this list
    #[arg(long, value_name = "ID")]
    list: Option<String>,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

/// What crews made known of lists: entries of their own, and hits that they found wrong
///
/// Example: outrider-office crews --data office
///
/// An entry is adopted into a list with outrider-office amend --adopt ID.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Crews {
    /// The office's folder
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Also the hits that were found right, or whose vehicle was not found
    #[arg(long)]
    all: bool,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

impl Amend {
    pub(super) fn run(self, clock: Shared) -> Result<()> {
        let mark = |text: &String| {
            Mark::parse(text)
                .map_err(|why| Fault::new(Kind::Usage, format!("{text:?} is neither a VRM nor a pattern")).because(why))
        };
        let remove = self.remove.iter().map(mark).collect::<Result<Vec<_>>>()?;
        let mut set = Vec::new();
        if let Some(path) = &self.sheet {
            let file = std::fs::File::open(path).map_err(|error| Fault::io("cannot read the entries", path, error))?;
            let (entries, refused) = hotlist::entries(file, path)?;
            if let Some(first) = refused.first() {
                // A change is exactly what was meant, or nothing.
                return Err(Fault::new(Kind::Damaged, "not every line can be used, nothing was changed")
                    .at(format!("{}:{}", path.display(), first.line))
                    .because(first.reason.clone())
                    .remedy("Correct the line"));
            }
            set = entries;
        }
        if let Some(text) = &self.set {
            set.push(self.entry(mark(text)?, &clock)?);
        }
        let order = Order { list: self.list, set, remove, adopt: self.adopt, by: self.by, why: self.why };
        let amended = office::amend(&self.data, &order, clock)?;
        if self.json {
            println!(
                "{}",
                json!({"list": order.list, "revision": amended.revision, "count": amended.count, "whole": amended.whole})
            );
        } else {
            println!(
                "{} is at revision {}, {} entries{}",
                order.list,
                amended.revision,
                amended.count,
                if amended.whole { "; the whole list was handed over, too" } else { "" }
            );
        }
        Ok(())
    }

    /// The entry that the options make.
    fn entry(&self, mark: Mark, clock: &Shared) -> Result<Entry> {
        let text = |option: &Option<String>| option.clone().unwrap_or_default();
        let wrong = |what: String, remedy: &str| Fault::new(Kind::Usage, what).remedy(remedy);
        if self.reason.as_ref().is_none_or(|reason| reason.trim().is_empty()) {
            return Err(wrong(format!("{mark} has no reason"), "Say with --reason why the vehicle is wanted"));
        }
        let priority = match &self.priority {
            None => Priority::default(),
            Some(text) => Priority::parse(text)
                .ok_or_else(|| wrong(format!("{text:?} is no priority"), "Use high, medium or low"))?,
        };
        let expires = match &self.expires {
            None => None,
            Some(text) => Some(until(text, clock.utc()).ok_or_else(|| {
                wrong(format!("{text:?} is not a time"), "Say hours, such as 8h, or a day, such as 2026-12-24")
            })?),
        };
        Ok(Entry {
            reason: text(&self.reason),
            action: text(&self.action),
            make: text(&self.make),
            model: text(&self.model),
            colour: text(&self.colour),
            markers: text(&self.markers),
            note: text(&self.note),
            priority,
            expires,
            ..Entry::bare(mark)
        })
    }
}

impl Changes {
    pub(super) fn run(self) -> Result<()> {
        let changes = office::changes(&self.data)?;
        for change in changes.iter().filter(|change| self.list.as_ref().is_none_or(|list| *list == change.list)) {
            if self.json {
                println!("{}", serde_json::to_string(change).unwrap_or_default());
                continue;
            }
            let marks = |word: &str, marks: &[String]| match marks {
                [] => String::new(),
                marks => format!("  {word} {}", marks.join(" ")),
            };
            println!(
                "{}  {:<16} revision {}  {}: {}{}{}",
                change.utc.format("%Y-%m-%d %H:%M:%S UTC"),
                change.list,
                change.revision,
                if change.by.is_empty() { "nobody said who" } else { &change.by },
                change.why,
                marks("set", &change.set),
                marks("removed", &change.removed)
            );
        }
        Ok(())
    }
}

impl Crews {
    pub(super) fn run(self) -> Result<()> {
        for stated in office::crews(&self.data)? {
            let line = match &stated.statement {
                Err(why) => json!({"said": "unknown", "why": why}),
                Ok(statement) => match &statement.said {
                    Said::Found { judgement: Judgement::True | Judgement::NotFound, .. } if !self.all => continue,
                    Said::Found { list, mark, text, judgement } => {
                        json!({"said": "found", "list": list, "vrm": mark, "read_as": text, "found": judgement})
                    }
                    Said::Removal { mark, why } => json!({"said": "removal", "vrm": mark, "why": why}),
                    Said::Entry(entry) => json!({"said": "entry", "entry": entry}),
                },
            };
            let at = stated.statement.as_ref().map_or(stated.received, |statement| statement.utc);
            if self.json {
                let head = json!({
                    "id": stated.id,
                    "unit": stated.unit,
                    "utc": at.to_rfc3339_opts(SecondsFormat::Secs, true),
                    "received": stated.received.to_rfc3339_opts(SecondsFormat::Secs, true),
                });
                println!("{}", joined(head, line));
                continue;
            }
            let words = match stated.statement.as_ref().map(|statement| &statement.said) {
                Err(why) => format!("cannot be understood: {why}"),
                Ok(Said::Entry(entry)) => format!(
                    "own entry {}: {}{}",
                    entry.vrm,
                    entry.reason,
                    entry
                        .expires
                        .map_or_else(String::new, |until| until.format(", until %Y-%m-%d %H:%M UTC").to_string())
                ),
                Ok(Said::Removal { mark, why }) => format!("own entry {mark} taken off: {why}"),
                Ok(Said::Found { list, mark, text, judgement }) => format!(
                    "{mark} of {list}, read as {text}: {}",
                    match judgement {
                        Judgement::True => "right",
                        Judgement::False => "wrong",
                        Judgement::Outdated => "the entry is out of date",
                        Judgement::NotFound => "not found",
                    }
                ),
            };
            println!("{}  {}  {:<12} {words}", stated.id, at.format("%Y-%m-%d %H:%M UTC"), stated.unit);
        }
        Ok(())
    }
}

/// The fields of one object, then those of another.
fn joined(mut head: Value, tail: Value) -> Value {
    if let (Some(head), Value::Object(tail)) = (head.as_object_mut(), tail) {
        head.extend(tail);
    }
    head
}

//! `outrider-office retention|purge`: how long the office keeps things.

use std::path::PathBuf;

use crate::clock::Clock;
use crate::fault::Result;
use crate::office::{self, Retention};

/// How long the office keeps who changed which list; or set it
///
/// Examples:
///   outrider-office retention --data office
///   outrider-office retention --data office --keep-changes-h 8760 --by "Insp Example" --why "force policy 4.2"
///
/// The record of changes names vehicles and people: each line goes when its time is over, two years where nothing else is set.
/// The service sees to that every hour. What was set, and how much went when, is on record itself (--record), without names of
/// vehicles, for good.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Keep {
    /// The office's folder
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Keep who changed which list for so many hours from now on; what is older goes at once
    #[arg(long, value_name = "HOURS", requires_all = ["by", "why"])]
    keep_changes_h: Option<u32>,
    /// Who wants it; goes on record
    #[arg(long, value_name = "NAME", requires = "keep_changes_h")]
    by: Option<String>,
    /// Why; goes on record
    #[arg(long, value_name = "WORDS", requires = "keep_changes_h")]
    why: Option<String>,
    /// What was set and what went, instead
    #[arg(long, conflicts_with = "keep_changes_h")]
    record: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "keep_changes_h")]
    json: bool,
}

/// Delete what is beyond its retention now; the service does it every hour
///
/// Example: outrider-office purge --data office --by "Insp Example" --why "audit"
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Purge {
    /// The office's folder
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Who wants it; goes on record
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Why; goes on record
    #[arg(long, value_name = "WORDS")]
    why: String,
}

impl Keep {
    pub(super) fn run(self, clock: &dyn Clock) -> Result<()> {
        if let (Some(keep_changes_h), Some(by), Some(why)) = (self.keep_changes_h, &self.by, &self.why) {
            let gone = office::set_retention(&self.data, Retention { keep_changes_h }, by, why, clock)?;
            println!("Changes of lists are kept for {keep_changes_h} hours; {gone} were older, and are deleted.");
        } else if self.record {
            for line in office::retention_changes(&self.data)? {
                if self.json {
                    println!("{}", serde_json::to_string(&line).unwrap_or_default());
                } else {
                    println!("{}  {}: {}: {}", line.utc.format("%Y-%m-%d %H:%M UTC"), line.by, line.why, line.what);
                }
            }
        } else {
            let retention = office::retention(&self.data)?;
            if self.json {
                println!("{}", serde_json::to_string(&retention).unwrap_or_default());
            } else {
                println!("Changes of lists are kept for {} hours.", retention.keep_changes_h);
            }
        }
        Ok(())
    }
}

impl Purge {
    pub(super) fn run(self, clock: &dyn Clock) -> Result<()> {
        let gone = office::purge(&self.data, &self.by, &self.why, clock)?;
        println!("{gone} changes of lists are deleted.");
        Ok(())
    }
}

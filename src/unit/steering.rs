//! What the office set in this car: where it counts, and where the crew sees it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::clerk::clock_time;
use super::desk::Tools;
use crate::alert::ago;
use crate::clock;
use crate::config::Budgets;
use crate::screen::{Notice, StatusItem};
use crate::settings::Handed;
use crate::sync::Pace;

/// Their name on the strip.
const NAME: &str = "Settings";
/// The word for a car in which the office has set nothing.
const OWN: &str = "own";

impl Tools {
    /// What the office set, if this car takes it. No disk is waited for.
    pub(super) fn settings(&self) -> Option<Arc<Handed>> {
        self.journal.as_ref().filter(|_| self.heeds).and_then(|journal| journal.archive().settings())
    }

    /// After so long whoever has signed on is signed off.
    pub(super) fn shift_lasts(&self) -> Duration {
        let own = self.longest_shift;
        self.settings().map_or(own, |set| set.values.longest_shift(own))
    }

    /// From which age on a list speaks against its hits, where that is earlier than usual.
    pub(super) fn lists_stale(&self) -> Option<Duration> {
        self.settings().and_then(|set| set.values.lists_stale())
    }

    /// How often the office hears how the car is.
    pub(super) fn pace(&self) -> Pace {
        self.settings().map_or_else(Pace::default, |set| Pace::no_faster(set.values.health(), set.values.position()))
    }

    /// What may be spent on metered networks.
    pub(super) fn spend(&self) -> Budgets {
        self.settings().map_or(self.budgets, |set| set.values.budgets(self.budgets))
    }

    /// The office's words for the crew, with when they were said.
    pub(super) fn notice(&self, utc: DateTime<Utc>) -> Notice {
        self.settings().map_or_else(Notice::default, |set| match set.values.notice() {
            Some(text) => {
                Notice { head: format!("From the office, {}", clock_time(set.made, utc)), text: text.to_owned() }
            }
            None => Notice::default(),
        })
    }

    /// That the office asks for a drill, where it does and none was for so long.
    pub(super) fn drill_due(&self, utc: DateTime<Utc>) -> Option<StatusItem> {
        let every = self.settings()?.values.drill()?;
        let last = self.journal.as_ref()?.archive().drilled();
        // A clock that was never set knows of no days.
        let age = last.map(|last| (utc - last).to_std().unwrap_or_default());
        if !clock::plausible(utc) || age.is_some_and(|age| age < every) {
            return None;
        }
        let last =
            age.map_or_else(|| "none is known of here".to_owned(), |age| format!("the last was {} ago", ago(age)));
        let days = every.as_secs() / 86_400;
        let days = if days == 1 { "day".to_owned() } else { format!("{days} days") };
        let detail = format!("the office asks for a drill every {days}; {last}. Menu, Shift and drill");
        Some(StatusItem::warn("Drill", "due", detail))
    }

    /// How the settings are, where there is an office that may set some.
    pub(super) fn settings_item(&self) -> Option<StatusItem> {
        let archive = self.journal.as_ref().filter(|_| self.heeds)?.archive();
        let set = archive.settings();
        let stands = set
            .as_ref()
            .map_or_else(|| "nothing is set".to_owned(), |set| format!("set by the office, {}", set.words()));
        Some(match archive.settings_refused() {
            Some(why) => StatusItem::warn(NAME, "refused", format!("{why} What stands: {stands}")),
            None if is_anything(set.as_deref()) => StatusItem::ok(NAME, "office", stands),
            None => StatusItem::ok(NAME, OWN, stands),
        })
    }

    /// The same for the page Health, once the office has set something.
    pub(super) fn settings_figure(&self) -> Option<StatusItem> {
        let set = self.settings()?;
        let count = match set.values.len() {
            0 => "nothing".to_owned(),
            1 => "1 setting".to_owned(),
            n => format!("{n} settings"),
        };
        Some(StatusItem::ok("Set by the office", count, format!("revision {}", set.revision)))
    }
}

/// Whether there is something to say of what the office set.
fn is_anything(set: Option<&Handed>) -> bool {
    set.is_some_and(|set| !set.values.is_empty() || !set.unknown.is_empty())
}

/// Whether an item is that of a car in which nothing is set, which everybody takes for granted.
pub(super) fn is_own(item: &StatusItem) -> bool {
    item.name == NAME && item.word == OWN
}

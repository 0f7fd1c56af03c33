//! What becomes of alerts when the lists change under them.

use super::{Worker, list_and_mark};
use crate::alert::{Alert, Standing};
use crate::hotlist::{self, OWN};
use crate::unit::clerk::clock_time;

impl Worker {
    /// Withdraws the alerts whose entries are on no list any more, or mean something else, once the lists have changed. The crew
    /// hears and sees it; nothing goes silently.
    pub(in crate::unit) fn stand_down(&mut self) {
        let Some(hotlist) = self.tools.hotlist.clone() else { return };
        self.heed_verdicts(&hotlist);
        let version = hotlist.version();
        if version == self.lists {
            return;
        }
        self.lists = version;
        let when = self.when();
        let time = if when.trusted { format!(" at {}", clock_time(when.utc, when.utc)) } else { String::new() };
        for alert in self.desk.queue() {
            if alert.standing != Standing::Open {
                continue;
            }
            let (list, mark) = list_and_mark(&alert);
            let Some(why) = gone(&hotlist, list, mark, &alert) else { continue };
            let who = match hotlist.status().into_iter().find(|head| head.id == list) {
                Some(head) if head.id == OWN => Some("the crew"),
                Some(head) if head.is_signed() => Some("the office"),
                _ => None,
            };
            let by = who.map(|who| format!("by {who}{time}"));
            let why = match by {
                Some(by) => format!("{by}: {why}"),
                None => format!("{why}{time}"),
            };
            for change in self.desk.withdraw(&alert.entry, &why, who) {
                if self.may_know(change.alert()) {
                    self.sound(change.alert(), self.tools.clock.now());
                }
            }
        }
    }
}

impl Worker {
    /// An alert that another crew has found false meanwhile is doubtful from then on.
    fn heed_verdicts(&mut self, hotlist: &hotlist::Hotlist) {
        let heard = hotlist.heard();
        if heard == self.heard {
            return;
        }
        self.heard = heard;
        let utc = self.when().utc;
        for alert in self.desk.queue() {
            let (list, mark) = list_and_mark(&alert);
            if let Some(verdict) = hotlist.verdict(list, mark, &alert.text, utc)
                && verdict.is_against()
            {
                self.desk.contradict(alert.id, &verdict.words());
            }
        }
    }
}

/// Why the entry that an alert rests on does not stand any more; `None`: it does.
fn gone(hotlist: &hotlist::Hotlist, list: &str, mark: &str, alert: &Alert) -> Option<String> {
    if let hotlist::Standing::Gone(why) = hotlist.standing(list, mark) {
        return Some(why);
    }
    // An entry that is there but says something else: an office may mark a vehicle as recovered instead of taking it off.
    let reasons = hotlist.reasons(list, mark);
    let same = |reason: &String| reason.is_empty() || reason.to_uppercase() == alert.headline;
    match reasons.first() {
        Some(now) if !reasons.iter().any(same) => Some(format!("now listed as {}", now.to_lowercase())),
        _ => None,
    }
}

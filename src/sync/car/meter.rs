//! What a network that costs money by the byte may carry today, of each kind that can wait. No input, no output: bytes and the
//! time go in.
//!
//! A day's budget is given once. The clock may be wrong, and jump: each day has an account of its own, days that have one keep
//! it, and a day before the one that was counted last begins with what that one has spent.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::clock::plausible;
use crate::config::Budgets;

/// So many days are remembered, those that were counted last.
const DAYS: usize = 64;

/// What is budgeted; everything else goes over any network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charge {
    /// Pictures of reads without a hit.
    Pictures,
    /// Pictures of reads with a hit.
    HitPictures,
    /// Whole lists.
    Lists,
}

impl Charge {
    /// Every kind, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Pictures, Self::HitPictures, Self::Lists];

    /// What it is, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Pictures => "pictures",
            Self::HitPictures => "pictures of hits",
            Self::Lists => "whole lists",
        }
    }
}

/// The account of one day, by [`Charge`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// Which day of UTC.
    pub day: NaiveDate,
    /// Bytes.
    pub spent: [u64; 3],
    /// Whether it has been said that the budget is spent.
    said: [bool; 3],
}

impl Day {
    fn new(day: NaiveDate) -> Self {
        Self { day, spent: [0; 3], said: [false; 3] }
    }
}

/// Counts and decides.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    budgets: [u64; 3],
    /// Whether the network that is used now costs by the byte.
    metered: bool,
    /// The one that counts last.
    days: Vec<Day>,
    /// Begun and not acknowledged.
    on_way: [u64; 3],
    /// What did not fit any more: what comes after it waits too, though it be smaller, so that the oldest goes first.
    full: [bool; 3],
    /// Budgets that are spent, and of which that is not said yet.
    news: Vec<Charge>,
    changed: bool,
}

impl Meter {
    /// One that goes on from these accounts, on a network that costs nothing until it is told otherwise.
    pub(crate) fn new(budgets: Budgets, days: Vec<Day>) -> Self {
        Self { budgets: budgets.bytes(), days, ..Self::default() }
    }

    /// Other budgets count from now on. Whether more may go than before.
    pub(crate) fn set_budgets(&mut self, budgets: Budgets) -> bool {
        let before = std::mem::replace(&mut self.budgets, budgets.bytes());
        if before == self.budgets {
            return false;
        }
        self.full = [false; 3];
        true
    }

    /// Which network is used now, and when that is. Whether more may go than before.
    pub(crate) fn tell(&mut self, metered: bool, utc: DateTime<Utc>) -> bool {
        let more = self.turn(utc) | (self.metered && !metered);
        self.metered = metered;
        if more {
            self.full = [false; 3];
        }
        more
    }

    pub(crate) fn is_metered(&self) -> bool {
        self.metered
    }

    /// Goes on to the account of this day.
    fn turn(&mut self, utc: DateTime<Utc>) -> bool {
        let day = utc.date_naive();
        // A clock that was never set tells no day: the last one goes on.
        if !plausible(utc) || self.days.last().is_some_and(|last| last.day == day) {
            return false;
        }
        let known = self.days.iter().position(|known| known.day == day);
        let account = match (known, self.days.last()) {
            (Some(known), _) => self.days.remove(known),
            (None, Some(last)) if day < last.day => Day { day, ..last.clone() },
            (None, _) => Day::new(day),
        };
        self.days.push(account);
        let beyond = self.days.len().saturating_sub(DAYS);
        self.days.drain(..beyond);
        self.changed = true;
        true
    }

    /// Whether something of this kind and size may be begun. The first of a day may, though it be larger than the budget: it
    /// would never go otherwise.
    pub(crate) fn may_begin(&mut self, charge: Charge, bytes: u64) -> bool {
        if !self.metered {
            return true;
        }
        let (which, budget) = (charge as usize, self.budgets[charge as usize]);
        let used = self.spent(charge) + self.on_way[which];
        let fits = used.saturating_add(bytes) <= budget || (used == 0 && budget > 0);
        if self.full[which] || !fits {
            self.full[which] = true;
            self.say(charge);
            return false;
        }
        true
    }

    /// Whether a whole list that can wait may come. Nobody knows before how small it is packed: it comes as long as something
    /// is left.
    pub(crate) fn may_fetch(&self) -> bool {
        !self.metered || self.spent(Charge::Lists) < self.budgets[Charge::Lists as usize]
    }

    /// Whether the next of this kind would have to wait.
    pub(crate) fn holds(&self, charge: Charge) -> bool {
        self.metered
            && match charge {
                Charge::Lists => !self.may_fetch(),
                _ => self.full[charge as usize] || self.budgets[charge as usize] == 0,
            }
    }

    /// So much is on its way from now on.
    pub(crate) fn begin(&mut self, charge: Charge, bytes: u64) {
        if self.metered {
            self.on_way[charge as usize] += bytes;
        }
    }

    /// It has arrived.
    pub(crate) fn end(&mut self, charge: Charge, bytes: u64) {
        if self.metered {
            let on_way = &mut self.on_way[charge as usize];
            *on_way = on_way.saturating_sub(bytes);
            self.spend(charge, bytes);
        }
    }

    /// What is on its way is so no longer; the connection has carried `sent` bytes since the oldest of it was begun, so that no
    /// more than that was spent.
    pub(crate) fn cut(&mut self, mut sent: u64) {
        for charge in [Charge::HitPictures, Charge::Pictures] {
            let bytes = std::mem::take(&mut self.on_way[charge as usize]).min(sent);
            sent -= bytes;
            self.spend(charge, bytes);
        }
        self.full = [false; 3];
    }

    /// So much has come of a whole list.
    pub(crate) fn came(&mut self, bytes: u64) {
        if self.metered {
            self.spend(Charge::Lists, bytes);
            if !self.may_fetch() {
                self.say(Charge::Lists);
            }
        }
    }

    fn spend(&mut self, charge: Charge, bytes: u64) {
        if bytes > 0 {
            let spent = &mut self.today().spent[charge as usize];
            *spent = spent.saturating_add(bytes);
            self.changed = true;
        }
    }

    fn say(&mut self, charge: Charge) {
        // That nothing of a kind is to go is no news.
        if self.budgets[charge as usize] > 0 && !std::mem::replace(&mut self.today().said[charge as usize], true) {
            self.changed = true;
            self.news.push(charge);
        }
    }

    /// The account that counts. Without a clock that was ever set it is that of no real day.
    fn today(&mut self) -> &mut Day {
        if self.days.is_empty() {
            self.days.push(Day::new(NaiveDate::default()));
        }
        let last = self.days.len() - 1;
        &mut self.days[last]
    }

    /// What is spent today, bytes.
    pub(crate) fn spent(&self, charge: Charge) -> u64 {
        self.days.last().map_or(0, |day| day.spent[charge as usize])
    }

    /// What may be spent a day, bytes.
    pub(crate) fn budget(&self, charge: Charge) -> u64 {
        self.budgets[charge as usize]
    }

    /// A budget that is spent, once a day.
    pub(crate) fn news(&mut self) -> Option<Charge> {
        self.news.pop()
    }

    /// The accounts, if they are others than when this was called before.
    pub(crate) fn changed(&mut self) -> Option<Vec<Day>> {
        std::mem::take(&mut self.changed).then(|| self.days.clone())
    }

    /// They could not be kept, and have to be another time.
    pub(crate) fn unkept(&mut self) {
        self.changed = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MB: u64 = 1_000_000;

    fn utc(day: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + day * 86_400, 0).expect("a time")
    }

    fn metered(pictures_mb: u32) -> Meter {
        let mut meter = Meter::new(Budgets { pictures_mb, ..Budgets::default() }, Vec::new());
        meter.tell(true, utc(0));
        meter
    }

    /// Sends pictures of 100 kB until no more fit; gives how many bytes that was.
    fn spend_all(meter: &mut Meter) -> u64 {
        let mut sent = 0;
        while meter.may_begin(Charge::Pictures, 100_000) {
            meter.begin(Charge::Pictures, 100_000);
            meter.end(Charge::Pictures, 100_000);
            sent += 100_000;
            assert!(sent < 1000 * MB, "there is no end");
        }
        sent
    }

    #[test]
    fn a_day_has_one_budget_and_the_next_day_another() {
        let mut meter = metered(1);
        assert_eq!(spend_all(&mut meter), MB);
        assert!(meter.holds(Charge::Pictures) && !meter.holds(Charge::HitPictures) && !meter.holds(Charge::Lists));
        assert_eq!((meter.news(), meter.news()), (Some(Charge::Pictures), None));
        assert!(!meter.tell(true, utc(0)) && spend_all(&mut meter) == 0);
        assert!(meter.tell(true, utc(1)), "more may go");
        assert!(!meter.holds(Charge::Pictures));
        assert_eq!((spend_all(&mut meter), meter.news()), (MB, Some(Charge::Pictures)));
    }

    #[test]
    fn a_clock_that_jumps_gives_no_budget_twice_and_takes_none_away_for_good() {
        let mut meter = metered(1);
        let mut day = |day| {
            meter.tell(true, utc(day));
            spend_all(&mut meter)
        };
        assert_eq!(day(0), MB);
        // Back and forth, as often as it likes.
        assert_eq!([-1, 0, -1, 0, -3, 0].map(&mut day), [0; 6]);
        assert_eq!(day(1), MB);
        // Ten years ahead and back, the second time past midnight: the day on which it comes back has what is left of the other.
        assert_eq!([3650, 1, 3650, 2, 3].map(&mut day), [MB, 0, 0, 0, MB]);
        // A clock that was set wrong for good: its days are days.
        assert_eq!([-40, -39, -38].map(&mut day), [0, MB, MB]);
        // One that was never set tells none.
        meter.tell(true, DateTime::UNIX_EPOCH);
        assert_eq!(spend_all(&mut meter), 0);
    }

    #[test]
    fn what_is_kept_goes_on_after_a_restart() {
        let mut meter = metered(2);
        meter.begin(Charge::Pictures, MB + MB / 2);
        meter.end(Charge::Pictures, MB + MB / 2);
        let days = meter.changed().expect("there is something to keep");
        assert_eq!(meter.changed(), None);
        let text = serde_json::to_string(&days).expect("text");
        let mut again =
            Meter::new(Budgets { pictures_mb: 2, ..Budgets::default() }, serde_json::from_str(&text).expect("read"));
        again.tell(true, utc(0));
        assert_eq!(spend_all(&mut again), MB / 2);
    }

    #[test]
    fn the_first_picture_of_a_day_goes_though_it_is_larger_than_the_budget_and_none_where_none_is_to_go() {
        let mut meter = metered(1);
        assert!(meter.may_begin(Charge::Pictures, 4 * MB));
        meter.begin(Charge::Pictures, 4 * MB);
        assert!(!meter.may_begin(Charge::Pictures, 1));
        let mut none = metered(0);
        assert!(none.holds(Charge::Pictures) && !none.may_begin(Charge::Pictures, 1));
        assert_eq!(none.news(), None, "that is no news");
    }

    #[test]
    fn a_smaller_picture_does_not_overtake_one_that_does_not_fit() {
        let mut meter = metered(1);
        meter.begin(Charge::Pictures, MB - 10);
        assert!(!meter.may_begin(Charge::Pictures, 11) && !meter.may_begin(Charge::Pictures, 1));
    }

    #[test]
    fn a_cut_costs_what_was_sent_and_no_more() {
        let mut meter = metered(1);
        meter.begin(Charge::Pictures, 400_000);
        meter.begin(Charge::HitPictures, 50_000);
        meter.cut(170_000);
        assert_eq!((meter.spent(Charge::HitPictures), meter.spent(Charge::Pictures)), (50_000, 120_000));
        assert_eq!(spend_all(&mut meter), 800_000, "what was not sent is there again");
    }

    #[test]
    fn nothing_counts_on_a_network_that_costs_nothing() {
        let mut meter = metered(1);
        assert_eq!(spend_all(&mut meter), MB);
        assert!(meter.tell(false, utc(0)), "more may go");
        assert!(meter.may_begin(Charge::Pictures, 90 * MB) && meter.may_fetch());
        meter.begin(Charge::Pictures, 90 * MB);
        meter.end(Charge::Pictures, 90 * MB);
        meter.came(900 * MB);
        assert_eq!((meter.spent(Charge::Pictures), meter.spent(Charge::Lists)), (MB, 0));
        assert!(!meter.tell(true, utc(0)) && !meter.may_begin(Charge::Pictures, 1));
    }

    #[test]
    fn other_budgets_count_at_once() {
        let mut meter = metered(1);
        spend_all(&mut meter);
        assert!(!meter.set_budgets(Budgets { pictures_mb: 1, ..Budgets::default() }), "the same ones");
        assert!(meter.set_budgets(Budgets { pictures_mb: 3, ..Budgets::default() }));
        assert_eq!(spend_all(&mut meter), 2 * MB);
    }

    proptest! {
        /// Whatever the clock does, no day that it names is worth more than one budget.
        #[test]
        fn so_many_days_so_many_budgets(jumps in prop::collection::vec(-20i64..20, 1..60)) {
            let mut meter = metered(1);
            let mut sent = spend_all(&mut meter);
            let mut days = std::collections::BTreeSet::from([0]);
            for day in jumps {
                meter.tell(true, utc(day));
                sent += spend_all(&mut meter);
                days.insert(day);
            }
            prop_assert!(sent <= days.len() as u64 * MB, "{sent} bytes in {} days", days.len());
        }
    }
}

//! Who may sign on in this car: the roll, and how often each typed a wrong PIN. Sealed like all else that names people.
//!
//! Wrong PINs are counted on disk before they are compared, and the wait after them is of time that this process has seen
//! pass: a restart begins it anew, and no clock that is set can shorten it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use prost::Message;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::archive::{Archive, CACHE, FILE, META, Trouble, get};
use super::chain::{self, Act, Deed};
use super::keyfile::Use;
use super::record::{StoredDeed, decode, encode};
use super::vault::Row;
use crate::clock::Moment;
use crate::fault::{Fault, Kind, Result};
use crate::people::{Person, Pin, PinHash, Role, Roll, number};
use crate::tag::When;

/// See [`Part`].
const PEOPLE: TableDefinition<u8, &[u8]> = TableDefinition::new("people");

/// Rows of [`PEOPLE`], both sealed.
#[derive(Clone, Copy)]
enum Part {
    Roll = 1,
    Tries = 2,
}

/// The number that says without a key that there is a roll.
const ASKS: &str = "people";

/// So many wrong PINs cost no wait.
const FREE: u32 = 2;
/// The wait after one more; it doubles with each further one up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(3600);

/// The roll as this car keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRoll {
    /// The people.
    pub roll: Roll,
    /// Whether the office handed it down; else it was made at the car.
    pub from_office: bool,
}

/// Who may sign on here.
#[derive(Debug, Clone, Default)]
pub enum SetUp {
    /// Nobody is set up: names are what people say.
    #[default]
    Nobody,
    /// These people.
    Roll(Arc<KeptRoll>),
    /// There is a roll, and it cannot be read: nobody can sign on.
    Damaged(Arc<Fault>),
}

impl SetUp {
    /// Whether people are set up, so that rights are asked for.
    pub fn is_set_up(&self) -> bool {
        !matches!(self, Self::Nobody)
    }
}

/// Somebody has signed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedOn {
    /// Collar number.
    pub number: String,
    /// The name; may be empty.
    pub name: String,
    /// What they are.
    pub role: Role,
}

/// Somebody could not sign on.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub fault: Fault,
    /// How long nobody can sign on with this number now.
    pub wait: Duration,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { fault, wait: Duration::ZERO }
    }
}

/// What of people an archive holds in memory.
#[derive(Debug, Default)]
pub(super) struct People {
    set_up: RwLock<SetUp>,
    /// When each last typed a wrong PIN in this process. Who is not named did at its start, if ever.
    tried: Mutex<HashMap<String, Moment>>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredKept {
    #[prost(bool, tag = "1")]
    from_office: bool,
    #[prost(bytes = "vec", tag = "2")]
    roll: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredTries {
    #[prost(map = "string, uint32", tag = "1")]
    failures: HashMap<String, u32>,
}

/// Makes the table.
pub(super) fn prepare(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(PEOPLE)?;
    Ok(())
}

/// The wait after so many wrong PINs.
fn wait(failures: u32) -> Duration {
    match failures.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(doubled) => FIRST.saturating_mul(1 << doubled.min(16)).min(LONGEST),
    }
}

impl Archive {
    /// Whether people are set up by the journal in `folder`, looked at without a key and without writing a byte; `None` if it
    /// cannot be looked at now, as while the unit runs.
    pub fn has_people(folder: &Path) -> Option<bool> {
        let path = folder.join(FILE);
        let look = || -> Result<bool, redb::Error> {
            let database = Database::builder().set_cache_size(CACHE).open_read_only(&path)?;
            Ok(get(&database.begin_read()?.open_table(META)?, ASKS)? != 0)
        };
        if path.exists() { look().ok() } else { Some(false) }
    }

    /// Who may sign on here, as it is known in memory: no disk is waited for.
    pub fn set_up(&self) -> SetUp {
        self.people.set_up.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads who may sign on. A roll that is damaged lets nobody in, and stops nothing else.
    pub(super) fn learn_people(&self) {
        let kept = self.read("cannot read who may sign on", |transaction| {
            let Some(kept) = self.part::<StoredKept>(transaction, Part::Roll)? else { return Ok(None) };
            let roll = Roll::decode(&kept.roll).map_err(Trouble::Damaged)?;
            Ok(Some(KeptRoll { roll, from_office: kept.from_office }))
        });
        self.know(match kept {
            Ok(None) => SetUp::Nobody,
            Ok(Some(kept)) => SetUp::Roll(Arc::new(kept)),
            Err(fault) => {
                tracing::error!("{fault}");
                SetUp::Damaged(Arc::new(fault))
            }
        });
    }

    /// Keeps `roll` in place of the one before. `deed` says who wants it and why. Wrong PINs of whoever has a new one are
    /// forgotten.
    ///
    /// # Errors
    /// The disk fails; or an office hands down an older roll than it did, or the car would take the place of the office.
    pub fn keep_roll(&self, roll: Roll, from_office: bool, deed: Deed) -> Result<()> {
        const WHAT: &str = "the roll of people cannot be changed";
        let before = match self.set_up() {
            SetUp::Roll(before) => Some(before),
            SetUp::Nobody | SetUp::Damaged(_) => None,
        };
        if let Some(before) = before.as_ref().filter(|before| before.from_office) {
            if !from_office {
                return Err(Fault::new(Kind::Denied, WHAT)
                    .because("the office hands it down")
                    .remedy("Have it changed there, with outrider-office people"));
            }
            if roll.revision <= before.roll.revision {
                return Err(Fault::new(Kind::Denied, WHAT)
                    .because(format!("revision {} is not newer than {}", roll.revision, before.roll.revision)));
            }
        }
        let same = |number: &str| {
            let pin = |roll: &Roll| roll.find(number).map(|person| person.pin.clone());
            before.as_ref().is_some_and(|before| pin(&before.roll) == pin(&roll))
        };
        self.write("cannot keep the roll of people", |transaction| {
            let mut tries: StoredTries = self.part_of(transaction, Part::Tries)?.unwrap_or_default();
            tries.failures.retain(|number, _| number.is_empty() || same(number));
            self.put(transaction, Part::Tries, &tries)?;
            self.put(transaction, Part::Roll, &StoredKept { from_office, roll: roll.encode() })?;
            transaction.open_table(META)?.insert(ASKS, 1)?;
            chain::append(transaction, &self.vault, vec![StoredDeed::of(deed, 0)])
        })?;
        self.know(SetUp::Roll(Arc::new(KeptRoll { roll, from_office })));
        Ok(())
    }

    /// How long nobody can sign on with this number now.
    ///
    /// # Errors
    /// The disk fails.
    pub fn wait_for(&self, text: &str, now: Moment) -> Result<Duration> {
        let SetUp::Roll(kept) = self.set_up() else { return Ok(Duration::ZERO) };
        let number = number(text).unwrap_or_default();
        let counted = kept.roll.find(&number).map_or("", |person| person.number.as_str());
        let tried = self.people.tried.lock().unwrap_or_else(PoisonError::into_inner);
        self.left(&tried, counted, now).map(|(_, left)| left)
    }

    /// How many wrong PINs there were in a row, and how much of the wait after them is left.
    fn left(&self, tried: &HashMap<String, Moment>, counted: &str, now: Moment) -> Result<(u32, Duration)> {
        let failures = self.tries()?.failures.get(counted).copied().unwrap_or(0);
        let since = now.since(tried.get(counted).copied().unwrap_or_default());
        Ok((failures, wait(failures).saturating_sub(since)))
    }

    /// Lets somebody sign on, `at` what for, or says why not; either is on record before this returns. Takes as long as a PIN
    /// costs to try, and waits for the disk. `now` is of the clock that began with this process.
    ///
    /// # Errors
    /// Number or PIN is wrong; there were too many wrong ones; the roll has run out; or the disk fails.
    pub fn sign_on(&self, text: &str, pin: &Pin, at: &str, when: When, now: Moment) -> Result<SignedOn, Refusal> {
        const WHAT: &str = "cannot sign on";
        // One at a time, so that nobody tries several PINs at once.
        let mut tried = self.people.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = match self.set_up() {
            SetUp::Roll(kept) => kept,
            SetUp::Nobody => {
                return Err(Fault::new(Kind::Missing, WHAT)
                    .because("nobody is set up in this car")
                    .remedy("See outrider people --help, or have the office hand the roll down")
                    .into());
            }
            SetUp::Damaged(fault) => {
                return Err(Fault::new(Kind::Damaged, WHAT)
                    .because(fault.to_string())
                    .remedy("Bring the car to where it reaches the office: a new roll is handed down")
                    .into());
            }
        };
        if let Some(expired) = kept.roll.expires.filter(|expires| self.is_past(*expires, when)) {
            return Err(Fault::new(Kind::Denied, WHAT)
                .because(format!("the roll of people ran out on {}", expired.format("%-d %B %Y at %H:%M UTC")))
                .remedy(
                    "Bring the car to where it reaches the office: a new roll is handed down. Alerts go on meanwhile",
                )
                .into());
        }
        let number = number(text).unwrap_or_default();
        let person = kept.roll.find(&number);
        // Numbers that are not on the roll wait together, so that they cannot be told from those that are.
        let counted = person.map_or("", |person| person.number.as_str());
        let (failures, left) = self.left(&tried, counted, now)?;
        if !left.is_zero() {
            return Err(Refusal { fault: too_many(left), wait: left });
        }
        // Counted before it is compared: ending the process in between gives no guess for nothing.
        self.count(counted, failures + 1)?;
        let decoy = PinHash::decoy();
        let fits = person.map_or(&decoy, |person| &person.pin).fits(pin);
        let Some(person) = person.filter(|_| fits) else {
            tried.insert(counted.to_owned(), now);
            let who = person.map_or("a number that is not on the roll", |person| &person.number);
            self.note(of_person(Act::Refused, who, at, format!("wrong PIN, {} in a row", failures + 1), when))?;
            let left = wait(failures + 1);
            let fault = if left.is_zero() {
                Fault::new(Kind::Denied, "number or PIN is wrong").remedy("Type both again")
            } else {
                too_many(left)
            };
            return Err(Refusal { fault, wait: left });
        };
        self.admit(person, at, when)?;
        tried.remove(counted);
        Ok(SignedOn { number: person.number.clone(), name: person.name.clone(), role: person.role })
    }

    /// Forgets the wrong PINs of somebody who typed the right one, and notes who signed on.
    fn admit(&self, person: &Person, at: &str, when: When) -> Result<()> {
        let deed = of_person(Act::SignedOn, &person.number, at, person.role.word().to_owned(), when);
        self.write("cannot note who signed on", |transaction| {
            let mut tries: StoredTries = self.part_of(transaction, Part::Tries)?.unwrap_or_default();
            tries.failures.remove(&person.number);
            self.put(transaction, Part::Tries, &tries)?;
            chain::append(transaction, &self.vault, vec![StoredDeed::of(deed, 0)])
        })
    }

    /// Whether `expires` is past. Where the car's time is known to be wrong nobody can tell, and signing on goes on: an old
    /// roll is a smaller evil than a crew that is locked out by a flat battery.
    fn is_past(&self, expires: DateTime<Utc>, when: When) -> bool {
        expires <= when.utc && (when.trusted || self.believes(when.utc).unwrap_or(true))
    }

    fn tries(&self) -> Result<StoredTries> {
        self.read("cannot read who typed wrong PINs", |transaction| {
            Ok(self.part(transaction, Part::Tries)?.unwrap_or_default())
        })
    }

    fn count(&self, number: &str, failures: u32) -> Result<()> {
        self.write("cannot count a PIN", |transaction| {
            let mut tries: StoredTries = self.part_of(transaction, Part::Tries)?.unwrap_or_default();
            tries.failures.insert(number.to_owned(), failures);
            self.put(transaction, Part::Tries, &tries)
        })
    }

    fn know(&self, set_up: SetUp) {
        *self.people.set_up.write().unwrap_or_else(PoisonError::into_inner) = set_up;
    }

    fn part<M: Message + Default>(&self, transaction: &ReadTransaction, part: Part) -> Result<Option<M>, Trouble> {
        match transaction.open_table(PEOPLE)?.get(part as u8)? {
            Some(sealed) => self.decoded(Row::People(part as u8), sealed.value()),
            None => Ok(None),
        }
    }

    fn part_of<M: Message + Default>(&self, transaction: &WriteTransaction, part: Part) -> Result<Option<M>, Trouble> {
        match transaction.open_table(PEOPLE)?.get(part as u8)? {
            Some(sealed) => {
                let plain = self.opened(Row::People(part as u8), sealed.value())?;
                plain.map(|plain| decode(&plain).map_err(Trouble::Damaged)).transpose()
            }
            None => Ok(None),
        }
    }

    fn put(&self, transaction: &WriteTransaction, part: Part, message: &impl Message) -> Result<(), Trouble> {
        let row = Row::People(part as u8);
        let sealed = self.vault.seal(Use::Chain, 0, row, &encode(message)).map_err(Trouble::Other)?;
        transaction.open_table(PEOPLE)?.insert(part as u8, &sealed[..])?;
        Ok(())
    }
}

fn of_person(act: Act, who: &str, at: &str, detail: String, when: When) -> Deed {
    Deed { who: who.to_owned(), ..Deed::of_the_unit(act, at, detail, when) }
}

/// There were too many wrong PINs.
fn too_many(left: Duration) -> Fault {
    // A second that has begun is to be waited for.
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    let time = if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) };
    Fault::new(Kind::Denied, "number or PIN was wrong too often").remedy(format!("Wait {time}, then type both again"))
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::journal::tests::{clock, hour};
    use crate::journal::{Journal, Key};

    fn pin(text: &str) -> Pin {
        Pin::typed(Zeroizing::new(text.into()))
    }

    fn person(number: &str, role: Role, digits: &str) -> Person {
        Person { number: number.into(), name: String::new(), role, pin: PinHash::of(&pin(digits)).expect("hashed") }
    }

    fn roll(revision: u64, expires: i64, people: Vec<Person>) -> Roll {
        Roll { revision, made: hour(0).utc, expires: Some(hour(expires).utc), people }
    }

    fn kept(archive: &Archive, roll: Roll, from_office: bool) -> Result<()> {
        archive.keep_roll(roll, from_office, Deed::of_the_unit(Act::Set, "a test", String::new(), hour(0)))
    }

    fn two() -> Vec<Person> {
        vec![person("1234", Role::Crew, "480615"), person("PS77", Role::Supervisor, "719302")]
    }

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    fn open(folder: &Path) -> Archive {
        Archive::open(folder, &Key::Beside).expect("opened")
    }

    #[test]
    fn the_right_pin_signs_on_also_after_a_restart_and_the_chain_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Archive::has_people(folder.path()), Some(false));
        {
            let archive = open(folder.path());
            assert!(!archive.set_up().is_set_up());
            let refused = archive.sign_on("1234", &pin("480615"), "a test", hour(1), at(1)).expect_err("nobody is");
            assert!(refused.fault.to_string().contains("nobody is set up"), "{}", refused.fault);
            kept(&archive, roll(1, 24, two()), true).expect("kept");
        }
        assert_eq!(Archive::has_people(folder.path()), Some(true), "known without a key");
        let archive = open(folder.path());
        assert!(archive.set_up().is_set_up());
        let on = archive.sign_on("ps77", &pin("719302"), "a test", hour(1), at(1)).expect("signed on");
        assert_eq!((on.number.as_str(), on.role), ("PS77", Role::Supervisor));
        let refused = archive.sign_on("1234", &pin("719302"), "a test", hour(1), at(1)).expect_err("another's PIN");
        assert_eq!(refused.fault.kind(), Kind::Denied);
        archive.sign_on("9999", &pin("719302"), "a test", hour(1), at(1)).expect_err("not on the roll");
        let deeds = archive.deeds().expect("read");
        let said: Vec<_> = deeds.iter().map(|deed| (deed.act.as_str(), deed.who.as_str())).collect();
        let stranger = "a number that is not on the roll";
        assert_eq!(said[1..], [("signed on", "PS77"), ("refused", "1234"), ("refused", stranger)]);
        archive.verify().expect("whole");
    }

    #[test]
    fn wrong_pins_cost_a_wait_that_grows_and_that_neither_a_restart_nor_a_clock_shortens() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut archive = open(folder.path());
        kept(&archive, roll(1, 24 * 365, two()), true).expect("kept");
        let mut now = 1;
        let mut waits = Vec::new();
        for _ in 0..12 {
            let refused = archive.sign_on("1234", &pin("111111"), "a test", hour(1), at(now)).expect_err("wrong");
            waits.push(refused.wait.as_secs());
            if refused.wait.is_zero() {
                continue;
            }
            // The right PIN is of no use while the wait lasts, whatever the clock on the wall says.
            let early = at(now + refused.wait.as_secs() - 1);
            let still = archive.sign_on("1234", &pin("480615"), "a test", hour(8000), early).expect_err("early");
            assert_eq!(still.wait, Duration::from_secs(1));
            now += refused.wait.as_secs();
        }
        assert_eq!(waits, [0, 0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        // Somebody else signs on meanwhile.
        archive.sign_on("PS77", &pin("719302"), "a test", hour(1), at(now - 1)).expect("signed on");

        // A restart begins the wait anew.
        drop(archive);
        archive = open(folder.path());
        let refused = archive.sign_on("1234", &pin("480615"), "a test", hour(1), at(10)).expect_err("waits");
        assert_eq!(refused.wait, Duration::from_secs(3590));
        archive.sign_on("1234", &pin("480615"), "a test", hour(1), at(3600)).expect("it is over");
        // The right one wipes the slate clean.
        let refused = archive.sign_on("1234", &pin("111111"), "a test", hour(1), at(3601)).expect_err("wrong");
        assert_eq!(refused.wait, Duration::ZERO);

        // Numbers that nobody has wait together.
        let strange = |number: &str, now| {
            archive.sign_on(number, &pin("111111"), "a test", hour(1), at(now)).expect_err("not on the roll").wait
        };
        assert_eq!([1, 2, 3].map(|n| strange(&format!("77{n}"), 4000).as_secs()), [0, 0, 30]);
        assert_eq!(strange("778", 4001).as_secs(), 29);
    }

    #[test]
    fn a_process_that_ends_before_it_answers_has_counted_the_pin() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = open(folder.path());
        kept(&archive, roll(1, 24, two()), true).expect("kept");
        archive.count("1234", FREE + 1).expect("counted");
        drop(archive);
        let refused = open(folder.path()).sign_on("1234", &pin("480615"), "a test", hour(1), at(0)).expect_err("waits");
        assert_eq!(refused.wait, FIRST);
    }

    #[test]
    fn a_roll_that_has_run_out_lets_nobody_in_and_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = open(folder.path());
        kept(&archive, roll(1, 24, two()), true).expect("kept");
        let refused = archive.sign_on("1234", &pin("480615"), "a test", hour(24), at(1)).expect_err("run out");
        let said = refused.fault.to_string();
        assert!(said.contains("ran out on 2 December 2026") && said.contains("reaches the office"), "{said}");
        // A clock that was never set cannot tell.
        let unset = When { utc: DateTime::UNIX_EPOCH, trusted: false };
        archive.sign_on("1234", &pin("480615"), "a test", unset, at(1)).expect("signed on");
    }

    #[test]
    fn an_older_roll_and_one_made_at_the_car_do_not_take_the_place_of_the_office_s() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = open(folder.path());
        kept(&archive, roll(9, 24, vec![person("1", Role::Supervisor, "480615")]), false).expect("at the car");
        kept(&archive, roll(2, 24, two()), true).expect("the office's, whatever its number");
        for (revision, from_office) in [(2, true), (1, true), (3, false)] {
            let fault = kept(&archive, roll(revision, 24, Vec::new()), from_office).expect_err("refused");
            assert_eq!(fault.kind(), Kind::Denied, "{fault}");
        }
        // Who has a new PIN does not wait for the wrong ones of the old.
        archive.count("1234", 9).expect("counted");
        archive.count("PS77", 9).expect("counted");
        let SetUp::Roll(before) = archive.set_up() else { panic!("there is one") };
        let mut people = before.roll.people.clone();
        people[0].pin = PinHash::of(&pin("305927")).expect("hashed");
        kept(&archive, roll(3, 24, people), true).expect("newer");
        archive.sign_on("1234", &pin("305927"), "a test", hour(1), at(1)).expect("signed on");
        let refused = archive.sign_on("PS77", &pin("719302"), "a test", hour(1), at(1)).expect_err("waits");
        assert_eq!(refused.wait, FIRST * 64 - Duration::from_secs(1));
    }

    #[test]
    fn a_roll_that_is_damaged_lets_nobody_in_and_the_journal_opens() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = open(folder.path());
        kept(&archive, roll(1, 24, two()), true).expect("kept");
        archive
            .write("test", |transaction| {
                transaction.open_table(PEOPLE)?.insert(Part::Roll as u8, &b"spoiled"[..])?;
                Ok(())
            })
            .expect("written");
        drop(archive);
        let journal = Journal::open(folder.path(), clock()).expect("it opens");
        assert!(matches!(journal.archive().set_up(), SetUp::Damaged(_)));
        let refused = journal.archive().sign_on("1234", &pin("480615"), "a test", hour(1), at(1)).expect_err("nobody");
        assert_eq!(refused.fault.kind(), Kind::Damaged);
        // A new one from the office heals it.
        kept(journal.archive(), roll(2, 24, two()), true).expect("kept");
        journal.archive().sign_on("1234", &pin("480615"), "a test", hour(1), at(1)).expect("signed on");
    }
}

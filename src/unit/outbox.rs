//! What the link to the office uploads from and downloads to: journal and hotlist behind one trait.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::News;

use crate::clock;
use crate::config;
use crate::fault::{Fault, Kind as FaultKind, Result};
use crate::hotlist::{Hotlist, VERDICTS, VERDICTS_BYTES, Verdicts};
use crate::journal::{self, Act, Deed, ItemKind, Journal, SetUp, Wanted};
use crate::people::{MOST_BYTES, ROLL, Roll};
use crate::seal::{Scratch, wipe};
use crate::settings::{Handed, MOST_BYTES as SETTINGS_BYTES, SETTINGS};
use crate::sync::car::{Budget, Ledger, Piece, Revision, Waiting};
use crate::sync::identity;
use crate::sync::{Item, Kind, Outbox};
use crate::tag::When;

/// What the crew makes known that is offered at once: they are few, and go before everything but hits.
const STATEMENTS: usize = 64;

pub(super) struct Store {
    journal: Arc<Journal>,
    hotlist: Arc<Hotlist>,
    /// The folder with this car's identity, which has the key that lists are checked with.
    identity: PathBuf,
    /// Revisions that are being put together from their pieces, each in a file without a name, sealed.
    arriving: Mutex<HashMap<Revision, Scratch>>,
    /// Where those files take their room.
    data: PathBuf,
    /// The car's name.
    unit: String,
    /// Whether the office may set anything in this car.
    heeds: bool,
    /// The pieces of the roll of people, of other crews' verdicts and of settings so far. They may name people and plates, so they
    /// lie on no disk.
    unsealed: Mutex<BTreeMap<String, Vec<u8>>>,
    clock: clock::Shared,
    /// Who is told that a list counts: an alert may rest on what it takes off.
    news: Option<Sender<News>>,
}

impl Store {
    pub(super) fn new(
        journal: &Arc<Journal>,
        hotlist: &Arc<Hotlist>,
        office: &config::Office,
        data: &Path,
        clock: clock::Shared,
    ) -> Result<Self> {
        clear(&data.join("arriving"))?;
        let (journal, hotlist, identity) = (journal.clone(), hotlist.clone(), office.identity.clone());
        Ok(Self {
            journal,
            hotlist,
            identity,
            arriving: Mutex::default(),
            data: data.to_owned(),
            unit: String::new(),
            heeds: office.settings,
            unsealed: Mutex::default(),
            clock,
            news: None,
        })
    }

    /// The same for a car of this name.
    pub(super) fn of(self, unit: &str) -> Self {
        Self { unit: unit.to_owned(), ..self }
    }

    /// The same, telling the desk of every list that came.
    pub(super) fn telling(self, news: Sender<News>) -> Self {
        Self { news: Some(news), ..self }
    }

    fn arriving(&self) -> MutexGuard<'_, HashMap<Revision, Scratch>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A list counts, or what other crews found does.
    fn tell(&self) {
        if let Some(news) = &self.news {
            // The desk is gone only while the unit is being taken down.
            let _ = news.send(News::Lists);
        }
    }

    /// Takes what other crews found, if the office signed it. It is held in memory only.
    fn hear_verdicts(&self, revision: u64) -> Result<()> {
        let what = "what other crews found cannot be used";
        let signed = self.unsealed().remove(VERDICTS).unwrap_or_default();
        let key = identity::lists_key(&self.identity)?;
        let verdicts = handed_down(key.open_verdicts(&signed), Verdicts::decode, |it| it.revision == revision, what)?;
        self.hotlist.hear(&self.unit, verdicts);
        self.tell();
        Ok(())
    }

    fn unsealed(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.unsealed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the roll of people that has arrived, if the office signed it.
    fn apply_roll(&self, revision: u64) -> Result<()> {
        let what = "the roll of people from the office cannot be used";
        let signed = self.unsealed().remove(ROLL).unwrap_or_default();
        let key = identity::lists_key(&self.identity)?;
        let roll = handed_down(key.open_roll(&signed), Roll::decode, |it| it.revision == revision, what)?;
        let until =
            roll.expires.map_or_else(String::new, |until| until.format(", until %Y-%m-%d %H:%M UTC").to_string());
        let detail = format!("revision {revision}, {} people{until}", roll.people.len());
        let when = When { utc: self.clock.utc(), trusted: false };
        let deed = Deed::of_the_unit(Act::Set, "the roll of people", detail, when);
        self.journal.archive().keep_roll(roll, true, Deed { who: "the office".into(), ..deed })
    }

    /// Takes the settings that have arrived, if the office signed them for this car, they are in bounds and the car takes any.
    /// Why not, the crew is told; those before them stand.
    fn apply_settings(&self, revision: u64) -> Result<()> {
        let signed = self.unsealed().remove(SETTINGS).unwrap_or_default();
        let what = "the settings from the office cannot be used";
        if !self.heeds {
            return Err(
                Fault::new(FaultKind::Denied, what).because("this car takes none: settings = false under [office]")
            );
        }
        let archive = self.journal.archive();
        let kept = identity::lists_key(&self.identity).and_then(|key| {
            let opened = key.open_settings(&signed);
            let handed = handed_down(opened, Handed::decode, |it| it.revision == revision, what)?;
            if !handed.is_for(&self.unit) {
                return Err(Fault::new(FaultKind::Denied, what).because(format!("they are for {:?}", handed.unit)));
            }
            let when = When { utc: self.clock.utc(), trusted: false };
            archive.keep_settings(handed, opened.unwrap_or_default(), when)
        });
        if let Err(fault) = &kept {
            archive.refuse_settings(fault);
        }
        self.tell();
        kept
    }
}

/// What the office hands down beside lists: `opened` if it signed it, and the revision that it offered; `what` is what is wrong
/// otherwise, for people.
fn handed_down<T>(
    opened: Option<&[u8]>,
    decode: impl FnOnce(&[u8]) -> std::result::Result<T, String>,
    is_offered: impl FnOnce(&T) -> bool,
    what: &str,
) -> Result<T> {
    let bytes = opened.ok_or_else(|| {
        Fault::new(FaultKind::Denied, what)
            .because("it is not signed by the office that enrolled this car")
            .remedy("Enrol the car again with outrider-office enrol")
    })?;
    let decoded = decode(bytes).map_err(|why| Fault::new(FaultKind::Damaged, what).because(why))?;
    if !is_offered(&decoded) {
        return Err(Fault::new(FaultKind::Damaged, what).because("it is another revision than was offered"));
    }
    Ok(decoded)
}

/// Overwrites and removes what an earlier program left there: pieces of lists, in the clear.
fn clear(folder: &Path) -> Result<()> {
    let cleared = std::fs::read_dir(folder).and_then(|files| {
        files.into_iter().try_for_each(|file| wipe(&file?.path()))?;
        std::fs::remove_dir(folder)
    });
    match cleared {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Fault::io("cannot clear the folder of lists that arrived", folder, error))
        }
        _ => Ok(()),
    }
}

impl Outbox for Store {
    fn pending(&self, budget: Budget) -> Result<Vec<Waiting>> {
        let wanted = Wanted { pictures: budget.pictures, hit_pictures: budget.hit_pictures };
        let items = self.journal.pending_of(wanted, budget.items, budget.bytes)?;
        let mut items: Vec<Waiting> = items.into_iter().map(sent).collect();
        let hits = items.iter().take_while(|waiting| waiting.item.kind == Kind::Hit).count();
        let mut few = Vec::new();
        for (key, payload) in self.hotlist.statements(STATEMENTS.min(budget.items))? {
            few.push(Item { kind: Kind::Statement, key, payload }.into());
        }
        // Few and small: how much of the chain is anchored must not wait behind pictures.
        few.extend(self.journal.archive().unanchored()?.map(sent));
        items.splice(hits..hits, few);
        Ok(items)
    }

    fn unsent(&self) -> u64 {
        // A store that cannot be read says so elsewhere.
        self.journal.status().unsent + self.hotlist.unstated().unwrap_or(0)
    }

    fn acknowledged(&self, keys: &[Vec<u8>]) -> Result<()> {
        self.hotlist.stated(keys);
        self.journal.acknowledge(keys)
    }

    fn lists_held(&self) -> Vec<(String, u64)> {
        let roll = match self.journal.archive().set_up() {
            SetUp::Roll(kept) if kept.from_office => Some((ROLL.to_owned(), kept.roll.revision)),
            _ => None,
        };
        let heard = self.hotlist.heard().map(|revision| (VERDICTS.to_owned(), revision));
        let set = self.journal.archive().settings().filter(|_| self.heeds);
        let set = set.map(|set| (SETTINGS.to_owned(), set.revision));
        let lists = self.hotlist.status().into_iter().map(|list| (list.id, list.revision));
        lists.chain(roll).chain(heard).chain(set).collect()
    }

    fn take_piece(&self, piece: &Piece) -> Result<()> {
        if let Some(most) = most_unsealed(&piece.revision.list) {
            let mut unsealed = self.unsealed();
            let kept = unsealed.entry(piece.revision.list.clone()).or_default();
            kept.truncate(usize::try_from(piece.offset).unwrap_or(usize::MAX));
            if kept.len() + piece.bytes.len() > most {
                return Err(Fault::new(FaultKind::Full, "what the office hands down is too large")
                    .at(&piece.revision.list)
                    .remedy("Bring car and office to versions that fit together"));
            }
            kept.extend(&piece.bytes);
            return Ok(());
        }
        let cannot = |error| Fault::io("cannot keep a piece of a list that arrives", &self.data, error);
        let mut arriving = self.arriving();
        if !arriving.contains_key(&piece.revision) {
            arriving.insert(piece.revision.clone(), Scratch::in_folder(&self.data).map_err(cannot)?);
        }
        let Some(list) = arriving.get_mut(&piece.revision) else { return Ok(()) };
        // A piece that comes again takes the place of itself and of what came behind it.
        list.cut(piece.offset).and_then(|()| list.write_all(&piece.bytes)).map_err(cannot)
    }

    fn apply_list(&self, revision: &Revision) -> Result<()> {
        match revision.list.as_str() {
            ROLL => return self.apply_roll(revision.revision),
            VERDICTS => return self.hear_verdicts(revision.revision),
            SETTINGS => return self.apply_settings(revision.revision),
            _ => {}
        }
        // Read each time: a car that is enrolled again gets a new one.
        self.hotlist.trust(vec![identity::lists_key(&self.identity)?]);
        let Some(list) = self.arriving().remove(revision) else {
            return Err(Fault::new(FaultKind::Missing, "nothing has arrived of the list that the office names"));
        };
        let list = BufReader::with_capacity(1 << 20, list.into_reader());
        let applied = self.hotlist.apply(list, Some(&revision.list));
        if applied.is_ok() {
            self.tell();
        }
        applied.map(|_| ())
    }

    fn pictures_unsent(&self) -> Result<[u64; 2]> {
        self.journal.archive().pictures_unsent()
    }

    fn ledger(&self) -> Result<Option<Ledger>> {
        Ledger::load(&self.data)
    }

    fn keep_ledger(&self, ledger: &Ledger) -> Result<()> {
        ledger.keep(&self.data)
    }

    fn drop_list(&self, revision: &Revision) {
        if most_unsealed(&revision.list).is_some() {
            self.unsealed().remove(&revision.list);
            return;
        }
        self.arriving().remove(revision);
    }
}

/// The most bytes of what lies on no disk as it arrives; `None`: it is a list, which does.
fn most_unsealed(list: &str) -> Option<usize> {
    match list {
        ROLL => Some(MOST_BYTES),
        // The signature comes before it.
        VERDICTS => Some(VERDICTS_BYTES + 64),
        SETTINGS => Some(SETTINGS_BYTES + 64),
        _ => None,
    }
}

/// One thing of the journal's as the link knows it.
fn sent(item: journal::Item) -> Waiting {
    let kind = match item.kind {
        ItemKind::Hit => Kind::Hit,
        ItemKind::Read => Kind::Read,
        ItemKind::Picture => Kind::Picture,
        ItemKind::Head => Kind::Head,
    };
    Waiting { item: Item { kind, key: item.key, payload: item.payload }, of_hit: item.of_hit }
}

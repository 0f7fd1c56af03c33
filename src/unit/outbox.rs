//! What the link to the office uploads from and downloads to: journal and hotlist behind one trait.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config;
use crate::fault::{Fault, Result};
use crate::hotlist::Hotlist;
use crate::journal::{ItemKind, Journal};
use crate::sync::car::{Budget, Piece, Revision};
use crate::sync::identity;
use crate::sync::{Item, Kind, Outbox};

/// What the crew makes known that is offered at once: they are few, and go before everything else.
const STATEMENTS: usize = 64;

pub(super) struct Store {
    journal: Arc<Journal>,
    hotlist: Arc<Hotlist>,
    /// The folder with this car's identity, which has the key that lists are checked with.
    identity: PathBuf,
    /// Where revisions are put together from their pieces. What an earlier run left there is of no use.
    arriving: PathBuf,
}

impl Store {
    pub(super) fn new(
        journal: &Arc<Journal>,
        hotlist: &Arc<Hotlist>,
        office: &config::Office,
        data: &Path,
    ) -> Result<Self> {
        let arriving = data.join("arriving");
        match std::fs::remove_dir_all(&arriving) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Fault::io("cannot clear the folder of lists that arrive", &arriving, error));
            }
            _ => {}
        }
        std::fs::create_dir_all(&arriving)
            .map_err(|error| Fault::io("cannot make a folder for lists that arrive", &arriving, error))?;
        Ok(Self { journal: journal.clone(), hotlist: hotlist.clone(), identity: office.identity.clone(), arriving })
    }

    /// The file that a revision is put together in.
    fn file(&self, revision: &Revision) -> PathBuf {
        // The office chose the list's name; hexadecimal digits cannot lead out of the folder.
        let name = hex::encode(&revision.list);
        self.arriving.join(format!("{name}-{}-{}", revision.revision, revision.base))
    }
}

impl Outbox for Store {
    fn pending(&self, budget: Budget) -> Result<Vec<Item>> {
        let statements = self.hotlist.statements(STATEMENTS.min(budget.items))?;
        let mut items: Vec<Item> =
            statements.into_iter().map(|(key, payload)| Item { kind: Kind::Statement, key, payload }).collect();
        let left = budget.items.saturating_sub(items.len());
        items.extend(self.journal.pending(left, budget.bytes)?.into_iter().map(|item| Item {
            kind: match item.kind {
                ItemKind::Hit => Kind::Hit,
                ItemKind::Read => Kind::Read,
                ItemKind::Picture => Kind::Picture,
            },
            key: item.key,
            payload: item.payload,
        }));
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
        self.hotlist.status().into_iter().map(|list| (list.id, list.revision)).collect()
    }

    fn take_piece(&self, piece: &Piece) -> Result<()> {
        let path = self.file(&piece.revision);
        let written =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).and_then(|mut file| {
                if piece.offset == 0 {
                    file.set_len(0)?;
                }
                file.seek(SeekFrom::Start(piece.offset))?;
                file.write_all(&piece.bytes)
            });
        written.map_err(|error| Fault::io("cannot keep a piece of a list that arrives", &path, error))
    }

    fn apply_list(&self, revision: &Revision) -> Result<()> {
        // Read each time: a car that is enrolled again gets a new one.
        self.hotlist.trust(vec![identity::lists_key(&self.identity)?]);
        let path = self.file(revision);
        let file = File::open(&path).map_err(|error| Fault::io("cannot read a list that has arrived", &path, error))?;
        let applied = self.hotlist.apply(BufReader::with_capacity(1 << 20, file), Some(&revision.list));
        self.drop_list(revision);
        applied.map(|_| ())
    }

    fn drop_list(&self, revision: &Revision) {
        let path = self.file(revision);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("{}", Fault::io("cannot remove a list that has arrived", &path, error));
        }
    }
}

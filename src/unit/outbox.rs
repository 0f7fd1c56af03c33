//! What the link to the office uploads from and downloads to: journal and hotlist behind one trait.

use std::path::PathBuf;
use std::sync::Arc;

use crate::fault::Result;
use crate::hotlist::Hotlist;
use crate::journal::{ItemKind, Journal};
use crate::sync::car::{Budget, Revision};
use crate::sync::identity;
use crate::sync::{Item, Kind, Outbox};

pub(super) struct Store {
    pub(super) journal: Arc<Journal>,
    pub(super) hotlist: Arc<Hotlist>,
    /// The folder with this car's identity, which has the key that lists are checked with.
    pub(super) identity: PathBuf,
}

impl Outbox for Store {
    fn pending(&self, budget: Budget) -> Result<Vec<Item>> {
        let items = self.journal.pending(budget.items, budget.bytes)?;
        Ok(items
            .into_iter()
            .map(|item| Item {
                kind: match item.kind {
                    ItemKind::Hit => Kind::Hit,
                    ItemKind::Read => Kind::Read,
                    ItemKind::Picture => Kind::Picture,
                },
                key: item.key,
                payload: item.payload,
            })
            .collect())
    }

    fn unsent(&self) -> u64 {
        self.journal.status().unsent
    }

    fn acknowledged(&self, keys: &[Vec<u8>]) -> Result<()> {
        self.journal.acknowledge(keys)
    }

    fn lists_held(&self) -> Vec<(String, u64)> {
        self.hotlist.status().into_iter().map(|list| (list.id, list.revision)).collect()
    }

    fn apply_list(&self, revision: &Revision) -> Result<()> {
        // Read each time: a car that is enrolled again gets a new one.
        self.hotlist.trust(vec![identity::lists_key(&self.identity)?]);
        self.hotlist.apply(&revision.bytes, Some(&revision.list)).map(|_| ())
    }
}

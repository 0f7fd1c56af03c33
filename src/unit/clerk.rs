//! The clerk: takes to the lists what the crew found of their hits, on a thread of its own, since that waits for the disk.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use chrono::{DateTime, Utc};

use crate::alert::{Alert, Verdict};
use crate::fault::Result;
use crate::hotlist::{Hotlist, Judgement};

/// Dropping it waits until everything is kept.
pub(super) struct Clerk {
    inbox: Option<Sender<Found>>,
    thread: Option<JoinHandle<()>>,
}

struct Found {
    alert: Arc<Alert>,
    judgement: Judgement,
    utc: DateTime<Utc>,
}

impl Clerk {
    pub(super) fn start(hotlist: Arc<Hotlist>) -> Result<Self> {
        let (inbox, found) = channel::<Found>();
        let thread = super::thread("clerk", move || {
            for Found { alert, judgement, utc } in found {
                let (list, mark) = alert.entry.split_once('/').unwrap_or((&alert.entry, ""));
                if let Err(fault) = hotlist.judge(list, mark, &alert.text, judgement, utc) {
                    tracing::error!("{fault}");
                }
            }
        })?;
        Ok(Self { inbox: Some(inbox), thread: Some(thread) })
    }

    /// The crew has answered `alert`. What they only put off or saw withdrawn says nothing of the hit.
    pub(super) fn answered(&self, alert: Arc<Alert>, verdict: Verdict, utc: DateTime<Utc>) {
        let judgement = match verdict {
            Verdict::Confirmed => Judgement::True,
            Verdict::Misread | Verdict::WrongVehicle => Judgement::False,
            Verdict::OutOfDate => Judgement::Outdated,
            Verdict::NotLocated => Judgement::NotFound,
            Verdict::Later | Verdict::StoodDown => return,
        };
        if let Some(inbox) = &self.inbox {
            // The thread ends only with this sender.
            let _ = inbox.send(Found { alert, judgement, utc });
        }
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.inbox = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the clerk ended by a panic");
        }
    }
}

//! The car's side: a thread that keeps the link to the office up for as long as the unit runs, uploads what the
//! journal holds, most urgent first, and brings the lists up to date. Nothing in the unit waits for it.

mod connection;
mod costs;
mod dial;
mod downloads;
mod enrol;
mod interface;
mod knock;
mod meter;
mod network;
mod probe;
mod pulse;
mod renewal;
mod route;
mod session;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::clock::{self, Moment};
use crate::config;
use crate::fault::{Fault, Kind, Result};
use crate::sync::present::{Pace, Present};
use connection::Ended;
use dial::Dialler;
use renewal::Renewer;

pub use costs::{Cost, Costs, Ledger, METERED_FILE};
#[cfg(all(test, feature = "office"))]
pub(crate) use downloads::Downloads;
pub use enrol::{Enrolment, enrol};
pub use meter::{Charge, Day};
pub use probe::probe;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use session::converse;
pub use session::{Budget, Piece, Revision, Waiting};
#[cfg(all(test, feature = "office"))]
pub(crate) use {
    meter::Meter,
    session::{Event, Session},
};

/// The first pause before trying again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause before trying again.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How long the end of the unit waits for the link to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// What the link uploads from and downloads to: the unit implements it over journal and hotlist. Calls may block;
/// they come from the link's own threads, one upload call at a time.
pub trait Outbox: Send + Sync {
    /// What the office has not acknowledged: statements and hits before reads before pictures, oldest first, within `budget` (at
    /// least one, if there is any). Things that are on their way are part of it.
    fn pending(&self, budget: Budget) -> Result<Vec<Waiting>>;
    /// How many things the office has not acknowledged.
    fn unsent(&self) -> u64;
    /// The office has stored these: they need not be kept for it any more.
    fn acknowledged(&self, keys: &[Vec<u8>]) -> Result<()>;
    /// The lists that the car holds, with their revisions.
    fn lists_held(&self) -> Vec<(String, u64)>;
    /// Keeps a piece of a revision until that is whole. Pieces come in order, one call after the other.
    fn take_piece(&self, piece: &Piece) -> Result<()>;
    /// Brings a list to a revision of which all pieces have come; they are of no use afterwards.
    fn apply_list(&self, revision: &Revision) -> Result<()>;
    /// The pieces of a revision are of no use any more.
    fn drop_list(&self, revision: &Revision);
    /// How many pictures the office has not acknowledged: of reads without a hit, and of those with one.
    fn pictures_unsent(&self) -> Result<[u64; 2]> {
        Ok([0, 0])
    }
    /// What was kept of what metered networks have cost. Who has no such network keeps nothing.
    fn ledger(&self) -> Result<Option<Ledger>> {
        Ok(None)
    }
    /// Keeps it.
    fn keep_ledger(&self, _: &Ledger) -> Result<()> {
        Ok(())
    }
}

/// How the link is.
#[derive(Debug, Clone)]
pub enum LinkState {
    /// No attempt has ended yet.
    Starting,
    /// The office answers.
    Connected {
        /// Since when.
        since: Moment,
    },
    /// There is no connection; the link goes on trying.
    Down {
        /// Since when.
        since: Moment,
        /// Why the last attempt failed.
        reason: Arc<Fault>,
    },
}

/// What the screen shows of the link.
#[derive(Debug, Clone)]
pub struct Status {
    /// How the link is.
    pub state: LinkState,
    /// How many things the office has not acknowledged.
    pub unsent: u64,
    /// How many it has acknowledged since the unit started.
    pub acknowledged: u64,
    /// The lists that the car holds, with their revisions.
    pub lists: Vec<(String, u64)>,
    /// A list that came and could not be used, and why.
    pub list_fault: Option<Arc<Fault>>,
    /// The car's certificate will run out, and why it is not renewed.
    pub identity_fault: Option<Arc<Fault>>,
    /// What the network that the link goes by costs; `None`: nothing, or there was no link yet.
    pub costs: Option<Costs>,
}

/// The link to the office. Dropping it ends it.
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
    /// Whether the office may know where the car is.
    live_position: bool,
    thread: Option<JoinHandle<()>>,
}

/// See [`Link::nudger`].
#[cfg(feature = "office")]
pub(crate) struct Nudger(Arc<Shared>);

#[cfg(feature = "office")]
impl Nudger {
    /// As [`Link::nudge`].
    pub(crate) fn nudge(&self) {
        self.0.nudge.notify_one();
    }
}

/// What the link's thread and its owner share.
#[derive(Debug)]
struct Shared {
    status: watch::Sender<Status>,
    nudge: Notify,
    /// There is a new certificate to connect with.
    renewed: Notify,
    /// How the car is, as it was last told, and how often the office is to hear of it.
    present: watch::Sender<(Present, Pace)>,
    /// What may be spent on metered networks.
    budgets: Mutex<config::Budgets>,
    stop: watch::Sender<bool>,
}

impl Link {
    /// Starts the link of the car named `unit`. Whatever is missing (identity, network, office, a sane clock) is a
    /// reason for being down, and is tried again.
    pub fn start(unit: &str, settings: &config::Office, outbox: Arc<dyn Outbox>, clock: clock::Shared) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("office-link-disk")
            .build()
            .map_err(|error| Fault::new(Kind::Internal, "cannot start the link to the office").because(error))?;
        let keeper = Keeper::new(unit, settings, outbox, clock);
        let shared = Arc::clone(&keeper.shared);
        let thread = std::thread::Builder::new()
            .name("office-link".into())
            .spawn(move || {
                runtime.block_on(keeper.keep());
                // A list that is just being applied may take longer; the process's end does not wait for it.
                runtime.shutdown_timeout(GOODBYE);
            })
            .map_err(|error| Fault::new(Kind::Internal, "cannot start the link to the office").because(error))?;
        Ok(Self { shared, live_position: settings.live_position, thread: Some(thread) })
    }

    /// Starts a link on a runtime that others use too: a fleet in one process.
    #[cfg(feature = "office")]
    pub(crate) fn start_on(
        runtime: &tokio::runtime::Handle,
        unit: &str,
        settings: &config::Office,
        outbox: Arc<dyn Outbox>,
        clock: clock::Shared,
    ) -> Self {
        let keeper = Keeper::new(unit, settings, outbox, clock);
        let shared = Arc::clone(&keeper.shared);
        runtime.spawn(keeper.keep());
        Self { shared, live_position: settings.live_position, thread: None }
    }

    /// Something new is pending: it is uploaded at once if the link is up.
    pub fn nudge(&self) {
        self.shared.nudge.notify_one();
    }

    /// How the car is now: the office is told while it answers, and nothing of it is kept. Where the car is stays in the car
    /// unless its configuration says otherwise. It is told at this pace, however often this is called.
    pub fn report(&self, present: Present, pace: Pace) {
        let position = present.position.filter(|_| self.live_position);
        self.shared.present.send_replace((Present { position, ..present }, pace));
    }

    /// Other budgets count for metered networks from now on, also for the connection that there is.
    pub fn set_budgets(&self, budgets: config::Budgets) {
        *self.shared.budgets.lock().unwrap_or_else(PoisonError::into_inner) = budgets;
    }

    /// Nudges this link from elsewhere.
    #[cfg(feature = "office")]
    pub(crate) fn nudger(&self) -> Nudger {
        Nudger(Arc::clone(&self.shared))
    }

    /// How the link is now.
    pub fn status(&self) -> Status {
        self.shared.status.borrow().clone()
    }

    /// Follows [`Self::status`] as it changes.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the link to the office ended by a panic");
        }
    }
}

/// The loop around one connection after the other.
struct Keeper {
    unit: String,
    settings: config::Office,
    outbox: Arc<dyn Outbox>,
    clock: clock::Shared,
    shared: Arc<Shared>,
    dialler: Dialler,
    /// The trouble that was logged last.
    said: Mutex<String>,
}

impl Keeper {
    fn new(unit: &str, settings: &config::Office, outbox: Arc<dyn Outbox>, clock: clock::Shared) -> Self {
        let status = Status {
            state: LinkState::Starting,
            unsent: 0,
            acknowledged: 0,
            lists: Vec::new(),
            list_fault: None,
            identity_fault: None,
            costs: None,
        };
        let shared = Shared {
            budgets: Mutex::new(settings.metered.as_ref().map(config::Metered::budgets).unwrap_or_default()),
            status: watch::Sender::new(status),
            nudge: Notify::new(),
            renewed: Notify::new(),
            present: watch::Sender::default(),
            stop: watch::Sender::new(false),
        };
        Self {
            unit: unit.to_owned(),
            settings: settings.clone(),
            dialler: Dialler::new(settings.clone(), Arc::clone(&outbox), Arc::clone(&clock)),
            outbox,
            clock,
            shared: Arc::new(shared),
            said: Mutex::default(),
        }
    }

    async fn keep(self) {
        let mut stop = self.shared.stop.subscribe();
        let mut downloads = downloads::Downloads::default();
        let mut meter = self.meter().await;
        let mut pause = Pause::default();
        let mut line = None;
        self.count().await;
        tokio::spawn(Renewer::new(&self.unit, &self.settings, self.clock.clone(), self.shared.clone()).keep());
        loop {
            let dialled = match line.take() {
                Some(line) => Some(Ok(line)),
                None => self.meanwhile(self.dialler.dial(&|fault| self.down(fault)), &mut stop).await,
            };
            let mut welcomed = false;
            let ended = match dialled {
                Some(Ok(line)) => self.converse(line, &mut downloads, &mut meter, &mut welcomed, &mut stop).await,
                Some(Err(fault)) => Ended::Broken(fault),
                None => Ended::Stopped,
            };
            if welcomed {
                pause = Pause::default();
                self.said().clear();
                self.dialler.answered();
            }
            match ended {
                Ended::Stopped => return,
                Ended::Overtaken(next) => line = Some(next),
                Ended::Renewed => {}
                Ended::Silent(fault) => self.down(fault),
                Ended::Broken(fault) => {
                    self.down(fault);
                    if self.meanwhile(tokio::time::sleep(pause.next()), &mut stop).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits without a connection, and counts what comes to wait with it; `None` if the unit stops before.
    async fn meanwhile<T>(&self, wait: impl Future<Output = T>, stop: &mut watch::Receiver<bool>) -> Option<T> {
        tokio::pin!(wait);
        loop {
            tokio::select! {
                () = stopped(stop) => return None,
                done = &mut wait => return Some(done),
                () = self.shared.nudge.notified() => self.count().await,
            }
        }
    }

    fn said(&self) -> std::sync::MutexGuard<'_, String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is no connection, for this reason. The same trouble, met every few seconds for a day, is one line of the log.
    fn down(&self, reason: Fault) {
        let text = reason.to_string();
        let mut said = self.said();
        if text != *said {
            tracing::warn!("no link to the office: {text}");
            *said = text;
        }
        let now = self.clock.now();
        self.shared.status.send_modify(|status| {
            let since = match status.state {
                LinkState::Down { since, .. } => since,
                _ => now,
            };
            status.state = LinkState::Down { since, reason: Arc::new(reason) };
        });
    }

    /// Counts what is unsent, for the screen.
    async fn count(&self) {
        let outbox = Arc::clone(&self.outbox);
        if let Ok((unsent, lists)) = tokio::task::spawn_blocking(move || (outbox.unsent(), outbox.lists_held())).await {
            self.shared.status.send_modify(|status| {
                status.unsent = unsent;
                status.lists = lists;
            });
        }
    }
}

/// Is over when the unit stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Its owner is gone: that is an end too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Pauses between attempts: longer and longer, and never the same for two cars that lost one office together.
#[derive(Debug, Default)]
struct Pause {
    failures: u32,
}

impl Pause {
    fn next(&mut self) -> Duration {
        let whole = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures += 1;
        whole.mul_f64(0.5 + 0.5 * fastrand::f64()).max(FIRST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_differ() {
        let mut pause = Pause::default();
        assert_eq!(pause.next(), FIRST_PAUSE);
        let pauses: Vec<Duration> = (0..200).map(|_| pause.next()).collect();
        assert!(pauses.iter().all(|pause| (FIRST_PAUSE..=LONGEST_PAUSE).contains(pause)));
        let last = &pauses[100..];
        assert!(last.iter().all(|pause| *pause >= LONGEST_PAUSE / 2));
        assert!(last.iter().any(|pause| *pause != last[0]));
    }
}

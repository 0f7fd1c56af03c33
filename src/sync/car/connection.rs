//! One connection, from Hello to its end: streams around the [`Session`].

use std::future::pending;
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use quinn::{Connection, ConnectionError, VarInt};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::dial::Line;
use super::downloads::Downloads;
use super::meter::Meter;
use super::network::Network;
use super::pulse::{self, Pulse, Seen};
use super::route::{self, Route};
use super::session::{Event, Revision, Session};
use super::{Keeper, LinkState, Outbox, Waiting, stopped};
use crate::clock;
use crate::fault::{Fault, Kind, Result};
use crate::sync::identity::ENROL_AGAIN;
use crate::sync::pipes::{self, Inbound, Writer};
use crate::sync::wire::{Breach, Code, Lane};

/// The journal is looked at so often even if nobody nudges.
const LOOK: Duration = Duration::from_secs(5);
/// Between two looks at the way to the office.
const WAY: Duration = Duration::from_millis(500);
/// A message of no content: the office has to acknowledge its packet, and nothing else follows from it.
const NOTHING_SAID: [u8; 1] = [0];
/// How long a goodbye may take to leave.
const GOODBYE: Duration = Duration::from_millis(500);

/// Dialling that goes on beside a conversation.
type Dialling<'a> = Pin<Box<dyn Future<Output = Result<Line>> + Send + 'a>>;

/// What the disk answered.
enum Done {
    /// What is pending.
    Pending(Vec<Waiting>, u64),
    /// How many pictures wait, of reads without a hit and with one.
    Pictures([u64; 2]),
    /// What metered networks have cost was kept, or could not be.
    Kept(Result<()>),
    /// The journal knows that these are stored.
    Settled(Vec<Vec<u8>>, u64),
    /// A list was applied or not, and these are held.
    List(Revision, Result<()>, Vec<(String, u64)>),
    /// The journal failed.
    Failed(Fault),
}

impl Keeper {
    /// Converses on a line until it is lost, another one takes its place, or the unit stops.
    pub(super) async fn converse(
        &self,
        line: Line,
        downloads: &mut Downloads,
        meter: &mut Meter,
        welcomed: &mut bool,
        stop: &mut watch::Receiver<bool>,
    ) -> Ended {
        let outbox = Arc::clone(&self.outbox);
        let Ok(held) = tokio::task::spawn_blocking(move || outbox.lists_held()).await else {
            return Ended::Broken(panicked());
        };
        let session = Session::open(&self.unit, held, std::mem::take(downloads), self.clock.now());
        let session = session.metering(std::mem::take(meter));
        let end = match Conversation::begin(self, line.connection.clone(), session).await {
            Ok(mut conversation) => {
                let end = conversation.run(&line, stop, welcomed).await;
                *meter = conversation.session.take_meter(line.connection.stats().udp_tx.bytes);
                self.keep_costs(meter, &conversation.network).await;
                *downloads = conversation.session.into_downloads();
                end
            }
            Err(end) => Err(end),
        };
        let code = match &end {
            Ok(Next::Stop) => Code::Stopping,
            Err(End::Breach(breach)) => breach.code(),
            Ok(Next::Line(_) | Next::Dial) | Err(_) => Code::Done,
        };
        line.connection.close(VarInt::from_u32(code.number()), b"");
        // What was going out is on record in the journal, so nothing is lost if the goodbye does not get through.
        let goodbye = async move { tokio::time::timeout(GOODBYE, line.endpoint.wait_idle()).await };
        let fault = match end {
            Ok(Next::Stop) => {
                let _ = goodbye.await;
                return Ended::Stopped;
            }
            Ok(Next::Line(next)) => {
                tokio::spawn(goodbye);
                return Ended::Overtaken(next);
            }
            Ok(Next::Dial) => {
                tokio::spawn(goodbye);
                return Ended::Renewed;
            }
            Err(End::Lost(error)) => {
                let silent = matches!(error, ConnectionError::TimedOut | ConnectionError::Reset);
                let fault = lost(&self.settings.address, error, &self.clock);
                tokio::spawn(goodbye);
                return if silent { Ended::Silent(fault) } else { Ended::Broken(fault) };
            }
            Err(End::Fault(fault)) => fault,
            Err(End::Breach(Breach::Silent)) => {
                Fault::new(Kind::Unavailable, "the office does not acknowledge what it is sent")
                    .at(&self.settings.address)
                    .remedy("The link is made anew by itself; if it stays so, look at the office's log")
            }
            Err(End::Breach(breach)) => Fault::new(Kind::Damaged, "the office does not keep to the conversation")
                .at(&self.settings.address)
                .because(breach)
                .remedy("Bring car and office to versions that fit together"),
        };
        tokio::spawn(goodbye);
        Ended::Broken(fault)
    }
}

/// How a connection came to its end.
pub(super) enum Ended {
    /// The unit stops.
    Stopped,
    /// It had fallen silent, and this one answers.
    Overtaken(Line),
    /// The car has a new certificate: to be dialled again with it, at once.
    Renewed,
    /// Nothing comes any more: worth dialling again at once.
    Silent(Fault),
    /// The office has ended it, or something is wrong: better after a pause.
    Broken(Fault),
}

/// What follows a conversation that nothing is wrong with.
enum Next {
    /// The end of the unit.
    Stop,
    /// A conversation on this line.
    Line(Line),
    /// One on a new line.
    Dial,
}

/// Why a conversation ended.
enum End {
    Lost(ConnectionError),
    Breach(Breach),
    Fault(Fault),
}

impl From<Breach> for End {
    fn from(breach: Breach) -> Self {
        Self::Breach(breach)
    }
}

/// One connection in use.
struct Conversation<'a> {
    keeper: &'a Keeper,
    connection: Connection,
    session: Session,
    writers: [Option<Writer>; 4],
    inbound: mpsc::Receiver<Inbound>,
    done_sender: mpsc::UnboundedSender<Done>,
    done: mpsc::UnboundedReceiver<Done>,
    /// Acknowledged keys that the journal has not been told of yet.
    to_settle: Vec<Vec<u8>>,
    /// How many keys were acknowledged in all.
    acknowledged: u64,
    /// The network that the connection goes by.
    network: Network,
    /// Whether the journal may hold something that the session has not seen.
    look: bool,
    /// Whether the journal is being asked or told something: one at a time, so that an answer is never older than
    /// an acknowledgement.
    desk_busy: bool,
}

impl<'a> Conversation<'a> {
    async fn begin(keeper: &'a Keeper, connection: Connection, session: Session) -> Result<Self, End> {
        let (send, receive) = connection.open_bi().await.map_err(End::Lost)?;
        let (inbound_sender, inbound) = pipes::inbound();
        pipes::read(Lane::Control, receive, inbound_sender.clone());
        pipes::accept(connection.clone(), &[Lane::Lists, Lane::Urgent], inbound_sender);
        let control = pipes::write(Lane::Control, send, None);
        let (done_sender, done) = mpsc::unbounded_channel();
        Ok(Self {
            keeper,
            connection,
            session,
            writers: [Some(control), None, None, None],
            inbound,
            done_sender,
            done,
            to_settle: Vec::new(),
            acknowledged: 0,
            network: Network::default(),
            look: true,
            desk_busy: false,
        })
    }

    /// Says what follows when it is over.
    async fn run(&mut self, line: &Line, stop: &mut watch::Receiver<bool>, welcomed: &mut bool) -> Result<Next, End> {
        let (keeper, connection) = (self.keeper, self.connection.clone());
        let shared = Arc::clone(&self.keeper.shared);
        let clock = Arc::clone(&self.keeper.clock);
        let mut looks = tokio::time::interval(LOOK);
        let (mut pulse, mut pulses) = (Pulse::default(), tokio::time::interval(pulse::LOOK));
        pulses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut way, mut ways) = (Route::default(), tokio::time::interval(WAY));
        // A second line, dialled once this one has been silent. It takes over even if this one comes to life again: what QUIC
        // believes of round trips after a cut is so far off that the next lost packet would be missed for seconds.
        let mut second: Option<Dialling> = None;
        let mut present = shared.present.subscribe();
        present.mark_changed();
        // Before anything goes up.
        self.mind_costs(&route::toward(connection.remote_address()));
        loop {
            self.settle_events(welcomed).await?;
            self.desk();
            self.flush();
            let due = self.session.deadline().map(|deadline| deadline.since(clock.now()));
            tokio::select! {
                () = stopped(stop) => return Ok(Next::Stop),
                error = connection.closed() => return Err(End::Lost(error)),
                Some(inbound) = self.inbound.recv() => match inbound {
                    Inbound::Bytes(lane, bytes) => self.session.receive(lane, &bytes, clock.now())?,
                    Inbound::Breach(breach) => return Err(End::Breach(breach)),
                },
                Some(done) = self.done.recv() => self.take(done)?,
                () = shared.renewed.notified() => return Ok(Next::Dial),
                () = shared.nudge.notified() => self.look = true,
                // Before Welcome nothing is known of what the office understands; the newest waits for it.
                Ok(()) = present.changed(), if self.session.budget().is_some() => {
                    let datagram = {
                        let told = present.borrow_and_update();
                        self.session.report(&told.0, told.1, clock.now())
                    };
                    if let Some(datagram) = datagram {
                        // An office that takes none, or a network that cannot: the next one is newer.
                        let _ = connection.send_datagram(datagram.into());
                    }
                }
                _ = looks.tick() => self.look = true,
                _ = pulses.tick() => {
                    let stats = connection.stats();
                    let seen = Seen {
                        received: stats.udp_rx.datagrams,
                        questions: stats.frame_tx.stream + stats.frame_tx.ping + stats.frame_tx.datagram,
                        waiting: self.session.is_waiting() || !*welcomed,
                        acknowledged: self.acknowledged,
                        rtt: stats.path.rtt,
                    };
                    let sign = pulse.look(seen, clock.now());
                    if sign.ask && let Some(control) = &self.writers[Lane::Control as usize] {
                        control.send(NOTHING_SAID.to_vec());
                    }
                    if sign.silent && second.is_none() {
                        second = Some(Box::pin(keeper.dialler.dial(&|_| {})));
                    }
                }
                dialled = async { match &mut second { Some(dialling) => dialling.await, None => pending().await } } => {
                    match dialled {
                        Ok(line) => return Ok(Next::Line(line)),
                        // Not again before this line is alive, or lost.
                        Err(_) => second = Some(Box::pin(pending())),
                    }
                }
                _ = ways.tick() => {
                    let toward = route::toward(connection.remote_address());
                    line.follow(&mut way, &toward);
                    self.mind_costs(&toward);
                }
                () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => {
                    self.session.tick(connection.stats().udp_tx.bytes, clock.now())?;
                }
            }
        }
    }

    async fn settle_events(&mut self, welcomed: &mut bool) -> Result<(), End> {
        while let Some(event) = self.session.event() {
            match event {
                Event::Welcome => {
                    *welcomed = true;
                    let since = self.keeper.clock.now();
                    tracing::info!("linked to the office");
                    self.keeper.shared.status.send_modify(|status| status.state = LinkState::Connected { since });
                }
                Event::Acknowledged(mut keys) => {
                    self.acknowledged += keys.len() as u64;
                    self.to_settle.append(&mut keys);
                }
                Event::Unfit(kind) => {
                    tracing::error!("a {kind:?} in the journal is larger than can be uploaded: it stays in the car");
                }
                // Waited for, so that pieces are kept in order and come no faster than the disk takes them.
                Event::Piece(piece) => {
                    let outbox = Arc::clone(&self.keeper.outbox);
                    let kept = tokio::task::spawn_blocking(move || outbox.take_piece(&piece)).await;
                    if let Err(fault) = kept.unwrap_or_else(|_| Err(panicked())) {
                        self.session.piece_lost();
                        return Err(End::Fault(fault));
                    }
                }
                Event::List(revision) => {
                    let outbox = Arc::clone(&self.keeper.outbox);
                    self.on_disk(move || {
                        let applied = outbox.apply_list(&revision);
                        Done::List(revision, applied, outbox.lists_held())
                    });
                }
                Event::Dropped(revision) => {
                    let outbox = Arc::clone(&self.keeper.outbox);
                    let dropped = tokio::task::spawn_blocking(move || outbox.drop_list(&revision)).await;
                    dropped.map_err(|_| End::Fault(panicked()))?;
                }
            }
        }
        Ok(())
    }

    /// Tells or asks the journal what there is to tell or ask.
    fn desk(&mut self) {
        if self.desk_busy {
            return;
        }
        let outbox: Arc<dyn Outbox> = Arc::clone(&self.keeper.outbox);
        if !self.to_settle.is_empty() {
            self.desk_busy = true;
            let keys = std::mem::take(&mut self.to_settle);
            let shared = Arc::clone(&self.keeper.shared);
            self.on_disk(move || match outbox.acknowledged(&keys) {
                Ok(()) => {
                    // Counted here: the connection may be gone before it hears of it.
                    shared.status.send_modify(|status| status.acknowledged += keys.len() as u64);
                    Done::Settled(keys, outbox.unsent())
                }
                Err(fault) => Done::Failed(fault),
            });
        } else if self.look
            && let Some(budget) = self.session.budget()
        {
            self.desk_busy = true;
            self.look = false;
            self.on_disk(move || match outbox.pending(budget) {
                Ok(items) => Done::Pending(items, outbox.unsent()),
                Err(fault) => Done::Failed(fault),
            });
        }
    }

    /// Looks by which network the connection goes now, what that costs, and whether that lets more go.
    fn mind_costs(&mut self, toward: &std::io::Result<IpAddr>) {
        let keeper = self.keeper;
        let Some(metered) = &keeper.settings.metered else { return };
        let budgets = *keeper.shared.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        self.look |= self.session.meter().set_budgets(budgets);
        self.network.look(toward, metered);
        let (utc, now) = (keeper.clock.utc(), keeper.clock.now());
        let carried = self.connection.stats().udp_tx.bytes;
        self.look |= self.session.network(self.network.is_metered(), utc, carried);
        if self.network.is_to_count(self.session.meter(), now) {
            let outbox = Arc::clone(&keeper.outbox);
            self.on_disk(move || outbox.pictures_unsent().map_or_else(Done::Failed, Done::Pictures));
        }
        let lists = self.session.lists_waiting();
        let costs = self.network.costs(self.session.meter(), lists);
        if let Some(ledger) = self.network.is_to_keep(self.session.meter(), &costs, utc, now) {
            let outbox = Arc::clone(&keeper.outbox);
            self.on_disk(move || Done::Kept(outbox.keep_ledger(&ledger)));
        }
        keeper.shared.status.send_if_modified(|status| {
            let other = status.costs != costs;
            status.costs = costs;
            other
        });
    }

    fn on_disk(&self, work: impl FnOnce() -> Done + Send + 'static) {
        let sender = self.done_sender.clone();
        tokio::spawn(async move {
            let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Done::Failed(panicked()));
            // Nobody asks any more once the connection is gone.
            let _ = sender.send(done);
        });
    }

    fn take(&mut self, done: Done) -> Result<(), End> {
        let status = &self.keeper.shared.status;
        match done {
            Done::Pending(items, unsent) => {
                self.desk_busy = false;
                status.send_modify(|status| status.unsent = unsent);
                self.session.offer(items, self.keeper.clock.now());
            }
            Done::Pictures(waiting) => self.network.count(waiting),
            Done::Kept(kept) => self.network.kept(kept, self.session.meter()),
            Done::Settled(keys, unsent) => {
                self.desk_busy = false;
                self.session.settled(&keys);
                // Room has come free.
                self.look = true;
                status.send_modify(|status| {
                    status.unsent = unsent;
                });
            }
            Done::List(revision, applied, held) => {
                let fault = applied.err().map(Arc::new);
                if let Some(fault) = &fault {
                    tracing::warn!("a list from the office could not be used: {fault}");
                }
                status.send_modify(|status| {
                    status.lists.clone_from(&held);
                    status.list_fault = fault.clone();
                });
                self.session.list_done(&revision, fault.is_none(), held);
            }
            Done::Failed(fault) => return Err(End::Fault(fault)),
        }
        Ok(())
    }

    fn flush(&mut self) {
        while let Some((lane, bytes)) = self.session.transmit() {
            let connection = &self.connection;
            self.writers[lane as usize].get_or_insert_with(|| pipes::open(lane, connection.clone(), None)).send(bytes);
        }
    }
}

/// TLS alerts that both sides use for certificates (RFC 8446, section 6), as QUIC carries them.
const ALERT: u64 = 0x100;
const CERTIFICATE_EXPIRED: u64 = 45;
const UNKNOWN_AUTHORITY: u64 = 48;
const NO_APPLICATION_PROTOCOL: u64 = 120;

/// Whether the other side's certificate was signed by another authority than the one that is trusted.
pub(super) fn is_stranger(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::TransportError(local) if u64::from(local.code) == ALERT + UNKNOWN_AUTHORITY)
}

/// What the loss of a connection means for people.
pub(super) fn lost(address: &str, error: ConnectionError, clock: &clock::Shared) -> Fault {
    let alert = |code: u64| (ALERT..ALERT + 256).contains(&code).then(|| code - ALERT);
    match &error {
        ConnectionError::TransportError(local) => match alert(local.code.into()) {
            Some(CERTIFICATE_EXPIRED) => {
                let says = clock.utc().format("%Y-%m-%d %H:%M");
                Fault::new(
                    Kind::Denied,
                    format!("the office's certificate is not valid at {says} UTC, as this car's clock has it"),
                )
                .at(address)
                .remedy("Set the car's clock; if it is right, renew the office's identity")
            }
            Some(UNKNOWN_AUTHORITY) => {
                Fault::new(Kind::Denied, "this is another office than the one that enrolled this car")
                    .at(address)
                    .remedy("Check the address, or enrol the car with this office")
            }
            Some(_) => Fault::new(Kind::Denied, "the office's identity does not hold")
                .at(address)
                .because(local.reason.clone())
                .remedy("Use an address that the office was given with init --name"),
            None => no_way(address, error.into()),
        },
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code.into()) {
            Some(CERTIFICATE_EXPIRED) => {
                Fault::new(Kind::Denied, "this car's certificate is no longer valid, the office says")
                    .at(address)
                    .remedy(ENROL_AGAIN)
            }
            Some(NO_APPLICATION_PROTOCOL) => Fault::new(Kind::Denied, "the office does not speak this car's protocol")
                .at(address)
                .remedy("Bring car and office to versions that fit together"),
            Some(_) => {
                Fault::new(Kind::Denied, "the office refuses this car's identity").at(address).remedy(ENROL_AGAIN)
            }
            None => no_way(address, error.into()),
        },
        ConnectionError::ApplicationClosed(close) => closed(address, close.error_code.into_inner()),
        ConnectionError::TimedOut => no_way(address, "nothing answers".into()),
        ConnectionError::Reset => no_way(address, "the office was restarted".into()),
        _ => no_way(address, error.into()),
    }
}

/// What the office said when it closed.
fn closed(address: &str, code: u64) -> Fault {
    let (kind, what, remedy) = match Code::from_number(code) {
        Some(Code::Unknown) => {
            (Kind::Denied, "the office does not know this car's identity, or no longer", ENROL_AGAIN)
        }
        Some(Code::Name) => (
            Kind::Denied,
            "this identity was made for a unit of another name",
            "Give this car its own identity folder, or set unit in its configuration to the enrolled name",
        ),
        Some(Code::Version) => (
            Kind::Denied,
            "car and office have no version of the conversation in common",
            "Bring car and office to versions that fit together",
        ),
        Some(Code::Breach) => {
            (Kind::Denied, "the office ended the connection because of what this car sent", "Look at the office's log")
        }
        Some(Code::Replaced) => (
            Kind::Unavailable,
            "another connection with this car's identity took over",
            "Give each car its own identity",
        ),
        Some(Code::Unstored) => {
            (Kind::Unavailable, "the office cannot store anything now", "Look at the office's log and disk")
        }
        _ => (Kind::Unavailable, "the office has closed the connection", "It is tried again by itself"),
    };
    Fault::new(kind, what).at(address).remedy(remedy)
}

pub(super) fn no_way(address: &str, why: Box<dyn std::error::Error + Send + Sync>) -> Fault {
    Fault::new(Kind::Unavailable, "the office cannot be reached")
        .at(address)
        .because(why)
        .remedy("It is tried again by itself; nothing is lost meanwhile")
}

pub(super) fn panicked() -> Fault {
    Fault::new(Kind::Internal, "journal or hotlist ended a call from the link by a panic")
        .remedy("The link is made anew by itself; report it with the log")
}

pub(super) fn ran_out(identity: &Path, until: DateTime<Utc>) -> Fault {
    let day = until.format("%Y-%m-%d");
    Fault::new(Kind::Denied, format!("this car's certificate ran out on {day}, by this car's clock"))
        .at(identity.display())
        .remedy(format!("If the clock is right: {}", ENROL_AGAIN.replacen("Enrol", "enrol", 1)))
}

pub(super) fn wrong_clock(utc: DateTime<Utc>) -> Fault {
    Fault::new(
        Kind::Unavailable,
        format!("this car's clock says {}, so certificates cannot be judged", utc.format("%Y-%m-%d")),
    )
    .remedy("Wait for the clock to be set by satellite or network, or set it by hand")
}

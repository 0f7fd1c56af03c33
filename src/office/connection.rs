//! One car's connection: streams around the office's [`Session`].

use std::sync::Arc;

use quinn::crypto::rustls::HandshakeData;
use quinn::rustls::pki_types::CertificateDer;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use tokio::sync::{mpsc, watch};

use super::enrolment;
use super::handshakes::Place;
use super::register::{Fingerprint, Standing};
use super::service::Office;
use super::session::{Event, HELLO_TIMEOUT, ListInfo, Session, StoredPiece, Wanted};
use super::settings;
use super::store::Received;
use super::writer::{Jobs, Reply};
use crate::sync::enrol;
use crate::sync::pipes::{self, Inbound, Writer};
use crate::sync::wire::{Breach, Code, Lane};

/// A car that does not read what it is told may leave so many bytes waiting.
const UNREAD: usize = 1 << 20;

/// Serves one connection whose handshake is done, to its end. `proven` is kept until it is known who it is.
pub(crate) async fn serve(office: Arc<Office>, connection: Connection, proven: Place) {
    let certificate = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .and_then(|chain| chain.first().map(|certificate| Fingerprint::of(certificate)));
    if protocol(&connection).as_deref() == Some(enrol::ALPN) {
        return enrolment::serve(office, connection, certificate).await;
    }
    let refuse = |cause: &str, code: Code| {
        office.board.refused(cause, office.clock.utc());
        connection.close(VarInt::from_u32(code.number()), b"");
    };
    let Some(certificate) = certificate else { return refuse("no certificate", Code::Unknown) };
    let (there, asked) = (Arc::clone(&office), certificate.clone());
    let entry = match tokio::task::spawn_blocking(move || there.admit(&asked)).await {
        Ok(Ok(Some(entry))) => entry,
        Ok(Ok(None)) => return refuse("a certificate that is not in the register", Code::Unknown),
        Ok(Err(fault)) => {
            office.board.trouble(&fault, office.clock.utc());
            connection.close(VarInt::from_u32(Code::Unstored.number()), b"");
            return;
        }
        Err(_) => return,
    };
    let standing = entry.standing(office.clock.utc());
    if standing != Standing::Good {
        return refuse(&format!("a certificate of {:?} that is {}", entry.unit, standing.words()), Code::Unknown);
    }
    drop(proven);
    let unit = entry.unit;
    // A car that has dialled twice speaks on one of the two: only that one counts.
    let said = tokio::select! {
        control = connection.accept_bi() => control.map_err(|_| None),
        lane = connection.accept_uni() => Err(lane.ok().map(|_| Breach::OutOfPlace("an upload before Hello"))),
        () = tokio::time::sleep(HELLO_TIMEOUT) => Err(Some(Breach::Silent)),
    };
    let control = match said {
        Ok(control) => control,
        Err(Some(breach)) => return refuse(&format!("unit {unit:?}: {breach}"), breach.code()),
        // It has gone.
        Err(None) => return,
    };
    // A car that lost its network comes back before the old connection has timed out: the newer one counts.
    office.enter(&unit, certificate, &connection);
    let turn = tokio::select! {
        turn = office.pictures.turn(&unit) => turn,
        _ = connection.closed() => return office.leave(&unit, &connection),
    };
    let mut conversation = Conversation::new(&office, &unit, &connection);
    let end = conversation.run(control).await;
    office.pictures.leave(&unit, turn, conversation.session.into_begun());
    let code = match end {
        Ok(()) => Code::Done,
        Err(breach) => {
            office.board.refused(&format!("unit {unit:?}: {breach}"), office.clock.utc());
            breach.code()
        }
    };
    connection.close(VarInt::from_u32(code.number()), b"");
    office.leave(&unit, &connection);
}

/// Which of the office's protocols the connection is for.
fn protocol(connection: &Connection) -> Option<Vec<u8>> {
    connection.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol
}

/// What was wanted of a list, and what the store has of it.
type Piece = (Wanted, Option<StoredPiece>);

struct Conversation<'a> {
    office: &'a Arc<Office>,
    unit: &'a str,
    connection: &'a Connection,
    jobs: Jobs,
    session: Session,
    control: Option<Writer>,
    /// For lists, and for what is urgent of them.
    list_lanes: [Option<Writer>; 2],
    written: (mpsc::UnboundedSender<Lane>, mpsc::UnboundedReceiver<Lane>),
    pieces: (mpsc::UnboundedSender<Piece>, mpsc::UnboundedReceiver<Piece>),
    replies: (mpsc::UnboundedSender<Reply>, mpsc::UnboundedReceiver<Reply>),
}

impl<'a> Conversation<'a> {
    fn new(office: &'a Arc<Office>, unit: &'a str, connection: &'a Connection) -> Self {
        Self {
            office,
            unit,
            connection,
            jobs: office.jobs.of_connection(),
            session: Session::open(unit, office.pictures.take(unit), office.clock.now()),
            control: None,
            list_lanes: [None, None],
            written: mpsc::unbounded_channel(),
            pieces: mpsc::unbounded_channel(),
            replies: mpsc::unbounded_channel(),
        }
    }

    /// Converses, with the one stream on which both speak.
    async fn run(&mut self, (send, receive): (SendStream, RecvStream)) -> Result<(), Breach> {
        let (inbound_sender, mut inbound) = pipes::inbound();
        self.control = Some(pipes::write(Lane::Control, send, None));
        pipes::read(Lane::Control, receive, inbound_sender.clone());
        pipes::accept(self.connection.clone(), &[Lane::Hits, Lane::Reads, Lane::Pictures], inbound_sender);
        let mut lists = self.office.lists.subscribe();
        let connection = self.connection;
        let clock = Arc::clone(&self.office.clock);
        loop {
            self.events(&lists).await;
            self.flush()?;
            let due = self.session.deadline().map(|deadline| deadline.since(clock.now()));
            tokio::select! {
                _ = connection.closed() => return Ok(()),
                Some(inbound) = inbound.recv() => match inbound {
                    Inbound::Bytes(lane, bytes) => self.session.receive(lane, &bytes)?,
                    Inbound::Breach(breach) => return Err(breach),
                },
                Ok(datagram) = connection.read_datagram() => {
                    if let Some(present) = self.session.datagram(&datagram, clock.now())? {
                        self.office.board.present(self.unit, present, self.office.clock.utc());
                    }
                }
                Some(reply) = self.replies.1.recv() => match reply {
                    Reply::Stored(keys) => self.session.stored(keys),
                    Reply::Unstored => {
                        connection.close(VarInt::from_u32(Code::Unstored.number()), b"");
                        return Ok(());
                    }
                },
                Some(lane) = self.written.1.recv() => self.session.list_lane_free(lane),
                Some((wanted, bytes)) = self.pieces.1.recv() => self.session.piece(wanted, bytes),
                Ok(()) = lists.changed() => self.offer(&lists),
                () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => self.session.tick(clock.now())?,
            }
        }
    }

    async fn events(&mut self, lists: &watch::Receiver<Arc<Vec<ListInfo>>>) {
        while let Some(event) = self.session.event() {
            match event {
                Event::Greeted(program) => {
                    tracing::info!(unit = self.unit, program, "a unit is connected");
                    self.office.board.unit(self.unit, |status| status.program = program);
                }
                Event::Store(items) => {
                    let received = Received { unit: self.unit.to_owned(), items };
                    // Waits while the writer is behind; meanwhile flow control slows this car down. A connection that has
                    // ended waits for nothing: what is let go here was not acknowledged, and the car sends it again.
                    tokio::select! {
                        biased;
                        () = self.jobs.send(received, self.replies.0.clone()) => {}
                        _ = self.connection.closed() => {}
                    }
                }
                Event::Holding(held) => {
                    self.office.board.unit(self.unit, |status| status.lists = held.into_iter().collect());
                    self.offer(lists);
                }
                Event::Piece(wanted) => {
                    let (store, pieces) = (Arc::clone(&self.office.store), self.pieces.0.clone());
                    let unit = self.unit.to_owned();
                    tokio::task::spawn_blocking(move || {
                        let bytes = settings::piece(&*store, &unit, &wanted);
                        if let Err(fault) = &bytes {
                            tracing::error!("{fault}");
                        }
                        let _ = pieces.send((wanted, bytes.ok().flatten()));
                    });
                }
            }
        }
    }

    fn offer(&mut self, lists: &watch::Receiver<Arc<Vec<ListInfo>>>) {
        let lists = Arc::clone(&lists.borrow());
        self.session.lists(&settings::of_unit(&lists, self.unit));
    }

    fn flush(&mut self) -> Result<(), Breach> {
        while let Some((lane, bytes)) = self.session.transmit() {
            if lane != Lane::Control {
                let (connection, written) = (self.connection, &self.written.0);
                self.list_lanes[usize::from(lane == Lane::Urgent)]
                    .get_or_insert_with(|| pipes::open(lane, connection.clone(), Some(written.clone())))
                    .send(bytes);
            } else if let Some(control) = &self.control {
                control.send(bytes);
                if control.waiting() > UNREAD {
                    return Err(Breach::OutOfPlace("it does not read what it is told"));
                }
            }
        }
        Ok(())
    }
}

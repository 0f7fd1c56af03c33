//! One car's connection: streams around the office's [`Session`].

use std::sync::Arc;

use quinn::rustls::pki_types::CertificateDer;
use quinn::{Connection, VarInt};
use tokio::sync::{mpsc, watch};

use super::register::Fingerprint;
use super::service::Office;
use super::session::{Event, ListInfo, Session, Wanted};
use super::store::Received;
use super::writer::{Jobs, Reply};
use crate::sync::pipes::{self, Inbound, Writer};
use crate::sync::wire::{Breach, Code, Lane};

/// A car that does not read what it is told may leave so many bytes waiting.
const UNREAD: usize = 1 << 20;

/// Serves one connection whose handshake is done, to its end.
pub(crate) async fn serve(office: Arc<Office>, connection: Connection) {
    let certificate = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .and_then(|chain| chain.first().map(|certificate| Fingerprint::of(certificate)));
    let Some(certificate) = certificate else {
        // The handshake demands one; without it there is nobody to serve.
        connection.close(VarInt::from_u32(Code::Unknown.number()), b"");
        return;
    };
    let register = office.register.clone();
    let asked = certificate.clone();
    let unit = tokio::task::spawn_blocking(move || register.unit_of(&asked)).await;
    let unit = match unit {
        Ok(Ok(Some(unit))) => unit,
        Ok(Ok(None)) => {
            office.board.refused("a certificate that is revoked, or not in the register", office.clock.utc());
            connection.close(VarInt::from_u32(Code::Unknown.number()), b"");
            return;
        }
        Ok(Err(fault)) => {
            office.board.trouble(&fault, office.clock.utc());
            connection.close(VarInt::from_u32(Code::Unstored.number()), b"");
            return;
        }
        Err(_) => return,
    };
    let code = match Conversation::new(&office, &unit, certificate, &connection).run().await {
        Ok(()) => Code::Done,
        Err(breach) => {
            office.board.refused(&format!("unit {unit:?}: {breach}"), office.clock.utc());
            breach.code()
        }
    };
    connection.close(VarInt::from_u32(code.number()), b"");
    office.leave(&unit, &connection);
}

/// What was wanted of a list, and what the store has of it.
type Piece = (Wanted, Option<Vec<u8>>);

struct Conversation<'a> {
    office: &'a Arc<Office>,
    unit: &'a str,
    certificate: Fingerprint,
    connection: &'a Connection,
    jobs: Jobs,
    session: Session,
    control: Option<Writer>,
    lists_lane: Option<Writer>,
    written: (mpsc::UnboundedSender<Lane>, mpsc::UnboundedReceiver<Lane>),
    pieces: (mpsc::UnboundedSender<Piece>, mpsc::UnboundedReceiver<Piece>),
    replies: (mpsc::UnboundedSender<Reply>, mpsc::UnboundedReceiver<Reply>),
}

impl<'a> Conversation<'a> {
    fn new(office: &'a Arc<Office>, unit: &'a str, certificate: Fingerprint, connection: &'a Connection) -> Self {
        Self {
            office,
            unit,
            certificate,
            connection,
            jobs: office.jobs.of_connection(),
            session: Session::open(unit, office.clock.now()),
            control: None,
            lists_lane: None,
            written: mpsc::unbounded_channel(),
            pieces: mpsc::unbounded_channel(),
            replies: mpsc::unbounded_channel(),
        }
    }

    async fn run(&mut self) -> Result<(), Breach> {
        let (inbound_sender, mut inbound) = pipes::inbound();
        pipes::accept(self.connection.clone(), &[Lane::Hits, Lane::Reads, Lane::Pictures], inbound_sender.clone());
        let mut lists = self.office.lists.subscribe();
        let connection = self.connection;
        let clock = Arc::clone(&self.office.clock);
        loop {
            self.events(&lists).await;
            self.flush()?;
            let due = self.session.deadline().map(|deadline| deadline.since(clock.now()));
            tokio::select! {
                _ = connection.closed() => return Ok(()),
                // The control stream comes first, and there is only one.
                stream = connection.accept_bi(), if self.control.is_none() => match stream {
                    Ok((send, receive)) => {
                        self.control = Some(pipes::write(Lane::Control, send, None));
                        pipes::read(Lane::Control, receive, inbound_sender.clone());
                    }
                    Err(_) => return Ok(()),
                },
                Some(inbound) = inbound.recv() => match inbound {
                    Inbound::Bytes(lane, bytes) => self.session.receive(lane, &bytes)?,
                    Inbound::Breach(breach) => return Err(breach),
                },
                Some(reply) = self.replies.1.recv() => match reply {
                    Reply::Stored(keys) => self.session.stored(keys),
                    Reply::Unstored => {
                        connection.close(VarInt::from_u32(Code::Unstored.number()), b"");
                        return Ok(());
                    }
                },
                Some(_) = self.written.1.recv() => self.session.list_lane_free(),
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
                    // A car that lost its network comes back before the old connection has timed out: the newer one
                    // counts, from Hello on. A car that has dialled twice says Hello on one of the two.
                    self.office.enter(self.unit, self.certificate.clone(), self.connection);
                    tracing::info!(unit = self.unit, program, "a unit is connected");
                    self.office.board.unit(self.unit, |status| status.program = program);
                }
                Event::Store(items) => {
                    let received = Received { unit: self.unit.to_owned(), items };
                    // Waits while the writer is behind; meanwhile flow control slows this car down.
                    self.jobs.send(received, self.replies.0.clone()).await;
                }
                Event::Holding(held) => {
                    self.office.board.unit(self.unit, |status| status.lists = held.into_iter().collect());
                    self.offer(lists);
                }
                Event::Piece(wanted) => {
                    let (store, pieces) = (Arc::clone(&self.office.store), self.pieces.0.clone());
                    tokio::task::spawn_blocking(move || {
                        let bytes = store.list_piece(&wanted.list, wanted.revision, wanted.base, wanted.offset);
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
        self.session.lists(&lists);
    }

    fn flush(&mut self) -> Result<(), Breach> {
        while let Some((lane, bytes)) = self.session.transmit() {
            if lane == Lane::Lists {
                let (connection, written) = (self.connection, &self.written.0);
                self.lists_lane
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

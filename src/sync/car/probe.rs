//! One try whether the office answers, for whoever looks after the car.

use std::sync::Arc;
use std::time::Duration;

use quinn::{ConnectionError, VarInt};

use super::connection::lost;
use super::dial::{self, Line};
use super::downloads::Downloads;
use super::session::{Event, Session};
use crate::clock;
use crate::config;
use crate::fault::{Fault, Kind, Result};
use crate::sync::identity::Identity;
use crate::sync::wire::{Code, Lane};

/// How long the office may take to say Welcome.
const WELCOME: Duration = Duration::from_secs(10);
/// Bytes read at once.
const CHUNK: usize = 4 << 10;

/// Connects as the unit does, waits until the office welcomes it, and ends again; says how long it took. A link that is up
/// elsewhere with the same identity ends.
///
/// # Errors
/// Why the link would be down.
pub fn probe(unit: &str, settings: &config::Office, clock: clock::Shared) -> Result<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::new(Kind::Internal, "cannot start to talk to the office").because(error))?;
    runtime.block_on(async {
        let start = clock.now();
        let identity = Identity::load(&settings.identity)?;
        let config = identity.client(Arc::clone(&clock)).map_err(|fault| fault.at(settings.identity.display()))?;
        let ended = |error| lost(&settings.address, error, &clock);
        let Line { endpoint, connection } = dial::call(&settings.address, config, ended).await?;
        let welcomed = tokio::time::timeout(WELCOME, greet(unit, &connection, &clock)).await;
        connection.close(VarInt::from_u32(Code::Done.number()), b"");
        let took = clock.now().since(start);
        let _ = tokio::time::timeout(Duration::from_millis(500), endpoint.wait_idle()).await;
        welcomed.unwrap_or(Err(ConnectionError::TimedOut)).map(|()| took).map_err(ended)
    })
}

async fn greet(unit: &str, connection: &quinn::Connection, clock: &clock::Shared) -> Result<(), ConnectionError> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let mut session = Session::open(unit, Vec::new(), Downloads::default(), clock.now());
    let mut buffer = vec![0; CHUNK];
    while let Some((_, bytes)) = session.transmit() {
        if send.write_all(&bytes).await.is_err() {
            return Err(connection.closed().await);
        }
    }
    loop {
        let Ok(Some(length)) = receive.read(&mut buffer).await else { return Err(connection.closed().await) };
        let heard = session.receive(Lane::Control, &buffer[..length], clock.now());
        while let Some(event) = session.event() {
            if event == Event::Welcome {
                return Ok(());
            }
        }
        if heard.is_err() {
            return Err(ConnectionError::VersionMismatch);
        }
    }
}

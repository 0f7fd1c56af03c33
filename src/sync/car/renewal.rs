//! Keeps the car's certificate from running out: once two thirds of its life are over, the car asks for a new one whenever it
//! is connected. What goes wrong with it is told long before the link ends for it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{LinkState, Shared, enrol};
use crate::clock::{self, Moment};
use crate::config;
use crate::fault::{Fault, Kind};
use crate::sync::identity::{Identity, Life};

/// Between two looks, where nothing happens on the link.
const LOOK: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(3600);
/// With less than this left, an office that is not reached is a fault.
const SHORT: TimeDelta = TimeDelta::days(30);

/// What keeps the certificate from running out.
pub(super) struct Renewer {
    unit: String,
    settings: config::Office,
    clock: clock::Shared,
    shared: Arc<Shared>,
    /// How long the certificate counts, and since when the link was up or down when that was read.
    life: Option<(Life, Option<Moment>)>,
    /// Not before this is it tried again.
    next: Option<Moment>,
}

impl Renewer {
    pub(super) fn new(unit: &str, settings: &config::Office, clock: clock::Shared, shared: Arc<Shared>) -> Self {
        Self { unit: unit.to_owned(), settings: settings.clone(), clock, shared, life: None, next: None }
    }

    /// Goes on for as long as the link's runtime does.
    pub(super) async fn keep(mut self) {
        let mut status = self.shared.status.subscribe();
        loop {
            let connected = match status.borrow_and_update().state {
                LinkState::Connected { since } => Some(since),
                _ => None,
            };
            self.look(connected).await;
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn look(&mut self, connected: Option<Moment>) {
        let utc = self.clock.utc();
        // An identity that cannot be read is named by whoever wants to connect with it.
        let Some(life) = self.life(connected).filter(|_| clock::plausible(utc)) else { return };
        if utc < life.renewal() {
            return self.tell(None);
        }
        if connected.is_none() {
            let fault = (life.left(utc) < SHORT).then(|| unreached(&life, utc));
            return self.tell(fault);
        }
        let now = self.clock.now();
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now.plus(PAUSE));
        match enrol::renew(&self.unit, &self.settings, &self.clock).await {
            Ok(life) => {
                tracing::info!(until = %life.until, "this car's certificate is renewed");
                (self.life, self.next) = (None, None);
                self.tell(None);
                self.shared.renewed.notify_one();
            }
            Err(fault) => {
                tracing::warn!("this car's certificate could not be renewed: {fault}");
                self.tell(Some(not_renewed(&life, fault)));
            }
        }
    }

    /// How long the certificate counts, read anew whenever the link has come up or gone down.
    fn life(&mut self, connected: Option<Moment>) -> Option<Life> {
        if self.life.is_none_or(|(_, then)| then != connected) {
            let life = Identity::load(&self.settings.identity).and_then(|identity| identity.life()).ok();
            self.life = life.map(|life| (life, connected));
        }
        self.life.map(|(life, _)| life)
    }

    fn tell(&self, fault: Option<Fault>) {
        let text = fault.as_ref().map(ToString::to_string);
        self.shared.status.send_if_modified(|status| {
            let changed = status.identity_fault.as_ref().map(ToString::to_string) != text;
            if changed {
                status.identity_fault = fault.map(Arc::new);
            }
            changed
        });
    }
}

fn unreached(life: &Life, utc: DateTime<Utc>) -> Fault {
    let (day, left) = (life.until.format("%Y-%m-%d"), life.left(utc).num_days());
    Fault::new(Kind::Unavailable, format!("this car's certificate runs out on {day}, in {left} days"))
        .because("the office, which renews it, is not reached")
        .remedy("Bring the car to a network before that, or it has to be enrolled again")
}

fn not_renewed(life: &Life, fault: Fault) -> Fault {
    let day = life.until.format("%Y-%m-%d");
    Fault::new(fault.kind(), format!("this car's certificate could not be renewed, and runs out on {day}"))
        .because(fault)
}

//! Lists on their way down: which is fetched, how far it is, and what of it outlives the connection.
//!
//! A whole list may take hours. What is urgent (see [`Lane::of_list`]) is fetched beside it, on a lane of its own; within each of
//! the two tracks one revision is fetched at a time.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest, Sha256};

use super::session::Revision;
use crate::sync::wire::{LISTS_LIMIT, Lane};

/// List transfers, which outlive a connection: what has arrived is not fetched again.
#[derive(Debug, Default)]
pub(crate) struct Downloads {
    bulk: Track,
    urgent: Track,
    /// Offers that turned out to be unusable; asking again would bring the same bytes.
    refused: HashSet<Offer>,
    /// Lists of which a change was unusable: they are wanted whole.
    whole: HashSet<String>,
}

/// What is fetched on one lane, one revision at a time.
#[derive(Debug, Default)]
struct Track {
    /// The revision that is being fetched, or was when the last connection ended.
    partial: Option<Partial>,
    /// One that was begun before, while another comes first.
    stale: Option<Partial>,
    /// What is offered on this connection.
    offers: BTreeMap<String, Offer>,
    /// Whether `partial` was asked for on this connection.
    fetching: bool,
    /// Whether the office was told that `partial` is to wait. What it had sent before still comes.
    stopping: bool,
    /// What has come and is being applied.
    applying: Option<Offer>,
}

/// A revision as the office offers it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Offer {
    pub(super) list: String,
    pub(super) revision: u64,
    /// 0: a whole list.
    pub(super) base: u64,
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
}

impl Offer {
    pub(super) fn revision(&self) -> Revision {
        Revision { list: self.list.clone(), revision: self.revision, base: self.base }
    }
}

/// How much of an offer has come. Its bytes are kept by the parts around the session.
#[derive(Debug)]
struct Partial {
    offer: Offer,
    arrived: u64,
    hash: Sha256,
}

/// What is to be done next about a track.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The office is to be asked for this offer, from this byte on.
    Ask(Offer, u64),
    /// The office is to send no more of this offer for now.
    Stop(Offer),
    /// The pieces of a revision that were kept are of no use.
    Drop(Revision),
    /// A revision has come, whole and with the right hash.
    Apply(Revision),
}

impl Downloads {
    /// A connection has ended, or begins: nothing is offered, nothing asked for. `lost`: pieces that came last were not kept.
    pub(super) fn cut(&mut self, lost: bool) {
        for track in [&mut self.bulk, &mut self.urgent] {
            (track.fetching, track.stopping, track.applying) = (false, false, None);
            track.offers.clear();
            if lost {
                track.partial = None;
            }
        }
    }

    /// A piece of a revision could not be kept: it begins anew.
    pub(super) fn piece_lost(&mut self) {
        (self.bulk.partial, self.urgent.partial) = (None, None);
    }

    pub(super) fn wants_whole(&self, list: &str) -> bool {
        self.whole.contains(list)
    }

    /// Takes an offer of something newer than the car holds. False if there are more than a car takes.
    pub(super) fn offered(&mut self, offer: Offer, lane: Lane) -> bool {
        if self.refused.contains(&offer) {
            return true;
        }
        let track = self.track(lane);
        if track.applying.as_ref() == Some(&offer) {
            return true;
        }
        if track.offers.len() >= LISTS_LIMIT && !track.offers.contains_key(&offer.list) {
            return false;
        }
        // A newer revision of what is being fetched makes the rest of the older one worthless.
        if track.partial.as_ref().is_some_and(|p| p.offer.list == offer.list && p.offer != offer) {
            (track.fetching, track.stopping) = (false, false);
        }
        track.offers.insert(offer.list.clone(), offer);
        true
    }

    /// Takes the pieces of a revision on; `None`: they are not of what is being fetched, and are let go.
    pub(super) fn piece(&mut self, lane: Lane, of: &Revision, offset: u64, bytes: &[u8]) -> Option<Result<(), ()>> {
        let track = self.track(lane);
        let fetching = track.fetching;
        let partial = track.partial.as_mut().filter(|partial| fetching && partial.offer.revision() == *of)?;
        if track.stopping && offset != partial.arrived && offset == last_byte(&partial.offer) && bytes.len() == 1 {
            // The office has heard that it is to wait, and sends no more. It may come later.
            let offer = partial.offer.clone();
            (track.fetching, track.stopping) = (false, false);
            track.offers.entry(offer.list.clone()).or_insert(offer);
            return None;
        }
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= partial.offer.size);
        let Some(end) = end.filter(|_| offset == partial.arrived) else { return Some(Err(())) };
        partial.arrived = end;
        partial.hash.update(bytes);
        Some(Ok(()))
    }

    /// What is to be done about the track of `lane` now, until there is nothing. What `may` not come waits.
    pub(super) fn next(&mut self, lane: Lane, may: impl Fn(&Offer) -> bool) -> Option<Next> {
        let track = self.track(lane);
        if track.fetching {
            let partial = track.partial.as_ref()?;
            if partial.arrived == partial.offer.size {
                return self.complete(lane);
            }
            if track.stopping || partial.arrived == last_byte(&partial.offer) || may(&partial.offer) {
                return None;
            }
            track.stopping = true;
            return Some(Next::Stop(partial.offer.clone()));
        }
        if track.applying.is_some() {
            return None;
        }
        // The smallest first: a word about one vehicle does not wait for a change of thousands.
        let (list, _) = track
            .offers
            .iter()
            .filter(|(_, offer)| may(offer))
            .min_by_key(|(_, offer)| if lane == Lane::Urgent { offer.size } else { 0 })?;
        let list = list.clone();
        let offer = track.offers.get(&list).cloned()?;
        let mut dropped = None;
        if track.stale.as_ref().is_some_and(|partial| partial.offer == offer) {
            std::mem::swap(&mut track.stale, &mut track.partial);
        } else if track.partial.as_ref().is_none_or(|partial| partial.offer != offer) {
            let fresh = Partial { offer: offer.clone(), arrived: 0, hash: Sha256::new() };
            let before = track.partial.replace(fresh);
            dropped = before.and_then(|before| track.stale.replace(before));
        }
        if let Some(older) = dropped {
            // The offer stays: it is asked for at the next look.
            return Some(Next::Drop(older.offer.revision()));
        }
        track.offers.remove(&list);
        track.fetching = true;
        let arrived = track.partial.as_ref().map_or(0, |partial| partial.arrived);
        Some(Next::Ask(offer, arrived))
    }

    /// How many lists wait that may not come.
    pub(super) fn waiting(&self, may: impl Fn(&Offer) -> bool) -> u64 {
        let stopped = self.bulk.partial.as_ref().filter(|_| self.bulk.stopping).map(|partial| &partial.offer);
        self.bulk.offers.values().chain(stopped).filter(|offer| !may(offer)).count() as u64
    }

    /// Hands over what has come whole.
    fn complete(&mut self, lane: Lane) -> Option<Next> {
        let track = self.track(lane);
        let Partial { offer, hash, .. } = track.partial.take()?;
        (track.fetching, track.stopping) = (false, false);
        let revision = offer.revision();
        if <[u8; 32]>::from(hash.finalize()) == offer.sha256 {
            track.applying = Some(offer);
            return Some(Next::Apply(revision));
        }
        tracing::warn!(
            list = offer.list,
            revision = offer.revision,
            "a list does not have the hash it was offered with"
        );
        self.refused.insert(offer);
        Some(Next::Drop(revision))
    }

    /// What was handed over was applied, or could not be.
    pub(super) fn applied(&mut self, revision: &Revision, applied: bool) {
        let tracks = [&mut self.bulk, &mut self.urgent];
        let done = tracks.into_iter().find_map(|track| track.applying.take_if(|offer| offer.revision() == *revision));
        let Some(offer) = done else { return };
        if applied {
            self.whole.remove(&offer.list);
        } else {
            if offer.base != 0 {
                self.whole.insert(offer.list.clone());
            }
            self.refused.insert(offer);
        }
    }

    fn track(&mut self, lane: Lane) -> &mut Track {
        if lane == Lane::Urgent { &mut self.urgent } else { &mut self.bulk }
    }
}

/// Where the last byte of an offer is. A car that asks for it alone is sent that and no more: so an office of any version is
/// stopped.
pub(super) fn last_byte(offer: &Offer) -> u64 {
    offer.size.saturating_sub(1)
}

//! Pictures that were cut: what came of them is kept for the next connection of their unit, in memory and within a bound.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout_at};

use crate::sync::wire::Breach;
use crate::sync::wire::proto;

/// Bytes that are kept for all units together; beyond it the oldest are let go, and those pictures begin anew.
const KEPT: usize = 64 << 20;

/// The first part of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begun {
    /// The picture's key.
    pub(crate) key: Vec<u8>,
    size: u64,
    sha256: [u8; 32],
    /// What has come.
    pub(crate) bytes: Vec<u8>,
}

impl Begun {
    /// Nothing yet of the picture that `part` is of.
    pub(crate) fn of(part: &proto::Upload) -> Result<Self, Breach> {
        let sha256 = <[u8; 32]>::try_from(&part.sha256[..]);
        let sha256 = sha256.map_err(|_| Breach::OutOfPlace("a part of a picture without a hash"))?;
        Ok(Self { key: part.key.clone(), size: part.size, sha256, bytes: Vec::new() })
    }

    /// Whether `part` is what comes next.
    pub(crate) fn goes_on_with(&self, part: &proto::Upload) -> bool {
        let has = self.bytes.len() as u64;
        (self.key == part.key && self.size == part.size && self.sha256[..] == part.sha256[..])
            && (has == part.offset && !part.payload.is_empty() && part.payload.len() as u64 <= self.size - has)
    }

    /// Whether it is whole, and what was announced.
    pub(crate) fn is_right(&self) -> bool {
        self.bytes.len() as u64 == self.size && <[u8; 32]>::from(Sha256::digest(&self.bytes)) == self.sha256
    }

    /// As the car is told of it.
    pub(crate) fn told(&self) -> proto::Begun {
        proto::Begun {
            key: self.key.clone(),
            size: self.size,
            sha256: self.sha256.to_vec(),
            offset: self.bytes.len() as u64,
        }
    }
}

/// How long a unit's connection waits for what its last one had: what the car would send again otherwise is worth no longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is kept of every unit, at most one picture of each; and whose turn it is to speak for a unit.
#[derive(Debug)]
pub(crate) struct Pictures {
    /// The oldest first.
    kept: Mutex<VecDeque<(String, Begun)>>,
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    patience: Duration,
}

impl Default for Pictures {
    fn default() -> Self {
        Self { kept: Mutex::default(), turns: Mutex::default(), patience: PATIENCE }
    }
}

/// The right to speak for a unit, from when its last connection has left what it had.
#[derive(Debug)]
pub(crate) struct Turn(OwnedMutexGuard<()>);

impl Pictures {
    /// Held by the conversation of a unit: the next one begins when the one before has left what it had. One that does not leave
    /// is passed by after a while, and what it leaves then is not kept.
    pub(crate) async fn turn(&self, unit: &str) -> Turn {
        let until = Instant::now() + self.patience;
        loop {
            let current = Arc::clone(self.turns().entry(unit.to_owned()).or_default());
            let Ok(held) = timeout_at(until, Arc::clone(&current).lock_owned()).await else { break };
            // Somebody else may have passed by whoever held this one.
            if self.turns().get(unit).is_some_and(|newest| Arc::ptr_eq(newest, &current)) {
                return Turn(held);
            }
        }
        let own = Arc::new(tokio::sync::Mutex::new(()));
        let held = Arc::clone(&own).lock_owned().await;
        self.turns().insert(unit.to_owned(), own);
        Turn(held)
    }

    /// Ends a turn: keeps what it had of a picture, unless another has passed it by meanwhile.
    pub(crate) fn leave(&self, unit: &str, turn: Turn, begun: Option<Begun>) {
        let turns = self.turns();
        let is_current = turns.get(unit).is_some_and(|newest| Arc::ptr_eq(newest, OwnedMutexGuard::mutex(&turn.0)));
        if let Some(begun) = begun.filter(|_| is_current) {
            self.keep(unit, begun);
        }
    }

    fn turns(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<tokio::sync::Mutex<()>>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what came of a picture.
    fn keep(&self, unit: &str, begun: Begun) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(other, _)| other != unit);
        kept.push_back((unit.to_owned(), begun));
        while kept.iter().map(|(_, begun)| begun.bytes.len()).sum::<usize>() > KEPT {
            kept.pop_front();
        }
    }

    /// Gives what was kept.
    pub(crate) fn take(&self, unit: &str) -> Option<Begun> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(other, _)| other == unit)?;
        kept.remove(place).map(|(_, begun)| begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(key: &[u8], bytes: usize) -> Begun {
        Begun { key: key.to_vec(), size: 9 << 20, sha256: [7; 32], bytes: vec![1; bytes] }
    }

    #[test]
    fn one_picture_a_unit_is_kept_and_all_together_stay_within_the_bound() {
        let pictures = Pictures::default();
        pictures.keep("EX-01", begun(b"1", 10));
        pictures.keep("EX-01", begun(b"2", 20));
        assert_eq!(pictures.take("EX-01"), Some(begun(b"2", 20)));
        assert_eq!(pictures.take("EX-01"), None);
        for car in 0..100 {
            pictures.keep(&format!("car-{car}"), begun(b"1", 1 << 20));
        }
        let left: Vec<usize> = (0..100).filter(|car| pictures.take(&format!("car-{car}")).is_some()).collect();
        assert_eq!(left, (36..100).collect::<Vec<_>>(), "the oldest are let go");
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(work)
    }

    #[test]
    fn a_connection_begins_when_the_one_before_has_left_what_it_had() {
        let pictures = Pictures { patience: Duration::from_secs(3600), ..Pictures::default() };
        block_on(async {
            let first = pictures.turn("EX-01").await;
            let _other = pictures.turn("EX-02").await;
            let next = async {
                let turn = pictures.turn("EX-01").await;
                (pictures.take("EX-01"), turn)
            };
            let leave = async { pictures.leave("EX-01", first, Some(begun(b"1", 10))) };
            let ((found, _), ()) = tokio::join!(next, leave);
            assert_eq!(found, Some(begun(b"1", 10)));
        });
    }

    #[test]
    fn one_that_does_not_leave_is_passed_by_and_keeps_nothing_from_then_on() {
        let pictures = Pictures { patience: Duration::from_millis(20), ..Pictures::default() };
        block_on(async {
            let stuck = pictures.turn("EX-01").await;
            let second = pictures.turn("EX-01").await;
            pictures.leave("EX-01", stuck, Some(begun(b"1", 10)));
            assert_eq!(pictures.take("EX-01"), None, "the second has begun without it");
            // The turn of the second is one like any other.
            assert!(tokio::time::timeout(Duration::from_millis(5), pictures.turn("EX-01")).await.is_err());
            pictures.leave("EX-01", second, Some(begun(b"2", 20)));
            let third = pictures.turn("EX-01").await;
            assert_eq!(pictures.take("EX-01"), Some(begun(b"2", 20)));
            pictures.leave("EX-01", third, None);
        });
    }

    #[test]
    fn of_two_that_wait_for_a_stuck_one_only_one_speaks_at_a_time() {
        let pictures = Pictures { patience: Duration::from_millis(20), ..Pictures::default() };
        block_on(async {
            let stuck = pictures.turn("EX-01").await;
            // The second has passed it by; the third has waited for the stuck one from before that, and it leaves at last.
            let second = pictures.turn("EX-01").await;
            let longer = Pictures { patience: Duration::from_secs(3600), ..Pictures::default() };
            *longer.turns() = HashMap::from([("EX-01".to_owned(), Arc::clone(OwnedMutexGuard::mutex(&stuck.0)))]);
            let third = async { longer.turn("EX-01").await };
            let meanwhile = async {
                longer.turns().insert("EX-01".to_owned(), Arc::clone(OwnedMutexGuard::mutex(&second.0)));
                drop(stuck);
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                longer.leave("EX-01", second, Some(begun(b"2", 20)));
            };
            let (third, ()) = tokio::join!(third, meanwhile);
            assert_eq!(longer.take("EX-01"), Some(begun(b"2", 20)), "it began when the second had left");
            drop(third);
        });
    }
}

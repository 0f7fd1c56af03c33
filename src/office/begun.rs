//! Pictures that were cut: what came of them is kept for the next connection of their unit, in memory and within a bound.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

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

/// What is kept of every unit, at most one picture of each; and whose turn it is to speak for a unit.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    /// The oldest first.
    kept: Mutex<VecDeque<(String, Begun)>>,
    turns: Mutex<std::collections::HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Pictures {
    /// Held by the conversation of a unit: the next one begins when the one before has left what it had.
    pub(crate) async fn turn(&self, unit: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(unit.to_owned()).or_default())
        };
        turn.lock_owned().await
    }

    /// Keeps what came of a picture.
    pub(crate) fn keep(&self, unit: &str, begun: Begun) {
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

    #[test]
    fn one_picture_a_unit_is_kept_and_all_together_stay_within_the_bound() {
        let begun = |key: &[u8], bytes: usize| Begun {
            key: key.to_vec(),
            size: 9 << 20,
            sha256: [7; 32],
            bytes: vec![1; bytes],
        };
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
}

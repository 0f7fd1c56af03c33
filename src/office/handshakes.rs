//! Connections of which it is not known yet whose they are: so many at once. A car is through in two or three round trips; who
//! dawdles is pushed out by those who come. Until then those who come have to wait, and come again by themselves: when a whole
//! fleet comes back at once, a handshake that is half way is worth more than one that begins.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

/// So many at once.
const MOST: usize = 512;

/// A handshake keeps its place for so long, whoever comes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The handshakes in progress.
#[derive(Debug, Clone)]
pub(crate) struct Handshakes {
    patience: Duration,
    inner: Arc<Mutex<Inner>>,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self { patience: PATIENCE, inner: Arc::default() }
    }
}

/// Whether there is room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is.
    Free,
    /// The oldest has dawdled, and is to go for it.
    OfADawdler,
    /// There is none now.
    None,
}

#[derive(Debug, Default)]
struct Inner {
    /// The newest's number.
    number: u64,
    running: VecDeque<(u64, Instant, AbortHandle)>,
}

/// A place among them. Dropping it leaves it: whoever had it can be pushed out no more.
#[derive(Debug)]
pub(crate) struct Place {
    handshakes: Handshakes,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let number = self.number;
        self.handshakes.inner().running.retain(|(other, ..)| *other != number);
    }
}

impl Handshakes {
    /// How many there are.
    pub(crate) fn running(&self) -> usize {
        self.inner().running.len()
    }

    /// Whether one more can be started.
    pub(crate) fn room(&self) -> Room {
        let inner = self.inner();
        match inner.running.front() {
            Some((_, since, _)) if inner.running.len() >= MOST => {
                if since.elapsed() >= self.patience {
                    Room::OfADawdler
                } else {
                    Room::None
                }
            }
            _ => Room::Free,
        }
    }

    /// Starts one more, on the runtime that this is called on; where there are too many, the oldest goes for it.
    pub(crate) fn start<F>(&self, work: impl FnOnce(Place) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut inner = self.inner();
        inner.number += 1;
        let number = inner.number;
        let oldest = if inner.running.len() >= MOST { inner.running.pop_front() } else { None };
        // The task leaves its place through the same lock: it is entered first.
        let task = tokio::spawn(work(Place { handshakes: self.clone(), number }));
        inner.running.push_back((number, Instant::now(), task.abort_handle()));
        drop(inner);
        if let Some((_, _, oldest)) = oldest {
            oldest.abort();
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_dawdles_makes_room_and_who_is_known_stays() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut handshakes = Handshakes::default();
            let (known, mut told) = tokio::sync::mpsc::unbounded_channel();
            let forever = |place: Place, name: usize| {
                let known = known.clone();
                async move {
                    let place = if name == 0 {
                        drop(place);
                        None
                    } else {
                        Some(place)
                    };
                    let _ = known.send(name);
                    std::future::pending::<()>().await;
                    drop(place);
                }
            };
            handshakes.start(|place| forever(place, 0));
            assert_eq!(told.recv().await, Some(0));
            assert_eq!(handshakes.running(), 0, "it is known whose it is");
            for name in 1..=MOST {
                assert_eq!(handshakes.room(), Room::Free);
                handshakes.start(|place| forever(place, name));
            }
            assert_eq!(handshakes.room(), Room::None, "nobody has dawdled yet");
            handshakes.patience = Duration::ZERO;
            assert_eq!(handshakes.room(), Room::OfADawdler);
            handshakes.start(|place| forever(place, MOST + 1));
            for _ in 0..=MOST {
                tokio::task::yield_now().await;
            }
            assert_eq!(handshakes.running(), MOST);
            drop(known);
            let mut names = Vec::new();
            while let Ok(name) = told.try_recv() {
                names.push(name);
            }
            assert_eq!(names, (2..=MOST + 1).collect::<Vec<_>>(), "the first of the waiting was pushed out");
        });
    }
}

//! Whether the other end still answers. QUIC itself asks a silent peer at ever longer intervals, so that a network which is
//! away for ten seconds would be missed for six more; this asks at steady ones, and says when a second connection is worth
//! a try.

use std::time::Duration;

use crate::clock::Moment;

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// Between two questions to a peer that does not answer.
const ASK: Duration = Duration::from_millis(400);
/// What an answer may take beside its round trip: the peer may wait a moment with it, and machines are busy.
const GRACE: Duration = Duration::from_millis(300);

/// What a look has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sign {
    /// Something that asks for an answer is to be sent.
    pub(super) ask: bool,
    /// The peer was asked and does not answer.
    pub(super) silent: bool,
}

/// What was seen of one connection.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    received: u64,
    /// How many questions had been sent when something last came.
    answered: u64,
    /// Since when a question is open.
    open: Option<Moment>,
    /// Of this one's own questions since then: how many, and when the last one was.
    asked: Option<(u32, Moment)>,
}

impl Pulse {
    /// Looks: so many packets have come in all, and so many frames that ask for an answer have gone out.
    pub(super) fn look(&mut self, received: u64, questions: u64, rtt: Duration, now: Moment) -> Sign {
        let patience = 2 * rtt + GRACE;
        if received != self.received {
            *self = Self { received, answered: questions, ..Self::default() };
            return Sign { ask: false, silent: false };
        }
        if questions > self.answered {
            self.open.get_or_insert(now);
        }
        let late = self.open.is_some_and(|open| now.since(open) >= patience);
        match self.asked {
            // What is open may be a search for larger packets, which nobody has to answer: a question of one's own tells.
            None if late => {
                self.asked = Some((1, now));
                Sign { ask: true, silent: false }
            }
            Some((times, last)) => {
                let ask = now.since(last) >= ASK;
                if ask {
                    self.asked = Some((times + 1, now));
                }
                Sign { ask, silent: times > 1 || now.since(last) >= patience }
            }
            None => Sign { ask: false, silent: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Moment {
        Moment::at(Duration::from_millis(ms))
    }

    /// Looks every tenth of a second, in which `come` packets come and `go` questions go; gives when it asked, and the first
    /// time that the peer was silent.
    fn watch(come: impl Fn(u64) -> u64, go: impl Fn(u64) -> u64) -> (Vec<u64>, Option<u64>) {
        let mut pulse = Pulse::default();
        let (mut asked, mut silent) = (Vec::new(), None);
        for ms in (0..12_000).step_by(100) {
            let sign = pulse.look(come(ms), go(ms) + asked.len() as u64, RTT, at(ms));
            if sign.ask {
                asked.push(ms);
            }
            if sign.silent {
                silent.get_or_insert(ms);
            }
        }
        (asked, silent)
    }

    #[test]
    fn a_link_that_is_at_rest_or_answers_is_left_alone() {
        assert_eq!(watch(|_| 7, |_| 7), (vec![], None));
        assert_eq!(watch(|ms| ms / 300, |ms| ms / 100), (vec![], None));
        // Answers that come after a round trip.
        assert_eq!(watch(|ms| ms.saturating_sub(100) / 5000, |ms| ms / 5000), (vec![], None));
    }

    #[test]
    fn what_nobody_answers_is_asked_again_at_steady_intervals_and_missed_within_a_second_or_so() {
        let (asked, silent) = watch(|ms| 1 + ms.min(1000) / 100, |ms| 1 + u64::from(ms >= 2000));
        assert_eq!(&asked[..3], [2500, 2900, 3300]);
        assert_eq!(silent, Some(3000));
        assert!(asked.windows(2).all(|two| two[1] - two[0] == 400));
    }

    #[test]
    fn a_search_for_larger_packets_that_fails_is_not_silence() {
        // One question of the search is never answered; the one that follows from it is.
        let (asked, silent) = watch(|ms| if ms < 700 { 1 } else { 2 }, |ms| 1 + u64::from(ms >= 100));
        assert_eq!((asked, silent), (vec![600], None));
    }
}

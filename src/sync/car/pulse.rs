//! Whether the other end still answers. QUIC itself asks a silent peer at ever longer intervals, so that a network which is
//! away for ten seconds would be missed for six more; this asks at steady ones, and says when a second connection is worth
//! a try.

use std::time::Duration;

use crate::clock::Moment;

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// Between two questions to a peer that does not answer.
const ASK: Duration = Duration::from_millis(300);
/// What an answer may take beside its round trip: the peer may wait a moment with it, and machines are busy.
const GRACE: Duration = Duration::from_millis(300);

/// What is seen of a connection when it is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// Packets that have come in all.
    pub(super) received: u64,
    /// Frames that ask for an answer which have gone out in all.
    pub(super) questions: u64,
    /// Whether the office has not acknowledged something that it was sent.
    pub(super) waiting: bool,
    /// How much it has acknowledged in all.
    pub(super) acknowledged: u64,
    /// The round trip, as QUIC has it.
    pub(super) rtt: Duration,
}

/// What a look has shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sign {
    /// Something that asks for an answer is to be sent: it tells whether the other end is there, and shows QUIC what was lost
    /// before.
    pub(super) ask: bool,
    /// The peer was asked and does not answer.
    pub(super) silent: bool,
}

/// What was seen of one connection.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    seen: Seen,
    /// How many questions had been sent when something last came.
    answered: u64,
    /// Since when a question is open.
    open: Option<Moment>,
    /// Of this one's own questions since then: how many, and when the last one was.
    asked: Option<(u32, Moment)>,
    /// Since when something waits for the office without any of it being acknowledged.
    stalled: Option<Moment>,
    last: Option<Moment>,
    /// The shortest round trip so far. The current one may be an error: an answer to a packet from before a cut, that is come
    /// with a later one, is taken for a round trip of seconds.
    shortest: Option<Duration>,
}

impl Pulse {
    /// Looks at the connection.
    pub(super) fn look(&mut self, seen: Seen, now: Moment) -> Sign {
        let shortest = self.shortest.map_or(seen.rtt, |shortest| shortest.min(seen.rtt));
        self.shortest = Some(shortest);
        let patience = 2 * seen.rtt.min(2 * shortest) + GRACE;
        let before = std::mem::replace(&mut self.seen, seen);
        if seen.received != before.received {
            (self.answered, self.open, self.asked) = (seen.questions, None, None);
        } else if seen.questions > self.answered {
            self.open.get_or_insert(now);
        }
        if !seen.waiting || seen.acknowledged != before.acknowledged {
            self.stalled = None;
        }
        if seen.waiting {
            self.stalled.get_or_insert(now);
        }
        // What is open may be a search for larger packets, which nobody has to answer: a question of one's own tells.
        let silent = self.asked.is_some_and(|(times, last)| times > 1 || now.since(last) >= patience);
        let late = [self.open, self.stalled].into_iter().flatten().any(|since| now.since(since) >= patience);
        let ask = late && self.last.is_none_or(|last| now.since(last) >= ASK);
        if ask {
            self.last = Some(now);
            self.asked = Some((self.asked.map_or(1, |(times, _)| times + 1), now));
        }
        Sign { ask, silent }
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
            let questions = go(ms) + asked.len() as u64;
            let seen = Seen { received: come(ms), questions, rtt: RTT, ..Seen::default() };
            let sign = pulse.look(seen, at(ms));
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
        assert_eq!(&asked[..3], [2500, 2800, 3100]);
        assert_eq!(silent, Some(2900));
        assert!(asked.windows(2).all(|two| two[1] - two[0] == 300));
    }

    #[test]
    fn a_search_for_larger_packets_that_fails_is_not_silence() {
        // One question of the search is never answered; the one that follows from it is.
        let (asked, silent) = watch(|ms| if ms < 700 { 1 } else { 2 }, |ms| 1 + u64::from(ms >= 100));
        assert_eq!((asked, silent), (vec![600], None));
    }
    #[test]
    fn what_was_lost_on_a_link_that_is_alive_is_asked_after() {
        // Something always comes, the office's own repeats say; but what it was sent at 1000 is acknowledged at 3000 only.
        let mut pulse = Pulse::default();
        let mut asked = Vec::new();
        for ms in (0..6000).step_by(100) {
            let (received, acknowledged) = (ms / 100, u64::from(ms >= 3000));
            let waiting = (1000..3000).contains(&ms);
            let seen = Seen { received, questions: 1 + ms / 100, waiting, acknowledged, rtt: RTT };
            let sign = pulse.look(seen, at(ms));
            assert!(!sign.silent);
            if sign.ask {
                asked.push(ms);
            }
        }
        assert_eq!(asked, [1500, 1800, 2100, 2400, 2700]);
    }
}

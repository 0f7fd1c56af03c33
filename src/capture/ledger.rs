//! Counts the frames that are passed over between the decoder, where they are made, and the consumer.

use std::collections::VecDeque;

use gstreamer as gst;

/// Frames that are remembered between the decoder and the consumer; far more than can be under way.
const LEDGER: usize = 1024;
/// What GStreamer calls `GST_BUFFER_OFFSET_NONE`.
const NO_OFFSET: u64 = u64::MAX;

/// The frames that came and have neither been handed out nor been passed over yet: their times, oldest first.
#[derive(Default)]
pub(super) struct Ledger {
    under_way: VecDeque<Option<gst::ClockTime>>,
    /// Frames that came and can no longer be handed out.
    lost: u64,
    next_offset: Option<u64>,
}

impl Ledger {
    pub(super) fn came(&mut self, time: Option<gst::ClockTime>) {
        if self.under_way.len() == LEDGER {
            self.under_way.pop_front();
            self.lost += 1;
        }
        self.under_way.push_back(time);
    }

    /// A camera numbers its buffers; a gap is a picture that the driver had no room for.
    pub(super) fn numbered(&mut self, offset: u64) {
        if let Some(missing) = self.next_offset.and_then(|next| offset.checked_sub(next))
            && offset != NO_OFFSET
        {
            self.lost += missing;
        }
        self.next_offset = offset.checked_add(1);
    }

    /// The frame of `time` is handed out; gives how many before it were not.
    pub(super) fn handed_out(&mut self, time: Option<gst::ClockTime>) -> u64 {
        let passed_over = self.under_way.iter().position(|came| *came == time).unwrap_or(0);
        self.under_way.drain(..(passed_over + 1).min(self.under_way.len()));
        std::mem::take(&mut self.lost) + passed_over as u64
    }

    pub(super) fn close(&mut self) -> u64 {
        std::mem::take(&mut self.lost) + self.under_way.drain(..).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(time: u64) -> Option<gst::ClockTime> {
        Some(gst::ClockTime::from_mseconds(time))
    }

    #[test]
    fn every_frame_is_handed_out_or_counted() {
        let mut ledger = Ledger::default();
        (0..5).for_each(|n| ledger.came(ms(n * 40)));
        assert_eq!(ledger.handed_out(ms(0)), 0);
        assert_eq!(ledger.handed_out(ms(120)), 2);
        assert_eq!(ledger.close(), 1);
        assert_eq!(ledger.close(), 0);
    }

    #[test]
    fn a_gap_in_the_cameras_own_numbers_counts() {
        let mut ledger = Ledger::default();
        for (offset, time) in [(7, 0), (8, 40), (12, 80), (NO_OFFSET, 120), (3, 160)] {
            ledger.numbered(offset);
            ledger.came(ms(time));
        }
        assert_eq!(ledger.handed_out(ms(80)), 3 + 2);
        assert_eq!(ledger.close(), 2);
    }

    #[test]
    fn frames_that_nobody_fetches_do_not_pile_up() {
        let mut ledger = Ledger::default();
        let many = 3 * LEDGER as u64;
        (0..many).for_each(|n| ledger.came(ms(n)));
        assert!(ledger.under_way.len() <= LEDGER);
        assert_eq!(ledger.handed_out(ms(many - 1)), many - 1);
    }
}

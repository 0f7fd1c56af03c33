//! How often strangers may try: each address, and all together. Without input or output: addresses and the time go in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Moment;

/// How long an address waits after its first wrong try; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// After so long without a try an address is as good as new.
const FORGET: Duration = Duration::from_secs(3600);
/// Addresses that are remembered; a flood must not fill the memory.
const REMEMBERED: usize = 4096;
/// Tries of all together: so many at once, and one more each half second. Each costs some thirty milliseconds.
const BURST: u32 = 20;
const REFILL: Duration = Duration::from_millis(500);

/// Who has tried what, and when they may again.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    wrong: HashMap<IpAddr, Wrong>,
    /// How many tries of all together are missing from the burst, as of when.
    spent: u32,
    at: Moment,
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    times: u32,
    last: Moment,
}

impl Wrong {
    fn until(self) -> Moment {
        self.last.plus(FIRST_WAIT.saturating_mul(1 << (self.times - 1).min(16)).min(LONGEST_WAIT))
    }
}

impl Patience {
    /// Whether somebody at `address` may try now; if not, how long they are to wait.
    pub(crate) fn try_now(&mut self, address: IpAddr, now: Moment) -> Result<(), Duration> {
        if let Some(wrong) = self.wrong.get(&block(address))
            && now < wrong.until()
        {
            return Err(wrong.until().since(now));
        }
        let refilled = (now.since(self.at).as_millis() / REFILL.as_millis()) as u32;
        if refilled > 0 {
            self.spent = self.spent.saturating_sub(refilled);
            self.at = now;
        }
        if self.spent >= BURST {
            return Err(REFILL);
        }
        self.spent += 1;
        Ok(())
    }

    /// The try was wrong.
    pub(crate) fn wrong(&mut self, address: IpAddr, now: Moment) {
        if self.wrong.len() >= REMEMBERED {
            self.wrong.retain(|_, wrong| now.since(wrong.last) < FORGET);
        }
        if self.wrong.len() >= REMEMBERED
            && let Some(oldest) = self.wrong.iter().min_by_key(|(_, wrong)| wrong.last).map(|(address, _)| *address)
        {
            self.wrong.remove(&oldest);
        }
        let wrong = self.wrong.entry(block(address)).or_insert(Wrong { times: 0, last: now });
        if now.since(wrong.last) >= FORGET {
            wrong.times = 0;
        }
        *wrong = Wrong { times: wrong.times + 1, last: now };
    }

    /// The try was right: what went wrong before was a slip.
    pub(crate) fn right(&mut self, address: IpAddr) {
        self.wrong.remove(&block(address));
    }
}

/// What counts as one address: a household has a whole /64 of IPv6.
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    #[test]
    fn waits_grow_for_who_is_wrong_and_not_for_others() {
        let mut patience = Patience::default();
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().expect("v4"), "192.0.2.2".parse().expect("v4"));
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..12 {
            patience.try_now(one, at(now)).expect("its turn");
            patience.wrong(one, at(now));
            let wait = patience.try_now(one, at(now)).expect_err("waits").as_secs();
            waits.push(wait);
            now += wait;
            assert_eq!(patience.try_now(other, at(now)), Ok(()));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(patience.try_now("::ffff:192.0.2.1".parse().expect("v4 as v6"), at(now)), Ok(()), "its turn again");
        patience.wrong(one, at(now));
        assert!(patience.try_now("::ffff:192.0.2.1".parse().expect("v4 as v6"), at(now)).is_err());
        patience.right(one);
        patience.wrong(one, at(now));
        assert_eq!(patience.try_now(one, at(now)), Err(FIRST_WAIT));
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded_in_all_and_in_memory() {
        let mut patience = Patience::default();
        let address = |n: u128| IpAddr::V6(((0x2001_0db8 << 96) | (n << 64) | n).into());
        let mut let_in = 0;
        for n in 0..20_000 {
            let now = Moment::at(Duration::from_millis(n as u64));
            if patience.try_now(address(n), now).is_ok() {
                let_in += 1;
                patience.wrong(address(n), now);
            }
        }
        assert!((BURST..=BURST + 40).contains(&let_in), "{let_in} in 20 s");
        (0..20_000).for_each(|n| patience.wrong(address(n), at(30)));
        assert!(patience.wrong.len() <= REMEMBERED);
        // The same network is one address.
        patience.wrong(address(7), at(40));
        assert!(patience.try_now("2001:db8:0:7::1".parse().expect("v6"), at(40)).is_err());
    }
}

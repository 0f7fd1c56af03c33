//! Which network interface an address of this machine belongs to.

use std::net::IpAddr;

use crate::config::Metered;

/// What is said of a network whose interface nobody knows.
const UNKNOWN: &str = "unknown network";

/// The name of the network that `address` belongs to, if it costs money by the byte.
///
/// An address that no interface has counts as such a network. It is seen where an interface goes in the very moment; then the
/// next look, half a second later, tells. A picture that waits so long costs nothing, one that goes cannot be taken back.
pub(super) fn costly(address: IpAddr, metered: &Metered) -> Option<String> {
    // Where the system does not answer, no interface is known either.
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let mut names = all.into_iter().filter(|interface| interface.ip() == address).map(|interface| interface.name);
    let Some(first) = names.next() else { return Some(UNKNOWN.to_owned()) };
    // One address on two interfaces: whichever sends, it may be the one that costs.
    std::iter::once(first).chain(names).find(|name| metered.covers(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Budgets;

    #[test]
    fn this_machines_own_address_is_on_lo_and_one_of_no_interface_costs() {
        let metered = |name: &str| Metered::new(vec![name.to_owned()], Budgets::default()).expect("a name");
        let here = IpAddr::from([127, 0, 0, 1]);
        for (name, costs) in [("lo", Some("lo")), ("l*", Some("lo")), ("wwan0", None), ("l", None)] {
            assert_eq!(costly(here, &metered(name)).as_deref(), costs, "{name}");
        }
        // From a range that is for documentation only: no interface has it.
        let strange = IpAddr::from([203, 0, 113, 77]);
        assert_eq!(costly(strange, &metered("wwan0")).as_deref(), Some(UNKNOWN));
    }
}

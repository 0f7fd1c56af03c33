//! By which of its addresses this machine would reach the office now. A socket that is connected asks the routes and sends
//! nothing.

use std::io::Result;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Every address of the machine at any port: the system may send from whichever has a network.
pub(super) fn anywhere(target: SocketAddr) -> SocketAddr {
    match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// The address by which `target` is reached.
pub(super) fn toward(target: SocketAddr) -> Result<IpAddr> {
    let socket = UdpSocket::bind(anywhere(target))?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}

/// Which address it was, and whether it is another one now.
#[derive(Debug, Default)]
pub(super) struct Route {
    known: Option<IpAddr>,
}

impl Route {
    /// Whether the machine reaches the office by another address than before; having none at the moment is no other one.
    pub(super) fn changes(&mut self, now: &Result<IpAddr>) -> bool {
        let Ok(now) = *now else { return false };
        self.known.replace(now).is_some_and(|before| before != now)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn the_way_to_this_machine_is_by_its_loopback_address() {
        let route = toward(([127, 0, 0, 1], 9).into());
        assert_eq!(route.as_ref().ok(), Some(&IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn a_route_that_goes_and_comes_back_is_the_same_one() {
        let (home, away) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut route = Route::default();
        assert!(!route.changes(&Ok(home)) && !route.changes(&Err(ErrorKind::NetworkUnreachable.into())));
        assert!(!route.changes(&Ok(home)) && route.changes(&Ok(away)) && !route.changes(&Ok(away)));
    }
}

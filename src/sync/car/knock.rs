//! Knocking: whether the office can be reached, asked at a steady pace and for almost nothing.
//!
//! QUIC sends its first packet again after ever longer pauses, so whoever waits for a network to come back would be late; and
//! a handshake that was begun while there was none takes the time of waiting for that of the way. So the waiting is done
//! here: a packet of a version that nobody speaks, which every QUIC server answers with those that it does speak (RFC 9000,
//! section 6), without keeping anything of it. The handshake is begun when that answer comes.

use std::io::Result;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::route;

/// A server answers no smaller packet.
const LENGTH: usize = 1200;
/// A version of those that are kept for this (RFC 9000, section 15).
const NO_VERSION: [u8; 4] = [0x5a, 0x6a, 0x7a, 0x8a];
/// The length of a connection id.
const ID: usize = 8;

/// Knocks every `pace`, or a little sooner or later, until the office answers. The first time after one pace.
///
/// # Errors
/// There is no socket to be had.
pub(super) async fn answered(office: SocketAddr, pace: Duration) -> Result<()> {
    let socket = UdpSocket::bind(route::anywhere(office)).await?;
    let ours: [u8; ID] = std::array::from_fn(|_| fastrand::u8(..));
    let packet = packet(ours);
    let mut buffer = [0; 256];
    loop {
        // A fleet that lost its office in one instant does not knock in one.
        let next = Instant::now() + pace.mul_f64(0.8 + 0.4 * fastrand::f64());
        // The time is over, or something has come.
        while let Ok(received) = timeout_at(next, socket.recv_from(&mut buffer)).await {
            // An error tells of an office that is not there: it may come.
            if let Ok((length, from)) = received
                && from == office
                && is_answer(&buffer[..length], ours)
            {
                return Ok(());
            }
        }
        // What cannot be sent now is sent the next time.
        let _ = socket.send_to(&packet, office).await;
    }
}

/// A long header: version, the office's id as we make it up, ours.
fn packet(ours: [u8; ID]) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    packet[0] = 0xc0;
    packet[1..5].copy_from_slice(&NO_VERSION);
    packet[5] = ID as u8;
    packet[6..6 + ID].fill_with(|| fastrand::u8(..));
    packet[6 + ID] = ID as u8;
    packet[7 + ID..7 + 2 * ID].copy_from_slice(&ours);
    packet
}

/// Whether this is a list of versions, for us.
fn is_answer(bytes: &[u8], ours: [u8; ID]) -> bool {
    bytes.len() > 6 + ID
        && bytes[0] & 0x80 != 0
        && bytes[1..5] == [0; 4]
        && usize::from(bytes[5]) == ID
        && bytes[6..6 + ID] == ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_of_versions_for_us_is_an_answer() {
        let answer = |version: [u8; 4], id: [u8; ID]| {
            [&[0xc1][..], &version, &[ID as u8], &id, &[ID as u8], &[3; ID], &[0, 0, 0, 1]].concat()
        };
        assert!(is_answer(&answer([0; 4], [7; ID]), [7; ID]));
        assert!(!is_answer(&answer([0; 4], [7; ID]), [8; ID]), "for somebody else");
        assert!(!is_answer(&answer([0, 0, 0, 1], [7; ID]), [7; ID]), "a handshake");
        assert!(!is_answer(&answer([0; 4], [7; ID])[..9], [7; ID]), "cut short");
        assert!(!is_answer(&packet([7; ID]), [7; ID]), "our own");
    }
}

//! A socket that knocks until somebody answers.
//!
//! QUIC sends its first packet again after one second, two, four: whoever waits for a network to come back would be late. Here
//! the same packet goes out again at a steady pace until anything comes back. To the office it is one packet that the network
//! has doubled, so that a fleet which knocks at an office that is just starting costs it one handshake a car.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};

/// The socket of one attempt.
#[derive(Debug)]
pub(super) struct Caller {
    inner: Arc<dyn AsyncUdpSocket>,
    office: SocketAddr,
    /// What went out first: Hello of TLS, in one packet.
    first: Mutex<Option<Vec<u8>>>,
    heard: AtomicBool,
}

impl Caller {
    /// A socket of its own for a call to `office`: an address translation on the way that has lost its mind is not asked twice.
    pub(super) fn new(office: SocketAddr) -> io::Result<Arc<Self>> {
        let socket = UdpSocket::bind(super::route::anywhere(office))?;
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(Self { inner, office, first: Mutex::new(None), heard: AtomicBool::new(false) }))
    }

    /// Whether anything has come from the office.
    pub(super) fn heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Sends the first packet again every `pace`, or a little sooner or later, until something comes.
    pub(super) async fn knock(&self, pace: Duration) {
        loop {
            // A fleet that lost its office in one instant does not knock in one.
            tokio::time::sleep(pace.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
            if self.heard() {
                return;
            }
            let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(contents) = first {
                let transmit = Transmit {
                    destination: self.office,
                    ecn: None,
                    contents: &contents,
                    segment_size: None,
                    src_ip: None,
                };
                // What cannot be sent now is sent the next time.
                let _ = self.inner.try_send(&transmit);
            }
        }
    }
}

impl AsyncUdpSocket for Caller {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit) -> io::Result<()> {
        if !self.heard() {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            if first.is_none() {
                *first = Some(transmit.contents.to_vec());
            }
        }
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.inner.poll_recv(cx, bufs, meta));
        if let Ok(count) = received
            && meta[..count].iter().any(|meta| meta.addr == self.office)
            && !self.heard.swap(true, Ordering::Relaxed)
        {
            *self.first.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        Poll::Ready(received)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

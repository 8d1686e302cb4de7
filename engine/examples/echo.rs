//! The limit of what UDP answers can cost: every datagram goes back with the response bit set, nothing else happens.
//!
//! `echo ADDRESS:PORT` is bare `recvmmsg` and `sendmmsg`; `echo ADDRESS:PORT loop [ADDRESS:PORT …]` is the engine's own
//! worker with an answerer that does the same, on one or more listeners.
#![allow(unsafe_code)]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;

use zonewright_engine::udp::{Answerer, Datagram, Sockets};

const BATCH: usize = 64;
const SIZE: usize = 1500;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let addresses: Vec<SocketAddr> = words.iter().filter_map(|word| word.parse().ok()).collect();
    match addresses.as_slice() {
        [] => Err(io::Error::new(io::ErrorKind::InvalidInput, "usage: echo ADDRESS:PORT [loop [ADDRESS:PORT …]]")),
        all if words.iter().any(|word| word == "loop") => serve_by_engine(all),
        [address, ..] => serve_bare(&UdpSocket::bind(address)?),
    }
}

struct Echo;

impl Answerer for Echo {
    fn on_datagram(&self, datagram: &Datagram<'_>, out: &mut [u8]) -> usize {
        let length = datagram.octets.len();
        let Some(answer) = out.get_mut(..length) else { return 0 };
        answer.copy_from_slice(datagram.octets);
        if let Some(flags) = answer.get_mut(2) {
            *flags |= 0x80;
        }
        length
    }
}

fn serve_by_engine(addresses: &[SocketAddr]) -> io::Result<()> {
    let sockets = Sockets::new();
    for &address in addresses {
        sockets.bind(address, 1)?;
    }
    let echo: Arc<dyn Answerer> = Arc::new(Echo);
    sockets.start(&echo)?;
    loop {
        thread::park();
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn serve_bare(socket: &UdpSocket) -> io::Result<()> {
    let mut buffers = vec![[0_u8; SIZE]; BATCH];
    // SAFETY: all three are C structures for which all-zero octets are a value: null pointers and no lengths.
    let (mut names, mut vectors, mut headers) = unsafe {
        (
            [std::mem::zeroed::<libc::sockaddr_in6>(); BATCH],
            [std::mem::zeroed::<libc::iovec>(); BATCH],
            [std::mem::zeroed::<libc::mmsghdr>(); BATCH],
        )
    };
    loop {
        for (((header, vector), name), buffer) in headers.iter_mut().zip(&mut vectors).zip(&mut names).zip(&mut buffers)
        {
            *vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: SIZE };
            header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in6>() as u32;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: the headers point at the arrays above, which outlive the loop, with their sizes.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_WAITFORONE as _,
                std::ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else { return Err(io::Error::last_os_error()) };
        for ((header, vector), buffer) in headers.iter().zip(&mut vectors).zip(&mut buffers).take(received) {
            vector.iov_len = header.msg_len as usize;
            if let Some(flags) = buffer.get_mut(2) {
                *flags |= 0x80;
            }
        }
        // SAFETY: the first `received` headers point at what came, with its sizes.
        unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), received as u32, 0) };
    }
}

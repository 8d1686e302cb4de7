//! The system calls of the crate behind a face that can't be used wrongly: UDP sockets, batches, epoll, eventfd.
//!
//! This is the one file with `unsafe`.
#![allow(unsafe_code)]
// Sizes and numbers of the kernel's structures: all are small, and the kernel's types for them differ by platform.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::unnecessary_cast
)]

use std::io;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use libc::{c_int, cmsghdr, iovec, mmsghdr, msghdr};

/// Datagrams taken with one system call.
pub const BATCH: usize = 64;
/// The largest datagram, and so what an answerer may write.
pub const LARGEST: usize = 65535;
/// From one buffer to the next: not a multiple of a page, lest the first lines of all buffers fight for one cache set.
const STRIDE: usize = 65536 + 5 * 64;
/// Sockets watched are told in portions of this.
const EVENTS: usize = 64;

/// What a burst may queue in the kernel, if the system allows so much.
const RECEIVE_BUFFER: c_int = 4 << 20;
const SEND_BUFFER: c_int = 1 << 20;
/// A worker with one socket looks at its mailbox so often.
const RECEIVE_TIMEOUT_US: libc::suseconds_t = 250_000;

/// Turns the result of a system call into a `Result`.
fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn own(result: c_int) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the caller passes what a system call just returned, a new descriptor nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

// ------------------------------------------------------------------ eventfd and epoll

/// An eventfd: readable from `set` to `clear`.
#[derive(Debug)]
pub struct Wake(OwnedFd);

impl Wake {
    /// Not set.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        own(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(Self)
    }

    /// For whoever waits, asyncio for one.
    #[must_use]
    pub fn raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Makes it readable.
    pub fn set(&self) {
        let one = 1_u64;
        // SAFETY: the pointer is to eight octets that live on through the call. It fails only when it is set already.
        unsafe { libc::write(self.raw_fd(), ptr::from_ref(&one).cast(), size_of::<u64>()) };
    }

    /// Makes it unreadable.
    pub fn clear(&self) {
        let mut value = 0_u64;
        // SAFETY: the pointer is to eight octets that live on through the call. It fails only when it was not set.
        unsafe { libc::read(self.raw_fd(), ptr::from_mut(&mut value).cast(), size_of::<u64>()) };
    }
}

/// Sockets watched for datagrams.
pub struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        own(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(Self)
    }

    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: both descriptors are open, the event lives on through the call.
        let result =
            unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event) };
        check(result).map(|_| ())
    }

    pub fn remove(&self, fd: BorrowedFd<'_>) {
        // SAFETY: both descriptors are open; no event is needed. It fails only for what is not watched.
        unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), ptr::null_mut()) };
    }

    /// Waits until a watched descriptor is readable and puts the tokens of those that are into `ready`.
    pub fn wait(&self, ready: &mut Vec<u64>) -> io::Result<()> {
        ready.clear();
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        // SAFETY: the pointer is to `EVENTS` events.
        let result = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), EVENTS as c_int, -1) };
        match check(result) {
            Ok(found) => ready.extend(events.iter().take(found.unsigned_abs() as usize).map(|event| event.u64)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

// ------------------------------------------------------------------ one socket

/// A bound UDP socket.
pub struct Socket {
    fd: OwnedFd,
    is_ipv4: bool,
    /// Bound to all addresses: each datagram tells which one was asked.
    is_wildcard: bool,
}

impl Socket {
    /// A socket that no other shared the port with when it was bound; from then on our own may.
    pub fn bind_alone(address: SocketAddr) -> io::Result<Self> {
        let socket = Self::open(address)?;
        socket.bind(address)?;
        // The kernel makes the group of a port when the second socket joins, and looks at the option only then.
        socket.set(libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        Ok(socket)
    }

    /// A socket that shares the port with those bound before, if they are of the same user.
    pub fn bind_shared(address: SocketAddr) -> io::Result<Self> {
        let socket = Self::open(address)?;
        socket.set(libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        socket.bind(address)?;
        Ok(socket)
    }

    fn open(address: SocketAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        // SAFETY: no pointers are passed.
        let fd = own(unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
        let socket = Self { fd, is_ipv4: address.is_ipv4(), is_wildcard: address.ip().is_unspecified() };
        socket.set_buffers();
        socket.set_timeout()?;
        if socket.is_ipv4 {
            socket.set_ipv4_options()?;
        } else {
            socket.set_ipv6_options()?;
        }
        Ok(socket)
    }

    fn set_buffers(&self) {
        // Beyond the system's limit only with CAP_NET_ADMIN; else as much as there is. Smaller ones only drop bursts.
        for (forced, plain, size) in [
            (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER),
            (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, SEND_BUFFER),
        ] {
            if self.set(libc::SOL_SOCKET, forced, size).is_err() {
                let _ = self.set(libc::SOL_SOCKET, plain, size);
            }
        }
    }

    fn set_timeout(&self) -> io::Result<()> {
        let timeout = libc::timeval { tv_sec: 0, tv_usec: RECEIVE_TIMEOUT_US };
        self.set_value(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeout)
    }

    fn set_ipv4_options(&self) -> io::Result<()> {
        // A forged "fragmentation needed" must not have us fragment, or shrink, what we send.
        let _ = self.set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT);
        if self.is_wildcard { self.set(libc::IPPROTO_IP, libc::IP_PKTINFO, 1) } else { Ok(()) }
    }

    fn set_ipv6_options(&self) -> io::Result<()> {
        self.set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        let _ = self.set(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT);
        if self.is_wildcard { self.set(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1) } else { Ok(()) }
    }

    fn set(&self, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
        self.set_value(level, option, &value)
    }

    fn set_value<T>(&self, level: c_int, option: c_int, value: &T) -> io::Result<()> {
        // SAFETY: pointer and size are those of `value`, which lives on through the call.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                option,
                ptr::from_ref(value).cast(),
                size_of::<T>() as libc::socklen_t,
            )
        };
        check(result).map(|_| ())
    }

    fn bind(&self, address: SocketAddr) -> io::Result<()> {
        let (name, length) = Name::from(address);
        // SAFETY: the pointer is to `length` octets that live on through the call.
        check(unsafe { libc::bind(self.fd.as_raw_fd(), (&raw const name).cast(), length) }).map(|_| ())
    }

    /// Where it is bound, with its port.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        let mut name = Name::EMPTY;
        let mut length = size_of::<Name>() as libc::socklen_t;
        // SAFETY: the pointers are to a name and its size, both live on through the call.
        check(unsafe { libc::getsockname(self.fd.as_raw_fd(), (&raw mut name).cast(), &raw mut length) })?;
        name.address().ok_or_else(|| io::Error::other("a socket without an address"))
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Ends a receive that waits, now and for good.
    pub fn interrupt(&self) {
        // SAFETY: no pointers are passed. It reports ENOTCONN for a UDP socket, and wakes its readers all the same.
        unsafe { libc::shutdown(self.fd.as_raw_fd(), libc::SHUT_RD) };
    }

    /// Sends one datagram, from the address `local` where the socket is a wildcard.
    pub fn send_to(&self, local: Option<IpAddr>, client: SocketAddr, octets: &[u8]) -> io::Result<()> {
        if client.is_ipv4() != self.is_ipv4 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the client's address is of the other family"));
        }
        let (mut name, name_length) = Name::from(client);
        let mut control = Control::EMPTY;
        let control_length = local.filter(|_| self.is_wildcard).map_or(0, |local| control.put(local, client));
        let mut vector = iovec { iov_base: octets.as_ptr().cast_mut().cast(), iov_len: octets.len() };
        let header = header((&raw mut name, name_length), &raw mut vector, (&raw mut control, control_length));
        // SAFETY: the header's pointers are to the locals above, with their sizes; sendmsg writes to none of them.
        let result = unsafe { libc::sendmsg(self.fd.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// A message header with one vector; a control length of 0 is no control data.
fn header(name: (*mut Name, u32), vector: *mut iovec, control: (*mut Control, usize)) -> msghdr {
    // SAFETY: all-zero octets are a valid msghdr: null pointers, no lengths (musl has padding fields, hence this way).
    let mut header: msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = name.0.cast();
    header.msg_namelen = name.1;
    header.msg_iov = vector;
    header.msg_iovlen = 1;
    if control.1 > 0 {
        header.msg_control = control.0.cast();
        header.msg_controllen = control.1 as _;
    }
    header
}

// ------------------------------------------------------------------ addresses in the kernel's form

/// A socket address as the kernel writes it: `sockaddr_in` or `sockaddr_in6`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Name([u8; 28]);

impl Name {
    const EMPTY: Self = Self([0; 28]);

    fn from(address: SocketAddr) -> (Self, libc::socklen_t) {
        let mut octets = [0; 28];
        let mut put = |offset: usize, part: &[u8]| {
            octets.iter_mut().skip(offset).zip(part).for_each(|(to, from)| *to = *from);
        };
        put(2, &address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                put(0, &(libc::AF_INET as u16).to_ne_bytes());
                put(4, &v4.ip().octets());
                (Self(octets), size_of::<libc::sockaddr_in>() as libc::socklen_t)
            }
            SocketAddr::V6(v6) => {
                put(0, &(libc::AF_INET6 as u16).to_ne_bytes());
                put(4, &v6.flowinfo().to_be_bytes());
                put(8, &v6.ip().octets());
                put(24, &v6.scope_id().to_ne_bytes());
                (Self(octets), size_of::<libc::sockaddr_in6>() as libc::socklen_t)
            }
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        let [family_high, family_low, port_high, port_low] = *head;
        let port = u16::from_be_bytes([port_high, port_low]);
        match c_int::from(u16::from_ne_bytes([family_high, family_low])) {
            libc::AF_INET => {
                let (ip, _) = rest.split_first_chunk::<4>()?;
                Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(*ip), port)))
            }
            libc::AF_INET6 => {
                let (flow, rest) = rest.split_first_chunk::<4>()?;
                let (ip, rest) = rest.split_first_chunk::<16>()?;
                let (scope, _) = rest.split_first_chunk::<4>()?;
                let ip = Ipv6Addr::from(*ip);
                let (flow, scope) = (u32::from_be_bytes(*flow), u32::from_ne_bytes(*scope));
                Some(SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope)))
            }
            _ => None,
        }
    }
}

/// Room for one control message: `in_pktinfo` or `in6_pktinfo`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 64]);

/// Octets of a control message ahead of its data (`CMSG_LEN(0)`).
const CONTROL_HEAD: usize = size_of::<cmsghdr>();

impl Control {
    const EMPTY: Self = Self([0; 64]);

    fn write(&mut self, offset: usize, part: &[u8]) {
        self.0.iter_mut().skip(offset).zip(part).for_each(|(to, from)| *to = *from);
    }

    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.0.get(offset..)?.first_chunk::<N>().copied()
    }

    /// Writes the control message that has a datagram sent from `local`, and returns its length.
    fn put(&mut self, local: IpAddr, client: SocketAddr) -> usize {
        let (level, kind, size) = match local {
            IpAddr::V4(ip) => {
                self.write(CONTROL_HEAD + offset_of!(libc::in_pktinfo, ipi_spec_dst), &ip.octets());
                (libc::IPPROTO_IP, libc::IP_PKTINFO, size_of::<libc::in_pktinfo>())
            }
            IpAddr::V6(ip) => {
                let interface = if ip.is_unicast_link_local() { scope_of(client) } else { 0 };
                self.write(CONTROL_HEAD + offset_of!(libc::in6_pktinfo, ipi6_addr), &ip.octets());
                self.write(CONTROL_HEAD + offset_of!(libc::in6_pktinfo, ipi6_ifindex), &interface.to_ne_bytes());
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, size_of::<libc::in6_pktinfo>())
            }
        };
        self.write(offset_of!(cmsghdr, cmsg_len), &(CONTROL_HEAD + size).to_ne_bytes());
        self.write(offset_of!(cmsghdr, cmsg_level), &level.to_ne_bytes());
        self.write(offset_of!(cmsghdr, cmsg_type), &kind.to_ne_bytes());
        (CONTROL_HEAD + size).next_multiple_of(size_of::<usize>())
    }

    /// The address that was asked, of the control message that came with a datagram; the form that came is then the
    /// form for the answer, but that the interface is the routing table's choice.
    fn turn_around(&mut self) -> Option<IpAddr> {
        let level = c_int::from_ne_bytes(self.read(offset_of!(cmsghdr, cmsg_level))?);
        let kind = c_int::from_ne_bytes(self.read(offset_of!(cmsghdr, cmsg_type))?);
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                self.write(CONTROL_HEAD + offset_of!(libc::in_pktinfo, ipi_ifindex), &[0; 4]);
                // Of a broadcast or multicast datagram this is the interface's own address.
                let ip = self.read::<4>(CONTROL_HEAD + offset_of!(libc::in_pktinfo, ipi_spec_dst))?;
                Some(IpAddr::V4(Ipv4Addr::from(ip)))
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let ip = self.read::<16>(CONTROL_HEAD + offset_of!(libc::in6_pktinfo, ipi6_addr))?;
                let ip = Ipv6Addr::from(ip);
                if !ip.is_unicast_link_local() {
                    self.write(CONTROL_HEAD + offset_of!(libc::in6_pktinfo, ipi6_ifindex), &[0; 4]);
                }
                Some(IpAddr::V6(ip)).filter(|_| !ip.is_multicast())
            }
            _ => None,
        }
    }
}

fn scope_of(client: SocketAddr) -> u32 {
    match client {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(v6) => v6.scope_id(),
    }
}

// ------------------------------------------------------------------ batches

/// Elements at a fixed place that the kernel also reads and writes. All access is by pointers made from the one that
/// the allocation gave, so that those stored in headers stay good.
struct Fixed<T> {
    first: *mut T,
    length: usize,
}

impl<T: Copy> Fixed<T> {
    fn new(value: T, length: usize) -> Self {
        let elements = vec![value; length].into_boxed_slice();
        Self { first: Box::into_raw(elements).cast(), length }
    }

    /// The place of an element.
    fn at(&self, index: usize) -> *mut T {
        assert!(index < self.length, "an element of {}", self.length);
        // SAFETY: the index is within the allocation.
        unsafe { self.first.add(index) }
    }
}

impl<T> Drop for Fixed<T> {
    fn drop(&mut self) {
        // SAFETY: pointer and length are those of the boxed slice that `new` gave up.
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(self.first, self.length)) });
    }
}

/// The buffers of one worker: a batch of datagrams and the answers to it.
///
/// Invariant: header, vector, name, control and buffers of one index belong together; in `send_headers` the first
/// `queued` are filled in, each for an answer of its own.
pub struct Batch {
    input: Fixed<u8>,
    output: Fixed<u8>,
    names: Fixed<Name>,
    controls: Fixed<Control>,
    // Never read here, but pointed at by `receive_headers`.
    _receive_vectors: Fixed<iovec>,
    receive_headers: Fixed<mmsghdr>,
    send_vectors: Fixed<iovec>,
    send_headers: Fixed<mmsghdr>,
    received: usize,
    queued: usize,
}

impl Batch {
    pub fn new() -> Self {
        // Zeroed by the kernel when they are touched first: a page each for usual datagrams.
        let input = Fixed::new(0_u8, BATCH * STRIDE);
        let output = Fixed::new(0_u8, BATCH * STRIDE);
        let names = Fixed::new(Name::EMPTY, BATCH);
        let controls = Fixed::new(Control::EMPTY, BATCH);
        let empty_vector = iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let empty_header = header((ptr::null_mut(), 0), ptr::null_mut(), (ptr::null_mut(), 0));
        let empty = mmsghdr { msg_hdr: empty_header, msg_len: 0 };
        let receive_vectors = Fixed::new(empty_vector, BATCH);
        let receive_headers = Fixed::new(empty, BATCH);
        for index in 0..BATCH {
            let vector = iovec { iov_base: input.at(index * STRIDE).cast(), iov_len: LARGEST };
            let name = (names.at(index), size_of::<Name>() as u32);
            let control = (controls.at(index), size_of::<Control>());
            let msg_hdr = header(name, receive_vectors.at(index), control);
            // SAFETY: both places are within their allocations, which nobody else uses yet.
            unsafe {
                receive_vectors.at(index).write(vector);
                receive_headers.at(index).write(mmsghdr { msg_hdr, msg_len: 0 });
            }
        }
        let send_vectors = Fixed::new(empty_vector, BATCH);
        let send_headers = Fixed::new(empty, BATCH);
        Self {
            input,
            output,
            names,
            controls,
            _receive_vectors: receive_vectors,
            receive_headers,
            send_vectors,
            send_headers,
            received: 0,
            queued: 0,
        }
    }

    /// Takes what waits at a socket, up to a batch; with `waits`, waits for the first datagram a quarter second long.
    pub fn receive(&mut self, socket: &Socket, waits: bool) -> io::Result<usize> {
        self.prepare();
        let flags = if waits { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: the pointer is to `BATCH` headers, whose pointers are to buffers of the sizes they say, all of which
        // live as long as `self`, and to which no reference exists now.
        let result = unsafe {
            libc::recvmmsg(
                socket.fd.as_raw_fd(),
                self.receive_headers.at(0),
                BATCH as libc::c_uint,
                flags as _,
                ptr::null_mut(),
            )
        };
        self.received = check(result)?.unsigned_abs() as usize;
        Ok(self.received)
    }

    /// Undoes what the kernel wrote to the headers of the batch before.
    fn prepare(&mut self) {
        for index in 0..self.received {
            let header = self.receive_headers.at(index);
            // SAFETY: the place is within the allocation, and there is no reference to it.
            unsafe {
                (*header).msg_hdr.msg_namelen = size_of::<Name>() as u32;
                (*header).msg_hdr.msg_controllen = size_of::<Control>() as _;
            }
        }
        self.received = 0;
        self.queued = 0;
    }

    /// Calls `answer` with octets, client, asked address and room for the answer of each datagram; a length other than
    /// 0 queues the answer.
    pub fn answer_each(&mut self, mut answer: impl FnMut(&[u8], SocketAddr, Option<IpAddr>, &mut [u8]) -> usize) {
        for index in 0..self.received {
            // SAFETY: `index` is below `received`: the kernel has filled in this header, name and control, and the
            // first `msg_len` octets, at most `LARGEST`, of this input. Input and output are different allocations,
            // each index has its own part of them, and the references end before the next index.
            let (header, name, control, octets, out) = unsafe {
                let header = *self.receive_headers.at(index);
                let length = LARGEST.min(header.msg_len as usize);
                (
                    header,
                    *self.names.at(index),
                    &mut *self.controls.at(index),
                    std::slice::from_raw_parts(self.input.at(index * STRIDE), length),
                    std::slice::from_raw_parts_mut(self.output.at(index * STRIDE), LARGEST),
                )
            };
            // Without a name it is no datagram: the socket was interrupted. Nothing can be sent to port 0.
            let is_named = header.msg_hdr.msg_namelen > 0;
            let Some(client) = name.address().filter(|client| is_named && client.port() != 0) else { continue };
            let local = if header.msg_hdr.msg_controllen as usize > 0 { control.turn_around() } else { None };
            let length = answer(octets, client, local, out);
            if (1..=LARGEST).contains(&length) {
                self.queue(
                    index,
                    header.msg_hdr.msg_namelen,
                    local.map_or(0, |_| header.msg_hdr.msg_controllen as usize),
                    length,
                );
            }
        }
    }

    /// Queues the answer to a datagram.
    fn queue(&mut self, index: usize, name_length: u32, control_length: usize, length: usize) {
        let (vector, place) = (self.send_vectors.at(self.queued), self.send_headers.at(self.queued));
        let name = (self.names.at(index), name_length);
        let control = (self.controls.at(index), control_length);
        // SAFETY: both places are within their allocations, and there is no reference to them.
        unsafe {
            vector.write(iovec { iov_base: self.output.at(index * STRIDE).cast(), iov_len: length });
            place.write(mmsghdr { msg_hdr: header(name, vector, control), msg_len: 0 });
        }
        self.queued += 1;
    }

    /// Sends what is queued; how many answers the system took, and how many it refused.
    pub fn send(&mut self, socket: &Socket) -> (u64, u64) {
        let (mut next, mut sent, mut failed) = (0, 0, 0);
        while next < self.queued {
            let count = (self.queued - next) as libc::c_uint;
            // SAFETY: headers from `next` to `queued` are filled in, their pointers are to buffers of the sizes they
            // say, all of which live as long as `self`. The system waits for nothing: a full queue refuses.
            let result = unsafe {
                libc::sendmmsg(socket.fd.as_raw_fd(), self.send_headers.at(next), count, libc::MSG_DONTWAIT as _)
            };
            match check(result) {
                Ok(taken) => {
                    next += taken.unsigned_abs() as usize;
                    sent += u64::from(taken.unsigned_abs());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                // An error is of the first answer that was to be sent: the others go on.
                Err(_) => {
                    next += 1;
                    failed += 1;
                }
            }
        }
        self.queued = 0;
        (sent, failed)
    }
}

// ------------------------------------------------------------------ threads and processes

/// Has signals go to other threads.
pub fn block_signals() {
    // SAFETY: the set is initialized by sigfillset before it is read, and lives on through the calls.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, ptr::null_mut());
    }
}

/// This thread, its children and what they execute gain no privileges any more (`PR_SET_NO_NEW_PRIVS`).
pub fn forbid_new_privileges() -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(|_| ())
}

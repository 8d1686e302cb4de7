//! Response rate limiting: how many alike responses a network gets in a second, as BIND and NSD count them.
//!
//! Words: a *class* is a kind of response; an *account* belongs to a client's prefix, a class and, for most classes, the
//! name that is answered. Each response costs its account one; each second gives it its rate back, up to one second's
//! worth; it may owe as much as a whole window's. While it owes, responses are dropped, every `slip`-th one is sent
//! truncated, so that a client that is real comes back by TCP.
//! Invariants: memory is taken once, at the start; an account is one atomic word, no thread waits for another.
//! Limits: when more accounts are in use than there is room for, the one nearest to full is forgotten; two accounts
//! whose hashes agree in some 40 bits are one.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use foldhash::fast::RandomState;

use crate::message::{flag, rcode};

/// Kinds of responses that are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Records are answered.
    Answer,
    /// The name exists and the type does not.
    NoData,
    /// The name does not exist.
    NameError,
    /// Ask the servers of the zone below.
    Referral,
    /// All else.
    Error,
    /// Whatever it is, it counts here too.
    All,
}

impl Class {
    /// In words, for the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answers",
            Self::NoData => "no data",
            Self::NameError => "no such name",
            Self::Referral => "referrals",
            Self::Error => "errors",
            Self::All => "all responses",
        }
    }
}

/// How many classes there are.
pub const CLASSES: usize = 6;

/// What became of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent.
    Send,
    /// It is sent truncated.
    Slip,
    /// It is not sent.
    Drop,
}

/// What limits say.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Responses a second by class, in the order of `Class`; 0 is no limit.
    pub rates: [u32; CLASSES],
    /// Seconds of its rate that an account may owe.
    pub window: u32,
    /// Of the responses that are held back every so many is sent truncated; 0 none, 1 all.
    pub slip: u8,
    /// Bits of an IPv4 address that are one client.
    pub v4_prefix: u8,
    /// Bits of an IPv6 address that are one client.
    pub v6_prefix: u8,
    /// Networks that are not limited, as (first address, bits).
    pub exempt: Vec<(IpAddr, u8)>,
    /// Count, and hold back nothing.
    pub log_only: bool,
    /// How many accounts there is room for.
    pub accounts: usize,
}

/// The class of a response.
#[must_use]
pub fn class_of(response: &[u8]) -> Class {
    let Some([_, _, f0, f1, _, _, a0, a1, ..]) = response.first_chunk::<12>() else { return Class::Error };
    let (flags, answers) = (u16::from_be_bytes([*f0, *f1]), u16::from_be_bytes([*a0, *a1]));
    match flags & 15 {
        rcode::NOERROR if answers > 0 || flags & flag::TC != 0 => Class::Answer,
        rcode::NOERROR if flags & flag::AA != 0 => Class::NoData,
        rcode::NOERROR => Class::Referral,
        rcode::NXDOMAIN => Class::NameError,
        _ => Class::Error,
    }
}

/// Counts since start.
#[derive(Debug, Default)]
pub struct Totals {
    /// Responses over a limit, whether or not they were held back.
    pub limited: AtomicU64,
    /// Of these, sent truncated.
    pub slipped: AtomicU64,
    /// Of these, not sent.
    pub dropped: AtomicU64,
}

/// An account that has just been overdrawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// A client of the network.
    pub client: IpAddr,
    /// The class of response.
    pub class: Class,
    /// The name of the account; for wildcards the name asked stands for all, for errors there is none.
    pub name: Box<[u8]>,
}

/// How many notices may wait for somebody to read them.
const NOTICES: usize = 256;

/// Accounts that share a cache line; one that is looked for is in one of these.
const WAYS: usize = 8;

#[repr(align(64))]
#[derive(Debug)]
struct Line([AtomicU64; WAYS]);

/// The accounts, and the limits they are held to.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    lines: Box<[Line]>,
    /// Of this process alone: nobody outside can make accounts collide.
    state: RandomState,
    notices: ArrayQueue<Notice>,
    /// Counts.
    pub totals: Totals,
}

/// What a charge came to.
#[derive(Clone, Copy)]
struct Charged {
    verdict: Verdict,
    /// The account has just been overdrawn.
    is_new: bool,
}

impl Charged {
    const SENT: Self = Self { verdict: Verdict::Send, is_new: false };
}

/// An account in one word: 24 bits of its hash, 16 of its last second, 4 of its slips, 20 of its balance.
#[derive(Clone, Copy)]
struct Account {
    tag: u64,
    at: u16,
    slips: u8,
    balance: i32,
}

const TAG: u64 = 0xff_ffff;
/// Twenty bits hold so much debt.
const DEEPEST: i32 = -500_000;
const BIAS: i32 = 1 << 19;

impl Account {
    fn unpack(word: u64) -> Self {
        let part = |shift: u32, mask: u64| u32::try_from(word >> shift & mask).unwrap_or(0);
        Self {
            tag: word & TAG,
            at: u16::try_from(part(24, 0xffff)).unwrap_or(0),
            slips: u8::try_from(part(40, 15)).unwrap_or(0),
            balance: part(44, 0xf_ffff).cast_signed() - BIAS,
        }
    }

    fn pack(self) -> u64 {
        let balance = u64::from((self.balance + BIAS).cast_unsigned());
        self.tag | u64::from(self.at) << 24 | u64::from(self.slips & 15) << 40 | balance << 44
    }
}

impl Limiter {
    /// All accounts in credit.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let lines = (limits.accounts / WAYS).max(1).next_power_of_two();
        let empty = || Line([const { AtomicU64::new(0) }; WAYS]);
        Self {
            limits,
            lines: (0..lines).map(|_| empty()).collect(),
            state: RandomState::default(),
            notices: ArrayQueue::new(NOTICES),
            totals: Totals::default(),
        }
    }

    /// The oldest notice that nobody has read; those that find no room are dropped.
    pub fn next_notice(&self) -> Option<Notice> {
        self.notices.pop()
    }

    /// The octets its accounts take.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }

    /// Charge a response to its account. `name` is what is answered, in lower case: the name asked, the wildcard that
    /// stands for it, the cut of a referral, the zone where no such name exists; errors have none. `now` is in seconds.
    pub fn charge(&self, client: IpAddr, class: Class, name: &[u8], qtype: u16, now: i64) -> Verdict {
        if self.is_exempt(client) {
            return Verdict::Send;
        }
        let prefix = self.prefix(client);
        let of_class = self.charge_one(prefix, class, name, qtype, now);
        let of_all = self.charge_one(prefix, Class::All, &[], 0, now);
        for (class, name, charged) in [(class, name, of_class), (Class::All, &[][..], of_all)] {
            if charged.is_new {
                drop(self.notices.push(Notice { client, class, name: name.into() }));
            }
        }
        let verdict = if of_class.verdict == Verdict::Send { of_all.verdict } else { of_class.verdict };
        self.count(verdict);
        if self.limits.log_only { Verdict::Send } else { verdict }
    }

    fn count(&self, verdict: Verdict) {
        let add = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        match verdict {
            Verdict::Send => return,
            Verdict::Slip => add(&self.totals.slipped),
            Verdict::Drop => add(&self.totals.dropped),
        };
        add(&self.totals.limited);
    }

    fn is_exempt(&self, client: IpAddr) -> bool {
        self.limits.exempt.iter().any(|(first, bits)| is_within(client, *first, *bits))
    }

    fn prefix(&self, client: IpAddr) -> u128 {
        let v4 = u128::from(client.is_ipv4());
        masked(client, if client.is_ipv4() { self.limits.v4_prefix } else { self.limits.v6_prefix }) ^ v4
    }

    fn charge_one(&self, prefix: u128, class: Class, name: &[u8], qtype: u16, now: i64) -> Charged {
        let rate = self.limits.rates.get(class as usize).copied().unwrap_or(0);
        if rate == 0 {
            return Charged::SENT;
        }
        let hash = self.state.hash_one((prefix, class as u8, qtype, name));
        let rate = i32::try_from(rate).unwrap_or(i32::MAX).min(-DEEPEST);
        let mask = self.lines.len() - 1;
        let line = usize::try_from(hash >> 32).unwrap_or(0) & mask;
        let Some(Line(ways)) = self.lines.get(line) else { return Charged::SENT };
        self.charge_in(ways, hash & TAG | 1, rate, u16::try_from(now & 0xffff).unwrap_or(0))
    }

    /// Find the account or open it, and charge it. A thread that meets another one here tries again, and then lets go:
    /// a response that is not counted is better than a thread that waits.
    fn charge_in(&self, ways: &[AtomicU64; WAYS], tag: u64, rate: i32, now: u16) -> Charged {
        for _ in 0..4 {
            let words = ways.each_ref().map(|way| way.load(Ordering::Relaxed));
            let known = words.iter().position(|word| word & TAG == tag);
            let place = known.unwrap_or_else(|| fullest(&words, now));
            let (Some(way), Some(before)) = (ways.get(place), words.get(place)) else { return Charged::SENT };
            let account = match known {
                Some(_) => Account::unpack(*before),
                None => Account { tag, at: now, slips: 0, balance: rate },
            };
            let (after, verdict) = self.spend(account, rate, now);
            if way.compare_exchange_weak(*before, after.pack(), Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Charged { verdict, is_new: verdict != Verdict::Send && account.balance >= 0 };
            }
        }
        Charged::SENT
    }

    fn spend(&self, mut account: Account, rate: i32, now: u16) -> (Account, Verdict) {
        // A batch may carry the second before: what is less than a minute back is now.
        let passed = now.wrapping_sub(account.at);
        let passed = if passed > u16::MAX - 60 { 0 } else { i32::from(passed) };
        let window = i32::try_from(self.limits.window).unwrap_or(i32::MAX);
        let floor = rate.saturating_mul(window).saturating_neg().max(DEEPEST);
        let credited = account.balance.saturating_add(rate.saturating_mul(passed)).min(rate);
        if passed > 0 {
            account.at = now;
        }
        account.balance = (credited - 1).max(floor);
        if account.balance >= 0 {
            account.slips = 0;
            return (account, Verdict::Send);
        }
        account.slips += 1;
        if self.limits.slip > 0 && account.slips >= self.limits.slip {
            account.slips = 0;
            return (account, Verdict::Slip);
        }
        account.slips = account.slips.min(14);
        (account, Verdict::Drop)
    }
}

/// The place to open a new account in: an empty one, else that of the account that owes least and was used last.
fn fullest(words: &[u64; WAYS], now: u16) -> usize {
    let worth = |word: &u64| {
        let account = Account::unpack(*word);
        (account.tag == 0, i64::from(account.balance) + 64 * i64::from(now.wrapping_sub(account.at)))
    };
    words.iter().enumerate().max_by_key(|(_, word)| worth(word)).map_or(0, |(place, _)| place)
}

/// The first bits of an address as a number, the rest 0.
/// Whether an address is in the network of another one's first so many bits.
#[must_use]
pub fn is_within(address: IpAddr, first: IpAddr, bits: u8) -> bool {
    first.is_ipv4() == address.is_ipv4() && masked(first, bits) == masked(address, bits)
}

fn masked(address: IpAddr, bits: u8) -> u128 {
    let (whole, length) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, u32::from(bits.min(32))),
        IpAddr::V6(address) => (address.to_bits(), u32::from(bits.min(128))),
    };
    if length == 0 { 0 } else { whole >> (128 - length) << (128 - length) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn limits(rate: u32) -> Limits {
        Limits {
            rates: [rate, rate, rate, rate, rate, 0],
            window: 15,
            slip: 2,
            v4_prefix: 24,
            v6_prefix: 56,
            exempt: Vec::new(),
            log_only: false,
            accounts: 1024,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn ask(limiter: &Limiter, client: &str, now: i64) -> Verdict {
        limiter.charge(ip(client), Class::Answer, b"\x03www\0", 1, now)
    }

    #[test]
    fn a_second_has_its_rate_and_then_every_other_response_slips() {
        let limiter = Limiter::new(limits(3));
        let verdicts: Vec<_> = (0..7).map(|_| ask(&limiter, "192.0.2.1", 100)).collect();
        assert_eq!(verdicts[..3], [Verdict::Send; 3]);
        assert_eq!(verdicts[3..], [Verdict::Drop, Verdict::Slip, Verdict::Drop, Verdict::Slip]);
        assert_eq!(limiter.totals.limited.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn who_asks_at_the_rate_is_never_limited() {
        let limiter = Limiter::new(limits(5));
        for second in 0..100_000 {
            for _ in 0..5 {
                assert_eq!(ask(&limiter, "192.0.2.1", second), Verdict::Send);
            }
        }
    }

    #[test]
    fn a_flood_owes_at_most_a_window() {
        let limiter = Limiter::new(limits(10));
        (0..10_000).for_each(|_| assert!(ask(&limiter, "192.0.2.1", 50) == ask(&limiter, "198.51.100.1", 50)));
        assert_ne!(ask(&limiter, "192.0.2.1", 50 + 14), Verdict::Send);
        assert_eq!(ask(&limiter, "192.0.2.1", 50 + 17), Verdict::Send);
    }

    #[test]
    fn networks_classes_and_names_have_accounts_of_their_own() {
        let limiter = Limiter::new(limits(1));
        assert_eq!(ask(&limiter, "192.0.2.1", 9), Verdict::Send);
        assert_ne!(ask(&limiter, "192.0.2.200", 9), Verdict::Send);
        assert_eq!(ask(&limiter, "192.0.3.1", 9), Verdict::Send);
        assert_eq!(ask(&limiter, "2001:db8::1", 9), Verdict::Send);
        assert_ne!(ask(&limiter, "2001:db8:0:ff::1", 9), Verdict::Send);
        assert_eq!(ask(&limiter, "2001:db8:0:100::1", 9), Verdict::Send);
        assert_eq!(limiter.charge(ip("192.0.2.1"), Class::NoData, b"\x03www\0", 0, 9), Verdict::Send);
        assert_eq!(limiter.charge(ip("192.0.2.1"), Class::Answer, b"\x03ftp\0", 1, 9), Verdict::Send);
    }

    #[test]
    fn all_responses_together_have_a_limit_of_their_own() {
        let limiter = Limiter::new(Limits { rates: [0, 0, 0, 0, 0, 2], ..limits(0) });
        let charge = |name: &[u8]| limiter.charge(ip("192.0.2.1"), Class::Answer, name, 1, 9);
        assert_eq!([charge(b"a"), charge(b"b"), charge(b"c")], [Verdict::Send, Verdict::Send, Verdict::Drop]);
    }

    #[test]
    fn exempt_networks_and_log_only_hold_nothing_back() {
        let exempt = vec![(ip("192.0.2.0"), 24), (ip("2001:db8::"), 32)];
        let limiter = Limiter::new(Limits { exempt, ..limits(1) });
        for _ in 0..9 {
            assert_eq!(ask(&limiter, "192.0.2.77", 1), Verdict::Send);
            assert_eq!(ask(&limiter, "2001:db8:1::1", 1), Verdict::Send);
        }
        let limiter = Limiter::new(Limits { log_only: true, ..limits(1) });
        (0..9).for_each(|_| assert_eq!(ask(&limiter, "192.0.2.77", 1), Verdict::Send));
        assert_eq!(limiter.totals.limited.load(Ordering::Relaxed), 8);
    }

    #[test]
    fn memory_is_constant_and_a_flood_of_networks_does_not_wash_out_the_worst() {
        let limiter = Limiter::new(limits(2));
        let octets = limiter.octets();
        let worst = (0..100).map(|_| ask(&limiter, "192.0.2.1", 5)).filter(|verdict| *verdict == Verdict::Send).count();
        assert_eq!(worst, 2);
        for number in 0..200_000_u32 {
            let client = IpAddr::from((number << 8 | 0x0a00_0000).to_be_bytes());
            limiter.charge(client, Class::Answer, b"\x03www\0", 1, 5);
        }
        assert_eq!(limiter.octets(), octets);
        assert_ne!(ask(&limiter, "192.0.2.1", 5), Verdict::Send);
    }

    #[test]
    fn an_overdrawn_account_is_told_once() {
        let limiter = Limiter::new(limits(1));
        let sent = (0..50).filter(|_| ask(&limiter, "192.0.2.1", 7) == Verdict::Send).count();
        assert_eq!(sent, 1);
        let notice = limiter.next_notice().unwrap();
        assert_eq!((notice.client, notice.class, &*notice.name), (ip("192.0.2.1"), Class::Answer, &b"\x03www\0"[..]));
        assert_eq!(limiter.next_notice(), None);
    }

    #[test]
    fn an_account_survives_packing() {
        for balance in [DEEPEST, -1, 0, 1, 499_999] {
            let account = Account { tag: 0xab_cdef, at: 65_535, slips: 9, balance };
            let again = Account::unpack(account.pack());
            assert_eq!((again.tag, again.at, again.slips, again.balance), (0xab_cdef, 65_535, 9, balance));
        }
    }
}

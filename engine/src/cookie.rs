//! DNS cookies: server cookies that are made and checked without state (RFC 7873, RFC 9018).
//!
//! Words: a *secret* is the key of SipHash-2-4 that all servers of a fleet share; the first one makes cookies, the others
//! are still accepted (RFC 9018 section 5). The *standing* of a query is what its COOKIE option says of its sender.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// Octets of a client cookie (RFC 7873 section 4.1).
pub const CLIENT: usize = 8;
/// Octets of a client cookie and the server cookie behind it (RFC 9018 section 4).
pub const WHOLE: usize = 24;
/// A server cookie is accepted for an hour, and five minutes ahead of our clock (RFC 9018 section 4.3).
const ACCEPTED_FOR: i32 = 3600;
const ACCEPTED_AHEAD: i32 = 300;
/// Older ones are made anew (section 4.3).
const FRESH_FOR: i32 = 1800;

/// The secret of one server or fleet.
pub type Secret = [u8; 16];

/// What a query's COOKIE option says of who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No COOKIE option, or nobody answers cookies here.
    None,
    /// A client cookie alone, or with a server cookie that is not ours or too old.
    Unknown,
    /// The sender has received an answer of ours at its address.
    Good,
}

/// A standing, and the whole cookie to answer with.
pub type Judged = (Standing, Option<[u8; WHOLE]>);

/// An option of a length that no cookie has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotACookie;

/// How cookies are answered.
#[derive(Clone, Debug)]
pub struct Cookies {
    /// The first makes, all are accepted; none: COOKIE options are not answered.
    pub secrets: Vec<Secret>,
    /// UDP queries without a good cookie get BADCOOKIE, or TC if they have no cookie at all.
    pub required: bool,
}

impl Cookies {
    /// What the option says, and the whole cookie to answer with.
    ///
    /// # Errors
    /// The option's length is none that a cookie has: FORMERR (RFC 7873 section 5.2.2).
    pub fn judge(&self, option: &[u8], client: IpAddr, now: i64) -> Result<Judged, NotACookie> {
        let Some((own, server)) = option.split_first_chunk::<CLIENT>() else { return Err(NotACookie) };
        if !matches!(server.len(), 0 | 8..=32) {
            return Err(NotACookie);
        }
        let Some(first) = self.secrets.first() else { return Ok((Standing::None, None)) };
        // RFC 9018 section 4.3 counts in 32 bits, as serial numbers are compared.
        let now = u32::try_from(now & 0xffff_ffff).unwrap_or(0);
        let Some(made) = self.recognize(*own, server, client, now) else {
            return Ok((Standing::Unknown, Some(make(first, *own, client, now))));
        };
        let is_fresh = age(now, made.at) < FRESH_FOR && made.is_by_first;
        let cookie = if is_fresh { option.first_chunk().copied() } else { None };
        Ok((Standing::Good, Some(cookie.unwrap_or_else(|| make(first, *own, client, now)))))
    }

    fn recognize(&self, own: [u8; CLIENT], server: &[u8], client: IpAddr, now: u32) -> Option<Made> {
        let at = u32::from_be_bytes(server.get(4..8)?.try_into().ok()?);
        if server.len() != WHOLE - CLIENT || !(-ACCEPTED_AHEAD..=ACCEPTED_FOR).contains(&age(now, at)) {
            return None;
        }
        let number = self.secrets.iter().position(|secret| {
            let expected =
                make_of(secret, own, [server.first(), server.get(1), server.get(2), server.get(3)], client, at);
            is_same(expected.get(CLIENT..).unwrap_or(&[]), server)
        })?;
        Some(Made { at, is_by_first: number == 0 })
    }
}

struct Made {
    at: u32,
    is_by_first: bool,
}

/// Seconds from `then` to `now`, by serial number arithmetic (RFC 1982).
fn age(now: u32, then: u32) -> i32 {
    now.wrapping_sub(then).cast_signed()
}

/// The client's cookie and ours (RFC 9018 section 4.4).
#[must_use]
pub fn make(secret: &Secret, own: [u8; CLIENT], client: IpAddr, at: u32) -> [u8; WHOLE] {
    make_of(secret, own, [Some(&1), Some(&0), Some(&0), Some(&0)], client, at)
}

/// The same with the version and reserved octets that came: those count in the hash (RFC 9018 section 4.2).
fn make_of(secret: &Secret, own: [u8; CLIENT], head: [Option<&u8>; 4], client: IpAddr, at: u32) -> [u8; WHOLE] {
    let [o0, o1, o2, o3, o4, o5, o6, o7] = own;
    let [v, r0, r1, r2] = head.map(|octet| octet.copied().unwrap_or(0));
    let [t0, t1, t2, t3] = at.to_be_bytes();
    let fields = [o0, o1, o2, o3, o4, o5, o6, o7, v, r0, r1, r2, t0, t1, t2, t3];
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(&fields);
    match client {
        IpAddr::V4(address) => hasher.write(&address.octets()),
        IpAddr::V6(address) => hasher.write(&address.octets()),
    }
    let mut cookie = [0; WHOLE];
    for (to, from) in cookie.iter_mut().zip(fields.into_iter().chain(hasher.finish().to_le_bytes())) {
        *to = from;
    }
    // Version 1 is the only one there is (section 4.1); another one's hash is never a match.
    if v != 1 {
        cookie = [0; WHOLE];
    }
    cookie
}

/// Compares in a time that does not tell where they differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn octets<const N: usize>(hex: &str) -> [u8; N] {
        HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
    }

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

    fn cookies(secrets: &[&str]) -> Cookies {
        Cookies { secrets: secrets.iter().map(|secret| octets(secret)).collect(), required: false }
    }

    /// RFC 9018 appendix A.1: a new server cookie.
    #[test]
    fn a_client_cookie_alone_gets_a_server_cookie() {
        let own: [u8; 8] = octets("2464c4abcf10c957");
        let client = "198.51.100.100".parse().unwrap();
        let judged = cookies(&[SECRET]).judge(&own, client, 1_559_731_985).unwrap();
        assert_eq!(judged, (Standing::Unknown, Some(octets("2464c4abcf10c957010000005cf79f111f8130c3eee29480"))));
    }

    /// RFC 9018 appendix A.2: the same client later; its cookie is good, but made anew.
    #[test]
    fn a_good_cookie_over_half_an_hour_old_is_made_anew() {
        let whole: [u8; 24] = octets("2464c4abcf10c957010000005cf79f111f8130c3eee29480");
        let client = "198.51.100.100".parse().unwrap();
        let judged = cookies(&[SECRET]).judge(&whole, client, 1_559_734_385).unwrap();
        assert_eq!(judged, (Standing::Good, Some(octets("2464c4abcf10c957010000005cf7a871d4a564a1442aca77"))));
        let judged = cookies(&[SECRET]).judge(&whole, client, 1_559_731_985 + 1799).unwrap();
        assert_eq!(judged, (Standing::Good, Some(whole)));
    }

    #[test]
    fn another_address_another_secret_or_a_later_time_spoils_a_cookie() {
        let whole: [u8; 24] = octets("2464c4abcf10c957010000005cf79f111f8130c3eee29480");
        let made = 1_559_731_985;
        let own = cookies(&[SECRET]);
        let client = "198.51.100.100".parse().unwrap();
        let standing = |cookies: &Cookies, client, now| cookies.judge(&whole, client, now).unwrap().0;
        assert_eq!(standing(&own, client, made + 3600), Standing::Good);
        assert_eq!(standing(&own, client, made + 3601), Standing::Unknown);
        assert_eq!(standing(&own, client, made - 300), Standing::Good);
        assert_eq!(standing(&own, client, made - 301), Standing::Unknown);
        assert_eq!(standing(&own, "198.51.100.101".parse().unwrap(), made), Standing::Unknown);
        assert_eq!(standing(&cookies(&["445536bcd2513298075a5d379663c962"]), client, made), Standing::Unknown);
    }

    #[test]
    fn a_cookie_of_an_older_secret_is_good_and_replaced_at_once() {
        let whole: [u8; 24] = octets("2464c4abcf10c957010000005cf79f111f8130c3eee29480");
        let client = "198.51.100.100".parse().unwrap();
        let fleet = cookies(&["445536bcd2513298075a5d379663c962", SECRET]);
        let (standing, answer) = fleet.judge(&whole, client, 1_559_731_985).unwrap();
        assert_eq!(standing, Standing::Good);
        assert_ne!(answer, Some(whole));
    }

    /// RFC 9018 appendix A.4: IPv6, and a secret that replaced another.
    #[test]
    fn the_vector_of_ipv6_with_a_rolled_secret_comes_out() {
        let client = "2001:db8:220:1:59de:d0f4:8769:82b8".parse().unwrap();
        let own: [u8; 8] = octets("22681ab97d52c298");
        let old: [u8; 16] = octets("dd3bdf9344b678b185a6f5cb60fca715");
        assert_eq!(make(&old, own, client, 0x5cf7_c579), octets("22681ab97d52c298010000005cf7c57926556bd0934c72f8"));
        let new: [u8; 16] = octets("445536bcd2513298075a5d379663c962");
        assert_eq!(make(&new, own, client, 0x5cf7_c609), octets("22681ab97d52c298010000005cf7c609a6bb79d16625507a"));
    }

    #[test]
    fn only_the_lengths_of_cookies_are_taken() {
        let client = "192.0.2.1".parse().unwrap();
        for length in 0..60 {
            let is_cookie = matches!(length, 8 | 16..=40);
            assert_eq!(cookies(&[SECRET]).judge(&vec![1; length], client, 0).is_ok(), is_cookie, "{length}");
        }
    }

    #[test]
    fn without_a_secret_nothing_is_answered() {
        let judged = cookies(&[]).judge(&[1; 8], "192.0.2.1".parse().unwrap(), 0).unwrap();
        assert_eq!(judged, (Standing::None, None));
    }
}

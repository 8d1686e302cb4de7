//! Keys that sign and keys that verify (RFC 4034, 5702, 6605, 8080), key tags, and SHA-256: all that touches the crypto crate.
//!
//! Words: a *fast* key signs here, in memory (algorithms 8, 10, 13, 14 and 15); a *slow* one is a public key only, and
//! whoever has its private part signs in bulk and hands the signatures in.
//! Invariant: a `SigningKey` belongs to its DNSKEY; nothing gives its private part back, not even `Debug`.
//! Limits: no SHA-1 algorithms (RFC 8624 section 3.1); Ed448 neither signs nor verifies here; RSA signs with moduli of 2048 to
//! 4096 bits (RFC 6781 section 3.4.2, RFC 3110 section 2) and verifies with those of 1024 to 8192.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING,
    ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, ParsedPublicKey,
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RsaEncoding, RsaParameters, VerificationAlgorithm,
};

/// RSA/SHA-256 (RFC 5702).
pub const RSASHA256: u8 = 8;
/// RSA/SHA-512 (RFC 5702).
pub const RSASHA512: u8 = 10;
/// ECDSA P-256 with SHA-256 (RFC 6605).
pub const ECDSAP256SHA256: u8 = 13;
/// ECDSA P-384 with SHA-384 (RFC 6605).
pub const ECDSAP384SHA384: u8 = 14;
/// Ed25519 (RFC 8080).
pub const ED25519_ALGORITHM: u8 = 15;
/// Ed448 (RFC 8080), which the crypto crate lacks.
pub const ED448: u8 = 16;

/// Octets of an RSA modulus that may sign.
const RSA_SIGNING: std::ops::RangeInclusive<usize> = 256..=512;

/// The octets of DNSKEY rdata ahead of the public key: flags, protocol, algorithm (RFC 4034 section 2.1).
const DNSKEY_HEAD: usize = 4;

/// Octets of one signature by `algorithm`; `None` where that depends on the key.
#[must_use]
pub fn signature_size(algorithm: u8) -> Option<usize> {
    match algorithm {
        ECDSAP256SHA256 | ED25519_ALGORITHM => Some(64),
        ECDSAP384SHA384 => Some(96),
        _ => None,
    }
}

/// A key that signs: a fast one in memory, a slow one elsewhere.
pub struct SigningKey {
    pair: Option<Pair>,
    dnskey: Box<[u8]>,
    algorithm: u8,
    key_tag: u16,
}

enum Pair {
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
    Rsa(Box<rsa::KeyPair>, &'static dyn RsaEncoding),
}

impl SigningKey {
    /// The key of PKCS#8 DER and DNSKEY rdata.
    ///
    /// # Errors
    /// When the two do not belong together, either is malformed, or the algorithm is not a fast one.
    pub fn from_pkcs8(pkcs8: &[u8], dnskey: &[u8]) -> Result<Self, String> {
        let (algorithm, public) = split_dnskey(dnskey)?;
        let pair = match algorithm {
            ECDSAP256SHA256 => ecdsa_pair(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)?,
            ECDSAP384SHA384 => ecdsa_pair(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8)?,
            ED25519_ALGORITHM => Pair::Ed25519(Box::new(
                Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|why| format!("not an Ed25519 key in PKCS#8: {why}"))?,
            )),
            RSASHA256 => rsa_pair(&RSA_PKCS1_SHA256, pkcs8)?,
            RSASHA512 => rsa_pair(&RSA_PKCS1_SHA512, pkcs8)?,
            other => {
                return Err(format!("algorithm {other} does not sign in the engine, only 8, 10, 13, 14 and 15 do"));
            }
        };
        if !pair.is_of(public) {
            return Err(format!("the private key is not the DNSKEY's (key tag {})", key_tag(dnskey)));
        }
        Ok(Self { pair: Some(pair), dnskey: dnskey.into(), algorithm, key_tag: key_tag(dnskey) })
    }

    /// The slow key of DNSKEY rdata: its private part is elsewhere.
    ///
    /// # Errors
    /// When the rdata is malformed.
    pub fn slow(dnskey: &[u8]) -> Result<Self, String> {
        let (algorithm, _) = split_dnskey(dnskey)?;
        Ok(Self { pair: None, dnskey: dnskey.into(), algorithm, key_tag: key_tag(dnskey) })
    }

    /// Whether its signatures are made elsewhere.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.pair.is_none()
    }

    /// The signature of `message` as an RRSIG holds it: `r | s` of ECDSA (RFC 6605 section 4), 64 octets of Ed25519, PKCS #1
    /// v1.5 of RSA (RFC 5702 section 3); none by a slow key.
    ///
    /// # Panics
    /// When the crypto library can't sign at all (no memory, no random numbers): nothing unsigned may go out for it.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = match self.pair.as_ref()? {
            Pair::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message),
            Pair::Ed25519(pair) => pair.try_sign(message),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &SystemRandom::new(), message, &mut signature).expect("the crypto library signs");
                return Some(signature);
            }
        };
        Some(signature.expect("the crypto library signs").as_ref().to_vec())
    }

    /// The DNSKEY rdata.
    #[must_use]
    pub fn dnskey(&self) -> &[u8] {
        &self.dnskey
    }

    /// The DNSSEC algorithm number.
    #[must_use]
    pub fn algorithm(&self) -> u8 {
        self.algorithm
    }

    /// The key tag (RFC 4034 appendix B).
    #[must_use]
    pub fn key_tag(&self) -> u16 {
        self.key_tag
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey(algorithm {}, key tag {})", self.algorithm, self.key_tag)
    }
}

impl Pair {
    /// Whether this is the public key, as DNSKEY rdata holds it.
    fn is_of(&self, public: &[u8]) -> bool {
        match self {
            // RFC 6605 section 4: x | y, without the octet 4 that marks an uncompressed point.
            Self::Ecdsa(pair) => pair.public_key().as_ref().get(1..) == Some(public),
            Self::Ed25519(pair) => pair.public_key().as_ref() == public,
            Self::Rsa(pair, _) => {
                let own = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                split_rsa(public) == Some((&own.e, &own.n))
            }
        }
    }
}

fn rsa_pair(encoding: &'static dyn RsaEncoding, pkcs8: &[u8]) -> Result<Pair, String> {
    let pair = rsa::KeyPair::from_pkcs8(pkcs8).map_err(|why| format!("not an RSA key in PKCS#8: {why}"))?;
    if !RSA_SIGNING.contains(&pair.public_modulus_len()) {
        return Err(format!("an RSA key of {} bits; 2048 to 4096 sign", 8 * pair.public_modulus_len()));
    }
    Ok(Pair::Rsa(Box::new(pair), encoding))
}

fn ecdsa_pair(algorithm: &'static EcdsaSigningAlgorithm, pkcs8: &[u8]) -> Result<Pair, String> {
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8)
        .map(|pair| Pair::Ecdsa(Box::new(pair)))
        .map_err(|why| format!("not a key of this curve in PKCS#8: {why}"))
}

/// A key that verifies: a DNSKEY's public part, parsed once.
#[derive(Debug)]
pub struct PublicKey {
    parsed: ParsedPublicKey,
    algorithm: u8,
    key_tag: u16,
}

impl PublicKey {
    /// The key of DNSKEY rdata; algorithms 8, 10, 13, 14 and 15.
    ///
    /// # Errors
    /// When the rdata is malformed or its algorithm is not one of these.
    pub fn from_dnskey(dnskey: &[u8]) -> Result<Self, String> {
        let (algorithm, public) = split_dnskey(dnskey)?;
        let parsed = match algorithm {
            RSASHA256 => rsa_public(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, public)?,
            RSASHA512 => rsa_public(&RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, public)?,
            ECDSAP256SHA256 => ecdsa_public(&ECDSA_P256_SHA256_FIXED, 64, public)?,
            ECDSAP384SHA384 => ecdsa_public(&ECDSA_P384_SHA384_FIXED, 96, public)?,
            ED25519_ALGORITHM => sized_public(&ED25519, 32, public, public)?,
            other => return Err(format!("algorithm {other} can't be verified")),
        };
        Ok(Self { parsed, algorithm, key_tag: key_tag(dnskey) })
    }

    /// Whether `signature` is this key's over `message`.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }

    /// The DNSSEC algorithm number.
    #[must_use]
    pub fn algorithm(&self) -> u8 {
        self.algorithm
    }

    /// The key tag (RFC 4034 appendix B).
    #[must_use]
    pub fn key_tag(&self) -> u16 {
        self.key_tag
    }
}

/// Algorithm and public key of DNSKEY rdata.
fn split_dnskey(dnskey: &[u8]) -> Result<(u8, &[u8]), String> {
    match dnskey.split_at_checked(DNSKEY_HEAD) {
        Some((&[_, _, 3, algorithm], public)) if !public.is_empty() => Ok((algorithm, public)),
        // RFC 4034 section 2.1.2: any other protocol makes the key invalid.
        Some((&[_, _, protocol, _], public)) if !public.is_empty() => {
            Err(format!("DNSKEY protocol {protocol}, it must be 3"))
        }
        _ => Err(format!("DNSKEY of {} octets is too short", dnskey.len())),
    }
}

fn ecdsa_public(
    algorithm: &'static dyn VerificationAlgorithm,
    size: usize,
    public: &[u8],
) -> Result<ParsedPublicKey, String> {
    // RFC 6605 section 4 leaves out the octet 4 that marks an uncompressed point; the library wants it.
    let mut point = Vec::with_capacity(1 + public.len());
    point.push(4);
    point.extend_from_slice(public);
    sized_public(algorithm, size, public, &point)
}

fn sized_public(
    algorithm: &'static dyn VerificationAlgorithm,
    size: usize,
    public: &[u8],
    form: &[u8],
) -> Result<ParsedPublicKey, String> {
    if public.len() != size {
        return Err(format!("public key of {} octets, it must have {size}", public.len()));
    }
    ParsedPublicKey::new(algorithm, form).map_err(|why| format!("not a public key: {why}"))
}

fn rsa_public(parameters: &'static RsaParameters, public: &[u8]) -> Result<ParsedPublicKey, String> {
    let (exponent, modulus) = split_rsa(public).ok_or("RSA public key is too short")?;
    PublicKeyComponents { n: modulus, e: exponent }
        .to_parsed_public_key(parameters)
        .map_err(|why| format!("not an RSA public key: {why}"))
}

/// Exponent and modulus of an RSA key (RFC 3110 section 2): a length of one octet, or 0 and two octets.
fn split_rsa(public: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = match public {
        [0, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [size, rest @ ..] => (usize::from(*size), rest),
        [] => return None,
    };
    let (exponent, modulus) = rest.split_at_checked(size)?;
    (!exponent.is_empty() && !modulus.is_empty()).then_some((exponent, modulus))
}

/// The key tag of DNSKEY rdata (RFC 4034 appendix B; algorithm 1, which has its own, is long gone).
#[must_use]
pub fn key_tag(dnskey: &[u8]) -> u16 {
    let pairs = dnskey.chunks(2);
    let sum: u32 = pairs
        .map(|pair| match *pair {
            [high, low] => u32::from(u16::from_be_bytes([high, low])),
            [high] => u32::from(high) << 8,
            _ => 0,
        })
        .sum();
    // At most 65535 octets of rdata: the sum of 32768 16-bit numbers fits, and so does its carry.
    (((sum >> 16) + sum) & 0xffff) as u16
}

/// SHA-256 over octets that come in parts; by the processor's own instructions where it has them.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// Of nothing so far.
    #[must_use]
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Appends octets.
    pub fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    /// The digest of all that was appended.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        into_array(&self.0.finish())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sha256")
    }
}

/// SHA-256 of one octet string.
#[must_use]
pub fn sha256(octets: &[u8]) -> [u8; 32] {
    into_array(&digest::digest(&digest::SHA256, octets))
}

fn into_array(digest: &digest::Digest) -> [u8; 32] {
    let mut array = [0; 32];
    for (to, from) in array.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    array
}

/// A fresh key for tests, a CSK of `algorithm`, with its PKCS#8.
///
/// # Panics
/// When the algorithm isn't a fast one.
#[cfg(test)]
#[must_use]
#[allow(clippy::single_match_else)]
pub fn generate_for_test(algorithm: u8) -> (Vec<u8>, SigningKey) {
    let rng = SystemRandom::new();
    let (pkcs8, public) = match algorithm {
        ED25519_ALGORITHM => {
            let pkcs8 = Ed25519KeyPair::generate_pkcs8(&rng).expect("generates").as_ref().to_vec();
            let public = Ed25519KeyPair::from_pkcs8(&pkcs8).expect("parses").public_key().as_ref().to_vec();
            (pkcs8, public)
        }
        _ => {
            let curve = if algorithm == ECDSAP256SHA256 {
                &ECDSA_P256_SHA256_FIXED_SIGNING
            } else {
                assert_eq!(algorithm, ECDSAP384SHA384, "a fast algorithm");
                &ECDSA_P384_SHA384_FIXED_SIGNING
            };
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve, &rng).expect("generates").as_ref().to_vec();
            let pair = EcdsaKeyPair::from_pkcs8(curve, &pkcs8).expect("parses");
            (pkcs8, pair.public_key().as_ref().iter().skip(1).copied().collect())
        }
    };
    let mut dnskey = vec![1, 1, 3, algorithm];
    dnskey.extend_from_slice(&public);
    let key = SigningKey::from_pkcs8(&pkcs8, &dnskey).expect("belong together");
    (pkcs8, key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use data_encoding::{BASE64, HEXLOWER};

    use super::*;

    /// RFC 6605 section 6.1: the P-256 example's DNSKEY, flags 257.
    const RFC6605_P256: &str =
        "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==";
    /// RFC 8080 section 6.1: the first Ed25519 example, private and public part.
    const RFC8080_PRIVATE: &str = "ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=";
    const RFC8080_PUBLIC: &str = "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=";

    fn dnskey(flags: u16, algorithm: u8, public: &str) -> Vec<u8> {
        let mut rdata = flags.to_be_bytes().to_vec();
        rdata.extend([3, algorithm]);
        rdata.extend(BASE64.decode(public.as_bytes()).unwrap());
        rdata
    }

    #[test]
    fn key_tags_are_those_of_the_rfcs() {
        assert_eq!(key_tag(&dnskey(257, 13, RFC6605_P256)), 55648);
        assert_eq!(key_tag(&dnskey(257, 15, RFC8080_PUBLIC)), 3613);
        assert_eq!(key_tag(&[]), 0);
        assert_eq!(key_tag(&[1]), 256);
    }

    #[test]
    fn an_ed25519_key_of_rfc_8080_signs_and_verifies() {
        let mut pkcs8 = HEXLOWER.decode(b"302e020100300506032b657004220420").unwrap();
        pkcs8.extend(BASE64.decode(RFC8080_PRIVATE.as_bytes()).unwrap());
        let key = SigningKey::from_pkcs8(&pkcs8, &dnskey(257, 15, RFC8080_PUBLIC)).unwrap();
        assert_eq!((key.algorithm(), key.key_tag()), (15, 3613));
        let signature = key.sign(b"octets").unwrap();
        assert_eq!(signature, key.sign(b"octets").unwrap(), "Ed25519 is deterministic");
        assert!(PublicKey::from_dnskey(key.dnskey()).unwrap().verify(b"octets", &signature));
    }

    #[test]
    fn every_fast_algorithm_signs_what_its_public_key_verifies() {
        for algorithm in [13, 14, 15] {
            let (_, key) = generate_for_test(algorithm);
            let public = PublicKey::from_dnskey(key.dnskey()).unwrap();
            let mut signature = key.sign(b"example.").unwrap();
            assert_eq!(Some(signature.len()), signature_size(algorithm));
            assert!(public.verify(b"example.", &signature));
            assert!(!public.verify(b"exbmple.", &signature));
            signature[5] ^= 1;
            assert!(!public.verify(b"example.", &signature));
            assert!(!public.verify(b"example.", &signature[..63]));
            assert!(!public.verify(b"example.", b""));
        }
    }

    #[test]
    fn a_private_key_that_is_not_the_dnskeys_is_refused() {
        let (pkcs8, key) = generate_for_test(13);
        let (_, other) = generate_for_test(13);
        let error = SigningKey::from_pkcs8(&pkcs8, other.dnskey()).unwrap_err();
        assert!(error.contains("is not the DNSKEY's"), "{error}");
        assert!(SigningKey::from_pkcs8(&pkcs8[1..], key.dnskey()).is_err());
        assert!(SigningKey::from_pkcs8(&[], key.dnskey()).is_err());
        let (ed, _) = generate_for_test(15);
        assert!(SigningKey::from_pkcs8(&ed, key.dnskey()).is_err());
    }

    #[test]
    fn malformed_dnskeys_are_refused_with_a_reason() {
        for (rdata, reason) in [
            (vec![], "too short"),
            (vec![1, 1, 3, 13], "too short"),
            (vec![1, 1, 2, 13, 0], "protocol 2"),
            (vec![1, 1, 3, 13, 0], "64"),
            (vec![1, 1, 3, 15, 0], "32"),
            (vec![1, 1, 3, 8, 0], "RSA"),
            (vec![1, 1, 3, 8, 3, 1, 0], "RSA"),
            (vec![1, 1, 3, 5, 3, 1, 0], "algorithm 5"),
        ] {
            let error = PublicKey::from_dnskey(&rdata).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        // A point that is not on the curve.
        assert!(PublicKey::from_dnskey(&[&[1, 1, 3, 13][..], &[7; 64]].concat()).is_err());
    }

    #[test]
    fn rsa_keys_sign_what_their_public_key_verifies() {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let components = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let der: Pkcs8V1Der<'static> = pair.as_der().unwrap();
        for algorithm in [RSASHA256, RSASHA512] {
            let mut rdata = vec![1, 1, 3, algorithm, u8::try_from(components.e.len()).unwrap()];
            rdata.extend(&components.e);
            rdata.extend(&components.n);
            let key = SigningKey::from_pkcs8(der.as_ref(), &rdata).unwrap();
            let signature = key.sign(b"octets").unwrap();
            let public = PublicKey::from_dnskey(&rdata).unwrap();
            assert_eq!(signature.len(), 256);
            assert!(public.verify(b"octets", &signature));
            assert!(!public.verify(b"octet", &signature));
            let last = rdata.len() - 1;
            rdata[last] ^= 2;
            assert!(SigningKey::from_pkcs8(der.as_ref(), &rdata).unwrap_err().contains("is not the DNSKEY's"));
        }
    }

    #[test]
    fn an_rsa_key_too_large_for_dns_is_refused() {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa8192).unwrap();
        let der: Pkcs8V1Der<'static> = pair.as_der().unwrap();
        assert!(SigningKey::from_pkcs8(der.as_ref(), &[1, 1, 3, 8, 1, 3, 9]).unwrap_err().contains("8192 bits"));
    }

    #[test]
    fn a_slow_key_is_its_dnskey_and_signs_nothing() {
        let key = SigningKey::slow(&[&[1, 1, 3, ED448][..], &[7; 57]].concat()).unwrap();
        assert!(key.is_slow() && key.sign(b"octets").is_none());
        assert!(SigningKey::slow(&[1, 1, 2, ED448, 7]).is_err());
    }

    #[test]
    fn sha256_is_the_same_whole_and_in_parts() {
        let mut parts = Sha256::new();
        parts.update(b"a");
        parts.update(b"bc");
        let whole = sha256(b"abc");
        assert_eq!(parts.finish(), whole);
        // FIPS 180-4, the example of one block.
        assert_eq!(HEXLOWER.encode(&whole), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn debug_shows_no_private_part() {
        let (_, key) = generate_for_test(13);
        assert_eq!(format!("{key:?}"), format!("SigningKey(algorithm 13, key tag {})", key.key_tag()));
    }
}

//! Versions and signatures as octet strings for the state directory, with a checksum at their end.
//!
//! A zone image is also the chunk the restored version lives in: nothing in it is copied again. Numbers are big endian.
//! The format's number is part of the magic; another number is refused, never guessed at.

use std::sync::Arc;

use crate::crypto::{Sha256, SigningKey, sha256};
use crate::denial::Choice;
use crate::name::{self, Name};
use crate::nsec3::{OPT_OUT, Params};
use crate::signed::{Plan, SignedVersion};
use crate::version::{Assembly, Version};

/// The format this file writes.
pub const FORMAT: u32 = 1;
const ZONE: [u8; 8] = *b"zwzone\x00\x01";
const SIGNATURES: [u8; 8] = *b"zwsigs\x00\x01";
const CHECKSUM: usize = 32;

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader of an image whose checksum is right, past its magic.
    fn open(image: &'a [u8], magic: [u8; 8]) -> Result<Self, String> {
        let split = image.len().checked_sub(CHECKSUM).ok_or("the image is cut short")?;
        let (octets, checksum) = image.split_at(split);
        if !octets.starts_with(&magic) {
            return Err("the image is of another kind or format".to_owned());
        }
        if sha256(octets) != checksum {
            return Err("the image's checksum is wrong".to_owned());
        }
        Ok(Self { octets, at: magic.len() })
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let taken = self.octets.get(self.at..self.at.saturating_add(count)).ok_or("the image ends too soon")?;
        self.at += count;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, String> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into().unwrap_or([0; 2])))
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().unwrap_or([0; 4])))
    }

    fn name(&mut self) -> Result<&'a [u8], String> {
        let rest = self.octets.get(self.at..).unwrap_or(&[]);
        self.take(name::length(rest).ok_or("the image holds a malformed name")?)
    }
}

fn sealed(mut octets: Vec<u8>) -> Vec<u8> {
    let checksum = sha256(&octets);
    octets.extend(checksum);
    octets
}

fn count(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes()
}

/// A version as octets.
#[must_use]
pub fn of_version(version: &Version) -> Vec<u8> {
    let mut out = Vec::with_capacity(version.octets() / 2);
    out.extend(ZONE);
    out.extend_from_slice(version.origin());
    out.extend(count(version.nodes().len()));
    out.extend(count(version.rrset_count()));
    for node in 0..version.nodes().len() {
        let rrsets = version.rrset_range(node).len();
        if rrsets == 0 {
            continue;
        }
        out.extend(count(rrsets));
        out.extend_from_slice(version.name_of(node));
        for rrset in version.rrsets_of(node) {
            out.extend(rrset.rtype.to_be_bytes());
            out.extend(rrset.ttl.to_be_bytes());
            out.extend(count(rrset.count));
            out.extend_from_slice(rrset.octets());
        }
    }
    out.extend([0; 4]);
    sealed(out)
}

/// The version of an image.
///
/// # Errors
/// What is wrong with the image.
pub fn to_version(image: Vec<u8>) -> Result<Version, String> {
    let chunk = Arc::new(image);
    let mut reader = Reader::open(&chunk, ZONE)?;
    let origin = Name::from_wire(reader.name()?).ok_or("the image holds a malformed name")?;
    let (nodes, rrsets) = (reader.u32()? as usize, reader.u32()? as usize);
    // Counts are hints; what an image can hold bounds them.
    let most = chunk.len() / 8;
    let mut assembly = Assembly::new(origin.clone(), 0, nodes.min(most), rrsets.min(most));
    assembly.lend(Arc::clone(&chunk));
    loop {
        let of_node = reader.u32()?;
        if of_node == 0 {
            break;
        }
        let at = reader.at;
        if !name::equal(reader.name()?, &origin) && assembly.is_empty() {
            // An apex that holds nothing has no octets in the image.
            assembly.begin(&origin);
        }
        assembly.begin_lent(at);
        for _ in 0..of_node {
            read_rrset(&mut reader, &mut assembly)?;
        }
    }
    Ok(assembly.finish())
}

fn read_rrset(reader: &mut Reader<'_>, assembly: &mut Assembly) -> Result<(), String> {
    let (rtype, ttl, records) = (reader.u16()?, reader.u32()?, reader.u32()?);
    let start = reader.at;
    for _ in 0..records {
        let length = reader.u16()?;
        reader.take(usize::from(length))?;
    }
    assembly.add_lent(rtype, ttl, records, start);
    Ok(())
}

/// What a set of signatures belongs to: the very content, serial and keys.
fn fingerprint(signed: &SignedVersion) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(&signed.version().content_digest());
    sha.update(&signed.version().serial().to_be_bytes());
    for key in signed.plan().into_iter().flat_map(|plan| &plan.keys) {
        sha.update(key.key.dnskey());
        sha.update(&[u8::from(key.signs_keys), u8::from(key.signs_zone)]);
    }
    // Units are numbered by the chain: those of another one do not fit.
    if let Some(chain) = signed.denial().hashed() {
        sha.update(&chain.params.iterations.to_be_bytes());
        sha.update(&[chain.params.flags()]);
        sha.update(&chain.params.salt);
    }
    sha.finish()
}

/// All signatures made so far as octets.
#[must_use]
pub fn of_signatures(signed: &SignedVersion) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 96 * signed.made());
    out.extend(SIGNATURES);
    out.extend(fingerprint(signed));
    for (key, unit, signature) in signed.filled() {
        out.push(1);
        out.extend(count(key));
        out.extend(count(unit));
        out.extend(signature.inception.to_be_bytes());
        out.extend(signature.expiration.to_be_bytes());
        out.extend(u16::try_from(signature.octets.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(&signature.octets);
    }
    out.push(0);
    describe(signed, &mut out);
    sealed(out)
}

/// Whose signatures they are, and over which proofs, so that they can be read without a plan.
fn describe(signed: &SignedVersion, out: &mut Vec<u8>) {
    let keys = signed.plan().map_or(&[][..], |plan| &plan.keys);
    out.extend(count(keys.len()));
    for key in keys {
        out.extend(count(key.key.dnskey().len()));
        out.extend_from_slice(key.key.dnskey());
        out.extend([u8::from(key.signs_keys), u8::from(key.signs_zone)]);
    }
    let Some(chain) = signed.denial().hashed() else { return out.push(0) };
    out.extend([1, chain.params.flags()]);
    out.extend(chain.params.iterations.to_be_bytes());
    out.extend(count(chain.params.salt.len()));
    out.extend_from_slice(&chain.params.salt);
}

/// The plan of an image of signatures, none of which it would make: all are there.
fn described(image: &[u8]) -> Result<Plan, String> {
    let mut reader = Reader::open(image, SIGNATURES)?;
    reader.take(32)?;
    while reader.take(1)? == [1] {
        reader.take(16)?;
        let length = reader.u16()?;
        reader.take(usize::from(length))?;
    }
    let mut keys = Vec::new();
    for _ in 0..reader.u32()? {
        let length = reader.u32()? as usize;
        let key = Arc::new(SigningKey::slow(reader.take(length)?)?);
        let &[signs_keys, signs_zone] = reader.take(2)? else { return Err("the image ends too soon".to_owned()) };
        keys.push((key, signs_keys == 1, signs_zone == 1));
    }
    // Compact denial is the NSEC chain to those who have it by transfer.
    let denial = if reader.take(1)? == [1] { Choice::Nsec3(read_params(&mut reader)?) } else { Choice::Nsec };
    Plan::new(keys, [0; 4], denial)
}

fn read_params(reader: &mut Reader<'_>) -> Result<Params, String> {
    let opt_out = reader.take(1)? == [OPT_OUT];
    let (iterations, length) = (reader.u16()?, reader.u32()? as usize);
    Ok(Params { iterations, salt: reader.take(length)?.into(), opt_out })
}

/// A version out of its images, with all its signatures; nothing of them is verified.
///
/// # Errors
/// What is wrong with the images, or that they are not of one version.
pub fn to_signed(content: Vec<u8>, signatures: Option<&[u8]>) -> Result<SignedVersion, String> {
    let version = Arc::new(to_version(content)?);
    let Some(image) = signatures else { return Ok(SignedVersion::new(version, None, None)) };
    let signed = SignedVersion::new(version, Some(Arc::new(described(image)?)), None);
    restore_signatures(&signed, image)?;
    if signed.made() < signed.total() {
        return Err("the image has not all signatures of this version".to_owned());
    }
    Ok(signed)
}

/// Fill slots with the signatures of an image; how many.
///
/// # Errors
/// What is wrong with the image.
pub fn restore_signatures(signed: &SignedVersion, image: &[u8]) -> Result<usize, String> {
    let mut reader = Reader::open(image, SIGNATURES)?;
    if reader.take(32)? != fingerprint(signed) {
        return Ok(0);
    }
    let mut restored = 0;
    while reader.take(1)? == [1] {
        let (key, unit) = (reader.u32()? as usize, reader.u32()? as usize);
        let (inception, expiration, length) = (reader.u32()?, reader.u32()?, reader.u16()?);
        let octets = reader.take(usize::from(length))?;
        restored += usize::from(signed.refill(key, unit, inception, expiration, octets));
    }
    Ok(restored)
}

//! Signatures per CPU second, made and verified by the engine's keys; compare with `openssl speed rsa2048 ecdsap256 ed25519`.

use std::fs;
use std::hint::black_box;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair,
};
use zonewright_engine::crypto::{PublicKey, SigningKey, sha256};

/// About the octets of an A RRset to be signed: RRSIG head, owner, one record.
const MESSAGE: [u8; 100] = [7; 100];

fn main() -> Result<(), String> {
    for (name, algorithm) in [("RSA 2048 SHA-256", 8), ("ECDSA P-256", 13), ("ECDSA P-384", 14), ("Ed25519", 15)] {
        let key = key(algorithm)?;
        let public = PublicKey::from_dnskey(key.dnskey())?;
        let signature = key.sign(&MESSAGE).ok_or("a fast key")?;
        measure(&format!("{name} sign"), || drop(black_box(key.sign(black_box(&MESSAGE)))));
        measure(&format!("{name} verify"), || assert!(public.verify(black_box(&MESSAGE), &signature)));
    }
    measure("SHA-256 of 100 octets", || drop(black_box(sha256(black_box(&MESSAGE)).to_vec())));
    Ok(())
}

fn key(algorithm: u8) -> Result<SigningKey, String> {
    let rng = SystemRandom::new();
    let curve = |curve: &'static EcdsaSigningAlgorithm| {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve, &rng).map_err(|why| why.to_string())?;
        let pair = EcdsaKeyPair::from_pkcs8(curve, pkcs8.as_ref()).map_err(|why| why.to_string())?;
        Ok::<_, String>((pkcs8, pair.public_key().as_ref().get(1..).unwrap_or_default().to_vec()))
    };
    if algorithm == 8 {
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(|why| why.to_string())?;
        let public = rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let pkcs8: Pkcs8V1Der<'static> = pair.as_der().map_err(|why| why.to_string())?;
        return SigningKey::from_pkcs8(pkcs8.as_ref(), &[&[1, 1, 3, 8, 3], public.e.as_slice(), &public.n].concat());
    }
    let (pkcs8, public) = match algorithm {
        13 => curve(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
        14 => curve(&ECDSA_P384_SHA384_FIXED_SIGNING)?,
        _ => {
            let pkcs8 = Ed25519KeyPair::generate_pkcs8(&rng).map_err(|why| why.to_string())?;
            let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|why| why.to_string())?;
            (pkcs8, pair.public_key().as_ref().to_vec())
        }
    };
    SigningKey::from_pkcs8(pkcs8.as_ref(), &[&[1, 1, 3, algorithm], public.as_slice()].concat())
}

/// Prints how often `deed` is done in a CPU second.
#[allow(clippy::cast_precision_loss)]
fn measure(name: &str, mut deed: impl FnMut()) {
    let begin = cpu_ns();
    let mut times = 0_u64;
    while cpu_ns() - begin < 1_000_000_000 {
        (0..100).for_each(|_| deed());
        times += 100;
    }
    let ns = (cpu_ns() - begin) as f64 / times as f64;
    println!("{name:<22} {:>9.0} per CPU second, {:>7.2} us", 1e9 / ns, ns / 1e3);
}

/// CPU time of this thread.
fn cpu_ns() -> u64 {
    let state = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    state.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

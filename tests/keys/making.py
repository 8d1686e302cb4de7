"""Key files as `dnssec-keygen` writes them, made without it."""

from base64 import b64encode
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

from engine import key_tag, rdata_to_text
from keys import private
from tests.keys.test_bindfile import KEY, PRIVATE

KSK, ZSK = 257, 256


def write_key(directory: Path, zone: str = "example.test.", flags: int = KSK) -> Path:
    """A new P-256 key's two files; their stem."""
    pkcs8, dnskey = private.generate(private.ECDSAP256SHA256, flags)
    stem = directory / f"K{zone}+013+{key_tag(dnskey):05d}"
    secret = load_der_private_key(pkcs8, None)
    assert isinstance(secret, EllipticCurvePrivateKey)
    octets = secret.private_numbers().private_value.to_bytes(32, "big")
    texts = {
        "key": f"{zone} 3600 IN DNSKEY {rdata_to_text(48, dnskey)}\n",
        "private": "Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\n"
        f"PrivateKey: {b64encode(octets).decode()}\n",
    }
    for suffix, text in texts.items():
        _write(Path(f"{stem}.{suffix}"), text)
    return stem


def write_documented_key(directory: Path) -> None:
    """The key of RFC 6605 section 6.1, which the manuals name."""
    for suffix, text in ((".key", KEY), (".private", PRIVATE)):
        _write(directory / f"Kexample.net.+013+55648{suffix}", text)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)

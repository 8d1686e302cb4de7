import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import dns.rdata
import pytest

from keys.custody import ImportedKey, import_bind
from keys.errors import KeyImportError

# RFC 6605 sections 6.1 and 6.2, RFC 8080 section 6.1.
EXAMPLES = {
    13: (
        "example.net. 3600 IN DNSKEY 257 3 13 (\n GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edb\n krSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA== )\n",
        "Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=\n",
        55648,
    ),
    14: (
        "example.net. 3600 IN DNSKEY 257 3 14 (\n xKYaNhWdGOfJ+nPrL8/arkwf2EY3MDJ+SErKivBVSum1\n w/egsXvSADtNJhyem5RCOpgQ6K8X1DRSEkrbYQ+OB+v8\n /uX45NBwY8rp65F6Glur8I/mlVNgF6W/qTI37m40 )\n",
        "Private-key-format: v1.2\nAlgorithm: 14 (ECDSAP384SHA384)\nPrivateKey: WURgWHCcYIYUPWgeLmiPY2DJJk02vgrmTfitxgqcL4vwW7BOrbawVmVe0d9V94SR\n",
        10771,
    ),
    15: (
        "example.com. 3600 IN DNSKEY 257 3 15 (\n l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4= )\n",
        "Private-key-format: v1.2\nAlgorithm: 15 (ED25519)\nPrivateKey: ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=\n",
        3613,
    ),
}
KEY, PRIVATE, TAG = EXAMPLES[13]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Both files of a key, under BIND's name."""

    def write_files(key: str = KEY, private: str = PRIVATE, *, name: str = "Kexample.net.+013+55648") -> Path:
        for suffix, text in ((".key", key), (".private", private)):
            path = tmp_path / (name + suffix)
            path.write_text(text, encoding="latin-1")
            path.chmod(0o600)
        return tmp_path / name

    return write_files


@pytest.mark.parametrize("algorithm", sorted(EXAMPLES))
def test_the_keys_of_the_rfcs_are_imported(algorithm: int, write: Callable[..., Path]) -> None:
    key, private, tag = EXAMPLES[algorithm]
    zone = key.split()[0]
    stem = write(key, private, name=f"K{zone}+{algorithm:03d}+{tag:05d}")
    for path in (stem, f"{stem}.key", f"{stem}.private"):
        imported = import_bind(path)
        record = dns.rdata.from_text("IN", "DNSKEY", key.partition("DNSKEY")[2])
        assert (imported.tag, imported.dnskey, imported.algorithm) == (tag, record.to_wire(), algorithm)
        assert imported.is_sep
        assert imported.warnings == ()
        assert imported.timing == {}


def test_the_private_part_is_not_shown(write: Callable[..., Path]) -> None:
    imported = import_bind(write())
    assert "pkcs8" not in repr(imported)
    assert repr(imported.pkcs8) not in repr(imported)


def test_timing_metadata_is_kept(write: Callable[..., Path]) -> None:
    private = (
        PRIVATE.replace("v1.2", "v1.3")
        + "Created: 20231114221320\nActivate: 20231114221321\nInactive: 20330518033320\n"
    )
    timing = {"Created": 1_700_000_000, "Activate": 1_700_000_001, "Inactive": 2_000_000_000}
    assert import_bind(write(private=private)).timing == timing


def test_loose_permissions_and_a_false_name_are_warnings(write: Callable[..., Path]) -> None:
    stem = write(name="Kexample.net.+013+00001")
    Path(f"{stem}.private").chmod(0o644)
    loose, name = import_bind(stem).warnings
    assert loose == f"{stem}.private: permissions 0644 let others read the private key; 0600 would not"
    assert name == f"{stem}: the name says algorithm 13 tag 1, it is 13 tag 55648"


RSA = "Private-key-format: v1.3\nAlgorithm: 8 (RSASHA256)\nModulus: AQAB\nPublicExponent: AQAB\n"
RSA_REST = "".join(
    f"{n}: AQAB\n" for n in ["PrivateExponent", "Prime1", "Prime2", "Exponent1", "Exponent2", "Coefficient"]
)
SECRET = PRIVATE.split()[-1]


@pytest.mark.parametrize(
    ("key", "private", "message"),
    [
        (
            KEY.replace("3 13", "3 7"),
            RSA.replace("8 (", "7 ("),
            ".private:2: algorithm 7 (RSASHA1-NSEC3-SHA1) signs noth",
        ),
        (KEY.replace("3 13", "3 8"), RSA, ".private: no `PrivateExponent` line"),
        (KEY.replace("3 13", "3 8"), RSA + RSA_REST, ".private:3: the private key is malformed"),
        (KEY, RSA, ".private:2: algorithm 8 here, 13 in the public file"),
        (KEY, EXAMPLES[14][1], ".private:2: algorithm 14 here, 13 in the public file"),
        (KEY.replace("257", "385"), PRIVATE, ".key: the key is revoked"),
        (KEY.replace("257", "0"), PRIVATE, ".key: flags 0 are not 256 or 257"),
        (KEY.replace("257 3", "257 4"), PRIVATE, ".key: protocol 4 is not 3"),
        (KEY, PRIVATE.replace("GU6S", "GU7S"), ".private: the private key is not the one of the public file"),
        (KEY, PRIVATE.replace("GU6S", "!U6S"), ".private:3: the private key is malformed"),
        (KEY, PRIVATE.replace(SECRET, "A" * 64), ".private:3: the private key is malformed"),
        (KEY, PRIVATE.replace(SECRET, "AAAA"), ".private:3: the private key is malformed"),
        (KEY, PRIVATE.replace("PrivateKey", "Label"), ".private: the private part is in a hardware token (PKCS#11)"),
        (KEY, PRIVATE.replace("PrivateKey", "Other"), ".private: no `PrivateKey` line"),
        (KEY, PRIVATE.replace("v1.2", "v2.0"), ".private:1: no `Private-key-format: v1.3`"),
        (KEY, "", ".private:1: no `Private-key-format: v1.3`"),
        (KEY, PRIVATE + "garbage\n", ".private:4: not `Name: value`"),
        (KEY, PRIVATE + PRIVATE, ".private:4: Private-key-format for the second time"),
        (KEY, PRIVATE + "Created: yesterday\n", ".private:4: a time that is not YYYYMMDDHHMMSS"),
        (KEY, PRIVATE.replace("Algorithm: 13", "Algorithm: x"), ".private:2: no `Algorithm: number`"),
        (KEY, PRIVATE + "Name: \xe9\n", ".private:4: an octet that is not ASCII"),
        ("; only a comment\n", PRIVATE, ".key: no DNSKEY record"),
        ("example.net. A 192.0.2.1\n", PRIVATE, ".key:1: not a DNSKEY record"),
        (KEY + KEY, PRIVATE, ".key:1: more than one DNSKEY record"),
        ("example.net. IN DNSKEY 257 3 13 !!!\n", PRIVATE, ".key:1: "),
    ],
)
def test_what_is_wrong_is_named_with_its_line(key: str, private: str, message: str, write: Callable[..., Path]) -> None:
    stem = write(key, private)
    with pytest.raises(KeyImportError) as caught:
        import_bind(stem)
    assert str(caught.value).startswith(f"{stem}{message}")
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None or SECRET not in str(caught.value.__cause__)


def test_missing_and_strange_files_are_refused_without_waiting(write: Callable[..., Path]) -> None:
    stem = write()
    private = Path(f"{stem}.private")
    private.write_bytes(b"a" * 70_000)
    with pytest.raises(KeyImportError, match="larger than 65536 octets"):
        import_bind(stem)
    private.unlink()
    with pytest.raises(KeyImportError, match="no such file"):
        import_bind(stem)
    os.mkfifo(private)
    with pytest.raises(KeyImportError, match="not a regular file"):
        import_bind(stem)


@pytest.mark.peer("dnssec-keygen")
@pytest.mark.parametrize("algorithm", ["ECDSAP256SHA256", "ECDSAP384SHA384", "ED25519"])
@pytest.mark.parametrize("flag", ["KSK", "ZSK"])
def test_what_dnssec_keygen_makes_is_imported(algorithm: str, flag: str, tmp_path: Path) -> None:
    kind = ["-f", "KSK"] if flag == "KSK" else []
    made = subprocess.run(
        ["dnssec-keygen", "-q", "-K", tmp_path, "-a", algorithm, *kind, "sub.example.test"],
        check=True,
        capture_output=True,
        text=True,
    )
    name = made.stdout.strip()
    imported: ImportedKey = import_bind(tmp_path / name)
    assert imported.owner == b"\x03sub\x07example\x04test\x00"
    assert name == f"Ksub.example.test.+{imported.algorithm:03d}+{imported.tag:05d}"
    assert imported.is_sep is (flag == "KSK")
    assert {"Created", "Publish", "Activate"} <= set(imported.timing)
    assert imported.warnings == ()

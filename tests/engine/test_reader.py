"""The reader against BIND's: the same files accepted, the same records in them, places and reasons for the rest."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import pytest

import engine
from tools import make_zone

ORIGIN = "example.com."
VECTORS = Path(__file__).parents[1] / "vectors"
APEX = b"$TTL 3600\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"
COMPILE = ("named-compilezone", "-k", "ignore", "-i", "none", "-D", "-o", "-")


def vectors(name: str) -> list[bytes]:
    """Whole files, one for each line of the vectors."""
    files = []
    for line in (VECTORS / name).read_text(encoding="ascii").splitlines():
        if line.startswith("#"):
            continue
        text = line.encode("ascii").decode("unicode_escape").encode("latin-1")
        files.append(text[4:] if text.startswith(b"RAW ") else APEX + text)
    return files


def bind_dump(zone: bytes, directory: Path, name: str, origin: str = ORIGIN) -> list[bytes] | None:
    """The records BIND reads, in canonical order, one a line; None where it refuses the file."""
    path = directory / name
    path.write_bytes(zone)
    done = subprocess.run([*COMPILE, origin, path], capture_output=True, check=False, timeout=60)
    if done.returncode:
        return None
    lines = [b" ".join(line.split()) for line in done.stdout.splitlines()]
    return [line for line in lines if b" IN " in line]


def our_text(zone: bytes, origin: str = ORIGIN) -> bytes | None:
    """The zone as the engine writes it; None where it refuses the file."""
    records = engine.read_zone(engine.name_from_text(origin), [("zone", zone)], max_generate=10_000_000)
    if records.has_errors:
        return None
    version, _ = engine.Version.build(records)
    return version and version.to_text()


def difference(zone: bytes, directory: Path, name: str, origin: str = ORIGIN) -> str | None:
    """What differs between the two readings; our records are compared as BIND reads them from our text."""
    expected, text = bind_dump(zone, directory, name, origin), our_text(zone, origin)
    if expected is None or text is None:
        return None if expected is text else f"accepted by {'us' if expected is None else 'BIND'} alone"
    found = bind_dump(text, directory, f"{name}.ours", origin)
    return (
        None
        if found == expected
        else f"BIND: {set(expected) - set(found or [])}, we: {set(found or []) - set(expected)}"
    )


@pytest.mark.peer("named-compilezone")
@pytest.mark.parametrize(("name", "least"), [("masterfile_lines.txt", 400), ("generate_lines.txt", 150)])
def test_every_tricky_line_is_read_as_bind_reads_it(tmp_path: Path, name: str, least: int) -> None:
    files = vectors(name)
    assert len(files) > least
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda item: difference(item[1], tmp_path, str(item[0])), enumerate(files))
        assert [(zone.removeprefix(APEX), what) for zone, what in zip(files, found, strict=True) if what] == []


@pytest.mark.peer("named-compilezone")
def test_tricky_lines_in_one_file_do_not_disturb_one_another(tmp_path: Path) -> None:
    one_record = [
        zone
        for zone in vectors("masterfile_lines.txt")
        if zone.startswith(APEX + b"a ") and b"$" not in zone.removeprefix(APEX)
    ]
    accepted = [zone for zone in one_record if our_text(zone) is not None]
    assert len(accepted) > 150
    lines = [b"n%d%b" % (number, zone.removeprefix(APEX + b"a")) for number, zone in enumerate(accepted)]
    assert difference(APEX + b"".join(lines), tmp_path, "all") is None


@pytest.mark.peer("named-compilezone")
@pytest.mark.parametrize("seed", range(3))
def test_generated_zones_are_read_as_bind_reads_them(seed: int, tmp_path: Path) -> None:
    out = StringIO()
    make_zone.write(out, ORIGIN, 2000, seed)
    assert difference(out.getvalue().encode(), tmp_path, "zone") is None


def findings(zone: bytes) -> list[tuple[int, int, str, str]]:
    records = engine.read_zone(engine.name_from_text(ORIGIN), [("zone", zone)])
    return [(found.line, found.column, found.rule, found.message) for found in records.diagnostics]


def test_each_mistake_has_its_place_its_rule_and_its_value() -> None:
    assert findings(APEX + b"a A 1.2\nb TXT (\n  " + b"x" * 300 + b" )\nc FOO y\n") == [
        (5, 5, "bad-address", "'1.2' is not an IPv4 address"),
        (7, 3, "string-too-long", "character-string of 300 octets, the limit is 255"),
        (8, 3, "unknown-type", "unknown type 'FOO'"),
    ]


def test_a_finding_quotes_at_most_64_octets_and_nothing_unprintable() -> None:
    [(_, _, rule, message)] = findings(APEX + b"a A \x1b[31m" + b"9" * 300 + b"\n")
    assert rule == "bad-address"
    assert message.startswith(r"'\027[31m999")
    assert len(message) < 120


def test_includes_are_asked_for_until_they_are_there() -> None:
    origin = engine.name_from_text(ORIGIN)
    zone = ("d/zone", APEX + b"$INCLUDE hosts sub\n")
    first = engine.read_zone(origin, [zone], includes=True)
    assert (first.missing_includes, first.has_errors) == (["d/hosts"], True)
    second = engine.read_zone(origin, [zone, ("d/hosts", b"a A 192.0.2.2\n")], includes=True)
    assert (second.missing_includes, second.included, second.has_errors) == ([], ["d/hosts"], False)
    version, _ = engine.Version.build(second)
    assert version is not None
    assert version.rrset(engine.name_from_text("a.sub.example.com."), 1) == (3600, [bytes([192, 0, 2, 2])])


@pytest.mark.parametrize(
    "line",
    [
        b"$GENERATE 4294967296-4294967297 h$ TXT x",
        b"$GENERATE -4294967295-2 h$ TXT x",
        b"$GENERATE 1-2 h${2147483648} TXT x",
        b"$GENERATE 1-2 h$ TXT ${0,4294967299}",
    ],
)
def test_numbers_that_bind_takes_modulo_2_to_the_32_are_a_mistake(line: bytes) -> None:
    assert [rule for _, _, rule, _ in findings(APEX + line + b"\n")] == ["bad-generate"]


def test_what_stands_behind_a_range_is_ignored_aloud() -> None:
    [(line, column, rule, message)] = findings(APEX + b"$GENERATE 1-2x h$ TXT x\n")
    assert (line, column, rule, message) == (5, 11, "generate-range", "'x' behind the range is ignored")


@pytest.mark.peer("named-compilezone")
@pytest.mark.parametrize(("octets", "is_read"), [(65510, True), (65511, False), (65535, False)])
def test_rdata_that_no_message_has_room_for_is_refused_as_by_bind(octets: int, is_read: bool, tmp_path: Path) -> None:
    zone = APEX + b"a TYPE65300 \\# %d %s\n" % (octets, b"ab" * octets)
    assert (our_text(zone) is not None) is is_read
    assert difference(zone, tmp_path, "wide") is None


def test_locators_are_written_as_every_server_reads_them() -> None:
    rdata = engine.rdata_from_text(104, "10 14:4fff:f:0", b"\0")
    assert engine.rdata_to_text(104, rdata) == "10 0014:4fff:000f:0000"

#!/usr/bin/env python3
"""What verifying costs: each signature beside `openssl speed`, and both gates after a change of ten RRsets.

Everything is CPU time of one thread, as the median of rounds; those of openssl are interleaved with ours.

    tools/bench/verifying.py            # measures, and rewrites its part of docs/benchmarks.md
    tools/bench/verifying.py --dry      # prints it
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from engine import Denial, SignedVersion, SigningKey, SigningPlan, Version, name_from_text, read_zone  # noqa: E402
from keys import private  # noqa: E402
from signer.plan import soa_edit  # noqa: E402
from tools.bench.run import write_part  # noqa: E402
from tools.make_zone import write  # noqa: E402

ORIGIN = "example.test."
A, DNSKEY, NSEC3PARAM = 1, 48, 51
NOW = 1_700_000_000
DENIALS = {"NSEC": Denial(), "NSEC3": Denial("nsec3"), "NSEC3, opt-out": Denial("nsec3", opt_out=True)}


def zone(records: int) -> Version:
    """A generated zone."""
    out = io.StringIO()
    write(out, ORIGIN, records)
    version, findings = Version.build(read_zone(name_from_text(ORIGIN), [("zone", out.getvalue().encode())]))
    if version is None:
        raise ValueError(findings)
    return version


class Signer:
    """One P-256 key, and a plan for each denial."""

    def __init__(self) -> None:
        pkcs8, self.dnskey = private.generate(13)
        self.key = SigningKey(pkcs8, self.dnskey)

    def signed(self, version: Version, denial: str, previous: SignedVersion | None = None) -> SignedVersion:
        """The version by the denial's plan."""
        params = [bytes.fromhex("0100000000")] if denial != "NSEC" else []
        apex = [(version.origin, DNSKEY, 3600, [self.dnskey]), (version.origin, NSEC3PARAM, 0, params)]
        plan = SigningPlan(
            [(self.key, True, True)],
            inception=NOW - 3600,
            expiration=NOW + 14 * 86400,
            carry_until=NOW,
            denial=DENIALS[denial],
        )
        return SignedVersion(version.edited(apex), plan, previous)


def changed(version: Version, number: int) -> Version:
    """Ten RRsets are others: five names are new, five have another address; and the serial."""
    edits = [soa_edit(version, version.serial + number)]
    for place in range(5):
        new = name_from_text(f"new{number}-{place}.{ORIGIN}")
        old = name_from_text(f"{('ns1', 'ns2', 'mail')[place % 3]}.{ORIGIN}")
        edits += [(new, A, 300, [bytes([192, 0, 2, number])]), (old, A, 300 + place // 3, [bytes([192, 0, 2, number])])]
    return version.edited(edits)


def cpu_ms(deed: Callable[[], object]) -> float:
    """Of this thread."""
    start = time.thread_time()
    deed()
    return (time.thread_time() - start) * 1e3


def openssl_us() -> float:
    """One verification by `openssl speed`, of the CPU time that it counts itself."""
    words = ["openssl", "speed", "-seconds", "1", "ecdsap256"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return 1e6 / float(done.stdout.split()[-1])


def signatures(signer: Signer, version: Version, rounds: int) -> str:
    """Every signature of a fresh version, beside openssl."""
    ours, theirs = [], []
    for _ in range(rounds):
        signed = signer.signed(version, "NSEC")
        signed.make(10**9)
        ours.append(cpu_ms(lambda signed=signed: signed.verify(10**9, NOW)) * 1e3 / signed.slots)  # type: ignore[misc]
        theirs.append(openssl_us())
    mine, peer = statistics.median(ours), statistics.median(theirs)
    return (
        f"Verifying all {signed.slots:,} signatures of a zone of {version.record_count:,} records (ECDSA P-256): "
        f"{mine:.1f} us each, canonical form included; `openssl speed ecdsap256` beside it: {peer:.1f} us. "
        f"Ratio **{mine / peer:.2f}**.\n"
    )


def gates(signer: Signer, version: Version, rounds: int) -> str:
    """Both gates after a change of ten RRsets."""
    lines = [
        f"A change of ten RRsets in a zone of {version.record_count:,} records, CPU in ms, median of {rounds}:\n\n",
        "| denial | before it is live | new signatures | before it is sealed | both |\n|---|---|---|---|---|\n",
    ]
    for denial in DENIALS:
        before = signer.signed(version, denial)
        before.make(10**9)
        before.verify(10**9, NOW)
        live, sealed, new = [], [], 0
        for number in range(1, rounds + 1):
            after = signer.signed(changed(version, number), denial, before)
            live.append(cpu_ms(lambda after=after: after.check(NOW)))  # type: ignore[misc]
            new = after.slots - after.slots_verified
            after.make(10**9)
            sealed.append(cpu_ms(lambda after=after: after.verify(10**9, NOW)))  # type: ignore[misc]
        one, other = statistics.median(live), statistics.median(sealed)
        lines.append(f"| {denial} | {one:.1f} | {new} | {other:.1f} | **{one + other:.1f}** |\n")
    return "".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="print the figures, leave docs/benchmarks.md alone")
    options = parser.parse_args()
    signer, version = Signer(), zone(options.records)
    load = os.getloadavg()[0]
    text = signatures(signer, version, min(options.rounds, 3)) + "\n" + gates(signer, version, options.rounds)
    text += f"\nBy `tools/bench/verifying.py`, load average {load:.1f} when it began."
    if options.dry:
        print(text)
    else:
        write_part("verifying", text)


if __name__ == "__main__":
    main()

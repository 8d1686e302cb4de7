"""The server as it is, but that somebody hands it a wrong signature for each version that has the name `lie` in it.

Signatures come into a version by `restore`, as those of a slow key do; nothing of the server is another one.
"""

import sys
from collections.abc import Sequence

from authserver import cli
from authserver.publication import Outcome, Work
from authserver.publisher import Publisher
from engine import SignedVersion
from tests.signer.signed_zones import signatures_of, slots_of

honest_run = Publisher.run


def lie(signed: SignedVersion) -> None:
    """Fill the last slot that is empty with a signature of something else."""
    (_, _, inception, expiration, octets), *_ = slots_of(signed)
    for unit in reversed(range(1000)):
        if signed.restore(signatures_of(signed, [(0, unit, inception, expiration, octets)])):
            return


def run(self: Publisher, works: Sequence[Work]) -> list[Outcome]:
    """Do the work, and lie before the sealer sees what is new."""
    outcomes = honest_run(self, works)
    for outcome in outcomes:
        if outcome.live is not None and outcome.live.signed.version.rrset(b"\3lie" + outcome.zone.key.origin, 1):
            lie(outcome.live.signed)
    return outcomes


if __name__ == "__main__":
    Publisher.run = run  # type: ignore[method-assign]
    sys.exit(cli.main(sys.argv[1:]))

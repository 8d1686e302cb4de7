"""Signatures made outside the engine: out of a version in batches to a signer, and back into it, each one verified.

The engine knows what is missing and what a signature covers, `keys` knows who signs; what goes over is octets.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

from engine import SignatureError, SignedVersion
from keys import custody
from keys.errors import SlowKeyError
from keys.states import Key
from signer.plan import signers

BATCH: Final = 64
"""Signatures asked for at once: a token that makes a hundred in a second is not busy for longer than that."""

_ED448: Final = 16


def sign_batch(signed: SignedVersion, keys: Sequence[Key], signer: custody.Signer, limit: int = BATCH) -> bool:
    """Have the next missing signatures made and take them; True when none is missing any more.

    Raises KeysError when the signer can't sign or makes a wrong one; what it made right before is kept.
    """
    own = signers(keys)
    missing = sorted(signed.unsigned(limit), key=itemgetter(0))
    for number, group in groupby(missing, key=itemgetter(0)):
        batch = list(group)
        key = own[number]
        made = signer.sign(key.id, [octets for _, _, octets in batch])
        if key.algorithm == _ED448:
            # A slot is filled once; what the engine can't tell right from wrong is told before it gets there.
            _refuse_wrong(key, zip((octets for _, _, octets in batch), made, strict=True))
        try:
            signed.fill([(number, unit, one) for (_, unit, _), one in zip(batch, made, strict=True)])
        except SignatureError as error:
            raise SlowKeyError(key.id, str(error)) from error
    return not signed.slow_missing


def verify_batch(signed: SignedVersion, keys: Sequence[Key], limit: int = 4 * BATCH) -> bool:
    """Verify the next signatures that the engine can't, over octets that do not come from the path that signed them.

    True when there are no more. Raises SlowKeyError for a wrong one.
    """
    own = signers(keys)
    found = signed.unverified(limit)
    for number, _, octets, signature in found:
        _refuse_wrong(own[number], [(octets, signature)])
    signed.note_verified([(number, unit) for number, unit, _, _ in found])
    return len(found) < limit


def _refuse_wrong(key: Key, pairs: Iterable[tuple[bytes, bytes]]) -> None:
    if not all(custody.verify(key.dnskey, octets, signature) for octets, signature in pairs):
        raise SlowKeyError(key.id, f"a signature by key {key.tag} does not verify")

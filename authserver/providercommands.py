"""The commands `zonewright key provider …` and `key csync`: what they take, and how they say what they did."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from authserver.cli import add_zone_argument, duration, facts_command, finish, time_text
from authserver.control import ControlError

Options = argparse.Namespace
Facts = Mapping[str, Any]

ABOUT: Final = """\
Other providers sign the same zone with keys of their own (RFC 8901, model 2). Each of them publishes the DNSKEY records
of all, and the parent has a DS of each; then a resolver may ask any of them, whatever it has cached of another.
"""

STEPS: Final = """\
to join (`key provider show` says which step is done, and what the next one waits for):
  zonewright key show ZONE                              our DNSKEY records, for the other provider
  dig @SERVER ZONE DNSKEY | zonewright key provider add ZONE NAME --server SERVER --dnskey -
  zonewright key provider confirm ZONE NAME             all of its servers publish ours (seen by itself with --server)
  zonewright key confirm ZONE                           the parent has the DS of all, if it can't be asked from here
  zonewright key csync ZONE                             with the NS records of both in the zone

to leave, when neither the zone nor the parent names its servers any more:
  zonewright key provider remove ZONE NAME
"""


ARGUMENTS: Final = ("zone", "view", "provider", "servers", "ds", "tag", "delegation_ttl", "withdraw")
"""Options that are handed on as they are."""


def _given(options: Options) -> dict[str, Any]:
    """The options to hand on, the DNSKEY records of a file as text. Raises ControlError."""
    arguments = {name: getattr(options, name) for name in ARGUMENTS if hasattr(options, name)}
    if getattr(options, "dnskey", None) is not None:
        arguments |= {"dnskey": _text(options.dnskey), "dnskey_file": str(options.dnskey)}
    return arguments


def _text(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ControlError(f"{path}: {error}") from error


# -------------------------------------------------------------------- what people read


def _show_providers(providers: Sequence[Facts]) -> None:
    for one in providers:
        leaves = f"leaves {time_text(one['leaves_at'])}" if one["leaves_at"] else "stays"
        missing = [str(seen["tag"]) for seen in one["has_ours"] if not seen["present"]]
        lacks = f"not known to publish ours of tag {', '.join(missing)}" if missing else "publishes ours"
        tags = ", ".join(str(key["tag"]) for key in one["keys"])
        print(one["zone"], one["provider"], leaves, f"keys {tags}", lacks, " ".join(one["servers"]) or "-", sep="\t")


def _show_provider(one: Facts) -> None:
    leaves = f"; on its way out, nobody is sent to it from {time_text(one['leaves_at'])} on" if one["leaves_at"] else ""
    print(
        f"{one['provider']}: a provider of {one['zone']}; servers: {', '.join(one['servers']) or 'not known'}{leaves}"
    )
    for key in one["keys"]:
        states = " ".join(f"{kind}={now['state']}" for kind, now in key["states"].items())
        ds = "with a DS" if key["has_ds"] else "without a DS"
        print(f"its key {key['tag']}, algorithm {key['algorithm']}, {ds}, to be {key['goal']}: {states}")
    for seen in one["has_ours"]:
        who = "an operator's word, not seen from here" if seen["by"] == "operator" else "seen at all its servers"
        since = f"since {time_text(seen['since'])} ({who})" if seen["since"] else "as far as is known"
        print(f"our {seen['role']} {seen['tag']}: {'' if seen['present'] else 'not '}published there {since}")
    for number, step in enumerate(one["steps"], 1):
        until = f", not before {time_text(step['until'])}" if step["until"] else ""
        print(f"{number}. [{'x' if step['done'] else ' '}] {step['what']}{until}")
        for line in step["to_do"]:
            print(f"       {line}")


def _show_csync(facts: Facts) -> None:
    done = "has CSYNC" if facts["published"] else "has no CSYNC"
    print(f"{facts['zone']}: {done} from the next version on (serial {facts['serial']}, flags {facts['flags']})")


# -------------------------------------------------------------------- the parser


def add(inner: Any) -> None:
    """Add the commands to those of `key`."""
    provider = inner.add_parser(
        "provider",
        help="other providers that sign the zone as well: join, leave, and which step is next",
        description=ABOUT,
        epilog=STEPS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = provider.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="the other providers of a zone")
    show = commands.add_parser("show", help="one of them: its keys, what it has of ours, and the steps, done and to do")
    taken = commands.add_parser(
        "add",
        help="take its DNSKEY records into ours, or more of them",
        description="Its keys are in our DNSKEY RRset from the next version on, those with a DS in CDS, too.",
    )
    confirm = commands.add_parser(
        "confirm",
        help="say that all of its servers publish our keys",
        description="A new key of ours signs nothing before that: what it signs has to validate by their DNSKEY RRset.",
    )
    remove = commands.add_parser(
        "remove",
        help="say that it, or one key of it, no longer signs; taken out when no cache can need it",
        description="The whole provider: when neither the zone nor the parent names its servers any more. A key: when "
        "it signs with it no more. Its DS goes when no cache has what it signed, its DNSKEY after that.",
    )
    for parser in (listing, show, taken, confirm, remove):
        add_zone_argument(parser)
        if parser is not listing:
            parser.add_argument("provider", metavar="NAME", help="the provider, by a name of your choice")
    text = "its DNSKEY RRset: what dig prints, a master file, K*.key; - is standard input; our own are passed over"
    taken.add_argument("--dnskey", type=Path, metavar="FILE", required=True, help=text)
    taken.add_argument(
        "--server",
        dest="servers",
        action="append",
        metavar="ADDRESS[:PORT]",
        help="a server of it, asked whether it publishes our keys; give all of them, or none",
    )
    taken.add_argument(
        "--ds", choices=("sep", "all", "none"), default="sep", help="which are to have a DS: those with flags 257 (sep)"
    )
    confirm.add_argument(
        "--dnskey", type=Path, metavar="FILE", help="only those of our keys that are in this file (- is standard input)"
    )
    remove.add_argument("--tag", type=int, help="only its key of this tag")
    remove.add_argument(
        "--delegation-ttl",
        type=duration,
        metavar="DURATION",
        help="the TTL of the parent's NS records for the zone (2d)",
    )
    finish(listing, facts_command("key.provider.list", _show_providers, _given))
    for parser in (show, taken, confirm, remove):
        finish(parser, facts_command(f"key.provider.{parser.prog.split()[-1]}", _show_provider, _given))
    sync = inner.add_parser(
        "csync",
        help="ask the parent by CSYNC to take over the zone's NS records and glue",
        description="A CSYNC record (RFC 7477) from the next version on, until it is withdrawn.",
    )
    add_zone_argument(sync)
    sync.add_argument("--withdraw", action="store_true", help="publish it no more")
    finish(sync, facts_command("key.csync", _show_csync, _given))

"""The command line: `zonewright serve`, `check`, `zone …`, `key …`, `policy …`, `status`; how they take, print and end.

Exit status: 0 good, 1 findings or failure, 2 usage; of `serve`, 1 is configuration, 2 a port or the state in use.
Everything heavy is imported by the command that needs it, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

GOOD: Final = 0
FAILED: Final = 1
USAGE: Final = 2
PASSPHRASE_VARIABLE: Final = "ZONEWRIGHT_PASSPHRASE_FILE"  # noqa: S105 (where it is, not what)

Options = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command; the exit status."""
    options = _parser().parse_args(arguments)
    run: Callable[[Options], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


# -------------------------------------------------------------------- serve


def _serve(options: Options) -> int:
    # Whoever ends a server that is still starting is told the same as later: status 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    from authserver.server import Options as ServerOptions
    from authserver.server import serve
    from authserver.telemetry import set_up_logging

    set_up_logging()
    try:
        passphrase = passphrase_of(options.passphrase_file)
    except OSError as error:
        return failed(f"{options.passphrase_file}: {error.strerror or error}")
    return serve(
        ServerOptions(
            corefile=options.conf,
            state=options.state,
            user=options.user,
            threads=options.threads,
            port=options.port,
            passphrase=passphrase,
            trusts_clock=options.trust_clock,
        )
    )


def passphrase_of(file: Path | None) -> bytes | None:
    """The octets of a passphrase's file, or of the one that the environment names; None when there is none."""
    if file is None and (named := os.environ.get(PASSPHRASE_VARIABLE)):
        file = Path(named)
    return file.read_bytes().rstrip(b"\r\n") if file is not None else None


# -------------------------------------------------------------------- check


def _check(options: Options) -> int:
    from authserver import check

    now = int(time.time())
    path: Path = options.path
    if options.origin is not None:
        report = check.check_zone_file(path, options.origin, now)
    elif path.is_dir():
        report = check.check_directory(path, now)
    elif path.suffix == ".zone" or path.name.startswith("db."):
        return usage(f"{path} looks like a zone file: its origin is missing; zonewright check {path} ORIGIN")
    else:
        report = check.check_corefile(path, now, options.port)
    if options.json:
        fields = ("file", "line", "column", "severity", "message", "rule")
        remarks = [{name: getattr(remark, name) for name in fields} for remark in report.remarks]
        print_json({"errors": report.errors, "zones": report.zones, "findings": remarks})
    else:
        for remark in report.remarks:
            print(remark)
        warnings = len(report.remarks) - report.errors
        print(f"{report.zones} zones, {report.errors} errors, {warnings} warnings", file=sys.stderr)
    return FAILED if report.errors else GOOD


# -------------------------------------------------------------------- facts


def ask(options: Options, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """The facts, from the server that runs on the state, or from the state itself. Raises ControlError."""
    from authserver.control import NotRunningError, call
    from authserver.state import default_directory

    state = options.state or default_directory(os.geteuid())
    try:
        return call(state / "control.sock", command, arguments)
    except NotRunningError:
        return _ask_stored(state, command, dict(arguments or {}))


def _ask_stored(directory: Path, command: str, arguments: dict[str, Any]) -> Any:
    from authserver import ceremonies, multisigner, rolling, stores
    from authserver.control import ControlError
    from authserver.errors import StateError
    from authserver.facts import StoredFacts, import_offline
    from authserver.state import State
    from keys.errors import KeysError

    now = int(time.time())
    try:
        if command in rolling.DEEDS:
            with State.open(directory, passphrase_of(None)) as state:
                return rolling.carry_out(command, state, arguments, now)
        if command in multisigner.DEEDS:
            with State.open(directory, passphrase_of(None)) as state:
                return multisigner.carry_out(command, state, arguments, now)
        if command == "key.import":
            with State.open(directory, passphrase_of(None)) as state:
                return import_offline(state, arguments, now)
        if command in stores.DEEDS:
            with State.open(directory, passphrase_of(None)) as state:
                return stores.carry_out(command, state, arguments, now)
        if command in ceremonies.DEEDS:
            with State.open(directory, passphrase_of(None)) as state:
                return ceremonies.carry_out(command, state, arguments, now)
        with State.open_readonly(directory) as state:
            return StoredFacts(state, now).answer(command, arguments)
    except (StateError, KeysError, OSError) as error:
        raise ControlError(str(error)) from error


def _given(options: Options) -> dict[str, Any]:
    arguments = {name: getattr(options, name) for name in ARGUMENTS if hasattr(options, name)}
    if "files" in arguments:
        arguments["files"] = [str(Path(file).absolute()) for file in arguments["files"]]
    return arguments


def facts_command(
    command: str, show: Callable[[Any], None], given: Callable[[Options], Mapping[str, Any]] = _given
) -> Callable[[Options], int]:
    """A command that asks for facts and shows them; `given` makes its arguments, and may raise ControlError."""

    def run(options: Options) -> int:
        from authserver.control import ControlError

        try:
            facts = ask(options, command, given(options))
        except ControlError as error:
            return failed(str(error))
        if options.json:
            print_json(facts)
        else:
            show(facts)
        return GOOD

    return run


def _show_or_dump(options: Options) -> int:
    return _dump(options) if options.signed else facts_command("zone.show", _show_zone)(options)


def _dump(options: Options) -> int:
    from authserver.control import ControlError

    try:
        facts = ask(options, "zone.dump", {"zone": options.zone, "view": options.view, "signed": options.signed})
    except ControlError as error:
        return failed(str(error))
    if "text" in facts:
        sys.stdout.write(facts["text"])
        return GOOD
    path = Path(facts["path"])
    try:
        with path.open("rb") as file:
            path.unlink()
            while octets := file.read(1 << 20):
                sys.stdout.buffer.write(octets)
    except OSError as error:
        return failed(f"{path}: {error.strerror or error}")
    sys.stdout.flush()
    return GOOD


# -------------------------------------------------------------------- policies


def _policies(show: Callable[[Options, Mapping[str, Any]], int]) -> Callable[[Options], int]:
    """A command about the policies that come with the product and those of a file."""

    def run(options: Options) -> int:
        from keys import policyfile
        from keys.errors import PolicyFileError
        from keys.policy import BUILT_IN

        try:
            found = policyfile.read(options.file).policies if options.file is not None else {}
        except PolicyFileError as error:
            for fault in error.faults:
                print(fault, file=sys.stderr)
            return FAILED
        return show(options, {**BUILT_IN, **found})

    return run


def _list_policies(options: Options, policies: Mapping[str, Any]) -> int:
    from keys.policywords import to_words

    if options.json:
        print_json([{"policy": name, **to_words(policy)} for name, policy in policies.items()])
        return GOOD
    for name, policy in policies.items():
        keys = ", ".join(_key_of_policy(key) for key in to_words(policy).get("keys", ())) or "no keys"
        print(f"{name}\t{keys}\t{policy.denial.kind}\tserial {policy.serial}")
    return GOOD


def _key_of_policy(key: Mapping[str, Any]) -> str:
    lifetime = "" if key["lifetime"] == "unlimited" else f" for {key['lifetime']}"
    return f"{key['role']} {key['algorithm']}{lifetime}"


def _show_policy(options: Options, policies: Mapping[str, Any]) -> int:
    import yaml

    from keys.policywords import nearest, to_words

    if options.name not in policies:
        known = ", ".join(policies)
        return failed(f"policy '{options.name}' is unknown{nearest(options.name, policies)}; there are {known}")
    words = to_words(policies[options.name])
    if options.json:
        print_json({"policy": options.name, **words})
    else:
        yaml.safe_dump({"policies": {options.name: words}}, sys.stdout, sort_keys=False)
    return GOOD


# -------------------------------------------------------------------- what people read


def _show_zones(zones: Sequence[Mapping[str, Any]]) -> None:
    for zone in zones:
        marks = [mark for mark in ("signed", "sealed", "frozen") if zone.get(mark)]
        marks += [f"update:{zone['update']}"] if zone.get("update") else []
        commit = f" {zone['commit'][:12]}" if zone.get("commit") else ""
        facts = [_name(zone), zone["status"], _or_dash(zone["serial"]), ",".join(marks) or "-"]
        print(*facts, _or_dash(zone.get("policy")), zone["file"] + commit, sep="	")
        for reason in zone["held"]:
            print(f"\t{reason}")


def _name(facts: Mapping[str, Any]) -> str:
    return str(facts["zone"]) + (f" ({facts['view']})" if facts["view"] else "")


def _show_zone(zone: Mapping[str, Any]) -> None:
    for name, value in zone.items():
        if name in {"held", "findings", "history", "notified", "overlay"}:
            continue
        shown = time_text(value) if name.endswith("_at") or name == "earliest_expiration" else _or_dash(value)
        print(f"{name.replace('_', ' ')}: {shown}")
    _show_overlay(zone.get("overlay"))
    for found in zone.get("findings", zone["held"]):
        print(f"finding: {found}")
    for one in zone.get("notified", ()):
        taken = "acknowledged" if one["is_acknowledged"] else one["error"] or "not acknowledged yet"
        print(
            f"notified: {one['address']} {one['port']}: serial {one['serial']} at {time_text(one['told_at'])}, {taken}"
        )
    for one in zone.get("history", ()):
        sealed = f", sealed {time_text(one['sealed_at'])}" if one["sealed_at"] else ", not sealed"
        print(f"published: serial {one['serial']} at {time_text(one['published_at'])}{sealed}")


def _show_journal(facts: Mapping[str, Any]) -> None:
    for one in facts["entries"]:
        changed = f"{one['deleted']} deleted, {one['added']} added, {one['octets']} octets"
        print(f"{one['from']} to {one['to']}\tsealed {time_text(one['sealed_at'])}\t{changed}")
    print(f"; sealed last: serial {facts['serial']}; {len(facts['entries'])} changes, {facts['octets']} octets")
    for kind, count in facts.get("handed_out", {}).items():
        print(f"; handed out: {count['whole']} {kind}, {count['octets']} octets, {count['broken']} broken off")
    for peer in facts.get("secondaries", ()):
        print(f"; {peer['address']} got serial {peer['serial']} at {time_text(peer['at'])} ({peer['kind']})")


def _show_overlay(overlay: Mapping[str, Any] | None) -> None:
    if overlay is None:
        return
    print(f"overlay: {' '.join(overlay['names'])}")
    for one in overlay["records"]:
        mark = " ; hidden, the name is the source's" if one["hidden"] else ""
        print(f"overlay record: {one['owner']} {one['ttl']} IN {one['type']} {one['rdata']}{mark}")


def _show_keys(keys: Sequence[Mapping[str, Any]]) -> None:
    for key in keys:
        states = " ".join(f"{kind}={now['state']}" for kind, now in key["states"].items())
        print(f"{_name(key)}\t{key['tag']}\t{key['role']}\talgorithm {key['algorithm']}\t{states}{_shared(key)}")


def _shared(key: Mapping[str, Any]) -> str:
    if key["shared_by"] is None:
        return ""
    return f", shared by policy {key['shared_by']}, in {key['sharing_zones']} zones"


def _show_keys_whole(keys: Sequence[Mapping[str, Any]]) -> None:
    for key in keys:
        print(f"; key {key['tag']}, {key['role']}, {key['provenance']}, goal {key['goal']}{_shared(key)}")
        print(f"; made {time_text(key['created_at'])}, at work since {time_text(key['active_at'])}")
        for kind, now in key["states"].items():
            print(f"; {kind}: {now['state']} since {time_text(now['since'])}")
        if key["seen_by"]:
            print(f"; parent: {_seen_text(key['seen_at_parent'], key['seen_by'], key['seen_since'])}")
        print(key["dnskey"])


def _seen_text(present: bool, by: str, since: int) -> str:  # noqa: FBT001 (a fact)
    """What the parent has of a key, and who says so."""
    who = "an operator's word, not seen from here" if by == "operator" else "seen at all its servers"
    return f"{'has its DS' if present else 'has no DS of it'} since {time_text(since)} ({who})"


def _show_why(why: Mapping[str, Any]) -> None:
    print(f"{why['zone']}: policy {why['policy']}, looked at again {time_text(why['next_look_at'])}")
    for wait in why["waits"]:
        what = f"{wait['record']} is {wait['state']}, to be {wait['to']}" if wait["record"] else "stays"
        until = f", {time_text(wait['until'])}" if wait["until"] else ""
        print(f"{wait['role']} {wait['tag']}: {what}: {wait['reason']}{until}")
        for rule in wait["rules"]:
            print(f"\t{rule}")
    for seen in why["parent_seen"]:
        print(f"{seen['role']} {seen['tag']}: the parent {_seen_text(seen['present'], seen['by'], seen['since'])}")
    parent = why.get("parent")
    if parent:
        believed = "validated" if parent["validated"] else "not validated"
        print(f"parent {parent['parent']}: looked at {time_text(parent['looked_at'])}, {believed}")
        print("\tits DS:", "; ".join(parent["ds"]) or "none")
        for trouble in parent["trouble"]:
            print(f"\t{trouble}")
    for one in why["signed_ahead"]:
        print(f"signed ahead: from {time_text(one['since'])}, until {time_text(one['expiration'])}")
    print(*why["to_do"], sep="\n", end="\n" if why["to_do"] else "")


def _show_plan(plan: Mapping[str, Any]) -> None:
    for event in plan["events"]:
        key = event["tag"] if event["tag"] is not None else f"(number {event['number']})"
        print(f"{time_text(event['at'])}\t{event['role']} {key}\t{event['what']}\t{event['reason']}")
    print(f"; until {time_text(plan['until'])}, policy {plan['policy']}; {plan['assumed']}")


def _show_picture(picture: Mapping[str, Any]) -> None:
    sys.stdout.write(picture["svg"])


def _show_deed(keys: Sequence[Mapping[str, Any]]) -> None:
    for key in keys:
        states = " ".join(f"{kind}={state}" for kind, state in key["states"].items())
        print(f"{key['zone']}\t{key['tag']}\t{key['role']}\tto be {key['goal']}\t{states}")


def _show_ds(records: Sequence[Mapping[str, Any]]) -> None:
    for record in records:
        print(record["ds"])
    for moment in dict.fromkeys(record["not_before"] for record in records):
        print(f"; not before {time_text(moment)}" if moment else "; not before it has been served for some time")


def _show_status(status: Mapping[str, Any]) -> None:
    print(f"process {status['pid']}, {'ready' if status['ready'] else 'not ready'}, {status['zones']} zones,", end=" ")
    print(f"{status['waiting_for_seal']} versions not sealed yet")
    print("listening:", ", ".join(status["listening"]))
    for source in status["sources"]:
        commit = f", commit {source['commit'][:12]}" if source["commit"] else ""
        print(f"{source['source']}: {source['zones']} zones{commit}: {source['problem'] or 'good'}")
        for found in source["findings"]:
            print(f"\t{found}")
    for due in status["due"]:
        print(f"due {time_text(due['due_at'])}: {due['name']}")


def time_text(moment: int | None) -> str:
    """A point in time for people, in UTC."""
    return "-" if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _or_dash(value: object) -> str:
    return "-" if value is None or value == "" else str(value)


def print_json(facts: Any) -> None:
    """Facts as JSON."""
    json.dump(facts, sys.stdout, indent=2)
    print()


def failed(message: str) -> int:
    """Say what failed; the exit status."""
    print(f"zonewright: {message}", file=sys.stderr)
    return FAILED


def usage(message: str) -> int:
    """Say how it is meant; the exit status."""
    print(f"zonewright: {message}", file=sys.stderr)
    return USAGE


# -------------------------------------------------------------------- the parser

ARGUMENTS: Final = ("zone", "view", "files", "seconds", "parent_delay", "role", "tag")
"""Options that commands hand on to whoever has the facts."""

EXAMPLES: Final = """\
examples:
  zonewright check                             what is wrong with ./Corefile and its zone files
  zonewright check db.example.org example.org
  zonewright serve --conf Corefile --state /var/lib/zonewright
  zonewright zone list
  zonewright zone dump --signed example.org
  zonewright key ds example.org                what the parent has to publish, and from when

Exit status: 0 good, 1 findings or failure, 2 usage.
"""

SERVE_EXAMPLES: Final = """\
Logs to standard error and prints one line `ready ADDR:PORT…` there when each configured zone is live or held.
TERM and INT end it, HUP and USR1 load the Corefile again; the old one serves on if the new one is broken.

Exit status: 0 after TERM or INT, 1 configuration, 2 a port or the state is in use.

examples:
  zonewright serve --conf Corefile --state ./state
  zonewright serve --conf /etc/zonewright/Corefile --user zonewright
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zonewright",
        description="A DNSSEC-first authoritative DNS server whose source of truth is a git repository.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_check(commands)
    _add_zone(commands)
    _add_key(commands)
    _add_policy(commands)
    status = commands.add_parser("status", help="what a running server does, its sources, and what is due")
    finish(status, facts_command("status", _show_status))
    return parser


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser(
        "serve",
        help="answer queries",
        description="Answer queries by a Corefile.",
        epilog=SERVE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.add_argument("--conf", "-conf", type=Path, default=Path("Corefile"), help="the Corefile (./Corefile)")
    serve.add_argument("--state", type=Path, help="the state directory (/var/lib/zonewright, or ./state when not root)")
    serve.add_argument("--user", help="become this user after binding; without it root keeps only what reading needs")
    serve.add_argument(
        "--trust-clock", action="store_true", help="the clock is right, also where the state remembers a later time"
    )
    serve.add_argument("--threads", type=_positive, help="UDP threads of each listener (one for each processor)")
    serve.add_argument("--port", "-p", type=int, default=53, help="the port of keys that name none (53)")
    serve.add_argument(
        "--passphrase-file", type=Path, help=f"encrypts private keys at rest (or name it in ${PASSPHRASE_VARIABLE})"
    )
    serve.set_defaults(run=_serve)


def _add_check(commands: Any) -> None:
    check = commands.add_parser(
        "check",
        help="find what is wrong in a Corefile, a directory of zone files, or one zone file",
        description="Each finding is one line, FILE:LINE:COLUMN: severity: message [rule].",
        epilog="examples:\n  zonewright check\n  zonewright check zones/\n  zonewright check db.example example.org\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("path", type=Path, nargs="?", default=Path("Corefile"), metavar="COREFILE|DIR|ZONEFILE")
    check.add_argument("origin", nargs="?", metavar="ORIGIN", help="the zone's origin, when it is a zone file")
    check.add_argument("--port", type=int, default=53, help=argparse.SUPPRESS)
    check.add_argument("--json", action="store_true", help="print findings as JSON")
    check.set_defaults(run=_check)


ZONE_DEEDS: Final = (
    ("freeze", "take nothing from its source"),
    ("thaw", "take from its source again"),
    ("notify", "tell its secondaries of the sealed version again"),
    ("refresh", "ask the primaries of a secondary zone now"),
    ("retransfer", "take a secondary zone whole now, whatever its serial is"),
)


def _add_zone(commands: Any) -> None:
    zone = commands.add_parser("zone", help="list, show, dump, reload, freeze and thaw zones")
    inner = zone.add_subparsers(title="commands", metavar="COMMAND", required=True)
    finish(
        inner.add_parser("list", help="all zones: status, serial, what is held and why"),
        facts_command("zone.list", _show_zones),
    )
    show = inner.add_parser("show", help="everything about one zone; with --signed its records, as dump --signed does")
    add_zone_argument(show)
    show.add_argument("--signed", action="store_true", help="the sealed zone as a master file")
    finish(show, _show_or_dump)
    dump = inner.add_parser("dump", help="the zone as a master file")
    add_zone_argument(dump)
    dump.add_argument("--signed", action="store_true", help="with all NSEC and RRSIG records, as a secondary gets it")
    finish(dump, _dump)
    journal = inner.add_parser("journal", help="the changes that secondaries can be given, and what they were given")
    add_zone_argument(journal)
    finish(journal, facts_command("zone.journal", _show_journal))
    reload = inner.add_parser("reload", help="look at a zone's source now, or at all sources")
    add_zone_argument(reload, optional=True)
    finish(reload, facts_command("zone.reload", _show_zones))
    for name, text in ZONE_DEEDS:
        one = inner.add_parser(name, help=text)
        add_zone_argument(one)
        finish(one, facts_command(f"zone.{name}", lambda facts: _show_zones([facts])))


def _add_key(commands: Any) -> None:
    from authserver import keycommands, providercommands

    key = commands.add_parser("key", help="list and show keys, tell the parent's DS, import keys")
    inner = key.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = inner.add_parser("list", help="the keys of one zone, or of all")
    add_zone_argument(listing, optional=True)
    finish(listing, facts_command("key.list", _show_keys))
    show = inner.add_parser("show", help="the keys of a zone with their states and DNSKEY records")
    add_zone_argument(show)
    finish(show, facts_command("key.list", _show_keys_whole))
    ds = inner.add_parser("ds", help="the DS records the parent has to publish, and from when")
    add_zone_argument(ds)
    finish(ds, facts_command("key.ds", _show_ds))
    taken = inner.add_parser("import", help="take over keys of BIND's K*.key and K*.private files")
    add_zone_argument(taken)
    taken.add_argument(
        "files", nargs="+", metavar="FILE", help="K*.key or K*.private; the other one is found beside it"
    )
    finish(taken, facts_command("key.import", _show_keys))
    keycommands.add(inner)
    providercommands.add(inner)
    _add_rolling(inner)


def _add_rolling(inner: Any) -> None:
    """What tells of rollovers, and takes a hand in them."""
    why = inner.add_parser("why", help="what a zone's keys wait for, and what you can do")
    plan = inner.add_parser("plan", help="everything that will happen to a zone's keys, with its reason")
    plan.add_argument("--until", type=duration, dest="seconds", metavar="DURATION", help="how far: 90d, 2y (1y)")
    plan.add_argument("--parent-delay", type=duration, metavar="DURATION", help="how long the parent takes (1h)")
    picture = inner.add_parser("timeline", help="a picture (SVG) of what a zone's keys were, are and will be")
    picture.add_argument("--until", type=duration, dest="seconds", metavar="DURATION", help="how far ahead (1y)")
    roll = inner.add_parser("roll", help="replace keys now: all of a zone, or those of --role or --tag")
    roll.add_argument("--role", choices=("csk", "ksk", "zsk"))
    abort = inner.add_parser("abort", help="take back a roll: the key of --tag gives way to the one it was to replace")
    for one in (roll, abort):
        one.add_argument("--tag", type=int, required=one is abort, help="the key's tag")
    confirm = inner.add_parser("confirm", help="say that the parent has done what was asked, at all its servers")
    commands: Sequence[tuple[argparse.ArgumentParser, str, Callable[[Any], None]]] = (
        (why, "key.why", _show_why),
        (plan, "key.plan", _show_plan),
        (picture, "key.timeline", _show_picture),
        (roll, "key.roll", _show_deed),
        (abort, "key.abort", _show_deed),
        (confirm, "key.confirm", _show_deed),
    )
    for parser, command, show in commands:
        add_zone_argument(parser)
        finish(parser, facts_command(command, show))


_LENGTHS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}


def duration(text: str) -> int:
    """`90d`, `2y`, `1h30m` in seconds."""
    spans = re.findall(r"(\d{1,6})([smhdwy])", text)
    if not spans or "".join(number + unit for number, unit in spans) != text:
        raise argparse.ArgumentTypeError(f"'{text}' is not a duration such as 12h, 90d or 2y")
    return sum(int(number) * _LENGTHS[unit] for number, unit in spans)


def _add_policy(commands: Any) -> None:
    policy = commands.add_parser("policy", help="list and show policies of keys and signatures")
    inner = policy.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = inner.add_parser("list", help="those that come with the product, and those of a file")
    show = inner.add_parser("show", help="one policy with every word, as a file says it")
    show.add_argument("name", metavar="NAME")
    for parser, run in ((listing, _list_policies), (show, _show_policy)):
        parser.add_argument("--file", type=Path, help="a file of policies, as `policies` of dnssec names it")
        parser.add_argument("--json", action="store_true", help="print facts as JSON")
        parser.set_defaults(run=_policies(run))


def add_zone_argument(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """The zone that a command is about."""
    if optional:
        parser.add_argument("zone", nargs="?", metavar="ZONE")
    else:
        parser.add_argument("zone", metavar="ZONE")
    parser.add_argument("--view", default="", help="the name of the zone's view, if it is in one")


def finish(parser: argparse.ArgumentParser, run: Callable[[Options], int]) -> None:
    """What all commands that tell facts have."""
    parser.add_argument(
        "--state", type=Path, help="the state directory (/var/lib/zonewright, or ./state when not root)"
    )
    parser.add_argument("--json", action="store_true", help="print facts as JSON")
    parser.set_defaults(run=run)


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 256:
        raise argparse.ArgumentTypeError("a number from 1 to 256")
    return number


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"zonewright {version('zonewright')}"
    except PackageNotFoundError:
        return "zonewright (not installed)"


if __name__ == "__main__":
    sys.exit(main())

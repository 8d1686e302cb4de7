"""DNS UPDATE through a whole server: by nsupdate, beside BIND, over a file that changes, and through kills."""

import json
import os
import random
import subprocess
import threading
import time
import urllib.request

import dns.exception
import dns.query
import dns.rcode
import dns.update
import pytest

from tools.servers import LOOPBACK, Named, Zone, Zonewright, free_port, program, wait_until, zone_records

ORIGIN = "example.test."
CONTENT = """$ORIGIN example.test.
$TTL 3600
@ SOA ns admin 7 3600 600 604800 300
@ NS ns
ns A 127.0.0.1
www A 192.0.2.1
"""
SECRET = "NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk="
BLOCK = """example.test.:{{port}} {{
    bind 127.0.0.1
    tsig {{
        secret host.example.test NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=
    }}
    {before}
    update {{
        {update}
    }}
    transfer {{
        to *
    }}
    dnssec
}}
"""


def initial(tmp_path, more=""):
    path = tmp_path / "db.example.test"
    path.write_text(CONTENT + more)
    return path


def owned(tmp_path, allow="127.0.0.1 type ANY"):
    return BLOCK.format(before="", update=f"initial {initial(tmp_path)}\nallow {allow}")


def overlay(file, names="_acme-challenge.*"):
    return BLOCK.format(before=f"file {file}", update=f"overlay {names}\nallow 127.0.0.1 type ANY")


def nsupdate(server, *lines, key=""):
    """What nsupdate says of an update, signed if there is a key; nothing when all went well."""
    text = "\n".join([f"server {LOOPBACK} {server.port}", "zone example.test", *lines, "send", ""])
    command = [program("nsupdate") or "nsupdate", "-t", "20", *(["-y", key] if key else [])]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)
    return (done.stdout + done.stderr).strip()


def send(server, message, timeout=10):
    """The rcode of an update, as text."""
    response = dns.query.tcp(message, LOOPBACK, timeout, server.port)
    return dns.rcode.to_text(response.rcode())


@pytest.mark.peer("nsupdate")
def test_a_zone_that_is_update_s_is_changed_by_nsupdate_and_stays_so_after_a_kill(run, tmp_path):
    server = run(Zonewright, corefile=owned(tmp_path))
    server.wait_served(ORIGIN)
    before = server.serial(ORIGIN)
    assert nsupdate(server, "update add new.example.test 60 A 192.0.2.7") == ""
    assert server.texts("new." + ORIGIN, "A") == ["192.0.2.7"]
    assert server.serial(ORIGIN) > before
    server.kill()
    (tmp_path / "db.example.test").unlink()
    server.start()
    assert server.texts("new." + ORIGIN, "A") == ["192.0.2.7"]
    assert nsupdate(server, "prereq yxrrset new.example.test A", "update delete new.example.test A") == ""
    assert server.texts("new." + ORIGIN, "A") == []
    assert "NXRRSET" in nsupdate(
        server, "prereq yxrrset new.example.test A", "update add x.example.test 60 A 192.0.2.8"
    )
    assert nsupdate(server, "update add example.test 3600 SOA ns.example.test admin.example.test 5000 1 1 1 1") == ""
    assert server.serial(ORIGIN) == 5000
    assert "REFUSED" in nsupdate(server, "update delete example.test DNSKEY")


def test_who_is_not_allowed_is_refused_and_counted(run, tmp_path):
    metrics = free_port()
    server = run(
        Zonewright,
        corefile=owned(tmp_path, "127.0.0.1 name *.dyn.example.test type A\nallow 192.0.2.1").replace(
            "    dnssec\n", f"    prometheus 127.0.0.1:{metrics}\n"
        ),
    )
    server.wait_served(ORIGIN)

    def add(name, rtype, rdata, zone=ORIGIN):
        update = dns.update.UpdateMessage(zone)
        update.add(name, 60, rtype, rdata)
        return send(server, update)

    assert add("a.dyn", "A", "192.0.2.1") == "NOERROR"
    assert add("a", "A", "192.0.2.1") == "REFUSED"
    assert add("a.dyn", "TXT", "x") == "REFUSED"
    assert add("a", "A", "192.0.2.1", "sub.example.test.") == "NOTAUTH"
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=10) as response:
        text = response.read().decode()
    assert 'zonewright_updates_total{rcode="REFUSED"} 2.0' in text


@pytest.mark.peer("nsupdate")
def test_a_key_and_an_address_count_together_and_a_host_has_its_own_name(run, tmp_path):
    allow = "127.0.0.0/8 key host.example.test name self _acme-challenge.self\nallow 192.0.2.1 key host.example.test"
    server = run(Zonewright, corefile=owned(tmp_path, allow))
    server.wait_served(ORIGIN)
    key = f"hmac-sha256:host.example.test:{SECRET}"
    assert nsupdate(server, "update add host.example.test 60 A 192.0.2.7", key=key) == ""
    assert server.texts("host." + ORIGIN, "A") == ["192.0.2.7"]
    assert nsupdate(server, 'update add _acme-challenge.host.example.test 60 TXT "x"', key=key) == ""
    assert "REFUSED" in nsupdate(server, "update add other.example.test 60 A 192.0.2.7", key=key)
    assert "REFUSED" in nsupdate(server, "update add host.example.test 60 A 192.0.2.8")
    wrong = key.replace("NoTC", "YesC")
    assert "BADSIG" in nsupdate(server, "update add host.example.test 60 A 192.0.2.8", key=wrong)
    assert server.texts("host." + ORIGIN, "A") == ["192.0.2.7"]


@pytest.mark.peer("nsupdate")
def test_an_overlay_stays_over_every_version_of_its_file_and_the_file_wins(run, tmp_path):
    file = initial(tmp_path)
    server = run(Zonewright, corefile=overlay(file))
    server.wait_served(ORIGIN)
    challenge = "_acme-challenge.www." + ORIGIN
    assert nsupdate(server, f'update add {challenge} 60 TXT "token"') == ""
    assert "REFUSED" in nsupdate(server, "update add www.example.test 60 A 192.0.2.9")
    file.write_text(file.read_text() + "more A 192.0.2.3\n")
    wait_until(lambda: server.texts("more." + ORIGIN, "A"), 10, "the change is live")
    assert server.texts(challenge, "TXT") == ['"token"']
    server.kill()
    server.start()
    assert server.texts(challenge, "TXT") == ['"token"']
    wait_until(lambda: _shown(server)["overlay"]["records"], 10, "the source was read")
    assert _shown(server)["overlay"]["records"][0]["owner"] == challenge

    file.write_text(file.read_text() + '_acme-challenge.www 60 TXT "reviewed"\n')
    wait_until(lambda: server.texts(challenge, "TXT") == ['"reviewed"'], 10, "the file wins")
    facts = _shown(server)
    assert facts["overlay"]["records"][0]["hidden"]
    assert [rule for rule in ("overlay-name-in-source", "overlay-hidden") if rule in " ".join(facts["findings"])]
    assert "REFUSED" in nsupdate(server, f"update delete {challenge} TXT")
    file.write_text(CONTENT)
    wait_until(lambda: server.texts(challenge, "TXT") == ['"token"'], 10, "the overlay's is back")
    assert nsupdate(server, f"update delete {challenge} TXT") == ""
    assert server.texts(challenge, "TXT") == []
    assert not _shown(server)["overlay"]["records"]


CERTBOT = """
import sys, dns.tsig
from certbot_dns_rfc2136._internal.dns_rfc2136 import _RFC2136Client
port, secret, deed, name, content = sys.argv[1:]
client = _RFC2136Client("127.0.0.1", int(port), "host.example.test.", secret, dns.tsig.HMAC_SHA256, 10)
{"add": lambda: client.add_txt_record(name, content, 60), "del": lambda: client.del_txt_record(name, content)}[deed]()
"""


@pytest.mark.peer("certbot")
def test_certbot_s_plugin_proves_a_name_over_a_file(run, tmp_path):
    """Its own code, by the interpreter of its package: it asks whose zone a name is in, then sends signed updates."""
    names = "overlay _acme-challenge.*\nallow * key host.example.test name _acme-challenge.* type TXT"
    server = run(Zonewright, corefile=BLOCK.format(before=f"file {initial(tmp_path)}", update=names))
    server.wait_served(ORIGIN)
    challenge = "_acme-challenge.deep.www." + ORIGIN

    def certbot(*words):
        command = ["/usr/bin/python3", "-c", CERTBOT, str(server.port), SECRET, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    certbot("add", challenge, "one")
    certbot("add", challenge, "two")
    assert sorted(server.texts(challenge, "TXT")) == ['"one"', '"two"']
    certbot("del", challenge, "one")
    assert server.texts(challenge, "TXT") == ['"two"']


def _shown(server):
    return json.loads(server.control("zone", "show", ORIGIN, "--json").stdout)


# -------------------------------------------------------------------- beside BIND


NAMES = ("a", "b", "A.b", "c.b", "@", "www", "d.e.f")
DATA = (
    ("A", "192.0.2.1"), ("A", "192.0.2.2"), ("AAAA", "2001:db8::1"), ("TXT", '"x"'), ("TXT", '"y"'), ("CNAME", "www"),
    ("CNAME", "WWW"), ("MX", "10 www"), ("MX", "10 WWW"), ("NS", "ns"), ("NS", "elsewhere.test."), ("DNAME", "other.test."),
    ("SRV", "1 2 3 www"), ("HTTPS", "1 . alpn=h2"), ("TYPE65280", r"\# 2 abcd"),
    ("SOA", "ns admin 9 3600 600 604800 300"), ("SOA", "ns admin 100000 3600 600 604800 300"),
)  # fmt: skip


def random_update(dice):
    """An update of a few records under a few prerequisites, each of any form that dnspython makes."""
    update = dns.update.UpdateMessage(ORIGIN)
    for _ in range(dice.choice((0, 0, 0, 1, 2))):
        name, (rtype, rdata) = dice.choice(NAMES), dice.choice(DATA)
        kind = dice.randrange(5)
        if kind == 0:
            update.present(name)
        elif kind == 1:
            update.present(name, rtype)
        elif kind == 2:
            update.present(name, rtype, rdata)
        elif kind == 3:
            update.absent(name)
        else:
            update.absent(name, rtype)
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        name, (rtype, rdata) = dice.choice(NAMES), dice.choice(DATA)
        kind = dice.randrange(6)
        if kind == 0:
            update.delete(name)
        elif kind == 1:
            update.delete(name, rtype)
        elif kind == 2:
            update.delete(name, rtype, rdata)
        elif name == "@" and rtype in ("CNAME", "DNAME"):
            update.add("a", 60, "A", "192.0.2.77")
        else:
            update.add(name, dice.choice((60, 60, 300)), rtype, rdata)
    return update


def contents(server):
    """What a zone has, but for its SOA, as each server counts serials in its own way; names in rdata in lower case."""
    zone = server.transfer(ORIGIN)
    return sorted(line.lower() for line in zone_records(zone) if " SOA " not in line)


@pytest.mark.peer("named")
def test_random_updates_have_the_rcodes_and_the_contents_that_bind_has(run, tmp_path):
    dice = random.Random(int(os.environ.get("SEED", "7")))
    here = tmp_path / "bind"
    here.mkdir()
    theirs = run(
        Named,
        zones=[Zone(ORIGIN, file=initial(here), more="allow-update { any; }; check-mx ignore; check-integrity no;")],
    )
    ours = run(Zonewright, corefile=owned(tmp_path).replace("    dnssec\n", ""))
    ours.wait_served(ORIGIN)
    rcodes = set()
    for number in range(250 if "SOAK" not in os.environ else 20_000):
        update = random_update(dice)
        expected, got = send(theirs, update), send(ours, update)
        assert got == expected, f"{number}: {update}\n{theirs.log[-400:]}"
        rcodes.add(got)
        if number % 25 == 24:
            ours.wait_sealed(ORIGIN)
            assert contents(ours) == contents(theirs), f"{number}: {update}"
    assert {"NOERROR", "NXDOMAIN", "YXDOMAIN", "NXRRSET", "YXRRSET"} <= rcodes


# -------------------------------------------------------------------- kills


def test_what_was_answered_is_there_after_every_kill(tmp_path):
    dice = random.Random(int(os.environ.get("SEED", "11")))
    server = Zonewright(directory=tmp_path / "server", corefile=owned(tmp_path))
    answered, number = set(), 0
    try:
        for _ in range(4 if "SOAK" not in os.environ else 60):
            server.start()
            server.wait_served(ORIGIN)
            missing = [one for one in answered if not server.texts(f"n{one}.{ORIGIN}", "A")]
            assert not missing, "updates that were answered are gone"
            kill = threading.Timer(0.1 + dice.random() * 0.5, server.kill)
            kill.start()
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                number += 1
                update = dns.update.UpdateMessage(ORIGIN)
                update.add(f"n{number}", 60, "A", "192.0.2.1")
                try:
                    if send(server, update, timeout=2) == "NOERROR":
                        answered.add(number)
                except (dns.exception.DNSException, OSError, EOFError):
                    break
            kill.join()
    finally:
        server.stop()
    assert answered

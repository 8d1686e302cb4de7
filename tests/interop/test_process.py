"""How the process itself behaves: exit statuses, signals, two servers, broken Corefiles, five hundred blocks."""

import os
import re
import signal
import socket
import time

import pytest

from tests.interop.conftest import SIGNED, UNSIGNED, corefile, zone_file
from tools.servers import NotStartedError, Zonewright, wait_until

ORIGIN = "example.test."


def test_term_ends_it_with_status_0_within_five_seconds(serve):
    server = serve(ORIGIN, 200)
    started = time.monotonic()
    assert server.stop(seconds=8) == 0
    assert time.monotonic() - started < 5


def test_the_block_of_the_manual_starts_as_it_stands(run, tmp_path):
    file = zone_file(tmp_path, ORIGIN, 100)
    server = run(Zonewright, corefile=corefile(SIGNED, ORIGIN, file))
    server.wait_served(ORIGIN)
    assert server.texts("mail." + ORIGIN) == ["192.0.2.25"]
    assert server.ask("nothing.here." + ORIGIN, tcp=True).rcode() == 3
    assert any(rrset.rdtype == 46 for rrset in server.ask(ORIGIN, "SOA", dnssec=True).answer)


def test_a_second_server_on_the_same_state_says_so_and_exits_2(serve, tmp_path):
    first = serve(ORIGIN, 50)
    second = Zonewright(directory=first.directory, corefile=first.corefile, name="second")
    with pytest.raises(NotStartedError, match="exit status 2") as caught:
        second.start()
    assert "in use" in caught.value.log
    assert first.serial(ORIGIN) > 0


def test_a_second_server_on_the_same_port_says_so_and_exits_2(serve, tmp_path):
    first = serve(ORIGIN, 50)
    second = Zonewright(directory=tmp_path / "other", corefile=first.corefile, port=first.port)
    with pytest.raises(NotStartedError, match="exit status 2") as caught:
        second.start()
    assert str(first.port) in caught.value.log
    assert first.serial(ORIGIN) > 0


BROKEN = """example.test.:{port} {{
    bind 127.0.0.1
    fiel {file}
    dnssec {{
        colour red
    }}
}}
other.test.:{port} {{
    bind 127.0.0.1
    transfer {{
        too *
    }}
}}
"""


def test_a_broken_corefile_stops_the_start_with_all_its_errors(tmp_path):
    text = BROKEN.replace("{{", "{").replace("}}", "}").replace("{file}", "/nowhere")
    server = Zonewright(directory=tmp_path / "server", corefile=text)
    with pytest.raises(NotStartedError, match="exit status 1") as caught:
        server.start()
    lines = {int(line) for line in re.findall(r"Corefile:(\d+)", caught.value.log)}
    assert {3, 5, 11} <= lines, caught.value.log


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_broken_corefile_on_reload_leaves_the_old_one_serving(serve, number):
    server = serve(ORIGIN, 50)
    good = server.corefile
    server.write_corefile("example.test.:{port} {\n    fiel x\n}\n")
    os.kill(server.pid, number)
    wait_until(lambda: re.search(r"Corefile:2\b", server.new_log), 10, "the error is logged with its line")
    assert server.texts("mail." + ORIGIN) == ["192.0.2.25"]
    server.write_corefile(good.replace("dnssec\n", "dnssec\n    log\n"))
    os.kill(server.pid, number)

    def is_logged() -> bool:
        server.ask("logged." + ORIGIN)
        return "logged." in server.new_log

    wait_until(is_logged, 10, "the new Corefile is live")


def test_an_edited_zone_file_is_live_within_two_seconds(serve, tmp_path):
    server = serve(ORIGIN, 100)
    file = tmp_path / f"{ORIGIN}zone"
    file.write_text(file.read_text() + f"edited.{ORIGIN} 60 IN A 192.0.2.77\n")
    wait_until(lambda: server.texts("edited." + ORIGIN) == ["192.0.2.77"], 2.5, "the edit is live")


def test_a_file_broken_by_an_edit_leaves_the_last_good_version(serve, tmp_path):
    server = serve(ORIGIN, 100)
    file = tmp_path / f"{ORIGIN}zone"
    good = file.read_text()
    broken_line = good.count("\n") + 1
    file.write_text(good + f"broken.{ORIGIN} 60 IN A 192.0.2.777\n")
    wait_until(lambda: f":{broken_line}" in server.new_log, 10, "the held version is named with file and line")
    assert server.texts("mail." + ORIGIN) == ["192.0.2.25"]
    assert server.texts("broken." + ORIGIN) == []


def test_one_broken_zone_does_not_hold_the_others(run, tmp_path):
    good = zone_file(tmp_path, "good.test.", 50)
    bad = tmp_path / "bad.zone"
    bad.write_text("@ 300 IN SOA ns1 hostmaster 1 2 3 4 5\n@ 300 IN NS ns1\nx 300 IN A 1.2.3\n")
    text = corefile(UNSIGNED, "good.test.", good) + corefile(UNSIGNED, "bad.test.", bad)
    server = run(Zonewright, corefile=text)
    server.wait_served("good.test.")
    response = server.ask("bad.test.", "SOA")
    assert response.rcode() == 2
    assert any(
        option.otype == 15 and option.code == 14 for option in server.ask("bad.test.", "SOA", dnssec=True).options
    )
    assert f"{bad}:3" in server.new_log or "bad.zone:3" in server.new_log


def test_five_hundred_blocks_start_and_answer_within_seconds(run, tmp_path):
    blocks = []
    for number in range(500):
        origin = f"zone{number}.test."
        blocks.append(corefile(SIGNED, origin, zone_file(tmp_path, origin, 20, seed=number)))
    started = time.monotonic()
    server = run(Zonewright, corefile="".join(blocks), start_seconds=60)
    server.wait_served("zone499.test.")
    print(f"500 signed blocks ready after {time.monotonic() - started:.1f} s")
    for number in range(0, 500, 25):
        assert server.texts(f"mail.zone{number}.test.") == ["192.0.2.25"]
        assert server.ask(f"zone{number}.test.", "SOA", dnssec=True).answer[1].rdtype == 46
    assert server.ask("zone500.test.", "SOA").rcode() == 5


def test_the_same_keys_serve_after_every_restart(serve):
    server = serve(ORIGIN, 100)
    keys, serial = server.texts(ORIGIN, "DNSKEY"), server.serial(ORIGIN)
    for _ in range(2):
        assert server.stop() == 0
        server.start()
        server.wait_served(ORIGIN)
        assert server.texts(ORIGIN, "DNSKEY") == keys
        assert server.serial(ORIGIN) == serial


MALFORMED = [
    b"",
    b"\0",
    b"\x12\x34\0\0\0\1\0\0\0\0\0\0",
    b"\x12\x34\0\0\xff\xff\0\0\0\0\0\0",
    b"\x12\x34\0\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1",
    b"\x12\x34\0\0\0\1\0\0\0\0\0\0" + b"\x3fa" * 40,
    b"\x12\x34\x80\0\0\1\0\0\0\0\0\0\0\0\1\0\1",
    b"\x12\x34\0\0\0\2\0\0\0\0\0\0\0\0\1\0\1\0\0\1\0\1",
    b"\x12\x34\0\0\0\1\0\0\0\0\0\1\0\0\1\0\1\0\0\x29\xff\xff\0\0\0\0\xff\xff",
]


def test_malformed_datagrams_get_formerr_or_silence_and_stop_nothing(serve):
    import random
    import socket

    server = serve(ORIGIN, 50)
    dice = random.Random(7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.05)
        client.connect((server.address, server.port))
        for octets in [*MALFORMED, *(dice.randbytes(dice.randrange(600)) for _ in range(500))]:
            client.send(octets)
            try:
                response = client.recv(65535)
            except (TimeoutError, ConnectionRefusedError):
                continue
            assert response[:2] == octets[:2]
            assert response[2] & 0x80
            assert not octets[2] & 0x80, "a response was answered"
            if octets in MALFORMED:
                assert response[3] & 0x0F in {1, 16}, octets
    assert server.texts("mail." + ORIGIN) == ["192.0.2.25"]


def test_junk_on_tcp_connections_stops_nothing(serve):
    import socket

    server = serve(ORIGIN, 50)
    held = []
    for octets in (b"", b"\0", b"\0\0", b"\xff\xff" + b"x" * 100, b"\0\x05hello", b"GET / HTTP/1.0\r\n\r\n"):
        client = socket.create_connection((server.address, server.port), timeout=3)
        client.sendall(octets)
        held.append(client)
    assert server.ask("mail." + ORIGIN, tcp=True).answer
    for client in held:
        client.close()
    assert server.ask("mail." + ORIGIN, tcp=True).answer


def test_root_is_given_up_after_binding(serve):
    if os.geteuid() != 0:
        pytest.skip("only root can give up root")
    server = serve(ORIGIN, 50)
    from pathlib import Path

    status = Path(f"/proc/{server.pid}/status").read_text()
    effective = int(re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)[1], 16)
    kept = {number for number in range(64) if effective >> number & 1}
    reading_and_binding = {1, 2, 10}
    assert kept <= reading_and_binding, (
        f"kept beside CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE: {kept}"
    )


TWO_DIRECTORIES = """.:{port} {{
    bind 127.0.0.1
    auto {{
        directory {directory}/a (.*)\\.zone {{1}}
    }}
    auto {{
        directory {directory}/b (.*)\\.zone {{1}}
    }}
    dnssec
}}
"""


def test_a_zone_moved_between_two_sources_of_a_block_keeps_its_key(run, tmp_path):
    places = [tmp_path / "a" / "example.test.zone", tmp_path / "b" / "example.test.zone"]
    for place in places:
        place.parent.mkdir()
    zone_file(places[0].parent, "stays.test.", 20).rename(places[0].with_name("stays.test.zone"))
    file = zone_file(tmp_path, ORIGIN, 20).rename(places[0])
    text = TWO_DIRECTORIES.format(directory=tmp_path, port="{port}")
    server = run(Zonewright, corefile=text)
    server.wait_served(ORIGIN)
    keys = server.texts(ORIGIN, "DNSKEY")
    file.rename(places[1])
    wait_until(lambda: "has it no more" in server.log, 15, "the first source has given it up")
    places[1].write_text(places[1].read_text().replace("192.0.2.25", "192.0.2.26"))
    wait_until(lambda: server.texts("mail." + ORIGIN) == ["192.0.2.26"], 15, "the second source is followed")
    assert server.texts(ORIGIN, "DNSKEY") == keys
    assert server.serial(ORIGIN) > 1


def test_a_reload_that_fails_late_leaves_a_signed_zone_signed(run, tmp_path):
    file = zone_file(tmp_path, ORIGIN, 20)
    text = corefile(SIGNED, ORIGIN, file)
    server = run(Zonewright, corefile=text)
    server.wait_served(ORIGIN)
    keys = server.texts(ORIGIN, "DNSKEY")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        metrics = f"    prometheus 127.0.0.1:{taken.getsockname()[1]}\n"
        server.write_corefile(re.sub(r"^ *dnssec\n", metrics, text, flags=re.MULTILINE))
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "the old configuration serves on" in server.log, 10, "the reload has failed")
    time.sleep(1)
    assert keys
    assert server.texts(ORIGIN, "DNSKEY") == keys


def test_eight_thousand_zones_are_ready_soon_and_term_ends_them_while_they_are_sealed(run, tmp_path):
    directory = tmp_path / "many"
    directory.mkdir()
    text = "$TTL 300\n@ SOA ns hostmaster 1 7200 900 1209600 300\n@ NS ns\nns A 192.0.2.1\n"
    for number in range(8000):
        (directory / f"z{number}.test.zone").write_text(text)
    body = f".:{{port}} {{\n    bind 127.0.0.1\n    auto {{\n        directory {directory} (.*)\\.zone {{1}}\n    }}\n"
    server = run(Zonewright, corefile=body + "    dnssec\n}\n", start_seconds=90)
    assert server.texts("ns.z7999.test.") == ["192.0.2.1"]
    started = time.monotonic()
    assert server.stop(seconds=20) == 0
    assert time.monotonic() - started < 5

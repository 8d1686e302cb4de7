import asyncio

import dns.rcode
import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from authserver.plugin import METRICS
from authserver.plugins import prometheus as plugin
from authserver.plugins.prometheus import Counting, Tally, query_metrics, servers_of

ORG = b"\7example\3org\0"
ROWS = [
    ("dns://:1053 ", ORG, "udp", 4, "type", 1, 5),
    ("dns://:1053 ", ORG, "udp", 6, "type", 65280, 2),
    ("dns://:1053 ", ORG, "udp", 6, "type", 65281, 1),
    ("dns://:1053 ", ORG, "udp", 4, "rcode", 0, 4),
    ("dns://:1053 ", ORG, "tcp", 4, "rcode", 0, 1),
    ("dns://:1053 ", ORG, "udp", 6, "rcode", 3, 3),
    ("dns://:1053 ", ORG, "udp", 4, "do", 1, 2),
    ("dns://:1053 ", ORG, "udp", 4, "request_octets", 100, 7),
    ("dns://:1053 ", ORG, "udp", 4, "request_octets", 200, 1),
    ("dns://:1053 ", ORG, "udp", 4, "request_octets", 0, 1),
    ("dns://:1053 ", ORG, "udp", 4, "request_octets_sum", 0, 900),
    ("dns://:1053 ", ORG, "udp", 4, "duration_us", 250, 8),
    ("dns://:1053 ", ORG, "udp", 4, "duration_us_sum", 0, 500),
    ("dns://:53 inside", ORG, "udp", 4, "type", 1, 99),
]
SERVERS = {("dns://:1053 ", ORG): ("dns://:1053", "")}


def samples(metrics):
    return {(sample.name, *sample.labels.values()): sample.value for metric in metrics for sample in metric.samples}


def test_rows_are_added_up_by_the_labels_of_coredns():
    found = samples(query_metrics(ROWS, SERVERS))
    server = ("dns://:1053", "example.org.", "")
    assert found["coredns_dns_requests_total", *server, "udp", "1", "A"] == 5
    assert found["coredns_dns_requests_total", *server, "udp", "2", "other"] == 3
    assert found["coredns_dns_responses_total", *server, "NOERROR", ""] == 5
    assert found["coredns_dns_responses_total", *server, "NXDOMAIN", ""] == 3
    assert found["coredns_dns_do_requests_total", *server] == 2
    assert found["coredns_dns_request_size_bytes_bucket", *server, "udp", "100.0"] == 7
    assert found["coredns_dns_request_size_bytes_bucket", *server, "udp", "200.0"] == 8
    assert found["coredns_dns_request_size_bytes_bucket", *server, "udp", "+Inf"] == 9
    assert found["coredns_dns_request_size_bytes_count", *server, "udp"] == 9
    assert found["coredns_dns_request_size_bytes_sum", *server, "udp"] == 900
    assert found["coredns_dns_request_duration_seconds_bucket", *server, "0.00025"] == 8
    assert found["coredns_dns_request_duration_seconds_sum", *server] == 0.0005


def test_blocks_without_prometheus_are_left_out():
    assert not any("99" in str(value) for value in samples(query_metrics(ROWS, SERVERS)).values())


def test_a_block_is_labelled_with_its_view_and_counted_the_same_wherever_it_stands(load):
    blocks = [
        "example.org {\nview inside {\nexpr do()\n}\nprometheus\nwhoami\n}\n",
        "example.org {\nprometheus\nwhoami\n}\n",
    ]
    expected = {("dns://:53 inside", ORG): ("dns://:53", "inside"), ("dns://:53 ", ORG): ("dns://:53", "")}
    for text in ("".join(blocks), "".join(reversed(blocks))):
        assert servers_of(load(text).blocks) == expected
    found = samples(query_metrics(ROWS, expected))
    assert found["coredns_dns_requests_total", "dns://:53", "example.org.", "inside", "udp", "1", "A"] == 99


def test_what_a_chain_answers_is_counted_in_the_engine_s_kinds(load, ask, query, answering):
    (block,) = load("example.org {\nwhoami\n}\n").blocks
    tally = Tally()
    ask(Counting(answering(dns.rcode.NXDOMAIN), block, tally), query("www.example.org. MX", do=True))
    with pytest.raises(OSError, match="gone"):
        ask(Counting(answering(error=OSError("gone")), block, tally), query("www.example.org. MX"))
    rows = {row[4:6]: row for row in tally.rows("dns://:53 x")}
    assert rows["type", 15] == ("dns://:53 x", ORG, "udp", 4, "type", 15, 2)
    assert rows["rcode", 3][-1] == rows["rcode", 2][-1] == rows["do", 1][-1] == 1
    assert rows["request_octets", 100][-1] == 2
    assert rows["request_octets_sum", 0][-1] == 44 + 33


def test_metrics_are_served_in_the_text_format(load, running):
    text = "example.org:1053 {\nprometheus 127.0.0.1:0 {\nruntime_metrics\n}\nwhoami\n}\nexample.net {\nwhoami\n}\n"
    configuration = load(text)
    family = GaugeMetricFamily("zonewright_zone_serial", "Serial.", value=7)
    configuration.blocks[1].offer("file", METRICS, lambda: [GaugeMetricFamily("zonewright_x", "X.", value=1)])

    async def run():
        async with running(configuration, rows=ROWS, version="0.1.0", zone_metrics=lambda: [family]) as get:
            return await get("/metrics")

    status, body = asyncio.run(run())
    assert status == 200
    found = [sample for metric in text_string_to_metric_families(body) for sample in metric.samples]

    def value(name, /, **labels):
        (only,) = [sample.value for sample in found if sample.name == name and labels.items() <= sample.labels.items()]
        return only

    assert value("coredns_build_info", version="0.1.0", product="zonewright") == 1
    assert value("coredns_dns_requests_total", server="dns://:1053", zone="example.org.", family="1", type="A") == 5
    assert value("coredns_plugin_enabled", zone="example.org.", name="prometheus") == 1
    assert not any("example.net." in sample.labels.values() for sample in found)
    assert value("zonewright_zone_serial") == 7
    assert value("zonewright_x") == 1
    assert value("zonewright_engine_datagrams_total") == 3
    assert value("coredns_reload_failed_total") == 0
    names = {sample.name for sample in found}
    assert {"process_cpu_seconds_total", "python_gc_collections_total"} <= names


def test_names_and_labels_of_dashboards_are_kept():
    names = {metric.name: metric for metric in query_metrics(ROWS, SERVERS)}
    assert set(names) == {
        "coredns_dns_requests",
        "coredns_dns_do_requests",
        "coredns_dns_responses",
        "coredns_dns_request_size_bytes",
        "coredns_dns_response_size_bytes",
        "coredns_dns_request_duration_seconds",
    }


def test_the_default_is_loopback():
    assert plugin.DEFAULT == ("localhost", 9153)


def test_tls_is_told_as_not_there_yet(errors):
    assert errors(". {\nprometheus {\ntls x\n}\n}\n") == [
        "Corefile:3: prometheus: tls: CoreDNS has this property, this version of Zonewright does not yet"
    ]

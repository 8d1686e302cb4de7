import io
import logging
import sys
from collections import Counter

import pytest

from authserver.streams import StreamFacts
from authserver.telemetry import ZoneFacts, engine_metrics, set_up_logging, stream_metrics, zone_metrics


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def logged():
    """What is logged while the call runs, to a stream of this kind."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def run(call, stream):
        set_up_logging(stream=stream)
        call()
        return stream.getvalue()

    yield run
    root.handlers[:], root.level = before


def trouble():
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("authserver.plugins.log").exception("bad\r\nthing")


def test_one_event_is_one_line_where_no_person_reads(logged):
    text = logged(trouble, io.StringIO())
    assert text.count("\n") == 1
    assert text.startswith("ERROR plugin/log: bad\\r\\nthing\\nTraceback")


def test_a_terminal_gets_the_time_colours_and_the_trace_below(logged):
    text = logged(trouble, Terminal())
    assert "\x1b[31mERROR" in text
    assert "\nTraceback (most recent call last):\n" in text


def test_setting_up_twice_does_not_double_lines(logged):
    set_up_logging(stream=io.StringIO())
    text = logged(lambda: logging.getLogger("authserver.server").info("hello"), io.StringIO())
    assert text == "INFO server: hello\n"
    assert sys.stderr is not None


def test_zones_are_told_by_origin_and_view():
    families = {
        metric.name: {sample.labels["zone"]: sample.value for sample in metric.samples}
        for metric in zone_metrics(
            [
                ZoneFacts(b"\1a\0", 7, 3, is_signed=True, is_sealed=False, is_held=False, earliest_expiration=99),
                ZoneFacts(b"\1b\0", None, 0, is_signed=False, is_sealed=False, is_held=True),
            ]
        )
    }
    assert families["zonewright_zone_serial"] == {"a.": 7}
    assert families["zonewright_zone_live"] == {"a.": 1, "b.": 0}
    assert families["zonewright_zone_held"] == {"a.": 0, "b.": 1}
    assert families["zonewright_zone_signature_expiration_timestamp_seconds"] == {"a.": 99}


def test_connections_are_told_by_transport_and_by_what_ended_them():
    closed = Counter({("tcp", "idle"): 4, ("tcp", "client"): 1})
    facts = StreamFacts(Counter(tcp=2), Counter(tcp=7), Counter({("tcp", "room"): 3}), closed)
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in stream_metrics(facts)
        for sample in metric.samples
    }
    assert samples == {
        ("zonewright_stream_connections", "tcp"): 2,
        ("zonewright_stream_accepted_total", "tcp"): 7,
        ("zonewright_stream_refused_total", "tcp", "room"): 3,
        ("zonewright_stream_closed_total", "tcp", "idle"): 4,
        ("zonewright_stream_closed_total", "tcp", "client"): 1,
    }


def test_the_engine_s_counts_are_counters():
    metrics = engine_metrics({"datagrams": 5}, 2)
    assert [(sample.name, sample.value) for metric in metrics for sample in metric.samples] == [
        ("zonewright_engine_datagrams_total", 5),
        ("zonewright_engine_log_dropped_total", 2),
    ]

import re

import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest

from authserver.plugin import LOG, Effect
from authserver.plugins import log as plugin
from authserver.plugins.log import Format, fact_of_entry

ENTRY = (
    0,
    1_700_000_000_000_000,
    "2001:db8::1",
    40212,
    "udp",
    b"\x03WwW\x07example\x00",
    1,
    1,
    4711,
    0x8583,
    41,
    104,
    1232,
    True,
    37,
)


def tap(load, lines):
    (block,) = load(f". {{\n{lines}\n}}\n").blocks
    return block.offered(LOG)[0]


def lines(caplog):
    return [record.getMessage() for record in caplog.records]


def test_a_direct_answer_is_told_in_the_common_format(load, caplog):
    caplog.set_level("INFO")
    tap(load, "log").write(ENTRY)
    assert lines(caplog) == [
        '[2001:db8::1]:40212 - 4711 "A IN www.example. udp 41 true 1232" NXDOMAIN qr,aa,rd,ra 104 0.000037s'
    ]


def test_every_placeholder_has_its_value():
    text = "{type}|{name}|{class}|{proto}|{remote}|{local}|{size}|{port}|{duration}|{rcode}|{rsize}|{>rflags}|{>bufsize}|{>do}|{>id}|{>opcode}|{/geo/city}"
    assert (
        Format(text).line(fact_of_entry(ENTRY))
        == "A|www.example.|IN|udp|[2001:db8::1]|-|41|40212|0.000037s|NXDOMAIN|104|qr,aa,rd,ra|1232|true|4711|0|-"
    )


def test_the_combined_format_ends_in_the_opcode():
    assert Format("{combined}").line(fact_of_entry(ENTRY)).endswith('0.000037s "0"')


def test_without_edns_the_size_is_512():
    assert Format("{>bufsize} {>do}").line(fact_of_entry((*ENTRY[:12], 0, False, 1))) == "512 false"


def test_a_client_can_not_write_a_line_of_its_own():
    name = dns.name.Name([b'a\nERROR "x\x1b[31m', b""]).to_wire()
    line = Format("{name}").line(fact_of_entry((*ENTRY[:5], name, *ENTRY[6:])))
    assert re.fullmatch(r"[ -~]+", line)


def test_unknown_types_classes_and_rcodes_have_numbers():
    entry = (*ENTRY[:6], 65280, 254, 1, 0x800F, *ENTRY[10:])
    assert Format("{type} {class} {rcode}").line(fact_of_entry(entry)) == "TYPE65280 NONE 15"


@pytest.mark.parametrize(
    ("flags", "told"),
    [(0x8400, "success"), (0x8403, "denial"), (0x8402, "error"), (0x8405, "error")],
)
@pytest.mark.parametrize("wanted", ["success", "denial", "error", "all"])
def test_only_the_classes_asked_for_are_told(load, caplog, flags, told, wanted):
    caplog.set_level("INFO")
    tap(load, f"log {{\nclass {wanted}\n}}").write((*ENTRY[:9], flags, *ENTRY[10:]))
    assert bool(lines(caplog)) == (wanted in {told, "all"})


def test_the_first_line_that_takes_a_query_tells_it(load, caplog):
    caplog.set_level("INFO")
    text = 'log example "1 {name}" {\nclass error\n}\nlog EXAMPLE. other.example "2 {name}"\nlog . "3 {name}"\n'
    for name in (b"\3www\7example\0", b"\3www\6xample\0", b"\7example\0"):
        tap(load, text).write((*ENTRY[:5], name, *ENTRY[6:]))
    assert lines(caplog) == ["2 www.example.", "3 www.xample.", "2 example."]


def test_a_lone_word_with_a_brace_is_a_format(load, caplog):
    caplog.set_level("INFO")
    tap(load, 'log "{rcode}"').write(ENTRY)
    assert lines(caplog) == ["NXDOMAIN"]


def test_an_unknown_placeholder_stays_and_is_a_warning(load):
    (warning,) = load('. {\nlog . "{nmae} {type}"\n}\n').warnings
    assert str(warning).startswith(
        "Corefile:2: log: placeholder {nmae} is unknown and stays as it is; accepted: {type}, {name}"
    )
    assert Format("{nmae} {type}").line(fact_of_entry(ENTRY)) == "{nmae} A"


def test_wrong_classes_and_names_are_errors(errors):
    assert errors(". {\nlog a..b {common}\nlog {\nclass sucess\n}\n}\n") == [
        "Corefile:4: log: class: CLASSES: 'sucess' is unknown; did you mean 'success'?; accepted: success, denial, error, all"
    ]
    assert errors(". {\nlog a..b {common}\n}\n") == ["Corefile:2: log: 'a..b' is not a zone: a DNS label is empty"]


def test_its_effect_is_data_for_the_engine(load):
    (block,) = load(". {\nlog\n}\n").blocks
    assert block.is_direct
    assert block.effect == Effect(log=True)


class TestChained:
    def told(self, ask, load, caplog, query, following, body='log . "{rcode} {>rflags} {local} {/a}"'):
        caplog.set_level("INFO")
        handler = plugin.LogHandler(following, tap(load, body))
        ask(handler, query("example.org. A", local=("::1", 53)).with_tag("a", "b"))
        return lines(caplog)

    def test_an_answer_of_the_chain_is_told_with_what_plugins_noted(self, ask, load, caplog, query, answering):
        assert self.told(ask, load, caplog, query, answering(dns.rcode.REFUSED)) == ["REFUSED qr,rd [::1] b"]

    def test_what_a_plugin_raises_is_told_as_servfail_and_raised_on(self, ask, load, caplog, query, answering):
        with pytest.raises(OSError, match="gone"):
            self.told(ask, load, caplog, query, answering(error=OSError("gone")))
        assert lines(caplog) == ["SERVFAIL qr,rd [::1] b"]

    @pytest.mark.parametrize(("rtype", "kind"), [("SOA", "denial"), ("NS", "success")])
    def test_an_answer_without_data_is_a_denial_and_a_referral_is_not(self, ask, load, caplog, query, rtype, kind):
        class Nothing:
            async def serve(self, asked):
                message = dns.message.make_response(asked.message)
                text = "ns. hostmaster. 1 2 3 4 5" if rtype == "SOA" else "ns.example.org."
                message.authority.append(dns.rrset.from_text("example.org.", 1, "IN", rtype, text))
                return asked.respond_with(message)

        assert bool(self.told(ask, load, caplog, query, Nothing(), f"log {{\nclass {kind}\n}}"))

"""Files of policies: what is read, and that everything that is wrong is told at once, with its place."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from keys import policyfile
from keys.errors import PolicyFileError
from keys.policy import BUILT_IN, CORPORATE, NSEC3, Denial, KeySpec, Policy, Role, TokenStore
from keys.policywords import ELSEWHERE, POLICY_WORDS, SCALARS, duration, to_words
from keys.refusals import refusals

DAY = 86400


def policies(text: str) -> dict[str, Policy]:
    return dict(policyfile.parse(text, "p.yaml").policies)


def faults(text: str | bytes) -> list[str]:
    with pytest.raises(PolicyFileError) as caught:
        policyfile.parse(text, "p.yaml")
    return [str(fault) for fault in caught.value.faults]


def of_policy(body: str) -> str:
    return f"policies:\n  corp: {{{body}}}\n"


EVERYTHING = """
stores:
  hsm: {kind: pkcs11, module: /usr/lib/softhsm/libsofthsm2.so, token: corp, pin-file: pin}
  card: {kind: pkcs11, module: opensc-pkcs11.so, token: card}
policies:
  corp:
    extends: corporate
    store: hsm
    keys:
      - {role: ksk, algorithm: rsasha256, lifetime: unlimited, store: card}
      - {role: zsk, algorithm: 8, lifetime: 30d, bits: 3072, store: state}
      - {role: csk, algorithm: Ed448, lifetime: 52w}
    denial: {kind: nsec3, opt-out: yes}
    dnskey-ttl: 2h
    max-zone-ttl: 1d
    publish-safety: 1h30m
    retire-safety: 0
    propagation-delay: 90s
    parent-propagation-delay: 30m
    parent-ds-ttl: 12h
    parent-registration-delay: 3d
    validity: 20d
    refresh: 8d
    jitter: 6h
    inception-offset: 2h
    purge-after: 1w
    alarm-after: 4d
    cds: rollover
    cdnskey: off
    bootstrap: on
    digests: [sha-384, 2]
    algorithm-roll: liberal
    serial: unixtime
    zonemd: false
    offline-ksk: false
"""


def test_every_word_is_read() -> None:
    found = policyfile.parse(EVERYTHING, "/etc/zonewright/p.yaml")
    assert found.policies["corp"] == Policy(
        name="corp",
        keys=(
            KeySpec(Role.KSK, 8, None, 2048, "card"),
            KeySpec(Role.ZSK, 8, 30 * DAY, 3072, ""),
            KeySpec(Role.CSK, 16, 364 * DAY, None, "hsm"),
        ),
        denial=Denial("nsec3", opt_out=True),
        dnskey_ttl=7200,
        max_zone_ttl=DAY,
        publish_safety=5400,
        retire_safety=0,
        propagation_delay=90,
        parent_propagation_delay=1800,
        parent_ds_ttl=43200,
        parent_registration_delay=3 * DAY,
        validity=20 * DAY,
        refresh=8 * DAY,
        jitter=21600,
        inception_offset=7200,
        purge_after=7 * DAY,
        alarm_after=4 * DAY,
        cds="rollover",
        cdnskey=False,
        bootstrap=True,
        digests=(4, 2),
        algorithm_roll="liberal",
        serial="unixtime",
    )
    assert all(isinstance(key.role, Role) for key in found.policies["corp"].keys)
    assert found.stores["hsm"] == TokenStore(
        "hsm", Path("/usr/lib/softhsm/libsofthsm2.so"), "corp", Path("/etc/zonewright/pin")
    )
    assert found.stores["card"].pin_file is None
    assert found.warnings == ()
    assert set(yaml.safe_load(EVERYTHING)["policies"]["corp"]) == set(POLICY_WORDS)


def test_words_of_policies_are_fields_of_policies() -> None:
    assert all(word.replace("-", "_") in Policy.__slots__ for word in SCALARS)
    assert set(ELSEWHERE.values()) <= set(POLICY_WORDS)
    assert not set(ELSEWHERE) & set(POLICY_WORDS)


def test_a_policy_is_the_default_where_it_says_nothing() -> None:
    assert policies("policies: {corp: {}, shop: }") == {"corp": Policy("corp"), "shop": Policy("shop")}


def test_a_policy_starts_from_the_one_it_extends() -> None:
    found = policies("""
policies:
  leaf: {extends: middle, refresh: 6d, denial: compact}
  middle: {extends: corporate, max-zone-ttl: 1h, refresh: 3d, store: hsm}
stores:
  hsm: {kind: pkcs11, module: /m.so, token: t}
""")
    assert (found["leaf"].max_zone_ttl, found["leaf"].refresh) == (3600, 6 * DAY)
    assert found["leaf"].denial == Denial("compact")
    assert [key.store for key in found["leaf"].keys] == ["hsm", "hsm"]
    assert [key.lifetime for key in found["leaf"].keys] == [key.lifetime for key in CORPORATE.keys]
    assert policies(of_policy("extends: insecure"))["corp"].is_insecure
    assert policies(of_policy("extends: nsec3"))["corp"].denial == NSEC3.denial


@pytest.mark.parametrize("policy", [*BUILT_IN.values(), policyfile.parse(EVERYTHING, "p").policies["corp"]])
def test_what_is_shown_of_a_policy_reads_as_the_same_policy(policy: Policy) -> None:
    stores = {name: {"kind": "pkcs11", "module": "/m.so", "token": "t"} for name in ("hsm", "card")}
    text = yaml.safe_dump({"policies": {"shown": to_words(policy)}, "stores": stores})
    assert policies(text)["shown"] == Policy(
        **{name: "shown" if name == "name" else getattr(policy, name) for name in Policy.__slots__}
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90s", 90), ("1h30m", 5400), ("14d", 14 * DAY), ("2W", 14 * DAY)]
)
def test_durations(text: str, seconds: int) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "1y", "1.5h", "-1d", "1 d", "14d ", "٣d", "99999999999s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration such as 14d, 12h or 1h30m$"):
        duration(text)


ACCEPTED = ", ".join(POLICY_WORDS)
ALGORITHMS = "8 rsasha256, 10 rsasha512, 13 ecdsap256sha256, 14 ecdsap384sha384, 15 ed25519, 16 ed448"
CHAIN = "each algorithm of the DNSKEY RRset has to sign everything (RFC 4035 section 2.2)"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("refresch: 3d", f"2:10: policy corp: 'refresch' is unknown; did you mean 'refresh'?; accepted: {ACCEPTED}"),
        ("rrsig-lifetime: 3d", f"2:10: policy corp: 'rrsig-lifetime' is said by 'validity' here; accepted: {ACCEPTED}"),
        ("lifetime: 3d", f"2:10: policy corp: 'lifetime' is said by 'keys' here; accepted: {ACCEPTED}"),
        ("<<: {}", "2:10: policy corp: '<<' is not taken; 'extends: NAME' starts from another policy"),
        ("[a]: 1", "2:10: policy corp: a key is a list, not a word"),
        ("refresh: ", "2:18: policy corp: refresh has no value"),
        ("refresh: [3d]", "2:19: policy corp: refresh is a list, not one value"),
        (
            "refresh: 3600",
            (
                "2:19: policy corp: refresh: '3600' is not a duration such as 14d, 12h or 1h30m; "
                "a unit is missing, 3600s for seconds"
            ),
        ),
        ("validity: 9999w", "2:20: policy corp: validity: '9999w' is above 2147483647s"),
        ("validity: 0", "2:20: policy corp: validity: '0' must be at least 1s"),
        (
            "cds: alway",
            "2:15: policy corp: cds: 'alway' is unknown; did you mean 'always'?; accepted: always, rollover, none",
        ),
        ("cdnskey: maybe", "2:19: policy corp: cdnskey: 'maybe' is not true or false"),
        (
            "zonemd: perhaps",
            "2:18: policy corp: zonemd: 'perhaps' is not true or false",
        ),
        (
            "digests: [1]",
            "2:20: policy corp: digests: '1' is not made (RFC 8624 section 3.3); accepted: 2 sha-256, 4 sha-384",
        ),
        ("digests: [2, sha256]", "2:10: policy corp: the same digest type stands twice"),
        ("digests: []", "2:10: policy corp: no digest type, and cds always wants one; accepted: 2 sha-256, 4 sha-384"),
        ("refresh: 3d, refresh: 4d", "2:23: policy corp: 'refresh' stands twice, first at line 2"),
        (
            "extends: corporat",
            (
                "2:19: policy corp: extends: 'corporat' is unknown; did you mean 'corporate'?; "
                "accepted: default, corporate, nsec3, insecure, corp"
            ),
        ),
        ("extends: corp", "2:19: policy corp: extends itself: corp -> corp"),
        ("store: hsm", "2:17: policy corp: store: 'hsm' is unknown; accepted: state"),
        (
            "keys: csk",
            "2:16: policy corp: keys is 'csk', not a list of keys, each with role, algorithm, lifetime, bits, store, shared",
        ),
        ("keys: []", "2:16: policy corp: keys is empty; 'extends: insecure' makes a zone give its signatures up"),
        (
            "keys: [csk]",
            "2:17: policy corp: keys is 'csk', not a mapping of role, algorithm, lifetime, bits, store, shared",
        ),
        ("keys: [{}]", "2:17: policy corp: keys: role is missing; accepted: csk, ksk, zsk"),
        (
            "keys: [{role: zks}]",
            "2:24: policy corp: keys: role: 'zks' is unknown; did you mean 'zsk'?; accepted: csk, ksk, zsk",
        ),
        (
            "keys: [{role: csk, algorithm: ed25518}]",
            f"2:40: policy corp: keys: algorithm: 'ed25518' is not signed with; did you mean 'ed25519'?; accepted: {ALGORITHMS}",
        ),
        (
            "keys: [{role: csk, algorithm: 8, bits: 1024}]",
            "2:49: policy corp: keys: bits: '1024' is not a number from 2048 to 4096",
        ),
        (
            "keys: [{role: csk, bits: 2048}]",
            "2:35: policy corp: bits 2048: keys of ecdsap256sha256 have one size; leave it out",
        ),
        ("keys: [{role: csk, store: hsm}]", "2:36: policy corp: keys: store: 'hsm' is unknown; accepted: state"),
        ("keys: [{role: zsk}]", f"2:10: policy corp: algorithm 13 has a zsk and no ksk: {CHAIN}"),
        (
            "keys: [{role: csk, algorithm: 8}, {role: csk, algorithm: 8}]",
            "2:10: policy corp: 2 keys of role csk and algorithm 8; one is enough",
        ),
        (
            "denial: nsec4",
            "2:18: policy corp: denial: 'nsec4' is unknown; did you mean 'nsec'?; accepted: nsec, nsec3, compact",
        ),
        ("denial: {opt-out: true}", "2:18: policy corp: denial: kind is missing; accepted: nsec, nsec3, compact"),
        ("denial: {kind: nsec, salt: aa}", "2:37: policy corp: denial: salt belongs to nsec3 alone"),
        (
            "denial: {kind: nsec3, salt: xx}",
            "2:38: policy corp: denial: salt: salt 'xx' is not 1 to 255 octets in hexadecimal, nor -",
        ),
        (
            "denial: {kind: nsec3, iterations: 151}",
            "2:44: policy corp: denial: iterations: '151' is not a number from 0 to 150",
        ),
        (
            "validity: 5d",
            (
                "2:10: policy corp: refresh 5d is not below 4d12h = validity 5d - jitter 12h: "
                "signatures would be due for renewal when they are made"
            ),
        ),
        ("dnskey-ttl: 2d, max-zone-ttl: 1d", "2:10: policy corp: dnskey-ttl 2d is above max-zone-ttl 1d"),
        (
            "max-zone-ttl: 1073741724s",
            (
                "2:10: policy corp: refresh 5d is below 12427d14h40m24s = max-zone-ttl 12427d13h35m24s + propagation-delay 5m "
                "+ 1h of waiting for others: a signature could expire in a cache (RFC 6781 section 4.4.2)"
            ),
        ),
        (
            "keys: [{role: csk, lifetime: 4d}]",
            (
                "2:39: policy corp: lifetime 4d of the csk is not above 4d3h10m, which replacing it takes: dnskey-ttl 1h + "
                "propagation-delay 5m + publish-safety 1h + max-zone-ttl 4d + propagation-delay 5m "
                "+ retire-safety 1h (RFC 7583 section 3)"
            ),
        ),
        (
            "extends: corporate, parent-registration-delay: 365d",
            (
                "2:30: policy corp: lifetime 365d of the ksk is not above 366d4h5m, which replacing it takes: dnskey-ttl 1h + "
                "propagation-delay 5m + publish-safety 1h + parent-registration-delay 365d + parent-propagation-delay 1h + "
                "parent-ds-ttl 1d + retire-safety 1h (RFC 7583 section 3)"
            ),
        ),
    ],
)
def test_what_is_wrong_with_a_policy_is_told_with_its_place(body: str, expected: str) -> None:
    assert faults(of_policy(body)) == [f"p.yaml:{expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "p.yaml: is empty; the least is 'policies: {NAME: {}}'"),
        ("# nothing\n", "p.yaml: is empty; the least is 'policies: {NAME: {}}'"),
        ("[]", "p.yaml:1:1: the file is a list, not a mapping of policies, stores"),
        (
            "polices: {}",
            "p.yaml:1:1: the file: 'polices' is unknown; did you mean 'policies'?; accepted: policies, stores",
        ),
        ("policies: [a]", "p.yaml:1:11: policies is a list, not a mapping"),
        ("policies: {a: {}, a: {}}", "p.yaml:1:19: policies: 'a' stands twice, first at line 1"),
        (
            "policies: {'a b': {}}",
            "p.yaml:1:12: policies: 'a b' is no name: letters, digits, '.', '_' and '-', at most 64",
        ),
        ("policies: {a: 5}", f"p.yaml:1:15: policy a is '5', not a mapping of {ACCEPTED}"),
        (
            "policies: {nsec3: {}}",
            "p.yaml:1:12: policy nsec3 comes with the product; take another name, and 'extends: nsec3'",
        ),
        ("stores: {state: {}}", "p.yaml:1:10: store state: the name is taken, it is the state database"),
        (
            "stores: {a: {kind: pkcs11}}",
            "p.yaml:1:10: store a: module, token missing; it has kind, module, token and pin-file",
        ),
        ("stores: {a: {kind: hsm}}", "p.yaml:1:20: store a: kind: 'hsm' is unknown; accepted: pkcs11"),
        (
            "policies:\n\tcorp: {}",
            "p.yaml:2:1: is not YAML: while scanning for the next token found character '\\t' that cannot start any token",
        ),
        (
            "policies: {corp: {}",
            "p.yaml:1:20: is not YAML: while parsing a flow mapping expected ',' or '}', but got '<stream end>'",
        ),
        ("policies: {a: *b}", "p.yaml:1:15: is not YAML: found undefined alias 'b'"),
        (
            "policies: {}\n---\npolicies: {}\n",
            "p.yaml:2:1: is not YAML: expected a single document in the stream but found another document",
        ),
        ("[" * 1000, "p.yaml: is nested too deep"),
        ("#" * (1 << 20) + "#", "p.yaml: is larger than 1048576 octets"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_place(text: str, expected: str) -> None:
    assert faults(text) == [expected]


def test_octets_that_are_no_text_are_refused() -> None:
    (fault,) = faults(b"policies: {a: \xff}")
    assert fault.startswith("p.yaml: is not YAML: ")
    assert "\n" not in fault


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    text = """
stores:
  hsm: {kind: pkcs12}
policies:
  a: {refresh: soon, serial: dat, store: hsm}
  b: {extends: c}
  c: {extends: b}
  d: {extends: a, keys: [{role: ksk}]}
  e: {max-zone-ttl: 6d, inception-offset: 20d}
  f: {extends: e, purge-after: 1d}
  g: {validity: 1d, keys: [{role: zsk}]}
"""
    assert faults(text) == [
        "p.yaml:3:15: store hsm: kind: 'pkcs12' is unknown; did you mean 'pkcs11'?; accepted: pkcs11",
        "p.yaml:5:16: policy a: refresh: 'soon' is not a duration such as 14d, 12h or 1h30m",
        "p.yaml:5:30: policy a: serial: 'dat' is unknown; did you mean 'date'?; accepted: auto, increment, unixtime, date",
        "p.yaml:6:16: policy b: extends itself: b -> c -> b",
        f"p.yaml:8:19: policy d: algorithm 13 has a ksk and no zsk: {CHAIN}",
        (
            "p.yaml:9:7: policy e: refresh 5d is below 6d1h5m = max-zone-ttl 6d + propagation-delay 5m + 1h of waiting for others:"
            " a signature could expire in a cache (RFC 6781 section 4.4.2)"
        ),
        "p.yaml:9:25: policy e: inception-offset 20d is above validity 14d",
        (
            "p.yaml:11:7: policy g: refresh 5d is not below 12h = validity 1d - jitter 12h: "
            "signatures would be due for renewal when they are made"
        ),
        f"p.yaml:11:21: policy g: algorithm 13 has a zsk and no ksk: {CHAIN}",
    ]


def test_what_is_hardly_meant_is_warned_of() -> None:
    body = "denial: {kind: nsec3, iterations: 5, salt: ab}, keys: [{role: csk, algorithm: 10}]"
    found = policyfile.parse(of_policy(body), "p.yaml")
    assert [str(warning) for warning in found.warnings] == [
        (
            "p.yaml:2:44: policy corp: denial: iterations 5: more work for everybody and no more secrecy "
            "(RFC 9276 section 3.1); leave it out"
        ),
        "p.yaml:2:53: policy corp: denial: a salt is of no use (RFC 9276 section 3.1); leave it out",
        "p.yaml:2:65: policy corp: keys: rsasha512 is not recommended for signing (RFC 8624 section 3.1)",
    ]
    assert found.policies["corp"].denial == Denial("nsec3", False, 5, b"\xab")


def test_anchors_are_taken_and_circles_and_bombs_of_them_are_harmless() -> None:
    text = "policies:\n  a: &a {refresh: 6d}\n  b: *a\n"
    assert policies(text) == {"a": Policy("a", refresh=6 * DAY), "b": Policy("b", refresh=6 * DAY)}
    assert faults("policies: &a {b: *a}")[0].startswith("p.yaml:1:15: policy b: 'b' is unknown")
    bomb = "".join(f"  p{n + 1}: &p{n + 1} [{', '.join([f'*p{n}'] * 9)}]\n" for n in range(30))
    assert len(faults("policies:\n  p0: &p0 [x]\n" + bomb)) == 31


def test_there_is_a_limit_of_policies() -> None:
    def text(count: int) -> str:
        return "policies:\n" + "".join(f"  p{number}: {{}}\n" for number in range(count))

    assert len(policies(text(policyfile.MAX_POLICIES))) == policyfile.MAX_POLICIES
    assert faults(text(policyfile.MAX_POLICIES + 1)) == ["p.yaml:1:1: 1001 policies; at most 1000 are taken"]


def test_there_is_a_limit_of_policies_one_on_the_other() -> None:
    def text(count: int) -> str:
        rows = "".join(f"  p{number}: {{extends: p{number + 1}}}\n" for number in range(count - 1))
        return f"policies:\n{rows}  p{count - 1}: {{refresh: 6d}}\n"

    assert policies(text(policyfile.MAX_EXTENDED))["p0"].refresh == 6 * DAY
    assert faults(text(policyfile.MAX_EXTENDED + 1)) == ["p.yaml:2:17: policy p0: extends more than 10 policies"]


def test_a_file_that_can_not_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError) as caught:
        policyfile.read(tmp_path / "none.yaml")
    assert str(caught.value) == f"{tmp_path / 'none.yaml'}: can't be read: No such file or directory"


MARKS = [
    *"{}[]:,&*-!|>?%@`#'\"\n\t ~",
    "\x00",
    "\ufeff",
    "é",
    "\n  ",
    "\n    ",
    ": ",
    "- ",
    "*a",
    "&a ",
    "!!int ",
    "<<",
]
WORDS = [
    "policies",
    "stores",
    "keys",
    "role",
    "csk",
    "denial",
    "kind",
    "nsec3",
    "salt",
    "refresh",
    "3d",
    "default",
    "extends",
]
PIECES = st.sampled_from([*MARKS, *WORDS])


@given(st.lists(PIECES, max_size=40).map("".join) | st.binary(max_size=40))
def test_no_text_breaks_the_reader(text: str | bytes) -> None:
    try:
        files = {policyfile.parse(text, "p.yaml").file}
    except PolicyFileError as error:
        files = {fault.file for fault in error.faults}
    assert files == {"p.yaml"}


VALUES = st.recursive(
    st.sampled_from(["3d", "csk", "zsk", "x", "", "~", "13", "8", "2048", "nsec3", "true", "0", "corp", "hsm"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*POLICY_WORDS, "role", "algorithm", "bits", "kind", "salt", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["corp", "default", "a b"]), VALUES, max_size=3), VALUES)
def test_no_structure_breaks_the_reader_and_what_it_takes_is_not_refused(policies: object, stores: object) -> None:
    try:
        found = policyfile.parse(yaml.safe_dump({"policies": policies, "stores": {"hsm": stores}}), "p.yaml")
    except PolicyFileError as error:
        assert all(fault.line and fault.column for fault in error.faults)  # noqa: PT017 (the places are the point)
    else:
        assert all(refusals(policy) == [] for policy in found.policies.values())

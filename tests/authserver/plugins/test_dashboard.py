import asyncio

TEXT = ". {\ndashboard 127.0.0.1:0\n}\n"
ODD = '<b>&\\"x.example.'


def zone(name, **more):
    facts = {
        "zone": name, "view": "", "status": "live", "serial": 7, "records": 1234, "policy": "default",
        "earliest_expiration": 1_800_000_000, "commit": "0123456789abcdef", "file": "db", "source": "repo",
        "source_serial": 7, "sealed_serial": 7, "findings": [],
    }  # fmt: skip
    return {**facts, **more}


def pages(load, running, paths, zones):
    async def zone_list(_):
        return zones

    async def zone_show(arguments):
        for one in zones:
            if one["zone"] == arguments.get("zone"):
                return one
        raise LookupError("no such zone")

    async def why(arguments):
        if arguments["zone"] == "plain.example.":
            raise LookupError("no key; it was never served with dnssec")
        wait = {
            "role": "csk", "tag": 7, "record": "ds", "state": "rumoured", "reason": "until <it> is seen", "until": 10**9,
        }  # fmt: skip
        return {"waits": [wait], "to_do": ["tell the parent"]}

    async def drawn(_):
        return {"svg": "<svg>keys</svg>"}

    commands = {"zone.list": zone_list, "zone.show": zone_show, "key.why": why, "key.timeline": drawn}

    async def run():
        async with running(load(TEXT), tell=lambda name, arguments: commands[name](arguments)) as get:
            return [await get(path) for path in paths]

    return asyncio.run(run())


def test_held_zones_come_first_and_each_leads_to_its_page(load, running):
    ((status, text),) = pages(load, running, ["/"], [zone("a.example."), zone("z.example.", status="held")])
    assert status == 200
    assert text.index("z.example.") < text.index("a.example.")
    assert '<td class="held">held' in text
    assert 'href="/zone?zone=a.example.&amp;view="' in text
    assert "<td>1,234<td>default<td>2027-01-15 08:00<td>0123456789ab</tr>" in text


def test_a_zone_has_its_findings_its_timeline_and_what_its_keys_wait_for(load, running):
    zones = [zone("a.example.", findings=["db:7:1: odd <thing>"])]
    ((status, text),) = pages(load, running, ["/zone?zone=a.example.&view="], zones)
    assert status == 200
    assert "db:7:1: odd &lt;thing&gt;" in text
    assert "<svg>keys</svg>" in text
    assert "csk 7 ds rumoured: until &lt;it&gt; is seen (2001-09-09 01:46)\ntell the parent" in text


def test_an_unsigned_zone_says_that_it_has_no_key_and_an_unknown_one_that_it_is_none(load, running):
    found = pages(load, running, ["/zone?zone=plain.example.", "/zone?zone=other.", "/zone"], [zone("plain.example.")])
    assert "no key; it was never served with dnssec" in found[0][1]
    assert [status for status, _ in found] == [200, 404, 404]


def test_nothing_that_a_zone_is_called_is_markup(load, running):
    ((_, text),) = pages(load, running, ["/"], [zone(ODD)])
    assert "<b>" not in text
    assert "&lt;b&gt;" in text


def test_a_thousand_zones_are_listed_and_the_rest_counted(load, running):
    ((_, text),) = pages(load, running, ["/"], [zone(f"z{number}.example.") for number in range(1200)])
    assert text.count("<tr><td>") == 1000
    assert "and 200 more" in text

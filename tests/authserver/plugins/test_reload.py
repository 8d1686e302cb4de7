import asyncio

import pytest

from authserver import chain
from authserver.plugin import RELOAD, ReloadTimes
from authserver.plugins import reload as plugin


@pytest.mark.parametrize(
    ("line", "times"),
    [
        ("reload", ReloadTimes(30, 15)),
        ("reload 10s", ReloadTimes(10, 5)),
        ("reload 10s 2s", ReloadTimes(10, 2)),
        ("reload 1m 0", ReloadTimes(60, 0)),
        ("reload 2s 10s", ReloadTimes(2, 1)),
    ],
)
def test_times_are_those_of_coredns(load, line, times):
    assert load(f". {{\n{line}\n}}\n").offered(RELOAD) == (times,)


def test_times_below_the_least_are_errors(errors):
    assert errors(". {\nreload 1s 500ms\n}\n") == [
        "Corefile:2: reload: INTERVAL: '1s' must be at least 2s",
        "Corefile:2: reload: JITTER: '500ms' must be at least 1s, or 0",
    ]


def test_one_block_reloads_for_all(load):
    configuration = load("a {\nreload\n}\nb {\nreload 5s\n}\n")
    assert len(configuration.offered(RELOAD)) == 1
    assert [warning.place.line for warning in configuration.warnings] == [5]


@pytest.fixture
def watch(tmp_path, running):
    """Run a Corefile's watch through edits; how often it asked for a reload after each."""
    path = tmp_path / "Corefile"

    def watch(edits, *, succeeds=True, first="whoami\n"):
        path.write_text(". {\nreload 2s\nimport part\n}\n")
        (tmp_path / "part").write_text(first)
        configuration = chain.load(path, {})
        (hook,) = [hook for name, hook in configuration.blocks[0].start_hooks if name == "reload"]
        hook.__self__.times = ReloadTimes(0.01, 0)
        asked = []

        async def reload():
            asked.append(1)
            return succeeds

        async def run():
            counts = []
            async with running(configuration, reload=reload):
                for name, text in edits:
                    (tmp_path / name).write_text(text)
                    await asyncio.sleep(0.15)
                    counts.append(len(asked))
            return counts

        return asyncio.run(run())

    return watch


def test_a_change_of_an_imported_file_reloads(watch):
    assert watch([("part", "whoami\nlog\n")]) == [1]


def test_comments_and_layout_do_not_reload(watch):
    assert watch([("part", "  # here\n whoami\n"), ("Corefile", ".   {\nreload 2s\nwhoami\n}\n")]) == [0, 0]


def test_a_broken_file_is_tried_once_and_a_mended_one_again(watch):
    edits = [("part", "whoami\n}\n"), ("part", "whoami\n"), ("part", "whoami\nerrors\n")]
    assert watch(edits, succeeds=False) == [1, 1, 2]


def test_the_watch_ends_with_its_configuration():
    assert plugin.Watch(plugin.DEFAULT, None).name == ""


def test_a_change_of_a_file_of_policies_reloads(watch, tmp_path):
    text = f"file db\ndnssec {{\npolicies {tmp_path}/policies.yaml\npolicy corp\n}}\n"
    (tmp_path / "policies.yaml").write_text("policies: {corp: {refresh: 6d}}")
    edits = [("part", text), ("policies.yaml", "policies: {corp: {refresh: 7d}}")]
    assert watch(edits, first=text) == [0, 1]

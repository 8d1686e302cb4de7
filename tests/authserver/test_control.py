"""The control socket: calls, errors, and a path longer than a socket's address may be."""

import asyncio
import stat

import pytest

from authserver.control import ControlError, ControlSocket, NotRunningError, call


async def echo(arguments):
    return {"got": dict(arguments)}


async def refuse(_arguments):
    raise ControlError("example.org.: no such zone")


async def break_(_arguments):
    raise RuntimeError("a bug")


def talk(path, *calls):
    async def body():
        control = ControlSocket(path, {"echo": echo, "refuse": refuse, "break": break_})
        await control.start()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        try:
            return [await asyncio.to_thread(one) for one in calls]
        finally:
            await control.stop()

    return asyncio.run(body())


def test_a_call_is_answered(tmp_path):
    path = tmp_path / "control.sock"
    assert talk(path, lambda: call(path, "echo", {"zone": "example.org"})) == [{"got": {"zone": "example.org"}}]
    assert not path.exists()


def test_a_deep_state_directory_has_a_socket_too(tmp_path):
    deep = tmp_path.joinpath(*["d" * 40] * 5)
    deep.mkdir(parents=True)
    path = deep / "control.sock"
    assert talk(path, lambda: call(path, "echo")) == [{"got": {}}]


@pytest.mark.parametrize(
    ("command", "message"),
    [("refuse", "no such zone"), ("break", "internal error: a bug"), ("nothing", "unknown command 'nothing'")],
)
def test_what_went_wrong_is_said(tmp_path, command, message):
    path = tmp_path / "control.sock"

    def one():
        with pytest.raises(ControlError, match=message):
            call(path, command)

    talk(path, one)


def test_a_socket_left_behind_is_replaced_and_nobody_listens_on_it(tmp_path):
    path = tmp_path / "control.sock"
    path.touch()
    with pytest.raises(NotRunningError):
        call(path, "echo")
    assert talk(path, lambda: call(path, "echo")) == [{"got": {}}]

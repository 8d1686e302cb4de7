"""The `reload` directive: looks at the Corefile from time to time, and has it loaded again when it has changed."""

import asyncio
import itertools
import logging
import random
from dataclasses import dataclass
from typing import Final

from authserver.plugin import RELOAD, Argument, Build, Configuration, Duration, Link, ReloadTimes, Schema

log = logging.getLogger(__name__)

_INTERVAL = Argument("INTERVAL", Duration(minimum=2), optional=True)
_JITTER = Argument("JITTER", Duration(minimum=1, or_zero=True), optional=True)

SCHEMA = Schema(arguments=(_INTERVAL, _JITTER), once=True)

DEFAULT = ReloadTimes(interval=30.0, jitter=15.0)

SETTLE_S: Final = 0.05

_numbers = itertools.count(1)


@dataclass(slots=True)
class Watch:
    """Looks at the parsed Corefile, imports and files that it names included; comments and layout don't count."""

    times: ReloadTimes
    configuration: Configuration
    name: str = ""
    seen: str = ""

    async def start(self) -> None:
        """Look from now on."""
        if self.configuration.reread is None:
            log.warning("the Corefile is not a file; it will not be looked at")
            return
        self.seen = self.configuration.digest
        self.name = f"plugin/reload {next(_numbers)}"
        self.configuration.running.schedule.start(self.name, self.run)

    async def stop(self) -> None:
        """Look no more. The look that asked for a reload ends by itself, or it would wait for its own end."""
        if not self.name:
            return
        task = asyncio.current_task()
        if task is None or task.get_name() != self.name:
            await self.configuration.running.schedule.stop(self.name)

    async def run(self) -> None:
        """Look until a reload succeeded, after which the new configuration looks."""
        while True:
            await asyncio.sleep(self.times.interval + random.uniform(0, self.times.jitter))  # noqa: S311 to spread load
            if await self.is_changed() and await self.configuration.running.reload():
                return

    async def is_changed(self) -> bool:
        """Whether the Corefile says something that was not seen before; a broken one is told once."""
        digest, is_broken = await self.look()
        if digest == self.seen:
            return False
        await asyncio.sleep(SETTLE_S)
        if (digest, is_broken) != await self.look():
            # Somebody is still writing; the next look sees what came of it.
            return False
        self.seen = digest
        if not is_broken and digest == self.configuration.digest:
            # It was changed and changed back while it could not be loaded: what is in force is what it says.
            return False
        log.info("%s has changed", self.configuration.corefile.file)
        return True

    async def look(self) -> tuple[str, bool]:
        """What the Corefile says now, as a digest, and whether it has errors."""
        assert self.configuration.reread is not None, "checked when it started"
        corefile, problems = await asyncio.to_thread(self.configuration.reread)
        digest = await asyncio.to_thread(self.configuration.digest_now, corefile)
        return digest + "".join(map(str, problems)), bool(problems)


def setup(build: Build) -> Link | None:
    """Offers the times, and looks when the server has started; once in a process is enough."""
    settings = build.settings[0]
    interval = settings.get(_INTERVAL, DEFAULT.interval)
    times = ReloadTimes(interval, settings.get(_JITTER, min(DEFAULT.jitter, interval / 2)))
    if build.configuration.reloads:
        build.warn(settings.place, "the Corefile is reloaded already, as an earlier server block says")
        return None
    if times.jitter > interval / 2:
        times = ReloadTimes(interval, interval / 2)
        build.warn(settings.place, f"a jitter of more than half the interval is taken as {interval / 2:g}s")
    watch = Watch(times, build.configuration)
    build.configuration.reloads = True
    build.offer(RELOAD, times)
    build.on_start(watch.start)
    build.on_stop(watch.stop)
    return None

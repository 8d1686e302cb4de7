"""The order of directives in a chain, and the finding and loading of the plugins behind them.

The order is CoreDNS's compile order: it decides who sees a query first, whatever the order in the Corefile. Plugins of
this product are the modules of `authserver.plugins`; others come by entry points of the group `zonewright.plugins`,
whose name is the directive and whose value is a module with `SCHEMA` and `setup`, and optionally `BEFORE`, the
directive it stands ahead of (the zone backends when it says nothing). A module is imported when its directive is used.
"""

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Final

import authserver.plugins
from authserver.plugin import Plugin, Schema
from authserver.schema import nearest

GROUP: Final = "zonewright.plugins"

ORDER: Final = (
    "root", "metadata", "geoip", "cancel", "proxyproto", "quic", "grpc_server", "https", "https3", "timeouts",
    "multisocket", "reload", "nsid", "bufsize", "bind", "debug", "trace", "ready", "health", "pprof",
    "shed", "prometheus", "errors", "log", "dnstap", "local", "dns64", "any", "chaos", "loadbalance",
    "tsig", "rewrite", "autopath", "acl", "cache", "header", "dnssec", "tls", "minimal", "template",
    "transfer", "hosts", "route53", "azure", "clouddns", "k8s_external", "kubernetes", "file", "auto", "secondary",
    "etcd", "loop", "forward", "grpc", "erratic", "whoami", "on", "sign", "view", "nomad",
)  # fmt: skip
"""Every directive that CoreDNS has, in its order. A plugin feels what those behind it do, and not the others."""

FIRST_BACKEND: Final = "hosts"


class PluginError(Exception):
    """A plugin that is there can't be used: `name` is its directive, `reason` says why."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name}: {reason}")


@dataclass(slots=True, eq=False)
class Directives:
    """The plugins of this installation, and those of third parties, by directive."""

    own: frozenset[str]
    foreign: dict[str, EntryPoint]
    _loaded: dict[str, Plugin] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """All directives that can be used, sorted."""
        return tuple(sorted(self.own | self.foreign.keys()))

    def plugin(self, name: str) -> Plugin | None:
        """The plugin of a directive, None if there is none. Raises PluginError if it can't be loaded."""
        if name not in self._loaded:
            if name in self.own:
                self._loaded[name] = _plugin(name, importlib.import_module(f"authserver.plugins.{name}"))
            elif name in self.foreign:
                self._loaded[name] = _plugin(name, _load(self.foreign[name]))
        return self._loaded.get(name)

    def add(self, plugin: Plugin) -> None:
        """Make a plugin known that was not installed (tests, programs that embed the server)."""
        self.own |= {plugin.name}
        self._loaded[plugin.name] = plugin

    def in_order(self, names: Iterable[str]) -> list[str]:
        """The names of loaded plugins in the order of the chain."""
        return sorted(names, key=self._place)

    def _place(self, name: str) -> tuple[int, int, str]:
        if name in ORDER:
            return ORDER.index(name), 1, name
        plugin = self.plugin(name)
        before = plugin.before if plugin and plugin.before in ORDER else FIRST_BACKEND
        return ORDER.index(before), 0, name

    def unknown(self, name: str) -> str:
        """What to tell about a directive that there is no plugin for."""
        if name in ORDER:
            return f"{name}: CoreDNS has this directive, this version of Zonewright does not yet"
        if "://" in name or name.rstrip(".").count(".") > 0:
            return f"'{name}' is no directive; if a server block begins here, the one before it must be in braces"
        return f"unknown directive '{name}'{nearest(name, self.names)}; accepted: {', '.join(self.names)}"


def installed() -> Directives:
    """The plugins of this product and those that other distributions bring; the product's own win."""
    own = frozenset(module.name for module in pkgutil.iter_modules(authserver.plugins.__path__))
    foreign = {point.name: point for point in entry_points(group=GROUP) if point.name not in own}
    return Directives(own, foreign)


def _load(point: EntryPoint) -> ModuleType:
    try:
        module = point.load()
    except Exception as error:
        # A stranger's module may fail in any way, and that is a line of the report.
        raise PluginError(point.name, f"cannot load {point.value}: {type(error).__name__}: {error}") from error
    if not isinstance(module, ModuleType):
        raise PluginError(point.name, f"{point.value} is not a module")
    return module


def _plugin(name: str, module: ModuleType) -> Plugin:
    schema, setup = getattr(module, "SCHEMA", None), getattr(module, "setup", None)
    if not isinstance(schema, Schema) or not callable(setup):
        raise PluginError(name, f"{module.__name__} has no SCHEMA or no setup")
    return Plugin(name, schema, setup, before=getattr(module, "BEFORE", ""))

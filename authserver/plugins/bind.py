"""The `bind` directive: the addresses and interfaces that a server block listens on."""

import ipaddress
import re
from dataclasses import dataclass

from authserver.plugin import LISTEN, Argument, Build, Link, Listen, Schema

_INTERFACE = re.compile(r"[^\s/%\[\]]{1,15}")
_ONLY_OF_ADDRESSES = re.compile(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/.*)?")


@dataclass(frozen=True, slots=True)
class AddressOrInterface:
    """An IP address, with a scope if it is link-local, or the name of a network interface."""

    accepts: str = "an IP address or the name of an interface"

    def parse(self, text: str) -> str:
        """The address in its canonical form, or the name."""
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            if not _INTERFACE.fullmatch(text) or _ONLY_OF_ADDRESSES.fullmatch(text):
                raise ValueError(f"'{text}' is not {self.accepts}") from None
        return text


ADDRESSES = Argument("ADDRESS|INTERFACE", AddressOrInterface(), repeat=True)

SCHEMA = Schema(arguments=(ADDRESSES,), properties={"except": Schema(arguments=(ADDRESSES,))})


def setup(build: Build) -> Link | None:
    """Offers what to listen on; what an interface's addresses are is found out when sockets are bound."""
    for settings in build.settings:
        excluded = [word for line in settings.properties("except") for word in line.all(ADDRESSES)]
        build.offer(LISTEN, Listen(settings.all(ADDRESSES), tuple(excluded), settings.place))
    return None

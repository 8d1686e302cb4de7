"""A hardware token made of software, for tests: SoftHSM 2, with a directory of its own that can be taken away."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from keys.pkcs11 import Token
from keys.policy import TokenStore

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "4711"


@dataclass
class SoftHSM:
    """One initialized token; `environment` is what a process needs to see it."""

    directory: Path
    label: str = "zone keys"

    @property
    def tokens(self) -> Path:
        return self.directory / "tokens"

    @property
    def pin_file(self) -> Path:
        return self.directory / "pin"

    @property
    def environment(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.directory / "softhsm2.conf")}

    def set_up(self) -> "SoftHSM":
        self.tokens.mkdir(parents=True)
        text = f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
        (self.directory / "softhsm2.conf").write_text(text)
        self.pin_file.write_text(f"{PIN}\n")
        self.pin_file.chmod(0o600)
        words = ["--init-token", "--free", "--label", self.label, "--pin", PIN, "--so-pin", "0000"]
        subprocess.run(["softhsm2-util", *words], env=os.environ | self.environment, check=True, capture_output=True)
        return self

    def token(self, name: str = "hsm") -> Token:
        return Token(TokenStore(name, MODULE, self.label, self.pin_file), Lock())

    def unplug(self) -> None:
        self.tokens.rename(self.directory / "away")
        self.tokens.mkdir()

    def plug_in(self) -> None:
        self.tokens.rmdir()
        (self.directory / "away").rename(self.tokens)

"""What a server asks of the process it runs in."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_connections_leave_a_quarter_of_the_descriptors_to_the_state():
    code = """
import resource
from authserver.server import room_for_connections

resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))
print(room_for_connections(), resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "225 (300, 300)"
    assert "no more than 225 connections at a time: 300 descriptors may be open" in done.stderr

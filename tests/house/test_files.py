"""Names of files, first sentences, sizes, and words the house does not use."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("authserver", "signer", "zones", "keys", "engine")
BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "manager", "managers"}


def tracked(*suffixes: str) -> list[Path]:
    """Files of the repository by suffix; what git does not know is not the house's."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if ".venv" not in path.parts and "target" not in path.parts]
    return [path for path in paths if path.suffix in suffixes and path.exists()]


MODULES = [path for path in tracked(".py") if path.relative_to(ROOT).parts[0] in ROOMS]


def test_there_are_modules_to_look_at():
    assert len(MODULES) > 20


def test_no_file_is_named_after_nothing():
    named = [str(path) for path in tracked(".py", ".rs", ".pyi", ".md") if path.stem.lower() in BANNED]
    assert named == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_s_first_sentence_says_what_it_holds(path):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, "no docstring"
    first = docstring.split("\n\n")[0]
    assert len(first) > 20, first
    assert first.rstrip().endswith((".", ":")), first


def test_every_rust_file_says_what_it_holds():
    sources = [path for path in (ROOT / "engine/src").rglob("*.rs") if path.name != "tests.rs"]
    silent = [str(path) for path in sources if not path.read_text().startswith("//!")]
    assert silent == []


def test_pyo3_is_named_by_one_rust_file_alone():
    sources = (ROOT / "engine/src").rglob("*.rs")
    named = {
        path.name
        for path in sources
        if any("pyo3" in line.partition("//")[0] for line in path.read_text().splitlines())
    }
    assert named <= {"boundary.rs"}


SOCKET_FILES = {"udp.rs"} | {
    str(path.relative_to(ROOT / "engine/src")) for path in (ROOT / "engine/src/udp").glob("*.rs")
}


def test_unsafe_stands_in_the_socket_file_alone():
    sources = (ROOT / "engine/src").rglob("*.rs")
    blocks = {
        str(path.relative_to(ROOT / "engine/src"))
        for path in sources
        if any("unsafe {" in line.partition("//")[0] for line in path.read_text().splitlines())
    }
    assert blocks <= SOCKET_FILES


def test_functions_stay_short():
    """No function over 80 lines; the median is far below."""
    long = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > 80:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {lines} lines")
    assert long == []


def test_files_stay_whole_and_small():
    long = [f"{path.relative_to(ROOT)}: {count}" for path in MODULES if (count := path.read_text().count("\n")) > 700]
    assert long == []


def test_a_plugin_over_400_lines_hides_an_engine_room():
    plugins = (ROOT / "authserver/plugins").glob("*.py")
    assert [path.name for path in plugins if path.read_text().count("\n") > 400] == []


def test_every_plugin_has_its_manual_and_every_manual_its_plugin():
    folder = ROOT / "authserver/plugins"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    manuals = {path.stem for path in folder.glob("*.md")}
    assert modules == manuals


def test_tests_assert_something():
    """A test that asserts nothing is a defect; pytest.raises and helpers that judge count."""
    idle = []
    for path in tracked(".py"):
        if not path.name.startswith("test_"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
            if is_test and not any(asserts(part) for part in ast.walk(node)):
                idle.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert idle == []


def asserts(node: ast.AST) -> bool:
    """Whether a node is an assertion, or a call that is one by its name."""
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func).rpartition(".")[2]
    return called in {"raises", "fail"} or called.startswith(("judge", "wait_", "assert", "check", "expect"))

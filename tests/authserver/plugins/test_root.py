from pathlib import Path

from authserver.plugin import ROOT


def test_the_last_root_counts(load, tmp_path):
    (block,) = load(f". {{\nroot /\nroot {tmp_path}\n}}\n").blocks
    assert block.offered(ROOT)[-1] == Path(tmp_path)


def test_a_root_that_is_not_there_is_a_warning(load, tmp_path):
    configuration = load(f". {{\nroot {tmp_path}/none\n}}\n")
    assert [str(warning) for warning in configuration.warnings] == [f"Corefile:2: root: {tmp_path}/none does not exist"]


def test_a_root_that_is_a_file_is_an_error(errors, tmp_path):
    (tmp_path / "file").touch()
    assert errors(f". {{\nroot {tmp_path}/file\n}}\n") == [f"Corefile:2: root: {tmp_path}/file is not a directory"]


def test_root_takes_one_directory(errors):
    assert len(errors(". {\nroot\nroot a b\n}\n")) == 2

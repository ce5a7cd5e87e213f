"""What fails to be written leaves the old file whole and nothing besides."""

import errno
import os

import pytest
from tests.persistence.cases import fitted

from softmaxes import persistence
from softmaxes.errors import UserError
from softmaxes.files import check_writable, replacing


@pytest.mark.parametrize("step", ["fsync", "replace", "write"])
def test_an_old_model_survives_any_failure(tmp_path, monkeypatch, step):
    path = tmp_path / "m.softmaxes"
    path.write_bytes(b"the old model")

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step == "write":
        monkeypatch.setattr(os, "fdopen", full)
    else:
        monkeypatch.setattr(os, step, full)
    with pytest.raises(UserError, match="can't be written: No space left on device"):
        persistence.save(fitted()[0], path)
    monkeypatch.undo()
    assert path.read_bytes() == b"the old model"
    assert os.listdir(tmp_path) == ["m.softmaxes"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_an_interrupted_write_leaves_nothing(tmp_path, interruption):
    with pytest.raises(interruption), replacing(tmp_path / "m") as file:
        file.write(b"half of")
        raise interruption
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    with replacing(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "new") as file:
        file.write(b"x")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_devices_are_written_to():
    check_writable("/dev/null")
    with replacing("/dev/null") as file:
        file.write(b"x")


@pytest.mark.parametrize(
    ("path", "message"),
    [("no/such/folder/m", r"there is no folder .*folder"), (".", "is a folder"), ("file/m", "there is no folder")],
)
def test_what_cannot_be_written_is_found_before_the_work(tmp_path, monkeypatch, path, message):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        check_writable(path)
    with pytest.raises(UserError):
        persistence.save(fitted()[0], path)

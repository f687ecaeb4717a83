"""What is left of exports that were killed, and who removes it."""

import signal
import subprocess
import sys

import pytest

from keras_mtl.serving.exports import drafts
from keras_mtl.serving.exports.drafts import complete_or_nothing

SCRIPT = """
import runpy, sys, time
from pathlib import Path
with runpy.run_path(sys.argv[1])["complete_or_nothing"](Path(sys.argv[2])) as draft:
    (draft / "part").write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks are those of POSIX")


@pytest.fixture
def writer(tmp_path):
    """Returns a process that writes to the folder `1`, and has not finished."""
    command = [sys.executable, "-c", SCRIPT, drafts.__file__, str(tmp_path / "1")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def write(folder, content="whole"):
    with complete_or_nothing(folder) as draft:
        (draft / "part").write_text(content)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_draft_of_a_killed_process_is_removed_and_that_of_a_live_one_stays(writer, tmp_path):
    (draft,) = names(tmp_path)
    assert draft.startswith(".1.") and draft.endswith(".draft")
    write(tmp_path / "1")
    assert names(tmp_path) == [draft, "1"]
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    write(tmp_path / "2")  # another export
    assert names(tmp_path) == [draft, "1", "2"]
    (tmp_path / "1" / "part").unlink()
    write(tmp_path / "1")
    assert names(tmp_path) == ["1", "2"]
    assert (tmp_path / "1" / "part").read_text() == "whole"


def test_a_failure_removes_the_draft(tmp_path):
    with pytest.raises(OSError, match="full"), complete_or_nothing(tmp_path / "1"):
        raise OSError("disk full")
    assert names(tmp_path) == []


def test_files_that_look_similar_stay(tmp_path):
    similar = [f".1.{'0' * 31}.draft", f".1.{'0' * 32}", f".1.x.{'0' * 32}.draft"]
    for name in similar:
        (tmp_path / name).mkdir()
    write(tmp_path / "1")
    assert names(tmp_path) == sorted([*similar, "1"])

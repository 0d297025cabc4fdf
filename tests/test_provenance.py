"""What is said of a result's origin is what the machine and the repository say."""

import json
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from vae_tutorial.engine import provenance

ROOT = Path(__file__).parents[1]


def test_every_field_says_what_its_source_says():
    today = {datetime.now(UTC).strftime("%Y-%m-%d")}
    seen = provenance.provenance()
    today.add(datetime.now(UTC).strftime("%Y-%m-%d"))  # midnight may have passed
    assert seen["made"] in today
    assert seen["torch"] == re.match(r"[\d.]+", torch.__version__)[0]
    assert seen["python"] == platform.python_version()
    assert seen["threads"] == torch.get_num_threads()
    assert seen["hardware"].endswith(torch.backends.cpu.get_cpu_capability())
    assert json.loads(json.dumps(seen)) == seen


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_the_commit_is_gits():
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
    assert head.startswith(provenance.commit().removesuffix("+"))


@pytest.mark.skipif(not shutil.which("git"), reason="no git")
def test_a_changed_file_is_told_by_a_plus_sign(tmp_path, monkeypatch):
    copy = tmp_path / "provenance.py"
    copy.write_text("one\n")
    person = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], [*person, "commit", "-qm", "one"], ["tag", "v1"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=tmp_path, text=True)
    monkeypatch.setattr(provenance, "__file__", str(copy))
    assert provenance.commit() == head[:12]  # and not the tag
    copy.write_text("two\n")
    assert provenance.commit() == f"{head[:12]}+"


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="no /proc/cpuinfo")
def test_the_processor_is_named_as_the_system_names_it():
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text("utf-8"), re.M)
    if not names:
        pytest.skip("this system does not name its processor")
    assert provenance.processor() == f"{names[0]}, {torch.backends.cpu.get_cpu_capability()}"


def test_outside_a_checkout_the_version_stands_in(tmp_path, monkeypatch):
    copy = tmp_path / "provenance.py"
    shutil.copy(provenance.__file__, copy)
    monkeypatch.setattr(provenance, "__file__", str(copy))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() == "version 0.1.0"
    monkeypatch.setenv("PATH", "")  # no git at all
    assert provenance.commit() == "version 0.1.0"

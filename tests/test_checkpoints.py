"""Files that survive: what comes back is what went in, bit for bit, or an error of one line."""

import errno
import hashlib
import io
import json
import os
import pickle
import random
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch

from vae_tutorial.adam import Moments
from vae_tutorial.engine import checkpoints
from vae_tutorial.models import network
from vae_tutorial.noise import generator
from vae_tutorial.training import State, initial_state

NOTES = '{"epoch": 3, "Λ": "σ²"}'


def small(sizes=(3, 4, 2), seed=0):
    return network(list(sizes), generator(seed))


def trained(seed=1):
    """A state of the small network with other numbers, some of them odd ones, in every tensor."""
    random_numbers = generator(seed)
    start = initial_state(small())

    def like(tensors):
        drawn = {n: torch.randn(v.shape, generator=random_numbers) for n, v in tensors.items()}
        first = next(iter(drawn.values())).view(-1)
        first[:4] = torch.tensor([-0.0, 1e-42, 3.4e38, 1 / 3])  # 1e-42 is denormal
        return drawn

    parts = start.parameters, start.moments.first, start.moments.second
    parameters, first, second = (like(tensors) for tensors in parts)
    return State(parameters, Moments(first, second), 1234)


def bits(tensors):
    return {name: value.numpy().tobytes() for name, value in tensors.items()}


def sealed(content):
    """A file of any content, with the checksum that a checkpoint ends in."""
    kept = content
    if not isinstance(content, bytes):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        kept = buffer.getvalue()
    return kept + hashlib.sha256(kept).digest()


def refused(path, content, match, start=None):
    """Loading these bytes raises a ValueError of one line that names the path."""
    path.write_bytes(content)
    with pytest.raises(ValueError, match=match) as caught:
        checkpoints.load_checkpoint(path, start or initial_state(small()), generator(0))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.pt"


@pytest.fixture
def saved(path):
    """A good checkpoint at `path`, its bytes."""
    checkpoints.save_checkpoint(path, trained(), generator(9), NOTES)
    return path.read_bytes()


@pytest.fixture
def table(saved):
    """What a good checkpoint holds, to be spoilt."""
    return torch.load(io.BytesIO(saved[: -hashlib.sha256().digest_size]), weights_only=True)


# Checkpoints


def test_what_comes_back_is_what_went_in_bit_for_bit(path):
    state, source = trained(), generator(5)
    torch.rand(7, generator=source)
    checkpoints.save_checkpoint(path, state, source, NOTES)
    expected = torch.randn(20, generator=source)
    target = generator(6)
    seen, notes = checkpoints.load_checkpoint(path, initial_state(small()), target)
    assert notes == NOTES
    assert seen.steps == 1234
    assert bits(seen.parameters) == bits(state.parameters)
    assert bits(seen.moments.first) == bits(state.moments.first)
    assert bits(seen.moments.second) == bits(state.moments.second)
    assert list(seen.parameters) == list(state.parameters)
    assert torch.equal(torch.randn(20, generator=target), expected)


def test_the_file_ends_in_the_checksum_of_all_before(saved):
    assert saved[-32:] == hashlib.sha256(saved[:-32]).digest()


def test_a_truncated_file_is_refused_at_any_length(path, saved):
    lengths = {0, 1, 31, 32, 33, 64, len(saved) - 33, len(saved) - 32, len(saved) - 1}
    for length in sorted(lengths | set(range(0, len(saved), 211))):
        refused(path, saved[:length], "is no checkpoint, or a damaged one")


def test_any_flipped_bit_is_seen(path, saved):
    places = random.Random(0).sample(range(len(saved)), 150)
    for place in [*places, 0, len(saved) - 1]:
        spoilt = bytearray(saved)
        spoilt[place] ^= 1 << place % 8
        refused(path, bytes(spoilt), "is no checkpoint, or a damaged one")


def test_zeros_text_and_more_bytes_are_refused(path, saved):
    for content in (bytes(5000), b"to whom it may concern\n" * 9, saved + b"\0", saved + saved):
        refused(path, content, "is no checkpoint, or a damaged one")
    for content in (b"", bytes(5000), b"PK\x03\x04 but no more"):
        refused(path, sealed(content), "is no checkpoint, or a damaged one")


def test_another_programs_file_is_refused(path, table):
    buffer = io.BytesIO()
    torch.save(table, buffer)  # no checksum
    refused(path, buffer.getvalue(), "is no checkpoint, or a damaged one")
    for content in (small().state_dict(), [1, 2], torch.ones(3), "vae_tutorial checkpoint 1"):
        refused(path, sealed(content), "is not a checkpoint of this program")
    refused(path, sealed(table | {"format": "vae_tutorial checkpoint 1"}), "of this version")
    refused(path, sealed(small()), "is no checkpoint, or a damaged one")  # a pickled module


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def test_nothing_in_a_file_is_executed(path, table, tmp_path):
    marker = tmp_path / "marker"
    plain = pickle.dumps(Attack(marker), protocol=2)  # torch's own
    for content in (plain, table | {"notes": Attack(marker)}, Attack(marker)):
        refused(path, sealed(content), "is no checkpoint, or a damaged one")
        assert not marker.exists()
    pickle.loads(plain)
    assert marker.exists()  # the attack does work on whoever trusts it


@pytest.mark.parametrize("part", ["parameters", "first", "second"])
def test_tensors_of_another_model_are_named(path, table, part):
    tensors = table[part]
    renamed = {name.replace("0.weight", "0.mass"): value for name, value in tensors.items()}
    cases = [
        ({n: v for n, v in tensors.items() if n != "2.bias"}, r"2\.bias is None, not \(2, torch"),
        (tensors | {"4.bias": torch.ones(2)}, r"4\.bias is \(2, torch\.float32\), not None"),
        (renamed, r"0\.mass is \(4, 3, torch\.float32\), not None, 0\.weight is None"),
        (tensors | {"0.weight": torch.ones(3, 4)}, r"is \(3, 4, torch\.float32\), not \(4, 3, "),
        (tensors | {"2.bias": torch.ones(2).double()}, r"\(2, torch\.float64\), not \(2, torch\.f"),
        (tensors | {0: torch.ones(2)}, r"0 is \(2, torch\.float32\), not None"),
    ]
    for spoilt, match in cases:
        refused(path, sealed(table | {part: spoilt}), f"{part} in .* does not fit.*{match}")
    for spoilt in (None, [1.0], {"0.weight": 1.0}):
        refused(path, sealed(table | {part: spoilt}), f"{part} in .*: needed tensors by name, got")
    larger = initial_state(small((3, 5, 2)))
    refused(path, sealed(table), "does not fit this architecture", larger)


@pytest.mark.parametrize("part", ["parameters", "first", "second"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(path, table, part, value):
    table[part]["2.bias"][1] = value
    refused(path, sealed(table), rf"2\.bias in {part} in .* must be finite, but 1 of 2 entries")


@pytest.mark.parametrize("missing", ["format", "notes", "count", "generator", "first", "second"])
def test_a_checkpoint_with_a_part_missing_is_refused(path, table, missing):
    del table[missing]
    refused(path, sealed(table), r"is not a checkpoint|lacks|needed tensors by name")


def test_parts_of_another_type_are_refused(path, table):
    refused(path, sealed(table | {"count": 3.0}), "lacks the number of steps, or its notes")
    refused(path, sealed(table | {"notes": None}), "lacks the number of steps, or its notes")
    for count in (True, -1, "3", None):
        refused(path, sealed(table | {"count": count}), "lacks the number of steps")
    for state in (None, torch.zeros(3, dtype=torch.uint8), torch.zeros(5056), [1]):
        refused(path, sealed(table | {"generator": state}), "lacks the state of the random gen")


def test_a_missing_file_is_no_damaged_one(path):
    with pytest.raises(FileNotFoundError):
        checkpoints.load_checkpoint(path, initial_state(small()), generator(0))


# Writing


def full(*arguments, **named):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_content_keeps_its_second_name_when_the_first_is_written_anew(tmp_path):
    path, second = tmp_path / "a", tmp_path / "b"
    for content in (b"one", b"two"):
        checkpoints.write_whole(path, content)
        checkpoints.keep_as(path, second)
        checkpoints.keep_as(path, second)  # as after a kill between the two writes
        checkpoints.write_whole(path, b"more")
        assert second.read_bytes() == content
        assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_file_system_without_links_gets_a_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", full)
    checkpoints.write_whole(tmp_path / "a", b"one")
    checkpoints.keep_as(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"one"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_copy_that_fails_leaves_what_the_second_name_held(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"old")
    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.keep_as(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_in_a_files_place_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "checkpoint.pt")
    for path in (tmp_path / "checkpoint.pt", tmp_path, Path(os.devnull)):
        with pytest.raises(ValueError, match="is not a file"):
            checkpoints.load_checkpoint(path, initial_state(small()), generator(0))


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(tmp_path):
    kept = [
        "a.pt",
        ".a",
        ".c.pt.12",
        "b.json",
        "a.pt.12",
        ".a.pt.swp",
        ".a.pt.12~",
        ".a.pt.",
        ".axpt.1",
    ]
    for name in [*kept, ".a.pt.12", ".a.pt.99999", ".b.json.7"]:
        (tmp_path / name).write_bytes(b"")
    checkpoints.remove_leftovers(tmp_path, ["a.pt", "b.json"])
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


# Weights


def test_weights_come_back_bit_for_bit_with_their_notes(tmp_path):
    path, model = tmp_path / "weights.safetensors", small(seed=2)
    tensors = trained().parameters
    tensors["0.weight"] = tensors["0.weight"].T.contiguous().T  # not contiguous, as Adam may leave
    notes = {"epoch": 3, "images": {"height": 8}}
    checkpoints.save_weights(path, tensors, notes)
    with safetensors.safe_open(path, "pt") as file:
        kept = json.loads(file.metadata()["run"])
        assert {name: value for name, value in kept.items() if name != "digest"} == notes
        read = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert bits(read) == bits({n: v.contiguous() for n, v in tensors.items()})
    assert checkpoints.load_weights(path, model) == notes
    assert bits(model.state_dict()) == bits(read)
    assert os.listdir(tmp_path) == [path.name]


def test_weights_that_do_not_fit_are_refused_and_the_model_left_alone(tmp_path):
    path, model = tmp_path / "weights.safetensors", small()
    before, good = bits(model.state_dict()), trained().parameters
    with pytest.raises(FileNotFoundError):
        checkpoints.load_weights(path, model)
    whole = safetensors.torch.save(good)
    nan = good["2.bias"] * torch.tensor([1.0, float("nan")])
    cases = [
        (whole[:-1], "is no safetensors file, or a damaged one"),
        (whole[:50], "is no safetensors file, or a damaged one"),
        (b"", "is no safetensors file, or a damaged one"),
        (bytes(100), "is no safetensors file, or a damaged one"),
        (safetensors.torch.save({"2.bias": good["2.bias"]}), "does not fit this architecture: 0"),
        (safetensors.torch.save(good | {"more": torch.ones(1)}), r"more is \(1, torch\.float32\)"),
        (safetensors.torch.save(good | {"2.bias": nan}), r"2\.bias in .* must be finite, but 1"),
    ]
    for content, match in cases:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=match) as caught:
            checkpoints.load_weights(path, model)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert bits(model.state_dict()) == before


def changed_bit(path):
    """One bit of the last tensor, so that it stays finite."""
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(content)


def other_notes(path):
    with safetensors.safe_open(path, "pt") as file:
        kept = json.loads(file.metadata()["run"]) | {"epoch": 4}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    path.write_bytes(safetensors.torch.save(tensors, {"run": json.dumps(kept)}))


@pytest.mark.parametrize("change", [changed_bit, other_notes])
def test_weights_and_notes_are_bound_to_each_other(change, tmp_path):
    path, model = tmp_path / "weights.safetensors", small()
    before = bits(model.state_dict())
    checkpoints.save_weights(path, small(seed=3).state_dict(), {"epoch": 3})
    change(path)
    with pytest.raises(ValueError, match="is damaged: its weights or its notes have changed"):
        checkpoints.load_weights(path, model)
    assert bits(model.state_dict()) == before


def test_another_programs_weights_have_no_notes(tmp_path):
    path = tmp_path / "weights.safetensors"
    for metadata in (None, {"made": "by hand"}, {"run": '{"epoch": 3}'}, {"run": "[]"}):
        path.write_bytes(safetensors.torch.save(small(seed=3).state_dict(), metadata))
        assert checkpoints.load_weights(path, small()) == {}
    path.write_bytes(safetensors.torch.save(small(seed=3).state_dict(), {"run": "{"}))
    with pytest.raises(ValueError, match=r"the header of .* is no JSON"):
        checkpoints.load_weights(path, small())


def test_a_missing_folder_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoints.save_checkpoint(tmp_path / "nowhere" / "file", trained(), generator(0), "")

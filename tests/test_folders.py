"""A run's folder: fresh, taken up again, another run's, and one that takes no files."""

import json

import pytest
import torch

from vae_tutorial import experiment
from vae_tutorial.checkpoints import save_checkpoint
from vae_tutorial.folders import require_writable, resume, write_results
from vae_tutorial.settings import Settings, build
from vae_tutorial.training import initial_state

SETTINGS = Settings(hidden=(3,), epochs=5, seed=4)


def kept(folder, settings=SETTINGS):
    """A folder as it is after one epoch, and the state in it."""
    start = initial_state(build(settings, 64))
    state = start._replace(count=15)
    generator = experiment.generator(9)
    torch.rand(7, generator=generator)
    notes = json.dumps({"settings": settings._asdict(), "history": [{"epoch": 1}]})
    save_checkpoint(folder / "checkpoint.pt", state, generator, notes)
    return state, generator


def taken_up(folder, settings=SETTINGS):
    generator = experiment.generator(settings.seed)
    start = initial_state(build(settings, 64))
    return *resume(folder, settings, start, generator), generator


def test_an_empty_folder_is_a_fresh_start(tmp_path):
    state, history, generator = taken_up(tmp_path)
    assert state.count == 0
    assert history == []
    assert torch.equal(generator.get_state(), experiment.generator(4).get_state())


def test_a_run_is_taken_up_where_it_stood(tmp_path):
    expected, stood = kept(tmp_path)
    state, history, generator = taken_up(tmp_path)
    assert state.count == 15
    assert history == [{"epoch": 1}]
    assert torch.equal(generator.get_state(), stood.get_state())
    for name, value in expected.parameters.items():
        assert torch.equal(state.parameters[name], value)


@pytest.mark.parametrize("changed", [{"seed": 5}, {"batch_size": 64}, {"learning_rate": 0.1}])
def test_another_runs_settings_are_named(tmp_path, changed):
    kept(tmp_path)
    ((name, value),) = changed.items()
    words = f"{name} {getattr(SETTINGS, name)}, not {value}"
    with pytest.raises(ValueError, match=f"holds another run, with {words}: take another folder"):
        taken_up(tmp_path, SETTINGS._replace(**changed))


def test_only_a_run_of_constant_rate_may_be_prolonged(tmp_path):
    kept(tmp_path)
    assert taken_up(tmp_path, SETTINGS._replace(epochs=9))[1] == [{"epoch": 1}]
    with pytest.raises(ValueError, match="epochs 5, not 4"):
        taken_up(tmp_path, SETTINGS._replace(epochs=4))
    falling = SETTINGS._replace(final_learning_rate=1e-4)
    kept(tmp_path, falling)
    with pytest.raises(ValueError, match="epochs 5, not 9"):
        taken_up(tmp_path, falling._replace(epochs=9))


def test_a_folder_is_made_and_tried(tmp_path):
    require_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        require_writable(tmp_path / "file")


def test_metrics_have_one_line_an_epoch(tmp_path):
    history = [{"epoch": 1, "elbo": -2.5}, {"epoch": 2, "elbo": -1.5}]
    write_results(tmp_path, initial_state(build(SETTINGS, 64)), history, SETTINGS)
    lines = (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == history
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "weights.safetensors"}

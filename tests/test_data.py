"""The digits against scikit-learn's own arrays; binarizing and batching against their laws."""

import hypothesis.strategies as st
import pytest
import sklearn.datasets
import torch
from hypothesis import given
from safetensors import safe_open
from sklearn.model_selection import train_test_split

from vae_tutorial.data import FILE, GREY_STEP, binarize, load_digits, minibatches, with_noise
from vae_tutorial.noise import generator

SOURCE = sklearn.datasets.load_digits()


def rows(images):
    """Each image as the tuple of its grey levels 0 to 16, sorted, so that sets can be compared."""
    return sorted(map(tuple, (images * 16).to(torch.int64).tolist()))


def test_the_split_is_a_partition_of_scikit_learns_digits():
    digits = load_digits(torch.float64)
    assert digits.train.shape == (1500, 64)
    assert digits.test.shape == (297, 64)
    everything = torch.cat([digits.train, digits.test])
    assert rows(everything) == sorted(map(tuple, SOURCE.data.astype(int).tolist()))


def test_the_parts_are_those_of_scikit_learns_own_split():
    expected = train_test_split(
        SOURCE.data, SOURCE.target, test_size=297, stratify=SOURCE.target, random_state=0
    )
    digits = load_digits(torch.float64)
    found = (16 * digits.train, 16 * digits.test, digits.train_labels, digits.test_labels)
    for part, levels in zip(found, expected, strict=True):
        assert part.tolist() == levels.tolist()


def test_the_kept_file_names_source_and_licence():
    with safe_open(FILE, "pt") as file:
        said = file.metadata()
    assert "Alpaydin" in said["source"]
    assert "CC BY 4.0" in said["licence"]


def test_every_image_keeps_its_label():
    digits = load_digits(torch.float64)
    labels = {tuple(image): label for image, label in zip(SOURCE.data, SOURCE.target, strict=True)}
    for images, given_labels in (digits[:2], digits[2:]):
        expected = [labels[tuple(image)] for image in (images * 16).numpy()]
        assert given_labels.tolist() == expected


def test_the_split_is_stratified():
    digits = load_digits()
    for digit in range(10):
        share = (SOURCE.target == digit).mean()
        assert (digits.test_labels == digit).sum() == pytest.approx(297 * share, abs=1)
        assert (digits.train_labels == digit).sum() == pytest.approx(1500 * share, abs=1)


def test_the_split_is_shuffled_and_the_same_every_time():
    first, second = load_digits(), load_digits()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    leading = torch.tensor(SOURCE.data[:1500], dtype=torch.float32) * GREY_STEP
    assert not torch.equal(first.train, leading)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pixels_are_the_seventeen_grey_levels(dtype):
    train = load_digits(dtype).train
    assert train.dtype == dtype
    expected = torch.arange(17, dtype=dtype) / 16
    assert torch.equal(train.unique(), expected)


def test_load_digits_needs_a_floating_type():
    with pytest.raises(TypeError, match="must be floating point"):
        load_digits(torch.int64)


def test_binarized_pixels_average_to_the_grey_level():
    grey = torch.linspace(0, 1, 17).expand(20_000, 17)
    drawn = binarize(grey, generator(0))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    error = (grey[0] * (1 - grey[0]) / len(grey)).sqrt()  # of a Bernoulli average
    assert ((drawn.mean(0) - grey[0]).abs() <= 4 * error).all()


def test_binarize_leaves_black_and_white_and_its_input_alone():
    images = torch.tensor([[0.0, 1.0, 0.5]]).expand(1000, 3).clone()
    before = images.clone()
    drawn = binarize(images, generator(1))
    assert torch.equal(images, before)
    assert torch.equal(drawn[:, :2], before[:, :2])
    assert drawn.dtype == images.dtype
    assert torch.equal(drawn, binarize(images, generator(1)))


@pytest.mark.parametrize("bad", [1.5, -0.1, float("nan")])
def test_binarize_refuses_what_is_no_probability(bad):
    with pytest.raises(ValueError, match="images must"):
        binarize(torch.tensor([[0.5, bad]]), generator(0))


def test_binarize_refuses_integers():
    with pytest.raises(TypeError, match="must be floating point"):
        binarize(torch.ones(2, 2, dtype=torch.int64), generator(0))


@given(n=st.integers(1, 40), batch_size=st.integers(1, 40), seed=st.integers(0, 99))
def test_an_epoch_visits_each_image_at_most_once(n, batch_size, seed):
    images = torch.arange(float(n)).unsqueeze(-1)  # (n, 1): the image is its index
    if batch_size > n:
        with pytest.raises(ValueError, match=f"at most the number of images, {n}, got"):
            next(minibatches(images, batch_size, generator(seed)))
        return
    batches = list(minibatches(images, batch_size, generator(seed)))
    assert [len(batch) for batch in batches] == [batch_size] * (n // batch_size)
    visited = torch.cat(batches).flatten().tolist()
    assert len(set(visited)) == len(visited)
    if n % batch_size == 0:
        assert sorted(visited) == list(range(n))


def test_the_order_is_fresh_each_epoch_and_fixed_by_the_seed():
    images = torch.arange(50.0).unsqueeze(-1)
    source = generator(3)
    first, second = (next(minibatches(images, 50, source)) for _ in range(2))
    assert not torch.equal(first, images)
    assert not torch.equal(first, second)
    assert torch.equal(first, next(minibatches(images, 50, generator(3))))


def test_a_batch_holds_at_most_all_images():
    assert len(next(minibatches(torch.ones(3, 2), 3, generator(0)))) == 3
    with pytest.raises(ValueError, match="at most the number of images, 3, got 4"):
        next(minibatches(torch.ones(3, 2), 4, generator(0)))


@pytest.mark.parametrize("bad", [0, -1])
def test_a_batch_needs_an_image(bad):
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        next(minibatches(torch.ones(3, 2), bad, generator(0)))


@pytest.mark.parametrize("shape", [(0, 2), ()])
def test_minibatches_refuses_no_images(shape):
    with pytest.raises(ValueError, match=r"images needs at least one image, got shape \("):
        next(minibatches(torch.ones(shape), 1, generator(0)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_batch_comes_with_noise_of_its_own_and_of_its_type(dtype):
    batches = [torch.zeros(4, 5, dtype=dtype), torch.ones(3, 5, dtype=dtype)]
    seen = list(with_noise(batches, 2, 6, generator(8)))
    random = generator(8)
    for batch, (passed, noise) in zip(batches, seen, strict=True):
        assert passed is batch
        drawn = torch.randn(6, len(batch), 2, generator=random, dtype=torch.float64)
        assert noise.dtype == dtype
        assert torch.equal(noise, drawn.to(dtype))

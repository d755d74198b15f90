"""Inception-v3 with weights of our own, for the original ones are a download; and what is said when there are none."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

import gankit
from gankit_metrics import Inception, inception_weights


class Untrained(FeatureExtractorInceptionV3):  # type: ignore[misc]
    """The library's network as it is initialized."""

    def __init__(self) -> None:
        nothing = io.BytesIO()
        torch.save({}, nothing)
        nothing.seek(0)
        super().__init__("untrained", ["2048", "logits_unbiased"], feature_extractor_weights_path=nothing)

    def load_state_dict(self, *args: object, **kwargs: object) -> None: ...


@pytest.fixture(scope="module")
def untrained() -> Untrained:
    torch.manual_seed(0)
    network = Untrained()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return network


@pytest.fixture(scope="module")
def weights(untrained: Untrained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "other.pth"
    torch.save(untrained.state_dict(), path)
    return path


@pytest.fixture
def offline(tmp_path, monkeypatch) -> Path:
    """Where the download would go, and a network that has nobody at the other end."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(inception_weights, "URL", f"http://127.0.0.1:9/{inception_weights.FILE}")
    return tmp_path / "hub/checkpoints"


def pictures(count: int, channels: int = 3) -> Tensor:
    return torch.randint(0, 256, (count, channels, 32, 32), dtype=torch.uint8)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_features_and_logits_are_the_librarys(untrained, weights):
    images = pictures(3)
    state = torch.get_rng_state()
    extractor = Inception(weights=weights)
    assert torch.equal(torch.get_rng_state(), state)
    features, logits = untrained(images)
    found = extractor(images)
    assert (found.shape, found.dtype, found.requires_grad) == ((3, 2048), torch.float32, False)
    torch.testing.assert_close(found, features, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(extractor.logits(found), logits, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found[0], found[1], rtol=1e-2)
    torch.testing.assert_close(extractor(images[1:2]), found[1:2], atol=1e-5, rtol=1e-4)
    grey = images[:1, :1]
    assert torch.equal(extractor(grey), extractor(grey.repeat(1, 3, 1, 1)))
    with pytest.raises(ValueError, match="^images must have 3 channels, or 1 that is repeated, but have 4"):
        extractor(pictures(1, 4))


def test_only_the_original_weights_earn_the_established_names(weights, untrained, tmp_path, monkeypatch):
    other = Inception(weights=weights)
    assert other.established == {}
    changed = {key: value.clone() for key, value in untrained.state_dict().items()}
    changed["fc.bias"][0] += 1
    torch.save(changed, tmp_path / "changed.pth")
    monkeypatch.setattr(inception_weights, "SHA256", sha256(weights))
    original = Inception(weights=weights)
    assert original.established == {"fd": "FID", "kid": "KID", "is": "IS"}
    assert original.hash == other.hash
    altered = Inception(weights=tmp_path / "changed.pth")
    assert altered.established == {}
    assert altered.hash != original.hash
    assert re.fullmatch("[0-9a-f]{64}", altered.hash)


def test_the_files_name_begins_its_hash():
    assert f"weights-inception-2015-12-05-{inception_weights.SHA256[:8]}.pth" == inception_weights.FILE
    assert len(inception_weights.SHA256) == 64


def test_no_network_names_both_ways(offline):
    with pytest.raises(gankit.GankitError) as caught:
        Inception()
    for part in ("features 'inception': downloading", inception_weights.URL, "refused", "Try again", "`weights: PATH/"):
        assert part in str(caught.value)
    assert list(offline.iterdir()) == []


def test_the_download_is_kept(offline, weights, monkeypatch):
    monkeypatch.setattr(inception_weights, "SHA256", sha256(weights))
    monkeypatch.setattr(inception_weights, "URL", weights.as_uri())
    first = inception_weights.find_weights(None)
    assert first == offline / inception_weights.FILE
    assert first.read_bytes() == weights.read_bytes()
    monkeypatch.setattr(inception_weights, "URL", "http://127.0.0.1:9/gone")
    assert inception_weights.find_weights(None) == first
    first.write_bytes(b"damaged")
    with pytest.raises(gankit.GankitError, match="downloading http://127.0.0.1:9/gone failed"):
        inception_weights.find_weights(None)


def test_what_arrives_altered_is_not_kept(offline, weights, monkeypatch):
    monkeypatch.setattr(inception_weights, "URL", weights.as_uri())
    with pytest.raises(gankit.GankitError, match=r"incomplete or altered \(its SHA-256 differs\)"):
        Inception()
    assert list(offline.iterdir()) == []


def test_a_missing_file(tmp_path):
    with pytest.raises(
        gankit.DataError, match=r"`weights: .*none.pth` is not a file; give the path of weights-inception"
    ):
        Inception(weights=tmp_path / "none.pth")


class Trap:
    """Would run code if it were unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("trapped"),))  # type: ignore[return-value]


@pytest.mark.parametrize(
    "content", [b"", b"no weights", {"conv.weight": torch.zeros(3)}, {"Conv2d_1a_3x3.conv.weight": 1}, [1, 2], Trap()]
)
def test_a_file_of_something_else(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if isinstance(content, bytes):
        Path("other.pth").write_bytes(content)
    else:
        torch.save(content, "other.pth")
    with pytest.raises(
        gankit.DataError, match=r"other.pth does not contain this network's weights \(.*give the path of"
    ):
        Inception(weights=Path("other.pth"))
    assert not Path("trapped").exists()


def test_the_recipe_gives_the_file():
    schema = gankit.Runtime().registries.features.get("inception").schema
    assert schema.model_validate({"weights": "a/b.pth"}).at(0) == {"weights": Path("a/b.pth")}
    with pytest.raises(ValidationError, match="weights"):
        schema.model_validate({"weights": 3})

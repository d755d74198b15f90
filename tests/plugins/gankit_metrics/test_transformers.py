"""DINOv2 and CLIP with random weights, against the networks' definitions in plain torch and resizing by Pillow.

The networks have two layers, so that the tests are fast; their other sizes are those of ViT-S/14 and ViT-B/32.
"""

from __future__ import annotations

import functools
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save, save_file
from torch import Tensor
from torch.nn import functional as F

import gankit
from gankit_metrics import CLIP, DINOv2
from gankit_metrics.transformer_images import resize_bicubic, standardized

SMALL = "vit_small_patch14_dinov2.lvd142m"
BASE = "vit_base_patch32_clip_quickgelu_224.openai"
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
OPENAI = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])


LAYERS = 2


@pytest.fixture(autouse=True)
def _few_layers(monkeypatch):
    monkeypatch.setattr(timm, "create_model", functools.partial(timm.create_model, depth=LAYERS))


def random_tensors(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Large enough that every tensor shows in the output: products keep the scale, vectors are near 1 or 0."""
    draw = torch.Generator().manual_seed(0)
    tensors = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=draw)
        scale = 0.3 if len(shape) == 1 or "pos" in name or "class" in name or "cls" in name else np.prod(shape[1:]) ** -0.5
        tensors[name] = values * scale + (1.0 if re.search(r"(norm\d?|ln_\w+)\.weight$", name) else 0.0)
    return tensors


def blocks(width: int, names: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Shapes of transformer blocks, whose tensors are called ``names`` in this order."""
    shapes = [(width,), (width,), (3 * width, width), (3 * width,), (width, width), (width,), (width,), (width,)]
    shapes += [(4 * width, width), (4 * width,), (width, 4 * width), (width,), (width,), (width,)]
    return {name.format(i): shape for i in range(LAYERS) for name, shape in zip(names, shapes, strict=False)}


DINO_BLOCK = (
    *("blocks.{}.norm1.weight", "blocks.{}.norm1.bias", "blocks.{}.attn.qkv.weight", "blocks.{}.attn.qkv.bias"),
    *("blocks.{}.attn.proj.weight", "blocks.{}.attn.proj.bias", "blocks.{}.norm2.weight", "blocks.{}.norm2.bias"),
    *("blocks.{}.mlp.fc1.weight", "blocks.{}.mlp.fc1.bias", "blocks.{}.mlp.fc2.weight", "blocks.{}.mlp.fc2.bias"),
    *("blocks.{}.ls1.gamma", "blocks.{}.ls2.gamma"),
)
CLIP_BLOCK = tuple(
    f"visual.transformer.resblocks.{{}}.{name}"
    for name in (
        *("ln_1.weight", "ln_1.bias", "attn.in_proj_weight", "attn.in_proj_bias", "attn.out_proj.weight"),
        *("attn.out_proj.bias", "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight"),
        "mlp.c_proj.bias",
    )
)


def transformer(x: Tensor, tensors: dict[str, Tensor], names: tuple[str, ...], heads: int, eps: float, activation: Any) -> Tensor:
    """Pre-norm blocks on tokens [n t f]."""
    for i in range(LAYERS):
        n1, n1b, qkv, qkv_b, out, out_b, n2, n2b, fc1, fc1_b, fc2, fc2_b, *scales = (tensors[name.format(i)] for name in names)
        one, two = scales or (1.0, 1.0)
        q, k, v = F.linear(F.layer_norm(x, x.shape[-1:], n1, n1b, eps), qkv, qkv_b).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        x = x + one * F.linear((weights @ v).transpose(1, 2).flatten(2), out, out_b)
        hidden = activation(F.linear(F.layer_norm(x, x.shape[-1:], n2, n2b, eps), fc1, fc1_b))
        x = x + two * F.linear(hidden, fc2, fc2_b)
    return x


def prepared(images: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """Images uint8 [n 3 224 224], which need not be resized."""
    return torch.from_numpy((images.numpy() / 255 - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]).float()


def pictures(count: int, height: int = 224, width: int = 224, channels: int = 3) -> Tensor:
    coarse = torch.rand(count, channels, 6, 6, generator=torch.Generator().manual_seed(count)) * 255
    return F.interpolate(coarse, (height, width), mode="bilinear").to(torch.uint8)


@pytest.fixture(scope="module")
def dino_tensors() -> dict[str, Tensor]:
    """By the names of DINOv2's authors."""
    shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, 384), "pos_embed": (1, 1370, 384), "mask_token": (1, 384)}
    shapes |= {"patch_embed.proj.weight": (384, 3, 14, 14), "patch_embed.proj.bias": (384,)}
    shapes |= {**blocks(384, DINO_BLOCK), "norm.weight": (384,), "norm.bias": (384,)}
    return random_tensors(shapes)


@pytest.fixture(scope="module")
def dino_file(dino_tensors, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "dinov2.safetensors"
    save_file(dino_tensors, path)
    return path


def bicubic_positions(positions: Tensor, old: int, new: int) -> Tensor:
    """[old * old f] to [new * new f]: the weighted sum of 4 neighbours in each direction, repeated at the border."""
    weights = np.zeros((new, old))
    for i in range(new):
        where = (i + 0.5) * old / (new + 0.1) - 0.5
        for j in range(int(np.floor(where)) - 1, int(np.floor(where)) + 3):
            d, a = abs(where - j), -0.75
            value = (a + 2) * d**3 - (a + 3) * d**2 + 1 if d <= 1 else a * (d**3 - 5 * d**2 + 8 * d - 4)
            weights[i, min(max(j, 0), old - 1)] += value
    grid = positions.double().numpy().reshape(old, old, -1)
    return torch.from_numpy(np.einsum("ip,jq,pqf->ijf", weights, weights, grid, optimize=True).reshape(new * new, -1)).float()


def test_dinov2_is_the_class_token_of_its_definition(dino_file, dino_tensors):
    images, state = pictures(2), torch.get_rng_state()
    extractor = DINOv2(model=SMALL, weights=dino_file)
    assert torch.equal(torch.get_rng_state(), state)
    t = dino_tensors
    patches = F.conv2d(prepared(images, *IMAGENET), t["patch_embed.proj.weight"], t["patch_embed.proj.bias"], stride=14)
    tokens = torch.cat([t["cls_token"].expand(2, -1, -1), patches.flatten(2).transpose(1, 2)], 1)
    positions = torch.cat([t["pos_embed"][0, :1], bicubic_positions(t["pos_embed"][0, 1:], 37, 16)])
    out = transformer(tokens + positions, t, DINO_BLOCK, 6, 1e-6, F.gelu)
    expected = F.layer_norm(out[:, 0], (384,), t["norm.weight"], t["norm.bias"], 1e-6)
    found = extractor(images)
    assert (found.shape, found.dtype, found.requires_grad) == ((2, 384), torch.float32, False)
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=2e-4)
    assert (found[0] - found[1]).abs().mean() > 0.01
    grey = images[:1, :1]
    assert torch.equal(extractor(grey), extractor(grey.repeat(1, 3, 1, 1)))
    with pytest.raises(ValueError, match="^images must have 3 channels, or 1 that is repeated, but have 4"):
        extractor(pictures(1, channels=4))


def test_clip_is_the_projected_and_normalized_class_token(tmp_path):
    """In a file of OpenAI's names, with QuickGELU. Of an oblong image, it sees the middle."""
    shapes: dict[str, tuple[int, ...]] = {"visual.class_embedding": (768,), "visual.positional_embedding": (50, 768)}
    shapes |= {"visual.conv1.weight": (768, 3, 32, 32), "visual.proj": (768, 512), **blocks(768, CLIP_BLOCK)}
    shapes |= {f"visual.ln_{name}": (768,) for name in ("pre.weight", "pre.bias", "post.weight", "post.bias")}
    t = random_tensors(shapes)
    torch.save({name: value.half() for name, value in t.items()}, tmp_path / "clip.pt")
    t = {name: value.half().float() for name, value in t.items()}
    extractor = CLIP(model=BASE, weights=tmp_path / "clip.pt")
    images = pictures(2)
    patches = F.conv2d(prepared(images, *OPENAI), t["visual.conv1.weight"], stride=32).flatten(2).transpose(1, 2)
    tokens = torch.cat([t["visual.class_embedding"].expand(2, 1, -1), patches], 1) + t["visual.positional_embedding"]
    tokens = F.layer_norm(tokens, (768,), t["visual.ln_pre.weight"], t["visual.ln_pre.bias"])
    out = transformer(tokens, t, CLIP_BLOCK, 12, 1e-5, lambda x: x * torch.sigmoid(1.702 * x))
    embedding = F.layer_norm(out[:, 0], (768,), t["visual.ln_post.weight"], t["visual.ln_post.bias"]) @ t["visual.proj"]
    found = extractor(images)
    torch.testing.assert_close(found, embedding / embedding.norm(dim=1, keepdim=True), atol=1e-5, rtol=1e-3)
    assert (found[0] - found[1]).norm() > 0.01
    wide = F.pad(images, (30, 31))
    torch.testing.assert_close(extractor(wide), found, atol=1e-6, rtol=1e-5)
    assert extractor.resizer.endswith("to 224 x 224")


@given(height=st.integers(8, 400), width=st.integers(8, 400), size=st.sampled_from([224, 336]), seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_images_are_resized_as_by_pillow(height, width, size, seed):
    images = torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    pillow = Image.fromarray(images[0].permute(1, 2, 0).numpy()).resize((size, size), Image.Resampling.BICUBIC)
    difference = (resize_bicubic(images, size, size)[0].permute(1, 2, 0) - torch.from_numpy(np.array(pillow).astype(np.float32))).abs()
    assert difference.max() <= 2
    assert (difference > 0).float().mean() < 0.01


def test_images_are_prepared_as_by_timm():
    images = torch.cat([pictures(1, 32, 32), torch.full((1, 3, 32, 32), 200, dtype=torch.uint8)])
    with torch.device("meta"):
        network = timm.create_model(BASE)
    config = timm.data.resolve_data_config({"crop_pct": 1.0}, pretrained_cfg=network.pretrained_cfg)
    transform = timm.data.create_transform(**config)
    expected = torch.stack([transform(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in images])
    assert (standardized(images, network) - expected).abs().mean() < 1e-4


def test_the_hash_is_of_the_weights_whatever_the_file(dino_file, dino_tensors, tmp_path):
    first = DINOv2(model=SMALL, weights=dino_file).hash
    torch.save(dino_tensors, tmp_path / "same.pth")
    assert DINOv2(model=SMALL, weights=tmp_path / "same.pth").hash == first
    save_file(dino_tensors | {"norm.bias": dino_tensors["norm.bias"] + 1}, tmp_path / "other.safetensors")
    assert DINOv2(model=SMALL, weights=tmp_path / "other.safetensors").hash != first


def test_the_callers_precision_does_not_matter(dino_file):
    images, before = pictures(2), torch.get_default_dtype()
    expected = DINOv2(model=SMALL, weights=dino_file)(images)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(DINOv2(model=SMALL, weights=dino_file)(images), expected)
    finally:
        torch.set_default_dtype(before)


def test_weights_are_downloaded_once(hub, dino_tensors, dino_file, monkeypatch):
    repository = hub.add(f"timm/{SMALL}")
    repository.commit("main", {"model.safetensors": save(dino_tensors)})
    assert DINOv2(model=SMALL).hash == DINOv2(model=SMALL, weights=dino_file).hash
    hub.requests.clear()
    DINOv2(model=SMALL)
    assert not any(request.startswith("GET") for request in hub.requests)


def test_a_failed_download_names_the_other_way(hub):
    with pytest.raises(gankit.GankitError) as caught:
        CLIP()
    message = str(caught.value)
    assert message.startswith("features 'clip': the weights cannot be downloaded: hub:timm/vit_large_patch14_clip_336.openai: no such repository")
    assert message.endswith("; or download model.safetensors of this repository in another way, and set `weights: PATH/model.safetensors`")
    hub.add("timm/vit_large_patch14_dinov2.lvd142m").commit("main", {"README.md": b""})
    with pytest.raises(gankit.GankitError, match=r"^features 'dinov2': the repository timm/vit_large_patch14_dinov2.lvd142m .* lacks model.safetensors; or download"):
        DINOv2()


@pytest.mark.parametrize("name", ["text.pth", "text.safetensors", "pickle.pth", "other.pth", "list.pth"])
def test_a_file_of_something_else(name, tmp_path):
    path = tmp_path / name
    match name.split(".")[0]:
        case "text":
            path.write_bytes(b"no weights")
        case "pickle":
            path.write_bytes(pickle.dumps(Path("x"), protocol=2))
        case "other":
            torch.save({"norm.weight": torch.zeros(3)}, path)
        case "list":
            torch.save([1, 2], path)
    with pytest.raises(gankit.DataError, match=rf"^features 'dinov2': .*{name} does not contain the weights of {SMALL} \(.*; give the path of model.safetensors of the repository timm/{SMALL} "):
        DINOv2(model=SMALL, weights=path)


def test_a_missing_file(tmp_path):
    with pytest.raises(gankit.DataError, match=r"^features 'dinov2': `weights: .*none.pth` is not a file; give the path of model.safetensors of .* or omit `weights`"):
        DINOv2(weights=tmp_path / "none.pth")

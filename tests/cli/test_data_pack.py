"""``gankit data pack``: pixels and labels against those of the source, read by Pillow and by image_folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import gankit
from gankit.data.datasets import spec_of_run
from gankit.data.image_cache import StreamedSource
from gankit_datasets import ImageFolder, image_folder


def smooth(seed: int, size: tuple[int, int] = (40, 30), channels: int = 3) -> Image.Image:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (4, 4, channels), dtype=np.uint8).squeeze()
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path):
    """Images of several kinds in two classes."""
    for name in ("cat", "dog/puppies"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    smooth(0).save("photos/cat/a.png")
    smooth(1, (64, 20)).save("photos/cat/b.jpg", exif=Image.Exif())
    smooth(2, channels=1).save("photos/cat/c.png")
    smooth(3, channels=4).save("photos/dog/a.png")
    rotated = Image.Exif()
    rotated[0x0112] = 6
    smooth(4).save("photos/dog/puppies/a.jpg", exif=rotated)
    return Path("photos")


def prepared(path, **params) -> ImageFolder:
    dataset = ImageFolder(path=Path(path), **params)
    dataset.prepare()
    return dataset


def seen(dataset, size=None, fit="crop"):
    """The images as training receives them, and their labels."""
    if size is None:
        return [dataset[i] for i in range(len(dataset))]
    source = StreamedSource(dataset, spec_of_run(dataset, size, False, 0), fit)
    return [(source.item(i)["image"], int(dataset.labels[i])) for i in range(len(dataset))]


def manifest(path="p.zip"):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("dataset.json"))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [None, "24", "16x24"])
@pytest.mark.parametrize("form", ["png", "webp"])
def test_training_sees_the_same_on_the_zip(cli, photos, size, fit, form):
    words = [] if size is None else ["--size", size]
    assert cli("data", "pack", photos, "p.zip", "--fit", fit, "--format", form, *words).code == 0
    expected = {None: None, "24": (24, 24), "16x24": (24, 16)}[size]
    packed = prepared("p.zip")
    assert packed.classes == ("cat", "dog")
    pairs = list(zip(seen(packed), seen(prepared(photos), expected, fit), strict=True))
    assert len(pairs) == 5
    for (image, label), (real, real_label) in pairs:
        assert label == real_label
        assert torch.equal(image, real)


def test_pillow_reads_the_same_pixels(cli, photos):
    assert cli("data", "pack", photos, "p.zip").code == 0
    with zipfile.ZipFile("p.zip") as archive:
        pixels = np.asarray(Image.open(io.BytesIO(archive.read("cat/000000.png"))))
        assert np.array_equal(pixels, np.asarray(Image.open("photos/cat/a.png")))


def test_transparent_pixels_keep_their_colors(cli, photos):
    assert cli("data", "pack", photos, "p.zip", "--channels", 4, "--format", "webp").code == 0
    for (image, _), (real, _) in zip(seen(prepared("p.zip", channels=4)), seen(prepared(photos, channels=4)), strict=True):
        assert torch.equal(image, real)


def test_lossy_formats_are_close_and_smaller(cli, photos):
    for name, words in (("png", []), ("jpeg", ["--format", "jpeg"]), ("low", ["--format", "webp", "--quality", 5])):
        assert cli("data", "pack", photos, f"{name}.zip", "--size", 256, *words).code == 0
    sizes = [Path(f"{name}.zip").stat().st_size for name in ("png", "jpeg", "low")]
    assert sizes == sorted(sizes, reverse=True)
    for (image, _), (real, _) in zip(seen(prepared("jpeg.zip")), seen(prepared("png.zip")), strict=True):
        assert (image.float() - real.float()).abs().mean() < 4


def test_the_manifest_names_source_class_and_hash_of_each_file(cli, photos):
    assert cli("data", "pack", photos, "p.zip", "--size", 16).code == 0
    found = manifest()
    sources = {(image["source"], image["class"]) for image in found["images"]}
    names = {str(file.relative_to(photos)) for file in photos.rglob("*.*")}
    assert sources == {(name, name.partition("/")[0]) for name in names}
    assert found["gankit"] == gankit.__version__
    assert found["options"] == {
        "channels": 3, "size": [16, 16], "fit": "crop", "format": "png", "quality": None, "deduplicate": None
    }  # fmt: skip
    with zipfile.ZipFile("p.zip") as archive:
        assert {*archive.namelist()} == {image["file"] for image in found["images"]} | {"dataset.json"}
        for image in found["images"]:
            assert hashlib.sha256(archive.read(image["file"])).hexdigest() == image["sha256"]


def test_the_same_command_writes_the_same_bytes(cli, photos):
    for name in ("one", "two"):
        assert cli("data", "pack", photos, f"{name}.zip", "--size", 16, "--deduplicate", "--distance", 2).code == 0
        for file in photos.rglob("*.*"):
            os.utime(file, (0, 10**9))
    assert Path("one.zip").read_bytes() == Path("two.zip").read_bytes()


def test_labels_of_a_file_make_the_folders_and_keep_their_numbers(cli, tmp_path):
    Path("flat").mkdir()
    lines = []
    for number in range(12):
        smooth(number).save(f"flat/{number}.png")
        lines.append(f"{number}.png,{11 - number}\n")
    Path("labels.csv").write_text("".join(lines))
    assert cli("data", "pack", "flat", "p.zip", "--labels", "labels.csv").code == 0
    packed, source = prepared("p.zip"), prepared("flat", labels=Path("labels.csv"))
    assert packed.classes == source.classes == tuple(map(str, range(12)))
    by_label = {int(label): image for image, label in seen(source)}
    for image, label in seen(packed):
        assert torch.equal(image, by_label[label])
    with zipfile.ZipFile("p.zip") as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {*packed.classes, "dataset.json"}


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
part = names.filter(lambda name: not name.startswith(".") and name.lower() not in ("train", "thumbs.db"))


@given(
    st.dictionaries(st.tuples(part, part, st.sampled_from([".png", ".PNG", ""])), st.integers(0, 255), min_size=2, max_size=6)
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_images_of_any_name_are_packed(tmp_path_factory, cli, files):
    root = tmp_path_factory.mktemp("names")
    for (folder, name, suffix), value in files.items():
        (root / "src" / folder).mkdir(parents=True, exist_ok=True)
        Image.new("L", (3, 2), value).save(root / "src" / folder / f"{name}{suffix}", format="PNG")
    said = cli("data", "pack", root / "src", root / "p.zip")
    assert (said.code, said.err) == (0, "")
    packed, source = prepared(root / "p.zip"), prepared(root / "src")
    assert packed.classes == source.classes
    assert [(int(i[0, 0, 0]), n) for i, n in seen(packed)] == [(int(i[0, 0, 0]), n) for i, n in seen(source)]
    assert [image["source"] for image in manifest(root / "p.zip")["images"]] == [*source.names]


class TestDuplicates:
    def test_images_that_look_alike_are_dropped_and_recorded(self, cli, photos):
        smooth(0).resize((80, 60)).save("photos/dog/z.jpg")
        said = cli("data", "pack", photos, "p.zip", "--deduplicate")
        assert "dropped: 1 duplicate" in said.out
        assert "dog/z.jpg is like cat/a.png" in said.out
        (dropped,) = manifest()["dropped"]
        assert (dropped["source"], dropped["class"], dropped["duplicate_of"]) == ("dog/z.jpg", "dog", "cat/a.png")
        assert 0 <= dropped["distance"] <= 4
        assert manifest()["options"]["deduplicate"] == 4
        assert len(prepared("p.zip")) == 5

    def test_another_distance(self, cli, photos):
        """The largest one makes all images duplicates."""
        said = cli("data", "pack", photos, "p.zip", "--deduplicate", "--distance", 64)
        assert "dropped: 4 duplicates" in said.out
        assert manifest()["options"]["deduplicate"] == 64

    def test_a_distance_alone_is_refused(self, cli, photos):
        said = cli("data", "pack", photos, "p.zip", "--distance", 2)
        assert (said.code, said.err) == (2, "error: --distance: it is for --deduplicate; add --deduplicate, or remove it\n")
        assert not Path("p.zip").exists()

    def test_without_the_option_all_are_kept(self, cli, photos):
        smooth(0).save("photos/dog/z.png")
        assert cli("data", "pack", photos, "p.zip").code == 0
        assert len(prepared("p.zip")) == 6
        assert manifest()["dropped"] == []


class TestDamagedFiles:
    @pytest.fixture(params=["header", "pixels"])
    def damaged(self, photos, request):
        whole = (photos / "cat/a.png").read_bytes()
        (photos / "cat/bad.png").write_bytes(whole[:8] if request.param == "header" else whole[:-200])
        return photos

    def test_they_are_refused(self, refused, damaged):
        assert "'cat/bad.png' is" in refused("data", "pack", damaged, "p.zip")
        assert not [*Path().glob("*p.zip*")]

    def test_they_are_skipped_on_request(self, cli, damaged):
        said = cli("data", "pack", damaged, "p.zip", "--on-error", "skip")
        assert said.code == 0
        assert "skipped: 1 damaged file" in said.out
        assert [*manifest()["skipped"]] == ["cat/bad.png"]
        assert len(prepared("p.zip")) == 5


def test_an_interrupt_leaves_no_file_and_the_old_one(cli, photos, monkeypatch):
    assert cli("data", "pack", photos, "p.zip").code == 0
    old, read, count = Path("p.zip").read_bytes(), image_folder.read_image, []

    def interrupted(*given):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return read(*given)

    monkeypatch.setattr(image_folder, "read_image", interrupted)
    said = cli("data", "pack", photos, "p.zip", "--force")
    assert said.code == 130
    assert "interrupted; p.zip was not written" in said.err
    assert [file.name for file in Path().glob("*p.zip*")] == ["p.zip"]
    assert Path("p.zip").read_bytes() == old


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["p"], "p: should be the name of a zip, such as p.zip"),
        (["photos/p.zip"], "photos/p.zip: is inside the source photos; choose a place outside of it"),
        (["old.zip"], "old.zip: exists; choose another name, or replace it with --force"),
        (["p.zip", "--size", "0"], "--size: '0' is not a size; give a number of pixels, or WIDTHxHEIGHT"),
        (["p.zip", "--size", "3x4x5"], "--size: '3x4x5' is not a size"),
        (["p.zip", "--quality", "9"], "--quality: PNG is lossless; remove it, or add --format webp or jpeg"),
        (["p.zip", "--format", "jpeg", "--channels", "4"], "'cat/a.png' cannot be written as JPEG"),
        (["p.zip", "--labels", "no.csv"], "no.csv: the labels cannot be read"),
        (["nowhere/../old.zip/p.zip"], "cannot be written"),
    ],
)
def test_misuse_is_one_sentence(refused, photos, words, message):
    Path("old.zip").write_bytes(b"")
    said = refused("data", "pack", photos, *words)
    assert message in said
    assert said.count("\n") == 1


def test_a_source_that_is_the_destination_is_refused_even_by_force(cli, refused, photos):
    assert cli("data", "pack", photos, "p.zip").code == 0
    assert "is the source itself" in refused("data", "pack", "p.zip", "p.zip", "--force")
    assert cli("data", "pack", photos, "p.zip", "--force", "--size", 8).code == 0
    assert prepared("p.zip")[0][0].shape == (3, 8, 8)

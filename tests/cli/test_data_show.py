"""``gankit data show``: what it says of a folder, a zip and a recipe."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def noise(seed: int, width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(40, 256, (height, width, 3), dtype=np.uint8))


def rows_of(out: str) -> dict[str, str]:
    """The lines of a table: a name, two spaces or more, and a value."""
    return dict(re.findall(r"^ (\S+(?: \S+)?) {2,}(\S.*?) *$", out, re.MULTILINE))


@pytest.fixture
def photos(tmp_path):
    for name in ("ant", "bee"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    for number in range(9):
        noise(number, 40 + number, 30).save(f"photos/ant/{number}.png")
    noise(20, 48, 64).save("photos/bee/a.jpg")
    noise(21, 100, 20).save("photos/bee/long.png")
    noise(22, 7, 7).save("photos/bee/tiny.png")
    noise(23, 40, 40).convert("L").save("photos/bee/gray.png")
    Image.new("RGB", (40, 30), (9, 9, 9)).save("photos/bee/black.png")
    shutil.copy("photos/ant/3.png", "photos/bee/again.png")
    Path("photos/bee/bad.png").write_bytes(Path("photos/ant/0.png").read_bytes()[:-300])
    Path("photos/bee/notes.txt").write_text("seen in May")
    return Path("photos")


@pytest.fixture(params=["folder", "zip"])
def source(photos, request):
    if request.param == "folder":
        return photos
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for file in sorted(photos.rglob("*.*")):
            archive.write(file, file.relative_to(photos))
    return Path("photos.zip")


def test_all_that_is_unusual_is_named(cli, source):
    said = cli("data", "show", source)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{source}: 15 images, classes: ant 9, bee 6; damaged: 1; ignored: 1 .txt\n")
    rows = rows_of(said.out)
    assert (rows["ant"], rows["bee"]) == ("9", "6")
    assert rows["width"] == "min 7, median 43, max 100"
    assert rows["height"] == "min 7, median 30, max 64"
    assert rows["aspect ratio"] == "min 0.75, median 1.433, max 5"
    assert rows["color modes"] == "RGB 14, L 1"
    assert rows["formats"] == "PNG 14, JPEG 1"
    assert rows["damaged"].startswith("1: bee/bad.png (is damaged: ")
    assert rows["ignored"] == "1: bee/notes.txt (.txt)"
    assert rows["extreme sizes"] == "2: bee/long.png (100 x 20), bee/tiny.png (7 x 7)"
    assert rows["nearly black"] == "1: bee/black.png"
    assert rows["duplicates"] == "1: ant/3.png, bee/again.png"


def test_files_that_differ_only_in_the_middle_are_no_duplicates(cli):
    """The digest of a scan covers the first and last 16 KiB of a file."""
    Path("photos").mkdir()
    comment = b"\xff\xfe" + (20_002).to_bytes(2) + bytes(20_000)
    for number in range(2):
        buffer = io.BytesIO()
        noise(number, 40, 30).save(buffer, "JPEG")
        content = buffer.getvalue()[:2] + comment + buffer.getvalue()[2:]
        Path(f"photos/{number}.jpg").write_bytes(content + bytes(60_000 - len(content)))
    shutil.copy("photos/1.jpg", "photos/2.jpg")
    assert rows_of(cli("data", "show", "photos").out)["duplicates"] == "1: 1.jpg, 2.jpg"


def test_the_grid_has_a_row_for_each_class(cli, photos):
    said = cli("data", "show", photos, "--out", "grid.png")
    assert said.out.endswith("examples: grid.png\n")
    grid = np.asarray(Image.open("grid.png"))
    assert grid.shape == (2 * 130 + 2, 8 * 130 + 2, 3)
    filled = [[grid[2 + 130 * row : 130 * (row + 1), 2 + 130 * i : 130 * (i + 1)].any() for i in range(8)] for row in (0, 1)]
    assert filled == [[True] * 8, [True] * 6 + [False] * 2]


def test_the_data_of_a_recipe(cli, recipe_text):
    said = cli("data", "show", recipe_text, "dataset.count=30", "--out", "grid.png")
    assert said.code == 0
    rows = rows_of(said.out)
    assert sum(int(rows[name]) for name in ("circle", "square", "triangle")) == 30
    assert (rows["width"], rows["aspect ratio"], rows["color modes"]) == ("32", "1", "RGB 30")
    assert "formats" not in rows
    assert Image.open("grid.png").size == (8 * 66 + 2, 3 * 66 + 2)  # 32 pixels, enlarged twice


def test_damaged_files_of_a_recipe_are_listed(cli, photos, recipe_text):
    said = cli("data", "show", recipe_text, "dataset={name: image_folder, path: photos}")
    assert said.code == 0
    assert rows_of(said.out)["damaged"].startswith("1: bee/bad.png")


@pytest.fixture
def recipe_text():
    root = Path(__file__).parents[2]
    return root / "recipes/quickstart.yaml"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["empty"], "empty has no images"),
        (["photos", "a=b"], "'a=b' overrides a key of a recipe, but photos is not a recipe"),
        (["photos", "--out", "grid.xyz"], "grid.xyz: has the suffix .xyz; an image is written as .png"),
        (["nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_misuse_is_one_sentence(refused, photos, words, message):
    Path("empty").mkdir()
    said = refused("data", "show", *words)
    assert message in said
    assert said.count("\n") == 1

"""Recipe files as data with places: reading, inheritance, overrides, and what hostile files get."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gankit.recipe.model import yaml_with_lines as yaml_text
from gankit.recipe.inheritance import parse, read_document
from gankit.recipe.overrides import read_options
from gankit.errors import RecipeError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str | bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def fault(path: str | Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        read_document(path, overrides)
    assert all(problem.place for problem in caught.value.problems)
    return str(caught.value)


class TestReading:
    def test_places_of_keys_and_values(self):
        document = parse("a: 1\nb:\n  c: [x, {d: 2}]\n", "f.yaml")
        assert document.data == {"a": 1, "b": {"c": ["x", {"d": 2}]}}
        assert document.keys == {
            ("a",): "f.yaml:1:1",
            ("b",): "f.yaml:2:1",
            ("b", "c"): "f.yaml:3:3",
            ("b", "c", 1, "d"): "f.yaml:3:11",
        }
        assert document.values[()] == "f.yaml:1:1"
        assert document.values["b", "c", 0] == "f.yaml:3:7"
        assert document.values["b", "c", 1, "d"] == "f.yaml:3:14"

    def test_what_has_no_place_stands_at_what_is_around_it(self):
        document = parse("a: {b: 1}\n", "f.yaml")
        assert document.place(("a", "nothing", 3)) == "f.yaml:1:4"
        assert document.place(("nothing",)) == "f.yaml:1:1"
        assert document.place(("a", "b"), of_key=True) == "f.yaml:1:5"

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("2e-4", 2e-4),
            ("2.0e-4", 2e-4),
            ("1E6", 1e6),
            ("-1e+3", -1e3),
            (".5", 0.5),
            ("1_000_000", 1_000_000),
            ("0x1F", 31),
            ("-7", -7),
            ("true", True),
            ("False", False),
            ("null", None),
            ("~", None),
            ("", None),
            # no surprises of YAML 1.1
            ("no", "no"),
            ("on", "on"),
            ("1:30", "1:30"),
            ("2024-01-01", "2024-01-01"),
            ("010", "010"),
            ("=", "="),
            ("1.2.3", "1.2.3"),
            ("e5", "e5"),
            ('"2e-4"', "2e-4"),
            ("!!str 5", "5"),
        ],
    )
    def test_scalars(self, text, value):
        read = parse(f"a: {text}\n", "f").data["a"]
        assert read == value
        assert type(read) is type(value)

    @given(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"])),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats(allow_nan=False)
                | st.text(st.characters(exclude_categories=["Cs"]))
                | st.sampled_from(
                    ["2e-4", "no", "1:30", "<<", "=", "~", "0x10", "1_0", ".inf", "2024-01-01", "é", "# x"]
                ),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab<=", max_size=3), inner),
                max_leaves=8,
            ),
            min_size=1,
        )
    )
    def test_what_is_written_is_read_again(self, data):
        reading = yaml_text.read(yaml_text.write(data), "f")
        assert not reading.problems
        assert reading.data == data

    def test_a_byte_order_mark_shifts_nothing(self):
        document = read_document(write("f.yaml", b"\xef\xbb\xbfa: 1\n"))
        assert document.data == {"a": 1}
        assert document.keys["a",] == "f.yaml:1:1"


class TestFaults:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "f.yaml: is empty; a recipe is a mapping of keys to values"),
            ("# only words\n", "f.yaml: is empty; a recipe is a mapping of keys to values"),
            ("- a\n- b\n", "f.yaml:1:1: is a list; a recipe is a mapping of keys to values"),
            ("\nword\n", "f.yaml:2:1: is a single value; a recipe is a mapping of keys to values"),
            ("a: [1, 2\nb: 3\n", "f.yaml:2:2: invalid YAML: expected ',' or ']', but got ':'"),
            ("a: 1\n\tb: 2\n", "f.yaml:2:1: invalid YAML: found character '\\t' that cannot start any token"),
            ("a: 1\n---\nb: 2\n", "f.yaml:2:1: invalid YAML: but found another document"),
            ("a: *b\n", "f.yaml:1:4: invalid YAML: found undefined alias 'b'"),
            ("a: 1\nb: \x00\n", "f.yaml:2:4: invalid YAML: the character U+0000 is not allowed"),
            ("a: 1\nb: !!python/object/apply:os.system [ls]\n", "f.yaml:2:4: b: the tag"),
            ("a: !mine 3\n", "f.yaml:1:4: a: the tag '!mine' is not allowed; use plain data"),
            ("a: !!timestamp 2024-01-01\n", "f.yaml:1:4: a: the tag"),
            ("a: !!binary aGk=\n", "f.yaml:1:4: a: the tag"),
            ("a: !!set {b, c}\n", "f.yaml:1:4: a: the tag"),
            ("a: !!bool maybe\n", "f.yaml:1:4: a: 'maybe' is not a valid bool"),
            ('a: !!int ""\n', "f.yaml:1:4: a: '' is not a valid int"),
            (f"a: {'9' * 5000}\n", "f.yaml:1:4: a: '999"),
            ("? [a]\n: b\n", "f.yaml:1:3: a key must be a string"),
        ],
    )
    def test_text_that_is_no_recipe(self, text, message):
        assert fault(write("f.yaml", text)).startswith(message)

    def test_where_an_open_bracket_begins_is_said(self):
        text = fault(write("f.yaml", "a: 1\nb: [1,\n  2\nc: 3\n"))
        assert text == (
            "f.yaml:4:2: invalid YAML: expected ',' or ']', but got ':', "
            "while parsing a flow sequence that begins on line 2"
        )

    def test_a_key_given_twice_and_merge_keys_are_problems_that_let_the_reading_go_on(self):
        document = parse("a: 1\nb: {c: 1, c: 2}\na: 3\n<<: {x: 1}\n", "f")
        assert document.data == {"a": 1, "b": {"c": 1}}
        assert [str(problem) for problem in document.problems] == [
            "f:2:11: b.c: given twice, first at f:2:5",
            "f:3:1: a: given twice, first at f:1:1",
            "f:4:1: merge keys ('<<') are not allowed; use 'extends'",
        ]

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("nothing.yaml", "nothing.yaml: no such file"),
            (".", ".: is a folder; give the recipe file in it"),
            ("a\0b", "a\0b: cannot be read: embedded null byte"),
            ("x" * 5000, f"{'x' * 5000}: cannot be read: File name too long"),
            ("loop.yaml", "loop.yaml: cannot be read: Too many levels of symbolic links"),
        ],
    )
    def test_a_path_that_cannot_be_read(self, path, message):
        Path("loop.yaml").symlink_to("loop.yaml")
        assert fault(path) == message

    def test_other_encodings(self):
        assert fault(write("f.yaml", "a: ä".encode("utf-16"))) == "f.yaml: is not UTF-8 text (byte 0)"
        assert fault(write("f.yaml", "a: ä".encode("latin-1"))) == "f.yaml: is not UTF-8 text (byte 3)"


class TestBounds:
    """Hostile files end soon, in little memory."""

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
                + "".join(f"b{i}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(20)),
                "20,000 values",
            ),
            ("a: &a [*a]\n", "40 levels"),
            ("a: &a {b: *a}\n", "40 levels"),
            ("a: " + "[" * 100_000, "40 levels"),
            ("a: " + "{a: " * 50_000, "40 levels"),
            ("a: " + "[]," * 3 + "\n" + "- \n" * 80_000, "invalid YAML"),
            ("a: [" + "1," * 100_000 + "]\n", "20,000 values"),
            ("".join(f"a{i}: {i}\n" for i in range(11_000)), "20,000 values"),
            ("a: " + "x" * 300_000 + "\n", "is too large for a recipe: more than 250,000 bytes"),
            ("#" * 200_000 + "\na: " + "&a" * 10_000 + "[", "invalid YAML"),
        ],
        ids=["bomb", "self", "self-mapping", "lists", "mappings", "items", "values", "keys", "bytes", "comment"],
    )
    def test_a_bomb_is_refused(self, text, message):
        path = write("f.yaml", text)
        tracemalloc.start()
        begun = time.process_time()
        found = fault(path)
        seconds, (_, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert message in found
        assert len(found) < 1000
        assert seconds < 10
        assert peak < 200e6

    def test_a_device_that_never_ends(self):
        if not Path("/dev/zero").exists():
            pytest.skip("this system has no /dev/zero")
        assert "is too large for a recipe" in fault("/dev/zero")

    def test_the_depth_is_told_where_it_is_exceeded(self):
        assert fault(write("f.yaml", "a: " + "[" * 60)).startswith("f.yaml:1:43: invalid YAML: has more than 40 levels")


class TestExtends:
    def test_mappings_merge_and_lists_are_replaced(self):
        write("base.yaml", "image: {size: 64, x: 1}\nlist: [1, 2]\nname: base\n")
        child = write("child.yaml", "extends: base.yaml\nimage: {size: 32}\nlist: [3]\n")
        document = read_document(child)
        assert document.data == {"image": {"size": 32, "x": 1}, "list": [3], "name": "base"}

    def test_a_component_of_another_name_replaces_and_of_the_same_name_merges(self):
        write("base.yaml", "generator: {name: a, width: 8, depth: 2}\ndiscriminator: {name: a, width: 8}\n")
        child = write(
            "child.yaml", "extends: base.yaml\ngenerator: {name: b, width: 1}\ndiscriminator: {name: a, x: 1}\n"
        )
        assert read_document(child).data == {
            "generator": {"name": "b", "width": 1},
            "discriminator": {"name": "a", "width": 8, "x": 1},
        }

    @pytest.mark.parametrize(
        ("base", "child", "merged"),
        [
            ("bce", "hinge", "hinge"),
            ("bce", "{label_smoothing: 0.1}", {"name": "bce", "label_smoothing": 0.1}),
            ("bce", "{name: bce, label_smoothing: 0.1}", {"name": "bce", "label_smoothing": 0.1}),
            ("bce", "{name: hinge, margin: 1}", {"name": "hinge", "margin": 1}),
            ("{name: bce, label_smoothing: 0.1}", "hinge", "hinge"),
            # a name alone stands for {name: ...}, so the same name keeps the parameters
            ("{name: bce, label_smoothing: 0.1}", "bce", {"name": "bce", "label_smoothing": 0.1}),
            ("{name: bce}", "null", None),
        ],
    )
    def test_shorthand(self, base, child, merged):
        write("base.yaml", f"loss: {base}\n")
        assert read_document(write("child.yaml", f"extends: base.yaml\nloss: {child}\n")).data == {"loss": merged}

    def test_places_point_into_the_file_that_holds_the_line(self):
        write("sub/base.yaml", "\nimage: {size: 64}\nloss: bce\ngenerator: {name: a, width: 3}\n")
        child = write("child.yaml", "extends: sub/base.yaml\nloss:\n  smoothing: 1\ngenerator:\n  name: b\n")
        document = read_document(child)
        assert document.place(("image", "size")) == "sub/base.yaml:2:15"
        assert document.place(("loss", "name")) == "sub/base.yaml:3:7"
        assert document.place(("loss", "smoothing"), of_key=True) == "child.yaml:3:3"
        assert document.place(("generator", "name")) == "child.yaml:5:9"
        assert ("generator", "width") not in document.values
        assert document.place(("dataset",)) == "child.yaml:1:1"  # what is missing is missing in the file that was named

    def test_paths_are_relative_to_the_file(self):
        write("a/one.yaml", "extends: ../b/two.yaml\nx: 1\n")
        write("b/two.yaml", "extends: three.yaml\ny: 2\n")
        write("b/three.yaml", "z: 3\n")
        document = read_document("a/one.yaml")
        assert document.data == {"z": 3, "y": 2, "x": 1}
        assert document.place(("z",)) == "b/three.yaml:1:4"
        assert document.place(("y",)) == "b/two.yaml:2:4"

    @pytest.mark.parametrize("length", ["steps: 3", "images: 3", "epochs: 3"])
    def test_a_length_replaces_the_inherited_one(self, length):
        write("base.yaml", "train: {epochs: 25, device: cpu}\n")
        data = read_document(write("child.yaml", f"extends: base.yaml\ntrain: {{{length}}}\n")).data
        assert data["train"] == {"device": "cpu", length[:-3]: 3}

    def test_a_length_of_null_replaces_nothing(self):
        write("base.yaml", "train: {steps: 3}\n")
        data = read_document(write("child.yaml", "extends: base.yaml\ntrain: {epochs: null}\n")).data
        assert data["train"] == {"steps": 3, "epochs": None}

    def test_two_lengths_in_one_child_stay_two(self):
        write("base.yaml", "train: {epochs: 25}\n")
        data = read_document(write("child.yaml", "extends: base.yaml\ntrain: {steps: 1, images: 2}\n")).data
        assert data["train"] == {"steps": 1, "images": 2}

    @pytest.mark.parametrize(
        ("parent", "message"),
        [
            ("nothing.yaml", "f.yaml:2:10: extends: nothing.yaml: no such file"),
            (".", "f.yaml:2:10: extends: .: is a folder; give the recipe file in it"),
            ('"a\\0b"', "f.yaml:2:10: extends: a\0b: cannot be read: embedded null byte"),
            ("f.yaml", "f.yaml:2:10: extends: is circular: f.yaml -> f.yaml"),
            ("[a, b]", "f.yaml:2:10: extends: should be the path of a recipe, relative to this file; got ['a', 'b']"),
            ("null", "f.yaml:2:10: extends: should be the path of a recipe, relative to this file; got None"),
            ('""', "f.yaml:2:10: extends: should be the path of a recipe, relative to this file; got ''"),
        ],
    )
    def test_a_parent_that_cannot_be(self, parent, message):
        assert fault(write("f.yaml", f"a: 1\nextends: {parent}\n")) == message

    def test_a_circle_is_told_from_where_it_closes(self):
        write("a.yaml", "extends: b.yaml\n")
        write("b.yaml", "extends: sub/c.yaml\n")
        write("sub/c.yaml", "x: 1\nextends: ../b.yaml\n")
        assert fault("a.yaml") == "sub/c.yaml:2:10: extends: is circular: b.yaml -> sub/c.yaml -> b.yaml"

    def test_a_circle_through_a_link(self):
        Path("link.yaml").symlink_to("a.yaml")
        assert "is circular" in fault(write("a.yaml", "extends: link.yaml\n"))

    def test_many_parents(self):
        for index in range(40):
            write(f"{index}.yaml", f"extends: {index + 1}.yaml\nx{index}: {index}\n")
        write("40.yaml", "x40: 40\n")
        assert read_document("0.yaml").data == {f"x{index}": index for index in range(41)}

    def test_faults_of_the_parents_text_are_told_too(self):
        write("base.yaml", "a: 1\na: 2\n")
        document = read_document(write("child.yaml", "extends: base.yaml\nb: 1\nb: 2\n"))
        assert [problem.place for problem in document.problems] == ["base.yaml:2:1", "child.yaml:3:1"]
        write("base.yaml", "a: [\n")
        assert fault("child.yaml").startswith("base.yaml:2:1: invalid YAML")


RECIPE = """\
loss: bce
train: {epochs: 25, device: cpu}
ema: null
optimizers:
  generator: {name: adam, betas: [0.5, 0.9]}
callbacks:
  - {name: samples, every: 100}
  - checkpoint
"""


class TestOverrides:
    def read(self, *words: str) -> dict:
        document = read_document(write("f.yaml", RECIPE), words)
        assert not document.problems
        return document.data

    def problems(self, *words: str) -> list[str]:
        return [str(problem) for problem in read_document(write("f.yaml", RECIPE), words).problems]

    @pytest.mark.parametrize(
        ("word", "path", "value"),
        [
            ("train.device=cuda", ("train", "device"), "cuda"),
            ("seed=0x10", ("seed",), 16),
            ("new.deep.key=2e-4", ("new", "deep", "key"), 2e-4),
            ("seed=", ("seed",), None),
            ("name=a=b", ("name",), "a=b"),
            ("image={size: [32, 64]}", ("image", "size"), [32, 64]),
            ("ema.half_life=3", ("ema", "half_life"), 3),
            ("loss.label_smoothing=0.1", ("loss",), {"name": "bce", "label_smoothing": 0.1}),
            ("loss=hinge", ("loss",), "hinge"),
            ("optimizers.generator.betas.1=0.99", ("optimizers", "generator", "betas"), [0.5, 0.99]),
            ("callbacks.0.every=7", ("callbacks", 0), {"name": "samples", "every": 7}),
            ("callbacks.samples.every=7", ("callbacks", 0), {"name": "samples", "every": 7}),
            ("callbacks.checkpoint.keep=1", ("callbacks", 1), {"name": "checkpoint", "keep": 1}),
            ("callbacks.1=other", ("callbacks", 1), "other"),
            ("callbacks.0.name=other", ("callbacks", 0), {"name": "other"}),  # another component, as everywhere
            ("callbacks=[]", ("callbacks",), []),
        ],
    )
    def test_values(self, word, path, value):
        found = self.read(word)
        for part in path:
            found = found[part]
        assert found == value

    def test_the_last_word_wins(self):
        assert self.read("seed=1", "seed=2")["seed"] == 2

    @pytest.mark.parametrize("word", ["train.steps=3", "train={steps: 3}"])
    def test_a_length_replaces_that_of_the_file(self, word):
        assert self.read(word)["train"] == {"device": "cpu", "steps": 3}

    def test_null_is_no_length(self):
        assert self.read("train.epochs=null", "train.steps=3")["train"] == {"device": "cpu", "steps": 3}
        assert self.read("train.steps=3", "train.epochs=null")["train"]["steps"] == 3

    @pytest.mark.parametrize("words", [("train.epochs=1", "train.steps=2"), ("train.epochs=1", "train={steps: 2}")])
    def test_two_lengths(self, words):
        assert self.problems(*words) == ["command line: train: give one length, not train.epochs and train.steps"]

    @pytest.mark.parametrize(
        ("word", "message"),
        [
            ("seed", "command line: seed: an override is KEY=VALUE, such as train.epochs=1"),
            ("=3", "command line: =3: an override is KEY=VALUE, such as train.epochs=1"),
            ("a..b=3", "command line: a..b=3: an override is KEY=VALUE, such as train.epochs=1"),
            ("--epochs=3", None),
            ("a=[1", "command line: a=[1: invalid YAML: expected ',' or ']', but got '<stream end>'"),
            ("a={b: 1, b: 2}", "command line: a={b: 1, b: 2}: given twice"),
            ("a=!!python/name:os.system", "command line: a=!!python/name:os.system: the tag"),
            ("a=*b", "command line: a=*b: invalid YAML: found undefined alias 'b'"),
            ("extends=other.yaml", "command line: extends=other.yaml: extends: is supported in recipe files only"),
            (
                "callbacks.2.every=1",
                "command line: callbacks.2.every=1: callbacks: no unique item '2'; items: 0 (samples), 1 (checkpoint)",
            ),
            (
                "callbacks.sample.every=1",
                "command line: callbacks.sample.every=1: callbacks: no unique item 'sample'",
            ),
            ("callbacks.-1.every=1", "command line: callbacks.-1.every=1: callbacks: no unique item '-1'"),
            ("callbacks.²=1", "command line: callbacks.²=1: callbacks: no unique item '²'"),
        ],
    )
    def test_words_that_are_no_overrides(self, word, message):
        problems = self.problems(word)
        assert problems == [] if message is None else (len(problems) == 1 and problems[0].startswith(message))

    def test_every_faulty_word_is_told(self):
        assert len(self.problems("seed", "a=[", "callbacks.9=1", "train.epochs=1", "train.steps=1")) == 4

    def test_an_item_named_twice_needs_its_number(self):
        path = write("g.yaml", "callbacks: [{name: a, x: 1}, {name: a, x: 2}]\n")
        (problem,) = read_document(path, ["callbacks.a.x=3"]).problems
        assert "no unique item 'a'; items: 0 (a), 1 (a)" in str(problem)
        assert read_document(path, ["callbacks.1.x=3"]).data["callbacks"][1] == {"name": "a", "x": 3}

    def test_places(self):
        document = read_document(write("f.yaml", RECIPE), ["loss.smoothing=1", "callbacks.0.every=7", "image.size=3"])
        assert document.place(("loss", "smoothing"), of_key=True) == "command line: loss.smoothing=1"
        assert document.place(("loss", "name")) == "f.yaml:1:7"
        assert document.place(("callbacks", 0, "every")) == "command line: callbacks.0.every=7"
        assert document.place(("callbacks", 0, "name")) == "f.yaml:7:12"
        assert document.place(("image", "size")) == "command line: image.size=3"

    def test_a_long_word_is_cut_in_its_place(self):
        (problem,) = read_document(write("f.yaml", RECIPE), ["a=[" + "x" * 500]).problems
        assert len(problem.place) < 120


def test_options_are_read_as_overrides_are():
    assert read_options(["truncation=0.7", "labels=[1, 2]"]) == {"truncation": 0.7, "labels": [1, 2]}
    with pytest.raises(RecipeError, match="KEY=VALUE"):
        read_options(["truncation"])


def test_a_colon_without_a_space_is_told(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("dataset: {name:shapes, count:5}\nname: x\n")
    faults = read_document(path).problems
    assert [fault.message for fault in faults] == [
        "YAML reads 'name:shapes' as one string; put a space after the colon",
        "YAML reads 'count:5' as one string; put a space after the colon",
    ]
    assert faults[0].place.endswith("x.yaml:1:11")

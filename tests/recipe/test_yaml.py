"""Reading YAML: scalars, places, invalid text, and bounds on time and memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gankit.recipe import yaml_with_lines
from gankit.recipe.inheritance import parse, read_document


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

    def test_missing_values_have_the_place_of_the_enclosing_value(self):
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
            # not read by YAML 1.1
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
    def test_round_trip(self, data):
        reading = yaml_with_lines.read(yaml_with_lines.write(data), "f")
        assert not reading.problems
        assert reading.data == data

    def test_byte_order_mark(self, write):
        document = read_document(write("f.yaml", b"\xef\xbb\xbfa: 1\n"))
        assert document.data == {"a": 1}
        assert document.keys["a",] == "f.yaml:1:1"


class TestErrors:
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
    def test_invalid_text(self, write, error_of, text, message):
        assert error_of(write("f.yaml", text)).startswith(message)

    def test_unclosed_bracket(self, write, error_of):
        text = error_of(write("f.yaml", "a: 1\nb: [1,\n  2\nc: 3\n"))
        assert text == (
            "f.yaml:4:2: invalid YAML: expected ',' or ']', but got ':', "
            "while parsing a flow sequence that begins on line 2"
        )

    def test_duplicate_keys_and_merge_keys_do_not_stop_reading(self):
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
    def test_unreadable_path(self, error_of, path, message):
        Path("loop.yaml").symlink_to("loop.yaml")
        assert error_of(path) == message

    def test_encodings_other_than_utf_8(self, write, error_of):
        assert error_of(write("f.yaml", "a: ä".encode("utf-16"))) == "f.yaml: is not UTF-8 text (byte 0)"
        assert error_of(write("f.yaml", "a: ä".encode("latin-1"))) == "f.yaml: is not UTF-8 text (byte 3)"


class TestBounds:
    """Files that would take much time or memory are refused early."""

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
    def test_yaml_bombs(self, write, error_of, within, text, message):
        path = write("f.yaml", text)
        with within(10, 190):
            found = error_of(path)
        assert message in found
        assert len(found) < 1000

    def test_endless_device(self, error_of):
        if not Path("/dev/zero").exists():
            pytest.skip("this system has no /dev/zero")
        assert "is too large for a recipe" in error_of("/dev/zero")

    def test_place_of_the_depth_limit(self, write, error_of):
        assert error_of(write("f.yaml", "a: " + "[" * 60)).startswith(
            "f.yaml:1:43: invalid YAML: has more than 40 levels"
        )


def test_colon_without_a_space(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("dataset: {name:shapes, count:5}\nname: x\n")
    problems = read_document(path).problems
    assert [problem.message for problem in problems] == [
        "YAML reads 'name:shapes' as one string; put a space after the colon",
        "YAML reads 'count:5' as one string; put a space after the colon",
    ]
    assert problems[0].place.endswith("x.yaml:1:11")

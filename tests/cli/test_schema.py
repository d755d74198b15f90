"""gankit schema."""

from __future__ import annotations

import json


def test_it_prints_the_schema_or_writes_it(cli, tmp_path):
    said = cli("schema")
    assert (said.code, said.err) == (0, "")
    out = tmp_path / "new" / "schema.json"
    assert cli("schema", "--out", out) == (0, f"{out}: the schema of recipes\n", "")
    assert json.loads(out.read_text()) == json.loads(said.out)


def test_components_of_a_plugin_file(cli, tiny_plugin_file):
    definitions = json.loads(cli("schema", "--plugin", tiny_plugin_file).out)["$defs"]
    tiny = definitions["datasets.tiny"]["properties"]["count"]
    assert (tiny["minimum"], tiny["default"]) == (0, 32)
    assert "tiny" in definitions["generators"]["anyOf"][0]["enum"]
    assert "datasets.tiny" not in json.loads(cli("schema").out)["$defs"]


def test_a_file_that_cannot_be_written(cli, tmp_path):
    said = cli("schema", "--out", tmp_path)
    assert (said.code, said.out) == (2, "")
    assert said.err == f"error: {tmp_path}: cannot be written: Is a directory\n"

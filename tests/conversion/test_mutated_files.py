"""Randomly damaged weight files: each gives an error of gankit or is imported, and nothing is executed."""

from __future__ import annotations

import io
import pickletools
import zipfile
from pathlib import Path
from random import Random

import pytest
import torch

import gankit
from gankit.conversion.import_weights import import_weights
from gankit.conversion.recognition import GivenFile

SENTINEL = "executed"
EVIL = f"cos\nsystem\n(Vtouch {SENTINEL}\ntR".encode()
GLOBALS = (b"cos\nsystem\n", b"c__builtin__\neval\n", b"ctorch.storage\n_load_from_bytes\n", b"ccollections\nOrderedDict\n")


def mutated_bytes(random: Random, content: bytes) -> bytes:
    """Change, delete, repeat or insert a few bytes."""
    data = bytearray(content)
    for _ in range(random.randint(1, 4)):
        start = random.randrange(len(data))
        stop = start + random.choice((1, 1, 2, 8, 64))
        data[start:stop] = random.choice(
            (random.randbytes(stop - start), b"", bytes(data[start:stop]) * 2, random.randbytes(4) + data[start:stop])
        )
    return bytes(data)


def mutated_operations(random: Random, content: bytes) -> bytes:
    """Delete, repeat, swap or replace operations of a pickle, or insert code; the rest stays a valid sequence."""
    starts = [position or 0 for *_, position in pickletools.genops(content)]
    parts = [content[a:b] for a, b in zip(starts, [*starts[1:], len(content)], strict=True)]
    for _ in range(random.randint(1, 3)):
        at, other = random.randrange(1, len(parts)), random.randrange(1, len(parts))
        parts[at] = random.choice(
            (b"", parts[at] * 2, parts[other], EVIL, EVIL + parts[at], random.choice(GLOBALS), b"K\xff", b"}", b"N")
        )
    return b"".join(parts)


def mutated_archive(random: Random, content: bytes) -> bytes:
    """Change the operations of the pickle in a file of `torch.save`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            entry = old.read(name)
            new.writestr(name, mutated_operations(random, entry) if name.endswith("data.pkl") else entry)
    return buffer.getvalue()


def saved(value: object, **settings: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **settings)
    return buffer.getvalue()


@pytest.fixture
def mutants(persistent_pickle, stylegan2_generator):
    """Valid files, each with the mutations that suit it."""
    torch.manual_seed(0)
    foreign = stylegan2_generator()
    names = [("main.0.weight", (2, 8, 4, 4)), ("main.1.running_mean", (8,)), ("main.12.weight", (1, 3, 4, 4))]
    state = {name: torch.randn(shape) for name, shape in names}
    return [
        (persistent_pickle(G=foreign), (mutated_bytes, mutated_operations)),
        (saved({"state_dict": state}), (mutated_bytes, mutated_archive)),
        (saved(state, _use_new_zipfile_serialization=False), (mutated_bytes,)),
    ]


def error_of(file: Path, registries: gankit.Registries) -> str:
    """The message of the error, or nothing where the file is imported."""
    try:
        import_weights([GivenFile(file, None)], registries)
    except gankit.GankitError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("count", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_mutated_files(mutants, within, tmp_path, monkeypatch, count):
    monkeypatch.chdir(tmp_path)
    random, registries, messages = Random(count), gankit.Runtime().registries, []
    with within(30 + count / 10, 2048):
        for number in range(count):
            content, kinds = mutants[number % len(mutants)]
            Path("file").write_bytes(random.choice(kinds)(random, content))
            messages.append(error_of(Path("file"), registries))
            assert not Path(SENTINEL).exists()
    assert not any("\n" in message for message in messages)
    assert any("names 'os.system'" in message for message in messages)
    assert any("damaged" in message for message in messages)
    assert any(message == "" or "does not fit" in message or "not of a known format" in message for message in messages)

"""Untrusted weight files: nothing is executed, memory and time are bounded, and each fault gives one sentence."""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from gankit import GankitError

SENTINEL = "executed"
STOP = b"."


class Evil:
    def __reduce__(self) -> Any:
        return os.system, (f"touch {SENTINEL}",)


@pytest.fixture(autouse=True)
def _bounded(within, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with within(10, 1024):
        yield
    assert not Path(SENTINEL).exists()


def test_the_source_code_in_a_pickle_is_ignored(persistent_pickle, stylegan2_generator, import_files):
    source = f"import os\nos.system('touch {SENTINEL}')\nclass Layer: pass"
    networks = {"G_ema": stylegan2_generator()}
    first, second = (import_files(file=persistent_pickle(text, **networks)) for text in (source, "class Layer: pass"))
    weights = [imported.networks["generator_ema"].state_dict() for imported in (first, second)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def nested_storage(content: bytes) -> bytes:
    """A pickle of a tensor whose storage is ``content``."""
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\n(B" + struct.pack("<I", len(content))
    tensor = call + content + b"tRK\x00(K\x02t(K\x01tI00\n}tR"
    module = b"ctraining.networks\nGenerator\n)\x81}(V_buffers\n}Vw\n" + tensor + b"sV_modules\n}V_parameters\n}ub"
    return b"\x80\x02}VG\n" + module + b"s."


def storage_that_claims(elements: int) -> bytes:
    """A storage in the older format of `torch.save`, whose number of elements is replaced."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # torch deprecates such storages
        torch.save(torch.zeros(2).storage(), buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue().replace(b"K\x02N", b"\x8a\x08" + struct.pack("<q", elements) + b"N")


def test_a_storage_in_this_form_is_read(import_files):
    with pytest.raises(GankitError, match="is not of a known format .*; it has the tensors w$"):
        import_files(file=nested_storage(storage_that_claims(2)))


MANY = b"\x80\x02(" + b"K\x01" * 2000 + b"t"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Evil()), "file: names 'posix.system', which is not part of any known kind of weight file, and was not executed"),
        (b"\x80\x02c__builtin__\neval\n(V1\ntR.", "names 'builtins.eval'"),
        (b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.fromkeys\x93.", "names 'collections.OrderedDict.fromkeys'"),
        (b"\x80\x02cdnnlib.tflib.network\nNetwork\n)\x81.", "convert it to PyTorch with legacy.py of StyleGAN2-ADA or StyleGAN3 first"),
        (b"\x80\x02ctorch.nn.modules.linear\nLinear\n}b.", "damaged pickle"),  # the state of a class itself
        (b"\x80\x02cnumpy.core.multiarray\nscalar\n}V__new__\nNsb.", "damaged pickle"),
        (b"\x80\x02cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(VO8\nI00\nI01\ntRC\x01xtR.", "the numpy type 'O8' is not that of a number"),
        (b"\x80\x02Pid\n.", "damaged pickle"),
        (b"\x80\x02ctorch.nn.modules.linear\nLinear\n(" + b"K\x01" * 17 + b"tR.", "an object has 17 arguments"),
        (MANY + b"q\x00" + b"c__builtin__\nset\nh\x00\x85R0" * 600 + b".", "its sets and mappings copy more than 1,000,000 items"),
        (b"\x80\x02cdnnlib.util\nEasyDict\n}\x85R.", "an EasyDict has arguments"),
        (b"\x80\x02N", "damaged pickle: pickle exhausted before seeing STOP"),
        (b"\x80\x02K\x01r\xff\xff\xff\xff.", "it stores an object as number 4,294,967,295"),
        (b"\x80\x02" + b")" + b"\x85" * 200_000 + b".", "more than 5,000,000 operations or 50,000 tuples"),
        (b"\x80\x02B\xff\xff\xff\x7fx.", "damaged pickle: expected 2147483647 bytes"),
        (b"\x80\x02ctraining.networks\nGenerator\n)\x81q\x00}V_modules\n}Vself\nh\x00ssb.", "a network with more than 100 levels"),
        (nested_storage(pickle.dumps(Evil())), "a storage cannot be read"),
        (nested_storage(b"PK\x03\x04"), "a storage is not an uncompressed file of torch.save"),
        (nested_storage(storage_that_claims(2**34)), "a storage cannot be read"),
        (nested_storage(storage_that_claims(2**62)), "a storage cannot be read"),
        (nested_storage(storage_that_claims(1)), "a storage cannot be read|is larger than its stored data"),
        (b"\x89PNG", "is neither a pickle nor a file of torch.save"),
        (b"", "is neither a pickle nor a file of torch.save"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,  # content of torch.save contains addresses, so that each worker of xdist would collect other names
)  # fmt: skip
def test_pickles_that_are_refused(import_files, content, message):
    with pytest.raises(GankitError, match=message) as caught:
        import_files(file=content)
    assert "\n" not in str(caught.value)


def test_modules_that_multiply(import_files):
    """Each module contains the next one twice: 2^60 paths."""
    content = b"\x80\x02ctraining.networks\nGenerator\n)\x81}V_modules\n}sb"
    for _ in range(60):
        content += b"q\x00ctraining.networks\nGenerator\n)\x81}V_modules\n}(Va\nh\x00Vb\nh\x00usb"
    with pytest.raises(GankitError, match="a network with more than 100 levels or 100,000 modules"):
        import_files(file=content + STOP)


def test_a_tensor_larger_than_its_storage(persistent_pickle, stylegan2_generator, import_files):
    for shape in ((2**20, 2**20), (2**40,)):
        foreign = stylegan2_generator()
        foreign.tensors["mapping.w_avg"] = torch.zeros(1).expand(shape)
        with pytest.raises(GankitError, match="is larger than its stored data"):
            import_files(file=persistent_pickle(G=foreign))


def test_truncated_files(persistent_pickle, stylegan2_generator, import_files):
    content = persistent_pickle(G=stylegan2_generator())
    for share in range(10):
        with pytest.raises(GankitError, match="damaged pickle|is neither a pickle"):
            import_files(file=content[: len(content) * share // 10])


def test_files_of_torch_save_with_other_classes(import_files):
    for value, named in ((Evil(), "posix.system"), (Path("x"), "pathlib")):
        with pytest.raises(GankitError, match=rf"file: cannot be read as plain data and tensors: it names {named}"):
            import_files(file={"state_dict": value})


def test_names_that_cannot_be_printed(import_files):
    with pytest.raises(GankitError, match="has a tensor whose name is not printable"):
        import_files(file={"a\n\x1b[2J": torch.zeros(1), "b": torch.zeros(1)})


@pytest.mark.parametrize("as_archive", [True, False])
def test_tensors_in_files_of_torch_save_that_claim_more(import_files, tmp_path, as_archive):
    def enlarged(content: bytes) -> bytes:
        """The shape [4, 4] becomes [2^28 - 1, 4]."""
        changed = re.sub(rb"K\x04(K\x04\x86q.K\x04K\x01\x86)", lambda rest: b"J\xff\xff\xff\x0f" + rest[1], content)
        assert changed != content
        return changed

    torch.save({"a": torch.zeros(4, 4), "b": torch.zeros(2)}, tmp_path / "plain", _use_new_zipfile_serialization=as_archive)
    if as_archive:
        with zipfile.ZipFile(tmp_path / "plain") as archive, zipfile.ZipFile(tmp_path / "other", "w") as other:
            for name in archive.namelist():
                content = archive.read(name)
                other.writestr(name, enlarged(content) if name.endswith(".pkl") else content)
    else:
        (tmp_path / "other").write_bytes(enlarged((tmp_path / "plain").read_bytes()))
    with pytest.raises(GankitError, match="cannot be read as plain data and tensors: .*storage"):
        import_files(file=(tmp_path / "other").read_bytes())


def test_compressed_files_of_torch_save(import_files, tmp_path):
    torch.save({"a": torch.zeros(4), "b": torch.zeros(4)}, tmp_path / "plain")
    with zipfile.ZipFile(tmp_path / "plain") as archive, zipfile.ZipFile(tmp_path / "small", "w", zipfile.ZIP_DEFLATED) as new:
        for name in archive.namelist():
            new.writestr(name, archive.read(name))
    with pytest.raises(GankitError, match="it is compressed, which torch.save never does"):
        import_files(file=(tmp_path / "small").read_bytes())

"""Do tensors come back bit by bit, from the same bytes each time, and from nothing that is not whole?"""

from __future__ import annotations

import pickle
import random
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffuscope.errors import FormatError, InputError
from diffuscope.tensors import load_tensors, save_tensors

KIND = "some-kind-1"
TENSORS = {
    "a": torch.arange(6.0).view(2, 3).T,  # not contiguous
    "b": torch.tensor(3, dtype=torch.int64),
    "c": torch.zeros(0, 4, dtype=torch.bfloat16),
    "d": torch.tensor([float("nan"), float("inf"), -0.0], dtype=torch.float64),
    "e": torch.tensor([True, False]),
}
TEXT = {"recipe": 'name = "ä\n"', "columns": "null", "more": "x", "z": "", "y": "1"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "some.safetensors"
    save_tensors(path, TENSORS, KIND, TEXT)
    return path


def test_tensors_and_text_come_back_as_they_were(file):
    tensors, text = load_tensors(file, KIND)
    assert text == TEXT
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=0, equal_nan=True)


def test_the_file_is_one_that_safetensors_reads(file):
    assert torch.equal(load_file(file)["a"], TENSORS["a"])


@pytest.mark.slow
def test_the_same_content_gives_the_same_bytes_in_every_process(file, tmp_path):
    program = (
        "import sys, torch; from diffuscope.tensors import *; "
        "save_tensors(sys.argv[1], *load_tensors(sys.argv[2], sys.argv[3])[:1], sys.argv[3], "
        "load_tensors(sys.argv[2], sys.argv[3])[1])"
    )
    for i in range(5):
        save_tensors(tmp_path / f"{i}", TENSORS, KIND, TEXT)
        assert (tmp_path / f"{i}").read_bytes() == file.read_bytes()
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-c", program, other, file, KIND], check=True, timeout=60)
    assert other.read_bytes() == file.read_bytes()


def test_no_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="There is no file"):
        load_tensors(tmp_path / "not there", KIND)
    with pytest.raises(InputError, match="There is no file"):
        load_tensors(tmp_path, KIND)


def test_another_kind_is_refused_by_name(file):
    with pytest.raises(FormatError, match="expected 'other-1'") as error:
        load_tensors(file, "other-1")
    assert KIND in error.value.what


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "x")
    with pytest.raises(FormatError, match="expected"):
        load_tensors(tmp_path / "x", KIND)
    save_file({"a": torch.ones(2)}, tmp_path / "x", {"format": KIND})
    with pytest.raises(FormatError, match="damaged"):
        load_tensors(tmp_path / "x", KIND)


class Bomb:
    """A pickle that would raise if it were ever opened."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle was run')",))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 4,
        b"\0" * 100,
        b"x,y\n1,2\n",
        b"\xff" * 64,
        (2**63).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (10).to_bytes(8, "little") + b'{"a":"b"} ',
        pickle.dumps(Bomb()),
    ],
)
def test_whatever_is_no_such_file_is_refused_and_never_run(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(FormatError):
        load_tensors(path, KIND)


def test_a_torch_checkpoint_under_the_name_is_refused_and_never_run(tmp_path):
    torch.save({"a": Bomb()}, tmp_path / "model.safetensors")
    with pytest.raises(FormatError):
        load_tensors(tmp_path / "model.safetensors", KIND)


@pytest.mark.parametrize("shape", ["[1000000000000]", "[4294967296, 4294967296]", "[-3]", "[1.5]", "{}"])
def test_absurd_shapes_are_refused_without_memory(tmp_path, shape):
    entry = f'"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,4]}}'
    header = f'{{"__metadata__":{{"format":"{KIND}"}},{entry}}}'.encode()
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    with pytest.raises(FormatError):
        load_tensors(tmp_path / "x", KIND)


def test_every_flipped_bit_cut_and_splice_is_found(file, tmp_path):
    whole = file.read_bytes()
    rng = random.Random(0)
    path = tmp_path / "mutant"
    for i in range(600):
        data = bytearray(whole)
        where = rng.randrange(len(data))
        if i % 4 in (0, 1):
            data[where] ^= 1 << rng.randrange(8)
        elif i % 4 == 2:
            del data[where:]
        else:
            data[where:where] = rng.randbytes(rng.randrange(1, 9))
        path.write_bytes(bytes(data))
        with pytest.raises(FormatError):
            load_tensors(path, KIND)


def test_the_text_or_the_tensors_of_another_file_are_found_out(file, tmp_path):
    other = tmp_path / "other"
    save_tensors(other, {**TENSORS, "a": TENSORS["a"] + 1}, KIND, TEXT)
    one, two = file.read_bytes(), other.read_bytes()
    start = 8 + int.from_bytes(one[:8], "little")
    assert len(one) == len(two)
    (tmp_path / "swapped").write_bytes(one[:start] + two[start:])
    with pytest.raises(FormatError, match="its checksum does not match"):
        load_tensors(tmp_path / "swapped", KIND)

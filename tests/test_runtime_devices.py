"""Devices and precision: chosen by name, refused by name, and said of the processor."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from celloquy._runtime import _devices
from celloquy._runtime._devices import Processor, pick_device, pick_precision, processor
from celloquy.errors import InputError

CPUINFO = """processor\t: 0
model name\t: Some CPU @ 2.0GHz
flags\t\t: fpu avx512f avx512_bf16 amx_tile

processor\t: 1
model name\t: Another
flags\t\t: fpu
"""


def test_auto_takes_a_gpu_if_there_is_one():
    gpu = "cuda" if torch.cuda.is_available() else "cpu"
    expected = gpu if gpu != "cpu" or not torch.backends.mps.is_available() else "mps"
    assert pick_device() == expected


def test_the_processor_is_always_there():
    assert pick_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cpu:1", "cuda:x", "", "CPU"])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(InputError, match=f"There is no device '{name}'"):
        pick_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="'cuda:1' is not there: torch sees 0 CUDA devices"):
        pick_device("cuda:1")


def test_precisions_are_two():
    assert [pick_precision(), pick_precision("bf16")] == ["fp32", "bf16"]
    with pytest.raises(InputError, match="There is no precision 'bf32'; the closest is"):
        pick_precision("bf32")


def test_the_processor_is_read_from_what_linux_says(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO)
    found = processor(path)
    assert (found.name, found.has_avx512_bf16, found.has_amx_bf16) == (
        "Some CPU @ 2.0GHz",
        True,
        False,
    )
    assert not found.is_fast_in_bf16
    assert found.n_cores >= 1


def test_torch_is_asked_where_the_system_says_nothing(tmp_path):
    found = processor(tmp_path / "absent")
    assert isinstance(found.has_avx512_bf16, bool)
    assert isinstance(found.has_amx_bf16, bool)


def test_without_torch_and_without_a_word_of_the_system_nothing_is_claimed(tmp_path, monkeypatch):
    monkeypatch.setattr(_devices, "is_installed", lambda _package: False)
    found = processor(tmp_path / "absent")
    assert found.has_avx512_bf16 is None
    assert not found.is_fast_in_bf16


def test_tiles_are_fast_in_bf16_and_vectors_where_that_was_measured():
    assert Processor("Intel", 2, has_avx512_bf16=True, has_amx_bf16=True).is_fast_in_bf16
    assert Processor("AMD EPYC", 2, has_avx512_bf16=True, has_amx_bf16=False).is_fast_in_bf16
    assert not Processor("Intel", 2, has_avx512_bf16=True, has_amx_bf16=False).is_fast_in_bf16


def test_a_processor_without_either_is_not_fast_in_bf16():
    assert not Processor("old", 2, has_avx512_bf16=False, has_amx_bf16=False).is_fast_in_bf16


def test_reading_the_processor_loads_no_torch():
    code = (
        "import sys; from celloquy._runtime._devices import processor; processor();"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = "False" if sys.platform == "linux" else done.stdout.strip()
    assert done.stdout.strip() == expected

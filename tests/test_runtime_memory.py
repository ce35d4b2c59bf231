from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest

CHURN = """
import resource, sys
from celloquy._runtime import kept_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        block = b"x" * 40_000_000  # more than glibc keeps by itself
        del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
with kept_memory():
    faults()
    within = faults()
resident = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
print(before, within, faults(), resident)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_memory_is_kept_for_what_comes_next_and_given_back_at_the_end():
    done = subprocess.run(
        [sys.executable, "-c", CHURN], capture_output=True, text=True, check=True
    )  # fmt: skip
    before, within, after, resident = map(int, done.stdout.split())
    pages = 8 * 40_000_000 // resource.getpagesize()
    assert before > pages * 0.9
    assert within < pages * 0.01
    assert after > pages * 0.9
    assert resident < 400_000_000

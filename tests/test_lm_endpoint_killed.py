"""A process that is killed while it asks a server: what was answered is not asked again."""

from __future__ import annotations

import collections
import os
import signal
import subprocess
import sys

import pytest

from lm_server import chat, serving, sleepy

N = 40
AT_ONCE = 4
CODE = """
import sys
from pathlib import Path
from celloquy.lm import EndpointOptions, load_endpoint

options = EndpointOptions(scoring="schema", concurrency=int(sys.argv[3]), store=Path(sys.argv[2]))
lm = load_endpoint(f"tiny@{sys.argv[1]}", options=options)
found = lm.score([f"cell {n}" for n in range(int(sys.argv[4]))], ["T cell", "B cell"])
print(found.best.tolist())
"""


@pytest.mark.slow
def test_after_kill_nine_only_what_was_under_way_may_be_asked_twice(tmp_path):
    store = tmp_path / "answers.sqlite"

    def reply(asked):
        number = int(asked.body["messages"][0]["content"].split()[1])
        return chat(["T cell", "B cell"][number % 2])

    with serving(sleepy(reply, lambda _: 0.05)) as server:
        command = [sys.executable, "-c", CODE, server.url, str(store), str(AT_ONCE), str(N)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
            while len(server.asked) < N // 2 and running.poll() is None:
                server.stop.wait(0.01)
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
        assert running.returncode == -signal.SIGKILL
        again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert again.stdout.split("]")[0] == str([0, 1] * (N // 2)).rstrip("]")
    times = collections.Counter(asked.said.split("\n")[0] for asked in server.asked)
    assert len(times) == N
    assert max(times.values()) <= 2
    assert sum(times.values()) <= N + AT_ONCE

"""A child that serves: started again when it dies, exchanged without a gap, gone with its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ssl_r1 import BadOption
from ssl_r1.serving import Serving, State, find_command, flags

#: Says where it listens and waits for the end of its input, as `serve --until-eof` does.
LISTENS = 'import os, sys; print(\'{"listening": "tcp://127.0.0.1:%d"}\' % os.getpid(), flush=True); sys.stdin.read()'
DEAF = 'import os, sys, time; print(\'{"listening": "tcp://127.0.0.1:%d"}\' % os.getpid(), flush=True); time.sleep(3600)'
#: Takes connections on the port of its probes and never answers, like one that has been stopped.
HANGS = """
import os, socket, sys
probes = socket.create_server(("127.0.0.1", 0))
print('{"listening": "tcp://127.0.0.1:%d", "http": "http://127.0.0.1:%d"}' % (os.getpid(), probes.getsockname()[1]), flush=True)
sys.stdin.read()
"""


def gone(pid: int) -> bool:
    """Whether a process ends; a dead child of somebody who does not wait for it counts."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def start(code: str, said: list[str] | None = None) -> Serving:
    return Serving([sys.executable, "-c", code], (0, 1), {}, (said if said is not None else []).append)


def listening(serving: Serving, not_at: str | None = None) -> State:
    state = serving.state()
    while state.address is None or state.address == not_at:
        state = serving.state(state.version, 30)
    return state


def test_killed_it_is_started_again() -> None:
    serving = start(LISTENS)
    try:
        first = listening(serving)
        assert first.pid is not None and first.starts == 1
        os.kill(first.pid, signal.SIGKILL)
        second = listening(serving, first.address)
        assert second.pid != first.pid and second.starts == 2
    finally:
        serving.stop()
    assert second.pid is not None and gone(second.pid)


def test_a_successor_listens_before_the_old_one_ends() -> None:
    serving = start(LISTENS)
    first = listening(serving)
    serving.place((1, 3))
    second = listening(serving, first.address)
    assert second.node == (1, 3) and first.pid is not None and second.pid is not None
    os.kill(first.pid, 0)
    serving.stop()
    assert gone(first.pid) and gone(second.pid)


def test_who_does_not_end_is_killed() -> None:
    serving = start(DEAF)
    pid = listening(serving).pid
    serving.stop(grace=0.1)
    assert pid is not None and gone(pid)


def test_who_does_not_answer_is_killed() -> None:
    said: list[str] = []
    serving = Serving([sys.executable, "-c", HANGS], (0, 1), {}, said.append, check=0.05)
    try:
        first = listening(serving)
        second = listening(serving, first.address)
        assert second.starts == 2 and said[0] == "the loader has not answered 3 times; it is killed"
    finally:
        serving.stop()


def test_a_failure_is_told_and_tried_again() -> None:
    serving = start('import sys; sys.stderr.write(\'{"error": {"code": "NETWORK", "message": "no route"}}\\n\'); sys.exit(1)')
    state = serving.state()
    while state.starts < 3:
        state = serving.state(state.version, 30)
    assert (state.failure, state.hopeless, state.address) == ("NETWORK: no route", False, None)
    serving.stop()


def test_a_wrong_option_is_hopeless() -> None:
    said: list[str] = []
    serving = start("import sys; sys.stderr.write('unknown option --bach\\n'); sys.exit(2)", said=said)
    state = serving.state()
    while state.failure is None:
        state = serving.state(state.version, 30)
    assert state.hopeless and state.failure == "unknown option --bach"
    assert said[0] == "unknown option --bach"
    serving.stop()


def test_a_command_that_is_not_there() -> None:
    serving = Serving(["/no/such/command"], (0, 1), {}, print)
    state = serving.state()
    while state.failure is None:
        state = serving.state(state.version, 30)
    assert state.failure == "command: /no/such/command can't be run: No such file or directory"
    serving.stop()


def test_a_child_ends_with_its_parent_however_that_dies() -> None:
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); from ssl_r1.serving import Serving\n"
    code += f"s = Serving([sys.executable, '-c', {LISTENS!r}], (0, 1), {{}}, print); v = -1\n"
    code += "while s.state().address is None: v = s.state(v, 30).version\n"
    code += "print(s.state().pid, flush=True); sys.stdin.read()"
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    assert gone(child)


def test_flags() -> None:
    given = {
        "seed": 7,
        "min_pixels": 784,
        "entries": ["rotation", "ordering"],
        "insecure": True,
        "cache": False,
        "window": None,
        "max_skip_share": 0.5,
    }
    assert flags(given) == [
        *("--seed", "7", "--min-pixels", "784", "--entries", "rotation,ordering"),
        *("--insecure", "--no-cache", "--max-skip-share", "0.5"),
    ]
    with pytest.raises(BadOption, match="entries"):
        flags({"entries": {"rotation": 1}})


def test_which_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SSL_R1_COMMAND", raising=False)
    with pytest.raises(BadOption, match="no ssl-r1 and no npx"):
        find_command()
    for name in ("npx", "ssl-r1"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
        expected = [str(tmp_path / name), *(["--no-install", "ssl-r1"] if name == "npx" else [])]
        assert find_command() == expected
    monkeypatch.setenv("SSL_R1_COMMAND", "node '/opt/a b/main.js'")
    assert find_command() == ["node", "/opt/a b/main.js"]
    assert find_command(["node", "x"]) == ["node", "x"]
    assert json.dumps(find_command("node x")) == '["node", "x"]'

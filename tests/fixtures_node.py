"""Node with the project's npm packages, for tests that let WeCom's own libraries speak."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from web import build


@pytest.fixture(scope="session")
def run_node() -> Callable[[str, Any], Any]:
    """`run_node(script, value)`: the ES module sees `input` and calls `output(value)`; returns that value."""

    def run_node(script: str, value: Any = None) -> Any:
        prelude = f"const input = {json.dumps(value)}; const output = (value) => console.log(JSON.stringify(value));"
        command = [build.node_program(), "--input-type=module", "-e", f"{prelude}\n{script}"]
        ended = subprocess.run(command, cwd=build.WEB, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return run_node

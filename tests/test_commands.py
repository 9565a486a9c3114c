"""The `scrm` command finds every room's commands, and imports only the room it needs."""

import argparse
import subprocess
import sys
from importlib import import_module

import pytest

from scrm import cli


@pytest.mark.parametrize("room", cli.ROOMS, ids=lambda room: room.module)
def test_a_room_brings_the_commands_that_the_list_names(room: cli.Room) -> None:
    commands = argparse.ArgumentParser().add_subparsers()
    import_module(room.module).add_parser(commands)
    assert tuple(commands.choices) == room.commands


def test_a_command_imports_no_other_room() -> None:
    code = "import sys, scrm.cli; scrm.cli.parser_of('backup'); print('scrm.sop' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


def test_without_a_command_all_are_listed() -> None:
    listed = cli.parser_of("").format_help().split()
    assert [command for room in cli.ROOMS for command in room.commands if command not in listed] == []

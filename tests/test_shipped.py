"""Playbooks that come with the program are found wherever it was started."""

from pathlib import Path

import pytest

from scrm import shipped


def test_the_working_directorys_own_come_first_then_the_packed_then_the_checkouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (shipped.shipped("playbooks") / "new-customer.yaml").is_file()
    monkeypatch.setattr(shipped, "PACKED", tmp_path / "packed")
    (tmp_path / "packed" / "playbooks").mkdir(parents=True)
    assert shipped.shipped("playbooks") == tmp_path / "packed" / "playbooks"
    (tmp_path / "config" / "playbooks").mkdir(parents=True)
    assert shipped.shipped("playbooks") == Path("config/playbooks")
    assert shipped.shipped("nothing") == Path("config/nothing")

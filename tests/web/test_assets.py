"""Assets as a page names them and as a browser fetches them."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from web import assets


@pytest.fixture
def dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A built front end with one entry and one shared chunk."""
    folder = tmp_path / "static" / "dist"
    folder.mkdir(parents=True)
    (folder / "sidebar-ABC.js").write_text("1")
    (folder / "inputs.sha256").write_text("private")
    (folder / "meta.json").write_text(
        '{"outputs": {"static/dist.new/sidebar-ABC.js": {"entryPoint": "islands/sidebar.js"},'
        ' "static/dist.new/chunk-DEF.js": {}}}'
    )
    monkeypatch.setattr(assets, "STATIC", folder.parent)
    monkeypatch.setattr(assets, "META", folder / "meta.json")
    return folder


def test_an_entry_is_found_by_its_source_name(dist: Path) -> None:
    assert assets.asset("sidebar.js") == "/static/dist/sidebar-ABC.js"


def test_a_new_build_is_noticed_without_a_restart(dist: Path) -> None:
    assets.asset("sidebar.js")
    (dist / "meta.json").write_text('{"outputs": {"sidebar-NEW.js": {"entryPoint": "islands/sidebar.js"}}}')
    assert assets.asset("sidebar.js") == "/static/dist/sidebar-NEW.js"


def test_an_unknown_entry_names_the_known_ones(dist: Path) -> None:
    with pytest.raises(assets.AssetMissingError, match=r"console\.js.*现有：sidebar\.js"):
        assets.asset("console.js")


def test_assets_that_were_not_built_say_how_to_build_them(dist: Path) -> None:
    (dist / "meta.json").unlink()
    with pytest.raises(assets.AssetMissingError, match=r"python3 dev\.py assets"):
        assets.asset("sidebar.js")


async def test_a_built_file_is_cached_for_ever_and_others_do_not_exist(dist: Path, aiohttp_client: Any) -> None:
    app = web.Application()
    app.add_routes(assets.routes())
    client = await aiohttp_client(app)
    found = await client.get("/static/dist/sidebar-ABC.js")
    assert found.status == 200
    assert "immutable" in found.headers["Cache-Control"]
    assert "javascript" in found.headers["Content-Type"]
    for hidden in ("inputs.sha256", "sidebar-OLD.js", "..%2f..%2fassets.py"):
        assert (await client.get(f"/static/dist/{hidden}")).status == 404

"""Every wrong setting is one line that names the key, what was found and what is expected; secrets stay unseen."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from scrm.errors import WrongUse
from scrm.settings import Settings, load_settings

GOOD = {
    "SCRM_WECOM__CORP_ID": "ww1",
    "SCRM_WECOM__AGENT_ID": "1000002",
    "SCRM_WECOM__SECRET": "very-secret-1",
    "SCRM_WECOM__TOKEN": "very-secret-2",
    "SCRM_WECOM__ENCODING_AES_KEY": "b5SDOPurRyYHpww0sA7k0AMq2qdb8Mi8E8IJsFo6Bos",
    "SCRM_SECURITY__SECRET_KEY": "very-secret-3-of-more-than-32-characters",
    "SCRM_DATABASE__URL": "postgresql://u:very-secret-4@h/d",
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_environment_alone_is_enough() -> None:
    settings = load_settings(GOOD)
    assert settings.wecom.agent_id == 1000002
    assert settings.shop.timezone == "Asia/Shanghai"


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('[server]\nport = 9000\nhost = "0.0.0.0"\n', "utf-8")
    settings = load_settings({**GOOD, "SCRM_CONFIG": str(path), "SCRM_SERVER__PORT": "9001"})
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 9001)


def test_no_secret_is_in_the_repr() -> None:
    assert "very-secret" not in repr(load_settings(GOOD))


WRONG = {
    "SCRM_SERVER__PORT": ("eighty", "server.port: found 'eighty'; expected"),
    "SCRM_SERVER__PUBLIC_URL": ("crm.example.com", "server.public_url: found 'crm.example.com'; expected http"),
    "SCRM_WECOM__ENCODING_AES_KEY": (
        "very-secret-short",
        "wecom.encoding_aes_key: found a value (not shown); expected 43",
    ),
    "SCRM_WECOM__SECRET": ("", "wecom.secret: found an empty value; expected"),
    "SCRM_DATABASE__URL": ("mysql://very-secret@h/d", "database.url: found a value (not shown); expected sqlite"),
    "SCRM_SECURITY__SECRET_KEY": ("very-secret", "security.secret_key: found a value (not shown); expected"),
    "SCRM_SHOP__TIMEZONE": ("Mars/North", "shop.timezone: found 'Mars/North'; expected a zone"),
    "SCRM_PLAYBOOKS__QUIET": ("late", "playbooks.quiet: found 'late'; expected a span"),
    "SCRM_SERVER__PROT": ("1", "server.prot: found a setting of a name nobody knows"),
}


@pytest.mark.parametrize(("name", "case"), WRONG.items(), ids=WRONG.keys())
def test_a_wrong_value_is_one_line_with_key_found_and_expected(name: str, case: tuple[str, str]) -> None:
    value, line = case
    with pytest.raises(WrongUse) as caught:
        load_settings({**GOOD, name: value})
    (told,) = str(caught.value).splitlines()
    assert told.startswith(line)
    assert "very-secret" not in told


def test_everything_missing_is_told_at_once() -> None:
    with pytest.raises(WrongUse) as caught:
        load_settings({})
    keys = {line.partition(":")[0] for line in str(caught.value).splitlines()}
    assert keys == {
        "wecom.corp_id",
        "wecom.agent_id",
        "wecom.secret",
        "wecom.token",
        "wecom.encoding_aes_key",
        "security.secret_key",
    }


def test_a_file_that_is_not_toml_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[server\n", "utf-8")
    with pytest.raises(WrongUse, match=r"bad\.toml: cannot be read as TOML"):
        load_settings({"SCRM_CONFIG": str(path)})
    with pytest.raises(WrongUse, match="SCRM_CONFIG: found /nowhere"):
        load_settings({"SCRM_CONFIG": "/nowhere"})


def test_the_example_file_names_every_setting_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent.parent)
    text = (Path(__file__).parent.parent / "config/scrm.example.toml").read_text("utf-8")
    shown = tomllib.loads("\n".join(line.removeprefix("# ") if " = " in line else line for line in text.splitlines()))
    for section, field in Settings.model_fields.items():
        if section in ("sources", "outward", "apps"):
            continue  # sections of the reader's own naming: docs/sources.md, docs/outward.md, docs/connect.md
        model: Any = field.annotation
        assert set(shown[section]) == set(model.model_fields), section
        for key, setting in model.model_fields.items():
            default = setting.get_default(call_default_factory=True)
            if setting.is_required():
                continue
            plain = default.get_secret_value() if hasattr(default, "get_secret_value") else default
            plain = "" if plain is None else list(plain) if isinstance(plain, tuple) else plain
            assert str(shown[section][key]) == str(plain), f"{section}.{key}"


def test_a_source_is_named_by_its_section_and_shows_no_secret() -> None:
    environ = {**GOOD, "SCRM_SOURCES__YOUZAN__KIND": "youzan", "SCRM_SOURCES__YOUZAN__CLIENT_SECRET": "s3cret"}
    settings = load_settings(environ)
    assert settings.sources["youzan"].model_dump() == {"kind": "youzan", "client_secret": "s3cret"}
    assert "s3cret" not in repr(settings)
    with pytest.raises(WrongUse, match=r"sources\.mall\.kind: found nothing"):
        load_settings({**GOOD, "SCRM_SOURCES__MALL__SECRET": "x"})

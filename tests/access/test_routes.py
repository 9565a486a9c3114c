"""Every route of the console and the API: who may use it, that nobody forges it, and that writes are in the log."""

import re
from typing import Any

import pytest

from scrm.access.modules import BY_KEY, EVERY_RIGHT, MODULES, right
from scrm.access.roles import ALL, BUILT_IN, made_of
from scrm.access.routes import Need, need_of, words_of
from scrm.access.store import save_role
from scrm.api.store import make_key
from scrm.audit import audit_entry
from tests.access.conftest import API, CONSOLE, DOORS, Door
from tests.console.conftest import Page, SignIn, Visitor
from tests.world import World

# The page after leaving is for nobody in particular, and the first address only leads on.
OPEN = {"/console", "/console/left"}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Rights are decided before the database matters; what they write is tested on both elsewhere."""
    return sqlite_url


def need(door: Door) -> Need:
    found = need_of(door.method, door.pattern)
    assert found is not None, f"{door}: below no module; see scrm/access/modules.py"
    return found


def test_every_route_belongs_to_a_module_and_asks_for_a_right_that_it_has() -> None:
    for door in DOORS:
        asked = need(door)
        if asked.module:
            assert right(asked.module, asked.right) in EVERY_RIGHT, door
            assert asked.title.startswith(BY_KEY[asked.module].title)
        assert asked.is_logged or not door.is_write or asked.right in ("view", "edit"), door
        assert 1 < len(words_of(door.method, door.pattern, {})) < 60


def test_every_write_is_logged_but_those_that_ask_and_drafts() -> None:
    quiet = {str(door) for door in DOORS if door.is_write and not need(door).is_logged}
    assert quiet <= {
        "POST /console/segments/count",
        "POST /console/segments/conditions/check",
        "POST /console/playbook-conditions/check",
        "POST /console/mass-messages/forecast",
        "POST /console/mass-messages/preview",
        "POST /console/contact-ways/new/week",
        "POST /console/playbooks/{key}/edit/check",
        "POST /console/playbooks/{key}/board/edit",
        "POST /console/playbooks/{key}/board/tests",
        "POST /console/library/preview",
    }


def test_files_are_taken_out_with_their_own_right() -> None:
    for door in DOORS:
        if re.search(r"\.(csv|xlsx|zip)$", door.pattern):
            assert need(door).right == "export", door


def test_the_menu_is_the_list_of_modules_and_each_address_is_a_page() -> None:
    pages = {door.pattern for door in CONSOLE if door.method == "GET"}
    for module in MODULES:
        assert not module.url or module.url in pages, module.key
        assert {each.partition(":")[0] for each in EVERY_RIGHT} >= {module.key}


def test_what_the_built_in_roles_may() -> None:
    staff, manager, operator, administrator = (
        BUILT_IN[key] for key in ("member", "manager", "operator", "administrator")
    )
    assert not staff.may_enter
    assert staff.reach == "own"
    assert administrator.rights == EVERY_RIGHT
    for module in ("access", "api_keys", "audit"):
        assert not manager.may(module)
        assert not operator.may(module)
    assert manager.may("customers", "reveal")
    assert manager.fields == {"phone", "receiver", "address"}
    assert not manager.may("customers", "erase")
    assert operator.may("playbooks", "edit")
    assert operator.may("customers")
    assert not any(operator.may("customers", what) for what in ("edit", "export", "reveal", "erase"))
    assert not operator.fields


async def call(visitor: Visitor, door: Door, csrf: str | None = None) -> Page:
    """With the proof against forgery in the header, unless another one is given."""
    headers = {**visitor.cookie, "X-CSRF": visitor.csrf if csrf is None else csrf}
    response = await visitor.world.client.request(door.method, door.path, headers=headers, allow_redirects=False)
    return Page(response.status, await response.text(errors="replace"))


async def test_strangers_see_no_page_and_write_nothing(world: World) -> None:
    for door in CONSOLE:
        if door.pattern not in OPEN:
            response = await world.client.request(door.method, door.path, allow_redirects=False)
            assert response.status == (401 if door.is_write else 302), door
    for door in API:
        assert (await world.client.request(door.method, door.path)).status == 401, door


async def test_no_write_is_taken_without_its_proof(sign_in: SignIn) -> None:
    boss = await sign_in("boss", "周总", "administrator")
    for door in CONSOLE:
        if door.is_write:
            page = await call(boss, door, csrf="")
            assert (page.status, "页面已过期" in page) == (403, True), door
    assert await boss.world.rows(audit_entry) == []


@pytest.mark.parametrize("role", ["member", "manager", "operator", "no-rights", "only-tags", "own-customers"])
async def test_a_role_is_refused_every_route_that_it_has_no_right_for(sign_in: SignIn, world: World, role: str) -> None:
    """And what it may read comes up: a page, or a word that there is no such thing."""
    await world.services.db.write(add_own_roles, world.clock.now())
    visitor = await sign_in("somebody", "小王", role)
    allowed = BUILT_IN.get(role) or next(own for own in OWN_ROLES if own.key == role)
    for door in CONSOLE:
        asked = need(door)
        if not asked.module:
            continue
        may = allowed.may(asked.module, asked.right) and (allowed.reach == ALL or not asked.is_whole)
        if may and "{person_id}" in door.pattern and allowed.reach != ALL:
            may = False  # nobody's customer
        if not may:
            page = await call(visitor, door)
            if door.pattern == "/console/" and allowed.may_enter:
                assert page.status == 303, door
            else:
                assert page.status == 403, door
                assert asked.title in page or "数据范围" in page or "全店的客户" in page, door
        elif not door.is_write:
            assert (await call(visitor, door)).status in (200, 302, 303, 404, 422), door


OWN_ROLES = (
    made_of("no-rights", "没有权限", (), ALL, ()),
    made_of("only-tags", "只管标签", ("tags:edit",), ALL, ()),
    made_of(
        "own-customers", "自己的客户", ("customers:view", "customers:edit", "playbooks:view", "sends:view"), "own", ()
    ),
)


def add_own_roles(conn: Any, now: Any) -> None:
    for role in OWN_ROLES:
        save_role(conn, role, by="boss", now=now)


async def test_the_menu_shows_only_what_opens(sign_in: SignIn, world: World) -> None:
    await world.services.db.write(add_own_roles, world.clock.now())
    visitor = await sign_in("somebody", "小王", "own-customers")
    page = await visitor.get("/console/customers")
    menu = [link for link in page.links if link.startswith("/console/") and link != "/console/account"]
    assert {"/console/customers", "/console/playbooks", "/console/sends"} <= set(menu)
    assert "/console/access" not in menu
    assert "/console/merge" not in menu
    for link in menu:
        assert (await visitor.get(link)).status in (200, 303), link


async def test_every_write_of_the_console_leaves_a_row(sign_in: SignIn, world: World) -> None:
    boss = await sign_in("boss", "周总", "administrator")
    seen = 0
    for door in CONSOLE:
        if not (door.is_write and need(door).is_logged) or door.pattern == "/console/logout":
            continue
        page = await call(boss, door)
        assert page.status < 500, (door, page.text[:300])
        rows = (await world.rows(audit_entry))[seen:]
        assert rows, door
        seen += len(rows)
        row = rows[-1]
        assert (row.actor, row.actor_name, row.way) == ("boss", "周总", "console")
        assert (row.module, row.words) == (need(door).module, words_of(door.method, door.pattern, params_of(door)))
        assert row.route == f"{door.method} {door.path}"
        assert row.address == "127.0.0.1"
        assert (row.outcome in ("refused", "none")) == (page.status >= 400 or page.status == 200), (door, row.outcome)


def params_of(door: Door) -> dict[str, str]:
    names = re.findall(r"\{(\w+)\}", door.pattern)
    found = re.fullmatch(re.sub(r"\\\{\w+\\\}", "([^/]+)", re.escape(door.pattern)), door.path)
    assert found is not None, door
    return dict(zip(names, found.groups(), strict=True))


async def test_a_key_needs_the_scope_of_each_route(world: World) -> None:
    write, now = world.services.db.write, world.clock.now()
    for door in API:
        asked = need(door)
        scope = right(asked.module, asked.right)
        key = await write(make_key, "all-but-one", "scoped", now=now, scopes=EVERY_RIGHT - {scope})
        response = await world.client.request(door.method, door.path, headers={"Authorization": f"Bearer {key}"})
        told = await response.json()
        assert (response.status, told.get("missing_scope")) == (403, scope), door
        assert asked.title in told["error"]["message"]
        only = await write(make_key, "only-this", "scoped", now=now, scopes={scope})
        response = await world.client.request(door.method, door.path, headers={"Authorization": f"Bearer {only}"})
        assert "missing_scope" not in await response.text(), door
        assert response.status < 500, door


async def test_every_write_of_the_api_leaves_a_row(world: World) -> None:
    write = world.services.db.write
    key = await write(make_key, "erp", "administrator", now=world.clock.now(), sees_private=True)
    readonly = await write(make_key, "bi", "readonly", now=world.clock.now())
    seen = 0
    for door in API:
        if need(door).is_logged:
            for which in (key, readonly):
                headers = {"Authorization": f"Bearer {which}"}
                response = await world.client.request(door.method, door.path, headers=headers)
                rows = (await world.rows(audit_entry))[seen:]
                seen += len(rows)
                assert [row.actor for row in rows][:1] == ["api:erp" if which is key else "api:bi"], door
                assert {row.way for row in rows} == {"api"}
                if which is readonly:
                    assert (response.status, rows[0].outcome) == (403, "refused"), door
    assert seen > 20
    assert not [row for row in await world.rows(audit_entry) if key in str(row) or readonly in str(row)]

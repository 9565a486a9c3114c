"""Media ids: made when first needed, made anew before they die, only for what is in use, a few at a time."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest

from scrm.content.media import copies, store
from scrm.content.media.library import add_original, path_of
from scrm.content.media.models import media_copy
from scrm.errors import NotFound
from tests.content.media.test_library import MP4, PNG
from tests.mass_messages.conftest import House


def uploads(house: House, path: str = "media/upload") -> list[Any]:
    return [call for call in house.sandbox.call_log if call.endpoint == path and call.errcode == 0]


async def test_an_original_is_kept_once_and_uploaded_when_first_needed(house: House) -> None:
    sha256 = await add_original(house.services, "封面.png", PNG, added_by="lina")
    assert sha256 == hashlib.sha256(PNG).hexdigest() == await add_original(house.services, "同一张.png", PNG)
    first = await copies.ensure_copy(house.services, sha256, copies.MESSAGE)
    assert await copies.ensure_copy(house.services, sha256, copies.MESSAGE) == first
    media = house.sandbox.world.media[first]
    assert (media.filename, media.content, media.kind) == ("封面.png", PNG, "image")
    moment = await copies.ensure_copy(house.services, sha256, copies.IN_MOMENT)
    picture = await copies.ensure_copy(house.services, sha256, copies.PICTURE)
    assert house.sandbox.world.media[moment].door == "attachment"
    assert picture.startswith("http")
    house.clock.advance(days=30)
    assert await copies.ensure_copy(house.services, sha256, copies.PICTURE) == picture
    assert await copies.ensure_copy(house.services, sha256, copies.MESSAGE) != first


async def test_what_is_in_use_is_renewed_before_it_dies_and_never_in_a_burst(house: House) -> None:
    names = [await add_original(house.services, f"{n}.mp4", MP4 + bytes([n])) for n in range(10)]
    idle = await add_original(house.services, "idle.png", PNG)
    await copies.ensure_copy(house.services, idle, copies.MESSAGE)
    await house.services.db.write(store.wish, "playbook:new-customer", [(name, copies.MESSAGE) for name in names])
    rounds = 0
    while await copies.renew(house.services):
        rounds += 1
        assert len(uploads(house)) <= 1 + rounds * copies.AT_A_TIME
    assert len(uploads(house)) == 11
    for _ in range(4 * 24):  # four days, hour by hour
        house.clock.advance(hours=1)
        now = house.clock.now()
        while await copies.renew(house.services):
            pass
        living = await house.services.db.read(store.find_all_living, [(name, copies.MESSAGE) for name in names], now)
        assert len(living) == 10
    assert len(uploads(house)) == 21
    await house.services.db.write(store.wish, "playbook:new-customer", [])
    house.clock.advance(days=4)
    assert await copies.renew(house.services) == 0


async def test_two_processes_never_renew_the_same(house: House) -> None:
    sha256 = await add_original(house.services, "a.png", PNG)
    await house.services.db.write(store.wish, "script:1", [(sha256, copies.MESSAGE)])
    now = house.clock.now()
    assert await house.services.db.write(store.claim_due, now, 4) == [(sha256, copies.MESSAGE)]
    assert await house.services.db.write(store.claim_due, now, 4) == []
    assert await house.services.db.write(store.claim_due, now + timedelta(minutes=6), 4) != []  # its owner died


async def test_a_failed_renewal_is_tried_again_and_the_old_id_lives_on(house: House) -> None:
    sha256 = await add_original(house.services, "a.png", PNG)
    await house.services.db.write(store.wish, "script:1", [(sha256, copies.MESSAGE)])
    await copies.renew(house.services)
    house.clock.advance(days=2, hours=12)
    house.sandbox.faults.fail_next("media/upload", 45009)
    assert await copies.renew(house.services) == 0
    (row,) = await house.rows(media_copy)
    assert (row.errcode, row.media_id != "") == (45009, True)
    house.clock.advance(hours=1, minutes=1)
    assert await copies.renew(house.services) == 1
    path_of(house.services.settings.content.media_dir, sha256).unlink()
    with pytest.raises(NotFound, match="请重新上传"):
        await copies.make_copy(house.services, sha256, copies.MESSAGE)


async def test_a_file_that_wecom_fetches_itself_is_there_after_its_event(house: House) -> None:
    sha256 = await add_original(house.services, "big.mp4", MP4)
    jobid = await copies.upload_from_address(house.services, sha256, "https://files.example.test/big.mp4", "0" * 32)
    assert await house.services.db.read(store.find_living, sha256, copies.GROUP_WELCOME, house.clock.now()) == ""
    assert await copies.take_job(house.services, jobid)
    living = await house.services.db.read(store.find_living, sha256, copies.GROUP_WELCOME, house.clock.now())
    assert living.startswith("3*1*")
    assert not await copies.take_job(house.services, "of-somebody-else")

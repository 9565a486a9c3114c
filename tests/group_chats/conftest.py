"""The shop's world with customer groups in WeCom."""

import pytest

from tests.fakes.group_chats import FakeGroups
from tests.fakes.wecom import FakeWeCom


@pytest.fixture
def groups(wecom: FakeWeCom) -> FakeGroups:
    return FakeGroups(wecom)

"""Who may see which private fields; the one place that decides it.

Every page, search, export and answer of the API shows masks. A field in clear is an act of its own: asked for by
somebody who may, with a reason, and noted (scrm.privacy.reveal).
"""

# What each is called for people.
FIELDS: dict[str, str] = {"phone": "手机号", "receiver": "收货人", "address": "收货地址"}

# Roles of the console; what is not named here sees masks only.
_MAY_REVEAL: dict[str, frozenset[str]] = {
    "administrator": frozenset(FIELDS),
    "manager": frozenset({"phone", "receiver", "address"}),
    "member": frozenset(),
    "readonly": frozenset(),
}
# Who may take out or erase a whole person.
_MAY_DISPOSE = frozenset({"administrator"})


def may_reveal(role: str) -> frozenset[str]:
    """The private fields that somebody of this role may ask to see in clear; nobody sees them unasked."""
    return _MAY_REVEAL.get(role, frozenset())


def may_dispose(role: str) -> bool:
    """Whether this role may export or erase a person."""
    return role in _MAY_DISPOSE

"""Who an order goes to, kept sealed: opened to be shown to those who may see it, or to be compared."""

import json
from typing import Any

from scrm.db.vault import Vault


def open_receiver(sealed: str, vault: Vault) -> dict[str, Any]:
    """An order's receiver in clear: name, phone, province, city, district, address; empty when it cannot be opened."""
    try:
        found = json.loads(vault.open(sealed)) if sealed else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

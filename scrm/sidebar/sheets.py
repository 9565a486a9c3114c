"""What the sheets of the page share: the door, and how a sheet ends when what it was opened for is done."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from aiohttp import web
from sqlalchemy import Connection

from scrm.profiles.store import access_contact
from scrm.sidebar.cards.visit import Visit

P = ParamSpec("P")
T = TypeVar("T")


def enter(conn: Connection, visit: Visit) -> Visit:
    """Through the door, at each request: raises Forbidden when the member does not follow the contact (any more)."""
    visit.relation = access_contact(conn, visit.userid, visit.external_userid)
    return visit


def behind_door(
    work: Callable[Concatenate[Connection, Visit, P], T],
) -> Callable[Concatenate[Connection, Visit, P], T]:
    """For what is given to `db.read` and `db.write`: the member's right is asked in the same transaction."""

    def guarded(conn: Connection, visit: Visit, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return work(conn, enter(conn, visit), *args, **kwargs)

    return guarded


def close_sheet(response: web.Response) -> web.Response:
    """The page closes its sheet (islands/sidebar/sheet.js), and the focus goes back to where it was opened."""
    response.headers["HX-Trigger"] = "sheet:done"
    return response


def back_to_sheet(response: web.Response) -> web.Response:
    """The sheet itself anew, though the form aims at the page: something in it has to be mended."""
    response.headers["HX-Retarget"] = "#sheet"
    response.headers["HX-Reswap"] = "innerHTML"
    return response

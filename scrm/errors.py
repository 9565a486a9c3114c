"""Errors that a person can cause or mend; anything else is a bug and becomes a plain 500."""

from collections.abc import Mapping


class ScrmError(Exception):
    """Text for the reader, in the reader's language; `status` is the HTTP answer, `code` is for programs."""

    status = 400
    code = "bad_request"

    def __init__(self, text: str, **details: object) -> None:
        super().__init__(text)
        self.text = text
        self.details: Mapping[str, object] = details


class Invalid(ScrmError):
    """What came in cannot be used; the text says what was found and what was expected."""

    status = 422
    code = "invalid"


class Unauthorized(ScrmError):
    """Nobody is signed in, or the key is unknown."""

    status = 401
    code = "unauthorized"


class Forbidden(ScrmError):
    """The person is known and may not."""

    status = 403
    code = "forbidden"


class NotFound(ScrmError):
    """There is no such thing, or not for this reader."""

    status = 404
    code = "not_found"


class Conflict(ScrmError):
    """The state has moved on, or the thing is done already."""

    status = 409
    code = "conflict"


class Unavailable(ScrmError):
    """Something outside does not answer at the moment; trying again helps."""

    status = 503
    code = "unavailable"


class WrongUse(Exception):
    """A command was called wrongly or a setting is wrong: one line on stderr, exit code 2."""

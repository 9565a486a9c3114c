"""What is wrong with a row, as against what is wrong with the database."""

from sqlalchemy.exc import DataError, IntegrityError

# Of a batch that fails with one of these, the other rows can be kept one by one. Anything else passes, so work waits.
ABOUT_A_ROW = (DataError, IntegrityError, ValueError, TypeError, LookupError, AttributeError, AssertionError)

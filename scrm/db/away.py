"""Whether it is the database that failed, not the code that asked it: then there is no bug to look for."""

import sqlite3

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

# What SQLite says, and the cause in words.
_SQLITE = (
    ("is full", "磁盘满了"),
    ("is locked", "数据库文件被别的程序占着"),
    ("readonly", "数据库文件不能写"),
    ("unable to open", "数据库文件打不开"),
    ("disk I/O", "读写磁盘出错"),
    ("malformed", "数据库文件损坏，请从备份恢复"),
)
# How PostgreSQL's own codes begin.
_POSTGRESQL = (
    ("08", "数据库连不上"),
    ("57P", "数据库正在停止或启动"),
    ("53100", "数据库服务器的磁盘满了"),
    ("53", "数据库服务器的连接或内存用完了"),
    ("25006", "数据库是只读的"),
    ("55P03", "数据库的表被别的事务占着"),
)
# Raised by the operating system itself, without a driver around it.
_NOBODY_THERE = (ConnectionRefusedError, ConnectionAbortedError, BrokenPipeError)


def why_away(error: BaseException) -> str:
    """The cause in words when the database cannot be used at the moment; empty for every other error."""
    if isinstance(error, PoolTimeout):
        return "数据库的连接都在忙"
    if type(error) in _NOBODY_THERE:
        return "数据库连不上"
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(cause, sqlite3.Error):
        return next((words for sign, words in _SQLITE if sign in str(cause)), "")
    code = str(getattr(cause, "sqlstate", None) or "")
    known = next((words for begin, words in _POSTGRESQL if code.startswith(begin)), "")
    is_broken = isinstance(error, DBAPIError) and (error.connection_invalidated or "connection is closed" in str(cause))
    return known or ("数据库连不上" if is_broken else "")

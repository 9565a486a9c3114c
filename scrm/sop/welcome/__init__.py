"""The welcome: which one, to whom, once; sent within the twenty seconds a welcome code lives (doc 92137).

`prepare` decides and writes the intent in one transaction, `deliver` calls WeCom and nothing else, `record_many` keeps
what came of it. Whatever is slow (the contact's name) runs beside them and may be late.
"""

from scrm.sop.welcome.composing import compose
from scrm.sop.welcome.delivering import deliver
from scrm.sop.welcome.intents import Added, Prepared
from scrm.sop.welcome.preparing import prepare, prepare_many
from scrm.sop.welcome.recording import Settled, record_many

__all__ = ["Added", "Prepared", "Settled", "compose", "deliver", "prepare", "prepare_many", "record_many"]

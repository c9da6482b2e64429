"""The journal: every reply of a model is on disk before anyone sees it, so that none is paid twice.

Flows one way: rows → schema → file (SQLite) → keeper (trouble with the file) → writer (the thread) →
store (`Journal`) → opening (`open_journal`).
"""

from text_lloom.llm.journal.file import ModelShare
from text_lloom.llm.journal.opening import open_journal
from text_lloom.llm.journal.store import Journal, JournalInfo

__all__ = ["Journal", "JournalInfo", "ModelShare", "open_journal"]

"""The journal: every reply of a model is on disk before anyone sees it, so that none is paid twice."""

from text_lloom.llm.cache.file import ModelShare
from text_lloom.llm.cache.journal import Journal, JournalInfo, open_journal

__all__ = ["Journal", "JournalInfo", "ModelShare", "open_journal"]

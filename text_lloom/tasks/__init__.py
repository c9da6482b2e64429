"""What is asked of a model: one typed question per operator."""

from text_lloom.tasks.base import (
    DocumentTask,
    LongDocuments,
    Stage,
    Task,
    Template,
    WindowedTask,
    check_long_documents,
)
from text_lloom.tasks.distill import FilterQuotes, SummarizeDocument
from text_lloom.tasks.map import MapDocument
from text_lloom.tasks.review import (
    Candidate,
    MatchConcepts,
    MergeGroup,
    Removal,
    ReviewMerge,
    ReviewRemove,
    SelectConcepts,
)
from text_lloom.tasks.score import Scored, ScoreDocuments
from text_lloom.tasks.summarize import SummarizeConcept
from text_lloom.tasks.synthesize import Item, Pattern, SynthesizeConcepts

__all__ = [
    "Candidate",
    "DocumentTask",
    "FilterQuotes",
    "Item",
    "LongDocuments",
    "MapDocument",
    "MatchConcepts",
    "MergeGroup",
    "Pattern",
    "Removal",
    "ReviewMerge",
    "ReviewRemove",
    "ScoreDocuments",
    "Scored",
    "SelectConcepts",
    "Stage",
    "SummarizeConcept",
    "SummarizeDocument",
    "SynthesizeConcepts",
    "Task",
    "Template",
    "WindowedTask",
    "check_long_documents",
]

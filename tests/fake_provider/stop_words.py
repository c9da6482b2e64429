"""Words that say nothing about the subject of a text."""

from __future__ import annotations

from typing import Final

__all__ = ["STOP_WORDS"]

_WORDS = """
a about above after again against all allow allows almost also although always am an and another any anyone
anything are aren't around as at away back based be became because been before being below between both but
by came can can't cannot come comes continue could couldn't day demonstrate demonstrated demonstrates did
didn't do does doesn't doing don't done down during each either else enable enabled enables enough
especially even ever every everyone everything few find first for from further gave get gets getting give
given go goes going gone good got great had hadn't has hasn't have haven't having he he'd he'll he's her
here hers herself him himself his how however i i'd i'll i'm i've if in include includes including into is
isn't it it's its itself just keep kind know known last later least less let let's like likely little long
look lot made main make makes making many may maybe me might mine more most much must my myself natural need
needs never new next no none nor not nothing novel now of off often oh ok on once one ones only onto or
other others our ours ourselves out over own paper per perhaps please present presented presents propose
proposes provide provided provides put quite rather really remain remember said same saw say says see seen
several shall she she's should shouldn't show shows since so some someone something sometimes soon still
such suggest suggests sure take taken than thank thanks that that's the their theirs them themselves then
there there's therefore these they they'd they'll they're they've thing things think this those though three
through thus to today together too toward towards traditional two under until up upon us use used uses using
usually various very via want wants was wasn't way ways we we'd we'll we're we've well went were weren't
what what's when where whether which while who who's whole whom whose why will with within without won't
would wouldn't yes yet you you'd you'll you're you've your yours yourself
"""

STOP_WORDS: Final = frozenset(_WORDS.split())

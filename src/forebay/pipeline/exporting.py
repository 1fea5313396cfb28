"""placeholder while table.export lands"""
from __future__ import annotations
def up_to_date(*a): return None
def write(*a): raise NotImplementedError

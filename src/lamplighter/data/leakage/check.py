"""All leakage checks in one call."""

from __future__ import annotations

from lamplighter.data.leakage import columns, content, structure
from lamplighter.data.leakage.duplicates import exact
from lamplighter.data.leakage.finding import Finding
from lamplighter.data.leakage.near import near_duplicates
from lamplighter.data.source import Source


def check(source: Source, seed: int = 0) -> list[Finding]:
    """Everything suspicious about a source's splits and columns; an empty list when nothing is.

    Looks for rows that stand in two splits, exactly or nearly; columns that are the target or predict it alone;
    groups (patients, users, ...) on both sides of a split; and, where there are dates, training rows that are younger
    than the rows they are judged on. Test targets are not looked at.

    Args:
        source: with its splits.
        seed: of samples and folds.

    Returns:
        Findings, the certain ones first.
    """
    rows = content.read(source)
    found = [each for each in (exact(rows, source), near_duplicates(rows, source, seed)) if each]
    if rows.columns is not None:
        found += columns.target_copies(rows) + columns.lone_predictors(rows, seed)
    found += structure.divided_groups(rows, source) + structure.time_order(rows, source)
    return sorted(found, key=lambda finding: not finding.certain)

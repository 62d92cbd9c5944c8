"""What is found about a dataset: when it is opened, and by the doctor in full."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

Severity = Literal["error", "warning", "note"]
EXAMPLES = 3  # subjects named of many of a kind


@dataclass(frozen=True)
class Finding:
    """One fault, or one thing a reader of the results should know.

    Attributes:
        severity: An *error* makes results wrong or an evaluation fail; a *warning* is worth a look; a *note* says what
            is scored, left out or counted.
        split: Split it was found in.
        kind: What kind of fault ("box outside the image").
        subject: The image, file or class.
        detail: What exactly, with file and line where it is written down.
    """

    severity: Severity
    split: str
    kind: str
    subject: str
    detail: str = ""

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.kind, self.subject, self.detail)))


@dataclass(frozen=True)
class FindingGroup:
    """All findings of one severity, split and kind.

    Attributes:
        findings: At least one.
    """

    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding:
        """The first of them, which stands for all."""
        return self.findings[0]

    def __len__(self) -> int:
        return len(self.findings)

    def __str__(self) -> str:
        """One line: the kind, the first case in full, and how many more there are."""
        more = f" (and {len(self) - 1} more)" if len(self) > 1 else ""
        return f"{self.first}{more}"

    @property
    def examples(self) -> str:
        """The first subjects, and how many more there are."""
        names = ", ".join(finding.subject for finding in self.findings[:EXAMPLES])
        return names + (f" … and {len(self) - EXAMPLES} more" if len(self) > EXAMPLES else "")

    def as_record(self) -> dict[str, object]:
        """The group as plain data, for results.json."""
        first = self.first
        return {
            "severity": first.severity,
            "kind": first.kind,
            "count": len(self),
            "examples": [f"{f.subject}: {f.detail}" if f.detail else f.subject for f in self.findings[:EXAMPLES]],
        }


def grouped(findings: Iterable[Finding]) -> list[FindingGroup]:
    """Findings of one severity, split and kind together; groups in the order in which they first appear.

    >>> grouped([Finding("error", "val", "mask empty", "a"), Finding("error", "val", "mask empty", "b")])[0].examples
    'a, b'
    """
    place: dict[tuple[str, str, str], int] = {}
    ordered = sorted(findings, key=lambda f: place.setdefault((f.severity, f.split, f.kind), len(place)))
    return [FindingGroup(tuple(of_kind)) for _, of_kind in groupby(ordered, lambda f: (f.severity, f.split, f.kind))]

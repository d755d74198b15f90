"""When findings are reported, confirmed and withdrawn."""

from __future__ import annotations

import pytest

from gankit_health.findings import Finding, FindingLog, percent


def said(events):
    return [(event.kind, event.finding) for event in events]


class TestFindingLog:
    def test_a_sure_finding_is_reported_immediately_and_once(self):
        standing, sure = FindingLog(), [Finding("a", "A.", {"x": 1}, sure=True)]
        (event,) = standing.update(["a"], sure)
        assert event.record() == {"event": "finding", "finding": "a", "message": "A.", "figures": {"x": 1}}
        assert standing.update(["a"], sure) == []
        assert "a" in standing

    def test_an_unsure_finding_needs_two_checks_in_a_row(self):
        standing, doubt = FindingLog(), [Finding("a", "A.")]
        assert standing.update(["a"], doubt) == []
        assert standing.suspects(["a"])
        assert standing.update(["a"], []) == []
        assert not standing.suspects(["a"])
        assert standing.update(["a"], doubt) == []
        assert said(standing.update(["a"], doubt)) == [("finding", "a")]

    def test_the_end_of_a_finding_is_reported_and_it_may_return(self):
        standing, sure = FindingLog(), [Finding("a_b", "A.", sure=True)]
        standing.update(["a_b"], sure)
        assert standing.update(["c"], []) == []  # nobody looked
        (event,) = standing.update(["a_b"], [])
        assert event.record() == {"event": "recovered", "finding": "a_b", "message": "a b: no longer seen."}
        assert said(standing.update(["a_b"], sure)) == [("finding", "a_b")]

    def test_state_round_trip(self):
        standing, other = FindingLog(), FindingLog()
        standing.update(["a", "b"], [Finding("a", "A.", sure=True), Finding("b", "B.")])
        other.load_state_dict(standing.state_dict())
        again = [Finding("a", "A.", sure=True), Finding("b", "B.")]
        assert said(other.update(["a", "b"], again)) == [("finding", "b")]

    def test_a_rolled_back_run_does_not_report_again(self):
        standing, sure = FindingLog(), [Finding("a", "A.", sure=True)]
        before = standing.state_dict()
        standing.update(["a"], sure)
        standing.load_state_dict(before)
        assert standing.update(["a"], sure) == []


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0%"), (0.00004, "0.004%"), (0.0123, "1.2%"), (0.1, "10%"), (0.876, "88%"), (1.0, "100%")],
)
def test_percent(share, text):
    assert percent(share) == text

"""The checks, the plan and the reports of the benchmark; speeds are not tested."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bench.contender import WrongResult
from bench.contenders import JOURNAL, LIMIT, PEERS, PROJECT
from bench.figures import FIGURES
from bench.instructions.__main__ import compare
from bench.measurement import measure
from bench.page import BEGIN, END, compose, compose_summary, write_docs
from bench.picture import draw
from bench.plan import make_plan
from bench.promises import PROMISES, evaluate
from bench.results import Outcome, Results
from bench.scale import QUICK

SCALE = dataclasses.replace(QUICK, round_trips=50, no_ops=50, events=100, paced_events=20)
BENCHMARKS = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def import_path_of_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS), prepend=os.pathsep)


def figures_of(workload: str, name: str) -> dict[str, float]:
    output: dict[str, Any] = measure(workload, [name], SCALE)[name]
    figures: dict[str, float] = output["figures"]
    return figures


def test_limit_and_project_are_measured(tmp_path: Path) -> None:
    kept = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "--quick", "--json", str(kept), "round-trip"]
    subprocess.run(command, check=True)
    results = Results.load(kept)
    assert set(results.contenders) == {LIMIT, PROJECT, JOURNAL}
    assert all(results.median("round-trip.p50", contender) for contender in results.contenders)
    assert results.versions[PROJECT]["zmqruntime-execution"]


@pytest.mark.parametrize("name", [LIMIT, PROJECT])
def test_each_report_is_received(name: str) -> None:
    assert figures_of("progress", name)["received"] == SCALE.events


@pytest.mark.parametrize(
    "workload",
    ["round-trip", "throughput", "obvious-loop", "progress", "paced", "queue", "cold-start"],
)
def test_correct_contender_has_figures(workload: str) -> None:
    figures = figures_of(workload, "faulty_contenders:Correct")
    known = {figure.key for figure in FIGURES.values() if figure.workload == workload}
    assert figures.keys() & known


@pytest.mark.parametrize(
    ("contender", "workload", "message"),
    [
        ("WrongResults", "round-trip", "the result: 6 instead of 7"),
        ("WrongResults", "throughput", "the results"),
        ("WrongResults", "obvious-loop", "the results"),
        ("RepeatsReport", "progress", "duplicated or out of order"),
        ("RepeatsReport", "paced", "duplicated or out of order"),
        ("ForgetsTask", "queue", "the number of queued tasks"),
    ],
)
def test_wrong_results_raise(contender: str, workload: str, message: str) -> None:
    with pytest.raises(WrongResult, match=message):
        figures_of(workload, f"faulty_contenders:{contender}")


def test_wrong_result_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    command = [
        sys.executable,
        "-m",
        "bench",
        "--quick",
        "--only",
        "faulty_contenders:WrongResults",
        "round-trip",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "6 instead of 7" in " ".join(done.stdout.split())


def test_lost_report_breaks_a_promise() -> None:
    figures = figures_of("progress", "faulty_contenders:LosesReport")
    assert figures["lost"] == 1
    results = Results({}, outcomes=[Outcome("progress", PROJECT, 0, figures)])
    (verdict,) = (v for v in evaluate(results) if v.promise.figure == "progress.lost")
    assert not verdict.kept


def two_runs(ours: list[float], limits: list[float]) -> Results:
    outcomes = [
        Outcome("round-trip", contender, n, {"p50": value, "p99": value})
        for contender, values in ((PROJECT, ours), (LIMIT, limits))
        for n, value in enumerate(values)
    ]
    return Results({"python": "3"}, outcomes=outcomes)


def test_ratio_is_taken_within_each_repetition() -> None:
    # The machine was ten times as slow the second time.
    results = two_runs([0.14, 1.4, 0.2], [0.1, 1.0, 0.1])
    assert results.ratio("round-trip.p50", PROJECT, LIMIT) == pytest.approx(1.4)
    verdicts = {v.promise: v.kept for v in evaluate(results)}
    assert {p.bound: kept for p, kept in verdicts.items() if p.figure == "round-trip.p50"} == {
        1.5: True
    }


def test_ratio_uses_figures_that_were_measured_in_turns() -> None:
    results = Results({"python": "3"})
    for ours, p50, limit in ((PROJECT, 0.3, 0.2), (JOURNAL, 1.0, 0.4)):
        for name, found, other in ((LIMIT, limit, ours), (ours, p50, LIMIT)):
            results.outcomes.append(Outcome("round-trip", name, 0, {"p50": found}, "", (other,)))
    assert results.ratio("round-trip.p50", PROJECT, LIMIT) == pytest.approx(1.5)
    assert results.ratio("round-trip.p50", JOURNAL, LIMIT) == pytest.approx(2.5)
    assert results.ratio("round-trip.p50", JOURNAL, PROJECT) == pytest.approx(1 / 0.3)
    assert results.median("round-trip.p50", LIMIT) == pytest.approx(0.3)


def test_slow_project_breaks_a_promise() -> None:
    assert not all(verdict.kept for verdict in evaluate(two_runs([0.2], [0.1])))


def test_promises_are_about_known_figures() -> None:
    assert all(promise.figure in FIGURES for promise in PROMISES)
    assert all(str(promise) for promise in PROMISES)


def test_order_of_contenders_is_rotated(tmp_path: Path) -> None:
    plan = make_plan(["throughput"], [LIMIT, PROJECT, "ray"], 3, tmp_path)
    assert [step.contenders[0] for step in plan] == [
        *(LIMIT, PROJECT, "ray"),
        *(PROJECT, "ray", LIMIT),
        *("ray", LIMIT, PROJECT),
    ]
    assert {step.python for step in plan if step.contenders == ("ray",)} != {Path(sys.executable)}


def test_contender_is_measured_in_turns_with_the_limit_only(tmp_path: Path) -> None:
    plan = make_plan(["round-trip"], [LIMIT, PROJECT, JOURNAL, "rq"], 1, tmp_path)
    assert [step.contenders for step in plan] == [(LIMIT, PROJECT), (LIMIT, JOURNAL), ("rq",)]
    alone = make_plan(["round-trip"], [PROJECT, JOURNAL], 1, tmp_path)
    assert [step.contenders for step in alone] == [(PROJECT,), (JOURNAL,)]


def test_workloads_with_a_large_spread_are_repeated_more_often(tmp_path: Path) -> None:
    plan = make_plan(["cancel", "spin"], [LIMIT, PROJECT, "ray"], 3, tmp_path)
    count = Counter((step.workload, *step.contenders) for step in plan)
    assert {("spin", name): 7 for name in (LIMIT, PROJECT)}.items() <= count.items()
    assert {("cancel", name): 3 for name in (LIMIT, PROJECT)}.items() <= count.items()
    assert count["spin", "ray"] == count["cancel", "ray"] == 3
    assert len(make_plan(["spin"], [LIMIT, PROJECT], 1, tmp_path)) == 2


def test_peers_have_requirements() -> None:
    files = {path.stem for path in (BENCHMARKS / "requirements").glob("*.txt")}
    assert files == set(PEERS)


def test_pages_and_picture_show_every_contender() -> None:
    results = two_runs([0.14], [0.1])
    results.outcomes.append(Outcome("cancel", "huey", 0, unable="cannot & will not"))
    figures = "\n".join(compose(results, list(evaluate(results))))
    summary = "\n".join(compose_summary(results))
    assert "0.140\N{NO-BREAK SPACE}ms" in figures
    assert "0.140\N{NO-BREAK SPACE}ms" in summary
    assert "huey, cancel: cannot & will not" in figures
    assert PROJECT in draw(results)


def test_written_part_of_a_page_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.page._DOCS", tmp_path)
    monkeypatch.setattr("bench.page._KEPT", tmp_path / "results.json")
    pages = [tmp_path / "performance.md", tmp_path / "figures.md"]
    for page in pages:
        page.write_text(f"before\n{BEGIN}\noutdated\n{END}\nafter\n")
    for _ in range(2):
        write_docs(two_runs([0.14], [0.1]), [])
    for page in pages:
        text = page.read_text()
        assert text.startswith(f"before\n{BEGIN}\n")
        assert text.endswith(f"{END}\nafter\n")
        assert "outdated" not in text
        assert "| **zmqruntime** |" in text


def test_page_without_marks_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.page._DOCS", tmp_path)
    (tmp_path / "performance.md").write_text("no marks")
    with pytest.raises(ValueError, match="missing mark"):
        write_docs(two_runs([0.14], [0.1]), [])


def test_saved_results_load_unchanged(tmp_path: Path) -> None:
    results = two_runs([0.14], [0.1])
    results.save(tmp_path / "kept.json")
    assert Results.load(tmp_path / "kept.json") == results
    json.loads((tmp_path / "kept.json").read_text())


def test_growth_is_compared_for_each_path() -> None:
    assert compare({"ping": 115, "new": 1}, {"ping": 100}) == {
        "ping": pytest.approx(0.15),
        "new": 0.0,
    }

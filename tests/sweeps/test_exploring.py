"""What docs/sweeps.md asks of a sweep's folder with other tools, where these are installed."""

import re
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest

pytest.importorskip("pyarrow", reason="recording needs pyarrow (extra 'sweep')")

from hybridsim.sweeps import run_study

PAGE = Path(__file__).parents[2] / "docs" / "sweeps.md"


def query() -> str:
    """The question that the page asks DuckDB."""
    (text,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(text)


def test_duckdb_finds_the_best_of_each_rank(studies, tmp_path: Path, monkeypatch) -> None:
    duckdb = pytest.importorskip("duckdb", reason="needs DuckDB")
    table = run_study(studies.inputs(keep=["latency_ps", "energy_pj"]), tmp_path).table
    monkeypatch.chdir(tmp_path)
    found = duckdb.sql(query()).fetchall()
    best = table.loc[table.groupby("adapters.rank")["energy_pj"].idxmin()]
    assert {rank: energy for rank, energy, _ in found} == dict(
        zip(best["adapters.rank"], best["energy_pj"], strict=True)
    )
    parts = duckdb.sql("SELECT count(DISTINCT point) FROM 'part-*.parquet'").fetchall()
    assert parts == [(len(table),)]


def test_the_dashboard_shows_the_trials_of_a_search(studies, tmp_path: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard", reason="needs optuna-dashboard")
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    from hybridsim.sweeps.search import search

    search(studies.inputs(), trials=3, out=tmp_path)
    application = dashboard.wsgi(JournalStorage(JournalFileBackend(str(tmp_path / "optuna.log"))))
    request = {"PATH_INFO": "/api/studies", "REQUEST_METHOD": "GET"}
    setup_testing_defaults(request)
    answer = b"".join(application(request, lambda *_: None))
    assert b"small" in answer

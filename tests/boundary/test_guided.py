"""What a fuzzer guided by coverage kept: small inputs that reach different places of readers."""

from pathlib import Path

import pytest

from tests.boundary import guided

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_an_input_of_the_corpus_is_an_answer_or_one_sentence(path: Path, tmp_path: Path) -> None:
    guided.try_one(tmp_path, path.read_bytes())


def test_every_way_has_inputs_and_what_is_raised_gets_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = {path.read_bytes()[0] % len(guided.WAYS) for path in CORPUS.iterdir()}
    assert ways == {*range(len(guided.WAYS))}

    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(guided, "read_table", broken)
    with pytest.raises(RuntimeError):
        guided.try_one(tmp_path, b"\x04arrival,task\n0 s,a\n")

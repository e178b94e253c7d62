import io
import tarfile
import zipfile

import pytest

from hybridsim.errors import SpecError, UnknownNameError
from hybridsim.training.data import load_split, read_table, read_vader
from hybridsim.training.study import Data, TableData

RATED = '1\t2.3\tA fine film\n2\t-0.6\tToo tepid\n3\t0\tIt exists\n4\t0.1\tCaf\u00e9 "noir"\n'


def add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def vader(tmp_path):
    """An archive of the same layout as the published one, with four sentences."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as folder:
        add(folder, "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt", RATED.encode())
    file = tmp_path / "vaderSentiment-3.3.2.tar.gz"
    with tarfile.open(file, "w:gz") as outer:
        name = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
        add(outer, name, inner.getvalue())
    return file


def test_ratings_become_signs_and_zero_is_left_out(vader):
    found = read_vader(vader, "movie")
    assert [(e.text, e.label) for e in found] == [
        ("A fine film", "positive"), ("Too tepid", "negative"), ('Café "noir"', "positive"),
    ]  # fmt: skip


def test_other_archives_are_refused(vader, tmp_path):
    with pytest.raises(SpecError, match="cannot be read"):
        read_vader(vader, "tweets")
    wheel = tmp_path / "vaderSentiment-3.3.2-py2.py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(SpecError, match="cannot be read"):
        read_vader(wheel, "movie")
    empty = tmp_path / "empty.tar.gz"
    with tarfile.open(empty, "w:gz"):
        pass
    with pytest.raises(SpecError, match="the wheel has none"):
        read_vader(empty, "movie")


def data(file, train=2, test=2, **source):
    columns = {"kind": "table", "file": file, "text": "sentence", "label": "label"} | source
    return Data(source=columns, train=train, test=test)


def test_a_missing_archive_says_how_to_fetch_it(tmp_path):
    source = {"kind": "vader", "archive": "nowhere.tar.gz", "subset": "movie"}
    with pytest.raises(SpecError, match="pip download"):
        load_split(Data(source=source, train=1, test=1), tmp_path)


def test_a_table_of_glue_reads_quotes_as_text(tmp_path):
    """SST-2's train.tsv has a heading, tabs, and quotation marks that mean nothing."""
    (tmp_path / "train.tsv").write_text('sentence\tlabel\n" hide new\t0\nit\'s "it"\t1\n')
    columns = TableData(file="train.tsv", text="sentence", label="label")
    found = read_table(tmp_path / "train.tsv", columns)
    assert [(e.text, e.label) for e in found] == [('" hide new', "0"), ('it\'s "it"', "1")]


def test_a_pair_task_of_glue_has_two_sentences(tmp_path):
    """MRPC and RTE name two columns."""
    (tmp_path / "dev.tsv").write_text("index\tsentence1\tsentence2\tlabel\n0\tA\tB\tentailment\n")
    columns = TableData(file="dev.tsv", text="sentence1", pair="sentence2", label="label")
    (found,) = read_table(tmp_path / "dev.tsv", columns)
    assert (found.text, found.pair, found.label) == ("A", "B", "entailment")


def table(tmp_path, *labels):
    rows = "".join(f"s{i},{label}\n" for i, label in enumerate(labels))
    (tmp_path / "t.csv").write_text("sentence,label\n" + rows)
    return "t.csv"


def test_the_split_is_decided_by_its_seed_and_shares_nothing(tmp_path):
    made = data(table(tmp_path, *"ab" * 20), train=20, test=20)
    split = load_split(made, tmp_path)
    assert split == load_split(made, tmp_path)
    assert split != load_split(made.model_copy(update={"seed": 1}), tmp_path)
    assert not {e.text for e in split.train} & {e.text for e in split.test}
    assert split.classes == ("a", "b")
    assert split.labels(split.test).sum() == sum(e.label == "b" for e in split.test)


@pytest.mark.parametrize(
    ("labels", "change", "said"),
    [
        ("abab", {"train": 4}, "found 4 sentences; 6"),
        ("aaaa", {}, "found 1 different"),
        ("abbbbbbbbb", {"train": 5, "test": 5}, "class 'a' is empty"),
        ("abab", {"file": "other.csv"}, "does not exist"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path, labels, change, said):
    file = table(tmp_path, *labels)
    with pytest.raises(SpecError, match=said):
        load_split(data(**({"file": file} | change)), tmp_path)


def test_a_wrong_column_is_named_with_those_that_are_there(tmp_path):
    file = table(tmp_path, *"ab")
    with pytest.raises(UnknownNameError, match=r"'labels'.*did you mean 'label'"):
        load_split(data(file, label="labels"), tmp_path)

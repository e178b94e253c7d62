import io
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.errors import SpecError, UnknownNameError
from hybridsim.training.data import load_split, read_table, read_vader
from hybridsim.training.sources import Data, TableData

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
    found, dropped = read_vader(vader, "movie")
    assert dropped == 1
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
        ("abab", {"train": 4}, "found 4 sentences in 4 documents"),
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


def test_ratings_near_neutral_are_left_out_and_counted(vader):
    found, dropped = read_vader(vader, "movie", neutral=0.5)
    assert ([e.text for e in found], dropped) == (["A fine film", "Too tepid"], 2)


def documents(tmp_path, sizes, name="t.csv"):
    rows = [f"s{d}.{i},{'ab'[i % 2]},{d}\n" for d, size in enumerate(sizes) for i in range(size)]
    (tmp_path / name).write_text("sentence,label,review\n" + "".join(rows))
    return name


@given(sizes=st.lists(st.integers(2, 7), min_size=12, max_size=30), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_no_document_is_in_two_parts_and_no_text_twice(tmp_path_factory, sizes, seed):
    folder = tmp_path_factory.mktemp("split")
    made = data(documents(folder, sizes), train=8, test=4, group="review")
    split = load_split(made.model_copy(update={"validation": 3, "seed": seed}), folder)
    parts = [split.train, split.validation, split.test]
    assert [len(part) for part in parts] == [8, 3, 4]
    groups = [{e.group for e in part} for part in parts]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    texts = [e.text for part in parts for e in part]
    assert len(set(texts)) == len(texts)
    assert any("documents, none in two parts" in note for note in split.notes)


def test_a_text_that_is_there_twice_is_kept_once(tmp_path):
    rows = ["Good", "good ", "Bad", "fine", "poor", "well", "ill", "GOOD"]
    lines = [f"{text},{'ab'[i % 2]}" for i, text in enumerate(rows)]
    (tmp_path / "t.csv").write_text("sentence,label\n" + "\n".join(lines))
    split = load_split(data("t.csv", train=3, test=3), tmp_path)
    assert len({e.text.strip().lower() for e in (*split.train, *split.test)}) == 6
    assert any("2 sentences left out" in note for note in split.notes)


def test_a_document_in_both_given_parts_is_refused(tmp_path):
    documents(tmp_path, [4, 4])
    documents(tmp_path, [4], "test.csv")
    made = data("t.csv", train=4, test=4, group="review", test_file="test.csv")
    with pytest.raises(SpecError, match="1 documents are in the training and the test part, '0'"):
        load_split(made, tmp_path)


def test_by_sentence_says_what_both_parts_share(tmp_path):
    rows = "".join(f"same,{label}\n" for label in "ab" * 8)
    (tmp_path / "t.csv").write_text("sentence,label\n" + rows)
    made = data("t.csv", train=8, test=8)
    split = load_split(made.model_copy(update={"split": "sentences"}), tmp_path)
    assert split.notes == ("1 texts are in both parts (split: sentences)",)


def test_too_few_documents_say_how_many_there_are(tmp_path):
    made = data(documents(tmp_path, [6, 6]), train=5, test=5, group="review")
    with pytest.raises(SpecError, match=r"12 sentences in 2 documents.*split: sentences"):
        load_split(made.model_copy(update={"validation": 1}), tmp_path)

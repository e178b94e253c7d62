"""Networks from files: the format, and one clear sentence for everything that is wrong."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.errors import InputError
from hybridsim.workload import Network, load_network, network_from_config
from tests.workload.outcomes import check_outcome

ROOT = Path(__file__).parents[2]
HF = ROOT / "workloads" / "hf"
DEEP = "lists or mappings are nested more than 32 deep; at most 32 would do"
HEAD = "source: test\n"
LAYER = "- {name: a, kind: linear, in_features: 8, out_features: 8}\n"
BLOCKS = """source: test
ops:
- {name: x, kind: input, features: 8}
- kind: blocks
  count: 3
  ops:
  - {name: a, kind: linear, in_features: 8, out_features: 8}
  - {name: b, kind: add, features: 8, inputs: [a, block_input]}
- {name: head, kind: linear, in_features: 8, out_features: 2}
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to(text: str | bytes, name: str = "net.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return to


def refusal(path: Path) -> str:
    """Return the message, which is one line and begins with the file."""
    with pytest.raises(InputError) as caught:
        load_network(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < len(str(path)) + 400
    return message


# --- the format -------------------------------------------------------------------------------


def test_blocks_are_written_once(write: Write) -> None:
    network = load_network(write(BLOCKS))
    assert [op.name for op in network.ops] == [
        "x",
        *(f"block{i}.{name}" for i in range(3) for name in "ab"),
        "head",
    ]
    assert [op.block for op in network.ops] == [None, 0, 0, 1, 1, 2, 2, None]


def test_an_op_reads_the_one_before_it_unless_told_otherwise(write: Write) -> None:
    network = load_network(write(BLOCKS))
    assert network.op("block0.a").inputs == ("x",)
    assert network.op("block0.b").inputs == ("block0.a", "x")
    assert network.op("block1.a").inputs == ("block0.b",)
    assert network.op("block1.b").inputs == ("block1.a", "block0.b")
    assert network.op("head").inputs == ("block2.b",)


def test_blocks_are_numbered_through_the_file(write: Write) -> None:
    group = f"- kind: blocks\n  count: 2\n  ops:\n  {LAYER}"
    first = "- {name: f, kind: linear, in_features: 8, out_features: 8, block: 0}\n"
    network = load_network(write(HEAD + "ops:\n" + first + group + group))
    assert [op.block for op in network.ops] == [0, 1, 2, 3, 4]


def test_a_later_op_may_read_a_block_by_its_full_name(write: Write) -> None:
    text = BLOCKS + "- {name: skip, kind: add, features: 8, inputs: [block0.b, block2.a]}\n"
    assert load_network(write(text)).op("skip").inputs == ("block0.b", "block2.a")


def test_an_op_with_no_inputs_reads_what_enters(write: Write) -> None:
    text = HEAD + "ops:\n" + LAYER + LAYER.replace("name: a", "name: b, inputs: []")
    assert load_network(write(text)).op("b").inputs == ()


def test_a_file_without_a_name_lends_its_own(write: Write) -> None:
    assert load_network(write(HEAD + "ops:\n" + LAYER, "my net (2).yml")).name == "my_net_2_"


@pytest.mark.parametrize("name", ["mobilebert_squad", "bert_base", "layer_512x128"])
def test_a_network_written_out_in_full_reads_back(name: str, write: Write) -> None:
    network = load_network(ROOT / "workloads" / f"{name}.yaml")
    text = yaml.safe_dump(network.to_text(), sort_keys=False)
    assert load_network(write(text)) == network
    assert Network.model_validate(json.loads(json.dumps(network.to_text()))) == network


def test_the_examples_of_the_docs(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    parts = (ROOT / "docs" / "workloads.md").read_text().split("```")
    (example, published) = [p.removeprefix("yaml\n") for p in parts[1::2] if p[:4] == "yaml"]
    network = load_network(write(example))
    assert [op.name for op in network.adapted_layers] == [
        *(f"block1.{name}" for name in ("query", "key", "value")),
        "head",
    ]
    config = write((HF / "mobilebert" / "config.json").read_bytes(), "config.json")
    network = load_network(write(published.replace("hf/mobilebert/config.json", config.name)))
    assert network.adapter_parameters == 1_633_296
    at = next(i for i, part in enumerate(parts) if part.startswith("python\n"))
    code = parts[at].removeprefix("python\n").replace('Path("', f'Path("{ROOT}/')
    exec(compile(code, "workloads.md", "exec"), {})
    assert capsys.readouterr().out.strip() == parts[at + 2].strip()


def test_the_table_of_the_docs() -> None:
    rows = [
        [cell.strip(" `") for cell in line.strip("|\n").split("|")]
        for line in (ROOT / "docs" / "workloads.md").read_text().splitlines()
        if line.startswith("| `") and line.count("|") == 6
    ]
    assert len(rows) == len(list((ROOT / "workloads").glob("*.yaml")))
    for name, *figures in rows:
        network = load_network(ROOT / "workloads" / f"{name}.yaml")
        counted = (
            network.blocks,
            len(network.static_linear_layers),
            network.weights,
            network.adapter_parameters,
        )
        assert [int(figure.replace(",", "")) for figure in figures] == list(counted)


# --- Hugging Face -----------------------------------------------------------------------------


def config(model: str, **changes: Any) -> dict[str, Any]:
    text = (HF / model / "config.json").read_text()
    return {k: v for k, v in (json.loads(text) | changes).items() if v is not ...}


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_config_json_is_a_network_without_adapters(as_folder: bool) -> None:
    folder = HF / "bert_base"
    network = load_network(folder if as_folder else folder / "config.json")
    assert (network.name, network.adapters, network.sequence_length) == ("bert_base", None, None)
    assert (len(network.static_linear_layers), network.max_sequence_length) == (72, 512)


def test_the_pooler_runs_once_per_sequence() -> None:
    network = network_from_config(config("bert_base"), name="n", source="s", head="pooler")
    assert network.tokens(network.op("pooler"), 128) == 1
    assert network.tokens(network.op("block11.output"), 128) == 128


def test_mobilebert_as_published_pools_without_a_linear_layer() -> None:
    """``classifier_activation`` is false in google/mobilebert-uncased; 512 x 512 otherwise."""
    without = network_from_config(config("mobilebert"), name="n", source="s", head="pooler")
    changed = config("mobilebert", classifier_activation=True)
    dense = network_from_config(changed, name="n", source="s", head="pooler")
    assert len(without.static_linear_layers) == 361
    assert dense.parameters - without.parameters == 512 * 512 + 512
    assert dense.parameters == 24_844_544  # transformers' MobileBertModel with its pooler


flags = st.booleans()


@given(
    st.fixed_dictionaries(
        {
            "trigram_input": flags,
            "use_bottleneck": flags,
            "use_bottleneck_attention": flags,
            "key_query_shared_bottleneck": flags,
            "normalization_type": st.sampled_from(("no_norm", "layer_norm")),
            "num_feedforward_networks": st.integers(1, 4),
            "num_hidden_layers": st.integers(1, 3),
            "embedding_size": st.sampled_from((64, 512)),
            "intra_bottleneck_size": st.sampled_from((64, 128)),
        }
    )
)
@settings(max_examples=60, deadline=None)
def test_any_mobilebert_fits_together(changes: dict[str, Any]) -> None:
    """Counts of linear modules as transformers' classes build them, used ones only."""
    shared, bottleneck = changes["key_query_shared_bottleneck"], changes["use_bottleneck"]
    inside = changes["intra_bottleneck_size"] if bottleneck else 512
    spec = config("mobilebert", true_hidden_size=inside, **changes)
    if bottleneck and not shared and not changes["use_bottleneck_attention"]:
        with pytest.raises(InputError, match="key_query_shared_bottleneck: found false"):
            network_from_config(spec, name="n", source="s")
        return
    network = network_from_config(spec, name="n", source="s")
    per_block = 4 + 2 * changes["num_feedforward_networks"]
    if bottleneck:
        per_block += 2 if changes["use_bottleneck_attention"] else 3
    transformed = changes["trigram_input"] or changes["embedding_size"] != 512
    expected = transformed + changes["num_hidden_layers"] * per_block
    assert len(network.static_linear_layers) == expected


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("bert_base", {"hidden_size": ...}, "key 'hidden_size' is missing: Length of a token"),
        ("bert_base", {"hidden_size": "768"}, "hidden_size: found '768'; a whole number"),
        ("bert_base", {"hidden_size": -768}, "hidden_size: found -768; a number above 0"),
        ("bert_base", {"hidden_size": 2**40}, "hidden_size: found 1099511627776; a number of at"),
        ("bert_base", {"hidden_size": 770}, "num_attention_heads: found 12; a number that div"),
        ("bert_base", {"num_hidden_layers": 0}, "num_hidden_layers: found 0"),
        ("bert_base", {"num_hidden_layers": 10**5}, "the network has more than 20000 ops"),
        ("bert_base", {"hidden_act": "gelo"}, r"hidden_act: found 'gelo' \(did you mean 'gelu'"),
        ("bert_base", {"is_decoder": True}, "is_decoder: found true; an encoder"),
        ("bert_base", {"add_cross_attention": True}, "add_cross_attention: found true"),
        ("bert_base", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("bert_base", {"vocab_size": None}, "vocab_size: found nothing; a whole number"),
        ("mobilebert", {"embedding_size": ...}, "key 'embedding_size' is missing"),
        ("mobilebert", {"trigram_input": "yes"}, "trigram_input: found 'yes'; true or false"),
        ("mobilebert", {"embedding_size": 2**20}, "op 'embedding_transformation'.in_features"),
        ("mobilebert", {"num_attention_heads": 3}, "num_attention_heads: found 3"),
        (
            "vit_b_16",
            {"model_type": ...},
            "key 'model_type' is missing, and the others are those of no",
        ),
        ("mobilebert", {"model_type": "opt"}, "key 'ffn_dim' is missing"),
        ("mobilebert", {"model_type": "mobile_bert"}, r"\(did you mean 'mobilebert'\?\)"),
        ("mobilebert", {"model_type": ["bert"]}, "model_type: found a list"),
        ("distilbert", {"n_heads": 5}, "n_heads: found 5; a number that divides 768 would do"),
        ("distilbert", {"dim": ...}, "key 'dim' is missing"),
        ("gpt2", {"n_embd": 770}, "n_head: found 12; a number that divides 770 would do"),
        ("gpt2", {"n_inner": 0}, "n_inner: found 0; a number above 0 would do"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention: found true"),
        ("gpt2", {"activation_function": "mish"}, "activation_function: found 'mish'"),
        ("t5_small", {"feed_forward_proj": "gated-relu"}, "feed_forward_proj: found 'gated-relu'"),
        ("t5_small", {"d_kv": ...}, "key 'd_kv' is missing: Elements of one head"),
        ("vit_b_16", {"patch_size": 225}, "patch_size: found 225; at most the image's 224 would"),
        ("vit_b_16", {"patch_size": [16]}, "patch_size: found a list; a whole number"),
        (
            "vit_b_16",
            {"id2label": {"0": "cat"}},
            "num_labels: found 1000; the 1 of id2label",
        ),
        ("vit_b_16", {"id2label": {}}, "id2label: found an empty mapping"),
    ],
)
def test_a_config_that_describes_no_network(
    model: str, changes: dict[str, Any], message: str, write: Write
) -> None:
    path = write(json.dumps(config(model, **changes)), "config.json")
    with pytest.raises(InputError, match=message):
        load_network(path)
    assert refusal(path).startswith(f"{path}: ")


def test_a_head_that_is_not_known() -> None:
    with pytest.raises(InputError, match="head: found 'squad'; one of none, question_answering"):
        network_from_config(config("bert_base"), name="n", source="s", head="squad")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "head", "known"),
    [
        ("bert_base", "lm_head", "none, question_answering, pooler would do for a bert"),
        ("mobilebert", "classifier", "none, question_answering, pooler would do for a mobilebert"),
        ("distilbert", "pooler", "none, question_answering would do for a distilbert"),
        ("gpt2", "classifier", "none, lm_head, question_answering would do for a gpt2"),
        ("t5_small", "pooler", "none, lm_head would do for a t5"),
        ("vit_b_16", "question_answering", "none, classifier, pooler would do for a vit"),
    ],
)
def test_a_head_of_another_family_is_refused(model: str, head: Any, known: str) -> None:
    with pytest.raises(InputError, match=f"head: found '{head}'; one of {known}"):
        network_from_config(config(model), name="n", source="s", head=head)


def test_the_file_at_fault_is_named(write: Write) -> None:
    """A bad config is the config's fault, a bad adapter that of the file which asks for it."""
    path = write(json.dumps(config("bert_base", hidden_size=0)), "config.json")
    net = write(HEAD + "huggingface: config.json\n")
    assert refusal(net).startswith(f"{path}: hidden_size")
    write(json.dumps(config("bert_base")), "config.json")
    net = write(HEAD + "huggingface: config.json\nadapters: {rank: 8, targets: [zz]}\n")
    assert refusal(net).startswith(f"{net}: adapters.targets[0]: 'zz' matches no static linear")
    net = write(HEAD + "huggingface: config.json\nsequence_length: 513\n")
    assert (
        refusal(net) == f"{net}: sequence_length: found 513; the position table allows 512 tokens"
    )


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("- 1\n", "found a list; a mapping"),
        ("just words", "found 'just words'; a mapping"),
        ("a: [1,\nb: 2", "line 3: broken YAML: "),
        ("a: 1\nb:\n\t- c", "line 3: broken YAML: "),
        ("a: 1\n---\nb: 2\n", "line 2: broken YAML: "),
        ("source: a\nname: b\nsource: c\n", "line 3: key 'source' is given twice"),
        (HEAD + "ops:\n- {name: a, name: b}\n", "line 3: key 'name' is given twice"),
        ("#" * (2**20 + 1), "is larger than 1 MiB; at most 1 MiB would do"),
        (b"source: \xff\n", "byte 8 is not UTF-8 text"),
        ("a: \x07\n", "broken YAML: "),
        ("a: &x 1\nb: *x\n", "line 1: anchors (&) and aliases (*) are not read"),
        ("a: !!python/name:os.system x\n", "line 1: tags (!) are not read"),
        ("a: " + "[" * 500_000, f"line 1: {DEEP}"),
        ("{a: " * 250_000, f"line 1: {DEEP}"),
        ("\n".join(" " * i + "a:" for i in range(1000)), f"line 33: {DEEP}"),
        ("1: 2\n", "line 1: found '1' as a key; text would do"),
        ("<<: {a: 1}\n", "line 1: found '<<' as a key"),
        ("[1]: 2\n", "line 1: found a collection as a key"),
        ("a: 010\n", "line 1: found '010'; a plain decimal number would do"),
        ("a: 1:30\n", "line 1: found '1:30'; a plain decimal number"),
        ("a: 1:30.5\n", "line 1: found '1:30.5'; a plain decimal number"),
        ("a: " + "9" * 5000, "line 1: found a number of 5000 characters; at most 18"),
    ],
)
def test_yaml_that_cannot_be_read(text: str | bytes, message: str, write: Write) -> None:
    path = write(text)
    assert refusal(path).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \n", "is empty"),
        ("{", "line 1, column 2: broken JSON: "),
        ("[]", "found an empty list; a mapping"),
        ('{"a": 1, "a": 2}', "key 'a' is given twice"),
        ('{"a": NaN}', "line 1: found the number NaN; a finite number would do"),
        ('{"a": ' + "9" * 5000 + "}", "line 1: found a number of 5000 characters"),
        ("[" * 100_000, f"line 1: {DEEP}"),
        ('{"a":\n' * 50_000, f"line 33: {DEEP}"),
        ('{"a": "' + "a" * 2**20 + '"}', "is larger than 1 MiB"),
    ],
)
def test_json_that_cannot_be_read(text: str, message: str, write: Write) -> None:
    path = write(text, "config.json")
    assert refusal(path).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            "ops:\n" + LAYER.replace("name: a", "name: <script>"),
            "ops[0].name: found '<script>'; 1",
        ),
        ("ops:\n" + LAYER.replace("name: a", "name: 'ä b'"), "ops[0].name: found 'ä b'; 1 to 200"),
        (
            "ops:\n" + LAYER.replace("a,", f"{'x' * 300},"),
            f"ops[0].name: found '{'x' * 60}'...; 1",
        ),
        ("name: no\nops:\n" + LAYER, "name: found false; text would do"),
        ("adaptors: {rank: 8}\nops:\n" + LAYER, "unknown key 'adaptors' (did you mean 'adapters'"),
        (
            "ops:\n" + LAYER.replace("in_features", "in_feature"),
            "ops[0] (a): unknown key 'in_feature' (did you mean 'in_features'?); known keys: name",
        ),
        ("ops:\n- {name: a, kind: linear}\n", "ops[0] (a): key 'in_features' is missing: Length"),
        ("ops:\n" + LAYER.replace("8", "-8", 1), "ops[0] (a).in_features: found -8; a number abo"),
        ("ops:\n" + LAYER.replace("8", "8.5", 1), "ops[0] (a).in_features: found 8.5; a whole n"),
        ("ops:\n" + LAYER.replace("8", "9999999"), "ops[0] (a).in_features: found 9999999; a num"),
        ("ops:\n" + LAYER.replace("}", ", bias: 1}"), "ops[0] (a).bias: found 1; true or false w"),
        (
            "ops:\n" + LAYER.replace("linear", "liner"),
            "ops[0] (a): key 'kind': found 'liner' (did",
        ),
        ("ops:\n- {name: a}\n", "ops[0] (a): key 'kind' is missing"),
        ("ops:\n- words\n", "ops[0]: found 'words'; a mapping (key: value) would do"),
        ("ops: words\n", "ops: found 'words'; a list would do"),
        ("ops: []\n", "ops: found an empty list; 1 or more entries would do"),
        ("sequence_length: 0\nops:\n" + LAYER, "sequence_length: found 0; a number above 0 woul"),
        ("adapters: {rank: 0}\nops:\n" + LAYER, "adapters.rank: found rank 0; 1 to 1048576 would"),
        ("adapters: {rank: x}\nops:\n" + LAYER, "adapters.rank: found 'x'; a whole number would"),
        ("adapters: 8\nops:\n" + LAYER, "adapters: found 8; a mapping (key: value) would do"),
        (
            "ops:\n" + LAYER + LAYER.replace("name: a", "name: b, inputs: [aa]"),
            "ops[1] (b).inputs: found 'aa', which is no op before this one (did you mean 'a'?)",
        ),
        (
            "ops:\n" + LAYER.replace("name: a", "name: b, inputs: [a]") + LAYER,
            "ops[0] (b).inputs: found 'a', which is no op before this one; ops can only read",
        ),
        (
            "ops:\n" + LAYER.replace("}", ", inputs: [a]}"),
            "ops[0] (a).inputs: found 'a', which is",
        ),
        ("ops:\n" + LAYER + LAYER, "op 'a': the name is given to two ops"),
        (
            "ops:\n" + LAYER + LAYER.replace("name: a", "name: b").replace("8", "9"),
            "op 'b': takes 9 features, but its input 'a' gives 8; equal sizes would do",
        ),
        ("", "found neither of 'ops' and 'huggingface'; one would do"),
        ("huggingface: x\nops:\n" + LAYER, "found both of 'ops' and 'huggingface'; one would do"),
        ("head: pooler\nops:\n" + LAYER, "head: goes with 'huggingface' only"),
        ("huggingface: /x.json\n", "huggingface: found '/x.json'; a path from the folder of this"),
        ("huggingface: x\nhead: squad\n", "head: found 'squad'; 'none', 'question_answering', 'p"),
        ("huggingface: x\nmax_sequence_length: 5\n", "max_sequence_length: is read from the conf"),
    ],
)
def test_a_file_that_describes_no_network(keys: str, message: str, write: Write) -> None:
    path = write(HEAD + keys)
    assert refusal(path).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("block_input", "block_inputs", "ops[1].ops[1] (b).inputs: found 'block_inputs', which i"),
        ("name: a", "name: block_input", "ops[1].ops[0] (block_input).name: is what blocks call"),
        ("name: a", "name: b", "ops[1].ops[1] (b).name: is given to two ops"),
        ("name: a", "name: a, block: 3", "ops[1].ops[0] (a).block: is numbered by the repetition"),
        ("count: 3", "count: 0", "ops[1].count: found 0; a number above 0 would do"),
        ("count: 3", "count: 50000", "ops: describes 100002 ops; at most 20000 would do"),
        ("kind: add", "kind: blocks", "ops[1].ops[1] (b): key 'kind': found 'blocks'"),
    ],
)
def test_blocks_that_cannot_be(old: str, new: str, message: str, write: Write) -> None:
    path = write(BLOCKS.replace(old, new))
    assert refusal(path).startswith(f"{path}: {message}")


def test_several_problems_are_counted(write: Write) -> None:
    path = write(HEAD + "ops:\n" + LAYER.replace("8", "0"))
    assert refusal(path).endswith("in_features: found 0; a number above 0 would do (and 1 more)")


def test_a_single_problem_is_not_counted_twice(write: Write) -> None:
    path = write(HEAD + "ops:\n" + LAYER.replace("8", "0", 1))
    assert refusal(path).endswith("in_features: found 0; a number above 0 would do")


def test_places_that_hold_no_network(tmp_path: Path, write: Write) -> None:
    assert refusal(tmp_path / "gone.yaml") == f"{tmp_path / 'gone.yaml'}: does not exist"
    assert refusal(tmp_path) == f"{tmp_path / 'config.json'}: does not exist"
    assert "is no network; a .yaml or .onnx file" in refusal(write("x", "net.txt"))
    too_long = tmp_path / ("z" * 300 + ".yaml")
    assert f"cannot be read: {os.strerror(errno.ENAMETOOLONG)}" in refusal(too_long)
    (tmp_path / "dir.yaml" / "config.json").mkdir(parents=True)
    assert refusal(tmp_path / "dir.yaml").endswith("config.json: is a folder, not a file")


def test_dates_and_marks_of_byte_order_are_just_text(write: Write) -> None:
    path = write(b"\xef\xbb\xbfsource: 2024-13-45\nops:\n" + LAYER.encode())
    assert load_network(path).source == "2024-13-45"


def test_the_loader_without_the_c_library_reads_the_same(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(BLOCKS)
    fast = load_network(path)
    monkeypatch.setattr("hybridsim.specs.files._YamlLoader", yaml.SafeLoader)
    assert load_network(path) == fast


# --- anything at all --------------------------------------------------------------------------

SEED_TEXTS = [BLOCKS, HEAD + "adapters: {rank: 8, targets: ['*']}\nops:\n" + LAYER]


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


@given(st.binary(max_size=300), st.sampled_from(("net.yaml", "config.json")))
@settings(max_examples=200, deadline=None)
def test_any_bytes_load_or_are_refused(scratch: Path, raw: bytes, name: str) -> None:
    path = scratch / name
    path.write_bytes(raw)
    check_outcome(path)


@given(
    st.sampled_from(SEED_TEXTS),
    st.integers(0, 400),
    st.integers(0, 30),
    st.text(alphabet="[]{}:,-&*!#|>'\"%@`0189.eE_~<=? \nnaoi", max_size=8),
)
@settings(max_examples=400, deadline=None)
def test_any_edit_of_a_good_file_loads_or_is_refused(
    scratch: Path, text: str, at: int, cut: int, new: str
) -> None:
    path = scratch / "net.yaml"
    path.write_text(text[:at] + new + text[at + cut :])
    check_outcome(path)

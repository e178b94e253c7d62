"""Laws of networks: what fits together, how adapters are chosen, that text reads back."""

from fractions import Fraction
from itertools import pairwise
from string import ascii_letters, digits
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from hybridsim.errors import InputError, SpecError, UnknownNameError
from hybridsim.workload import (
    Activation,
    Adapter,
    AdapterSpec,
    Add,
    Attention,
    ClassToken,
    Concat,
    Embedding,
    FirstToken,
    Input,
    Linear,
    Network,
    Norm,
    Op,
    Slice,
    Trigram,
)


def network(*ops: Op, **fields: Any) -> Network:
    return Network(name="net", source="test", ops=ops, **fields)


def linear(name: str, *inputs: str, size: tuple[int, int] = (8, 8)) -> Linear:
    return Linear(name=name, inputs=inputs, in_features=size[0], out_features=size[1])


sizes = st.integers(1, 64)
roles = st.sampled_from(("query", "value", "output"))


@st.composite
def chains(draw: st.DrawFn) -> Network:
    """Linear layers one behind the other, named by block and role."""
    widths = draw(st.lists(sizes, min_size=2, max_size=12))
    ops: list[Op] = []
    for i, (inner, outer) in enumerate(pairwise(widths)):
        op = Linear(
            name=f"block{i}.{draw(roles)}",
            inputs=(ops[-1].name,) if ops else (),
            block=i,
            in_features=inner,
            out_features=outer,
            bias=draw(st.booleans()),
        )
        ops.append(op)
    return network(*ops)


@given(chains(), st.integers(1, 100), roles)
def test_a_pattern_adapts_the_layers_it_names_and_no_others(
    chain: Network, alpha: int, role: str
) -> None:
    named = [op for op in chain.static_linear_layers if op.name.endswith(role)]
    if not named:
        with pytest.raises(SpecError, match=r"targets\[0\]: .* matches no static linear layer"):
            chain.with_adapters(rank=1, targets=[f"*.{role}"])
        return
    adapted = chain.with_adapters(rank=1, alpha=alpha, targets=[f"*.{role}"])
    assert list(adapted.adapted_layers) == named
    assert adapted.adapter_parameters == sum(op.in_features + op.out_features for op in named)
    for op in chain.ops:
        adapter = adapted.adapter(op)
        assert (adapter is not None) == (op in named)
        assert adapter is None or adapter.scale == alpha


@given(chains(), roles)
def test_targets_and_excludes_of_one_pattern_split_the_layers(chain: Network, role: str) -> None:
    whole = chain.with_adapters(rank=1)
    found = {op.name.split(".")[1] for op in chain.static_linear_layers}
    if role in found and len(found) > 1:
        inside = whole.with_adapters(targets=[f"*.{role}"])
        outside = whole.with_adapters(exclude=[f"*.{role}"])
        assert inside.adapter_parameters + outside.adapter_parameters == whole.adapter_parameters
        assert {*inside.adapted_layers}.isdisjoint(outside.adapted_layers)


@given(chains(), st.booleans())
def test_what_is_written_reads_back(chain: Network, adapted: bool) -> None:
    written = chain.with_adapters(rank=1) if adapted else chain
    assert Network.model_validate(written.to_text()) == written
    assert written.without_adapters() == chain


@given(chains())
def test_sums_over_the_layers(chain: Network) -> None:
    layers = chain.static_linear_layers
    assert chain.weights == sum(op.in_features * op.out_features for op in layers)
    assert chain.biases == sum(op.out_features for op in layers if op.bias)
    assert chain.parameters == chain.weights + chain.biases
    assert chain.blocks == len(layers)


@given(rank=st.integers(1, 64), alpha=st.integers(1, 64), inner=sizes, outer=sizes)
def test_an_adapter_counts_and_scales_as_lora_does(
    rank: int, alpha: int, inner: int, outer: int
) -> None:
    adapter = Adapter("x", inner, outer, rank, alpha)
    assert adapter.parameters == rank * inner + outer * rank
    assert adapter.scale == Fraction(alpha, rank)


def test_a_changed_adapter_keeps_what_is_not_given() -> None:
    first = network(linear("a"), linear("b", "a")).with_adapters(rank=2, alpha=4, targets=["a"])
    second = first.with_adapters(rank=3)
    assert second.adapters == AdapterSpec(rank=3, alpha=4, targets=("a",))
    assert (first.adapter_parameters, second.adapter_parameters) == (32, 48)
    assert second.without_adapters().adapter_parameters == 0


def test_a_rank_by_pattern_is_that_of_the_layers_that_match_it() -> None:
    both = network(linear("a"), linear("b", "a")).with_adapters(rank=8)
    ranks = {"rank": 2, "ranks.a": 4, "ranks.?": 3}
    changed = both.with_adapter_settings(ranks)
    assert [changed.adapter(op).rank for op in changed.static_linear_layers] == [4, 3]
    assert both.with_adapter_settings({"ranks.b": 8}).adapter_parameters == both.adapter_parameters
    again = both.with_adapter_settings({"ranks.a": 4}).with_adapter_settings({"ranks.b": 2})
    assert [again.adapter(op).rank for op in again.static_linear_layers] == [4, 2]
    for wrong in ("ranks", "ranks.", "rang", "own"):
        with pytest.raises(UnknownNameError, match=f"adapter setting '{wrong}' is not known"):
            both.with_adapter_settings({wrong: 4})
    with pytest.raises(SpecError, match="matches no static linear layer"):
        both.with_adapter_settings({"ranks.c": 4})


def test_a_network_without_adapters_wants_a_rank() -> None:
    with pytest.raises(SpecError, match="net: adapters: key 'rank' is missing"):
        network(linear("a")).with_adapters(alpha=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 0}, "adapters.rank: found rank 0; 1 to"),
        ({"rank": -1}, "adapters.rank: found rank -1"),
        ({"rank": 2**21}, "adapters.rank: found rank 2097152"),
        ({"rank": True}, "adapters.rank: found true; a whole number would do"),
        ({"rank": 2.5}, "adapters.rank: found 2.5; a whole number would do"),
        ({"rank": 9}, r"rank 9 is larger than both sizes of layer 'layer.a' \(8 x 8\)"),
        ({"rank": 1, "alpha": 0}, "adapters.alpha: found 0; a number above 0 would do"),
        ({"rank": 1, "targets": []}, "adapters.targets: found an empty list; 1 or more"),
        ({"rank": 1, "targets": "a"}, "adapters.targets: found 'a'; a list would do"),
        ({"rank": 1, "targets": [""]}, r"adapters.targets\[0\]: found ''"),
        ({"rank": 1, "targets": ["*", "zz"]}, r"targets\[1\]: 'zz' .* there is layer.a, layer.b"),
        ({"rank": 1, "targets": ["b"]}, r"targets\[0\]: 'b' .* '\*b\*' would match layer.b$"),
        ({"rank": 1, "exclude": ["zz"]}, r"exclude\[0\]: 'zz' matches no static linear layer"),
        ({"rank": 1, "exclude": ["*"]}, "adapters.exclude: leaves no layer with an adapter"),
    ],
)
def test_adapters_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    both = network(linear("layer.a"), linear("layer.b", "layer.a"))
    with pytest.raises(SpecError, match=message) as caught:
        both.with_adapters(**changes)
    assert "\n" not in str(caught.value)


def test_a_rank_between_the_sizes_is_allowed() -> None:
    """The published count of MobileBERT has rank 8 on a head of 512 x 2."""
    head = network(linear("qa_outputs", size=(512, 2))).with_adapters(rank=8)
    assert head.adapter_parameters == 4112


def test_only_static_linear_layers_carry_adapters() -> None:
    table = Embedding(name="table", rows=3, features=8)
    net = network(table, linear("a", "table")).with_adapters(rank=1)
    assert net.adapter(table) is None
    with pytest.raises(SpecError, match="'table' matches no static linear layer"):
        net.with_adapters(targets=["table"])


A = linear("a")


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        ([A, A], "op 'a': the name is given to two ops"),
        ([A, linear("b", "c")], "op 'b': input 'c' is no op"),
        ([A, linear("bb", "aa"), linear("aa")], "op 'bb': input 'aa' comes later.*cycles"),
        ([linear("b", "b")], "op 'b': input 'b' comes later.*cycles"),
        ([A, linear("b", "a", size=(9, 8))], "'b': takes 9 features, but its input 'a' gives 8"),
        ([A, linear("b", "a", "a")], "op 'b': number of inputs: found 2; 1 would do"),
        ([A, Add(name="b", features=8, inputs=("a",))], "found 1; 2 would do"),
        ([A, Add(name="b", features=7, inputs=("a", "a"))], "takes 7 features"),
        ([A, Embedding(name="b", rows=2, features=2, inputs=("a",))], "found 1; 0 would do"),
        (
            [A, Attention(name="b", heads=4, kv_heads=2, head_dim=2, inputs=("a", "a", "a"))],
            "takes 4 features, but its input 'a' gives 8",
        ),
        ([A, Concat(name="b", features=(8, 7), inputs=("a", "a"))], "takes 7 features"),
    ],
)
def test_ops_that_do_not_fit_together_are_refused(ops: list[Op], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        network(*ops)


def test_a_network_has_ops() -> None:
    with pytest.raises(ValidationError) as caught:
        network()
    assert caught.value.errors()[0]["loc"] == ("ops",)


def test_every_kind_of_op_has_its_place() -> None:
    net = network(
        Embedding(name="words", rows=10, features=4),
        Trigram(name="three", features=4, inputs=("words",)),
        linear("kv", "three", size=(12, 4)),
        linear("query", "three", size=(12, 8)),
        Attention(name="att", heads=4, kv_heads=2, head_dim=2, inputs=("query", "kv", "kv")),
        Norm(name="norm", function="rms_norm", features=8, inputs=("att",)),
        Activation(name="gate", function="swiglu", features=8, inputs=("norm", "att")),
        Add(name="sum", features=8, inputs=("gate", "norm", "att")),
        Concat(name="cat", features=(8, 4), inputs=("sum", "kv")),
        FirstToken(name="first", features=12, inputs=("cat",)),
        linear("pool", "first", size=(12, 1)),
    )
    assert [op.out_features for op in net.ops] == [4, 12, 4, 8, 8, 8, 8, 8, 12, 12, 1]
    assert net.parameters == 40 + (48 + 4) + (96 + 8) + 8 + (12 + 1)
    assert Network.model_validate(net.to_text()) == net


@pytest.mark.parametrize(
    ("function", "parameters"), [("layer_norm", 16), ("no_norm", 16), ("rms_norm", 8)]
)
def test_parameters_of_a_norm(function: Any, parameters: int) -> None:
    assert Norm(name="n", function=function, features=8).parameters == parameters


def test_queries_may_share_key_value_heads() -> None:
    assert Attention(name="a", heads=4, head_dim=2).takes == (8, 8, 8)
    assert Attention(name="a", heads=4, kv_heads=1, head_dim=2).takes == (8, 2, 2)
    with pytest.raises(ValidationError, match="found 3; a number that divides 4 heads would do"):
        Attention(name="a", heads=4, kv_heads=3, head_dim=2)


def test_what_follows_the_first_token_runs_once_per_sequence() -> None:
    net = network(
        Input(name="x", features=8),
        FirstToken(name="first", features=8, inputs=("x",)),
        linear("pool", "first"),
        Add(name="mixed", features=8, inputs=("pool", "x")),
    )
    assert [net.tokens(op, 128) for op in net.ops] == [128, 1, 1, 128]


def test_what_comes_before_the_class_token_has_one_token_less() -> None:
    net = network(
        Input(name="x", features=8),
        linear("patch", "x"),
        Embedding(name="positions", rows=9, features=8),
        ClassToken(name="cls", features=8, inputs=("patch",)),
        Add(name="sum", features=8, inputs=("cls", "positions")),
        FirstToken(name="first", features=8, inputs=("sum",)),
    )
    assert [net.tokens(op, 9) for op in net.ops] == [8, 8, 9, 9, 9, 1]
    assert net.parameters == (8 * 8 + 8) + 9 * 8 + 8
    with pytest.raises(InputError, match=r"found 1 tokens per sequence.*2 or more would do"):
        net.tokens(net.op("patch"), 1)


def test_a_slice_takes_elements_that_are_there() -> None:
    whole = linear("qkv", size=(8, 24))
    net = network(whole, Slice(name="k", in_features=24, start=8, out_features=8, inputs=("qkv",)))
    assert (net.op("k").out_features, net.op("k").parameters) == (8, 0)
    with pytest.raises(ValidationError, match="found 17; with 8 of 24 elements at most 16"):
        Slice(name="k", in_features=24, start=17, out_features=8)
    with pytest.raises(ValidationError) as caught:
        Slice(name="k", in_features=24, start=-1, out_features=8)
    assert caught.value.errors()[0]["loc"] == ("start",)


def test_tied_weights_count_once_but_are_programmed() -> None:
    tied = Linear(name="head", in_features=8, out_features=10, bias=False, tied=True)
    table = Embedding(name="words", rows=10, features=8)
    net = network(table, tied.model_copy(update={"inputs": ("words",)}))
    assert (net.weights, net.parameters) == (80, 80)


def test_an_unknown_op_is_named_with_a_guess() -> None:
    with pytest.raises(UnknownNameError, match=r"'querry' is not known \(did you mean 'query'"):
        network(linear("query")).op("querry")


def test_a_sequence_longer_than_the_position_table_is_refused() -> None:
    with pytest.raises(ValidationError, match="found 513; the position table allows 512"):
        network(A, sequence_length=513, max_sequence_length=512)
    assert network(A, sequence_length=512, max_sequence_length=512).sequence_length == 512


@given(st.text(max_size=30) | st.text(ascii_letters + digits + "_.-", max_size=30))
@example("x" * 200)
@example("x" * 201)
def test_a_name_is_plain_or_refused(name: str) -> None:
    first, rest = frozenset(ascii_letters + digits + "_"), frozenset("_.-")
    if 1 <= len(name) <= 200 and name[0] in first and set(name) <= first | rest:
        assert linear(name).name == name
    else:
        with pytest.raises(ValidationError, match="would do"):
            linear(name)


@pytest.mark.parametrize(
    "name", ["<script>", "a'b", 'a"b', "é", "a b", "a*", "", "x" * 201, "a\n", "-a", ".a"]
)
def test_hostile_names_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="would do"):
        linear(name)


@pytest.mark.parametrize("text", ["<b>bold</b> & 'quoted' \"text\"", "Größe 漢字", "two\nlines"])
def test_words_for_people_are_kept_as_they_are(text: str) -> None:
    net = Network(name="n", source=text, reference=text, ops=(A,))
    assert (net.source, net.reference) == (text, text)


@pytest.mark.parametrize("text", ["\x1b[31m", "a\x00b", "", "x" * 2001])
def test_words_that_a_terminal_would_obey_are_refused(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Network(name="n", source=text, ops=(A,))
    assert caught.value.errors()[0]["loc"] == ("source",)


def test_a_network_is_a_value() -> None:
    one, two = network(A), network(linear("a"))
    assert one == two
    assert hash(one) == hash(two)
    assert one.static_linear_layers == (A,)  # remembered from here on, without a difference
    assert one == two
    with pytest.raises(ValidationError):
        one.name = "other"  # type: ignore[misc]

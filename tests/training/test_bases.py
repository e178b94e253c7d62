"""RoBERTa, DistilBERT and MobileBERT from folders as Hugging Face writes them, against it."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from hybridsim.errors import SpecError, UnsupportedError  # noqa: E402
from hybridsim.training.classifier import Classifier  # noqa: E402
from hybridsim.training.encoder import load_encoder  # noqa: E402
from hybridsim.training.peft_files import read_trained, write_trained  # noqa: E402
from hybridsim.training.study import Lora  # noqa: E402
from hybridsim.training.tokens import TokenizedText  # noqa: E402

LORA = Lora(rank=2, alpha=8.0)
SIZES = {
    "roberta": {
        "vocab_size": 20, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2,
        "num_hidden_layers": 2, "max_position_embeddings": 18, "type_vocab_size": 1,
    },
    "distilbert": {
        "vocab_size": 20, "dim": 16, "hidden_dim": 24, "n_heads": 2, "n_layers": 2,
        "max_position_embeddings": 16,
    },
    "mobilebert": {
        "vocab_size": 20, "hidden_size": 16, "embedding_size": 6, "intermediate_size": 24,
        "intra_bottleneck_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2,
        "num_feedforward_networks": 3, "max_position_embeddings": 16,
    },
}  # fmt: skip
OTHER_MOBILES = [
    {"normalization_type": "layer_norm"},
    {"use_bottleneck_attention": True},
    {"use_bottleneck": False, "trigram_input": False, "num_feedforward_networks": 1},
    {"key_query_shared_bottleneck": False, "intra_bottleneck_size": 16, "hidden_act": "gelu"},
]


def written(kind, folder, with_head=False, **changes):
    """A random model as transformers saves it; with a head its names have a prefix."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    config = transformers.AutoConfig.for_model(kind, **SIZES[kind] | changes)
    auto = transformers.AutoModelForMaskedLM if with_head else transformers.AutoModel
    model = auto.from_config(config)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    return model.eval()


def text(kind="mobilebert"):
    """Two sentences, of a second segment where the family knows none."""
    rng = np.random.default_rng(2)
    ids = tuple(rng.integers(4, 20, n) for n in (7, 4))
    return TokenizedText(ids, tuple(np.full_like(each, kind != "mobilebert") for each in ids))


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("with_head", [False, True])
def test_it_equals_the_library_of_hugging_face(kind, with_head, tmp_path):
    theirs = written(kind, tmp_path, with_head)
    theirs = getattr(theirs, kind) if with_head else theirs
    ours = load_encoder(tmp_path, "mean").hidden(text(kind).batch([0, 1], "cpu"))
    for i, part in enumerate(ours.split([7, 4])):
        expected = theirs(input_ids=torch.from_numpy(text().ids[i])[None]).last_hidden_state[0]
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("changes", OTHER_MOBILES)
def test_other_mobiles_equal_it_too(changes, tmp_path):
    theirs = written("mobilebert", tmp_path, **changes)
    ours, both = load_encoder(tmp_path, "first"), text("with a second segment")
    for i in range(2):
        expected = theirs(
            input_ids=torch.from_numpy(both.ids[i])[None],
            token_type_ids=torch.from_numpy(both.segments[i])[None],
        ).last_hidden_state[0]
        found = ours.hidden(both.batch([i], "cpu"))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_every_layer_of_a_mobile_may_carry_an_adapter(tmp_path):
    """Those of a block of the paper's network: 2 bottlenecks in, q, k, v, o, 3 x 2, 1 out."""
    written("mobilebert", tmp_path)
    model = Classifier(load_encoder(tmp_path, "first"), 2)
    ends = [name.split(".", 3)[3] for name in model.static_layers() if ".layer.0." in name]
    assert len(ends) == 2 + 4 + 2 * 3 + 1
    assert {"bottleneck.input.dense", "ffn.1.output.dense", "output.bottleneck.dense"} <= {*ends}
    model.add_adapters(Lora(rank=2, alpha=8.0, targets=tuple(ends)), 1)
    assert len(list(model.adapters())) == 2 * len(ends)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", SIZES)
def test_its_adapters_load_in_peft_and_come_back(kind, tmp_path):
    peft = pytest.importorskip("peft")
    base = written(kind, tmp_path / "base")
    model = Classifier(load_encoder(tmp_path / "base", "mean"), 2)
    model.add_adapters(LORA, 1)
    for _, adapter in model.adapters():
        adapter.lora_B.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(9))
    write_trained(tmp_path / "adapter", model, LORA, str(tmp_path / "base"))
    theirs = peft.PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    with torch.no_grad():
        found = theirs(input_ids=torch.from_numpy(text().ids[0])[None]).last_hidden_state[0]
        ours = model.encoder.hidden(text(kind).batch([0], "cpu"))
    torch.testing.assert_close(ours, found, rtol=1e-4, atol=1e-5)
    again = Classifier(load_encoder(tmp_path / "base", "mean"), 2)
    again.add_adapters(LORA, 2)
    read_trained(tmp_path / "adapter", again)
    with torch.no_grad():
        assert (again.encoder.hidden(text(kind).batch([0], "cpu")) == ours).all()


def test_what_is_missing_is_told_by_its_own_name(tmp_path):
    from safetensors.torch import load_file, save_file

    written("distilbert", tmp_path)
    weights = load_file(str(tmp_path / "model.safetensors"))
    del weights["transformer.layer.1.ffn.lin1.weight"]
    save_file(weights, str(tmp_path / "model.safetensors"))
    with pytest.raises(SpecError, match=r"transformer.layer.1.ffn.lin1.weight"):
        load_encoder(tmp_path, "mean")


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"model_type": "gpt2"}, UnsupportedError, "'mobilebert' would do"),
        ({"max_position_embeddings": 2}, SpecError, "more than 2"),
        ({"hidden_act": "silu"}, UnsupportedError, "'gelu' or 'relu' would do"),
        ({"model_type": "mobilebert", "embedding_size": 0}, SpecError, "embedding_size"),
        ({"model_type": "mobilebert", "normalization_type": "x"}, SpecError, "'no_norm' or"),
        (
            {"model_type": "mobilebert", "key_query_shared_bottleneck": False},
            SpecError,
            "true would do",
        ),
    ],
)
def test_other_encoders_are_refused(changes, error, said, tmp_path):
    config = {"model_type": "roberta"} | SIZES["roberta"] | changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(error, match=said):
        load_encoder(tmp_path, "mean")

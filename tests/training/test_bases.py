"""RoBERTa and DistilBERT from folders as Hugging Face writes them, against its own library."""

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
}  # fmt: skip


def written(kind, folder, with_head=False):
    """A random model as transformers saves it; with a head its names have a prefix."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    config = transformers.AutoConfig.for_model(kind, **SIZES[kind])
    auto = transformers.AutoModelForMaskedLM if with_head else transformers.AutoModel
    model = auto.from_config(config)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    return model.eval()


def text():
    rng = np.random.default_rng(2)
    ids = tuple(rng.integers(4, 20, n) for n in (7, 4))
    return TokenizedText(ids, tuple(np.ones_like(each) for each in ids))


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("with_head", [False, True])
def test_it_equals_the_library_of_hugging_face(kind, with_head, tmp_path):
    theirs = written(kind, tmp_path, with_head)
    theirs = getattr(theirs, kind) if with_head else theirs
    ours = load_encoder(tmp_path, "mean").hidden(text().batch([0, 1], "cpu"))
    for i, part in enumerate(ours.split([7, 4])):
        expected = theirs(input_ids=torch.from_numpy(text().ids[i])[None]).last_hidden_state[0]
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-5)


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
        ours = model.encoder.hidden(text().batch([0], "cpu"))
    torch.testing.assert_close(ours, found, rtol=1e-4, atol=1e-5)
    again = Classifier(load_encoder(tmp_path / "base", "mean"), 2)
    again.add_adapters(LORA, 2)
    read_trained(tmp_path / "adapter", again)
    with torch.no_grad():
        assert (again.encoder.hidden(text().batch([0], "cpu")) == ours).all()


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
        ({"model_type": "mobilebert"}, UnsupportedError, "'distilbert' would do"),
        ({"max_position_embeddings": 2}, SpecError, "more than 2"),
        ({"hidden_act": "relu"}, UnsupportedError, "hidden_act"),
    ],
)
def test_other_encoders_are_refused(changes, error, said, tmp_path):
    config = {"model_type": "roberta"} | SIZES["roberta"] | changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(error, match=said):
        load_encoder(tmp_path, "mean")

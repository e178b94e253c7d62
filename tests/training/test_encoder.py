import json

import numpy as np
import pytest

from tests.training.conftest import WORDS, write_model

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from hybridsim.errors import SpecError, UnknownNameError, UnsupportedError  # noqa: E402
from hybridsim.training.classifier import Classifier  # noqa: E402
from hybridsim.training.corpora import Example  # noqa: E402
from hybridsim.training.encoder import load_encoder  # noqa: E402
from hybridsim.training.encoder import model_folder as find_folder  # noqa: E402
from hybridsim.training.peft_files import read_trained, write_trained  # noqa: E402
from hybridsim.training.sources import ModelSource  # noqa: E402
from hybridsim.training.study import Lora  # noqa: E402
from hybridsim.training.tokens import TokenizedText, tokenize  # noqa: E402

LORA = Lora(rank=2, alpha=8.0)


def texts(*lengths):
    rng = np.random.default_rng(1)
    ids = tuple(rng.integers(4, len(WORDS), n) for n in lengths)
    return TokenizedText(ids, tuple(np.zeros(n, np.int64) for n in lengths))


def with_adapter(model_folder, seed=1):
    """A model whose adapters do something."""
    model = Classifier(load_encoder(model_folder, "mean"), 2)
    model.add_adapters(LORA, seed)
    generator = torch.Generator().manual_seed(9)
    for _, adapter in model.adapters():
        adapter.lora_B.data.normal_(0, 0.3, generator=generator)
    return model.eval()


def test_sentences_of_a_batch_do_not_see_each_other(model_folder):
    encoder, text = load_encoder(model_folder, "mean"), texts(3, 9, 1, 5)
    together = encoder(text.batch([0, 1, 2, 3], "cpu"))
    alone = torch.cat([encoder(text.batch([i], "cpu")) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_it_equals_the_library_of_hugging_face(model_folder):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertModel.from_pretrained(str(model_folder), add_pooling_layer=False)
    text = texts(7, 4)
    ours = load_encoder(model_folder, "mean").hidden(text.batch([0, 1], "cpu"))
    for i, part in enumerate(ours.split([7, 4])):
        ids = torch.from_numpy(text.ids[i])[None]
        expected = theirs.eval()(input_ids=ids).last_hidden_state[0]
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_written_adapter_loads_in_peft(model_folder, tmp_path):
    """The encoder with our adapter gives the same vectors in the library that made the format."""
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    model, text = with_adapter(model_folder), texts(6)
    write_trained(tmp_path / "adapter", model, LORA, str(model_folder))
    base = transformers.BertModel.from_pretrained(str(model_folder), add_pooling_layer=False)
    theirs = peft.PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    with torch.no_grad():
        found = theirs(input_ids=torch.from_numpy(text.ids[0])[None]).last_hidden_state[0]
        ours = model.encoder.hidden(text.batch([0], "cpu"))
        bare = load_encoder(model_folder, "mean").hidden(text.batch([0], "cpu"))
    torch.testing.assert_close(ours, found, rtol=1e-4, atol=1e-5)
    assert (ours - bare).abs().max() > 0.01


def test_what_is_written_reads_back(model_folder, tmp_path):
    model = with_adapter(model_folder)
    torch.nn.init.normal_(model.head.weight)
    write_trained(tmp_path / "adapter", model, LORA, "tiny")
    other = with_adapter(model_folder, seed=2)
    read_trained(tmp_path / "adapter", other)
    assert all(torch.equal(a, b) for a, b in zip(
        model.state_dict().values(), other.state_dict().values(), strict=True
    ))  # fmt: skip
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 2, 8.0)
    assert len(config["target_modules"]) == 12


def test_adapters_of_another_rank_are_refused(model_folder, tmp_path):
    write_trained(tmp_path / "adapter", with_adapter(model_folder), LORA, "tiny")
    other = Classifier(load_encoder(model_folder, "mean"), 2)
    other.add_adapters(Lora(rank=3), 1)
    with pytest.raises(SpecError, match="cannot be read as its adapter"):
        read_trained(tmp_path / "adapter", other)


@pytest.mark.parametrize(
    ("targets", "count"),
    [(("query",), 2), (("attention.self.query", "attention.self.value"), 4), (("dense",), 6)],
)
def test_targets_choose_layers_by_the_end_of_their_name(model_folder, targets, count):
    model = Classifier(load_encoder(model_folder, "mean"), 2)
    model.add_adapters(Lora(rank=1, targets=targets), 1)
    assert len(list(model.adapters())) == count


def test_a_target_that_no_layer_has_is_named(model_folder):
    model = Classifier(load_encoder(model_folder, "mean"), 2)
    with pytest.raises(UnknownNameError, match=r"did you mean 'attention\.self\.query'"):
        model.add_adapters(Lora(targets=("attention.self.qeury",)), 1)


def test_an_adapter_has_rank_times_in_plus_out_parameters(model_folder):
    model = with_adapter(model_folder)
    model.train_adapters()
    trained = sum(p.numel() for p in model.trained().values())
    layers = 2 * (4 * (16 + 16) + (16 + 24) + (24 + 16))
    assert trained == 2 * layers + model.head.weight.numel() + 2


def test_long_sentences_are_cut_and_pairs_have_segments(model_folder):
    found = tokenize(model_folder, [Example("a " * 50, None, "x"), Example("a", "the", "x")], 16)
    assert len(found.ids[0]) == 16
    assert found.ids[1].tolist() == [2, 10, 3, 11, 3]
    assert found.segments[1].tolist() == [0, 0, 0, 1, 1]


def test_folders_that_hold_no_encoder_are_refused(tmp_path):
    with pytest.raises(SpecError, match="does not exist"):
        find_folder(ModelSource(folder="nowhere"), tmp_path)
    with pytest.raises(SpecError, match="pip install --no-deps no-such-thing"):
        find_folder(ModelSource(package="no_such_thing"), tmp_path)
    folder = write_model(tmp_path / "model")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(SpecError, match="as a tokenizer"):
        tokenize(folder, [Example("a", None, "x")], 16)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(
        UnsupportedError, match="'bert', 'roberta', 'distilbert', 'mobilebert' would do"
    ):
        load_encoder(folder, "mean")
    one_less = {key: value for key, value in config.items() if key != "type_vocab_size"}
    (folder / "config.json").write_text(json.dumps(one_less))
    with pytest.raises(SpecError, match="type_vocab_size: is missing; a whole number would do, 2"):
        load_encoder(folder, "mean")
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 32}))
    with pytest.raises(SpecError, match=r"found the shape .* would do"):
        load_encoder(folder, "mean")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"no")
    with pytest.raises(SpecError, match="cannot be read"):
        load_encoder(folder, "mean")
    (folder / "model.safetensors").unlink()
    with pytest.raises(SpecError, match=r"holds no model\.safetensors"):
        find_folder(ModelSource(folder="model"), tmp_path)

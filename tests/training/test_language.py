"""Pretrained Llamas on tiles: equal to Hugging Face's, and a study from its file to its table."""

import json

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from tests.schemas import broken

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from safetensors.torch import load_file, save_file  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402

from hybridsim.analog import AnalogSettings, Converters, PcmDevice  # noqa: E402
from hybridsim.cli import app  # noqa: E402
from hybridsim.errors import InputError, SpecError, UnsupportedError  # noqa: E402
from hybridsim.training.language_run import LanguageRun  # noqa: E402
from hybridsim.training.linear import program_chip, put_on_chip  # noqa: E402
from hybridsim.training.llama import Llama, load_llama, shape_of  # noqa: E402

WORDS = ["a", "b", "c", "d", "e", "f", "[UNK]"]
CONFIG = {
    "model_type": "llama", "hidden_act": "silu", "hidden_size": 16, "intermediate_size": 24,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2,
    "vocab_size": len(WORDS), "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "tie_word_embeddings": True, "max_position_embeddings": 64,
}  # fmt: skip
STRETCHED = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip


def write_llama(folder, **changes):
    """Write a random model with its tokenizer, as Hugging Face does."""
    folder.mkdir(parents=True, exist_ok=True)
    config = CONFIG | changes
    (folder / "config.json").write_text(json.dumps(config))
    generator = torch.Generator().manual_seed(3)
    weights = {
        name: torch.randn(value.shape, generator=generator) * 0.4 + ("norm" in name)
        for name, value in Llama(shape_of(config, folder)).state_dict().items()
        if not name.endswith("_proj.bias")
    }
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def study(tmp_path):
    write_llama(tmp_path / "model")
    rng = np.random.default_rng(1)
    names = [f"text{i}.txt" for i in range(8)]
    for name in names:
        (tmp_path / name).write_text(" ".join(rng.choice(WORDS[:6], 30)))
    document = {
        "name": "tiny", "question": "does it work", "language": {"folder": "model"},
        "text": {"kind": "files", "files": names}, "tokens": 20, "calibration": 3, "test": 3,
        "tiles": {
            "side_path": {"side_path_sigmas": 1.5, "clip_sigmas": 1.5},
            "clipped": {"clip_sigmas": 1.5},
        },
        "times": ["0s", "10y"], "correction": {"rank": 4, "checked": 2},
        "machine": "ahwa_lora_2026",
    }  # fmt: skip
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


@pytest.mark.parametrize(
    "changes", [{}, {"tie_word_embeddings": False, "head_dim": 6}, {"rope_scaling": STRETCHED}]
)
def test_it_equals_the_library_of_hugging_face(tmp_path, changes):
    transformers = pytest.importorskip("transformers")
    folder = write_llama(tmp_path / "model", **changes)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.randint(len(WORDS), (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = theirs.eval()(ids).logits, load_llama(folder)(ids)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_weights_in_several_files_are_the_same_model(tmp_path):
    folder = write_llama(tmp_path / "model")
    ids = torch.arange(6)[None]
    with torch.no_grad():
        whole = load_llama(folder)(ids)
    weights = load_file(str(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    places = {name: f"part{i % 2}.safetensors" for i, name in enumerate(weights)}
    for part in set(places.values()):
        held = {n: w for n, w in weights.items() if places[n] == part}
        save_file(held, str(folder / part))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    with torch.no_grad():
        assert (load_llama(folder)(ids) == whole).all()


def test_a_gguf_file_is_the_same_model(tmp_path):
    """Weights unquantized, queries and keys in the order that llama.cpp's converter gives them."""
    gguf = pytest.importorskip("gguf")
    from hybridsim.training.gguf_files import _BLOCK, _WHOLE, read_gguf

    folder = write_llama(tmp_path / "model", vocab_size=256 + 2)
    writer = gguf.GGUFWriter(str(tmp_path / "model.gguf"), "llama")
    writer.add_embedding_length(16)
    writer.add_feed_forward_length(24)
    writer.add_block_count(2)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    writer.add_token_list([*letters, "ab", "<|end|>"])
    writer.add_token_types([1] * 257 + [3])
    writer.add_token_merges(["a b"])
    theirs = {v: k for k, v in _WHOLE.items()}
    for name, value in load_file(str(folder / "model.safetensors")).items():
        array = value.numpy()
        if name in theirs:
            writer.add_tensor(theirs[name], array)
            continue
        _, _, number, rest = name.removesuffix(".weight").split(".", 3)
        own = next(k for k, v in _BLOCK.items() if v == rest)
        if own in ("attn_q", "attn_k"):  # as llama.cpp's convert_hf_to_gguf permutes
            heads = 4 if own == "attn_q" else 2
            halves = array.reshape(heads, 2, array.shape[0] // heads // 2, array.shape[1])
            array = np.ascontiguousarray(halves.swapaxes(1, 2).reshape(array.shape))
        writer.add_tensor(f"blk.{number}.{own}.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model, tokenizer = read_gguf(tmp_path / "model.gguf")
    ids = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(ids), load_llama(folder)(ids))
    assert tokenizer.decode(tokenizer.encode("ab a1 2\n\nb").ids) == "ab a1 2\n\nb"
    assert tokenizer.encode("ab").ids == [256]


def test_a_side_path_beyond_nothing_is_digital_arithmetic(tmp_path):
    """Every weight lies beyond 1e-6 deviations, so that chips hold nothing but noise of zeros."""
    model = load_llama(write_llama(tmp_path / "model"))
    ids = torch.randint(6, (2, 9), generator=torch.Generator().manual_seed(1))
    still = PcmDevice(programming_scale=0.0, read_scale=0.0)
    exact = Converters(output_noise=0.0, dac_bits=None, adc_bits=None)
    settings = AnalogSettings(side_path_sigmas=1e-6, device=still, converters=exact)
    with torch.no_grad():
        digital = model(ids)
        chip = program_chip(model, settings, (1,))
        from hybridsim.training.crossbar import Disturbance, Pool

        put_on_chip(model, chip, 3600.0, settings, Disturbance(Pool(0, "cpu")))
        torch.testing.assert_close(model(ids), digital, atol=1e-4, rtol=1e-3)


def test_a_study_ends_in_a_table_and_goes_on(study, tmp_path):
    out = tmp_path / "out"
    arguments = ["recalibrate", str(study), "--out", str(out)]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 80
    journal = (out / "journal.jsonl").read_text().splitlines()
    assert len(journal) == 1 + 2 + 2 * 2 + 2 * 2
    (out / "journal.jsonl").write_text("\n".join(journal[:-1]) + "\n" + journal[-1][:30])
    again = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    tables = json.loads(again.stdout)
    assert broken("recalibrate-answer", tables) == []
    rows = {(r["tiles"], r["time"], r["corrected"]): r for r in tables["perplexity"]}
    # what the side path holds is not lost, what is clipped is
    digital = rows["digital", "weights alone", False]["perplexity"]
    assert rows["side_path", "weights alone", False]["perplexity"] == pytest.approx(
        digital, rel=1e-4
    )
    assert rows["clipped", "weights alone", False]["perplexity"] != pytest.approx(
        digital, rel=1e-3
    )
    every = next(r for r in tables["side_path"] if r["layers"] == "all")
    assert every["count"] == 14
    assert 0 < every["kept_percent"] < 30


@pytest.fixture
def taught(study):
    """The same with adapters: one that learns digitally, one on tiles."""
    document = yaml.safe_load(study.read_text())
    how = {"steps": 60, "batch": 2, "learning_rate": 0.01}
    noisy = how | {"tiles": "clipped", "weight_noise": 0.01}
    document |= {
        "calibration": 2, "test": 2, "train": 2, "times": ["0s"], "adapted": ["clipped"],
        "adapters": {"plain": how | {"lora": {"rank": 2}}, "noisy": noisy},
        "correction": {"rank": 4, "adapters": ["plain"], "checked": 2}, "machine": None,
    }  # fmt: skip
    study.write_text(yaml.safe_dump(document, sort_keys=False))
    return study


def test_adapters_learn_are_tested_and_are_not_trained_again(taught, tmp_path):
    out = tmp_path / "out"
    table = LanguageRun(taught, out).run().table
    rows = set(zip(table["tiles"], table["adapter"], table["corrected"], strict=True))
    digital = {("digital", name, False) for name in ("-", "plain", "noisy")}
    clipped = {("clipped", name, False) for name in ("-", "plain", "noisy")}
    assert rows == digital | clipped | {
        ("side_path", "-", False), ("side_path", "plain", True), ("clipped", "plain", True),
    }  # fmt: skip
    assert table["times_digital"].iloc[0] == 1.0
    told = {name: json.loads((out / f"adapters/{name}/training.json").read_text())
            for name in ("plain", "noisy")}  # fmt: skip
    # two documents are soon known by heart
    assert all(each["last_loss"] < each["first_loss"] for each in told.values())
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*.safetensors")}
    again = LanguageRun(taught, out).run().table
    assert before == {file: file.stat().st_mtime_ns for file in out.rglob("*.safetensors")}
    assert again.equals(table)
    document = yaml.safe_load(taught.read_text())
    document["adapters"]["plain"]["steps"] = 61
    taught.write_text(yaml.safe_dump(document))
    with pytest.raises(InputError, match="another way"):
        LanguageRun(taught, out).run()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_written_adapter_loads_in_peft(taught, tmp_path):
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    run = LanguageRun(taught, tmp_path / "out")
    run.run()
    folder = tmp_path / "model"
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    place = str(tmp_path / "out/adapters/plain/adapter")
    theirs = peft.PeftModel.from_pretrained(base, place).eval()
    run._digital(run.adapters["plain"])
    with torch.no_grad():
        bare = load_llama(folder)(run.test)
        expected, found = theirs(run.test).logits.float(), run.model(run.test)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    assert (found - bare).abs().max() > 0.1


@pytest.mark.parametrize("adapter", ["-", "plain"])
def test_full_rank_without_noise_gives_back_digital_arithmetic(adapter, taught, tmp_path):
    document = yaml.safe_load(taught.read_text())
    still = {"device": {"read_scale": 0.0}, "converters": {
        "output_noise": 0.0, "dac_bits": None, "adc_bits": None, "output_bound": 1e9}}  # fmt: skip
    document["tiles"] = {"clipped": {"clip_sigmas": 0.8} | still}
    document |= {"times": ["10y"], "calibration": 3, "test": 1}
    document["correction"] = {"rank": 24, "ridge": 0.0, "checked": 2} | (
        {} if adapter == "-" else {"adapters": [adapter]}
    )
    taught.write_text(yaml.safe_dump(document))
    table = LanguageRun(taught, tmp_path / "out").run().table
    rows = table.set_index(["tiles", "adapter", "corrected", "time"])["perplexity"]
    digital = rows["digital", adapter, False, "weights alone"]
    assert abs(rows["clipped", adapter, False, "10y"] - digital) > 0.05 * digital
    assert rows["clipped", adapter, True, "10y"] == pytest.approx(digital, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"language": {"package": "nowhere_at_all"}}, SpecError, "pip install"),
        ({"language": {}}, SpecError, "folder, file, package"),
        ({"tokens": 2000}, SpecError, "fewer tokens"),
        ({"corrected": ["nobody"]}, SpecError, "nobody"),
        ({"adapters": {"one": {"steps": 1, "learning_rate": 0.1}}}, SpecError, "train: found 0"),
        ({"correction": {"adapters": ["one"]}}, SpecError, "there are none"),
        ({"language": {"folder": "none"}}, InputError, "config.json"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(study, tmp_path, changes, error, said):
    document = yaml.safe_load(study.read_text()) | changes
    study.write_text(yaml.safe_dump(document))
    with pytest.raises(error, match=said):
        LanguageRun(study, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changes",
    [{"model_type": "gpt2"}, {"hidden_act": "gelu"}, {"rope_scaling": {"rope_type": "yarn"}}],
)
def test_other_models_are_refused(tmp_path, changes):
    folder = write_llama(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    with pytest.raises(UnsupportedError, match=next(iter(changes))):
        load_llama(folder)

"""A tiny random BERT, a table of labelled sentences, and a study of both."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml

if TYPE_CHECKING:
    from hybridsim.training.run import StudyRun
    from hybridsim.training.training import Training

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "good",
    "fine",
    "bad",
    "poor",
    "film",
    "plot",
    "a",
    "the",
]
CONFIG = {
    "model_type": "bert", "hidden_act": "gelu", "layer_norm_eps": 1e-12,
    "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_hidden_layers": 2,
    "vocab_size": len(WORDS), "max_position_embeddings": 32, "type_vocab_size": 2,
}  # fmt: skip


def write_model(folder: Path) -> Path:
    """Write config.json, tokenizer.json and random model.safetensors."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    from hybridsim.training.encoder import Encoder

    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    generator = torch.Generator().manual_seed(1)
    weights = {
        name: value if "LayerNorm" in name else torch.randn(value.shape, generator=generator) * 0.2
        for name, value in Encoder(CONFIG, "mean").state_dict().items()
    }
    save_file(weights, str(folder / "model.safetensors"))
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


def sentences(count: int) -> list[tuple[str, str]]:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(count):
        label = str(rng.choice(["yes", "no"]))
        sign = rng.choice(["good", "fine"] if label == "yes" else ["bad", "poor"])
        rest = rng.choice(["film", "plot", "a", "the"], rng.integers(1, 6)).tolist()
        found.append((" ".join(rng.permutation([str(sign), *rest])), label))
    return found


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    return write_study(tmp_path)


@pytest.fixture
def study(study_file: Path, model_folder: Path) -> Path:
    """The study file, its model beside it."""
    (study_file.parent / "model").symlink_to(model_folder)
    return study_file


def training_of(run: "StudyRun", arm: str, seed: int = 1) -> "Training":
    """Return a training of an arm that is not begun; its checkpoint lies where the run's does."""
    from hybridsim.training.training import Training  # torch is an extra

    checkpoint = run.place(arm, seed) / "checkpoint.safetensors"
    model = run.new_model(arm, seed)
    return Training(run.study, arm, seed, model, run.train, None, checkpoint)


def write_study(tmp_path: Path) -> Path:
    """A study beside its table; tests change it with :func:`changed`."""
    rows = ["text,label", *(f"{text},{label}" for text, label in sentences(120))]
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n")
    study = {
        "name": "tiny",
        "question": "does it work",
        "model": {"folder": "model"},
        "data": {
            "source": {"kind": "table", "file": "table.csv", "text": "text", "label": "label"},
            "train": 64,
            "test": 40,
            "split": "sentences",  # twelve words make few different sentences
            "tokens": 16,
        },
        "lora": {"rank": 2, "alpha": 8.0},
        "arms": {
            "digital_lora": {"train": "lora", "learning_rate": 0.01},
            "ahwa_lora": {"train": "lora", "learning_rate": 0.01, "noise": {"kind": "gaussian"}},
        },
        "steps": 6,
        "batch": 8,
        "seeds": [1],
        "chips": [1, 2],
        "times": ["0s", "10y"],
        "threads": 1,
        "checkpoint_every": 2,
    }
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    return file


def changed(file: Path, **parts: object) -> Path:
    """Replace parts of a study file; a path is written with two underscores."""
    study = yaml.safe_load(file.read_text())
    for path, value in parts.items():
        *above, last = path.split("__")
        place = study
        for key in above:
            place = place[key]
        place[last] = value
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    return file

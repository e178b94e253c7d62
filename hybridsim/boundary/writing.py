"""Files are written whole or not at all, several of them together, each with its checksum."""

import hashlib
import os
import platform
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from hybridsim.boundary.reading import SUMS, is_folder, read_sums, sum_of
from hybridsim.boundary.values import printable
from hybridsim.errors import SpecError

Content = str | bytes


def check_place(folder: Path, names: Sequence[str] = (), option: str = "--out") -> None:
    """Refuse a place that cannot become a folder of results, before any work is done.

    ``names`` are files that are to be written there.

    Raises:
        SpecError: Something that is not a folder lies there, or on the way there; it cannot be
            written to; or a folder lies where a file should go.
    """
    shown = printable(str(folder))
    try:
        for place in (folder, *folder.absolute().parents):
            if place.is_dir():
                if not os.access(place, os.W_OK | os.X_OK):
                    raise SpecError(option, shown, f"{place} cannot be written to")
                break
            if place.exists() or place.is_symlink():
                raise SpecError(option, shown, f"{place} is a file; give a folder")
        for name in names:
            if (folder / name).is_dir():
                raise SpecError(option, shown, f"{name} is a folder there; give another folder")
    except OSError as error:
        raise SpecError(option, shown, f"cannot be written: {error.strerror}") from None


def write_all(folder: Path, files: Mapping[str, Content], option: str = "--out") -> None:
    """Write files into a folder, all of them or none, and a list of their checksums.

    They are written beside their place first. A new folder then takes its name at once; in one
    that is there, each file is renamed into place, and if that fails all are put back.

    Raises:
        SpecError: The disk refuses, or a folder lies where a file should go; all that was there
            before is as it was.
    """
    check_place(folder, (*files, SUMS), option)
    held = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    try:
        if folder.is_dir():
            _into(folder, held)
        else:
            _new(folder, held | {SUMS: _listed({name: {sum_of(held[name])} for name in held})})
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise SpecError(option, printable(str(folder)), problem) from None


def _listed(sums: Mapping[str, set[str]]) -> bytes:
    lines = [f"{digits}  {name}\n" for name in sorted(sums) for digits in sorted(sums[name])]
    return "".join(lines).encode()


def _new(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder that is not there yet: under another name, then renamed."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _unfinished(folder.parent) as hidden:
            for name, raw in files.items():
                _write(hidden / name, raw)
            os.rename(hidden, folder)
    except BaseException:
        for place in made:  # those on the way there were not there before
            with suppress(OSError):
                place.rmdir()
        raise


def _into(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write into a folder that is there; what was there before is kept until all is done.

    The list of checksums names old and new ones while files are renamed, so that whoever is killed
    in between leaves files that are read.
    """
    try:
        known = {n: own for n, own in read_sums(folder).items() if (folder / n).exists()}
    except SpecError:  # a broken list says nothing of files that stay
        known = {}
    new = {name: {sum_of(raw)} for name, raw in files.items()}
    both = {name: known.get(name, set()) | new.get(name, set()) for name in known | new}
    lists = {"both": _listed(both), SUMS: _listed(known | new)}
    with _unfinished(folder) as hidden:
        before = hidden / "before"
        before.mkdir()
        for name, raw in {**files, **lists}.items():
            _write(hidden / name, raw)
        done: dict[str, bool] = {}
        try:
            for source, name in [("both", SUMS), *((name, name) for name in files), (SUMS, SUMS)]:
                if name not in done and (folder / name).exists():
                    _keep(folder / name, before / name)
                done.setdefault(name, (before / name).exists())
                os.replace(hidden / source, folder / name)
        except BaseException:
            for name, was_there in done.items():
                if was_there:
                    os.replace(before / name, folder / name)
                else:
                    (folder / name).unlink(missing_ok=True)
            raise


def _keep(file: Path, copy: Path) -> None:
    """Keep what is in a file under another name, while it stays where it is."""
    try:
        os.link(file, copy)
    except OSError:  # a file system without links
        shutil.copy2(file, copy)


def _write(file: Path, raw: bytes) -> None:
    with file.open("xb") as stream:
        stream.write(raw)
        stream.flush()
        os.fsync(stream.fileno())  # else a full disk may show only after the renaming


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """Yield a new folder below another one, gone at the end with all that is still in it.

    What a process left there that was killed is cleared away first.
    """
    _clear_dead(folder)
    hidden = folder / f"{_hidden()}{os.getpid()}-{secrets.token_hex(4)}"
    hidden.mkdir()  # not mkdtemp: what takes the place of a folder has the rights of one
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _hidden() -> str:
    """Return how the names of unfinished folders of this machine begin; processes follow."""
    host = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
    return f".hybridsim-{host}-"


def _clear_dead(folder: Path) -> None:
    """Remove unfinished folders of processes of this machine that are gone.

    Whether one of another machine, with which a disk is shared, is gone cannot be told from here.
    """
    begins = _hidden()
    for place in folder.glob(f"{begins}*"):
        number = place.name.removeprefix(begins).partition("-")[0]
        if number.isdecimal() and _is_gone(int(number)):
            shutil.rmtree(place, ignore_errors=True)


def _is_gone(process: int) -> bool:
    """Return whether no process has a number; where that cannot be asked, one may have it."""
    if os.name != "posix":  # elsewhere the same call ends a process
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # of somebody else
        return False
    return False


def check_file(path: Path, option: str) -> None:
    """Refuse a place where no file could be written, before any work is done.

    Raises:
        SpecError: It lies in no folder, is one, or that folder cannot be written to.
    """
    folder = path.absolute().parent
    if not is_folder(folder) or is_folder(path):
        problem = "lies in no folder; give a file in one that exists"
        raise SpecError(option, printable(str(path)), problem)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SpecError(option, printable(str(path)), f"{folder} cannot be written to")


@contextmanager
def write_file(path: Path, option: str = "") -> Iterator[BinaryIO]:
    """Open a file that takes its name when it is finished, and is gone if it never is.

    Raises:
        SpecError: The disk refuses.
    """
    try:
        with _unfinished(path.absolute().parent) as hidden:
            with (hidden / "file").open("xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(hidden / "file", path)
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise SpecError(option, printable(str(path)), problem) from None

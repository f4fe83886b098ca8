"""Writes files whole or not at all."""
import os
import pathlib

from .report import UnusableInput


def replace_file(path, content):
    """Writes text or bytes beside `path`, then renames: a reader sees the file of before or all of the new one. What is no
    ordinary file, such as /dev/stdout, is written to."""
    path = pathlib.Path(path)
    aside = path if path.exists() and not path.is_file() else path.with_name(path.name + ".tmp")
    try:
        aside.write_bytes(content.encode("utf-8", errors="replace") if isinstance(content, str) else content)
        if aside != path:
            os.replace(aside, path)
    except OSError as error:
        if aside != path:
            aside.unlink(missing_ok=True)
        raise UnusableInput(f"{path}: cannot be written: {error.strerror}") from None

"""The library that draws the charts, as one script: Vega-Lite and what it needs, out of the wheel vl-convert-python."""
import functools
import importlib
import pathlib
import sys

from .report import UnusableInput

HERE = pathlib.Path(__file__).resolve().parent
WHEEL = (HERE / "requirements.txt").read_text(encoding="utf-8").strip()
VEGA_LITE = "6.4"


@functools.cache
def chart_library():
    """The script; it defines vegaEmbed."""
    try:
        bundle = vl_convert().javascript_bundle(vl_version=VEGA_LITE)
    except ImportError:
        raise UnusableInput(f"a page needs {WHEEL}, which scripts/render installs, as does: python3 -m pip install {WHEEL}") from None
    if "</script" in bundle.lower():
        raise UnusableInput(f"{WHEEL}: its bundle cannot stand in a page")
    return bundle


def vl_convert():
    """The module, of this Python or of the .venv that set-up made."""
    try:
        return importlib.import_module("vl_convert")
    except ImportError:
        sys.path += map(str, HERE.parents[1].glob(".venv/lib/python3*/site-packages"))
        return importlib.import_module("vl_convert")

"""Reports as tables and as a page: what `lcnn_report render` runs. It needs Python 3.11 and, for pages only, vl-convert-python."""

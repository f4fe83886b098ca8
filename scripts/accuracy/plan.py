"""What is trained: Conv2d, and LookupConv2d at several dictionary sizes and lambdas, each from several seeds."""
import dataclasses
import re

# Of the network cnn: sizes of the dictionaries of its two convolutions, and how hard lookups are pulled to zero.
DEFAULT_SETTINGS = ("1,4:0.01", "1,8:0.03", "1,8:0.003", "1,16:0.01", "1,24:0.003", "1,32:0")
SETTING = re.compile(r"(?P<dictionary>fast|accurate|[0-9]+(,[0-9]+)*):(?P<penalty>[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?)")


@dataclasses.dataclass(frozen=True)
class Setting:
    """Conv2d without a dictionary."""

    dictionary: str = ""
    penalty: str = ""  # lambda

    def name(self):
        return f"d{self.dictionary.replace(',', '-')}_lambda{self.penalty}" if self.dictionary else "conv2d"

    def arguments(self):
        """Of lcnn_train."""
        if not self.dictionary:
            return ["--convolution=conv2d"]
        return ["--convolution=pooled", f"--dictionary={self.dictionary}", f"--lambda={self.penalty}"]


CONV2D = Setting()


def parse_setting(text):
    found = SETTING.fullmatch(text)
    if not found:
        raise ValueError(f"--setting={text}: DICTIONARY:LAMBDA is accepted, such as 1,8:0.003 or fast:0")
    return Setting(found["dictionary"], found["penalty"])

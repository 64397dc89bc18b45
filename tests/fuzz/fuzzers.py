"""All fuzzers, by name."""

from . import configs, headers, layouts, networks, people, pickles, pictures, prompts
from .harness import Fuzzer

ALL: dict[str, Fuzzer] = {
    one.FUZZER.name: one.FUZZER
    for one in (pictures, headers, pickles, prompts, layouts, configs, networks, people)
}

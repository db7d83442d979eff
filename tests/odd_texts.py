"""Texts that are made to break cuts, shares and estimates, and what tiktoken really sees of them."""

from __future__ import annotations

from hypothesis import strategies as st

from tokentrace.counting import cuts

ASCII = [chr(code) for code in range(128)]
FOREIGN = list(
    "\x85\xa0\u2028\u2029\u3000\u1680\u200b\ufeff汉字あカ한。，！「」…—·“”’ʼéßÉǅʰªſKİıñ"
    "\u0301\u0308\u20dd٣²Ⅷ½０😀👩\u200d💻\ufe0f🏽ไทยक्षि\u1100\ud83d\ude00\ud800"
)
GROUPS = [
    *("\n", "\r\n", " ", "  ", "\n\n", " \n", "'", "'s", "'S", "'ll", "/", "//", "\t", "1", "12"),
    *("a", "A", "Ab", ".", "!\n", "-", "_", "don't", "\u3000\n", "'ſ", "x", "0", "汉", "。"),
    *("<|endoftext|>", "import os\n\n", "    return x\n", "kubectl get pods -A ", '{"a": 1}'),
]
HOSTILE = st.lists(
    st.sampled_from(GROUPS) | st.sampled_from(FOREIGN) | st.sampled_from(ASCII), max_size=60
).map("".join)


def hostile(rng, length):
    """Return a random string that is made to break cuts."""
    kinds = (ASCII, FOREIGN, GROUPS)
    weights = rng.choice(((3, 1, 4), (1, 4, 2), (1, 0, 4), (4, 0, 1)))
    return "".join(rng.choice(rng.choices(kinds, weights)[0]) for _ in range(length))


def prose(rng, length):
    """Return a random text of words, numbers and lines."""
    words = (
        "pod",
        "restarted",
        "exit code 137,",
        "namespace",
        "don't",
        "Größe",
        "0x1f",
        "a/b/c.py:",
    )
    return "".join(rng.choice(words) + rng.choice("  \n") for _ in range(length))


def repaired(value):
    """Return the text that tiktoken really encodes: surrogates joined or replaced."""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def all_cuts(value):
    """Return every place at which the text may be cut."""
    found, place = [], cuts.cut(value, 0, len(value))
    while place < len(value):
        found.append(place)
        place = cuts.cut(value, place, len(value))
    return found

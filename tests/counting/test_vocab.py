"""The packed vocabularies and the encoders built from them."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest

from tokentrace.counting import vocab
from tokentrace.counting.vocab import TABLES, VocabularyError

# SHA-256 of the files that tiktoken downloads, as tiktoken 0.14.0 pins them.
TIKTOKEN = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
NAMES = sorted(TABLES)
PACKER = Path(__file__).parents[2] / "scripts" / "pack_vocab.py"


def tiktoken_file(tokens):
    """Return the bytes of the file from which tiktoken would read ``tokens``."""
    lines = (b"%b %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(tokens))
    return b"".join(lines)


def run(*command, **options):
    """Return what a process of its own did, with its output as text."""
    return subprocess.run(
        command, check=False, timeout=60, capture_output=True, text=True, **options
    )


def run_script(script, **options):
    """Return what a fresh interpreter made of ``script``."""
    return run(sys.executable, "-c", script, **options)


def pack(source, folder):
    """Return what the packing script did with ``source``."""
    return run(sys.executable, str(PACKER), str(source), str(folder))


@pytest.fixture
def fresh(monkeypatch):
    """Run with no vocabulary loaded, and put the loaded ones back afterwards."""
    monkeypatch.setattr(vocab, "_loaded", {})
    monkeypatch.setattr(vocab._loads, "under_way", set())


@pytest.fixture
def patched_read(monkeypatch, fresh):
    """Return a function that makes the packed tables read as what ``change`` makes of them."""

    def patch(change):
        real = vocab._read
        monkeypatch.setattr(vocab, "_read", lambda name: change(real(name)))

    return patch


@pytest.mark.parametrize("name", NAMES)
def test_packed_table_is_tiktokens_file(name):
    """The file rebuilt from the packed table has the digest that tiktoken pins."""
    _, tokens = vocab.unpack(name)
    assert hashlib.sha256(tiktoken_file(tokens)).hexdigest() == TIKTOKEN[name]


@pytest.mark.parametrize("name", NAMES)
def test_definition_is_tiktokens(name, monkeypatch):
    """Pattern and digest are those of tiktoken's own definition, read without its download."""
    from tiktoken_ext import openai_public

    asked = []

    def no_download(_url, expected_hash=None):
        asked.append(expected_hash)
        return {}

    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", no_download)
    definition = openai_public.ENCODING_CONSTRUCTORS[name]()
    assert TABLES[name].pattern == definition["pat_str"]
    assert asked == [TIKTOKEN[name]]


@pytest.mark.parametrize("name", NAMES)
def test_lengths_are_the_tokens_bytes(name):
    """The table of byte lengths has the length of each token at its rank."""
    lengths, tokens = vocab.unpack(name)
    assert lengths == bytes(map(len, tokens))
    assert vocab.load(name).lengths == lengths


@pytest.mark.parametrize("name", NAMES)
def test_tokens_cover_the_text(name):
    """The lengths of a text's tokens add up to its bytes, special-token text included."""
    loaded = vocab.load(name)
    text = "kubectl get pods\n<|endoftext|> Größe 汉字 👩‍💻\tx"
    ranks = loaded.encode(text)
    assert sum(loaded.lengths[rank] for rank in ranks) == len(text.encode())
    assert max(ranks) < TABLES[name].size


@pytest.mark.parametrize("where", [0, 1000, -1])
def test_flipped_bit_is_refused(where, patched_read):
    """A table with one bit changed is refused, wherever the bit lies."""

    def flip(packed):
        damaged = bytearray(packed)
        damaged[where] ^= 1
        return bytes(damaged)

    patched_read(flip)
    with pytest.raises(VocabularyError, match="damaged"):
        vocab.load("cl100k_base")
    assert not vocab.loaded("cl100k_base")


@pytest.mark.parametrize("keep", [0, 1, 100_000])
def test_truncated_table_is_refused(keep, patched_read):
    """A table that is cut short, or empty, is refused."""
    patched_read(lambda packed: packed[:keep])
    with pytest.raises(VocabularyError, match="damaged"):
        vocab.load("cl100k_base")


def test_missing_table_is_refused(monkeypatch, fresh):
    """A table whose file is not there is refused with the mend."""
    table = TABLES["cl100k_base"]
    monkeypatch.setattr(vocab, "TABLES", {"gone_base": table})
    with pytest.raises(VocabularyError, match="install tokentrace again"):
        vocab.load("gone_base")


def test_unknown_name_is_refused():
    """A vocabulary that nobody packed is refused, and the message names those there are."""
    with pytest.raises(VocabularyError, match="'p50k_base' is not one of o200k_base, cl100k_base"):
        vocab.load("p50k_base")


def test_tiktoken_that_cannot_be_imported(monkeypatch, fresh):
    """Without tiktoken there is no vocabulary, and the error says why."""
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(VocabularyError, match="tiktoken cannot be imported"):
        vocab.load("cl100k_base")


def test_threads_share_one_load(monkeypatch, fresh):
    """Eight threads that ask at once get the same vocabulary, built once."""
    built = []
    real = vocab._build
    monkeypatch.setattr(
        vocab, "_build", lambda name, maker: built.append(name) or real(name, maker)
    )
    start = threading.Barrier(8)
    found = []

    def ask():
        start.wait()
        found.append(vocab.load("cl100k_base"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == ["cl100k_base"]
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def background():
    """Return the threads that load a vocabulary."""
    return [one for one in threading.enumerate() if one.name == "tokentrace-vocabulary"]


def test_background_load_happens_once(monkeypatch, fresh):
    """Asking twice starts one thread; once it is done the vocabulary is loaded."""
    go = threading.Event()
    real = vocab._build
    monkeypatch.setattr(vocab, "_build", lambda name, maker: go.wait(10) and real(name, maker))
    vocab.load_in_background("cl100k_base")
    vocab.load_in_background("cl100k_base")
    threads = background()
    assert len(threads) == 1
    assert not vocab.loaded("cl100k_base")
    go.set()
    threads[0].join()
    assert vocab.loaded("cl100k_base")
    vocab.load_in_background("cl100k_base")
    assert background() == []


def test_background_load_of_nothing():
    """A name that nobody knows starts no thread."""
    vocab.load_in_background("p50k_base")
    assert background() == []


def test_background_load_of_a_damaged_table_is_quiet(patched_read):
    """A damaged table fails quietly on the thread; the next use meets the error itself."""
    patched_read(lambda packed: packed[1:])
    vocab.load_in_background("cl100k_base")
    for thread in background():
        thread.join()
    with pytest.raises(VocabularyError):
        vocab.load("cl100k_base")


def test_no_thread_to_be_had(monkeypatch, fresh):
    """Where no thread can start, nothing is raised and a later attempt is possible."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    vocab.load_in_background("cl100k_base")
    assert vocab._loads.under_way == set()
    assert not vocab.loaded("cl100k_base")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_the_lock_is_held():
    """A child forked while another thread of the parent loads can load for itself."""
    script = """
import os, threading, sys, warnings
from tokentrace.counting import vocab
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of such a fork
held, go = threading.Event(), threading.Event()
def hold():
    with vocab._loads.lock:
        held.set()
        go.wait()
threading.Thread(target=hold).start()
held.wait()
vocab._loads.under_way.add("cl100k_base")
child = os.fork()
if child == 0:
    fine = vocab._loads.under_way == set() and len(vocab.load("cl100k_base").encode("a b")) == 2
    os._exit(0 if fine else 1)
go.set()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    ran = run_script(script)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_child_forgets_loads_of_the_parent(fresh, monkeypatch):
    """After a fork the lock is new and no load is thought to be on its way."""
    monkeypatch.setattr(vocab._loads, "lock", before := threading.RLock())
    vocab._loads.under_way.add("cl100k_base")
    vocab._loads.renew()
    assert vocab._loads.lock is not before
    assert vocab._loads.under_way == set()


def test_exit_during_a_background_load():
    """A process that ends while a vocabulary loads ends cleanly and soon."""
    script = "from tokentrace.counting import vocab; vocab.load_in_background('o200k_base')"
    ran = run_script(script)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_no_network_and_no_cache_folder(tmp_path):
    """Loading opens no socket and writes nothing to tiktoken's cache folder."""
    script = """
import socket, sys
sys.addaudithook(lambda event, _: sys.exit("network: " + event) if event.startswith("socket.") else None)
from tokentrace.counting import vocab
print(len(vocab.load("cl100k_base").encode("hello world")))
"""
    environment = {**os.environ, "TIKTOKEN_CACHE_DIR": str(tmp_path)}
    ran = run_script(script, env=environment)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "2\n", "")
    assert list(tmp_path.iterdir()) == []


def test_import_is_light():
    """The counting modules are imported without tiktoken."""
    script = "import sys, tokentrace.counting.text; sys.exit('tiktoken' in sys.modules)"
    assert run_script(script).returncode == 0


def test_packer_packs_what_is_unpacked(tmp_path):
    """The packing script makes, from tiktoken's file, the very table that is shipped."""
    name = "cl100k_base"
    source = tmp_path / f"{name}.tiktoken"
    source.write_bytes(tiktoken_file(vocab.unpack(name)[1]))
    ran = pack(source, tmp_path)
    assert ran.returncode == 0, ran.stderr
    packed = (tmp_path / f"{name}.zlib").read_bytes()
    assert zlib.decompress(packed) == zlib.decompress(vocab._read(name))
    assert f"size={TABLES[name].size}" in ran.stdout
    assert hashlib.sha256(packed).hexdigest() in ran.stdout


def test_packer_refuses_gaps(tmp_path):
    """A file whose ranks are not consecutive is refused."""
    source = tmp_path / "odd.tiktoken"
    source.write_bytes(b"YQ== 0\nYg== 2\n")
    ran = pack(source, tmp_path)
    assert ran.returncode == 1
    assert "ranks are not consecutive" in ran.stderr

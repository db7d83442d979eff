"""How components are spelled, and which section names may leave the process."""

from __future__ import annotations

import re
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentrace import names
from tokentrace.names import Templates, digest, normalise, section

USER = ("user", 0)
ALLOWED = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


def learn(templates, name, *contents, place=USER, form="json"):
    """Show contents, one a call; return whether the name is public then."""
    for content in contents:
        templates.saw(place, form, name, digest(content))
    return templates.public(section(name))


# ── spelling ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["memory", "code.app", "A-1_b", "x" * 64])
def test_good_names_stay(name):
    """A name in the allowed characters and length is not touched."""
    assert normalise(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "two words", "<script>alert(1)</script>", '=1+1"\n', "记忆", "\ud800", "x" * 65, "=cmd"],
)
def test_other_names_are_spelled_safely(name):
    """Quotes, brackets, line ends, formulas and foreign letters leave no trace but a hash."""
    spelled = normalise(name)
    assert ALLOWED.match(spelled)
    assert re.search(r"-[0-9a-f]{6}\Z", spelled)
    assert normalise(spelled) == spelled


def test_names_that_differ_stay_different():
    """What the spelling loses, the hash keeps."""
    assert len({normalise(n) for n in ["a b", "a_b", "a  b", "a\tb", "a?b", "记", "忆"]}) == 7
    assert normalise("x" * 65) != normalise("x" * 66)
    assert normalise("a" * 500 + "b") != normalise("a" * 500 + "c")


def test_the_spelling_is_the_same_in_another_process():
    """Names of different processes can be added up: the hash has no salt."""
    code = "from tokentrace.names import normalise; print(normalise('two words'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == normalise("two words")


@given(st.text())
def test_every_name_is_allowed_and_final(name):
    """Any text becomes an allowed name, and that name stays as it is."""
    for spelled in (normalise(name), section(name)):
        assert ALLOWED.match(spelled)
        assert normalise(spelled) == spelled


def test_a_section_has_its_prefix_and_fits():
    """A section's component holds its prefix inside the 64 characters."""
    assert section("core_goal") == "section.core_goal"
    assert len(section("k" * 64)) == 64
    assert section("Core goal").startswith("section.Core_goal-")


# ── privacy ──────────────────────────────────────────────────────────────────────────────────────


def test_names_from_code_are_always_public():
    """Roles and tags are no prompt text."""
    templates = Templates()
    assert all(map(templates.public, ["system", "user", "memory", "section.other"]))


@pytest.mark.parametrize("place", [("system", 0), ("developer", 1, 2), ("tools", 0)])
def test_names_in_system_text_and_tools_are_public(place):
    """A name that stands in system text or a tool definition leaves, also a heading."""
    assert learn(Templates(), "How to answer", "x", place=place, form="markdown")


def test_given_names_are_public():
    """Names of sections=[…] leave wherever they stand."""
    templates = Templates(["My notes"])
    templates.give(["more"])
    assert templates.public(section("My notes"))
    assert templates.public("section.more")
    assert not templates.public("section.less")


@pytest.mark.parametrize("place", [("user", 3), ("tool", 3), ("assistant", 1), ()])
def test_a_new_name_is_private(place):
    """A name that was seen once outside system text stays inside."""
    assert not learn(Templates(), "patient_name", "x", place=place)


@pytest.mark.parametrize("form", ["json", "xml"])
def test_a_template_is_public(form):
    """An identifier at the same place with other content in a later call leaves."""
    assert learn(Templates(), "core_goal", "one", "two", form=form)


def test_a_document_carried_along_is_private():
    """The same content at the same place, call after call, stays inside."""
    assert not learn(Templates(), "patient_name", "Ann", "Ann", "Ann")


def test_another_place_is_no_template():
    """Other content elsewhere in the prompt says nothing."""
    templates = Templates()
    learn(templates, "patient_name", "Ann", place=("user", 0))
    assert not learn(templates, "patient_name", "Bob", place=("user", 2))


def test_documents_that_move_are_private():
    """When old messages are cut, known documents on others' places stay inside."""
    templates = Templates()
    learn(templates, "patient_name", "Ann", place=("user", 0))
    learn(templates, "patient_name", "Bob", place=("user", 2))
    assert not learn(templates, "patient_name", "Bob", place=("user", 0))


def test_another_form_is_no_template():
    """A key and a tag of the same name are not the same place."""
    templates = Templates()
    learn(templates, "notes", "a", form="json")
    assert not learn(templates, "notes", "b", form="xml")


@pytest.mark.parametrize("name", ["Ann Smith", "1st", "", "größe", "a" * 65, "x\n", "-a"])
def test_only_identifiers_are_templates(name):
    """A name with spaces, digits first, foreign letters or 65 characters stays inside."""
    assert not learn(Templates(), name, "one", "two", "three")


def test_headings_of_users_and_tools_never_leave():
    """Also a heading that looks like a template stays inside."""
    assert not learn(Templates(), "Diagnosis", "one", "two", form="markdown")


def test_fold_keeps_the_sum():
    """Tokens of private names go to section.other, all others stay where they are."""
    templates = Templates(["goal"])
    shares = {"system": 5, "section.goal": 7, "section.x": 11, "section.y": 13, "section.other": 1}
    folded = templates.fold(shares)
    assert folded == {"system": 5, "section.goal": 7, "section.other": 25}


def test_memory_is_bounded():
    """The oldest places, contents and public names are forgotten first."""
    templates = Templates(limit=10)
    for i in range(100):
        learn(templates, f"n{i}", "a", "b")
        learn(templates, f"s{i}", "a", place=("system", i))
    assert len(templates._places) == len(templates._public) == 10
    assert len(templates._contents) == 40
    assert templates.public("section.n99")
    assert not templates.public("section.n0")


def test_threads_may_share_it():
    """Threads that learn at once lose nothing and break nothing."""
    templates = Templates()

    def work(k):
        for i in range(200):
            learn(templates, f"n{k}_{i}", "a", "b")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(templates.public(f"section.n{k}_{i}") for k in range(4) for i in range(200))


def test_digests_are_salted():
    """A digest means nothing without the salt of this process."""
    assert digest("x") == digest("x")
    assert digest("x") != digest("y")
    assert len(digest("\ud800")) == 8
    code = "from tokentrace.names import digest; print(digest('x').hex())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() != digest("x").hex()


def test_no_content_is_kept():
    """What is remembered holds identifiers and digests, no content and no other name."""
    templates = Templates()
    learn(templates, "Ann Smith", "secret one", "secret two")
    learn(templates, "notes", "secret one", "secret two")
    kept = repr([templates._places, templates._contents, templates._public, names._SALT])
    assert "notes" in kept
    assert "secret" not in kept
    assert "Ann" not in kept


def test_the_digest_of_a_stretch_is_that_of_its_text(monkeypatch):
    """Wherever it stands, however much is digested at once, and with a lone surrogate in it."""
    content = "abc\ud800 汉字 " * 50
    whole = digest(content)
    monkeypatch.setattr(names, "HASHED", 7)
    assert digest(f"--{content}--", 2, 2 + len(content)) == whole == digest(content)
    assert digest(content, 1) == digest(content[1:]) != whole

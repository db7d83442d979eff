"""Name the parts of a prompt, leave out what does not fit, and see all of it in the report.

Run it with ``OPENAI_API_KEY`` set.
"""

from openai import OpenAI

import tokentrace

MODEL = "gpt-4.1-mini"
BUDGET = 120  # tokens for documents
DOCUMENTS = {
    "runbook": "Restart loops: read the previous container's logs, then its exit code, then the events.",
    "postmortem": "In March a missing secret kept web in a restart loop for an hour. " * 6,
    "faq": "Exit code 137 means killed for memory, 1 an error of the program, 143 a polite stop.",
}
NOTES = ["The user works on staging.", "The namespace is web.", "Yesterday's release was 4.2."]


@tokentrace.component("memory")
def recall() -> str:
    """Return what is known about the user: this text is ``memory`` wherever it lands."""
    note = NOTES[-1]
    tokentrace.compressed("memory", before="\n".join(NOTES), after=note)
    return note


def documents() -> str:
    """Return the documents that fit, and tell which did not."""
    kept, room = [], BUDGET
    for name, text in DOCUMENTS.items():
        size = tokentrace.count(text, model=MODEL).total
        if size > room:
            tokentrace.exclude(f"doc.{name}", text, reason="over the budget for documents")
            continue
        kept.append(text)
        room -= size
    return tokentrace.tag("documents", "\n".join(kept))


@tokentrace.assembly(name="support", budget=500)
def build() -> str:
    """Return the system prompt."""
    return f"You help with Kubernetes.\n\nNotes:\n{recall()}\n\nDocuments:\n{documents()}"


if __name__ == "__main__":
    tokentrace.instrument()
    with tokentrace.session("assembly"), tokentrace.turn():
        reply = OpenAI().chat.completions.create(
            model=MODEL,
            messages=[
                {"role": "system", "content": build()},
                {"role": "user", "content": "My pod restarts with exit code 137. Why?"},
            ],
        )
        print(reply.choices[0].message.content)

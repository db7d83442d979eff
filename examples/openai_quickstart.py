"""The shortest way in: one line of code, then ``tokentrace report``.

Run it with ``OPENAI_API_KEY`` set. The traces go to ``.tokentrace/`` in the current folder.
"""

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

import tokentrace

QUESTIONS = (
    "A pod is in CrashLoopBackOff. What do I look at first?",
    "Its last log line says: connection refused on port 5432. And now?",
    "How do I make the deployment wait for the database?",
)


def main() -> None:
    """Hold a conversation of three turns."""
    tokentrace.instrument()
    client = OpenAI()
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "You are a patient Kubernetes tutor. Answer briefly."}
    ]
    with tokentrace.session("quickstart"):
        for question in QUESTIONS:
            with tokentrace.turn():
                messages.append({"role": "user", "content": question})
                reply = client.chat.completions.create(model="gpt-4.1-mini", messages=messages)
                answer = reply.choices[0].message.content or ""
                messages.append({"role": "assistant", "content": answer})
                print(f"> {question}\n{answer}\n")
    print("Where did the tokens go? Run: tokentrace report")


if __name__ == "__main__":
    main()

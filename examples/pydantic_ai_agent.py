"""A Pydantic AI agent: its conversation is the session, each run a turn.

``pip install tokentrace 'pydantic-ai-slim[openai]'``. Without ``OPENAI_API_KEY`` a model on
loopback answers.
"""

import os

import stand_in
from pydantic_ai import Agent

import tokentrace


def pods(namespace: str) -> str:
    """Return the pods of a namespace with their states."""
    return f"{namespace}/web-1 Running\n{namespace}/web-2 CrashLoopBackOff (12 restarts)"


def main() -> None:
    """Hold a conversation of two turns."""
    tokentrace.instrument()
    if "OPENAI_API_KEY" not in os.environ:
        os.environ |= {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{stand_in.start()}/v1"}
    agent = Agent(
        "openai-chat:gpt-4.1-mini",
        name="devops",
        instructions="You look after a cluster. Answer briefly.",
        tools=[pods],
    )
    history = None
    for question in ("Is the shop healthy?", "And now?"):
        result = agent.run_sync(question, message_history=history, conversation_id="shop-42")
        history = result.all_messages()
        print(f"> {question}\n{result.output}\n")
    print("Where did the tokens go? Run: tokentrace report")


if __name__ == "__main__":
    main()

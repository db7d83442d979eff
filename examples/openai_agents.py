"""An agent of the OpenAI Agents SDK: its session is ours, each run a turn.

``pip install tokentrace openai-agents``. Without ``OPENAI_API_KEY`` a model on loopback answers.
"""

import os

import stand_in
from agents import Agent, Runner, SQLiteSession, function_tool, set_tracing_disabled

import tokentrace


def pods(namespace: str) -> str:
    """Return the pods of a namespace with their states."""
    return f"{namespace}/web-1 Running\n{namespace}/web-2 CrashLoopBackOff (12 restarts)"


def main() -> None:
    """Hold a conversation of two turns."""
    tokentrace.instrument()
    if "OPENAI_API_KEY" not in os.environ:
        os.environ |= {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{stand_in.start()}/v1"}
        set_tracing_disabled(True)  # it would send the SDK's own traces to OpenAI
    agent = Agent(
        name="devops",
        model="gpt-4.1-mini",
        instructions="You look after a cluster. Answer briefly.",
        tools=[function_tool(pods)],
    )
    memory = SQLiteSession("shop-42")
    for question in ("Is the shop healthy?", "And now?"):
        result = Runner.run_sync(agent, question, session=memory)
        print(f"> {question}\n{result.final_output}\n")
    print("Where did the tokens go? Run: tokentrace report")


if __name__ == "__main__":
    main()

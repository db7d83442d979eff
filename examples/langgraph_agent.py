"""A LangGraph agent with a memory: its thread is the session, each invocation a turn.

``pip install tokentrace langgraph langchain langchain-openai``. Without ``OPENAI_API_KEY`` a model
on loopback answers.
"""

import os

import stand_in
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

import tokentrace


def pods(namespace: str) -> str:
    """Return the pods of a namespace with their states."""
    return f"{namespace}/web-1 Running\n{namespace}/web-2 CrashLoopBackOff (12 restarts)"


def main() -> None:
    """Hold a conversation of two turns."""
    tokentrace.instrument()
    if "OPENAI_API_KEY" not in os.environ:
        os.environ |= {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{stand_in.start()}/v1"}
    model = ChatOpenAI(model="gpt-4.1-mini")
    agent = create_agent(
        model,
        [pods],
        name="devops",
        system_prompt="You look after a cluster. Answer briefly.",
        checkpointer=InMemorySaver(),
    )
    thread = {"configurable": {"thread_id": "shop-42"}}
    for question in ("Is the shop healthy?", "And now?"):
        state = agent.invoke({"messages": [{"role": "user", "content": question}]}, thread)
        print(f"> {question}\n{state['messages'][-1].content}\n")
    print("Where did the tokens go? Run: tokentrace report")


if __name__ == "__main__":
    main()

"""A Google ADK agent: its session is ours, each invocation a turn.

``pip install tokentrace google-adk``. Without ``GOOGLE_API_KEY`` a model on loopback answers.
"""

import asyncio
import os

import stand_in
from google.adk.agents import LlmAgent
from google.adk.runners import InMemoryRunner
from google.genai import types

import tokentrace


def pods(namespace: str) -> str:
    """Return the pods of a namespace with their states."""
    return f"{namespace}/web-1 Running\n{namespace}/web-2 CrashLoopBackOff (12 restarts)"


async def talk(runner: InMemoryRunner) -> None:
    """Hold a conversation of two turns."""
    who = {"user_id": "ada", "session_id": "shop-42"}
    await runner.session_service.create_session(app_name=runner.app_name, **who)
    for question in ("Is the shop healthy?", "And now?"):
        print(f"> {question}")
        said = types.UserContent(question)
        async for event in runner.run_async(**who, new_message=said):
            if event.is_final_response() and event.content and event.content.parts:
                print(f"{event.content.parts[0].text}\n")


if __name__ == "__main__":
    tokentrace.instrument()
    if "GOOGLE_API_KEY" not in os.environ:
        os.environ |= {"GOOGLE_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": stand_in.start()}
    agent = LlmAgent(
        name="devops",
        model="gemini-2.5-flash",
        instruction="You look after a cluster. Answer briefly.",
        tools=[pods],
    )
    asyncio.run(talk(InMemoryRunner(agent, app_name="shop")))
    print("Where did the tokens go? Run: tokentrace report")

"""The same with Anthropic's SDK, asynchronous and streamed.

Run it with ``ANTHROPIC_API_KEY`` set. Claude publishes no tokenizer: before the call the count is
an estimate with its bound, after it the span also has what the provider reported.
"""

import asyncio

from anthropic import AsyncAnthropic

import tokentrace

SYSTEM = "You review Kubernetes manifests. Name the three most important findings, one line each."
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  template:
    spec:
      containers: [{name: web, image: "web:latest"}]
"""


async def main() -> None:
    """Ask once and print the answer while it arrives."""
    tokentrace.instrument()
    client = AsyncAnthropic()
    manifest = tokentrace.tag("manifest", MANIFEST)  # a component of its own in the report
    async with tokentrace.session("review"), tokentrace.turn():
        stream = client.messages.stream(
            model="claude-sonnet-4-6",
            max_tokens=500,
            system=SYSTEM,
            messages=[{"role": "user", "content": f"Please review:\n\n{manifest}"}],
        )
        async with stream as events:
            async for text in events.text_stream:
                print(text, end="", flush=True)
    print("\n\nWhere did the tokens go? Run: tokentrace report")


if __name__ == "__main__":
    asyncio.run(main())

"""Every way to call Bedrock with aiobotocore."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import replace

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from instrument.sdks import bedrock
from instrument.sdks.bedrock import body_of, without_times
from instrument.sdks.table import Form


@asynccontextmanager
async def opened(url):
    """Return a client."""
    config = AioConfig(retries={"max_attempts": 0})
    secrets = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    async with get_session().create_client(
        "bedrock-runtime", "us-east-1", endpoint_url=url, config=config, **secrets
    ) as client:
        yield client


async def converse(url, request):
    async with opened(url) as client:
        return without_times(await client.converse(**request))


async def stream(url, request):
    async with opened(url) as client:
        answer = (await client.converse_stream(**request))["stream"]
        return type(answer).__name__, [event async for event in answer]


async def early_exit(url, request):
    async with opened(url) as client:
        answer = (await client.converse_stream(**request))["stream"]
        events = answer.__aiter__()
        item = await anext(events)
        await events.aclose()
        answer.close()
        return item


async def invoke(url, request):
    async with opened(url) as client:
        body = (await client.invoke_model(**body_of(request)))["body"]
        return type(body).__name__, json.loads(await body.read())


CONVERSE = replace(
    bedrock.CONVERSE,
    name="aiobotocore converse",
    sdk="aiobotocore",
    forms={
        "plain": Form(converse, bedrock.CONVERSED, 31),
        "stream": Form(stream, bedrock.STREAM, 31),
        "early exit": Form(early_exit, bedrock.STREAM, None),
        "refused": Form(converse, bedrock.DENIED, None, fails=True),
        **{
            name: replace(bedrock.CONVERSE.forms[name], do=stream)
            for name in ("stream refused", "broken stream", "error in a stream")
        },
    },
)
INVOKE = replace(
    bedrock.INVOKE,
    name="aiobotocore invoke",
    sdk="aiobotocore",
    forms={"plain": Form(invoke, bedrock.INVOKED, 21)},
)
ROWS = (CONVERSE, INVOKE)

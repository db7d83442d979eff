"""Other providers by the hosts they serve from; their models are not in the registry yet.

Names of the standard: OpenTelemetry's GenAI conventions, read 2026-11-22. Where it has none, the
provider's own short name stands.
"""

from __future__ import annotations

from tokentrace.providers._model import Provider

AZURE = Provider(
    "azure",
    "azure.ai.openai",
    ("*.openai.azure.com", "*.cognitiveservices.azure.com", "*.openai.azure.us"),
)
AZURE_INFERENCE = Provider(
    "azure-inference",
    "azure.ai.inference",
    ("*.services.ai.azure.com", "*.models.ai.azure.com", "*.inference.ai.azure.com"),
)
BEDROCK = Provider("bedrock", "aws.bedrock", ("bedrock*.amazonaws.com", "bedrock*.api.aws"))
VERTEX = Provider(
    "vertex", "gcp.vertex_ai", ("aiplatform.googleapis.com", "*-aiplatform.googleapis.com")
)
GEMINI = Provider("gemini", "gcp.gemini", ("generativelanguage.googleapis.com",))

OTHERS = (
    Provider("cerebras", "cerebras", ("api.cerebras.ai",)),
    Provider("cloudflare", "cloudflare", ("api.cloudflare.com", "gateway.ai.cloudflare.com")),
    Provider("cohere", "cohere", ("api.cohere.com", "api.cohere.ai")),
    Provider("dashscope", "dashscope", ("dashscope*.aliyuncs.com",)),
    Provider("databricks", "databricks", ("*.databricks.com", "*.azuredatabricks.net")),
    Provider("deepinfra", "deepinfra", ("api.deepinfra.com",)),
    Provider("deepseek", "deepseek", ("api.deepseek.com",)),
    Provider("fireworks", "fireworks", ("api.fireworks.ai",)),
    Provider(
        "github-models", "github-models", ("models.github.ai", "models.inference.ai.azure.com")
    ),
    Provider("groq", "groq", ("api.groq.com",)),
    Provider("huggingface", "huggingface", ("router.huggingface.co", "*.huggingface.cloud")),
    Provider("mistral", "mistral_ai", ("api.mistral.ai", "codestral.mistral.ai")),
    Provider("moonshot", "moonshot_ai", ("api.moonshot.ai", "api.moonshot.cn")),
    Provider("ollama.com", "ollama", ("ollama.com", "*.ollama.com")),
    Provider("openrouter", "openrouter", ("openrouter.ai", "*.openrouter.ai")),
    Provider("perplexity", "perplexity", ("api.perplexity.ai",)),
    Provider("snowflake", "snowflake", ("*.snowflakecomputing.com",)),
    Provider("together", "together", ("api.together.xyz", "api.together.ai")),
    Provider("vercel-gateway", "vercel-gateway", ("ai-gateway.vercel.sh",)),
    Provider("watsonx", "ibm.watsonx.ai", ("*.ml.cloud.ibm.com",)),
    Provider("xai", "x_ai", ("api.x.ai", "*.api.x.ai")),
    Provider("zai", "zai", ("api.z.ai", "open.bigmodel.cn")),
    Provider("local", "local", ("localhost", "127.*", "::1", "*.local")),
)

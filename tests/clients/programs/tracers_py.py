"""OpenTelemetry instrumentations of LangChain: one trace with every proposer below its node."""

import os

from _run import main
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from moa_graph import ChatMoA, create_moa

MODELS = {"one-say=draft%20one", "two-say=draft%20two"}


def spans_of(instrumentor, ask):
    """Return the spans of one run under an instrumentation."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor.instrument(tracer_provider=provider)
    try:
        ask()
    finally:
        instrumentor.uninstrument()
    return exporter.get_finished_spans()


def check(spans, model_key):
    """Check that there is one root, and that the calls of both proposers name their models."""
    ids = {span.context.span_id for span in spans}
    roots = [span.name for span in spans if span.parent is None or span.parent.span_id not in ids]
    assert len(roots) == 1 and len({span.context.trace_id for span in spans}) == 1, roots
    named = [span.attributes.get(model_key) for span in spans if model_key in span.attributes]
    assert set(named) >= MODELS, named
    return roots[0], named


def graph():
    create_moa(os.environ["MIXTURE"]).invoke({"messages": "hi"})


def chat_model():
    ChatMoA(os.environ["MIXTURE"]).invoke("hi")


def openinference_graph():
    from openinference.instrumentation.langchain import LangChainInstrumentor

    root, named = check(spans_of(LangChainInstrumentor(), graph), "llm.model_name")
    assert root == "moa" and not [name for name in named if name.startswith("moa:")], named


def openinference_chat_model():
    from openinference.instrumentation.langchain import LangChainInstrumentor

    root, named = check(spans_of(LangChainInstrumentor(), chat_model), "llm.model_name")
    assert root == "ChatMoA" and len([name for name in named if name.startswith("moa:")]) == 1, named


def traceloop_graph():
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    _, named = check(spans_of(LangchainInstrumentor(), graph), "gen_ai.request.model")
    assert "unknown" not in named, named


def traceloop_chat_model():
    """The span of the graph inside is in a trace of its own: Traceloop makes no span of a model the current one."""
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    spans = [span for span in spans_of(LangchainInstrumentor(), chat_model) if span.name != "invoke_agent moa"]
    _, named = check(spans, "gen_ai.request.model")
    assert "unknown" not in named, named


if __name__ == "__main__":
    main(globals())

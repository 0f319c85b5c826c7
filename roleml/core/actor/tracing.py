"""Traces by OpenTelemetry: a span for each call, and one, its child, for the handler that serves it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import roleml
from roleml.messaging.envelope import Address, Kind

__all__ = ["OpenTelemetryTracing"]


class OpenTelemetryTracing:
    """Traces of one actor, by the tracer provider of the process.

    Where none has been set, one is that sends to the collector of the usual environment variables
    (``OTEL_EXPORTER_OTLP_ENDPOINT``).

    Raises:
        ModuleNotFoundError: OpenTelemetry is not installed.
    """

    def __init__(self) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ModuleNotFoundError as e:
            raise ModuleNotFoundError("tracing needs OpenTelemetry: pip install 'roleml[otel]'") from e
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            _provide()
        self._kinds = trace.SpanKind
        self._propagator = TraceContextTextMapPropagator()
        self._tracer = trace.get_tracer("roleml", roleml.__version__)

    @contextmanager
    def asking(self, kind: Kind, source: Address, targets: Sequence[Address], channel: str) -> Iterator[str]:
        """The span of a call: of a service until it is answered, of tasks and groups until they are sent."""
        several = len({target[1] for target in targets}) != 1
        name = f"{targets[0][1] if targets and not several else 'group'}.{channel}"
        with self._tracer.start_as_current_span(
            name,
            kind=self._kinds.CLIENT if kind is Kind.SERVICE else self._kinds.PRODUCER,
            attributes={
                "roleml.kind": kind.value,
                "roleml.source": "/".join(source),
                "roleml.targets": ["/".join(target) for target in targets],
                "roleml.channel": channel,
            },
        ):
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier)
            yield carrier.get("traceparent", "")

    @contextmanager
    def serving(
        self, kind: Kind, source: Address, target: Address, channel: str, trace: str
    ) -> Iterator[None]:
        """The span of a handler, below that of the call. What it raises is recorded."""
        parent = self._propagator.extract({"traceparent": trace}) if trace else None
        with self._tracer.start_as_current_span(
            f"{target[1]}.{channel}",
            context=parent,
            kind=self._kinds.SERVER if kind is Kind.SERVICE else self._kinds.CONSUMER,
            attributes={
                "roleml.kind": kind.value,
                "roleml.source": "/".join(source),
                "roleml.target": "/".join(target),
                "roleml.channel": channel,
            },
        ):
            yield


def _provide() -> None:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as e:
        raise ModuleNotFoundError(
            "tracing needs the SDK of OpenTelemetry and an exporter: pip install 'roleml[otel]', or set a "
            "tracer provider before the actor is built"
        ) from e
    from opentelemetry import trace

    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before it
    resource = Resource({SERVICE_NAME: "roleml"}).merge(Resource.create())
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

"""Sends telemetry with the official OpenTelemetry SDK, unmodified.

otel_send.py PROTOCOL ADDRESS SERVICE TRACES

PROTOCOL is grpc or http. Each trace has a server span with two children; every tenth trace has an
error; a counter and a histogram count them; a log record carries each trace's id. Prints what was
sent as JSON.
"""

import json
import logging
import sys
import warnings

warnings.filterwarnings("ignore")

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

protocol, address, service, traces = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])

if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    options = {"endpoint": f"http://{address}", "insecure": True}
    exporters = [kind(**options) for kind in (OTLPSpanExporter, OTLPMetricExporter, OTLPLogExporter)]
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporters = [
        kind(endpoint=f"http://{address}/v1/{path}", compression=Compression.Gzip)
        for kind, path in ((OTLPSpanExporter, "traces"), (OTLPMetricExporter, "metrics"), (OTLPLogExporter, "logs"))
    ]

resource = Resource.create({
    "service.name": service,
    "service.instance.id": f"{service}-1",
    "deployment.environment.name": "production",
    "k8s.namespace.name": "production",
})

tracer_provider = TracerProvider(resource=resource)
tracer_provider.add_span_processor(BatchSpanProcessor(exporters[0], max_queue_size=100_000))
tracer = tracer_provider.get_tracer("weft-test", "1.0")

meter_provider = MeterProvider(resource=resource, metric_readers=[PeriodicExportingMetricReader(exporters[1], 3_600_000)])
meter = meter_provider.get_meter("weft-test", "1.0")
requests = meter.create_counter("http.requests", unit="1", description="Requests served")
latency = meter.create_histogram("http.request.duration", unit="s", description="Time to serve a request")

logger_provider = LoggerProvider(resource=resource)
logger_provider.add_log_record_processor(BatchLogRecordProcessor(exporters[2]))
logger = logging.getLogger("weft-test")
logger.setLevel(logging.INFO)
logger.propagate = False
logger.addHandler(LoggingHandler(logger_provider=logger_provider))

trace_ids = []
errors = 0
for number in range(traces):
    with tracer.start_as_current_span("GET /users", kind=SpanKind.SERVER) as span:
        failed = number % 10 == 9
        status = 500 if failed else 200
        span.set_attribute("http.method", "GET")
        span.set_attribute("http.status_code", status)
        span.set_attribute("number", number)
        if failed:
            errors += 1
            span.set_status(Status(StatusCode.ERROR, "the database said no"))
        for child in ("cache", "query"):
            with tracer.start_as_current_span(child, kind=SpanKind.INTERNAL):
                pass
        requests.add(1, {"status": str(status), "service": service})
        latency.record(0.05 * (number % 7), {"service": service})
        body = json.dumps({"msg": "request served", "status_code": status, "response_time": number, "duration": number * 10})
        (logger.error if failed else logger.info)(body)
        trace_ids.append(f"{span.get_span_context().trace_id:032x}")

tracer_provider.shutdown()
logger_provider.shutdown()
meter_provider.shutdown()
print(json.dumps({"spans": traces * 3, "traces": trace_ids, "errors": errors, "logs": traces}))

"""Produces to Kafka with confluent-kafka, as the OpenTelemetry Collector's exporter would.

kafka_send.py BROKERS SERVICE TRACES [RAW_TOPIC]

Half of the spans, metrics and logs as OTLP protobuf, half as OTLP JSON, to otlp_spans, otlp_metrics
and otlp_logs; with RAW_TOPIC as many plain lines. Prints what was sent as JSON.
"""

import json
import os
import sys
import time

from confluent_kafka import Producer
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

brokers, service, traces = sys.argv[1], sys.argv[2], int(sys.argv[3])
raw_topic = sys.argv[4] if len(sys.argv) > 4 else None

failed = []


def delivered(error, _message):
    if error is not None:
        failed.append(str(error))


producer = Producer({"bootstrap.servers": brokers, "acks": "all", "enable.idempotence": True})


def otlp_json(message):
    """OTLP/JSON: ids in hex, everything else as protobuf's JSON form."""

    def hexed(value):
        import base64

        if isinstance(value, dict):
            return {
                key: base64.b64decode(inner).hex() if key in ("traceId", "spanId", "parentSpanId") else hexed(inner)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [hexed(inner) for inner in value]
        return value

    return json.dumps(hexed(MessageToDict(message, use_integers_for_enums=True))).encode()


def send(topic, message, number):
    value = message.SerializeToString() if number % 2 == 0 else otlp_json(message)
    producer.produce(topic, value=value, on_delivery=delivered)
    producer.poll(0)


def resource(message):
    attribute = message.resource.attributes.add()
    attribute.key = "service.name"
    attribute.value.string_value = service


trace_ids = []
for number in range(traces):
    now = time.time_ns()
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    resource(group)
    span = group.scope_spans.add().spans.add()
    span.trace_id = os.urandom(16)
    span.span_id = os.urandom(8)
    span.name = "GET /users"
    span.kind = 2
    span.start_time_unix_nano = now - 2_000_000
    span.end_time_unix_nano = now
    attribute = span.attributes.add()
    attribute.key = "number"
    attribute.value.int_value = number
    trace_ids.append(span.trace_id.hex())
    send("otlp_spans", request, number)

    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    resource(group)
    metric = group.scope_metrics.add().metrics.add()
    metric.name = "queue.depth"
    point = metric.gauge.data_points.add()
    point.time_unix_nano = now
    point.as_int = number
    attribute = point.attributes.add()
    attribute.key = "number"
    attribute.value.string_value = str(number)
    send("otlp_metrics", request, number)

    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    resource(group)
    record = group.scope_logs.add().log_records.add()
    record.time_unix_nano = now
    record.body.string_value = f"line {number} of {service}"
    send("otlp_logs", request, number)

    if raw_topic:
        producer.produce(raw_topic, value=json.dumps({"msg": f"raw {number}", "level": "info"}), on_delivery=delivered)

left = producer.flush(60)
assert left == 0 and not failed, f"{left} left, {failed[:3]}"
print(json.dumps({"spans": traces, "metrics": traces, "logs": traces, "raw": traces if raw_topic else 0, "traces": trace_ids}))

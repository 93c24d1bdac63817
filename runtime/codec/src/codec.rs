//! The formats that records of the log can have.

use std::fmt;
use std::str::FromStr;
use weft_model::Signal;

/// A wire format, which also says the signal it decodes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// OTLP `TracesData`, protobuf or JSON.
    OtlpTraces,
    /// OTLP `MetricsData`, protobuf or JSON.
    OtlpMetrics,
    /// OTLP `LogsData`, protobuf or JSON.
    OtlpLogs,
    /// Prometheus remote write 1.0 or 2.0, after snappy.
    RemoteWrite,
    /// Loki push, JSON or protobuf, decompressed.
    LokiPush,
    /// Any bytes, as they are.
    Raw,
}

impl Codec {
    /// All codecs.
    pub const ALL: [Self; 6] =
        [Self::OtlpTraces, Self::OtlpMetrics, Self::OtlpLogs, Self::RemoteWrite, Self::LokiPush, Self::Raw];

    /// The signal of the batches it makes.
    pub fn signal(self) -> Signal {
        match self {
            Self::OtlpTraces => Signal::Spans,
            Self::OtlpMetrics | Self::RemoteWrite => Signal::Metrics,
            Self::OtlpLogs | Self::LokiPush => Signal::Logs,
            Self::Raw => Signal::Raw,
        }
    }

    /// The name used in topologies and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::OtlpTraces => "otlp_traces",
            Self::OtlpMetrics => "otlp_metrics",
            Self::OtlpLogs => "otlp_logs",
            Self::RemoteWrite => "remote_write",
            Self::LokiPush => "loki_push",
            Self::Raw => "raw",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Codec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|codec| codec.name() == text).ok_or_else(|| {
            format!("unknown codec '{text}': use otlp_traces, otlp_metrics, otlp_logs, remote_write, loki_push or raw")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Codec;

    #[test]
    fn every_codec_reads_back_from_its_name() {
        for codec in Codec::ALL {
            assert_eq!(codec.to_string().parse(), Ok(codec));
        }
        assert!("otlp".parse::<Codec>().is_err());
    }
}

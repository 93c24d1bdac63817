//! Settings of decoding: how OTLP metrics become Prometheus series, and which attributes of logs
//! become stream labels. Defaults are those of Prometheus and Loki.

use serde::{Deserialize, Serialize};

/// Settings of all codecs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most bytes a batch may hold in memory, up to 2^31 - 1. A message that alone is more is rejected.
    pub max_batch_bytes: usize,
    /// OTLP metrics to Prometheus.
    pub metrics: MetricsConfig,
    /// Stream labels and levels of logs.
    pub logs: LogsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_batch_bytes: 512 << 20, metrics: MetricsConfig::default(), logs: LogsConfig::default() }
    }
}

/// How OTLP metric and label names become Prometheus's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum NameStrategy {
    /// Names of the classic character set, with unit and type suffixes.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Names as they are, with unit and type suffixes.
    NoUTF8EscapingWithSuffixes,
    /// Names of the classic character set, without suffixes.
    UnderscoreEscapingWithoutSuffixes,
    /// Names as they are.
    NoTranslation,
}

impl NameStrategy {
    /// Whether characters outside the classic set become underscores.
    pub(crate) fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }

    /// Whether unit and type are appended.
    pub(crate) fn suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUTF8EscapingWithSuffixes)
    }
}

/// OTLP metrics to Prometheus: Prometheus's `otlp` section, with its defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Names of metrics and labels.
    pub translation_strategy: NameStrategy,
    /// Resource attributes that become labels of every series of the resource.
    pub promote_resource_attributes: Vec<String>,
    /// All resource attributes become labels, except `ignore_resource_attributes`.
    pub promote_all_resource_attributes: bool,
    /// Not promoted by `promote_all_resource_attributes`.
    pub ignore_resource_attributes: Vec<String>,
    /// `service.name`, `service.namespace` and `service.instance.id` stay labels of `target_info`.
    pub keep_identifying_resource_attributes: bool,
    /// `otel_scope_name`, `otel_scope_version`, `otel_scope_schema_url` and `otel_scope_<attribute>` become labels.
    pub promote_scope_metadata: bool,
    /// Classic histograms become native ones with custom buckets.
    pub convert_histograms_to_nhcb: bool,
    /// Adds the labels `__type__` and `__unit__`.
    pub type_and_unit_labels: bool,
    /// Milliseconds between the samples of `target_info`: half of Prometheus's look-back of 5 minutes.
    pub target_info_interval_ms: i64,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            translation_strategy: NameStrategy::default(),
            promote_resource_attributes: Vec::new(),
            promote_all_resource_attributes: false,
            ignore_resource_attributes: Vec::new(),
            keep_identifying_resource_attributes: false,
            promote_scope_metadata: false,
            convert_histograms_to_nhcb: false,
            type_and_unit_labels: false,
            target_info_interval_ms: 150_000,
        }
    }
}

/// Stream labels and levels of logs: Loki's `distributor.otlp_config` and `limits_config`, with their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogsConfig {
    /// Resource attributes that become stream labels (dots become underscores).
    pub index_labels: Vec<String>,
    /// Labels that `service_name` is taken from, the first present first; empty switches this off.
    pub discover_service_name: Vec<String>,
    /// Whether the attribute `detected_level` is added.
    pub discover_log_levels: bool,
    /// Labels and attributes that hold a level, the first present first.
    pub level_fields: Vec<String>,
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

impl Default for LogsConfig {
    fn default() -> Self {
        Self {
            index_labels: strings(&[
                "service.name",
                "service.namespace",
                "service.instance.id",
                "deployment.environment",
                "deployment.environment.name",
                "cloud.region",
                "cloud.availability_zone",
                "k8s.cluster.name",
                "k8s.namespace.name",
                "k8s.pod.name",
                "k8s.container.name",
                "container.name",
                "k8s.replicaset.name",
                "k8s.deployment.name",
                "k8s.statefulset.name",
                "k8s.daemonset.name",
                "k8s.cronjob.name",
                "k8s.job.name",
            ]),
            discover_service_name: strings(&[
                "service",
                "app",
                "application",
                "app_name",
                "name",
                "app_kubernetes_io_name",
                "container",
                "container_name",
                "k8s_container_name",
                "component",
                "workload",
                "job",
                "k8s_job_name",
            ]),
            discover_log_levels: true,
            level_fields: strings(&[
                "level",
                "LEVEL",
                "Level",
                "log.level",
                "severity",
                "SEVERITY",
                "Severity",
                "SeverityText",
                "lvl",
                "LVL",
                "Lvl",
                "severity_text",
                "Severity_Text",
                "SEVERITY_TEXT",
            ]),
        }
    }
}

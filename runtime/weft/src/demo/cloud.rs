//! Exporters of three clouds: accumulated cost, `up`, and the CPU seconds of their nodes.

use super::telemetry::Telemetry;
use std::time::Duration;
use weft_env::Shutdown;

/// Provider, the name of its cost counter, dollars an hour, its nodes.
const CLOUDS: [(&str, &str, f64, [&str; 2]); 3] = [
    ("aws", "aws.cost.usd", 12.5, ["ip-10-0-1-11", "ip-10-0-1-12"]),
    ("azure", "azure.cost.usd", 7.25, ["aks-pool-0", "aks-pool-1"]),
    ("gcp", "gcp.cost.usd", 9.75, ["gke-pool-a", "gke-pool-b"]),
];
/// More often than they are exported, so that two exports never show the same.
const EVERY: Duration = Duration::from_millis(100);
/// Share of a CPU's time by mode.
const MODES: [(&str, f64); 4] = [("idle", 0.72), ("user", 0.2), ("system", 0.06), ("iowait", 0.02)];

/// Starts an exporter for each cloud; they stop when shutdown begins.
pub(super) fn start(shutdown: Shutdown) -> Vec<Telemetry> {
    CLOUDS
        .iter()
        .map(|&(provider, cost, dollars_an_hour, nodes)| {
            let telemetry = Telemetry::new(vec![
                ("service.name", "cloud-exporter".to_owned()),
                ("cloud.provider", provider.to_owned()),
            ]);
            let (told, shutdown) = (telemetry.clone(), shutdown.clone());
            tokio::spawn(async move {
                loop {
                    observe(&told, provider, cost, dollars_an_hour, nodes);
                    tokio::select! {
                        () = tokio::time::sleep(EVERY) => {}
                        () = shutdown.wait() => return,
                    }
                }
            });
            telemetry
        })
        .collect()
}

fn observe(telemetry: &Telemetry, provider: &str, cost: &'static str, dollars_an_hour: f64, nodes: [&str; 2]) {
    let label = |name, value: &str| (name, value.to_owned());
    for (account, share) in [("payments", 0.4), ("platform", 0.6)] {
        let labels = vec![label("account", account), label("cloud_provider", provider)];
        telemetry.count(cost, "", labels, dollars_an_hour * share / 3600.0 * EVERY.as_secs_f64());
    }
    for node in nodes {
        let place = || vec![label("cloud_provider", provider), label("instance", node)];
        telemetry.gauge("up", "", place(), 1.0);
        for (mode, share) in MODES {
            for cpu in ["0", "1"] {
                let mut labels = place();
                labels.extend([label("cpu", cpu), label("mode", mode)]);
                let jitter = 0.95 + 0.1 * rand::random::<f64>();
                telemetry.count("node.cpu", "s", labels, share * jitter * EVERY.as_secs_f64());
            }
        }
    }
}

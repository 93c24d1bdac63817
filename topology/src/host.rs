//! What is known of the machine weft runs on, for `${…}` in a topology.
//!
//! Detected from the environment alone: no metadata server is asked, so loading a topology never
//! waits for a network. Names are OpenTelemetry's semantic conventions.

use std::collections::BTreeMap;

/// Values that a topology can refer to: `${host.name}`, `${cloud.provider}`, `${env:HOME}` ….
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    facts: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
}

/// Environment variables that give an attribute, the first that is set counts: (attribute, variables).
/// Sources: the resource detectors of opentelemetry-collector-contrib; the Kubernetes downward API
/// has no fixed names, these are the usual ones.
const FROM_ENVIRONMENT: &[(&str, &[&str])] = &[
    ("k8s.node.name", &["K8S_NODE_NAME", "NODE_NAME"]),
    ("k8s.pod.name", &["K8S_POD_NAME", "POD_NAME"]),
    ("k8s.namespace.name", &["K8S_NAMESPACE_NAME", "POD_NAMESPACE"]),
    ("k8s.cluster.name", &["K8S_CLUSTER_NAME"]),
    ("cloud.account.id", &["AWS_ACCOUNT_ID", "GOOGLE_CLOUD_PROJECT", "GCP_PROJECT", "AZURE_SUBSCRIPTION_ID"]),
    ("cloud.region", &["AWS_REGION", "AWS_DEFAULT_REGION", "GOOGLE_CLOUD_REGION", "REGION_NAME", "AZURE_REGION"]),
];

/// Variables that only exist on one cloud: (provider, variables).
const PROVIDERS: &[(&str, &[&str])] = &[
    ("aws", &["AWS_EXECUTION_ENV", "ECS_CONTAINER_METADATA_URI_V4", "AWS_REGION", "AWS_DEFAULT_REGION"]),
    ("gcp", &["GOOGLE_CLOUD_PROJECT", "GCP_PROJECT", "K_SERVICE"]),
    ("azure", &["WEBSITE_SITE_NAME", "AZURE_REGION", "AZURE_SUBSCRIPTION_ID", "CONTAINER_APP_NAME"]),
];

impl Host {
    /// From this process's environment and the machine's name.
    pub fn detect() -> Self {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        Self::new(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
            name,
        )
    }

    /// From given variables and host name: what [`Self::detect`] does, for tests.
    /// `OTEL_RESOURCE_ATTRIBUTES` (`key=value,…`) wins over what was detected.
    pub fn new(environment: impl IntoIterator<Item = (String, String)>, host_name: Option<String>) -> Self {
        let environment: BTreeMap<_, _> = environment.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let mut facts = BTreeMap::new();
        if let Some(name) = host_name
            .as_deref()
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .or(environment.get("HOSTNAME").map(String::as_str))
        {
            facts.insert("host.name".to_owned(), name.to_owned());
        }
        facts.insert("host.arch".to_owned(), architecture().to_owned());
        facts.insert("os.type".to_owned(), std::env::consts::OS.replace("macos", "darwin"));
        for (attribute, variables) in FROM_ENVIRONMENT {
            if let Some(value) = variables.iter().find_map(|variable| environment.get(*variable)) {
                facts.insert((*attribute).to_owned(), value.clone());
            }
        }
        if let Some((provider, _)) =
            PROVIDERS.iter().find(|(_, variables)| variables.iter().any(|variable| environment.contains_key(*variable)))
        {
            facts.insert("cloud.provider".to_owned(), (*provider).to_owned());
        }
        for (key, value) in environment
            .get("OTEL_RESOURCE_ATTRIBUTES")
            .into_iter()
            .flat_map(|list| list.split(','))
            .filter_map(|pair| pair.split_once('='))
        {
            if !key.trim().is_empty() && !value.trim().is_empty() {
                facts.insert(key.trim().to_owned(), value.trim().to_owned());
            }
        }
        Self { facts, environment }
    }

    /// The value of a reference: `env:NAME` or the name of a fact.
    pub fn get(&self, reference: &str) -> Option<&str> {
        match reference.strip_prefix("env:") {
            Some(variable) => self.environment.get(variable),
            None => self.facts.get(reference),
        }
        .map(String::as_str)
    }

    /// The facts, for messages.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.facts.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// `host.arch` as the semantic conventions name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Puts values in place of `${name}` in `text`. `Ok(None)`: a `${name?}` has no value, leave out the
/// entry that the text is in. `$$` stands for one `$`.
///
/// # Errors
/// What is wrong with a reference, to be shown beside its place.
pub(crate) fn interpolate(text: &str, host: &Host) -> Result<Option<String>, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let Some(inside) = rest.strip_prefix('{') else {
            // A lone `$`, as in a regular expression.
            out.push('$');
            continue;
        };
        let Some(end) = inside.find('}') else {
            return Err(format!(
                "'{text}' has a '${{' without its '}}': close it, or write '$${{' for the text itself"
            ));
        };
        let (reference, default) = match inside[..end].split_once(":-") {
            Some((reference, default)) => (reference, Some(default)),
            None => (&inside[..end], None),
        };
        let (reference, optional) = match reference.strip_suffix('?') {
            Some(reference) => (reference, true),
            None => (reference, false),
        };
        match host.get(reference).or(default) {
            Some(value) => out.push_str(value),
            None if optional => return Ok(None),
            None => {
                return Err(format!(
                    "'${{{reference}}}' has no value here: set it, give a default with '${{{reference}:-default}}', or write '${{{reference}?}}' to leave the entry out"
                ));
            }
        }
        rest = &inside[end + 1..];
    }
    out.push_str(rest);
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{Host, interpolate};

    fn host() -> Host {
        let environment = [
            ("AWS_REGION", "eu-central-1"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=staging, cloud.region=override"),
            ("HOME", "/root"),
        ];
        Host::new(environment.map(|(name, value)| (name.to_owned(), value.to_owned())), Some("box-1\n".to_owned()))
    }

    #[test]
    fn facts_come_from_the_environment_and_resource_attributes_win() {
        let host = host();
        assert_eq!(host.get("host.name"), Some("box-1"));
        assert_eq!(host.get("cloud.provider"), Some("aws"));
        assert_eq!(host.get("cloud.region"), Some("override"));
        assert_eq!(host.get("deployment.environment"), Some("staging"));
        assert_eq!(host.get("env:HOME"), Some("/root"));
    }

    #[test]
    fn references_are_replaced_defaulted_left_out_or_refused() {
        let host = host();
        assert_eq!(interpolate("a ${host.name} b", &host).unwrap().unwrap(), "a box-1 b");
        assert_eq!(interpolate("${env:NOPE:-x}", &host).unwrap().unwrap(), "x");
        assert_eq!(interpolate("${env:NOPE?}", &host).unwrap(), None);
        assert!(interpolate("${env:NOPE}", &host).unwrap_err().contains("env:NOPE"));
        assert!(interpolate("${host.name", &host).is_err());
        assert_eq!(interpolate("^a$ $${x}", &host).unwrap().unwrap(), "^a$ ${x}");
    }
}
